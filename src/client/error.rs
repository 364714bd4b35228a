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
    #[error("the call ended with the connection: {0}")]
    Connection(#[from] ConnectionError),
    /// An argument cannot be written in the connection's protocol.
    #[error("an argument cannot be serialized: {0}")]
    Arguments(#[source] SerializeError),
    /// The result, or an item of a stream, is not what was asked for. To ignore a result, ask for a `serde::de::IgnoredAny`.
    #[error("the result is of another type than asked for: {0}")]
    Result(#[source] PayloadError),
    /// The result did not come in time; the call was cancelled.
    #[error("the call took longer than {} ms", .limit.as_millis())]
    Timeout {
        /// The limit (`with_call_timeout`).
        limit: Duration,
    },
    /// The server's method returns a stream, which has no single result.
    #[error("the server's method returns a stream, not a single result")]
    NotAStream,
}
