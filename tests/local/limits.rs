//! The local service against clients that take more than their share of its memory.
#![cfg(all(feature = "local", feature = "msgpack"))]

use std::{
    io::ErrorKind,
    time::{Duration, Instant},
};

use crate::{
    modes::{MODES, World, until},
    wire::{KEY, Wire, client_token, now, sign, user_token},
};
use hubwire::local::{LocalService, ServiceMode};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

/// More than both ends' socket buffers hold, and far less than a service would answer in a second.
const MORE_THAN_SOCKETS_HOLD: usize = 128 * 1024 * 1024;

/// A WebSocket message of a client, with a mask of zeros.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("a short payload");
    [&[first, 0x80 | length, 0, 0, 0, 0], payload].concat()
}

/// A WebSocket after its upgrade, whose bytes the test writes itself.
async fn upgraded(wire: &Wire) -> TcpStream {
    let port = wire.local.port();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = format!(
        "GET /client/?hub=chat&access_token={} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        user_token("alice")
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
    stream
}

/// Sends the same message over and over, without reading anything, until the service ends the connection. It has to
/// stop reading before.
async fn flood(message: &[u8]) {
    let patience = Duration::from_secs(5);
    let builder = LocalService::builder().keep_alive_interval(patience).client_timeout(patience);
    let wire = Wire::start(builder).await;
    let mut stream = upgraded(&wire).await;
    stream.write_all(&masked(0x81, b"{\"protocol\":\"json\",\"version\":1}\x1e")).await.unwrap();
    let messages = message.repeat(1000);
    let mut sent = 0;
    let end = loop {
        // A write may take a part of a message, which the next one has to go on with.
        let rest = &messages[sent % messages.len()..];
        match timeout(Duration::from_secs(20), stream.write(rest)).await.expect("the connection ends") {
            Ok(written) => sent += written,
            Err(error) => break error.kind(),
        }
        assert!(sent < MORE_THAN_SOCKETS_HOLD, "the service reads on without end");
    };
    assert!(matches!(end, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{end:?}");
}

#[tokio::test]
async fn what_a_client_may_have_is_bounded_as_in_azure() {
    let wire = Wire::start(LocalService::builder()).await;
    let text = |length: usize| "x".repeat(length);
    let negotiate =
        || wire.request(Method::POST, "/client/negotiate?hub=chat").bearer_auth(user_token("alice"));
    let long_token = |length: usize| {
        let token = client_token("chat", json!({ "x": text(length) }));
        wire.request(Method::POST, "/client/negotiate?hub=chat").bearer_auth(token)
    };
    let with_query = |length: usize| {
        let path = format!("/client/negotiate?hub=chat&x={}", text(length));
        wire.request(Method::POST, &path).bearer_auth(user_token("alice"))
    };
    let path = "/api/hubs/chat/:send";
    let rest = |length: usize| {
        let token = sign(KEY, None, &json!({ "aud": format!("http://127.0.0.1{path}"), "exp": now() + 60 }));
        let request = wire.request(Method::POST, &format!("{path}?api-version=2024-12-01"));
        request.bearer_auth(token).json(&json!({ "target": "m", "arguments": [text(length)] }))
    };
    const MB: usize = 1024 * 1024;
    for (what, request, status) in [
        ("a token of less than 4 KB", long_token(2_800), 200),
        ("a token of more", long_token(4_096), 413),
        ("a request line of less than 12 KB", with_query(11_000), 200),
        ("a longer one", with_query(13_000), 414),
        ("headers of less than 16 KB", negotiate().header("x-large", text(12_000)), 200),
        ("more of them", negotiate().header("x-large", text(17_000)), 431),
        ("a message of less than 1 MB", rest(MB - 100), 202),
        ("a larger one", rest(MB), 413),
    ] {
        assert_eq!(request.send().await.unwrap().status(), status, "{what}");
    }
}

#[tokio::test]
async fn connections_are_counted_and_bounded() {
    for mode in MODES {
        let world = World::start(mode, LocalService::builder().max_connections(7)).await;
        let wire = &world.wire;
        let query = format!("hub=chat&access_token={}", user_token("alice"));
        let mut clients = Vec::new();
        let full = loop {
            match wire.open(&query).await {
                Ok(client) => clients.push(client),
                Err(refused) => break refused,
            }
        };
        // Those of app servers count.
        let expected = if mode == ServiceMode::Serverless { 7 } else { 7 - 5 };
        assert_eq!(clients.len(), expected, "{mode:?}");
        assert!(full.0 == 429 && full.1.contains("max_connections"), "{full:?}");
        let refused = wire.negotiate("chat", &user_token("alice")).await;
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refused.headers()["retry-after"], "1");
        // The place of one that has left is free.
        clients.pop().unwrap().leave().await;
        until("there is a place", async || wire.open(&query).await.is_ok()).await;
    }
}

#[tokio::test]
async fn who_has_negotiated_has_five_seconds() {
    let wire = Wire::start(LocalService::builder()).await;
    let token = user_token("alice");
    let answer: Value = wire.negotiate("chat", &token).await.json().await.unwrap();
    let begun = Instant::now();
    sleep(Duration::from_millis(5_100)).await;
    let query = format!("hub=chat&id={}&access_token={token}", answer["connectionToken"].as_str().unwrap());
    let refused = wire.open(&query).await.err().unwrap();
    assert!(
        refused.0 == 404 && refused.1.contains("within 5 seconds"),
        "{refused:?} after {:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn pings_whose_answers_nobody_reads_end_the_connection() {
    flood(&masked(0x89, &[b'x'; 125])).await;
}

#[tokio::test]
async fn calls_whose_answers_nobody_reads_end_the_connection() {
    flood(&masked(0x81, b"{\"type\":1,\"invocationId\":\"1\",\"target\":\"m\",\"arguments\":[]}\x1e")).await;
}
