//! Tests of the shared hub against a server in the test.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::routing::get;
use futures_util::StreamExt as _;
use tokio::sync::mpsc;

use super::{Hub, HubState, StreamState, follow, keep, until_dropped};
use crate::ConnectionState;
use crate::RetryPolicy;

/// What the hub says on each of its connections once a stream was asked for; after that it drops the connection,
/// unless it is the last.
const SAYINGS: [&str; 2] = [
    "{\"type\":2,\"invocationId\":\"ID\",\"item\":1}\u{1e}",
    "{\"type\":2,\"invocationId\":\"ID\",\"item\":2}\u{1e}{\"type\":3,\"invocationId\":\"ID\"}\u{1e}",
];

/// A hub that breaks off a stream once. Ends of connections come through the receiver.
async fn hub() -> (Hub, mpsc::UnboundedReceiver<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hub", listener.local_addr().unwrap());
    let (ended, ends) = mpsc::unbounded_channel();
    let sayings = Arc::new(Mutex::new(SAYINGS.iter()));
    let app = axum::Router::new().route(
        "/hub",
        get(move |upgrade: WebSocketUpgrade| async move {
            upgrade.on_upgrade(move |socket| async move {
                let saying = sayings.lock().unwrap().next().copied().unwrap_or_default();
                talk(socket, saying).await;
                let _ = ended.send(());
            })
        }),
    );
    tokio::spawn(async move { axum::serve(listener, app).await });
    let hub = Hub::new(&url, |hub| {
        hub.with_skip_negotiation(true).with_automatic_reconnect(RetryPolicy::delays([Duration::ZERO; 3]))
    });
    (hub, ends)
}

async fn talk(mut socket: WebSocket, saying: &str) {
    while let Some(Ok(message)) = socket.next().await {
        let Ok(text) = message.to_text() else { return };
        for record in text.split_terminator('\u{1e}') {
            let record: serde_json::Value = serde_json::from_str(record).unwrap();
            let answer = match record["type"].as_u64() {
                None => "{}\u{1e}".to_owned(),
                Some(4) => saying.replace("ID", record["invocationId"].as_str().unwrap()),
                Some(_) => continue,
            };
            if socket.send(Message::Text(answer.into())).await.is_err() {
                return;
            }
            if record["type"] == 4 && saying == SAYINGS[0] {
                return;
            }
        }
    }
}

#[tokio::test]
async fn a_stream_begins_again_and_the_end_of_the_provider_closes_the_connection() {
    let (hub, mut ends) = hub().await;
    let (tell_state, mut states) = mpsc::unbounded_channel();
    let (job, kept) = until_dropped(keep(hub.clone(), move |state: HubState| {
        let _ = tell_state.send(state);
    }));
    let (tell_items, mut items) = mpsc::unbounded_channel();
    let followed = follow(hub.clone(), "Ticks".to_owned(), ("MSFT",), move |state: StreamState<u32>| {
        let _ = tell_items.send((state.latest, state.is_done, state.error.is_some()));
    });
    let work = async {
        tokio::join!(kept, async {
            followed.await;
            drop(job);
        });
    };
    tokio::time::timeout(Duration::from_secs(20), work).await.unwrap();

    let mut seen = Vec::new();
    while let Some(item) = items.recv().await {
        seen.push(item);
    }
    let expected =
        [(None, false, false), (Some(1), false, false), (Some(2), false, false), (Some(2), true, false)];
    assert_eq!(seen, expected);
    let mut seen = Vec::new();
    while let Some(state) = states.recv().await {
        seen.push((state.connection, state.error.is_some()));
    }
    let expected = [
        (ConnectionState::Connecting, false),
        (ConnectionState::Connected, false),
        (ConnectionState::Reconnecting, true),
        (ConnectionState::Connected, false),
    ];
    assert_eq!(seen, expected);
    for _ in SAYINGS {
        tokio::time::timeout(Duration::from_secs(20), ends.recv()).await.unwrap().unwrap();
    }
    assert!(hub.invoke::<u32>("Add", (1, 2)).await.is_err(), "the hub's handle does not keep the connection");
}

#[tokio::test]
async fn a_url_that_is_none_is_told() {
    let (tell, mut states) = mpsc::unbounded_channel();
    keep(Hub::new("not a url", |hub| hub), move |state| tell.send(state).unwrap()).await;
    let state = states.recv().await.unwrap();
    assert_eq!((state.connection, state.error.is_some()), (ConnectionState::Disconnected, true));
}

#[tokio::test]
async fn to_stop_on_purpose_is_no_error_though_the_connection_had_failed() {
    let hub = Hub::new("http://127.0.0.1:9/hub", |hub| hub.with_first_connect_retry(false));
    let (tell, mut states) = mpsc::unbounded_channel();
    let (job, kept) = until_dropped(keep(hub.clone(), move |state: HubState| drop(tell.send(state))));
    let work = async {
        tokio::join!(kept, async {
            while states.recv().await.unwrap().error.is_none() {}
            hub.stop();
            assert_eq!(states.recv().await, Some(HubState::default()));
            drop(job);
        });
    };
    tokio::time::timeout(Duration::from_secs(20), work).await.unwrap();
}
