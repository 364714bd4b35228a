//! Faults on demand, met by our client in both modes, over WebSockets and long polling, and set in Rust and over HTTP.
#![cfg(all(feature = "local", feature = "msgpack"))]

use std::time::{Duration, Instant};

use futures_channel::mpsc;
use futures_util::StreamExt;
use hubwire::{
    ConnectionError, HubConnection, HubProtocol, RetryPolicy, Transport,
    local::{Cut, FaultKind, FaultRule, FaultScope, KeyType, LocalService},
};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    modes::{MODES, World, until},
    wire::{KEY, Wire, user_token},
};

const TRANSPORTS: [Transport; 2] = [Transport::WebSockets, Transport::LongPolling];
const PATIENCE: Duration = Duration::from_secs(10);

/// A client that hears numbers.
struct Client {
    connection: HubConnection,
    numbers: mpsc::UnboundedReceiver<u32>,
}

impl Client {
    async fn connect(world: &World, transport: Transport) -> Self {
        let (sender, numbers) = mpsc::unbounded();
        let connection = world
            .client("alice", transport, HubProtocol::Json)
            .on("Number", move |number: u32| {
                let _ = sender.unbounded_send(number);
            })
            .connect()
            .await
            .unwrap();
        Self { connection, numbers }
    }

    async fn next(&mut self) -> u32 {
        timeout(PATIENCE, self.numbers.next()).await.expect("a number comes").unwrap()
    }

    async fn closed(self) -> ConnectionError {
        timeout(PATIENCE, self.connection.closed()).await.expect("it ends")
    }
}

async fn send(world: &World, number: u32) {
    world.wire.send("/api/hubs/chat/users/alice/:send", "Number", json!([number])).await;
}

fn message() -> FaultScope {
    FaultScope::of(FaultKind::Message)
}

#[tokio::test]
async fn messages_are_lost_and_delayed() {
    for mode in MODES {
        let world = World::start(mode, LocalService::builder()).await;
        let faults = world.wire.local.faults();
        for transport in TRANSPORTS {
            let mut client = Client::connect(&world, transport).await;
            let every = FaultRule::lose().when(message().hub("Chat").user("alice")).every(3);
            faults.set(vec![every]).unwrap();
            for number in 1..=7 {
                send(&world, number).await;
            }
            for number in [1, 2, 4, 5, 7] {
                assert_eq!(client.next().await, number, "{mode:?} {transport:?}");
            }
            assert_eq!(faults.rules()[0].1, 2, "{mode:?} {transport:?}");
            // Answers are not lost.
            assert_eq!(client.connection.invoke::<u32>("Double", (4,)).await.unwrap(), 8);

            let id = client.connection.connection_id().unwrap();
            let delay = Duration::from_millis(300);
            faults.set(vec![FaultRule::delay(delay).when(message().connection(id))]).unwrap();
            let begun = Instant::now();
            send(&world, 8).await;
            assert_eq!(client.next().await, 8);
            assert!(begun.elapsed() >= delay, "{mode:?} {transport:?}: {:?}", begun.elapsed());
            faults.clear();
            client.connection.stop().await;
        }
    }
}

#[tokio::test]
async fn connections_are_cut_in_every_way() {
    let all = FaultScope::new;
    for mode in MODES {
        let world = World::start(mode, LocalService::builder()).await;
        let faults = world.wire.local.faults();
        for transport in TRANSPORTS {
            let case = format!("{mode:?} {transport:?}");
            let client = Client::connect(&world, transport).await;
            assert_eq!(faults.cut(&all().user("bob"), &Cut::Silently), 0);
            assert_eq!(faults.cut(&all().hub("other"), &Cut::Silently), 0);
            assert_eq!(faults.cut(&all().group("g"), &Cut::Silently), 0);
            assert_eq!(faults.cut(&all().hub("CHAT").user("alice"), &Cut::Close), 1, "{case}");
            let closed = client.closed().await;
            let ended = matches!(closed, ConnectionError::ServerClosed { allow_reconnect: false, .. });
            assert!(ended, "{case}: {closed:?}");

            let client = Client::connect(&world, transport).await;
            let id = client.connection.connection_id().unwrap();
            world.wire.rest(Method::PUT, &format!("/api/hubs/chat/groups/g/connections/{id}"), None).await;
            assert_eq!(faults.cut(&all().group("g"), &Cut::Error("on demand".to_owned())), 1, "{case}");
            let closed = client.closed().await;
            assert!(closed.to_string().contains("on demand"), "{case}: {closed:?}");

            let client = Client::connect(&world, transport).await;
            let id = client.connection.connection_id().unwrap();
            assert_eq!(faults.cut(&all().connection(&id), &Cut::Expired), 1, "{case}");
            let closed = client.closed().await;
            let ended = matches!(closed, ConnectionError::ServerClosed { allow_reconnect: true, .. });
            assert!(ended, "{case}: {closed:?}");

            // Without a word: the client reconnects, with another connection.
            let client = world
                .client("alice", transport, HubProtocol::Json)
                .with_automatic_reconnect(RetryPolicy::new(|_| Some(Duration::from_millis(10))))
                .connect()
                .await
                .unwrap();
            let id = client.connection_id().unwrap();
            assert_eq!(faults.cut(&all(), &Cut::Silently), 1, "{case}");
            until("another connection", async || client.connection_id().is_some_and(|new| new != id)).await;
            client.stop().await;
        }
    }
}

