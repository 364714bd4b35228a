//! Clients that send anything over real sockets: messages that were changed at random, and cut anywhere. Every connection
//! ends, or goes on; the service does, in both modes.
#![cfg(all(feature = "local", feature = "msgpack"))]

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use hubwire::{HubProtocol, Transport, local::LocalService};
use serde_json::json;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

use crate::{
    modes::{MODES, World, until},
    support::random::Random,
    wire::user_token,
};

/// As long in each mode.
const DURATION: Duration = Duration::from_millis(2_000);

/// What clients may say, in JSON and in MessagePack.
fn messages(protocol: HubProtocol) -> Vec<Vec<u8>> {
    if protocol == HubProtocol::Json {
        let said = [
            json!({ "type": 1, "invocationId": "1", "target": "Double", "arguments": [4] }),
            json!({ "type": 1, "target": "Double", "arguments": ["ü", { "a": [1.5, null] }] }),
            json!({ "type": 1, "invocationId": "2", "target": "Nothing", "arguments": [], "streamIds": ["s"] }),
            json!({ "type": 2, "invocationId": "s", "item": 4 }),
            json!({ "type": 3, "invocationId": "s", "error": "gone" }),
            json!({ "type": 3, "invocationId": "rest-0", "result": 1 }),
            json!({ "type": 4, "invocationId": "3", "target": "Counter", "arguments": [] }),
            json!({ "type": 5, "invocationId": "3" }),
            json!({ "type": 6 }),
            json!({ "type": 8, "sequenceId": 1 }),
            json!({ "type": 9, "sequenceId": 1 }),
        ];
        return said.map(|message| format!("{message}\u{1e}").into_bytes()).to_vec();
    }
    let bodies: [&[u8]; 6] = [
        b"\x96\x01\x80\xa11\xa6Double\x91\x04\x90",
        b"\x96\x01\x80\xc0\xa6Double\x91\xc4\x02ab\x91\xa1s",
        b"\x94\x02\x80\xa1s\x01",
        b"\x95\x03\x80\xa1s\x03\x01",
        b"\x93\x05\x80\xa11",
        b"\x91\x06",
    ];
    bodies.map(|body| [&[u8::try_from(body.len()).unwrap()], body].concat()).to_vec()
}

/// One connection, from its upgrade to its end.
async fn noise(port: u16, query: &str, random: &mut Random) {
    let protocol = if random.below(2) == 0 { HubProtocol::Json } else { HubProtocol::MessagePack };
    let tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let url = format!("ws://127.0.0.1:{port}/client/?{query}");
    let (mut socket, _): (WebSocketStream<TcpStream>, _) = client_async(url, tcp).await.unwrap();
    let mut said = format!("{{\"protocol\":\"{}\",\"version\":1}}\u{1e}", protocol.name()).into_bytes();
    if random.below(8) == 0 {
        random.disturb(&mut said);
    }
    let possible = messages(protocol);
    for _ in 0..random.below(12) {
        let mut message = possible[random.below(possible.len())].clone();
        if random.below(3) == 0 {
            random.disturb(&mut message);
        }
        said.extend(message);
    }
    // Frames end anywhere. An error means that the service has had enough.
    while !said.is_empty() {
        let rest = said.split_off(random.below(said.len()) + 1);
        let piece = std::mem::replace(&mut said, rest);
        let message = match String::from_utf8(piece) {
            Ok(text) if protocol == HubProtocol::Json => Message::text(text),
            Ok(text) => Message::binary(text.into_bytes()),
            Err(bytes) => Message::binary(bytes.into_bytes()),
        };
        if socket.send(message).await.is_err() {
            return;
        }
    }
    match random.below(3) {
        // Without a word.
        0 => {}
        // In the middle of a frame.
        1 => {
            use tokio::io::AsyncWriteExt as _;
            let _ = socket.get_mut().write_all(b"\x81\xfe\x01").await;
        }
        _ => {
            let _ = socket.close(None).await;
            let end = async { while let Some(Ok(_)) = socket.next().await {} };
            timeout(Duration::from_secs(5), end).await.expect("the service closes, too");
        }
    }
}

#[tokio::test]
async fn noise_harms_nobody() {
    for (seed, mode) in (1..).zip(MODES) {
        let world = World::start(mode, LocalService::builder()).await;
        let (port, local) = (world.wire.local.port(), &world.wire.local);
        let good =
            world.client("bob", Transport::WebSockets, HubProtocol::MessagePack).connect().await.unwrap();
        let query = format!("hub=chat&access_token={}", user_token("alice"));
        let (mut random, begun, mut count) =
            (Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed)), Instant::now(), 0);
        while begun.elapsed() < DURATION {
            noise(port, &query, &mut random).await;
            count += 1;
            if count % 50 == 0 {
                assert_eq!(good.invoke::<u32>("Double", (4,)).await.unwrap(), 8, "{mode:?} after {count}");
            }
        }
        assert!(count > 50, "{mode:?}: {count} in {DURATION:?}");
        // All of them are forgotten, and a new one does well.
        let nobody =
            async || world.wire.status(reqwest::Method::HEAD, "/api/hubs/chat/users/alice").await.0 == 404;
        until("they are all gone", nobody).await;
        let late = world.client("carol", Transport::LongPolling, HubProtocol::Json).connect().await.unwrap();
        assert_eq!(late.invoke::<u32>("Double", (21,)).await.unwrap(), 42, "{mode:?}");
        late.stop().await;
        good.stop().await;
        assert_eq!(local.port(), port);
    }
}
