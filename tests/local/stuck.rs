//! Clients that do not read: one over each transport, while others get every message in time.
#![cfg(all(feature = "local", feature = "msgpack"))]

use std::time::Duration;

use futures_channel::mpsc;
use futures_util::StreamExt;
use hubwire::{HubProtocol, Transport, local::LocalService};
use reqwest::Method;
use serde_json::json;
use tokio::time::timeout;

use crate::{
    modes::{MODES, World, until},
    stuck_clients::{Door, TRANSPORTS, open},
    wire::{Wire, user_token},
};

/// Together more than what may wait for a client, and what the buffers on the way to it hold.
const MESSAGES: u32 = 1_000;
const SIZE: usize = 40_000;

/// Where users come in at a local service.
pub(crate) fn door(wire: &Wire) -> Door {
    Door {
        port: wire.local.port(),
        negotiate: "/client/negotiate?hub=chat&negotiateVersion=1".to_owned(),
        connect: "/client/?hub=chat&".to_owned(),
        token: Some(user_token("stuck")),
    }
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
        let mut stuck = Vec::new();
        for transport in TRANSPORTS {
            stuck.push(open(&door(wire), transport).await.unwrap());
        }
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
