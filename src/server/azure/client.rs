//! A client that is connected to Azure SignalR Service: its bytes travel on a server connection, among those of others.

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use axum::body::Bytes;
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};

use super::{connections::ServerConnections, event::Via};
use crate::{
    core::{
        HubProtocol,
        service_protocol::{Extensions, ServiceMessage, codes::data::HANDSHAKE},
    },
    lock::lock,
    server::{azure::pieces::Pieces, exchange::Closed, kept::OVERHEAD, message::Frame, outbox},
};

/// How many bytes of one client may wait for the hub. The service cannot be asked to hold back one client of many, so one
/// that sends more than the hub takes ends, rather than those who share its server connection wait.
const LIMIT: usize = outbox::LIMIT;

/// What a client sends while it has nothing to say.
const PINGS: [&[u8]; 2] = [b"{\"type\":6}\x1e", b"\x02\x91\x06"];

/// The answer to a handshake that was accepted.
const ACCEPTED: &[u8] = b"{}\x1e";

/// Flow control, operations of a client.
const PAUSE: i32 = 1;
const PAUSE_ACK: i32 = 2;
const RESUME: i32 = 3;

/// One client, as the server connections know it.
pub(super) struct Client {
    pub(super) id: String,
    /// The server connection that it is on.
    pub(super) via: Via,
    /// The instance of the service that has its socket.
    pub(super) instance: String,
    /// What it speaks, where the service knows that.
    pub(super) protocol: Option<HubProtocol>,
    /// Takes what it sends. None: nothing more comes.
    incoming: Mutex<Option<mpsc::UnboundedSender<Bytes>>>,
    waiting: AtomicUsize,
    /// The beginning of something whose rest follows (stateful reconnect).
    partial: Mutex<Vec<u8>>,
    /// Held while writing. While the client is moved, nothing may be written.
    gate: Arc<tokio::sync::Mutex<()>>,
    /// Ends the pause that the service has asked for.
    pause: Mutex<Option<Arc<Notify>>>,
    /// Whether the service needs no word of its end.
    has_left: AtomicBool,
}

impl Client {
    /// A client, and the transport of its session. Of one that comes from another server the handshake is answered
    /// already.
    pub(super) fn new(
        id: &str,
        via: Via,
        instance: &str,
        protocol: Option<HubProtocol>,
        is_greeted: bool,
        connections: ServerConnections,
    ) -> (Arc<Self>, ServiceTransport) {
        let (sender, incoming) = mpsc::unbounded_channel();
        let client = Arc::new(Self {
            id: id.to_owned(),
            via,
            instance: instance.to_owned(),
            protocol,
            incoming: Mutex::new(Some(sender)),
            waiting: AtomicUsize::new(0),
            partial: Mutex::default(),
            gate: Arc::default(),
            pause: Mutex::default(),
            has_left: AtomicBool::new(false),
        });
        let greeting = if is_greeted { Greeting::Given } else { Greeting::Due };
        let transport =
            ServiceTransport { client: client.clone(), connections, incoming, greeting, sends_pings: false };
        (client, transport)
    }

    /// Takes bytes of the client. `is_partial`: what they are a part of goes on in the next ones.
    pub(super) fn receive(&self, bytes: &[u8], is_partial: bool) {
        let mut partial = lock(&self.partial);
        let begun = partial.len();
        if begun + bytes.len() > LIMIT {
            return self.overflow();
        }
        if is_partial {
            return partial.extend_from_slice(bytes);
        }
        let bytes = if begun == 0 {
            Bytes::copy_from_slice(bytes)
        } else {
            partial.extend_from_slice(bytes);
            std::mem::take(&mut *partial).into()
        };
        drop(partial);
        let cost = bytes.len() + OVERHEAD;
        if self.waiting.fetch_add(cost, Ordering::Relaxed) + cost > LIMIT {
            return self.overflow();
        }
        if let Some(incoming) = &*lock(&self.incoming) {
            // An error means that its session has just ended.
            let _ = incoming.send(bytes);
        }
    }

    /// The session takes what is there, and ends.
    fn overflow(&self) {
        if lock(&self.incoming).take().is_some() {
            let id = &self.id;
            tracing::warn!(id, "a client ends that has sent so much that {LIMIT} bytes wait for the hub");
        }
    }

    /// The client goes on with another socket, and sends anew what it has sent in parts.
    pub(super) fn forget_partial(&self) {
        lock(&self.partial).clear();
    }

    /// The client has left, or is no longer this server's: nothing is said about it any more.
    pub(super) fn leave(&self) {
        self.has_left.store(true, Ordering::Release);
        lock(&self.incoming).take();
        self.resume();
    }

    /// Whether the service knows that the client is gone.
    pub(super) fn has_left(&self) -> bool {
        self.has_left.load(Ordering::Acquire)
    }

    /// The service pauses the client, or lets it go on. What is on its way is finished before the pause is acknowledged.
    pub(super) fn control(self: &Arc<Self>, operation: i32, connections: &ServerConnections) {
        match operation {
            PAUSE => {
                let mut pause = lock(&self.pause);
                if pause.is_some() {
                    return;
                }
                let over = Arc::new(Notify::new());
                *pause = Some(over.clone());
                let (client, connections) = (self.clone(), connections.clone());
                tokio::spawn(async move {
                    let _gate = client.gate.lock().await;
                    let acknowledgement = ServiceMessage::ConnectionFlowControl {
                        connection_id: client.id.as_str().into(),
                        connection_type: 1,
                        operation: PAUSE_ACK,
                        extensions: Extensions::default(),
                    };
                    if connections.send(client.via, &acknowledgement).await.is_ok() {
                        over.notified().await;
                    }
                });
            }
            RESUME => self.resume(),
            _ => {}
        }
    }

