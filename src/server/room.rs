//! One server's connections and what they share.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{
    core::server::ServerOptions,
    server::{connections::Connections, negotiated::Negotiated},
};

/// The connections of one server, with the rules for all of them.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) connections: Arc<Connections>,
    pub(crate) negotiated: Arc<Negotiated>,
    pub(crate) options: ServerOptions,
    /// Turns true, or loses its sender, when the server stops.
    stop: watch::Receiver<bool>,
}

impl Room {
    /// An empty room. Each connection keeps a clone of `stop` until it has ended.
    pub(crate) fn new(options: ServerOptions, stop: watch::Receiver<bool>) -> Self {
        Self { connections: Arc::default(), negotiated: Arc::default(), options, stop }
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
