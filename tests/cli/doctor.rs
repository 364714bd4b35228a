//! `hubwire doctor`: what it says in each state of a server fits that state.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    path::PathBuf,
    thread,
};

use serde_json::{Value, json};

use crate::{
    hub::hub,
    program::{Local, hubwire, run_with, text},
    tools::{answer, json_of, with_service},
};

/// The steps of the first place, and how each went.
fn steps(report: &Value) -> Vec<(&str, &str)> {
    let steps = report["checked"][0]["steps"].as_array().expect("a list");
    steps
        .iter()
        .map(|step| Some((step["step"].as_str()?, step["outcome"].as_str()?)))
        .map(|step| step.expect("both are texts"))
        .collect()
}

/// What it says about the steps that do not work, or not well.
fn complaints(report: &Value) -> String {
    let sections = report["checked"].as_array().expect("a list").iter();
    let steps = sections.flat_map(|section| section["steps"].as_array().expect("a list"));
    let bad = steps.filter(|step| step["outcome"] != "ok");
    bad.map(|step| format!("{}: {}\n", step["step"], step["text"])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_the_way_of_a_client() {
    let url = hub().await;
    let (report, code) = json_of(&["doctor", &url]).await;
    assert_eq!((code, &report["ok"]), (Some(0), &json!(true)), "{report}");
    let found: Vec<_> = steps(&report).into_iter().filter(|(step, _)| *step != "clocks").collect();
    assert_eq!(
        found,
        [
            ("address", "ok"),
            ("connection", "ok"),
            ("negotiate", "ok"),
            ("WebSockets", "ok"),
            ("ServerSentEvents", "ok"),
            ("LongPolling", "ok"),
        ]
    );
    let (report, code) = json_of(&["doctor", "http://127.0.0.1:1/hub"]).await;
    assert_eq!((code, &report["ok"]), (Some(1), &json!(false)), "{report}");
    assert_eq!(steps(&report), [("address", "ok"), ("connection", "problem")]);
}

#[test]
fn it_checks_the_service_and_a_hub_of_it() {
    let local = Local::start(&[]);
    let (report, code) = answer(with_service(&local, &["doctor", "--hub", "chat"]), "");
    assert_eq!((code, &report["ok"]), (Some(0), &json!(true)), "{report}");
    assert_eq!(steps(&report), [("health", "ok"), ("REST API", "ok"), ("negotiation", "ok")]);
    assert_eq!(report["checked"].as_array().map(Vec::len), Some(2), "{report}");

    let mut command = hubwire(["--json", "doctor"]);
    let (address, _) = local.connection_string().split_once(";AccessKey=").expect("there is a key");
    command.env("AzureSignalRConnectionString", format!("{address};AccessKey=d3Jvbmc=;Version=1.0;"));
    let (report, code) = answer(command, "");
    assert_eq!(code, Some(1), "{report}");
    assert!(report.to_string().contains("does not accept the access key"), "{report}");
}

#[test]
fn a_service_without_app_servers_is_not_the_fault_of_proxies() {
    let local = Local::start(&["--mode", "default"]);
    // Without a hub, nothing is known about clients.
    let mut command = hubwire(["doctor"]);
    command.env("AzureSignalRConnectionString", local.connection_string());
    let output = run_with(command, "");
    let told = text(&output.stdout);
    assert!(output.status.success() && told.contains("--hub") && !told.contains("Everything"), "{told}");
    let (report, code) = answer(with_service(&local, &["doctor", "--hub", "chat"]), "");
    assert_eq!(code, Some(1), "{report}");
    let told = complaints(&report);
    assert!(told.contains("start the app server of this hub") && told.contains("Serverless"), "{told}");
    assert!(!told.contains("proxies") && !told.contains("Upgrade"), "{told}");
}

#[test]
fn a_local_service_that_is_not_running_is_named() {
    let mut command = hubwire(["--json", "doctor"]);
    let connection_string = "Endpoint=http://127.0.0.1;Port=1;AccessKey=d3Jvbmc=;Version=1.0;";
    command.env("AzureSignalRConnectionString", connection_string);
    let (report, code) = answer(command, "");
    assert_eq!(code, Some(1), "{report}");
    let told = complaints(&report);
    assert!(told.contains("`hubwire local` starts one") && !told.contains("firewall"), "{told}");
}

/// Answers every request with the same. Its URL.
fn web_server(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/hub", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        for socket in listener.incoming() {
            let Ok(mut socket) = socket else { return };
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && matches!(socket.read(&mut byte), Ok(1)) {
                head.push(byte[0]);
            }
            let _ = socket.write_all(answer.as_bytes());
        }
    });
    url
}

