//! Default mode with the official server SDK as app server, and with clients of every kind: ours and .NET's.
#![cfg(all(feature = "local", feature = "msgpack"))]

use std::{
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures_channel::mpsc;
use futures_util::{StreamExt, stream};
use hubwire::{
    ConnectionError, HubConnection, HubProtocol, RefreshError, Transport, Upload,
    local::{EntraApplication, LocalManagedIdentity, LocalService, Role, ServiceMode},
    service::{HubClient, ServiceClient, ServiceEndpoint},
};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::{
    support::{self, cutter::Cutter, dotnet::Dotnet},
    wire::Wire,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// A transport by the names that Rust and the .NET driver have for it, and a protocol.
const WAYS: [(Transport, &str, HubProtocol); 5] = [
    (Transport::WebSockets, "webSockets", HubProtocol::Json),
    (Transport::WebSockets, "webSockets", HubProtocol::MessagePack),
    (Transport::ServerSentEvents, "serverSentEvents", HubProtocol::Json),
    (Transport::LongPolling, "longPolling", HubProtocol::Json),
    (Transport::LongPolling, "longPolling", HubProtocol::MessagePack),
];

/// Whether there is the official software; a loud line if not.
fn has_reference(test: &str) -> bool {
    let is_there = support::reference_dir().is_some();
    if !is_there {
        support::skipped(test, "no app server; HUBWIRE_REFERENCE_DIR names its folder");
    }
    is_there
}

async fn local() -> LocalService {
    LocalService::builder().service_mode(ServiceMode::Default).start().await.unwrap()
}

/// The official app server. It ends when its standard input does.
struct AppServer {
    child: Child,
    url: String,
}

impl AppServer {
    /// Starts one, and waits until its server connections carry clients.
    async fn start(connection: &str, options: &[&str]) -> Self {
        Self::start_in(connection, options, &[]).await
    }

    async fn start_in(connection: &str, options: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::start_by("--connection", connection, options, environment).await
    }

    async fn start_by(how: &str, service: &str, options: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(support::reference_dir().unwrap().join("run"));
        command.args(["appserver", how, service, "--servers", "1"]).args(options);
        command.envs(environment.iter().copied()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let (child, url) = tokio::task::spawn_blocking(move || {
            let mut child = command.spawn().expect("the app server starts");
            let mut line = String::new();
            let stdout = child.stdout.take().expect("a pipe");
            std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
            let said: Value = serde_json::from_str(&line).expect("a line of JSON");
            (child, said["url"].as_str().expect("an address").to_owned())
        })
        .await
        .unwrap();
        let server = Self { child, url };
        server.ready().await;
        server
    }

    /// It says nowhere when its server connections are there.
    async fn ready(&self) {
        let begun = Instant::now();
        while let Err(error) = HubConnection::builder(format!("{}/hub", self.url)).connect().await {
            assert!(begun.elapsed() < PATIENCE, "the app server is not ready: {error:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn token(&self, query: &str) -> String {
        self.get(&format!("/token?{query}")).await
    }

    async fn get(&self, path: &str) -> String {
        let client = Wire::http();
        client.get(format!("{}{path}", self.url)).send().await.unwrap().text().await.unwrap()
    }

    async fn post(&self, path: &str) -> (u16, String) {
        let client = Wire::http();
        let response = client.post(format!("{}{path}", self.url)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// What a client answers to `Question`, as the app server hears it. Asked again where the answer is lost or
    /// empty: the SDK sends a call before it remembers it, so that in a fresh process the answer may be quicker.
    async fn ask(&self, id: &str) -> (u16, String) {
        let path = format!("/ask/{id}/Question?argument=what");
        for _ in 0..10 {
            if let Ok(answer) = timeout(Duration::from_secs(3), self.post(&path)).await
                && !answer.1.is_empty()
            {
                return answer;
            }
        }
        panic!("the client is asked in vain");
    }

    /// Ends it, and gives its exit code.
    async fn stop(mut self) -> Option<i32> {
        drop(self.child.stdin.take());
        let ended = tokio::task::spawn_blocking(move || self.child.wait().unwrap().code());
        timeout(PATIENCE, ended).await.expect("the app server ends").unwrap()
    }
}

/// A client that hears `News` and answers `Question`.
struct Ours {
    hub: HubConnection,
    news: mpsc::UnboundedReceiver<Value>,
}

impl Ours {
    async fn connect(
        server: &AppServer,
        path: &str,
        user: &str,
        (transport, protocol): (Transport, HubProtocol),
    ) -> Self {
        let token = server.token(&format!("user={user}")).await;
        let (tell, news) = mpsc::unbounded();
        let hub = HubConnection::builder(format!("{}{path}", server.url))
            .with_access_token(move || std::future::ready(Ok::<_, std::convert::Infallible>(token.clone())))
            .with_transports(transport)
            .with_protocol(protocol)
            .on("News", move |news: Value| drop(tell.unbounded_send(news)))
            .on_invoke("Question", |asked: String| async move { Ok::<_, String>(format!("{asked}!")) })
            .connect()
            .await
            .unwrap();
        assert_eq!(hub.connection_info().unwrap().transport, transport);
        Self { hub, news }
    }

    async fn news(&mut self) -> Value {
        timeout(PATIENCE, self.news.next()).await.expect("news come").unwrap()
    }
}

#[tokio::test]
async fn our_client_does_everything_with_an_app_server() {
    if !has_reference("our_client_does_everything_with_an_app_server") {
        return;
    }
    let local = local().await;
    let server = AppServer::start(&local.connection_string(), &[]).await;
    let endpoint = ServiceEndpoint::from_connection_string(&local.connection_string()).unwrap();
    let rest: HubClient =
        ServiceClient::builder().endpoint(endpoint).build().unwrap().hub("conformancehub").unwrap();
    for (transport, _, protocol) in WAYS {
        let mut client = Ours::connect(&server, "/hub", "ann", (transport, protocol)).await;
        let way = format!("{transport:?} {protocol:?}");
        let hub = &client.hub;
        assert_eq!(hub.invoke::<i32>("Add", (40, 2)).await.unwrap(), 42, "{way}");
        let text = "ü\n👋".repeat(3000);
        assert_eq!(hub.invoke::<String>("EchoString", (&text,)).await.unwrap(), text, "{way}");
        hub.invoke::<()>("Throw", ()).await.unwrap_err();
        let items: Vec<i32> =
            hub.stream::<i32>("Counter", (5, 0)).await.unwrap().map(Result::unwrap).collect().await;
        assert_eq!(items, [0, 1, 2, 3, 4], "{way}");
        let upload = Upload::new(stream::iter([1, 2, 3]));
        assert_eq!(hub.invoke::<i64>("UploadSum", (upload,)).await.unwrap(), 6, "{way}");
        hub.invoke::<()>("Join", (&way,)).await.unwrap();
        hub.send("ToGroup", (&way, "News", "group")).await.unwrap();
        assert_eq!(server.ask(&hub.connection_id().unwrap()).await, (200, "what!".to_owned()), "{way}");
        assert_eq!(client.news().await, "group", "{way}");

        // From outside: the app server, and the REST API.
        let id = client.hub.invoke::<Value>("WhoAmI", ()).await.unwrap();
        assert_eq!(id["user"].as_str().or_else(|| id["User"].as_str()), Some("ann"), "{way}");
        assert_eq!(server.post("/send/user/News?to=ann&argument=user").await.0, 200);
        assert_eq!(client.news().await, "user", "{way}");
        rest.group(&way).send("News", ("rest",)).await.unwrap();
        assert_eq!(client.news().await, "rest", "{way}");
        let connection = client.hub.connection_id().unwrap();
        let asked: String = rest.connection(&connection).invoke("Question", ("rest",)).await.unwrap();
        assert_eq!(asked, "rest!", "{way}");

        // The app server ends it.
        client.hub.send("Close", ()).await.unwrap();
        let closed = timeout(PATIENCE, client.hub.closed()).await.expect("it is closed");
        assert!(matches!(closed, ConnectionError::ServerClosed { allow_reconnect: false, .. }), "{closed:?}");
        assert!(!rest.connection(&connection).exists().await.unwrap(), "{way}");
    }
    assert_eq!(server.stop().await, Some(0));
}

#[tokio::test]
async fn the_official_client_does_everything_with_an_app_server() {
    if !has_reference("the_official_client_does_everything_with_an_app_server") {
        return;
    }
    let local = local().await;
    let server = AppServer::start(&local.connection_string(), &[]).await;
    for (_, transport, protocol) in WAYS {
        let way = format!("{transport} {protocol:?}");
        let mut client = Dotnet::spawn();
        let url = format!("{}/hub", server.url);
        let options = json!({ "url": url, "transport": transport, "protocol": protocol.name() });
        client.command("build", options).await;
        client.command("on", json!({ "target": "News", "count": 1 })).await;
        client.command("answer", json!({ "target": "Question", "count": 1, "result": "that" })).await;
        let started = client.command("start", json!({})).await;
        let asked = server.ask(started["connectionId"].as_str().unwrap());
        assert_eq!(asked.await, (200, "that".to_owned()), "{way}");
        let mut invoke = async |target: &str, arguments: Value, more: Value| {
            let mut fields = json!({ "target": target, "arguments": arguments });
            fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            client.command("invoke", fields).await
        };
        assert_eq!(invoke("Add", json!([40, 2]), json!({})).await, 42, "{way}");
        let large = "x".repeat(20_000);
        assert_eq!(invoke("EchoString", json!([large]), json!({})).await, large, "{way}");
        assert_eq!(invoke("UploadSum", json!([]), json!({ "uploads": [[1, 2, 3]] })).await, 6, "{way}");
        invoke("Join", json!([way]), json!({})).await;
        let streamed = json!({ "target": "Counter", "arguments": [5, 0] });
        assert_eq!(client.command("stream", streamed).await, 5, "{way}");
        client.command("send", json!({ "target": "ToGroup", "arguments": [way, "News", "hi"] })).await;
        assert_eq!(client.message("News").await, json!(["hi"]), "{way}");
        client.command("stop", json!({})).await;
    }
}

#[tokio::test]
async fn app_servers_come_and_go() {
    if !has_reference("app_servers_come_and_go") {
        return;
    }
    let local = local().await;
    let connection = local.connection_string();
    let json = (Transport::WebSockets, HubProtocol::Json);
    let one = AppServer::start(&connection, &["--shutdown", "migrate", "--sticky", "preferred"]).await;
    let two = AppServer::start(&connection, &["--shutdown", "wait", "--sticky", "required"]).await;
    let mut ann = Ours::connect(&one, "/hub", "ann", json).await;
    let mut bob =
        Ours::connect(&two, "/hub", "bob", (Transport::LongPolling, HubProtocol::MessagePack)).await;

    // Users, groups and results reach over both. Its own app server asks a client first: the SDK's own first question
    // may be lost after it has answered another's.
    let id = bob.hub.connection_id().unwrap();
    for server in [&two, &one] {
        assert_eq!(server.ask(&id).await, (200, "what!".to_owned()));
    }
    assert_eq!(one.post("/ask/nobody/Question?argument=what").await.0, 502);
    assert_eq!(one.post(&format!("/groups/g/{id}")).await.0, 200);
    ann.hub.send("ToGroup", ("g", "News", "over")).await.unwrap();
    assert_eq!(bob.news().await, "over");
    assert_eq!(two.post("/send/user/News?to=ann&argument=you").await.0, 200);
    assert_eq!(ann.news().await, "you");

    // One moves its clients, which hear nothing of it; the other waits for them.
    assert_eq!(one.stop().await, Some(0));
    ann.hub.send("ToAll", ("News", "moved")).await.unwrap();
    assert_eq!((ann.news().await, bob.news().await), (json!("moved"), json!("moved")));
    let waiting = two.stop();
    let leaving = async {
        assert_eq!(bob.hub.invoke::<i32>("Add", (1, 2)).await.unwrap(), 3);
        ann.hub.stop().await;
        bob.hub.stop().await;
    };
    assert_eq!(tokio::join!(waiting, leaving).0, Some(0));

    // One that says nothing takes its clients along, and they may come back.
    let mut three = AppServer::start(&connection, &[]).await;
    let eve = Ours::connect(&three, "/hub", "eve", json).await;
    three.child.kill().unwrap();
    let closed = timeout(PATIENCE, eve.hub.closed()).await.expect("it is closed");
    assert!(
        matches!(&closed, ConnectionError::ServerClosed { error: Some(text), allow_reconnect: true, .. } if **text == *"ServerOffline"),
        "{closed:?}"
    );
    let refused = HubConnection::builder(format!("{}/client/?hub=chat", local.endpoint())).connect().await;
    assert_eq!(refused.unwrap_err().status(), Some(401));
}

#[tokio::test]
async fn nothing_is_lost_when_a_stateful_client_is_cut() {
    if !has_reference("nothing_is_lost_when_a_stateful_client_is_cut") {
        return;
    }
    let local = local().await;
    let cutter = Cutter::start(local.port()).await;
    let connection = format!("{}ClientEndpoint=http://127.0.0.1:{};", local.connection_string(), cutter.port);
    let server = AppServer::start(&connection, &[]).await;
    for protocol in ["json", "messagepack"] {
        let mut client = Dotnet::spawn();
        let url = format!("{}/stateful", server.url);
        let options = json!({ "url": url, "protocol": protocol, "stateful": true, "reconnect": [0] });
        client.command("build", options).await;
        client.command("on", json!({ "target": "S", "count": 1 })).await;
        let started = client.command("start", json!({})).await;
        client.command("send", json!({ "target": "PushSeries", "arguments": ["S", 200, 2] })).await;
        for n in 0..200 {
            if n % 60 == 30 {
                // Cut once more while it resumes, the client gives up: a call that is answered says that it is up again.
                let sum = client.command("invoke", json!({ "target": "Add", "arguments": [n, 1] })).await;
                assert_eq!(sum, n + 1, "{protocol}");
                cutter.cut();
            }
            client.command("send", json!({ "target": "Record", "arguments": [protocol, n] })).await;
        }
        for n in 0..200 {
            assert_eq!(client.message("S").await, json!([n]), "{protocol}");
        }
        let recorded =
            client.command("invoke", json!({ "target": "Recorded", "arguments": [protocol] })).await;
        let recorded = recorded.to_string().to_lowercase();
        assert!(recorded.contains("\"count\":200") && recorded.contains("\"inorder\":true"), "{recorded}");
        assert_eq!(client.command("state", json!({})).await["connectionId"], started["connectionId"]);
        client.command("stop", json!({})).await;
    }
}

#[tokio::test]
async fn an_app_server_with_a_managed_identity() {
    if !has_reference("an_app_server_with_a_managed_identity") {
        return;
    }
    // Access keys are good for nothing, so it is the identity that opens the service.
    let start = async |port: u16| {
        let identity = LocalManagedIdentity::system_assigned("tenant", "app").role(Role::SignalRAppServer);
        let builder = LocalService::builder().service_mode(ServiceMode::Default).local_auth(false);
        builder.managed_identity(identity).port(port).start().await.unwrap()
    };
    let local = start(0).await;
    let connection =
        format!("Endpoint=http://127.0.0.1;Port={};AuthType=azure.msi;Version=1.0;", local.port());
    let environment = [
        ("IDENTITY_ENDPOINT", local.identity_endpoint()),
        ("IDENTITY_HEADER", local.identity_header().to_owned()),
    ];
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    let server = AppServer::start_in(&connection, &[], &environment).await;
    let client = Ours::connect(&server, "/hub", "ann", (Transport::WebSockets, HubProtocol::Json)).await;
    assert_eq!(client.hub.invoke::<i32>("Add", (1, 2)).await.unwrap(), 3);

    // A restart of the service leaves the app server what it has: its key and its token are kept for an hour.
    let port = local.port();
    client.hub.stop().await;
    local.stop().await;
    let _local = start(port).await;
    server.ready().await;
    let client = Ours::connect(&server, "/hub", "ann", (Transport::WebSockets, HubProtocol::Json)).await;
    assert_eq!(client.hub.invoke::<i32>("Add", (1, 2)).await.unwrap(), 3);
}

#[tokio::test]
async fn an_app_server_with_a_client_secret() {
    if !has_reference("an_app_server_with_a_client_secret") {
        return;
    }
    let application = EntraApplication::new("tenant", "app", "secret").role(Role::SignalRAppServer);
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".into()]).unwrap();
    let builder = LocalService::builder().service_mode(ServiceMode::Default).application(application);
    let local = builder.https(made.cert.pem(), made.signing_key.serialize_pem()).start().await.unwrap();
    let options = ["--tenant", "tenant", "--client", "app", "--secret", "secret"];
    let options = [&options[..], &["--authority", local.authority()]].concat();
    let server = AppServer::start_by("--entra", local.endpoint(), &options, &[]).await;
    let client = Ours::connect(&server, "/hub", "ann", (Transport::WebSockets, HubProtocol::Json)).await;
    assert_eq!(client.hub.invoke::<i32>("Add", (1, 2)).await.unwrap(), 3);
}

#[tokio::test]
async fn authentication_is_refreshed_by_an_app_server() {
    if !has_reference("authentication_is_refreshed_by_an_app_server") {
        return;
    }
    let local = local().await;
    let server = AppServer::start(&local.connection_string(), &[]).await;
    let current = Arc::new(Mutex::new(server.token("user=zoe&role=reader&ttl=60").await));
    let token = current.clone();
    let hub = HubConnection::builder(format!("{}/refreshing", server.url))
        .with_access_token(move || {
            std::future::ready(Ok::<_, std::convert::Infallible>(token.lock().unwrap().clone()))
        })
        .with_authentication_refresh(None)
        .connect()
        .await
        .unwrap();
    let id = hub.connection_id();
    let roles = async || hub.invoke::<Vec<String>>("Claims", ("role",)).await.unwrap();
    assert_eq!(roles().await, ["reader"]);
    *current.lock().unwrap() = server.token("user=zoe&role=writer").await;
    let lifetime = hub.refresh_authentication().await.unwrap().expect("it ends");
    assert!(lifetime > Duration::from_secs(3000), "{lifetime:?}");
    // The app server hears of it apart from the answer.
    let begun = Instant::now();
    while roles().await != ["writer"] {
        assert!(begun.elapsed() < PATIENCE, "the hub has the old claims");
    }
    for (query, reason) in
        [("user=eve", "permission_change_rejected"), ("user=zoe&role=refused", "permission_change_rejected")]
    {
        *current.lock().unwrap() = server.token(query).await;
        let error = hub.refresh_authentication().await.unwrap_err();
        assert!(
            matches!(&error, RefreshError::Refused { status: 403, error: Some(text) } if text == reason),
            "{query}: {error:?}"
        );
    }
    assert_eq!((roles().await, hub.connection_id()), (vec!["writer".to_owned()], id));
}