    fn resume(&self) {
        if let Some(over) = lock(&self.pause).take() {
            over.notify_one();
        }
    }
}

/// Without its bytes.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("id", &self.id).field("via", &self.via).finish_non_exhaustive()
    }
}

/// Whether the handshake is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Greeting {
    Due,
    /// By the server that had the client before: this one's answer is kept from the client.
    Given,
    Done,
}

/// What carries a session of a client behind Azure SignalR Service.
pub(crate) struct ServiceTransport {
    client: Arc<Client>,
    connections: ServerConnections,
    incoming: mpsc::UnboundedReceiver<Bytes>,
    greeting: Greeting,
    sends_pings: bool,
}

impl ServiceTransport {
    /// When the client was last there. One that sends no pings, as over long polling, is there as long as the service says
    /// nothing else.
    pub(crate) fn last_seen(&self) -> Option<Instant> {
        (!self.sends_pings).then(Instant::now)
    }

    /// The next bytes, `None` when the client has left. It can be abandoned at any time.
    pub(crate) async fn receive(&mut self) -> Option<Bytes> {
        let bytes = self.incoming.recv().await?;
        self.client.waiting.fetch_sub(bytes.len() + OVERHEAD, Ordering::Relaxed);
        self.sends_pings |= PINGS.contains(&&*bytes);
        Some(bytes)
    }

    /// Sends each message by itself: the service counts them in stateful reconnect. Waits until the server connection has
    /// room, and while the client is paused.
    pub(crate) async fn write(&mut self, frames: Vec<Frame>) -> Result<(), Closed> {
        for frame in frames {
            match std::mem::replace(&mut self.greeting, Greeting::Done) {
                Greeting::Done => {
                    for (piece, kind) in Pieces::new(&frame) {
                        self.send(piece, kind).await?;
                    }
                }
                Greeting::Given if frame.bytes() == ACCEPTED => {}
                Greeting::Due | Greeting::Given => self.send(frame.bytes(), HANDSHAKE).await?,
            }
        }
        Ok(())
    }

    async fn send(&self, payload: &[u8], data_message_type: i32) -> Result<(), Closed> {
        let _gate = self.client.gate.lock().await;
        if self.client.has_left() {
            return Err(Closed);
        }
        let extensions = Extensions { data_message_type, ..Extensions::default() };
        let message = ServiceMessage::ConnectionData {
            connection_id: self.client.id.as_str().into(),
            payload,
            extensions,
        };
        self.connections.send(self.client.via, &message).await.map_err(|_| Closed)
    }
}

impl fmt::Debug for ServiceTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceTransport").field("client", &self.client).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        platform::Network,
        server::azure::shared::ConnectionsOptions,
        service::{ServiceEndpoint, credentials::AccessKey, server_access::EndpointAccess},
    };

    fn client() -> (Arc<Client>, ServiceTransport) {
        // Nobody listens there.
        let endpoint = ServiceEndpoint::new("http://127.0.0.1:9", AccessKey::new("key")).unwrap();
        let access = EndpointAccess::new(endpoint, None, Network::default(), Default::default()).unwrap();
        let options = ConnectionsOptions::new("hub", vec![access]);
        let (connections, _events) = ServerConnections::start(options).unwrap();
        Client::new("c", Via { endpoint: 0, number: 0 }, "i", None, false, connections)
    }

    #[tokio::test]
    async fn parts_come_as_a_whole_and_are_forgotten_for_a_new_socket() {
        let (client, mut transport) = client();
        client.receive(b"lost", true);
        client.forget_partial();
        client.receive(b"a", true);
        client.receive(b"b", true);
        client.receive(b"c", false);
        client.receive(b"d", false);
        assert_eq!(transport.receive().await.as_deref(), Some(&b"abc"[..]));
        assert_eq!(transport.receive().await.as_deref(), Some(&b"d"[..]));
        client.leave();
        assert_eq!(transport.receive().await, None);
        assert!(transport.write(vec![Frame::Text("{}\u{1e}".into())]).await.is_err());
    }

    #[tokio::test]
    async fn a_client_that_sends_too_much_ends() {
        let (client, mut transport) = client();
        let chunk = vec![b'x'; LIMIT / 4 - OVERHEAD];
        for _ in 0..4 {
            client.receive(&chunk, false);
        }
        assert!(transport.receive().await.is_some(), "so much may wait");
        client.receive(&chunk, false);
        client.receive(b"one more", false);
        for _ in 0..4 {
            assert!(transport.receive().await.is_some());
        }
        assert!(transport.receive().await.is_none() && !client.has_left(), "the service has to be told");

        let (client, mut transport) = self::client();
        for _ in 0..5 {
            client.receive(&chunk, true);
        }
        assert!(transport.receive().await.is_none(), "parts are bounded as well");
    }

    #[tokio::test]
    async fn a_client_that_sends_no_pings_counts_as_there() {
        let (client, mut transport) = client();
        client.receive(b"{\"type\":1}\x1e", false);
        assert!(transport.receive().await.is_some() && transport.last_seen().is_some());
        client.receive(PINGS[0], false);
        assert!(transport.receive().await.is_some() && transport.last_seen().is_none());
    }
}
