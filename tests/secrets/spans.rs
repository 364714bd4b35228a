//! What the client logs is in the span of its connection.

#[path = "../client/http/server.rs"]
mod server;

use std::time::Duration;

use hubwire::{ConnectionEvent, HubConnection, RetryPolicy};
use server::{Answer, Server};

use crate::capture::Capture;

/// What is logged about a connection has the id of this one, not of the one before it.
#[tokio::test]
async fn the_span_of_a_connection_has_one_id() {
    let logs = Capture::of_the_process();
    let server = Server::start("WebSockets", |_| Answer::Own).await;
    let connected = async {
        let hub = HubConnection::builder(&server.url).with_automatic_reconnect(RetryPolicy::default());
        let hub = hub.connect().await.unwrap();
        let mut events = hub.events();
        for _ in 0..2 {
            hub.send("Drop", ()).await.unwrap();
            while !matches!(events.next().await, Some(ConnectionEvent::Reconnected { .. })) {}
        }
        hub.stop().await;
    };
    tokio::time::timeout(Duration::from_secs(20), connected).await.expect("nothing hangs");

    let logs = String::from_utf8_lossy(&logs.0.lock().unwrap()).into_owned();
    let begin = format!("hub_connection{{url={}", server.url);
    let of_this: Vec<_> =
        logs.lines().filter_map(|line| line.split_once(&begin)?.1.split_once('}')).collect();
    assert!(!of_this.is_empty(), "nothing is logged in the span");
    for (fields, line) in &of_this {
        assert!(fields.matches("connection_id").count() <= 1, "{fields} {line}");
    }
    let connected: Vec<_> = of_this
        .iter()
        .filter(|(_, line)| line.contains(": hubwire::") && line.contains(": connected "))
        .collect();
    assert_eq!(connected.len(), 3, "{of_this:?}");
    for (n, (fields, _)) in connected.iter().enumerate() {
        assert_eq!(*fields, format!(" connection_id=\"connection-{n}\""));
    }
}
