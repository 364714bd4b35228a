use std::fmt;
use std::time::Duration;

use crate::core::ProtocolError;
use crate::core::negotiate::{NegotiateError, SkippedTransport};
use crate::core::url::{HubUrl, UrlError};

/// What a platform reports when a request or a socket fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportError {
    /// What happened, in words; never with a query or a token in it.
    pub message: String,
    /// The HTTP status, when a server refused to open a socket and the platform tells. Browsers do not.
    pub status: Option<u16>,
    /// The WebSocket close code, when a socket was closed with one.
    pub close_code: Option<u16>,
}

impl TransportError {
    /// A failure without a status.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), status: None, close_code: None }
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match (self.status, self.close_code) {
            (Some(401), _) => f.write_str(" (status 401: the access token is missing, expired or not meant for this server)"),
            (Some(404), _) => f.write_str(" (status 404: the server does not know the connection; with several servers behind one address, sticky sessions are needed)"),
            (Some(status), _) => write!(f, " (status {status})"),
            (None, Some(code)) => write!(f, " (WebSocket close code {code})"),
            (None, None) => Ok(()),
        }
    }
}

impl std::error::Error for TransportError {}

/// Why a connection could not be opened, or why it ended.
///
/// It is cloned into every call that was pending.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The hub's URL is none.
    #[error("the hub's URL is not valid: {0}")]
    InvalidUrl(UrlError),
    /// The URL is `http` and its host is not this machine. Tokens and messages would travel in clear text.
    #[error("refusing to connect to {0} without TLS; use https, or allow plain http in the options")]
    InsecureUrl(HubUrl),
    /// The caller's access token provider failed.
    #[error("the access token provider failed: {0}")]
    AccessToken(String),
    /// Negotiate was answered, and the answer says no or makes no sense.
    #[error("{source}")]
    Negotiate {
        /// Who answered.
        url: HubUrl,
        /// What is wrong.
        source: NegotiateError,
    },
    /// Negotiate was not answered.
    #[error("negotiating with {url} failed: {source}")]
    NegotiateRequest {
        /// Who was asked.
        url: HubUrl,
        /// What happened.
        source: TransportError,
    },
    /// None of the server's transports could be used.
    #[error("none of the server's transports can be used{}", Reasons(.skipped))]
    NoTransport {
        /// Every transport that the server offers, and why it was not taken.
        skipped: Vec<SkippedTransport>,
    },
    /// The transport failed: it could not be opened, or was lost later.
    #[error("the connection failed: {0}")]
    Transport(TransportError),
    /// A step of connecting took too long.
    #[error("{step} took longer than {}", Seconds(*.limit))]
    Timeout {
        /// Which step.
        step: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// The server refused the handshake, in its own words: most often it does not speak the hub protocol.
    #[error("the server refused the handshake: {0}")]
    Handshake(String),
    /// The server sent something that is not the hub protocol.
    #[error("the server broke the hub protocol: {0}")]
    Protocol(ProtocolError),
    /// Nothing came from the server for too long; it or the network is gone.
    #[error("nothing came from the server for {}; it or the network is gone", Seconds(*.limit))]
    ServerTimeout {
        /// The limit (`server_timeout`).
        limit: Duration,
    },
    /// The server closed the connection with a Close message.
    #[error("the server closed the connection{}{}", if .error.is_some() { ": " } else { "" }, .error.as_deref().unwrap_or_default())]
    ServerClosed {
        /// The server's reason, if it gave one.
        error: Option<String>,
        /// Whether the server lets the client reconnect.
        allow_reconnect: bool,
    },
    /// Handlers and streams take the server's messages too slowly: more than 65 536 of them, or 64 MiB, wait.
    #[error("handlers and streams take the server's messages too slowly: more than 65536 messages, or 64 MiB, wait for them")]
    SlowConsumer,
    /// This side stopped the connection.
    #[error("the connection was stopped")]
    Stopped,
    /// The connection is started already; stop it first.
    #[error("the connection is started already; stop it first")]
    AlreadyStarted,
    /// There is no connection: it is not up yet, or has ended.
    #[error("there is no connection; start it, or wait until it is up")]
    NotConnected,
}

impl ConnectionError {
    /// The HTTP status that a server refused with, if that is what happened.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Negotiate { source, .. } => source.status(),
            Self::NegotiateRequest { source, .. } | Self::Transport(source) => source.status,
            _ => None,
        }
    }

    /// Whether the same attempt may succeed later without a change of code or configuration.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Negotiate { source: NegotiateError::Status { status, .. }, .. } => {
                matches!(status, 408 | 429 | 500..)
            }
            Self::NegotiateRequest { .. }
            | Self::Transport(_)
            | Self::Timeout { .. }
            | Self::ServerTimeout { .. }
            | Self::ServerClosed { allow_reconnect: true, .. } => true,
            _ => false,
        }
    }
}

struct Reasons<'a>(&'a [SkippedTransport]);

impl fmt::Display for Reasons<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("; it offers none");
        }
        for (n, skipped) in self.0.iter().enumerate() {
            write!(f, "{} {skipped}", if n == 0 { ":" } else { ";" })?;
        }
        Ok(())
    }
}

/// A duration in seconds, without the 12 kB (wasm) that formatting a floating-point number takes.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.subsec_millis() {
            0 => write!(f, "{} s", self.0.as_secs()),
            milliseconds => write!(f, "{}.{milliseconds:03} s", self.0.as_secs()),
        }
    }
}
