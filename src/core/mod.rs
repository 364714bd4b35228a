//! The sans-I/O core: the SignalR protocol, without a socket, a clock, a task or a platform.
//!
//! From bytes to calls:
//!
//! 1. [`url`] reads a hub's address, [`negotiate`] turns it into requests and answers into a transport to open,
//!    [`token`] looks into client tokens.
//! 2. [`handshake`] opens the hub protocol, [`framing`] cuts the stream into messages, [`json`] and [`msgpack`] read
//!    and write a [`message`].
//! 3. [`hub`] keeps the calls of one connection, [`keepalive`] its timers, [`stateful`] what a new socket has to send;
//!    [`hub_name`] is what a hub may be called.
//! 4. [`client`] and [`server`] are the machines of the two ends of a connection; they drive all of this. [`codec`] is
//!    how they read and write messages. [`sse`] reads the event stream of one transport.
//! 5. `service_protocol`, natively, is what app servers and Azure SignalR Service say to each other; `server_connection` is
//!    the app server's machine for that.
//!
//! State machines have one shape: `handle_…(now, input)` takes what happened, `poll_…()` gives what is to be done.
//! Time is an argument, a [`Moment`]: the same lines run natively, in the browser, in the tests with their virtual clock
//! and in the fuzzers.
//!
//! Everything that comes from the network is bounded in length, depth and count, and ends in a `Result`.
//!
//! # What is stable
//!
//! [`negotiate`], [`token`], [`url`], [`hub_name`] and the types of this module are public, and follow semantic versioning.
//! Everything else is public only with the feature `unstable-machines`, which promises nothing: any release may change it.
#![cfg_attr(
    not(feature = "unstable-machines"),
    allow(
        dead_code,
        unreachable_pub,
        unused_imports,
        rustdoc::private_intra_doc_links,
        reason = "each build uses a part of the machines, and none of them is public"
    )
)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable
)]

// What the rest of the crate is made of, and what it makes public at its root.
pub(crate) mod ascii;
mod cause;
mod headers;
pub mod hub_name;
pub(crate) mod moment;
pub mod negotiate;
mod outgoing;
mod protocol;
pub(crate) mod table;
pub mod token;
pub mod url;
#[cfg(feature = "client")]
pub mod value;

// The machines, and how they read and write: no promise is made about them.
#[cfg(feature = "unstable-machines")]
pub mod client;
#[cfg(feature = "unstable-machines")]
pub mod codec;
#[cfg(feature = "unstable-machines")]
pub mod framing;
#[cfg(feature = "unstable-machines")]
pub mod handshake;
#[cfg(feature = "unstable-machines")]
pub mod http;
#[cfg(feature = "unstable-machines")]
pub mod hub;
#[cfg(feature = "unstable-machines")]
pub mod json;
#[cfg(feature = "unstable-machines")]
pub mod keepalive;
#[cfg(feature = "unstable-machines")]
pub mod message;
#[cfg(feature = "unstable-machines")]
pub mod msgpack;
#[cfg(feature = "unstable-machines")]
pub mod refresh;
#[cfg(feature = "unstable-machines")]
pub mod server;
#[cfg(all(native, feature = "unstable-machines"))]
pub mod server_connection;
#[cfg(all(native, feature = "unstable-machines"))]
pub mod service_protocol;
#[cfg(feature = "unstable-machines")]
pub mod sse;
#[cfg(feature = "unstable-machines")]
pub mod stateful;
#[cfg(feature = "unstable-machines")]
pub mod text;

#[cfg(not(feature = "unstable-machines"))]
pub(crate) mod client;
#[cfg(not(feature = "unstable-machines"))]
pub(crate) mod codec;
#[cfg(not(feature = "unstable-machines"))]
pub(crate) mod framing;
#[cfg(not(feature = "unstable-machines"))]
pub(crate) mod handshake;
#[cfg(not(feature = "unstable-machines"))]
pub(crate) mod http;
#[cfg(not(feature = "unstable-machines"))]
pub(crate) mod hub;
#[cfg(not(feature = "unstable-machines"))]
pub(crate) mod json;
#[cfg(not(feature = "unstable-machines"))]
pub(crate) mod keepalive;
#[cfg(not(feature = "unstable-machines"))]
pub(crate) mod message;
#[cfg(not(feature = "unstable-machines"))]
pub(crate) mod msgpack;
#[cfg(not(feature = "unstable-machines"))]
pub(crate) mod refresh;
#[cfg(not(feature = "unstable-machines"))]
pub(crate) mod server;
#[cfg(all(native, feature = "server", feature = "service", not(feature = "unstable-machines")))]
pub(crate) mod server_connection;
#[cfg(all(native, feature = "server", feature = "service", not(feature = "unstable-machines")))]
pub(crate) mod service_protocol;
#[cfg(not(feature = "unstable-machines"))]
pub(crate) mod sse;
#[cfg(not(feature = "unstable-machines"))]
pub(crate) mod stateful;
#[cfg(not(feature = "unstable-machines"))]
pub(crate) mod text;

