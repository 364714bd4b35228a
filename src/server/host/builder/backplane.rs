//! The backplane of the hub that is built.

use std::{sync::Arc, time::Duration};

use super::HubServerBuilder;
use crate::server::backplane::{Backplane, BackplaneEvent};

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
    pub(in crate::server) fn without_clients(mut self) -> Self {
        self.backplane.has_clients = false;
        self
    }
}
