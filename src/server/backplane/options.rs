//! What a hub that is being built has been told about its backplane.

use std::{sync::Arc, time::Duration};

use super::{
    carrier::AnyBackplane,
    distributed::{Distributed, Settings},
    event::BackplaneEvent,
};
use crate::server::{connections::Connections, host::lifetime::Lifetime};

/// What a hub that is being built has been told about its backplane.
pub(crate) struct Options {
    pub(in crate::server) carrier: Option<(String, Box<dyn AnyBackplane>)>,
    pub(in crate::server) ack_timeout: Duration,
    pub(in crate::server) on_event: Option<Arc<dyn Fn(BackplaneEvent) + Send + Sync>>,
    pub(in crate::server) has_clients: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { carrier: None, ack_timeout: Duration::from_secs(30), on_event: None, has_clients: true }
    }
}

impl Options {
    /// What carries messages to clients, if it is a backplane.
    pub(crate) fn into_lifetime(self, connections: &Arc<Connections>) -> Option<Arc<dyn Lifetime>> {
        let Self { carrier, ack_timeout, on_event, has_clients } = self;
        let (hub, bus) = carrier?;
        let settings = Settings { hub, bus, ack_timeout, on_event, has_clients };
        Some(Arc::new(Distributed::new(settings, connections.clone())))
    }
}
