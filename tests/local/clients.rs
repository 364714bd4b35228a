//! The local service with clients of every kind, protocol and transport: ours, and the official ones of JavaScript and
//! .NET, which prove it right from outside.
#![cfg(all(feature = "local", feature = "msgpack"))]

use std::{convert::Infallible, path::Path, process::Stdio, time::Duration};

use crate::support::dotnet::Dotnet;
use futures_channel::mpsc;
use futures_util::StreamExt;
use hubwire::{
    HubConnection, HubProtocol, Transport,
    local::LocalService,
    service::{
        ClientAccess, HubClient, NegotiateOptions, ServiceClient, ServiceEndpoint, credentials::AccessKey,
        upstream::UpstreamRouter,
    },
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// A transport by the names that Rust, the JavaScript client and the .NET driver have for it, and a protocol.
type Way = (Transport, &'static str, &'static str, HubProtocol);

const WAYS: &[Way] = &[
    (Transport::WebSockets, "WebSockets", "webSockets", HubProtocol::Json),
    (Transport::WebSockets, "WebSockets", "webSockets", HubProtocol::MessagePack),
    (Transport::ServerSentEvents, "ServerSentEvents", "serverSentEvents", HubProtocol::Json),
    (Transport::LongPolling, "LongPolling", "longPolling", HubProtocol::Json),
    (Transport::LongPolling, "LongPolling", "longPolling", HubProtocol::MessagePack),
];

/// A local service with an upstream that doubles numbers and tells who has left.
struct World {
    _local: LocalService,
    hub: HubClient,
    left: mpsc::UnboundedReceiver<String>,
}

impl World {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/upstream", listener.local_addr().unwrap());
        let (sender, left) = mpsc::unbounded();
        let upstream = UpstreamRouter::new()
            .access_key(&AccessKey::new(LocalService::EMULATOR_ACCESS_KEY))
            .unwrap()
            .on_message("chat", "Double", |message| async move {
                let (number,): (u32,) = message.arguments()?;
                Ok(number * 2)
            })
            .on_disconnected("chat", move |client, _| {
                let _ = sender.unbounded_send(client.connection_id().to_owned());
                std::future::ready(())
            });
        let app = axum::Router::new().route_service("/upstream", upstream);
        tokio::spawn(async move { axum::serve(listener, app).await });
        let local = LocalService::builder().upstream(url).start().await.unwrap();
        let endpoint = ServiceEndpoint::from_connection_string(&local.connection_string()).unwrap();
        let hub = ServiceClient::builder().endpoint(endpoint).build().unwrap().hub("chat").unwrap();
        Self { _local: local, hub, left }
    }

    async fn access(&self) -> ClientAccess {
        self.hub.negotiate(NegotiateOptions::for_user("alice")).await.unwrap()
    }

    /// Everything that a client can get and do.
    async fn the_whole_way(&mut self, mut client: impl Client, way: &Way) {
        let id = client.id();
        let arguments = json!([1, "ü\n👋", { "a": [true, null, -0.5], "b": {} }]);
        let (first, second, third) = (&arguments[0], &arguments[1], &arguments[2]);
        self.hub.all().send("Push", (first, second, third)).await.unwrap();
        assert_eq!(client.heard().await, arguments, "{way:?}");
        let binary = self.hub.clone().message_pack();
        binary.user("alice").send("Push", (first, second, third)).await.unwrap();
        assert_eq!(client.heard().await, arguments, "{way:?}");
        let large = "x".repeat(300_000);
        for n in 0..20 {
            self.hub.connection(&id).send("Push", (n, &large, ())).await.unwrap();
        }
        for n in 0..20 {
            assert_eq!(client.heard().await, json!([n, large, null]), "{way:?}");
        }
        let asked = self.hub.connection(&id);
        let (sum, ()) = tokio::join!(asked.invoke::<u32>("Add", (1, 2)), client.answers());
        assert_eq!(sum.unwrap(), 3, "{way:?}");
        assert_eq!(client.call("Double", 21).await, json!(42), "{way:?}");
        client.stop().await;
        let left = timeout(PATIENCE, self.left.next()).await.expect("the upstream hears it");
        assert_eq!(left, Some(id), "{way:?}");
    }
}

/// A connected client that hears `Push` and answers `Add`.
trait Client {
    fn id(&self) -> String;
    /// The arguments of the next push.
    async fn heard(&mut self) -> Value;
    /// Lets a client answer that does not do so by itself.
    async fn answers(&mut self) {}
    async fn call(&mut self, method: &str, number: u32) -> Value;
    async fn stop(self);
}

struct Ours {
    connection: HubConnection,
    pushes: mpsc::UnboundedReceiver<Value>,
}

