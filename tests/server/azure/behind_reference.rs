//! Behind the small service on the official protocol library: what the official app server is tried with, by a hub in Rust.

use std::time::{Duration, Instant, SystemTime};

use hubwire::{
    ConnectionEvent, HubConnection, HubProtocol, RetryPolicy, Transport,
    server::{
        Caller, HubServer, Identity, Rejection,
        azure::{AzureSignalR, GracefulShutdown, ServerStickyMode},
    },
    service::{
        ServiceEndpoint,
        credentials::{ClientSecret, ManagedIdentity},
    },
};
use serde_json::{Value, json};
use tokio::{sync::mpsc, time::timeout};

use super::support::{Client, HUB, Ours, PATIENCE, Program, has_reference};
use crate::support::dotnet::Dotnet;

const SOCKET: (Transport, HubProtocol) = (Transport::WebSockets, HubProtocol::Json);

async fn service(more: &[&str]) -> Program {
    Program::start(&[&["service"], more].concat()).await
}

fn azure(service: &Program) -> AzureSignalR {
    AzureSignalR::from_connection_string(HUB, service.said["connectionString"].as_str().expect("a text"))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_and_official_clients() {
    if !has_reference("two_servers_and_official_clients") {
        return;
    }
    let service = service(&[]).await;
    let preferred = |azure: AzureSignalR| azure.server_sticky_mode(ServerStickyMode::Preferred);
    let moving = azure(&service).graceful_shutdown(GracefulShutdown::MigrateClients, PATIENCE);
    let one = Ours::start(preferred(moving)).await;
    let waiting = azure(&service).graceful_shutdown(GracefulShutdown::WaitForClientsClose, PATIENCE);
    let two = Ours::start(preferred(waiting)).await;

    let (mut ann, mut bob) = (Dotnet::spawn(), Dotnet::spawn_11());
    let mut ids = Vec::new();
    for (client, url, token, protocol) in
        [(&mut ann, &one.url, "ann", "json"), (&mut bob, &two.url, "bob", "messagepack")]
    {
        let options = json!({ "url": url, "token": token, "protocol": protocol, "transport": "webSockets" });
        client.command("build", options).await;
        client.command("on", json!({ "target": "News", "count": 1 })).await;
        client.command("answer", json!({ "target": "Question", "count": 1, "result": "from afar" })).await;
        let id = client.command("start", json!({})).await["connectionId"].as_str().unwrap().to_owned();
        let who = client.command("invoke", json!({ "target": "WhoAmI" })).await;
        let who = who.as_object().unwrap().values().cloned().collect::<Vec<_>>();
        assert!(who.contains(&json!(id)) && who.contains(&json!(token)), "{who:?}");
        ids.push(id);
    }
    for server in [&two, &one] {
        for id in &ids {
            let asked: String = server.hub.clients().client(id).invoke("Question", ("q",)).await.unwrap();
            assert_eq!(asked, "from afar");
        }
    }
    assert!(one.hub.groups().add(&ids[1], "g").await.unwrap());
    let members = two.hub.groups().members("g", None, 10).await.unwrap();
    assert_eq!(members, [(ids[1].clone(), Some("bob".to_owned()))]);
    ann.command("send", json!({ "target": "ToGroup", "arguments": ["g", "News", "over"] })).await;
    assert_eq!(bob.message("News").await, json!(["over"]));
    two.hub.clients().user("ann").send("News", ("you",)).await.unwrap();
    assert_eq!(ann.message("News").await, json!(["you"]));

    // One moves its clients without a word to them, the other waits for them.
    one.hub.shut_down_gracefully().await;
    ann.command("send", json!({ "target": "ToAll", "arguments": ["News", "moved"] })).await;
    assert_eq!(ann.message("News").await, json!(["moved"]));
    assert_eq!(bob.message("News").await, json!(["moved"]));
    assert_eq!(ann.command("state", json!({})).await["connectionId"], json!(ids[0]));
    let stopping = tokio::spawn({
        let hub = two.hub.clone();
        async move { hub.shut_down_gracefully().await }
    });
    let sum = bob.command("invoke", json!({ "target": "Add", "arguments": [1, 2] })).await;
    assert_eq!(sum, json!(3));
    assert!(!stopping.is_finished());
    ann.command("stop", json!({})).await;
    bob.command("stop", json!({})).await;
    timeout(PATIENCE, stopping).await.expect("it has waited for its clients").unwrap();
    assert_eq!(service.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_come_back_when_server_connections_are_cut() {
    if !has_reference("clients_come_back_when_server_connections_are_cut") {
        return;
    }
    let service = service(&[]).await;
    let server = Ours::start(azure(&service)).await;
    let (tell, mut events) = mpsc::unbounded_channel();
    let hub = HubConnection::builder(&server.url)
        .with_automatic_reconnect(RetryPolicy::delays([0, 500, 1000, 2000, 4000].map(Duration::from_millis)))
        .on_event(move |event| {
            let _ = tell.send(matches!(event, ConnectionEvent::Reconnected { .. }));
        })
        .connect()
        .await
        .unwrap();
    assert_eq!(hub.invoke::<i32>("Add", (1, 2)).await.unwrap(), 3);
    assert_eq!(service.post("/do/cut").await.0, 200);
    while !timeout(PATIENCE, events.recv()).await.expect("it comes back").unwrap() {}
    assert_eq!(hub.invoke::<i32>("Add", (1, 2)).await.unwrap(), 3);

    // What is said of each message, the official SDK says as well.
    let log: Value = serde_json::from_str(&service.get("/log").await).unwrap();
    let text = log.to_string();
    for expected in ["OpenConnection", "ConnectionData", "HandshakeRequest"] {
        assert!(text.contains(expected), "{expected} is not in the log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn microsoft_entra_opens_the_server_connections() {
    if !has_reference("microsoft_entra_opens_the_server_connections") {
        return;
    }
    let service = service(&["--entra"]).await;
    let tenant = "11111111-2222-3333-4444-555555555555";
    let secret = ClientSecret::new(tenant, "app", "secret").authority(service.url.as_str());
    let identity =
        ManagedIdentity::system_assigned().app_service(format!("{}/msi/token", service.url), "any");
    for endpoint in [ServiceEndpoint::new(&service.url, secret), ServiceEndpoint::new(&service.url, identity)]
    {
        let server = Ours::start(AzureSignalR::new(HUB, [endpoint.unwrap()])).await;
        let client = Client::connect(&server.url, "ann", SOCKET).await;
        assert_eq!(client.hub.invoke::<i32>("Add", (1, 2)).await.unwrap(), 3);
        server.hub.shut_down().await;
    }
}

/// A message of the service protocol about a client, with its length: an array that begins with its type and the client.
fn about(kind: u8, id: &str, count: u8, rest: &[u8]) -> Vec<u8> {
    let mut body = vec![0x90 + count, kind, 0xd9, u8::try_from(id.len()).unwrap()];
    body.extend_from_slice(id.as_bytes());
    body.extend_from_slice(rest);
    let length = body.len();
    let mut message = vec![u8::try_from(length & 0x7f).unwrap() | 0x80, u8::try_from(length >> 7).unwrap()];
    message.append(&mut body);
    message
}

fn data(id: &str, text: &str, is_partial: bool) -> Vec<u8> {
    let mut rest = vec![0xc4, u8::try_from(text.len()).unwrap()];
    rest.extend_from_slice(text.as_bytes());
    rest.extend_from_slice(if is_partial { &[0x81, 6, 0xc3] } else { &[0x80] });
    about(6, id, 4, &rest)
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_paused_and_go_on() {
    if !has_reference("clients_are_paused_and_go_on") {
        return;
    }
    let service = service(&[]).await;
    let server = Ours::start(azure(&service)).await;
    let mut client = Client::connect(&server.url, "ann", SOCKET).await;
    let id = client.id();

    // A client that is moved gets nothing of its own stream until it goes on. What is sent to it comes all the same.
    let flow = |operation: u8| about(39, &id, 5, &[1, operation, 0x80]);
    service.post_bytes("/do/send", flow(1)).await;
    service.log_has("\"operation\":2").await;
    let hub = client.hub.clone();
    let mut sum = tokio::spawn(async move { hub.invoke::<i32>("Add", (1, 2)).await.unwrap() });
    server.hub.clients().user("ann").send("News", ("meanwhile",)).await.unwrap();
    assert_eq!(client.news().await, "meanwhile");
    assert!(timeout(Duration::from_millis(300), &mut sum).await.is_err(), "the answer has to wait");
    service.post_bytes("/do/send", flow(3)).await;
    assert_eq!(timeout(PATIENCE, sum).await.expect("it goes on").unwrap(), 3);

    // What a client has sent in parts when its socket was lost, it sends anew.
    let call = "{\"type\":1,\"target\":\"ToAll\",\"arguments\":[\"News\",\"whole\"]}\u{1e}";
    let (first, second) = call.split_at(20);
    let sent = [
        data(&id, "{\"type\":1,\"tar", true),
        about(38, &id, 3, &[0x80]),
        data(&id, first, true),
        data(&id, second, false),
    ];
    service.post_bytes("/do/send", sent.concat()).await;
    assert_eq!(client.news().await, "whole");
    assert_eq!(client.hub.invoke::<i32>("Add", (3, 4)).await.unwrap(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_client_refreshes_its_authentication() {
    if !has_reference("the_official_client_refreshes_its_authentication") {
        return;
    }
    let service = service(&[]).await;
    let hub = HubServer::builder()
        .authenticate(|request| {
            let token = request.access_token().unwrap_or_default().to_owned();
            async move {
                let (user, role) = token.split_once('/').ok_or_else(Rejection::unauthorized)?;
                let ends = SystemTime::now() + Duration::from_secs(3600);
                Ok(Identity::user(user).claim("role", role).expires(ends))
            }
        })
        .enable_authentication_refresh()
        .on("Roles", |caller: Caller| async move {
            Ok(caller.claims("role").map(str::to_owned).collect::<Vec<_>>())
        });
    let server = Ours::of(hub, azure(&service)).await;
    let mut client = Dotnet::spawn_11();
    let options = json!({ "url": server.url, "token": "zoe/reader", "transport": "webSockets" });
    client.command("build", options).await;
    client.command("start", json!({})).await;
    client.command("token", json!({ "value": "zoe/writer" })).await;
    let lifetime = client.command("refresh", json!({})).await.as_f64().unwrap();
    assert!(lifetime > 3000.0, "{lifetime}");
    let begun = Instant::now();
    while client.command("invoke", json!({ "target": "Roles" })).await != json!(["writer"]) {
        assert!(begun.elapsed() < PATIENCE, "the hub has the old claims");
    }
    client.command("token", json!({ "value": "eve/writer" })).await;
    let refused = client.outcome("refresh", json!({})).await;
    assert_eq!(refused["error"]["status"], 403, "{refused}");
    assert_eq!(client.command("invoke", json!({ "target": "Roles" })).await, json!(["writer"]));
}
