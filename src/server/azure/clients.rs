//! The clients of this process that are connected to Azure SignalR Service.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use super::{client::Client, event::Via};
use crate::lock::lock;

/// By connection id.
#[derive(Debug, Default)]
pub(super) struct Clients(Mutex<HashMap<String, Arc<Client>>>);

impl Clients {
    pub(super) fn find(&self, id: &str) -> Option<Arc<Client>> {
        lock(&self.0).get(id).cloned()
    }

    /// A client that is on this server connection.
    pub(super) fn on(&self, via: Via, id: &str) -> Option<Arc<Client>> {
        self.find(id).filter(|client| client.via == via)
    }

    pub(super) fn insert(&self, client: Arc<Client>) {
        lock(&self.0).insert(client.id.clone(), client);
    }

    pub(super) fn remove(&self, client: &Arc<Client>) {
        let mut all = lock(&self.0);
        if all.get(&client.id).is_some_and(|known| Arc::ptr_eq(known, client)) {
            all.remove(&client.id);
        }
    }

    /// Lets clients go, as far as this concerns the service.
    pub(super) fn leave(&self, leaves: impl Fn(&Client) -> bool) {
        for (_, client) in lock(&self.0).extract_if(|_, client| leaves(client)) {
            client.leave();
        }
    }
}
