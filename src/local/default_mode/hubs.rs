//! All hubs of a service in default mode.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use crate::{
    local::{
        default_mode::hub::{Hub, Place},
        user_groups::UserGroups,
    },
    lock::lock,
    server::room::{Room, Slots},
};

/// All hubs, by name. A change holds the lock until everything that follows from it is queued, so that no
/// message overtakes another.
#[derive(Debug)]
pub(in crate::local) struct Hubs {
    place: Place,
    /// The clients, which leave a service that is about to stop when nothing that they or app servers have called is in
    /// progress.
    pub(super) clients: Arc<Slots>,
    hubs: Mutex<HashMap<String, Hub>>,
}

impl Hubs {
    pub(in crate::local) fn new(room: &Room, user_groups: Arc<UserGroups>) -> Self {
        let (connections, negotiated) = (room.connections.clone(), room.negotiated.clone());
        let place = Place { connections, user_groups, negotiated };
        Self { place, clients: Arc::new(Slots::new(usize::MAX)), hubs: Mutex::default() }
    }

    /// Whether app servers of the hub are there, and all allow clients to go on with another socket.
    pub(in crate::local) fn allows_stateful_reconnect(&self, hub: &str) -> bool {
        self.with(hub, |hub| hub.servers.allow_stateful_reconnect())
    }

    /// The REST API has refreshed a connection.
    pub(in crate::local) fn refreshed(&self, hub: &str, token: &str) {
        self.with(hub, |hub| hub.claims_changed(token));
    }

    /// Waits until all clients have left.
    pub(in crate::local) async fn drained(&self) {
        self.clients.empty().await;
    }

    /// How many server connections each hub has, for a dashboard.
    #[cfg(feature = "dashboard")]
    pub(in crate::local) fn server_counts(&self) -> Vec<(String, usize)> {
        let hubs = lock(&self.hubs);
        hubs.iter().map(|(name, hub)| (name.clone(), hub.servers.len())).collect()
    }

    /// The app server that a client is with.
    #[cfg(feature = "dashboard")]
    pub(in crate::local) fn server_of(&self, hub: &str, client: &str) -> Option<String> {
        let hubs = lock(&self.hubs);
        let hub = hubs.get(hub)?;
        Some(hub.servers.get(hub.clients.get(client)?.server)?.id.clone())
    }

    /// Does something in a hub. One that nobody is in is forgotten.
    pub(super) fn with<T>(&self, name: &str, act: impl FnOnce(&mut Hub) -> T) -> T {
        let mut hubs = lock(&self.hubs);
        let new = || Hub::new(name.to_owned(), self.place.clone());
        let hub = hubs.entry(name.to_owned()).or_insert_with(new);
        let done = act(hub);
        if hub.is_empty() {
            hubs.remove(name);
        }
        done
    }
}