#[test]
fn what_is_not_a_hub_is_told_apart() {
    // {"exp":1}
    let expired = "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9.c2ln";
    for (response, token, fits, misleads) in [
        (
            "HTTP/1.1 404 Not Found\r\ncontent-type: text/html\r\ncontent-length: 25\r\nconnection: close\r\n\r\n<title>A web site</title>",
            None,
            &["status 404", "A web site", "MapHub"][..],
            &["Upgrade", "--root-certificate"][..],
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 24\r\nconnection: close\r\n\r\n<title>A web app</title>",
            None,
            &["A web app", "index.html"],
            &["Upgrade"],
        ),
        (
            "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            None,
            &["status 500", "see its log"],
            &["proxy"],
        ),
        (
            "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            None,
            &["status 401", "give a token with"],
            &["proxy"],
        ),
        (
            "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            Some(expired),
            &["status 401", "it has expired"],
            &["audience and issuer", "give a token with"],
        ),
        (
            "HTTP/1.1 404 Not Found\r\ndate: Tue, 01 Jan 2030 00:00:00 GMT\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            None,
            &["clocks", "behind the server's", "NTP"],
            &[],
        ),
        ("SSH-2.0-OpenSSH_9.9\r\n", None, &["does it speak http there?"], &["firewall"]),
    ] {
        let url = web_server(response);
        let mut command = hubwire(["--json", "doctor", &url]);
        if let Some(token) = token {
            command.args(["--token", "env:TOKEN"]).env("TOKEN", token);
        }
        let (report, code) = answer(command, "");
        let told = complaints(&report);
        assert_eq!(code, Some(1), "{report}");
        for part in fits {
            assert!(told.contains(part), "{response}: {part} is not in {told}");
        }
        for part in misleads {
            assert!(!told.contains(part), "{response}: {part} is in {told}");
        }
    }
}

/// A folder with a certificate for this machine that is good for other years, or for another name.
fn certificate(name: &str, host: &str, years: (i32, i32)) -> (PathBuf, [String; 2]) {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cli-doctor").join(name);
    fs::create_dir_all(&folder).expect("a folder");
    let mut params = rcgen::CertificateParams::new([host.to_owned()]).expect("a name");
    params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
    let key = rcgen::KeyPair::generate().expect("a key");
    let made = params.self_signed(&key).expect("a certificate");
    let (pem, key_file) = (folder.join("local.pem"), folder.join("local.key"));
    fs::write(&pem, made.pem()).expect("it can be written");
    fs::write(&key_file, key.serialize_pem()).expect("it can be written");
    (folder, [pem, key_file].map(|path| path.display().to_string()))
}

#[test]
fn a_certificate_that_is_not_accepted_says_why() {
    for (name, host, years, trusts, fits, misleads) in [
        ("unknown", "127.0.0.1", (2020, 2040), false, "unknown issuer", "expired"),
        ("expired", "127.0.0.1", (2020, 2021), true, "has expired", "--root-certificate"),
        ("other", "example.com", (2020, 2040), true, "for another host name", "--root-certificate"),
    ] {
        let (folder, [pem, key]) = certificate(name, host, years);
        let local = Local::start_in(&folder, &["--tls", "--certificate", &pem, "--key", &key], &[]);
        let url = format!("https://127.0.0.1:{}/client/", local.port());
        let mut command = hubwire(["--json", "doctor", &url]);
        if trusts {
            command.args(["--root-certificate", &pem]);
        }
        let (report, code) = answer(command, "");
        assert_eq!(code, Some(1), "{report}");
        assert_eq!(steps(&report), [("address", "ok"), ("connection", "ok"), ("TLS", "problem")], "{report}");
        let told = complaints(&report);
        assert!(told.contains(fits) && !told.contains(misleads), "{name}: {told}");
        assert!(!told.contains("with_root_certificate"), "{told}");
        if name != "unknown" {
            continue;
        }
        assert!(told.contains("--root-certificate FILE"), "{told}");
        let trusted = ["--json", "doctor", &url, "--root-certificate", &pem];
        let (report, _) = answer(hubwire(trusted), "");
        assert_eq!(steps(&report)[2], ("TLS", "ok"), "{report}");
    }
}

#[test]
fn the_wrong_scheme_is_named() {
    let local = Local::start(&[]);
    let url = format!("https://127.0.0.1:{}/hub", local.port());
    let (report, code) = answer(hubwire(["--json", "doctor", &url]), "");
    assert_eq!(code, Some(1), "{report}");
    let told = complaints(&report);
    assert!(told.contains("http:// instead of https://") && !told.contains("--root-certificate"), "{told}");
}
