//! `hubwire local`.

mod functions;
mod once;
#[cfg(unix)]
mod recipes;
mod settings;

use std::{
    io::{BufRead as _, BufReader},
    net::TcpListener,
    process::Stdio,
};

use hubwire::{
    ConnectionError, HubConnection,
    axum_routes::negotiate,
    service::{NegotiateOptions, ServiceClient, ServiceEndpoint},
};

use crate::{
    plain_http::plain_http,
    program::{Local, hubwire, run, run_with, text},
};

fn client(local: &Local) -> ServiceClient {
    let endpoint = ServiceEndpoint::from_connection_string(local.connection_string()).expect("it is valid");
    ServiceClient::builder().endpoint(endpoint).build().expect("it is complete")
}

#[tokio::test]
async fn its_connection_string_opens_it() {
    let local = Local::start(&[]);
    let dashboard = local.started["dashboard"].as_str().expect("there is one");
    // As every browser says; it is there in compressed form only.
    let request = plain_http().build().unwrap().get(dashboard).header("accept-encoding", "gzip, deflate, br");
    let page = request.send().await.unwrap();
    assert!(page.status().is_success(), "{page:?}");
    let report = client(&local).check().await;
    assert!(report.is_ok(), "{report:?}");
}

#[test]
fn health_is_an_exit_code() {
    let local = Local::start(&[]);
    let port = local.port();
    assert!(run(["local", "health", "--port", &port]).status.success());
    // A container need not have certificates.
    let mut bare = hubwire(["local", "health", "--port", &port]);
    bare.env("SSL_CERT_FILE", "/nowhere").env("SSL_CERT_DIR", "/nowhere");
    assert!(run_with(bare, "").status.success());
    drop(local);
    let output = run(["local", "health", "--port", &port]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("start a service with `hubwire local"), "{}", text(&output.stderr));
}

#[cfg(target_os = "linux")]
#[test]
fn health_is_asked_where_the_settings_say() {
    let folder = settings::folder("health");
    let health = |arguments: &[&str]| {
        let mut command = hubwire(["local", "health"].iter().chain(arguments));
        command.current_dir(&folder);
        let output = run_with(command, "");
        (output.status.success(), text(&output.stderr).to_owned())
    };
    let http = Local::start(&[]);
    let tls = Local::start_in(&folder, &["--tls", "--write-certificate", "local.pem"], &[]);
    let (plain, secure) = (http.port(), tls.port());
    let file = |text: String| std::fs::write(folder.join("hubwire.json"), text).unwrap();

    file(format!("{{ \"port\": {plain} }}"));
    assert_eq!(health(&[]), (true, String::new()));
    let (well, told) = health(&["--tls"]);
    assert!(!well && told.contains("speaks http, and was asked over https"), "{told}");

    let (well, told) = health(&["--port", &secure]);
    assert!(
        !well && told.contains("speaks https, and was asked over http") && told.contains("--tls"),
        "{told}"
    );
    let (well, told) = health(&["--port", &secure, "--tls"]);
    assert!(!well && told.contains("is not trusted") && told.contains("--certificate"), "{told}");
    assert!(!told.contains("hubwire local --port"), "it is running: {told}");
    assert_eq!(health(&["--port", &secure, "--tls", "--certificate", "local.pem"]), (true, String::new()));

    // The settings name the certificate as well. Nobody needs its key for this.
    file(format!(
        "{{ \"port\": {secure}, \"tls\": true, \"https\": {{ \"certificate\": \"local.pem\", \"key\": \"none\" }} }}"
    ));
    assert_eq!(health(&[]), (true, String::new()));
    file("{ \"port\": 0 }".to_owned());
    assert!(health(&[]).1.contains("--port"));
}

