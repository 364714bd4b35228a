//! The machine of one server connection: what an app server says to Azure SignalR Service about the connection itself,
//! and what it makes of what the service says. What concerns clients goes through.
//!
//! ```text
//!  Handshaking ──▶ Ready ──▶ Closed
//! ```
//!
//! A driver has a WebSocket, a clock and nothing to decide. Again and again:
//!
//! 1. `handle_…` with what happened,
//! 2. [`poll_transmit`](ServerConnection::poll_transmit) until it is `None`, and send that before anything else,
//! 3. [`poll_effect`](ServerConnection::poll_effect) until it is `None`,
//! 4. wait until [`poll_timeout`](ServerConnection::poll_timeout) at most.
//!
//! [`pool`] decides which server connections there are, and which one carries a message.
//!
//! Source: [ServiceProtocol.md](https://github.com/Azure/azure-signalr/blob/dev/specs/ServiceProtocol.md), and where the
//! two differ, the official SDK's code.

pub mod pool;
mod receive;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::core::Moment;
use crate::core::framing::BinaryFraming;
use crate::core::keepalive::{Due, KeepAlive};
use crate::core::service_protocol::{Extensions, ServiceMessage, Text, write};

/// The longest message of the service. What it sends is what clients send, of which each is shorter.
pub const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// How often this end says that it is there. The official SDK does so when something comes from the service, at most so
/// often; then a service that waits for its ping, in silence, waits in vain.
pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(5);
/// A service that is silent for so long is given up.
pub(crate) const SERVICE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the service may take to answer the handshake.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
/// How often the end is announced until the service answers, and how many times at most.
const FIN_INTERVAL: Duration = Duration::from_secs(5);
const FIN_ATTEMPTS: u32 = 24;
/// How often a key for clients' tokens is asked for.
const KEY_INTERVAL: Duration = Duration::from_secs(10 * 60);
/// How long the service may take to close a server connection that it has an error for. The official SDK waits for ever.
const ERROR_TIMEOUT: Duration = Duration::from_secs(5);

/// So much may wait to be sent before the service is not read any further: it may ask for answers without taking any.
const MAX_TRANSMITS: usize = 64;

/// What a server connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It is always there.
    Default,
    /// The service has asked for it.
    OnDemand,
    /// It carries no clients of its own: of a secondary endpoint.
    Weak,
}

/// What the handshake says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// What the server connection is for.
    pub kind: Kind,
    /// Whether clients move to another server when this one shuts down: 0 no, 1 yes.
    pub migration_level: i32,
    /// Whether the app server takes part in stateful reconnect.
    pub allows_stateful_reconnect: bool,
    /// Whether keys for clients' tokens are asked for, by a token of Microsoft Entra ID.
    pub asks_for_keys: bool,
}

/// How a server connection announces its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fin {
    /// Its clients are dropped.
    Drop,
    /// Its clients move to other servers.
    Migrate,
    /// Its clients stay until they leave.
    Keep,
}

/// What an endpoint says of itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Status {
    /// Whether the hub has clients there.
    pub has_clients: bool,
    /// How many, of all servers.
    pub client_count: Option<u64>,
    /// How many server connections.
    pub server_count: Option<u64>,
    /// For how many clients there is room in all.
    pub capacity: Option<u64>,
}

