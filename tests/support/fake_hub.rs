//! A small hub in the test's own process: negotiate and WebSockets with JSON, quick enough for thousands of
//! connections, and willing to end them in every way.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A hub that runs until it is dropped.
pub(crate) struct FakeHub {
    /// The hub URL.
    pub(crate) url: String,
    counts: Arc<Counts>,
    server: JoinHandle<()>,
}

#[derive(Default)]
struct Counts {
    connections: AtomicUsize,
    repeated_ids: AtomicUsize,
}

impl FakeHub {
    /// Listens on a free port. Its methods: `Echo` returns its argument, `Never` does not answer, `Count` streams
    /// numbers without end, `Close` ends the connection by a Close message, `Drop` without a word.
    pub(crate) async fn start() -> Self {
        let counts = Arc::<Counts>::default();
        let router = Router::new()
            .route("/hub/negotiate", post(negotiate))
            .route("/hub", get(connect))
            .with_state(Arc::clone(&counts));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hub", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, counts, server }
    }

    /// How many connections have shaken hands.
    pub(crate) fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::SeqCst)
    }

    /// How often a connection used an invocation id again.
    pub(crate) fn repeated_ids(&self) -> usize {
        self.counts.repeated_ids.load(Ordering::SeqCst)
    }
}

impl Drop for FakeHub {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn negotiate() -> String {
    json!({
        "negotiateVersion": 1, "connectionId": "id", "connectionToken": "token",
        "availableTransports": [{ "transport": "WebSockets", "transferFormats": ["Text"] }],
    })
    .to_string()
}

async fn connect(upgrade: WebSocketUpgrade, State(counts): State<Arc<Counts>>) -> Response {
    upgrade.on_upgrade(async move |socket| {
        // An error here means that the client has gone, which it may at any time.
        let _ = serve(socket, &counts).await;
    })
}

async fn serve(mut socket: WebSocket, counts: &Counts) -> Result<(), axum::Error> {
    let mut ids = HashSet::new();
    let mut shaken = false;
    let mut streams: Vec<(Value, u64)> = Vec::new();
    loop {
        let received = if streams.is_empty() {
            socket.recv().await
        } else {
            tokio::select! {
                received = socket.recv() => received,
                () = tokio::task::yield_now() => {
                    for (id, next) in &mut streams {
                        let item = json!({ "type": 2, "invocationId": id, "item": *next });
                        *next += 1;
                        socket.send(Message::text(format!("{item}\u{1e}"))).await?;
                    }
                    continue;
                }
            }
        };
        let text = match received {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(()),
            Some(Ok(_)) => continue,
        };
        for record in text.split('\u{1e}').filter(|record| !record.is_empty()) {
            let message: Value = serde_json::from_str(record).expect("the client writes JSON");
            if !shaken {
                shaken = true;
                counts.connections.fetch_add(1, Ordering::SeqCst);
                socket.send(Message::text("{}\u{1e}")).await?;
                continue;
            }
            if matches!(message["type"].as_u64(), Some(1 | 4))
                && let Some(id) = message["invocationId"].as_str()
                && !ids.insert(id.to_owned())
            {
                counts.repeated_ids.fetch_add(1, Ordering::SeqCst);
            }
            let id = &message["invocationId"];
            match (message["type"].as_u64(), message["target"].as_str().unwrap_or_default()) {
                (Some(1), "Echo") => {
                    let answer = json!({ "type": 3, "invocationId": id, "result": message["arguments"][0] });
                    socket.send(Message::text(format!("{answer}\u{1e}"))).await?;
                }
                (Some(4), "Count") => streams.push((id.clone(), 0)),
                (Some(5), _) => streams.retain(|(stream, _)| stream != id),
                (Some(1), "Close") => {
                    socket.send(Message::text("{\"type\":7}\u{1e}")).await?;
                    return Ok(());
                }
                (Some(1), "Drop") => return Ok(()),
                _ => {}
            }
        }
    }
}
