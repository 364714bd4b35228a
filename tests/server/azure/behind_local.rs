//! Behind the local service in default mode: every call by our clients and by the official ones, and a hub that servers in
//! Rust and in .NET have together.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use futures_channel::mpsc;
use futures_util::{StreamExt as _, stream};
use hubwire::{
    ConnectionError, HubConnection, HubProtocol, RefreshError, Transport, Upload,
    local::{EntraApplication, LocalService, Role, ServiceMode},
    server::{
        Caller, HubServer, Identity, Rejection,
        azure::{AzureSignalR, AzureSignalRError, GracefulShutdown, ServerStickyMode},
        error::{ClientResultError, SendError},
    },
    service::{ServiceEndpoint, credentials::ClientSecret},
};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::support::{Client, HUB, Ours, PATIENCE, Program, has_reference};
use crate::{
    conformance,
    conformance_hub::{conformance_hub, serve},
    support::{cutter::Cutter, dotnet::Dotnet},
};

const WAYS: [(Transport, HubProtocol); 5] = [
    (Transport::WebSockets, HubProtocol::Json),
    (Transport::WebSockets, HubProtocol::MessagePack),
    (Transport::ServerSentEvents, HubProtocol::Json),
    (Transport::LongPolling, HubProtocol::Json),
    (Transport::LongPolling, HubProtocol::MessagePack),
];

const SOCKET: (Transport, HubProtocol) = WAYS[0];

async fn local() -> LocalService {
    LocalService::builder().service_mode(ServiceMode::Default).start().await.unwrap()
}

