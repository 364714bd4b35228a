//! A hub as a dashboard knows it.

use std::sync::Arc;

use serde_json::Value;

use super::{
    clients::{Clients, Receivers},
    error::SendError,
    hub_server::HubServer,
    lifetime::Recipients,
    state::Hub,
};
use crate::server::room::Room;

/// A hub that is watched. It does not keep the hub's connections open once the hub itself is dropped.
#[derive(Debug, Clone)]
pub(crate) struct WatchedHub(Arc<Hub>);

/// What connects a hub with its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// All of them are connected to this program.
    Here,
    /// Others are connected to other servers of the hub.
    Farm,
    /// They are connected to Azure SignalR Service.
    Azure,
}

/// How often a method was called, and how often it failed.
#[derive(Debug)]
pub(crate) struct MethodCounts {
    pub(crate) name: Arc<str>,
    pub(crate) calls: u64,
    pub(crate) errors: u64,
}

impl HubServer {
    /// For a dashboard: from now on, the hub keeps what is asked of it.
    pub(crate) fn watched(&self) -> WatchedHub {
        self.hub.room.observe();
        WatchedHub(self.hub.clone())
    }
}

impl WatchedHub {
    pub(crate) fn room(&self) -> &Arc<Room> {
        &self.0.room
    }

    /// The name that it has in traces.
    pub(crate) fn name(&self) -> Option<&str> {
        self.0.rules.telemetry.name.as_deref()
    }

    pub(crate) fn reach(&self) -> Reach {
        #[cfg(feature = "service")]
        if self.0.azure.is_some() {
            return Reach::Azure;
        }
        if self.0.sender.lifetime.is_shared() { Reach::Farm } else { Reach::Here }
    }

    /// How many connections the hub takes, if that is bounded, and how long a message of a client may be.
    pub(crate) fn limits(&self) -> (Option<usize>, usize) {
        let room = self.room();
        (room.slots.limit(), room.options.message_limit)
    }

    /// The methods in the order of their names.
    pub(crate) fn methods(&self) -> Vec<MethodCounts> {
        let methods = self.0.methods.all().map(|method| {
            let (calls, errors) = method.counts.get();
            MethodCounts { name: method.name.clone(), calls, errors }
        });
        let mut methods: Vec<_> = methods.collect();
        methods.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        methods
    }

    /// Calls a method of these clients, wherever they are connected.
    pub(crate) async fn send(
        &self,
        to: Recipients,
        method: &str,
        arguments: Vec<Value>,
    ) -> Result<(), SendError> {
        let clients = Clients { sender: &self.0.sender, caller: None };
        let receivers: Receivers<'_> = clients.to(to);
        receivers.send(method, arguments).await
    }
}
