//! Server-Sent Events and long polling: a connection made of HTTP requests.
//!
//! The connection's task has the [`HttpTransport`], the requests meet it through the [`Exchange`]. Each way has room
//! for one chunk, so the quicker side waits.
//!
//! Source: [TransportProtocols.md](https://github.com/dotnet/aspnetcore/blob/main/src/SignalR/docs/specs/TransportProtocols.md).

use std::{
    iter,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::body::{Body, Bytes};
use futures_util::stream;
use tokio::{
    sync::{self, Notify, mpsc, watch},
    time::{self, Instant},
};

use crate::lock::lock;
use crate::server::message::Frame;

/// A request gets so much at a time, unless a message is larger. What it has got does not count any more among what waits
/// for the client.
const CHUNK: usize = 64 * 1024;

/// The client takes nothing any more.
#[derive(Debug)]
pub(crate) struct Closed;

/// The connection's end.
#[derive(Debug)]
pub(crate) struct HttpTransport {
    exchange: Arc<Exchange>,
    received: mpsc::Receiver<Bytes>,
    outgoing: mpsc::Sender<Bytes>,
}

/// The requests' end.
#[derive(Debug)]
pub(crate) struct Exchange {
    received: mpsc::Sender<Bytes>,
    /// One POST after the other is read.
    turn: sync::Mutex<()>,
    /// Polls take it in turn. An event stream has it for itself.
    outgoing: Option<sync::Mutex<mpsc::Receiver<Bytes>>>,
    /// Ends the poll under way when another one begins.
    superseded: Notify,
    left: watch::Sender<bool>,
    presence: Mutex<Presence>,
}

#[derive(Debug)]
struct Presence {
    open_polls: usize,
    last: Instant,
}

/// What a poll answers.
#[derive(Debug, PartialEq)]
pub(crate) enum Polled {
    Messages(Bytes),
    Nothing,
    End,
}

/// A connection of long polls.
pub(crate) fn long_polling() -> (HttpTransport, Arc<Exchange>) {
    let (outgoing, incoming) = mpsc::channel(1);
    connection(outgoing, Some(sync::Mutex::new(incoming)))
}

/// A connection of Server-Sent Events, and the body of its stream.
pub(crate) fn server_sent_events() -> (HttpTransport, Arc<Exchange>, Body) {
    let (outgoing, mut incoming) = mpsc::channel::<Bytes>(1);
    let events = stream::poll_fn(move |cx| {
        let chunk = incoming.poll_recv(cx);
        chunk.map(|chunk| chunk.map(|bytes| Ok::<_, std::convert::Infallible>(event(&bytes))))
    });
    let (transport, exchange) = connection(outgoing, None);
    (transport, exchange, Body::from_stream(events))
}

fn connection(
    outgoing: mpsc::Sender<Bytes>,
    incoming: Option<sync::Mutex<mpsc::Receiver<Bytes>>>,
) -> (HttpTransport, Arc<Exchange>) {
    let (sender, received) = mpsc::channel(1);
    let exchange = Arc::new(Exchange {
        received: sender,
        turn: sync::Mutex::default(),
        outgoing: incoming,
        superseded: Notify::new(),
        left: watch::Sender::new(false),
        presence: Mutex::new(Presence { open_polls: 0, last: Instant::now() }),
    });
    (HttpTransport { exchange: exchange.clone(), received, outgoing }, exchange)
}

/// One event. JSON of the REST API's callers may have line breaks between its tokens, which end a line here.
fn event(messages: &[u8]) -> Bytes {
    let mut event = Vec::with_capacity(messages.len() + 16);
    for line in messages.split(|byte| matches!(byte, b'\r' | b'\n')) {
        event.extend_from_slice(b"data: ");
        event.extend_from_slice(line);
        event.extend_from_slice(b"\r\n");
    }
    event.extend_from_slice(b"\r\n");
    event.into()
}

impl HttpTransport {
    pub(crate) fn is_polled(&self) -> bool {
        self.exchange.is_polled()
    }

    /// A client that polls is there; an event stream says nothing of its reader.
    pub(crate) fn last_seen(&self) -> Option<Instant> {
        self.exchange.is_polled().then(|| {
            let presence = lock(&self.exchange.presence);
            if presence.open_polls > 0 { Instant::now() } else { presence.last }
        })
    }

    pub(crate) async fn receive(&mut self) -> Option<Bytes> {
        tokio::select! {
            chunk = self.received.recv() => chunk,
            () = self.exchange.has_left() => None,
            () = self.outgoing.closed() => None,
        }
    }

    pub(crate) async fn write(&self, frames: Vec<Frame>) -> Result<(), Closed> {
        let mut frames = frames.into_iter().map(Bytes::from).peekable();
        while let Some(only) = frames.next() {
            let mut length = only.len();
            let mut fits = |next: &Bytes| {
                length += next.len();
                length <= CHUNK
            };
            let bytes = match frames.next_if(&mut fits) {
                None => only,
                Some(second) => {
                    let mut all = vec![only, second];
                    all.extend(iter::from_fn(|| frames.next_if(&mut fits)));
                    all.concat().into()
                }
            };
            self.hand_over(bytes).await?;
        }
        Ok(())
    }

    /// Waits until a request has taken the chunk. A client that has left makes no more of them.
    async fn hand_over(&self, chunk: Bytes) -> Result<(), Closed> {
        let taken = async {
            self.outgoing.send(chunk).await.map_err(|_| Closed)?;
            self.outgoing.reserve().await.map(drop).map_err(|_| Closed)
        };
        tokio::select! {
            biased;
            taken = taken => taken,
            () = self.exchange.has_left() => Err(Closed),
        }
    }

    /// Waits until the client leaves, as it does when it has read the last messages. What it has sent before that is taken,
    /// and a poll waits: a client that is refused, or told that it is over, may tell its user of that instead of the messages.
    pub(crate) async fn close(self) {
        let Self { exchange, mut received, outgoing } = self;
        tokio::select! {
            () = exchange.has_left() => {}
            () = outgoing.closed() => {}
            () = async { while received.recv().await.is_some() {} } => {}
        }
    }
}

impl Exchange {
    /// Whether it is polled, rather than an event stream.
    pub(crate) fn is_polled(&self) -> bool {
        self.outgoing.is_some()
    }

    /// Waits until the body of a POST may be read: one at a time waits in memory.
    pub(crate) async fn turn(&self) -> sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Hands on what a client sends. An error means that the connection has ended.
    pub(crate) async fn send(&self, chunk: Bytes) -> Result<(), Closed> {
        let _present = Present::of(self);
        self.received.send(chunk).await.map_err(|_| Closed)
    }

    /// Hands on what the client has sent before: the first that is received.
    pub(crate) fn send_early(&self, chunk: Bytes) {
        // There is room for one chunk.
        let _ = self.received.try_send(chunk);
    }

    /// Waits so long for something to answer a poll with.
    pub(crate) async fn poll(&self, patience: Duration) -> Polled {
        let Some(outgoing) = &self.outgoing else { return Polled::End };
        let _present = Present::of(self);
        self.superseded.notify_waiters();
        let superseded = self.superseded.notified();
        tokio::pin!(superseded);
        superseded.as_mut().enable();
        let mut outgoing = outgoing.lock().await;
        tokio::select! {
            biased;
            chunk = outgoing.recv() => match chunk {
                Some(bytes) => Polled::Messages(bytes),
                None => Polled::End,
            },
            () = time::sleep(patience) => Polled::Nothing,
            () = superseded => Polled::Nothing,
        }
    }

    /// The client ends the connection.
    pub(crate) fn leave(&self) {
        self.left.send_replace(true);
    }

    async fn has_left(&self) {
        // The sender is here.
        let _ = self.left.subscribe().wait_for(|has_left| *has_left).await;
    }
}

/// A request under way.
struct Present<'e>(&'e Exchange);