#[tokio::test]
async fn requests_are_refused_delayed_and_expired() {
    for mode in MODES {
        let world = World::start(mode, LocalService::builder()).await;
        let faults = world.wire.local.faults();
        for transport in TRANSPORTS {
            let case = format!("{mode:?} {transport:?}");
            for kind in [FaultKind::Negotiate, FaultKind::Connect] {
                let when = || FaultScope::of(kind).hub("chat").user("alice");
                faults.set(vec![FaultRule::refuse(503).retry_after(7).when(when()).times(1)]).unwrap();
                let failed = world.client("alice", transport, HubProtocol::Json).connect().await.unwrap_err();
                assert!(format!("{failed:?}").contains("503"), "{case} {kind:?}: {failed:?}");
                // It has held as often as it may.
                let client = Client::connect(&world, transport).await;
                client.connection.stop().await;
                assert_eq!(faults.rules()[0].1, 1);

                faults.set(vec![FaultRule::expire().when(when())]).unwrap();
                let failed = world.client("alice", transport, HubProtocol::Json).connect().await.unwrap_err();
                assert!(format!("{failed:?}").contains("401"), "{case} {kind:?}: {failed:?}");
                let other = world.client("bob", transport, HubProtocol::Json).connect().await.unwrap();
                other.stop().await;

                let delay = Duration::from_millis(150);
                faults.set(vec![FaultRule::delay(delay).when(when())]).unwrap();
                let begun = Instant::now();
                Client::connect(&world, transport).await.connection.stop().await;
                assert!(begun.elapsed() >= delay, "{case} {kind:?}: {:?}", begun.elapsed());
                faults.clear();
            }
        }
        let path = "/api/hubs/chat/users/alice/:send";
        let rule = FaultRule::refuse(429)
            .retry_after(3)
            .when(FaultScope::new().path("/api/hubs/chat").user("alice"));
        faults.set(vec![rule]).unwrap();
        let refused = world.wire.rest(Method::POST, path, Some(json!({ "target": "m" }))).await;
        assert_eq!(
            (refused.status().as_u16(), refused.headers()["retry-after"].to_str().unwrap()),
            (429, "3")
        );
        let refused = world.wire.rest(Method::HEAD, "/api/hubs/chat/users/bob", None).await;
        assert_eq!(refused.status(), 404, "another user");
    }
}

#[tokio::test]
async fn silence_is_what_clients_have_timeouts_for() {
    for mode in MODES {
        let builder = LocalService::builder().keep_alive_interval(Duration::from_millis(50));
        let world = World::start(mode, builder).await;
        let faults = world.wire.local.faults();
        for transport in [Transport::WebSockets, Transport::ServerSentEvents] {
            let connecting = world.client("alice", transport, HubProtocol::Json);
            let client = connecting.with_server_timeout(Duration::from_millis(700)).connect().await.unwrap();
            faults.set(vec![FaultRule::silence().when(message())]).unwrap();
            let closed = timeout(PATIENCE, client.closed()).await.expect("it ends");
            assert!(
                matches!(closed, ConnectionError::ServerTimeout { .. }),
                "{mode:?} {transport:?}: {closed:?}"
            );
            faults.clear();
        }
        // Polls keep a connection alive by themselves; what they bring is silent, too.
        let mut client = Client::connect(&world, Transport::LongPolling).await;
        faults.set(vec![FaultRule::silence().when(message())]).unwrap();
        send(&world, 1).await;
        until("it is lost", async || faults.rules()[0].1 > 0).await;
        faults.clear();
        send(&world, 2).await;
        assert_eq!(client.next().await, 2, "{mode:?}");
        client.connection.stop().await;
        // A request that nobody answers, until the rules change.
        faults.set(vec![FaultRule::silence().when(FaultScope::of(FaultKind::Negotiate))]).unwrap();
        let token = user_token("alice");
        let mut waiting = Box::pin(world.wire.negotiate("chat", &token));
        assert!(timeout(Duration::from_millis(200), &mut waiting).await.is_err());
        faults.clear();
        assert_eq!(waiting.await.status(), StatusCode::OK);
    }
}

