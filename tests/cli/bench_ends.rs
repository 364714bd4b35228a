//! When `hubwire bench` ends, other than by its own time.
#![cfg(unix)]

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    process::Stdio,
    time::{Duration, Instant},
};

use hubwire::service::{ServiceClient, ServiceEndpoint};
use serde_json::Value;

use crate::program::{Local, hubwire, kill, text};

/// How it ends, and the figures that it has nevertheless.
async fn ended(child: std::process::Child) -> (Value, Duration) {
    let begun = Instant::now();
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output());
    let output = tokio::time::timeout(Duration::from_secs(30), ended).await.expect("it ends in time");
    let output = output.expect("it is awaited").expect("it ends");
    let figures = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)));
    (figures, begun.elapsed())
}

fn start(local: &Local, arguments: &[&str]) -> std::process::Child {
    let all = ["bench", "--json", "--hub", "chat", "--user", "alice", "-d", "600s", "--warm-up", "0s"];
    let mut command = hubwire(all.iter().chain(arguments));
    command.env("AzureSignalRConnectionString", local.connection_string());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("it starts")
}

/// Of those that publish, some wait for what will never come.
#[tokio::test(flavor = "multi_thread")]
async fn it_ends_when_its_service_was_killed() {
    for arguments in [&["--scenario", "broadcast"][..], &["--scenario", "echo"], &["--scenario", "receive"]] {
        let mut local = Local::start(&[]);
        let bench = start(&local, arguments);
        let endpoint =
            ServiceEndpoint::from_connection_string(local.connection_string()).expect("it is valid");
        let service = ServiceClient::builder().endpoint(endpoint).build().expect("it is complete");
        let hub = service.hub("chat").expect("a name");
        while !hub.user("alice").exists().await.expect("it answers") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        kill("-KILL", local.id());
        local.wait();
        let (figures, took) = ended(bench).await;
        assert_eq!(figures["scenario"], arguments[1], "{figures}");
        assert!(figures["errors"].as_object().is_some_and(|errors| !errors.is_empty()), "{figures}");
        // It would go on for ten minutes; a busy machine needs more than the second that it takes.
        assert!(took < Duration::from_secs(15), "{arguments:?}: {took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_it_although_a_call_is_not_answered() {
    for signal in ["-INT", "-TERM"] {
        let upstream = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/", upstream.local_addr().expect("an address"));
        let local = Local::start(&["--upstream", &url]);
        let bench = start(&local, &["--connections", "1"]);
        // The first request tells that a client is there.
        let (mut told, _) = upstream.accept().expect("a request");
        let mut request = Vec::new();
        while !request.windows(4).any(|end| end == b"\r\n\r\n") {
            let mut some = [0; 4_096];
            let length = told.read(&mut some).expect("a request");
            assert_ne!(length, 0, "it ends early");
            request.extend_from_slice(&some[..length]);
        }
        told.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .expect("it reads");
        // The second one is a call, and gets no answer.
        let call = upstream.accept().expect("a request");
        kill(signal, bench.id());
        let (figures, took) = ended(bench).await;
        assert_eq!(
            figures["errors"],
            serde_json::json!({ "there was no answer when the measurement ended": 1 })
        );
        assert!(took < Duration::from_secs(15), "{took:?}");
        drop((call, told, upstream));
    }
}
