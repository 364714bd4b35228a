//! How connections end: the codes of Close frames, answers to those of clients, and a service that stops.
#![cfg(all(feature = "local", feature = "msgpack"))]

use std::time::{Duration, Instant};

use hubwire::{
    ConnectionError, HubProtocol, Transport,
    local::{LocalService, ServiceMode},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    modes::{MODES, World},
    wire::{KEY, Wire, now, sign, user_token},
};

const TRANSPORTS: [Transport; 3] =
    [Transport::WebSockets, Transport::ServerSentEvents, Transport::LongPolling];

#[tokio::test]
async fn whoever_closes_gets_an_answer_with_code_1000() {
    for mode in MODES {
        let world = World::start(mode, LocalService::builder()).await;
        let wire = &world.wire;
        // A client's Close frame is answered with its own code.
        for code in [1000, 1001, 4321] {
            assert_eq!(wire.connect_user("alice").await.close(code).await, Some(code), "{mode:?}");
        }
        // Before its handshake as well.
        let token = user_token("alice");
        let query = format!("hub=chat&access_token={token}");
        assert_eq!(wire.open(&query).await.unwrap().close(1000).await, Some(1000), "{mode:?}");
        // A client's Close message is answered with a Close frame.
        let mut client = wire.connect_user("alice").await;
        client.send(&[r#"{"type":7}"#]).await;
        assert_eq!(client.close_code().await, Some(1000), "{mode:?}");
        // What cannot be read, and what somebody else closes.
        let mut client = wire.connect_user("alice").await;
        client.send(&["nonsense"]).await;
        assert_eq!(client.close_code().await, Some(1000), "{mode:?}");
        let mut client = wire.connect_user("alice").await;
        assert_eq!(wire.status(Method::POST, "/api/hubs/chat/:closeConnections").await.0, 204);
        assert_eq!(client.close_code().await, Some(1000), "{mode:?}");
        let mut refused = wire.open(&query).await.unwrap();
        refused.send(&[r#"{"protocol":"json","version":77}"#]).await;
        assert_eq!(refused.close_code().await, Some(1000), "{mode:?}");
        // A service that stops.
        let mut client = wire.connect_user("alice").await;
        let stopping = world.wire.local.stop();
        assert_eq!(tokio::join!(client.close_code(), stopping).0, Some(1000), "{mode:?}");
    }
}

#[tokio::test]
async fn a_stop_drains() {
    for mode in MODES {
        for protocol in [HubProtocol::Json, HubProtocol::MessagePack] {
            Box::pin(drains(mode, protocol)).await;
        }
    }
}

async fn drains(mode: ServiceMode, protocol: HubProtocol) {
    let world = World::start(mode, LocalService::builder()).await;
    let mut clients = Vec::new();
    for transport in TRANSPORTS {
        clients.push(world.client("bob", transport, HubProtocol::Json).connect().await.unwrap());
    }
    let held = world.held.clone();
    let asked = world
        .client("alice", Transport::WebSockets, protocol)
        .on_invoke("Ask", {
            let held = held.clone();
            move || {
                let held = held.clone();
                async move {
                    held.wait().await;
                    Ok::<_, String>(7)
                }
            }
        })
        .connect()
        .await
        .unwrap();
    let (port, endpoint) = (world.wire.local.port(), world.wire.local.endpoint().to_owned());
    let http = Wire::http();
    let path = format!("/api/hubs/chat/connections/{}/:invoke", asked.connection_id().unwrap());
    let token = sign(KEY, None, &json!({ "aud": format!("{endpoint}{path}"), "exp": now() + 60 }));
    let asking = http
        .post(format!("{endpoint}{path}?api-version=2024-12-01"))
        .bearer_auth(token)
        .json(&json!({ "target": "Ask", "arguments": [] }))
        .send();
    let calling = asked.invoke::<bool>("Hold", ());
    let stopped = std::cell::Cell::new(false);
    let local = world.wire.local;
    let stopping = async {
        // A call of a client, and one of the REST API, are in progress.
        held.begun(2).await;
        local.stop().await;
        stopped.set(true);
    };
    let watching = async {
        // Idle clients end at once, and may come back.
        for client in &clients {
            let closed = client.closed().await;
            assert!(
                matches!(closed, ConnectionError::ServerClosed { allow_reconnect: true, .. }),
                "{closed:?}"
            );
        }
        // Nothing new gets in.
        let refused = http.get(format!("{endpoint}/api/v1/health")).send().await.unwrap();
        assert_eq!(refused.status(), 503);
        assert_eq!(refused.headers()["retry-after"], "1");
        let negotiate = http.post(format!("{endpoint}/client/negotiate?hub=chat"));
        assert_eq!(negotiate.bearer_auth(user_token("carol")).send().await.unwrap().status(), 503);
        assert!(!stopped.get());
        held.release();
    };
    let (called, answered, (), ()) = tokio::join!(calling, asking, stopping, watching);
    assert!(called.unwrap(), "the call ends before its connection");
    assert_eq!(answered.unwrap().json::<Value>().await.unwrap(), json!({ "result": 7 }));
    let closed = asked.closed().await;
    assert!(matches!(closed, ConnectionError::ServerClosed { allow_reconnect: true, .. }), "{closed:?}");
    assert!(tokio::net::TcpListener::bind(("127.0.0.1", port)).await.is_ok(), "the port is free");
}

#[tokio::test]
async fn a_stop_waits_for_what_an_app_server_asks_a_client() {
    let world = World::start(ServiceMode::Default, LocalService::builder()).await;
    let held = world.held.clone();
    let asked = world.client("alice", Transport::WebSockets, HubProtocol::Json).on_invoke("Ask", {
        let held = held.clone();
        move || {
            let held = held.clone();
            async move {
                held.wait().await;
                Ok::<_, String>(7)
            }
        }
    });
    let asked = asked.connect().await.unwrap();
    let idle = world.client("bob", Transport::WebSockets, HubProtocol::Json).connect().await.unwrap();
    let (hub, id) = (world.app.clone().expect("default mode has one"), asked.connection_id().unwrap());
    let client = hub.clients().client(&id);
    let answering = client.invoke::<u32>("Ask", ());
    let local = world.wire.local;
    let stopping = async {
        held.begun(1).await;
        local.stop().await;
    };
    let watching = async {
        idle.closed().await;
        held.release();
    };
    let (answer, (), ()) = tokio::join!(answering, stopping, watching);
    assert_eq!(answer, Ok(7), "it comes before the connection ends");
}

#[tokio::test]
async fn a_stop_has_an_end() {
    futures_util::future::join_all(MODES.map(|mode| Box::pin(stops_in_time(mode)))).await;
}

async fn stops_in_time(mode: ServiceMode) {
    let world = World::start(mode, LocalService::builder()).await;
    let client = world.client("alice", Transport::WebSockets, HubProtocol::Json).connect().await.unwrap();
    let calling = client.invoke::<bool>("Hold", ());
    let local = world.wire.local;
    let held = world.held.clone();
    let stopping = async {
        held.begun(1).await;
        let begun = Instant::now();
        local.stop().await;
        begun.elapsed()
    };
    let (called, took) = tokio::join!(calling, stopping);
    assert!(called.is_err(), "{mode:?}: nobody answers");
    assert!(took < Duration::from_secs(10), "{mode:?}: {took:?}");
}
