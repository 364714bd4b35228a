//! `hubwire upstream`.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, ChildStdout, Stdio},
};

use hubwire::{HubConnection, HubProtocol};
use serde_json::{Value, json};

use crate::program::{Local, hubwire, run, text};

/// A `hubwire upstream` that stops when it is dropped.
struct Upstream {
    child: Child,
    shown: BufReader<ChildStdout>,
    pattern: String,
    url: String,
}

impl Upstream {
    fn start(arguments: &[&str]) -> Self {
        Self::start_at("0", arguments, &[])
    }

    /// On a port of its own, and with more in the environment.
    fn start_at(port: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let all = [&["upstream", "--json", "--until-input-ends", "--port", port], arguments].concat();
        let mut command = hubwire(all);
        command.envs(environment.iter().copied());
        // The emulator's, which the local service has by default.
        command.env("KEY", hubwire::local::LocalService::EMULATOR_ACCESS_KEY).env("WRONG", "d3Jvbmc=");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let shown = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut upstream = Self { child, shown, pattern: String::new(), url: String::new() };
        let started = upstream.next();
        let text = |name: &str| started[name].as_str().expect("it is there").to_owned();
        (upstream.pattern, upstream.url) = (text("pattern"), text("url"));
        upstream
    }

    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.shown.read_line(&mut line).expect("it prints lines");
        serde_json::from_str(&line).expect("each line is JSON")
    }

    /// The next request and its answer.
    fn pair(&mut self) -> (Value, Value) {
        let pair = (self.next(), self.next());
        assert_eq!((&pair.0["type"], &pair.1["type"]), (&json!("request"), &json!("answer")), "{pair:?}");
        assert_eq!(pair.0["request"], pair.1["request"]);
        pair
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

async fn client(local: &Local, protocol: HubProtocol) -> HubConnection {
    use hubwire::service::{NegotiateOptions, ServiceClient, ServiceEndpoint};

    let endpoint = ServiceEndpoint::from_connection_string(local.connection_string()).expect("it is valid");
    let service = ServiceClient::builder().endpoint(endpoint).build().expect("it is complete");
    let options = NegotiateOptions::for_user("alice").claim("role", "admin");
    let access = service.hub("chat").expect("a name").negotiate(options).await.expect("a token");
    let builder = HubConnection::builder(&access.url).with_protocol(protocol);
    let token = access.access_token;
    let builder = builder.with_access_token(move || {
        let token = token.clone();
        async move { Ok::<_, std::convert::Infallible>(token) }
    });
    builder.connect().await.expect("it connects")
}

#[tokio::test(flavor = "multi_thread")]
async fn it_shows_and_answers_what_the_service_tells() {
    for protocol in [HubProtocol::Json, HubProtocol::MessagePack] {
        let mut upstream = Upstream::start(&[
            "--key",
            "env:KEY",
            "--answer",
            "Add={\"sum\": 3}",
            "--fail",
            "Divide=by zero",
        ]);
        let local = Local::start(&["--upstream", &upstream.pattern]);
        let hub = client(&local, protocol).await;
        let (request, answer) = upstream.pair();
        assert_eq!(
            (&request["hub"], &request["category"], &request["event"], &request["userId"]),
            (&json!("chat"), &json!("connections"), &json!("connected"), &json!("alice"))
        );
        assert_eq!((&request["signature"], &request["claims"]["role"]), (&json!("valid"), &json!("admin")));
        assert_eq!((&request["connectionId"], &answer["status"]), (&json!(hub.connection_id()), &json!(200)));

        assert_eq!(hub.invoke::<Value>("Add", (1, "two")).await.expect("an answer"), json!({"sum": 3}));
        let (request, answer) = upstream.pair();
        assert_eq!((&request["event"], &request["arguments"]), (&json!("Add"), &json!([1, "two"])));
        assert_eq!((&request["awaited"], &answer["result"]), (&json!(true), &json!({"sum": 3})));

        let error = hub.invoke::<Value>("Divide", (1, 0)).await.expect_err("it fails");
        assert!(error.to_string().contains("by zero"), "{error}");
        assert_eq!(upstream.pair().1["error"], "by zero");
        hub.invoke::<()>("Anything", ()).await.expect("an empty answer");
        upstream.pair();
        hub.send("Told", ("x",)).await.expect("it is sent");
        assert_eq!(upstream.pair().0["awaited"], false);
        hub.stop().await;
        assert_eq!(upstream.pair().0["event"], "disconnected");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_key_has_signed_is_refused() {
    let mut upstream = Upstream::start(&["--key", "env:WRONG"]);
    let local = Local::start(&["--upstream", &upstream.pattern]);
    let hub = client(&local, HubProtocol::Json).await;
    let (request, answer) = upstream.pair();
    assert_eq!((&request["signature"], &answer["status"]), (&json!("invalid"), &json!(401)));
    assert!(hub.invoke::<()>("Add", ()).await.is_err());
    upstream.pair();
}

/// Each needs the other's address: the service where the upstream is, the upstream who issues the service's tokens.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_the_service_is_checked() {
    const TENANT: &str = "00000000-0000-4000-8000-0000000000aa";

    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli-upstream-entra");
    std::fs::create_dir_all(&folder).expect("a folder");
    // Free now, and not given to others soon.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("an address").port().to_string();
    drop(free);
    let file = format!(
        r#"{{ "entra": true, "serviceIdentity": {{ "tenantId": "{TENANT}", "clientId": "service" }},
            "upstream": [{{ "url": "http://127.0.0.1:{port}/{{hub}}/{{category}}/{{event}}", "managedIdentity": "api://it" }}] }}"#
    );
    std::fs::write(folder.join("hubwire.json"), file).expect("it can be written");
    let local = Local::start_in(&folder, &["--write-certificate", "local.pem"], &[]);
    let authority = local.started["settings"]["AZURE_AUTHORITY_HOST"].as_str().expect("there is one");
    let trust = folder.join("local.pem").display().to_string();
    for (identity, audience, token, status) in [
        ("service", "api://it", "valid", 200),
        ("another", "api://it", "invalid", 401),
        ("service", "api://other", "invalid", 401),
    ] {
        let arguments =
            ["--tenant", TENANT, "--audience", audience, "--identity", identity, "--authority", authority];
        let mut upstream = Upstream::start_at(&port, &arguments, &[("SSL_CERT_FILE", &trust)]);
        let hub = client(&local, HubProtocol::Json).await;
        let (request, answer) = upstream.pair();
        assert_eq!((&request["token"], &answer["status"]), (&json!(token), &json!(status)), "{request}");
        hub.stop().await;
        assert_eq!(upstream.pair().0["event"], "disconnected");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_answers() {
    let mut app = Upstream::start(&["--answer", "Add=7"]);
    let mut upstream = Upstream::start(&["--forward", &app.url]);
    let local = Local::start(&["--upstream", &upstream.pattern]);
    let hub = client(&local, HubProtocol::Json).await;
    assert_eq!(hub.invoke::<u32>("Add", ()).await.expect("an answer"), 7);
    for shown in [&mut upstream, &mut app] {
        assert_eq!(shown.pair().0["event"], "connected");
        let (request, answer) = shown.pair();
        assert_eq!((&request["event"], &request["signature"]), (&json!("Add"), &json!("unchecked")));
        assert_eq!(answer["status"], 200);
    }
    // An app that is gone is a failure of its own.
    drop(app);
    assert!(hub.invoke::<u32>("Add", ()).await.is_err());
    let (_, answer) = upstream.pair();
    assert!(answer["status"] == 502 && answer["error"].is_string(), "{answer}");
}

#[test]
fn other_requests_are_told_apart() {
    let mut upstream = Upstream::start(&[]);
    let address = upstream.url.strip_prefix("http://").expect("plain http");
    let mut socket = TcpStream::connect(address).expect("it listens");
    socket.write_all(b"GET /favicon.ico HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("it reads");
    let mut response = String::new();
    socket.read_to_string(&mut response).expect("an answer");
    assert!(response.starts_with("HTTP/1.1 400 "), "{response}");
    let other = upstream.next();
    assert_eq!((&other["type"], &other["path"]), (&json!("other"), &json!("/favicon.ico")));
    assert_eq!(upstream.next()["status"], 400);
}

#[test]
fn a_port_that_is_taken_is_explained() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let output = run(["upstream", "--port", &port]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("--port"));
}
