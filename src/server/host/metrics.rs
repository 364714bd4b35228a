//! What is measured of connections, by the names of ASP.NET Core.

use metrics::{counter, gauge, histogram};
use tokio::time::Instant;

use crate::core::{negotiate::Transport, server::DisconnectReason};

/// A connection that is counted, from its handshake until this is dropped.
#[derive(Debug)]
pub(super) struct Measured {
    since: Instant,
    transport: &'static str,
    status: &'static str,
}

impl Measured {
    pub(super) fn new(transport: Transport) -> Self {
        let transport = match transport {
            Transport::WebSockets => "web_sockets",
            Transport::ServerSentEvents => "server_sent_events",
            Transport::LongPolling => "long_polling",
        };
        gauge!("signalr.server.active_connections", "signalr.transport" => transport).increment(1.0);
        Self { since: Instant::now(), transport, status: "normal_closure" }
    }

    pub(super) fn ending(&mut self, reason: &DisconnectReason) {
        self.status = match reason {
            DisconnectReason::ClientTimeout { .. } | DisconnectReason::SlowClient { .. } => "timeout",
            DisconnectReason::Closed { error: None, allow_reconnect: true } => "app_shutdown",
            _ => "normal_closure",
        };
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        let Self { since, transport, status } = *self;
        gauge!("signalr.server.active_connections", "signalr.transport" => transport).decrement(1.0);
        histogram!(
            "signalr.server.connection.duration",
            "signalr.connection.status" => status,
            "signalr.transport" => transport,
        )
        .record(since.elapsed().as_secs_f64());
    }
}

/// Messages that slow clients do not get.
pub(in crate::server) fn dropped(messages: u64) {
    counter!("hubwire.server.dropped_messages").increment(messages);
}

/// A connection that is closed since its client is too slow.
pub(in crate::server) fn closed() {
    counter!("hubwire.server.slow_connections_closed").increment(1);
}