pub use self::cause::{Cause, ErrorChain};
#[cfg(feature = "unstable-machines")]
pub use self::moment::Moment;
#[cfg(not(feature = "unstable-machines"))]
pub(crate) use self::moment::Moment;
pub use self::protocol::HubProtocol;
use std::fmt;

/// What a platform reports when a request or a socket fails.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransportError {
    /// What failed, in words; never with a query or a token in it.
    pub message: String,
    /// The HTTP status, when a server refused to open a socket and the platform tells. Browsers do not.
    pub status: Option<u16>,
    /// The WebSocket close code, when a socket was closed with one.
    pub close_code: Option<u16>,
    /// Who or what stood in the way, where the platform tells. Browsers do not.
    pub kind: TransportErrorKind,
    /// Why it failed, where a library or the operating system tells.
    pub cause: Option<Cause>,
}

/// Who or what stood in the way of a request or a socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportErrorKind {
    /// The server, the network, or it is not known.
    #[default]
    Other,
    /// A proxy did not let the connection through: it answered with this status, or refused in the words of SOCKS.
    Proxy {
        /// The HTTP status of the proxy's answer. It is not the server's.
        status: Option<u16>,
    },
    /// The server's certificate is not accepted, or the server does not accept the client's.
    Certificate,
    /// An HTTP redirect was the answer, which is not followed.
    Redirect,
}

impl TransportError {
    /// A failure without a status.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        let (status, close_code, cause) = (None, None, None);
        Self { message: message.into(), status, close_code, kind: TransportErrorKind::Other, cause }
    }

    /// A failure because of another one, whose text has no query and no token in it.
    #[must_use]
    pub fn because_of(message: impl Into<String>, cause: Cause) -> Self {
        Self { cause: Some(cause), ..Self::new(message) }
    }

    /// With the HTTP status of a refusal.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// With the code that a WebSocket was closed with.
    #[must_use]
    pub fn with_close_code(mut self, code: u16) -> Self {
        self.close_code = Some(code);
        self
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match (self.status, self.close_code) {
            (Some(401), _) => f.write_str(" (status 401: the access token is missing, expired or not meant for this server)"),
            (Some(404), _) => f.write_str(" (status 404: the server does not know the connection, or has no hub at this URL; with several servers behind one address, sticky sessions are needed)"),
            (Some(status), _) => write!(f, " (status {status})"),
            (None, Some(code)) => write!(f, " (WebSocket close code {code})"),
            (None, None) => Ok(()),
        }
    }
}

impl std::error::Error for TransportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|cause| -> &(dyn std::error::Error + 'static) { cause })
    }
}

/// A message that breaks the hub protocol. The connection it came on has to be closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The text is not JSON, or not in the place it has to be.
    #[error("malformed JSON at byte {offset}: {reason}")]
    Json {
        /// Where in the message.
        offset: usize,
        /// What is wrong there.
        reason: &'static str,
    },
    /// The bytes are not MessagePack, or not in the place they have to be.
    #[error("malformed MessagePack at byte {offset}: {reason}")]
    MessagePack {
        /// Where in the message.
        offset: usize,
        /// What is wrong there.
        reason: &'static str,
    },
    /// The message is well-formed, but it is not a hub message.
    #[error("invalid hub message: {0}")]
    Message(&'static str),
    /// The peer sent more than the receiver's limit for one message.
    #[error("a message of more than {limit} bytes arrived; raise the limit if such messages are expected")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// The stream ended in the middle of a message.
    #[error("the stream ended in the middle of a message")]
    Incomplete,
    /// The peer acknowledged a message that was never sent, or goes on after one that never came (stateful
    /// reconnect).
    #[error("the peer's sequence id {sequence_id} does not fit what was sent and received")]
    Sequence {
        /// The number that the peer sent.
        sequence_id: i64,
    },
    /// The first message is not an answer to the handshake.
    #[error("expected a handshake response from the server")]
    NotAHandshake,
    /// A text frame came for a protocol of bytes, such as MessagePack, or a binary frame without JSON for the JSON protocol.
    #[error("a {0} frame arrived on a connection that agreed on the other kind")]
    WrongKind(&'static str),
}
