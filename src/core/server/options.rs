//! What a server allows its clients.

use std::time::Duration;

use crate::core::hub::DEFAULT_PEER_LIMIT;
use crate::core::keepalive;

/// How long a client may take for its handshake, as in ASP.NET Core.
pub const DEFAULT_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);

/// The largest message of a client that is accepted, in bytes, as in ASP.NET Core.
pub const DEFAULT_MESSAGE_LIMIT: usize = 32 * 1024;

/// How long a stateful connection waits for another transport. This is ASP.NET Core's `DisconnectTimeout`.
///
/// Source: [`ConnectionOptionsSetup`](https://github.com/dotnet/aspnetcore/blob/main/src/SignalR/common/Http.Connections/src/ConnectionOptionsSetup.cs).
pub const DEFAULT_RESUME_WINDOW: Duration = Duration::from_secs(15);

/// The rules for one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerOptions {
    /// How long the client may take for its handshake. Default: 15 seconds.
    pub handshake_timeout: Duration,
    /// The client gets a ping when nothing else was sent to it for this long. Default: 15 seconds.
    pub keep_alive_interval: Duration,
    /// A client that sends nothing, or takes nothing, for this long is given up. Default: 30 seconds.
    pub client_timeout: Duration,
    /// The largest message of the client, in bytes. Default: 32 KiB.
    pub message_limit: usize,
    /// How many calls of the client, and how many uploads with them, may be in progress at a time.
    pub peer_limit: usize,
    /// Lets the client keep its connection when a transport is lost, as agreed on in negotiate: how many bytes are kept
    /// for it before sending waits. Default: no stateful reconnect.
    pub stateful_buffer: Option<usize>,
    /// How long a stateful connection waits for another transport. Default: 15 seconds.
    pub resume_window: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            handshake_timeout: DEFAULT_HANDSHAKE_TIMEOUT,
            keep_alive_interval: keepalive::DEFAULT_INTERVAL,
            client_timeout: keepalive::DEFAULT_TIMEOUT,
            message_limit: DEFAULT_MESSAGE_LIMIT,
            peer_limit: DEFAULT_PEER_LIMIT,
            stateful_buffer: None,
            resume_window: DEFAULT_RESUME_WINDOW,
        }
    }
}