/// What the driver has to do.
#[derive(Clone, PartialEq, Eq)]
pub enum Effect {
    /// The handshake is over: messages may be sent.
    Ready,
    /// A message that concerns clients, without its length.
    Message(Vec<u8>),
    /// The answer to what had this ack id.
    Acknowledged {
        /// Of the question.
        ack_id: i32,
        /// 1 done or yes, 2 not found or no, 3 too late, 4 the service failed, 5 forbidden.
        status: i32,
        /// What was asked for.
        payload: Option<Vec<u8>>,
    },
    /// The endpoint has answered how it is.
    Status(Status),
    /// One more server connection is wanted, to this instance of the service.
    Rebalance(String),
    /// An instance of the service is gone, and with it its clients; all of this server connection, if it is empty.
    Offline(String),
    /// Now is the time to ask for a key: see [`ServerConnection::ask_for_key`].
    KeyIsDue,
    /// A key for clients' tokens.
    Key {
        /// Its id.
        id: String,
        /// Its text.
        key: String,
    },
    /// The service gives no key.
    KeyRefused(String),
    /// Messages of many clients go over another server connection from now on; this one's own clients stay.
    Retire,
    /// Nothing more may be sent.
    Block(String),
    /// The end was announced, and the service knows it or does not answer.
    FinDone,
    /// Something is worth a line in the log.
    Note(String),
    /// The server connection is over: close the WebSocket.
    Close(&'static str),
}

/// There are keys and clients' messages in it.
impl std::fmt::Debug for Effect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ready => f.write_str("Ready"),
            Self::Message(frame) => write!(f, "Message({} bytes)", frame.len()),
            Self::Acknowledged { ack_id, status, .. } => write!(f, "Acknowledged({ack_id}, {status})"),
            Self::Status(status) => status.fmt(f),
            Self::Rebalance(target) => write!(f, "Rebalance({target})"),
            Self::Offline(instance) => write!(f, "Offline({instance})"),
            Self::KeyIsDue => f.write_str("KeyIsDue"),
            Self::Key { id, .. } => write!(f, "Key({id})"),
            Self::KeyRefused(reason) => write!(f, "KeyRefused({reason})"),
            Self::Retire => f.write_str("Retire"),
            Self::Block(reason) => write!(f, "Block({reason})"),
            Self::FinDone => f.write_str("FinDone"),
            Self::Note(text) => write!(f, "Note({text})"),
            Self::Close(reason) => write!(f, "Close({reason})"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Handshaking { by: Moment },
    Ready,
    Closed,
}

/// An end that is announced.
#[derive(Debug, Clone, Copy)]
struct Announcement {
    fin: Fin,
    left: u32,
    next: Moment,
}

/// One server connection, from the upgrade to its end. Order of calls: see [the module](self).
#[derive(Debug)]
pub struct ServerConnection {
    terms: Terms,
    phase: Phase,
    framing: BinaryFraming,
    keep_alive: KeepAlive,
    /// Who came over it and has not left, each with the instance of the service that it is connected to.
    clients: HashMap<Box<str>, Box<str>>,
    /// How many clients the hub has in this process.
    clients_in_hub: usize,
    next_key: Moment,
    announcement: Option<Announcement>,
    /// When it is closed in any case: the service has said that it is broken.
    broken_until: Option<Moment>,
    transmits: VecDeque<Vec<u8>>,
    effects: VecDeque<Effect>,
}

impl ServerConnection {
    /// The WebSocket is open. What is to be sent first is the handshake.
    #[must_use]
    pub fn new(now: Moment, terms: Terms) -> Self {
        let mut connection = Self {
            terms,
            phase: Phase::Handshaking { by: now + HANDSHAKE_TIMEOUT },
            framing: BinaryFraming::new(MAX_MESSAGE),
            keep_alive: KeepAlive::new(now, PING_INTERVAL, SERVICE_TIMEOUT),
            clients: HashMap::new(),
            clients_in_hub: 0,
            next_key: Moment::MAX,
            announcement: None,
            broken_until: None,
            transmits: VecDeque::new(),
            effects: VecDeque::new(),
        };
        connection.transmit(&ServiceMessage::HandshakeRequest {
            version: 1,
            connection_type: match terms.kind {
                Kind::Default => 0,
                Kind::OnDemand => 1,
                Kind::Weak => 2,
            },
            // It is in the URL alone, as with the SDK.
            target: None,
            migration_level: terms.migration_level,
            extensions: Extensions::default(),
            allow_stateful_reconnects: terms.allows_stateful_reconnect,
        });
        connection
    }

    /// Whether the handshake is over, and the server connection is not.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    /// Whether the service may be read: it takes what it has asked for.
    #[must_use]
    pub fn may_read(&self) -> bool {
        self.transmits.len() < MAX_TRANSMITS
    }

    /// How many clients came over it and have not left.
    #[must_use]
    pub fn client_count(&self) -> usize {
        self.clients.len()
    }