fn control(wire: &Wire, method: Method, what: &str) -> RequestBuilder {
    wire.request(method, &format!("/_hubwire/{what}"))
}

#[tokio::test]
async fn faults_are_set_over_http() {
    let world = World::start(MODES[0], LocalService::builder()).await;
    let wire = &world.wire;
    let with_key = |method, what| control(wire, method, what).header("x-hubwire-key", KEY);
    let rules = json!([
        { "when": { "kind": "negotiate", "user": "alice" }, "do": { "status": 503, "retry_after": 1 }, "times": 1 },
        { "when": { "kind": "message" }, "do": { "lose": true }, "probability": 0.5, "every": 2 },
        { "do": { "delay_ms": 1 } },
    ]);
    let set: Value = with_key(Method::PUT, "faults").json(&rules).send().await.unwrap().json().await.unwrap();
    assert_eq!(set[0]["hits"], 0);
    assert_eq!(wire.negotiate("chat", &user_token("alice")).await.status(), 503);
    assert_eq!(wire.negotiate("chat", &user_token("alice")).await.status(), 200);
    let read: Value = with_key(Method::GET, "faults").send().await.unwrap().json().await.unwrap();
    assert_eq!((&read[0]["hits"], &read[2]["hits"]), (&json!(1), &json!(2)));
    assert_eq!(read[1]["do"], json!({ "lose": true }));
    // What was read can be set again.
    let again = control(wire, Method::PUT, "faults").bearer_auth(KEY).json(&read).send().await.unwrap();
    assert_eq!(again.status(), 200);
    let none = with_key(Method::PUT, "faults").json(&json!([])).send().await.unwrap();
    assert_eq!(none.json::<Value>().await.unwrap(), json!([]));

    let client = Client::connect(&world, Transport::WebSockets).await;
    let body = json!({ "when": { "user": "alice" }, "how": "error", "error": "by hand" });
    let cut: Value = with_key(Method::POST, "cut").json(&body).send().await.unwrap().json().await.unwrap();
    assert_eq!(cut, json!({ "connections": 1 }));
    assert!(client.closed().await.to_string().contains("by hand"));

    for (method, what, body) in [
        (Method::PUT, "faults", json!({})),
        (Method::PUT, "faults", json!([{ "do": {} }])),
        (Method::PUT, "faults", json!([{ "do": { "delay": 3 } }])),
        (Method::PUT, "faults", json!([{ "when": { "kind": "other" }, "do": { "lose": true } }])),
        (Method::PUT, "faults", json!(vec![json!({ "do": { "silence": true } }); 101])),
        (Method::POST, "cut", json!({ "how": "loudly" })),
        (Method::POST, "cut", json!({ "how": "close", "when": { "kind": "rest" } })),
    ] {
        let refused = with_key(method, what).json(&body).send().await.unwrap();
        assert_eq!(refused.status(), 400, "{body}");
        assert!(refused.json::<Value>().await.unwrap()["message"].is_string(), "{body}");
    }
    assert_eq!(with_key(Method::DELETE, "faults").send().await.unwrap().status(), 204);
    assert!(wire.local.faults().rules().is_empty());

    // The secondary key is good here, too, until there is another one in its place.
    let new = with_key(Method::POST, "keys/secondary").send().await.unwrap().json::<Value>().await.unwrap();
    let new = new["accessKey"].as_str().unwrap().to_owned();
    assert!(wire.local.connection_string_of(KeyType::Secondary).contains(&new));
    let shown = |key: &str| control(wire, Method::GET, "faults").bearer_auth(key).send();
    assert_eq!(shown(&new).await.unwrap().status(), 200);
    assert_eq!(with_key(Method::POST, "keys/third").send().await.unwrap().status(), 400);
    let primary = control(wire, Method::POST, "keys/primary").bearer_auth(&new).send().await.unwrap();
    let primary = primary.json::<Value>().await.unwrap()["accessKey"].as_str().unwrap().to_owned();
    assert_eq!(shown(KEY).await.unwrap().status(), 401);
    assert_eq!(shown(&primary).await.unwrap().status(), 200);

    // Nobody without the key, and no page of another site with it.
    for (method, what) in [
        (Method::GET, "faults"),
        (Method::PUT, "faults"),
        (Method::DELETE, "faults"),
        (Method::POST, "cut"),
        (Method::POST, "keys/primary"),
    ] {
        let request = || control(wire, method.clone(), what);
        assert_eq!(request().send().await.unwrap().status(), 401, "{what}");
        let wrong = request().header("x-hubwire-key", "ABC").send().await.unwrap();
        assert_eq!(wrong.status(), 401, "{what}");
        let foreign = request().header("x-hubwire-key", &new).header("origin", "https://evil.example");
        assert_eq!(foreign.send().await.unwrap().status(), 403, "{what}");
    }
}