impl Ours {
    async fn connect(access: ClientAccess, &(transport, _, _, protocol): &Way) -> Self {
        let (sender, pushes) = mpsc::unbounded();
        let connection = HubConnection::builder(&access.url)
            .with_access_token(move || std::future::ready(Ok::<_, Infallible>(access.access_token.clone())))
            .with_transports(transport)
            .with_protocol(protocol)
            .on("Push", move |a: Value, b: Value, c: Value| {
                let _ = sender.unbounded_send(json!([a, b, c]));
            })
            .on_invoke("Add", |a: u32, b: u32| async move { Ok::<_, String>(a + b) })
            .connect()
            .await
            .unwrap();
        assert_eq!(connection.connection_info().unwrap().transport, transport);
        Self { connection, pushes }
    }
}

impl Client for Ours {
    fn id(&self) -> String {
        self.connection.connection_id().unwrap()
    }

    async fn heard(&mut self) -> Value {
        timeout(PATIENCE, self.pushes.next()).await.expect("a push comes").unwrap()
    }

    async fn call(&mut self, method: &str, number: u32) -> Value {
        self.connection.invoke(method, (number,)).await.unwrap()
    }

    async fn stop(self) {
        self.connection.stop().await;
    }
}

#[tokio::test]
async fn our_client() {
    let mut world = World::start().await;
    for way in WAYS {
        let client = Ours::connect(world.access().await, way).await;
        world.the_whole_way(client, way).await;
    }
}

/// The official JavaScript client in Node.js, driven by lines of JSON.
struct Node {
    _child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
    id: String,
}

impl Node {
    async fn connect(access: ClientAccess, &(_, transport, _, protocol): &Way) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/local.mjs");
        let mut child = Command::new("node")
            .arg(script)
            .args([transport, protocol.name()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut node = Self { _child: child, stdin, stdout, id: String::new() };
        node.say(&json!({ "url": access.url, "token": access.access_token })).await;
        node.id = node.line("connected").await.as_str().unwrap().to_owned();
        node
    }

    async fn say(&mut self, line: &Value) {
        self.stdin.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    /// The next line, which has to have this name.
    async fn line(&mut self, name: &str) -> Value {
        let line = timeout(PATIENCE, self.stdout.next_line()).await.expect("Node.js answers in time");
        let mut line: Value = serde_json::from_str(&line.unwrap().expect("Node.js goes on")).unwrap();
        assert!(line.get(name).is_some(), "expected {name}: {line}");
        line[name].take()
    }
}

impl Client for Node {
    fn id(&self) -> String {
        self.id.clone()
    }

    async fn heard(&mut self) -> Value {
        self.line("heard").await
    }

    async fn call(&mut self, method: &str, number: u32) -> Value {
        self.say(&json!({ "call": method, "number": number })).await;
        self.line("answer").await
    }

    async fn stop(mut self) {
        self.say(&json!({ "stop": true })).await;
        self.line("stopped").await;
    }
}

#[tokio::test]
async fn the_official_javascript_client() {
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("node_modules");
    if !modules.join("@microsoft/signalr-protocol-msgpack").is_dir() {
        let reason = "npm's @microsoft/signalr-protocol-msgpack is not installed; npm ci installs it";
        return crate::support::skipped("the_official_javascript_client", reason);
    }
    let mut world = World::start().await;
    for way in WAYS {
        let client = Node::connect(world.access().await, way).await;
        world.the_whole_way(client, way).await;
    }
}

struct Net {
    driver: Dotnet,
    id: String,
}

impl Net {
    async fn connect(access: ClientAccess, &(_, _, transport, protocol): &Way) -> Self {
        let mut driver = Dotnet::spawn();
        let (url, token, protocol) = (access.url, access.access_token, protocol.name());
        let options = json!({ "url": url, "token": token, "protocol": protocol, "transport": transport });
        driver.command("build", options).await;
        driver.command("on", json!({ "target": "Push", "count": 3 })).await;
        driver.command("answer", json!({ "target": "Add", "count": 2, "result": 3 })).await;
        let started = driver.command("start", json!({})).await;
        Self { driver, id: started["connectionId"].as_str().unwrap().to_owned() }
    }
}

impl Client for Net {
    fn id(&self) -> String {
        self.id.clone()
    }

    async fn heard(&mut self) -> Value {
        self.driver.message("Push").await
    }

    async fn call(&mut self, method: &str, number: u32) -> Value {
        self.driver.command("invoke", json!({ "target": method, "arguments": [number] })).await
    }

    async fn stop(mut self) {
        self.driver.command("stop", json!({})).await;
    }
}

#[tokio::test]
async fn the_official_dotnet_client() {
    if crate::support::reference_dir().is_none() {
        let reason = "no .NET client; HUBWIRE_REFERENCE_DIR names its folder";
        return crate::support::skipped("the_official_dotnet_client", reason);
    }
    let mut world = World::start().await;
    for way in WAYS {
        let client = Net::connect(world.access().await, way).await;
        world.the_whole_way(client, way).await;
    }
}
