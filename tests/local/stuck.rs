//! Clients that do not read: one over each transport, while others get every message in time.
#![cfg(all(feature = "local", feature = "msgpack"))]

use std::time::Duration;

use futures_channel::mpsc;
use futures_util::StreamExt;
use hubwire::{HubProtocol, Transport, local::LocalService};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    modes::{MODES, World, until},
    wire::{Wire, user_token},
};

const HANDSHAKE: &str = "{\"protocol\":\"json\",\"version\":1}\u{1e}";

/// Together more than what may wait for a client, and what the buffers on the way to it hold.
const MESSAGES: u32 = 1_000;
const SIZE: usize = 40_000;

/// A client of requests that reads nothing behind its handshake.
async fn without_socket(wire: &Wire, accepts: &str) -> Response {
    let token = user_token("stuck");
    let answer: Value = wire.negotiate("chat", &token).await.json().await.unwrap();
    let path = format!("/client/?hub=chat&id={}", answer["connectionToken"].as_str().unwrap());
    let request = |method| wire.request(method, &path).bearer_auth(&token).header("accept", accepts);
    let mut opened = request(Method::GET).send().await.unwrap();
    assert_eq!(request(Method::POST).body(HANDSHAKE).send().await.unwrap().status(), 200);
    if accepts == "text/event-stream" {
        assert!(opened.chunk().await.unwrap().is_some());
    } else {
        opened = request(Method::GET).send().await.unwrap();
    }
    opened
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_do_not_read_harm_nobody() {
    for mode in MODES {
        let world = World::start(mode, LocalService::builder()).await;
        let wire = &world.wire;
        let (sender, mut heard) = mpsc::unbounded();
        let reader = world
            .client("reader", Transport::WebSockets, HubProtocol::Json)
            .on("m", move |number: u32, _: String| {
                let _ = sender.unbounded_send(number);
            })
            .connect()
            .await
            .unwrap();
        let _socket = wire.connect_user("stuck").await;
        let _events = without_socket(wire, "text/event-stream").await;
        let _polled = without_socket(wire, "*/*").await;
        let exists = async || wire.status(Method::HEAD, "/api/hubs/chat/users/stuck").await.0 == 200;
        assert!(exists().await);
        let text = "x".repeat(SIZE);
        let sending = async {
            for number in 0..MESSAGES {
                wire.send("/api/hubs/chat/:send", "m", json!([number, text])).await;
            }
        };
        let hearing = async {
            for number in 0..MESSAGES {
                let next = timeout(Duration::from_secs(5), heard.next()).await.expect("it comes in time");
                assert_eq!(next, Some(number), "{mode:?}");
            }
        };
        tokio::join!(sending, hearing);
        // What waits for them is bounded: they are gone.
        until("they are cut off", async || !exists().await).await;
        reader.stop().await;
    }
}