/// The warnings of a service whose upstream is not there.
#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_does_not_answer_is_named_with_the_reason() {
    let arguments = [
        "local",
        "--port",
        "0",
        "--json",
        "--until-input-ends",
        "--upstream",
        "http://127.0.0.1:1/{event}?code=c2VjcmV0",
    ];
    let mut child = hubwire(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let started: serde_json::Value = serde_json::from_str(&line).unwrap();
    let connection_string = started["settings"]["AzureSignalRConnectionString"].as_str().unwrap();
    let endpoint = ServiceEndpoint::from_connection_string(connection_string).unwrap();
    let service = ServiceClient::builder().endpoint(endpoint).build().unwrap();
    let access = service.hub("chat").unwrap().negotiate(NegotiateOptions::for_user("ann")).await.unwrap();
    let token = access.access_token;
    let hub = HubConnection::builder(&access.url)
        .with_access_token(move || std::future::ready(Ok::<_, std::convert::Infallible>(token.clone())))
        .connect()
        .await
        .unwrap();
    assert!(hub.invoke::<()>("Add", ()).await.is_err());
    drop(child.stdin.take());
    let output = child.wait_with_output().unwrap();
    let told = text(&output.stderr);
    let warning = told.lines().find(|line| line.contains("the upstream gave no answer")).expect(told);
    assert!(warning.contains("http://127.0.0.1:1/connected") && warning.contains("refused"), "{told}");
    assert!(warning.contains("hub=chat") && !told.contains("c2VjcmV0"), "{told}");
}

#[test]
fn a_port_that_is_taken_is_explained() {
    let local = Local::start(&[]);
    let output = run(["local", "--port", &local.port()]);
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors.contains("a SignalR service listens there") && errors.contains("--port"), "{errors}");

    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let output = run(["local", "--port", &other.local_addr().unwrap().port().to_string()]);
    let errors = text(&output.stderr);
    assert!(errors.contains("another program listens there"), "{errors}");
}

#[test]
fn requests_and_clients_are_lines_when_they_are_asked_for() {
    let mut command = hubwire(["local", "--port", "0", "--json", "--until-input-ends", "--verbose"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let started: serde_json::Value = serde_json::from_str(&line).unwrap();
    let url = started["endpoint"].as_str().unwrap();
    let port = url.rsplit(':').next().unwrap();
    assert!(run(["local", "health", "--port", port]).status.success());
    let mut client = hubwire(["connect", "--hub", "chat", "--exit"]);
    client.env(
        "AzureSignalRConnectionString",
        started["settings"]["AzureSignalRConnectionString"].as_str().unwrap(),
    );
    assert!(run_with(client, "").status.success());
    drop(child.stdin.take());
    let output = child.wait_with_output().unwrap();
    let lines: Vec<_> = text(&output.stderr).lines().filter(|line| line.starts_with("HEAD ")).collect();
    let [line] = lines[..] else { panic!("{}", text(&output.stderr)) };
    assert!(line.starts_with("HEAD /api/health 200 ") && line.ends_with(" ms"), "{line}");
    for told in ["client connected hub=chat", "client disconnected hub=chat"] {
        assert_eq!(text(&output.stderr).lines().filter(|line| line.contains(told)).count(), 1, "{output:?}");
    }
}

/// A client of the hub `chat` that has gone through negotiate.
async fn connect(local: &Local) -> HubConnection {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/chat", listener.local_addr().unwrap());
    let hub = client(local).hub("chat").unwrap();
    let app: axum::Router = negotiate("/chat", hub, |_| NegotiateOptions::for_user("ann"));
    tokio::spawn(async move { axum::serve(listener, app).await });
    HubConnection::builder(url).connect().await.unwrap()
}

#[cfg(unix)]
#[tokio::test]
async fn a_signal_lets_clients_go_before_it_ends() {
    for signal in ["-TERM", "-INT"] {
        let mut local = Local::start(&[]);
        let connection = connect(&local).await;
        crate::program::kill(signal, local.id());
        let closed = connection.closed().await;
        assert!(
            matches!(closed, ConnectionError::ServerClosed { allow_reconnect: true, .. }),
            "it is told, not cut off: {closed:?}"
        );
        assert_eq!(local.wait().code(), Some(0));
    }
}
