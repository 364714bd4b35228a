//! Why a connection has ended, as its server sees it.

use std::time::Duration;

use crate::core::{ProtocolError, TransportError};

/// Why a connection has ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The client left.
    #[error("the client closed the connection{}", .error.as_ref().map(|error| format!(": {error}")).unwrap_or_default())]
    ClientClosed {
        /// Why, if the client said so.
        error: Option<Box<str>>,
    },
    /// The transport was lost, and no other came in time.
    #[error("the connection was lost")]
    Transport(#[source] TransportError),
    /// The client did not shake hands in time.
    #[error("the client did not send its handshake within {limit:?}")]
    HandshakeTimeout {
        /// The time that it had.
        limit: Duration,
    },
    /// The handshake was refused.
    #[error("the handshake was refused: {0}")]
    HandshakeRefused(Box<str>),
    /// The client was silent for too long.
    #[error("the client sent nothing for {limit:?}")]
    ClientTimeout {
        /// How long it may be silent.
        limit: Duration,
    },
    /// The client did not take what was sent to it.
    #[error("the client took nothing of what it was sent for {limit:?}")]
    SlowClient {
        /// How long it may take.
        limit: Duration,
    },
    /// The client broke the protocol.
    #[error("the client broke the protocol")]
    Protocol(#[source] ProtocolError),
    /// The server closed the connection.
    #[error("the server closed the connection{}", .error.as_ref().map(|error| format!(": {error}")).unwrap_or_default())]
    Closed {
        /// What the client was told.
        error: Option<Box<str>>,
        /// Whether it may reconnect by itself.
        allow_reconnect: bool,
    },
    /// The server cut the connection off.
    #[error("the client was cut off")]
    Aborted,
}

impl DisconnectReason {
    /// Whether it ended otherwise than client or server wanted.
    #[must_use]
    pub fn is_error(&self) -> bool {
        matches!(
            self,
            Self::Aborted
                | Self::ClientTimeout { .. }
                | Self::Protocol(_)
                | Self::SlowClient { .. }
                | Self::Transport(_)
        )
    }
}