    /// This end has closed a client.
    pub fn handle_client_closed(&mut self, connection_id: &str) {
        self.clients.remove(connection_id);
    }

    /// How many clients the hub has in this process, for the next ping.
    pub fn set_clients_in_hub(&mut self, count: usize) {
        self.clients_in_hub = count;
    }

    /// What the service has sent was not read for a while: it may have been there.
    pub fn handle_unread(&mut self, now: Moment) {
        self.keep_alive.handle_received(now);
    }

    /// Asks the endpoint how it is. The answer is [`Effect::Status`].
    pub fn ask_status(&mut self) {
        self.ping(&["status", "1"]);
    }

    /// Asks for a key for clients' tokens, by a token of Microsoft Entra ID.
    pub fn ask_for_key(&mut self, token: &str) {
        if self.is_ready() && self.broken_until.is_none() {
            self.transmit(&ServiceMessage::AccessKeyRequest {
                token: Some(token.into()),
                // The SDK never says which key it has.
                kid: None,
                extensions: Extensions::default(),
            });
        }
    }

    /// Announces the end, until the service answers. A weak server connection has no clients to tell of.
    pub fn announce_end(&mut self, now: Moment, fin: Fin) {
        if !self.is_ready() || self.broken_until.is_some() || self.terms.kind == Kind::Weak {
            return self.effects.push_back(Effect::FinDone);
        }
        self.announcement = Some(Announcement { fin, left: FIN_ATTEMPTS, next: now });
        self.handle_announcement(now);
    }

    fn handle_announcement(&mut self, now: Moment) {
        let Some(announcement) = &mut self.announcement else { return };
        if now < announcement.next {
            return;
        }
        if announcement.left == 0 {
            self.announcement = None;
            return self.effects.push_back(Effect::FinDone);
        }
        announcement.left -= 1;
        announcement.next = now + FIN_INTERVAL;
        let fin = match announcement.fin {
            Fin::Drop => "fin:0",
            Fin::Migrate => "fin:1",
            Fin::Keep => "fin:2",
        };
        self.ping(&["shutdown", fin]);
    }

    fn ping(&mut self, messages: &[&str]) {
        if self.is_ready() && self.broken_until.is_none() {
            let messages = messages.iter().map(|text| Some(Text::from(*text))).collect();
            self.transmit(&ServiceMessage::Ping { messages });
        }
    }

    fn transmit(&mut self, message: &ServiceMessage<'_>) {
        let mut bytes = Vec::new();
        write(&mut bytes, message);
        self.transmits.push_back(bytes);
    }

    fn close(&mut self, reason: &'static str) {
        if self.phase != Phase::Closed {
            self.phase = Phase::Closed;
            self.effects.push_back(Effect::Close(reason));
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Moment {
        let announcement = self.announcement.map_or(Moment::MAX, |announcement| announcement.next);
        let broken = self.broken_until.unwrap_or(Moment::MAX);
        let handshake = match self.phase {
            Phase::Handshaking { by } => by,
            Phase::Ready => Moment::MAX,
            Phase::Closed => return Moment::MAX,
        };
        [self.keep_alive.poll_timeout(), announcement, broken, handshake]
            .into_iter()
            .fold(self.next_key, Ord::min)
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Moment) {
        match self.phase {
            Phase::Handshaking { by } if now >= by => {
                return self.close("the service has not answered the handshake in time");
            }
            Phase::Closed => return,
            _ => {}
        }
        if self.broken_until.is_some_and(|by| now >= by) {
            return self.close("the service has reported an error");
        }
        while let Some(due) = self.keep_alive.handle_timeout(now) {
            match due {
                Due::PeerTimeout => return self.close("the service has been silent for 30 seconds"),
                Due::Ping => self.ping(&[
                    "#clientInHub",
                    &self.clients_in_hub.to_string(),
                    "#client",
                    &self.clients.len().to_string(),
                ]),
            }
        }
        self.handle_announcement(now);
        if now >= self.next_key {
            self.next_key = now + KEY_INTERVAL;
            self.effects.push_back(Effect::KeyIsDue);
        }
    }

    /// Bytes to send, in order and before messages of clients.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmits.pop_front()
    }

    /// What is to be done.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }
}