fn azure(local: &LocalService) -> AzureSignalR {
    AzureSignalR::from_connection_string(HUB, &local.connection_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn our_clients_do_everything() {
    let local = local().await;
    let server = Ours::start(azure(&local)).await;
    for way in WAYS {
        let mut client = Client::connect(&server.url, "ann", way).await;
        let name = format!("{way:?}");
        let (hub, clients) = (&client.hub, server.hub.clients());
        assert_eq!(hub.invoke::<i32>("Add", (40, 2)).await.unwrap(), 42, "{name}");
        let text = "ü\n👋".repeat(3000);
        assert_eq!(hub.invoke::<Value>("Echo", (&text,)).await.unwrap(), json!(text), "{name}");
        hub.invoke::<()>("Throw", ()).await.unwrap_err();
        let items: Vec<i32> =
            hub.stream::<i32>("Counter", (5, 0)).await.unwrap().map(Result::unwrap).collect().await;
        assert_eq!(items, [0, 1, 2, 3, 4], "{name}");
        let upload = Upload::new(stream::iter(0..500));
        assert_eq!(hub.invoke::<i64>("UploadSum", (upload,)).await.unwrap(), 124_750, "{name}");

        // What a method sends comes in order, and before its result.
        hub.invoke::<()>("PushNumbers", ("News", 100)).await.unwrap();
        for number in 0..100 {
            assert_eq!(client.news().await, number, "{name}");
        }
        let hub = &client.hub;
        hub.invoke::<()>("Join", (&name,)).await.unwrap();
        hub.send("ToGroup", (&name, "News", "group")).await.unwrap();
        assert_eq!(client.news().await, "group", "{name}");
        let id = client.id();
        assert_eq!(
            server.hub.groups().members(&name, None, 10).await.unwrap(),
            [(id.clone(), Some("ann".to_owned()))]
        );
        assert!(server.hub.groups().members(&name, Some(&id), 10).await.unwrap().is_empty());
        clients.user("ann").send("News", ("user",)).await.unwrap();
        assert_eq!(client.news().await, "user", "{name}");
        clients.user("ann").except([&id]).send("News", ("not this one",)).await.unwrap();
        clients.all().except([&id]).send("News", ("nor this",)).await.unwrap();
        clients.group(&name).except([&id]).send("News", ("or this",)).await.unwrap();
        clients.groups([&name, &name]).send("News", ("groups",)).await.unwrap();
        assert_eq!(client.news().await, "groups", "{name}");
        clients.users(["ann", "bob"]).send("News", ("users",)).await.unwrap();
        assert_eq!(client.news().await, "users", "{name}");
        clients.clients([&id, "nobody"]).send("News", ("clients",)).await.unwrap();
        assert_eq!(client.news().await, "clients", "{name}");
        server.hub.groups().remove(&id, &name).await.unwrap();
        assert!(server.hub.groups().members(&name, None, 10).await.unwrap().is_empty());
        assert!(!server.hub.groups().add("nobody", &name).await.unwrap());
        let asked: String = clients.client(&id).invoke("Question", ("what",)).await.unwrap();
        assert_eq!(asked, "what!", "{name}");
        let nobody = clients.client("nobody").invoke::<String>("Question", ("what",)).await;
        assert_eq!(nobody, Err(ClientResultError::NotConnected), "{name}");

        client.hub.send("Close", ()).await.unwrap();
        let closed = timeout(PATIENCE, client.hub.closed()).await.expect("it is closed");
        assert!(matches!(closed, ConnectionError::ServerClosed { allow_reconnect: false, .. }), "{closed:?}");
    }
}

async fn compare(client: fn() -> Dotnet, transport: &str, protocol: &str) {
    let local = local().await;
    let behind = |name: &str| AzureSignalR::from_connection_string(name, &local.connection_string());
    let hub = conformance_hub().azure(behind("hub")).unwrap().build();
    let detailed = conformance_hub().detailed_errors().azure(behind("detailed")).unwrap().build();
    // Negotiate waits for five seconds only.
    for hub in [&hub, &detailed] {
        timeout(PATIENCE, hub.ready()).await.expect("a server connection");
    }
    let ours = serve([("/hub", hub), ("/detailed", detailed)]).await;
    conformance::compare_at(&ours, client, transport, protocol).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_those_of_asp_net_core() {
    compare(Dotnet::spawn, "webSockets", "json").await;
    compare(Dotnet::spawn_11, "webSockets", "messagepack").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_those_of_asp_net_core_over_other_transports() {
    compare(Dotnet::spawn_11, "serverSentEvents", "json").await;
    compare(Dotnet::spawn, "longPolling", "messagepack").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_share_a_hub_and_a_third_takes_their_clients() {
    let local = local().await;
    let sticky = |azure: AzureSignalR| azure.server_sticky_mode(ServerStickyMode::Preferred);
    let moving = azure(&local).graceful_shutdown(GracefulShutdown::MigrateClients, PATIENCE);
    let one = Ours::start(sticky(moving)).await;
    let two = Ours::start(sticky(azure(&local))).await;
    let mut ann = Client::connect(&one.url, "ann", SOCKET).await;
    let mut bob = Client::connect(&two.url, "bob", (Transport::LongPolling, HubProtocol::MessagePack)).await;

    // What one server's client waits for, the other's gives.
    for (server, other) in [(&one, bob.id()), (&two, ann.id())] {
        let asked: String = server.hub.clients().client(&other).invoke("Question", ("over",)).await.unwrap();
        assert_eq!(asked, "over!");
        let refused = server.hub.clients().client(&other).invoke::<String>("Nobody", ()).await;
        assert!(matches!(refused, Err(ClientResultError::Client(_))), "{refused:?}");
        assert!(server.hub.groups().add(&other, "g").await.unwrap());
    }
    one.hub.clients().group("g").send("News", ("group",)).await.unwrap();
    two.hub.clients().users(["ann", "bob"]).send("News", ("users",)).await.unwrap();
    for client in [&mut ann, &mut bob] {
        let mut heard = [client.news().await, client.news().await];
        heard.sort_by_key(Value::to_string);
        assert_eq!(heard, ["group", "users"]);
    }

    // The first one leaves: its client goes on at the other, and is told nothing.
    one.hub.shut_down_gracefully().await;
    let id = ann.id();
    assert_eq!(ann.hub.invoke::<i32>("Add", (1, 2)).await.unwrap(), 3);
    ann.hub.send("ToAll", ("News", "moved")).await.unwrap();
    assert_eq!((ann.news().await, bob.news().await), (json!("moved"), json!("moved")));
    assert_eq!(ann.id(), id);
    let asked: String = two.hub.clients().client(&id).invoke("Question", ("moved",)).await.unwrap();
    assert_eq!(asked, "moved!");
    let late = one.hub.clients().all().send("News", ("late",)).await;
    assert!(matches!(late, Err(SendError::Unreachable(_))), "{late:?}");

    // The other one just stops: clients are told that they may come back.
    two.hub.shut_down().await;
    for client in [ann, bob] {
        let closed = timeout(PATIENCE, client.hub.closed()).await.expect("it is closed");
        assert!(matches!(closed, ConnectionError::ServerClosed { allow_reconnect: true, .. }), "{closed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_in_rust_and_in_net_share_a_hub() {
    if !has_reference("servers_in_rust_and_in_net_share_a_hub") {
        return;
    }
    let local = local().await;
    let settings = azure(&local)
        .server_sticky_mode(ServerStickyMode::Preferred)
        .graceful_shutdown(GracefulShutdown::MigrateClients, PATIENCE);
    let rust = Ours::start(settings).await;
    let options = ["--shutdown", "migrate", "--sticky", "preferred"];
    let net = Program::app_server(&local.connection_string(), &options).await;
    let token = net.get("/token?user=bob").await;
    let mut ann = Client::connect(&rust.url, "ann", SOCKET).await;
    let mut bob = Client::connect(
        &format!("{}/hub", net.url),
        &token,
        (Transport::WebSockets, HubProtocol::MessagePack),
    )
    .await;
    let (ann_id, bob_id) = (ann.id(), bob.id());

    let asked: String = rust.hub.clients().client(&bob_id).invoke("Question", ("rust",)).await.unwrap();
    assert_eq!(asked, "rust!");
    assert_eq!(net.ask(&ann_id).await, (200, "net!".to_owned()));
    assert!(rust.hub.groups().add(&bob_id, "g").await.unwrap());
    assert_eq!(net.post(&format!("/groups/g/{ann_id}")).await.0, 200);
    ann.hub.send("ToGroup", ("g", "News", "from rust")).await.unwrap();
    bob.hub.send("ToGroup", ("g", "News", "from net")).await.unwrap();
    for client in [&mut ann, &mut bob] {
        let mut heard = [client.news().await, client.news().await];
        heard.sort_by_key(Value::to_string);
        assert_eq!(heard, ["from net", "from rust"]);
    }
    assert_eq!(net.post("/send/user/News?to=ann&argument=you").await.0, 200);
    assert_eq!(ann.news().await, "you");
    rust.hub.clients().user("bob").send("News", ("you",)).await.unwrap();
    assert_eq!(bob.news().await, "you");

    // Each takes over the other's clients.
    rust.hub.shut_down_gracefully().await;
    assert_eq!(ann.hub.invoke::<i32>("Add", (1, 2)).await.unwrap(), 3);
    let again = Ours::start(azure(&local)).await;
    assert_eq!(net.stop().await, Some(0));
    for (client, id) in [(&mut ann, ann_id), (&mut bob, bob_id)] {
        assert_eq!(client.hub.invoke::<i32>("Add", (3, 4)).await.unwrap(), 7);
        assert_eq!(client.id(), id);
        let asked: String = again.hub.clients().client(&id).invoke("Question", ("again",)).await.unwrap();
        assert_eq!(asked, "again!");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_who_the_hub_has_found_it_to_be() {
    let application = EntraApplication::new("tenant", "application", "secret").role(Role::SignalRAppServer);
    let local = LocalService::builder().service_mode(ServiceMode::Default).application(application);
    let local = local.start().await.unwrap();
    let credential = ClientSecret::new("tenant", "application", "secret").authority(local.authority());
    let endpoint = ServiceEndpoint::new(local.endpoint(), credential).unwrap();
    let azure =
        AzureSignalR::new("who", [endpoint]).application_name("App").claims_provider(|request, identity| {
            let roles = identity.claims().map(|(name, value)| (name.to_owned(), value.to_owned()));
            roles.chain([("path".to_owned(), request.uri().path().to_owned())]).collect()
        });
    let hub = HubServer::builder()
        .authenticate(|_| async { Ok(Identity::user("ann").claim("role", "a").claim("role", "b")) })
        .on("Who", |caller: Caller, claim: String| async move {
            let claims: Vec<String> = caller.claims(&claim).map(str::to_owned).collect();
            Ok((caller.user_id().map(str::to_owned), claims, caller.query("colour").map(str::to_owned)))
        });
    let server = Ours::of(hub, azure).await;
    let client = HubConnection::builder(format!("{}?colour=blue", server.url)).connect().await.unwrap();
    type Who = (Option<String>, Vec<String>, Option<String>);
    let who = async |claim: &str| client.invoke::<Who>("Who", (claim,)).await.unwrap();
    let (user, roles, colour) = who("role").await;
    assert_eq!((user.as_deref(), colour.as_deref()), (Some("ann"), Some("blue")));
    assert_eq!(roles, ["a", "b"]);
    assert_eq!(who("path").await.1, ["/negotiate"]);
    assert_eq!(who("aud").await.1, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_is_not_connected_says_so() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let text = format!("Endpoint=http://127.0.0.1;Port={unused};AccessKey=key;Version=1.0;");
    let hub = conformance_hub().azure(AzureSignalR::from_connection_string(HUB, &text)).unwrap().build();
    let url = serve([("/hub", hub.clone())]).await + "/hub";
    let refused = timeout(PATIENCE, HubConnection::builder(url).connect()).await.unwrap().unwrap_err();
    assert_eq!(refused.status(), Some(503), "{refused:?}");
    let sent = hub.clients().all().send("News", ("lost",)).await;
    assert!(matches!(sent, Err(SendError::Unreachable(_))), "{sent:?}");
    let joined = timeout(Duration::from_secs(15), hub.groups().add("c", "g")).await.unwrap();
    assert!(matches!(joined, Err(SendError::Unreachable(_))), "{joined:?}");
}

#[test]
fn what_is_wrong_with_the_settings_is_said_at_once() {
    let refused = |azure| HubServer::builder().azure(azure).map(drop).unwrap_err();
    let text = "Endpoint=https://contoso.service.signalr.net;AccessKey=key;Version=1.0;";
    let error = refused(AzureSignalR::from_connection_string("not a name", text));
    assert!(matches!(error, AzureSignalRError::HubName { .. }), "{error:?}");
    let error = refused(AzureSignalR::from_connection_string("chat", "Endpoint=nowhere"));
    assert!(matches!(error, AzureSignalRError::Endpoint(_)), "{error:?}");
    let error = refused(AzureSignalR::new("chat", []));
    assert!(matches!(error, AzureSignalRError::NoPrimaryEndpoint), "{error:?}");
    let error = refused(AzureSignalR::from_connection_string("chat", text).application_name("1st"));
    assert!(matches!(error, AzureSignalRError::ApplicationName), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn authentications_are_refreshed() {
    let local = local().await;
    let hub = HubServer::builder()
        .authenticate(|request| {
            let token = request.access_token().unwrap_or_default().to_owned();
            async move {
                let (user, role) = token.split_once('/').ok_or_else(Rejection::unauthorized)?;
                let ends = SystemTime::now() + Duration::from_secs(if role == "reader" { 60 } else { 1800 });
                Ok(Identity::user(user).claim("role", role).expires(ends))
            }
        })
        .enable_authentication_refresh()
        .on_authentication_refresh(|refresh| async move {
            refresh.previous().has_claim("role", "reader")
                && !refresh.new_identity().has_claim("role", "refused")
        })
        .on_authentication_refreshed(|caller: Caller| async move {
            let roles: Vec<String> = caller.claims("role").map(str::to_owned).collect();
            let _ = caller.clients().caller().send("News", (roles,)).await;
        })
        .on("Roles", |caller: Caller| async move {
            Ok(caller.claims("role").map(str::to_owned).collect::<Vec<_>>())
        });
    let server = Ours::of(hub, azure(&local)).await;
    let current = Arc::new(Mutex::new("zoe/reader"));
    let (token, (tell, mut news)) = (current.clone(), mpsc::unbounded());
    let hub = HubConnection::builder(&server.url)
        .with_access_token(move || {
            std::future::ready(Ok::<_, std::convert::Infallible>(token.lock().unwrap().to_owned()))
        })
        .with_authentication_refresh(None)
        .on("News", move |news: Value| drop(tell.unbounded_send(news)))
        .connect()
        .await
        .unwrap();
    let id = hub.connection_id();
    let roles = async || hub.invoke::<Vec<String>>("Roles", ()).await.unwrap();
    assert_eq!(roles().await, ["reader"]);
    for refused in ["eve/writer", "zoe/refused"] {
        *current.lock().unwrap() = refused;
        let error = hub.refresh_authentication().await.unwrap_err();
        assert!(
            matches!(&error, RefreshError::Refused { status: 403, error: Some(text) } if text == "permission_change_rejected"),
            "{refused}: {error:?}"
        );
    }
    *current.lock().unwrap() = "zoe/writer";
    let lifetime = hub.refresh_authentication().await.unwrap().expect("it ends");
    assert!(lifetime > Duration::from_secs(1700) && lifetime <= Duration::from_secs(1800), "{lifetime:?}");
    // The hub hears of it apart from the answer.
    let heard = timeout(PATIENCE, news.next()).await.expect("the hub hears of it").unwrap();
    assert_eq!(heard, json!(["writer"]));
    assert_eq!((roles().await, hub.connection_id()), (vec!["writer".to_owned()], id));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_endpoints_are_one_hub() {
    let (east, west) = (local().await, local().await);
    let at = |local: &LocalService, weight: u32| {
        ServiceEndpoint::from_connection_string(&local.connection_string()).unwrap().weighted(weight)
    };
    let start = async |weights: [u32; 2]| {
        let endpoints = [at(&east, weights[0]).named("east"), at(&west, weights[1]).named("west")];
        let azure = AzureSignalR::new(HUB, endpoints).server_sticky_mode(ServerStickyMode::Preferred);
        Ours::start(azure).await
    };
    // Each sends its clients to another endpoint, and has server connections to both.
    let (one, two) = (start([1, 0]).await, start([0, 1]).await);
    let mut ann = Client::connect(&one.url, "ann", SOCKET).await;
    let mut bob = Client::connect(&two.url, "bob", SOCKET).await;
    let clients = one.hub.clients();
    let asked: String = clients.client(bob.id()).invoke("Question", ("far",)).await.unwrap();
    assert_eq!(asked, "far!");
    let nobody = clients.client("nobody").invoke::<String>("Question", ("far",)).await;
    assert_eq!(nobody, Err(ClientResultError::NotConnected));
    for id in [ann.id(), bob.id()] {
        assert!(one.hub.groups().add(&id, "g").await.unwrap());
    }
    let members = two.hub.groups().members("g", None, 10).await.unwrap();
    assert_eq!(members.len(), 2, "{members:?}");
    clients.group("g").send("News", ("both",)).await.unwrap();
    ann.hub.send("ToUser", ("bob", "News", "bob")).await.unwrap();
    assert_eq!(ann.news().await, "both");
    // They come from two places.
    let mut heard = [bob.news().await, bob.news().await];
    heard.sort_by_key(Value::to_string);
    assert_eq!(heard, ["bob", "both"]);

    // Without the other endpoint, clients go to the one that is left.
    drop(west);
    timeout(PATIENCE, bob.hub.closed()).await.expect("its endpoint is gone");
    let begun = Instant::now();
    while let Err(error) = HubConnection::builder(&two.url).connect().await {
        assert!(begun.elapsed() < PATIENCE, "clients are still sent to the endpoint that is gone: {error:?}");
    }
    let mut eve = Client::connect(&two.url, "eve", SOCKET).await;
    two.hub.clients().all().send("News", ("left",)).await.unwrap();
    assert_eq!((ann.news().await, eve.news().await), (json!("left"), json!("left")));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_a_stateful_client_is_cut() {
    const COUNT: u32 = 150;
    let local = local().await;
    let cutter = Cutter::start(local.port()).await;
    let text = format!("{}ClientEndpoint=http://127.0.0.1:{};", local.connection_string(), cutter.port);
    let hub = conformance_hub().allow_stateful_reconnects();
    let server = Ours::of(hub, AzureSignalR::from_connection_string(HUB, &text)).await;
    for &protocol in HubProtocol::ALL {
        let (tell, mut heard) = mpsc::unbounded();
        let hub = HubConnection::builder(&server.url)
            .with_protocol(protocol)
            .with_stateful_reconnect()
            .on("News", move |number: u32| drop(tell.unbounded_send(number)))
            .connect()
            .await
            .unwrap();
        let (id, before) = (hub.connection_id(), cutter.opened());
        let pushing = hub.invoke::<()>("PushNumbers", ("News", COUNT));
        let adding = async {
            for number in 0..60 {
                if number % 20 == 10 {
                    cutter.cut();
                }
                let sum = timeout(PATIENCE, hub.invoke::<i32>("Add", (number, 1))).await;
                assert_eq!(sum.expect("it goes on").unwrap(), number + 1, "{protocol:?}");
            }
        };
        let (pushed, ()) = tokio::join!(pushing, adding);
        pushed.unwrap();
        for number in 0..COUNT {
            let next = timeout(PATIENCE, heard.next()).await.expect("nothing is lost");
            assert_eq!(next, Some(number), "{protocol:?}");
        }
        assert_eq!(hub.connection_id(), id);
        assert!(cutter.opened() >= before + 3, "{} sockets", cutter.opened());
        hub.stop().await;
    }
}
