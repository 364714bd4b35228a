//! The server's end of a connection, in the hands of a test: for what no real server does when asked.

use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use hubwire::{HubConnection, HubConnectionBuilder};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

const PATIENCE: Duration = Duration::from_secs(20);

/// What the client says.
pub(crate) struct Hear {
    messages: SplitStream<WebSocketStream<TcpStream>>,
    waiting: std::vec::IntoIter<Value>,
}

/// What the server says.
pub(crate) struct Speak(pub(crate) SplitSink<WebSocketStream<TcpStream>, Message>);

/// A connection of a client to the test.
pub(crate) async fn connect(
    configure: impl FnOnce(HubConnectionBuilder) -> HubConnectionBuilder,
) -> (HubConnection, Hear, Speak) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hub", listener.local_addr().unwrap());
    let builder = configure(HubConnection::builder(url).with_skip_negotiation(true));
    let (hub, (hear, speak)) = futures_util::join!(builder.connect(), accept(&listener, &["{}"]));
    (hub.expect("connects"), hear, speak)
}

/// The next connection. `greeting` is the answer to the handshake, and what follows it in the same frame.
pub(crate) async fn accept(listener: &TcpListener, greeting: &[&str]) -> (Hear, Speak) {
    let (stream, _) = listener.accept().await.unwrap();
    let (speak, messages) = tokio_tungstenite::accept_async(stream).await.unwrap().split();
    let (mut hear, mut speak) = (Hear { messages, waiting: Vec::new().into_iter() }, Speak(speak));
    assert_eq!(hear.next().await["protocol"], "json");
    speak.say(greeting).await;
    (hear, speak)
}

impl Hear {
    /// The next message that is no ping. `None` when the client has closed the socket.
    pub(crate) async fn try_next(&mut self) -> Option<Value> {
        loop {
            if let Some(value) = self.waiting.next() {
                if value["type"] != 6 {
                    return Some(value);
                }
                continue;
            }
            let message =
                tokio::time::timeout(PATIENCE, self.messages.next()).await.expect("the client speaks");
            let Some(Ok(Message::Text(text))) = message else { return None };
            let records = text.split('\u{1e}').filter(|record| !record.is_empty());
            self.waiting = records.map(|r| serde_json::from_str(r).unwrap()).collect::<Vec<_>>().into_iter();
        }
    }

    /// Whether the client ends the socket by a close frame, and does not just drop it.
    pub(crate) async fn ends_with_close_frame(&mut self) -> bool {
        loop {
            match tokio::time::timeout(PATIENCE, self.messages.next()).await.expect("the socket ends") {
                Some(Ok(Message::Close(_))) => return true,
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return false,
            }
        }
    }

    /// How many more messages came in the frame of the last one.
    pub(crate) fn more_in_frame(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) async fn next(&mut self) -> Value {
        self.try_next().await.expect("a message")
    }
}

impl Speak {
    /// Sends messages in one frame.
    pub(crate) async fn say(&mut self, messages: &[&str]) {
        let frame: String = messages.iter().flat_map(|message| [*message, "\u{1e}"]).collect();
        self.0.send(Message::text(frame)).await.unwrap();
    }
}
