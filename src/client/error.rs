//! Why a call failed.

use std::time::Duration;

use crate::core::client::ConnectionError;
use crate::payload::PayloadError;
use crate::serialize::SerializeError;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The server's method failed. ASP.NET Core sends details of exceptions other than `HubException` only with
    /// `EnableDetailedErrors`.
    #[error("the server answered with an error: {0}")]
    Server(String),
    /// There is no connection, or it ended before the call did. In the latter case it is not known whether the server
    /// has carried the call out.
    #[error("the call was not completed")]
    Connection(#[from] ConnectionError),
    /// An argument cannot be written in the connection's protocol.
    #[error("an argument cannot be serialized")]
    Arguments(#[source] SerializeError),
    /// The result, or an item of a stream, is not what was asked for. To ignore a result, ask for a `serde::de::IgnoredAny`.
    #[error("the result is not of the type that was asked for")]
    Result(#[source] PayloadError),
    /// The result did not come in time; the call was cancelled.
    #[error("the call took longer than {} ms", .limit.as_millis())]
    Timeout {
        /// The limit (`with_call_timeout`).
        limit: Duration,
    },
    /// The server's method returns a stream, which has no single result.
    #[error("the server's method returns a stream, not a single result; call it with `stream`")]
    NotAStream,
}

impl CallError {
    /// Whether there was no connection, or it ended before the call did, for whatever reason. [`start`] or an automatic
    /// reconnect brings another.
    ///
    /// [`start`]: crate::HubConnection::start
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Connection(_))
    }

    /// Whether the same call may succeed later without a change of code or configuration. The server may have carried
    /// this one out: call again only what may happen twice.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Connection(error) => error.is_closed() || error.is_retryable(),
            Self::Timeout { .. } => true,
            _ => false,
        }
    }

    /// The HTTP status that a server refused the connection with, if that is what happened.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Connection(error) => error.status(),
            _ => None,
        }
    }
}
