//! Servers that say nothing, output that cannot be written.

use std::{
    net::TcpListener,
    process::Stdio,
    time::{Duration, Instant},
};

use crate::program::{hubwire, run_with, text};

/// It takes connections, and says nothing: the operating system does that for a socket that nobody reads.
fn silent() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    (listener, port)
}

#[test]
fn nothing_waits_for_ever() {
    let (_listener, port) = silent();
    let url = format!("http://127.0.0.1:{port}/hub");
    let redis = format!("redis://127.0.0.1:{port}");
    let connection_string =
        format!("Endpoint=http://127.0.0.1;Port={port};AccessKey=c2VjcmV0c2VjcmV0c2VjcmV0;Version=1.0;");
    let limit = ["--timeout", "300ms"];
    // All at the same time: each of them waits.
    let running: Vec<_> = [
        &["negotiate", &url][..],
        &["doctor", &url],
        &["connect", &url],
        &["connect", "--hub", "chat"],
        &["bench", &url, "--count", "1"],
        &["doctor"],
        &["publish", "all", "Say", "--hub", "chat"],
        &["publish", "all", "Say", "--hub", "chat", "--redis", &redis],
        &["group", "add", "red", "connection:a", "--hub", "chat"],
        &["group", "remove", "red", "user:a", "--hub", "chat"],
        &["close", "all", "--hub", "chat"],
        &["close", "user:a", "--hub", "chat"],
    ]
    .into_iter()
    .map(|arguments| {
        let mut command = hubwire(arguments.iter().chain(&limit));
        command.env("AzureSignalRConnectionString", &connection_string);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        (arguments.join(" "), Instant::now(), command.spawn().expect("it starts"))
    })
    .collect();
    for (arguments, begun, child) in running {
        let output = child.wait_with_output().expect("it ends");
        let told = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "{arguments}: {told}");
        assert!(
            told.contains("300 ms") || told.contains("300ms") || told.contains("0.3"),
            "{arguments}: {told}"
        );
        // The default is 15 s, and was 100 s.
        assert!(begun.elapsed() < Duration::from_secs(14), "{arguments}: {:?}", begun.elapsed());
    }
}

/// Without a network.
#[cfg(unix)]
const PRINTING: [(&[&str], &str); 5] = [
    (&["--help"], ""),
    (&["--version"], ""),
    (&["completions", "fish"], ""),
    (&["token", "--other"], "eyJhbGciOiJIUzI1NiJ9.e30.c2ln"),
    (&["--json", "token", "--other"], "eyJhbGciOiJIUzI1NiJ9.e30.c2ln"),
];

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error() {
    use std::{fs::OpenOptions, io::Write as _};

    for (arguments, input) in PRINTING {
        let full = OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
        let mut command = hubwire(arguments);
        command.stdin(Stdio::piped()).stdout(full).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
        let output = child.wait_with_output().expect("it ends");
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {told}");
        assert!(
            told.contains("standard output cannot be written") && told.contains("disk"),
            "{arguments:?}: {told}"
        );
    }
}

#[cfg(unix)]
#[test]
fn a_closed_pipe_ends_it_without_a_word() {
    use std::io::Write as _;

    for (arguments, input) in PRINTING {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = hubwire(arguments);
        command.stdin(Stdio::piped()).stdout(writer).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
        let output = child.wait_with_output().expect("it ends");
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(141), ""), "{arguments:?}");
    }
}

/// Such as `hubwire connect … | head -1`.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn who_shows_events_ends_when_nobody_looks() {
    use std::io::{BufRead as _, BufReader, Write as _};

    let url = crate::hub::hub().await;
    let mut command = hubwire(["connect", &url, "--json", "--stay"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let (mut input, mut line) = (child.stdin.take().expect("it is piped"), String::new());
    BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line).expect("a line");
    let ended = tokio::task::spawn_blocking(move || {
        // It may be gone before it has read this.
        let _ = input.write_all(b"invoke Add 1 2\n");
        child.wait_with_output()
    });
    let output =
        tokio::time::timeout(Duration::from_secs(60), ended).await.expect("it ends").expect("it is awaited");
    assert_eq!(output.expect("it ends").status.code(), Some(141));
}

#[test]
fn what_cannot_be_done_is_not_reported_as_done() {
    let output = run_with(hubwire(["negotiate", "http://127.0.0.1:1/hub", "--timeout", "soon"]), "");
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
}