impl<'e> Present<'e> {
    fn of(exchange: &'e Exchange) -> Self {
        lock(&exchange.presence).open_polls += 1;
        Self(exchange)
    }
}

impl Drop for Present<'_> {
    fn drop(&mut self) {
        let mut presence = lock(&self.0.presence);
        presence.open_polls -= 1;
        presence.last = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, task::Poll};

    use futures_util::{FutureExt, poll};

    use super::*;

    fn frame(text: &'static str) -> Vec<Frame> {
        vec![Frame::Text(text.into())]
    }

    #[tokio::test]
    async fn a_poll_takes_what_waits_and_the_writer_knows() {
        let (transport, exchange) = long_polling();
        let mut writing = pin!(transport.write(frame("1")));
        assert!(poll!(&mut writing).is_pending());
        assert_eq!(exchange.poll(Duration::ZERO).await, Polled::Messages("1".into()));
        assert!(matches!(poll!(&mut writing), Poll::Ready(Ok(()))));
        assert_eq!(exchange.poll(Duration::ZERO).await, Polled::Nothing);
        let two = vec![Frame::Text("2".into()), Frame::Text("3".into()), Frame::Text("4".into())];
        let (polled, written) = tokio::join!(exchange.poll(Duration::from_secs(9)), transport.write(two));
        assert!(polled == Polled::Messages("234".into()) && written.is_ok());
    }

    #[tokio::test]
    async fn a_request_gets_little_at_a_time() {
        let (transport, exchange) = long_polling();
        let frames =
            [CHUNK / 2, CHUNK / 2, 1, 2 * CHUNK, 1].map(|length| Frame::Binary(vec![0; length].into()));
        let mut writing = pin!(transport.write(frames.into()));
        for length in [CHUNK, 1, 2 * CHUNK, 1] {
            assert!(poll!(&mut writing).is_pending(), "what is not taken still counts");
            assert_eq!(exchange.poll(Duration::ZERO).await, Polled::Messages(vec![0; length].into()));
        }
        assert!(matches!(poll!(&mut writing), Poll::Ready(Ok(()))));
    }

    #[tokio::test]
    async fn a_poll_ends_the_one_before() {
        let (transport, exchange) = long_polling();
        let mut first = pin!(exchange.poll(Duration::MAX));
        assert!(poll!(&mut first).is_pending());
        let mut second = pin!(exchange.poll(Duration::MAX));
        assert!(poll!(&mut second).is_pending());
        assert_eq!(poll!(&mut first), Poll::Ready(Polled::Nothing));
        let polling = async {
            assert_eq!(second.await, Polled::Messages("bye".into()));
            let mut last = pin!(exchange.poll(Duration::MAX));
            assert!(poll!(&mut last).is_pending(), "it has not left");
            exchange.leave();
            assert_eq!(last.await, Polled::End);
        };
        let closing = async {
            transport.write(frame("bye")).await.expect("it is polled");
            transport.close().await;
        };
        tokio::join!(polling, closing);
        assert_eq!(exchange.poll(Duration::MAX).await, Polled::End, "for good");
    }

    #[tokio::test]
    async fn who_polls_is_there() {
        let (transport, exchange) = long_polling();
        let seen = || transport.last_seen().expect("it is known");
        let before = seen();
        assert_eq!(seen(), before);
        {
            let mut polling = pin!(exchange.poll(Duration::MAX));
            assert!(poll!(&mut polling).is_pending());
            assert!(seen() > before);
        }
        let after = seen();
        assert!(after > before && seen() == after);
        exchange.leave();
        let mut transport = transport;
        assert_eq!(transport.receive().now_or_never(), Some(None));
    }

    #[tokio::test]
    async fn an_event_stream_ends_with_its_connection_and_the_other_way_round() {
        let (transport, exchange, body) = server_sent_events();
        let writing = async move {
            transport.write(frame("{\n\"a\":1}\u{1e}")).await.expect("it is read");
            transport.write(frame("x")).await.expect("it is read");
        };
        drop(exchange);
        let (read, ()) = tokio::join!(axum::body::to_bytes(body, 1000), writing);
        assert_eq!(&read.expect("it ends")[..], b"data: {\r\ndata: \"a\":1}\x1e\r\n\r\ndata: x\r\n\r\n");

        let (mut other, _exchange, body) = server_sent_events();
        assert_eq!(other.receive().now_or_never(), None);
        drop(body);
        assert_eq!(other.receive().now_or_never(), Some(None));
    }
}
