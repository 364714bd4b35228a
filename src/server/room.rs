//! One server's connections and what they share.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::{
    core::keepalive,
    server::{connections::Connections, negotiated::Negotiated},
};

/// The connections of one server, with the rules for all of them.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) connections: Arc<Connections>,
    pub(crate) negotiated: Arc<Negotiated>,
    pub(crate) timeouts: Timeouts,
    /// Turns true, or loses its sender, when the server stops.
    stop: watch::Receiver<bool>,
}

/// How long clients may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    /// For the handshake, unless an admission says otherwise.
    pub(crate) handshake: Duration,
    /// A client gets a ping when nothing else was sent to it for this long.
    pub(crate) keep_alive: Duration,
    /// A client that sends nothing, or takes nothing, for this long is given up.
    pub(crate) client: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(15),
            keep_alive: keepalive::DEFAULT_INTERVAL,
            client: keepalive::DEFAULT_TIMEOUT,
        }
    }
}

impl Room {
    /// An empty room. Each connection keeps a clone of `stop` until it has ended.
    pub(crate) fn new(timeouts: Timeouts, stop: watch::Receiver<bool>) -> Self {
        Self { connections: Arc::default(), negotiated: Arc::default(), timeouts, stop }
    }

    /// Waits until the server stops, whether it is told to or dropped.
    pub(crate) async fn stopped(&self) {
        stopped(self.stop.clone()).await;
    }
}

/// Waits until the server stops, whether it is told to or dropped.
pub(crate) async fn stopped(mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|stopping| *stopping).await;
}
