//! The local service against clients that take more than their share of its memory.
#![cfg(feature = "local")]

use std::{io::ErrorKind, time::Duration};

use crate::wire::{Wire, user_token};
use hubwire::local::LocalService;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
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
async fn pings_whose_answers_nobody_reads_end_the_connection() {
    flood(&masked(0x89, &[b'x'; 125])).await;
}

#[tokio::test]
async fn calls_whose_answers_nobody_reads_end_the_connection() {
    flood(&masked(0x81, b"{\"type\":1,\"invocationId\":\"1\",\"target\":\"m\",\"arguments\":[]}\x1e")).await;
}
