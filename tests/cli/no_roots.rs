//! A system without root certificates, as a small container is.

use std::process::Command;

use crate::{
    hub::hub,
    program::{Local, hubwire, run_with, text},
};

/// A command that finds no root certificates.
fn bare(arguments: &[&str]) -> Command {
    let mut command = hubwire(arguments);
    command.env("SSL_CERT_FILE", "/nowhere").env("SSL_CERT_DIR", "/nowhere");
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_needs_no_root_certificates() {
    let url = hub().await;
    for arguments in [
        &["negotiate", &url][..],
        &["doctor", &url],
        &["connect", &url, "--invoke", "Add", "1", "2"],
        &["connect", &url, "--transport", "server-sent-events", "--invoke", "Add", "1", "2"],
        &["bench", &url, "--method", "Add", "--argument", "1", "--argument", "2", "--count", "3"],
    ] {
        let output = run_with(bare(arguments), "");
        assert!(output.status.success(), "{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
    }
}

#[test]
fn https_says_that_there_are_no_root_certificates() {
    let local = Local::start(&["--tls"]);
    let url = format!("https://127.0.0.1:{}/client/?hub=chat", local.port());
    for transport in ["web-sockets", "long-polling"] {
        let output = run_with(bare(&["connect", &url, "--transport", transport]), "");
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("install the system's root certificates"), "{transport}: {told}");
    }
    let mut publish = bare(&["publish", "all", "Say", "--hub", "chat"]);
    publish.env("AzureSignalRConnectionString", local.connection_string());
    let output = run_with(publish, "");
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("certificates"), "{told}");
}
