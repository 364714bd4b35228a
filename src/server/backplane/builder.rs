//! How a hub is given its backplane.

use std::{sync::Arc, time::Duration};

use super::{
    Backplane,
    carrier::AnyBackplane,
    distributed::{Distributed, Settings},
    event::BackplaneEvent,
};
use crate::server::{
    connections::Connections,
    host::{HubServerBuilder, lifetime::Lifetime},
};

/// What a hub that is being built has been told about its backplane.
pub(crate) struct Options {
    carrier: Option<(String, Box<dyn AnyBackplane>)>,
    ack_timeout: Duration,
    on_event: Option<Arc<dyn Fn(BackplaneEvent) + Send + Sync>>,
    has_clients: bool,
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

impl HubServerBuilder {
    /// Makes this one of several servers of a hub: what is sent to clients reaches those of all servers. `name` is what
    /// all of them call the hub; with servers of ASP.NET Core among them, the full name of its .NET type, such as
    /// `Contoso.Hubs.ChatHub`.
    ///
    /// Behind Azure SignalR Service it is not used: the service connects the servers.
    ///
    /// See [`backplane`](crate::server::backplane) for what is different with it. It connects when the hub is built within a
    /// tokio runtime, else with the first client or message.
    pub fn backplane(mut self, name: impl Into<String>, backplane: impl Backplane) -> Self {
        self.backplane.carrier = Some((name.into(), Box::new(backplane)));
        self
    }

    /// How long a change of a group of another server's connection waits for that server. Default: 30 seconds, as in
    /// ASP.NET Core.
    pub fn backplane_ack_timeout(mut self, timeout: Duration) -> Self {
        self.backplane.ack_timeout = timeout;
        self
    }

    /// Is told when the connection to the backplane is lost and restored: once each, and never at the same time.
    pub fn on_backplane_event(mut self, handler: impl Fn(BackplaneEvent) + Send + Sync + 'static) -> Self {
        self.backplane.on_event = Some(Arc::new(handler));
        self
    }

    /// There are no clients here.
    pub(super) fn without_clients(mut self) -> Self {
        self.backplane.has_clients = false;
        self
    }
}
