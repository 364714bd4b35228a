//! Why a connection could not be opened, or why it ended.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::core::http::may_pass;
use crate::core::negotiate::{NegotiateError, SkipReason, SkippedTransport};
use crate::core::url::{HubUrl, UrlError};
use crate::core::{Cause, ProtocolError, TransportError, TransportErrorKind};

/// Why a connection could not be opened, or why it ended.
///
/// It is shared by every call that was pending.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The hub URL is invalid.
    #[error("the hub URL is invalid")]
    InvalidUrl(#[source] UrlError),
    /// A certificate or a key that the connection was set up with is invalid.
    #[error("{reason}")]
    InvalidCertificate {
        /// Which setting, and what is wrong with it. Never the key itself.
        reason: String,
    },
    /// The URL is `http` and its host is not this machine. Tokens and messages would travel in clear text.
    #[error(
        "refusing to connect to {0} without TLS; use https, or in a trusted network allow plain http in the options"
    )]
    InsecureUrl(HubUrl),
    /// A header that was set with `with_header` cannot be sent.
    #[error("a header cannot be sent: {}{reason}", HeaderPart(.name))]
    InvalidHeader {
        /// Which; empty when it is the name that is invalid.
        name: String,
        /// What is wrong. The value is not shown.
        reason: &'static str,
    },
    /// The caller's access token provider failed, or its token cannot be sent in a header: it contains a line end or
    /// another character that is not allowed there. The token is not shown. The source says why.
    #[error("the access token provider failed")]
    AccessToken(#[source] Cause),
    /// Negotiate was answered with a refusal, or with an invalid answer.
    #[error("negotiating with {url} failed")]
    Negotiate {
        /// The URL that answered.
        url: HubUrl,
        /// What is wrong.
        source: NegotiateError,
    },
    /// Negotiate was not answered.
    #[error("negotiating with {url} failed")]
    NegotiateRequest {
        /// The URL that was asked.
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
    #[error("the connection failed")]
    Transport(#[source] TransportError),
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
    #[error("the server broke the hub protocol")]
    Protocol(#[source] ProtocolError),
    /// Nothing came from the server for too long; it or the network is gone.
    #[error("nothing came from the server for {}; the server or the network is gone", Seconds(*.limit))]
    ServerTimeout {
        /// The limit (`server_timeout`).
        limit: Duration,
    },
    /// The server closed the connection with a Close message.
    #[error("the server closed the connection{}{}", if .error.is_some() { ": " } else { "" }, .error.as_deref().unwrap_or_default())]
    ServerClosed {
        /// The server's reason, if it gave one; at most 4 KiB of it.
        error: Option<Arc<str>>,
        /// Whether the server lets the client reconnect.
        allow_reconnect: bool,
    },
    /// The connection was lost, and the retry policy gave up after so many attempts to get it back.
    #[error("gave up after {attempts} attempts to connect again in {}", Seconds(*.elapsed))]
    RetriesExhausted {
        /// How many attempts were made.
        attempts: u32,
        /// How long they took, waiting included.
        elapsed: Duration,
        /// Why the last one failed.
        #[source]
        last: Arc<Self>,
    },
    /// Handlers and streams take the server's messages too slowly: more than 65 536 of them, or 64 MiB, wait.
    #[error(
        "handlers and streams take the server's messages too slowly: more than 65536 messages, or 64 MiB, wait for them; let handlers return sooner, and read streams to their end or drop them"
    )]
    SlowConsumer,
    /// The client stopped the connection.
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
            Self::NoTransport { skipped } => failures(skipped).find_map(|error| error.status),
            Self::RetriesExhausted { last, .. } => last.status(),
            _ => None,
        }
    }

    /// Whether an HTTP redirect, or natively a proxy or a certificate, stood in the way; otherwise
    /// [`TransportErrorKind::Other`].
    #[must_use]
    pub fn kind(&self) -> TransportErrorKind {
        match self {
            Self::NegotiateRequest { source, .. } | Self::Transport(source) => source.kind,
            Self::NoTransport { skipped } => {
                let mut kinds = failures(skipped).map(|error| error.kind);
                kinds.find(|kind| *kind != TransportErrorKind::Other).unwrap_or_default()
            }
            Self::Negotiate { source: NegotiateError::HttpRedirect { .. }, .. } => {
                TransportErrorKind::Redirect
            }
            Self::RetriesExhausted { last, .. } => last.kind(),
            _ => TransportErrorKind::Other,
        }
    }

    /// How long the server asked to be left alone (`Retry-After`), if it did.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Negotiate { source: NegotiateError::Status { retry_after, .. }, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the same attempt may succeed later without a change of code or configuration.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Negotiate { source: NegotiateError::Status { status, .. }, .. } => may_pass(*status),
            Self::NoTransport { skipped } => failures(skipped).any(failure_may_pass),
            Self::Transport(error) | Self::NegotiateRequest { source: error, .. } => failure_may_pass(error),
            Self::Timeout { .. }
            | Self::ServerTimeout { .. }
            | Self::RetriesExhausted { .. }
            | Self::ServerClosed { allow_reconnect: true, .. } => true,
            _ => false,
        }
    }

    /// Whether there is no connection because the program has stopped it, or not started it: nothing has failed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Stopped | Self::NotConnected)
    }

    /// Whether a connection that ended like this may be opened again without being asked.
    pub(super) fn allows_reconnect(&self) -> bool {
        !matches!(
            self,
            Self::Stopped | Self::SlowConsumer | Self::ServerClosed { allow_reconnect: false, .. }
        )
    }
}

fn failure_may_pass(error: &TransportError) -> bool {
    match error.kind {
        TransportErrorKind::Proxy { status: Some(status) } => may_pass(status),
        TransportErrorKind::Certificate | TransportErrorKind::Redirect => false,
        _ => error.status.is_none_or(may_pass),
    }
}

/// What went wrong with the transports that were tried.
fn failures(skipped: &[SkippedTransport]) -> impl Iterator<Item = &TransportError> {
    skipped.iter().filter_map(|skipped| match &skipped.reason {
        SkipReason::Failed(error) => Some(error),
        _ => None,
    })
}

/// What of a header is wrong.
struct HeaderPart<'a>(&'a str);

impl fmt::Display for HeaderPart<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            "" => f.write_str("its name "),
            name => write!(f, "the value of `{name}` "),
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
