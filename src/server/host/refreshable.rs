//! Which authentications may be refreshed, and who is asked and told.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, Weak},
};

use super::{
    caller::{Caller, Connection},
    cancel::Cancel,
    identity::Identity,
};
use crate::lock::lock;
use crate::platform::BoxFuture;

pub(super) type OnRefresh = Arc<dyn Fn(AuthenticationRefresh) -> BoxFuture<bool> + Send + Sync>;

pub(super) type OnRefreshed = Arc<dyn Fn(Caller) -> BoxFuture<()> + Send + Sync>;

/// What a client wants to change by a refresh.
#[derive(Debug, Clone)]
pub struct AuthenticationRefresh {
    connection_id: String,
    previous: Arc<Identity>,
    new: Arc<Identity>,
}

impl AuthenticationRefresh {
    pub(in crate::server) fn new(connection_id: String, previous: Arc<Identity>, new: Arc<Identity>) -> Self {
        Self { connection_id, previous, new }
    }

    /// The connection whose client it is. Behind Azure SignalR Service it is not known, and empty.
    #[must_use]
    pub fn connection_id(&self) -> &str {
        &self.connection_id
    }

    /// Who the client is by now.
    #[must_use]
    pub fn previous(&self) -> &Identity {
        &self.previous
    }

    /// Who it is going to be: the same user, possibly with other claims.
    #[must_use]
    pub fn new_identity(&self) -> &Identity {
        &self.new
    }
}

/// The connections whose authentication can be refreshed, by id.
#[derive(Debug, Default)]
pub(super) struct Refreshable(Mutex<HashMap<String, Known>>);

#[derive(Clone)]
struct Known {
    connection: Weak<Connection>,
    closed: Arc<Cancel>,
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Known(…)")
    }
}

impl Refreshable {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        lock(&self.0)
    }

    pub(super) fn insert(&self, connection: &Arc<Connection>, closed: Arc<Cancel>) {
        let known = Known { connection: Arc::downgrade(connection), closed };
        self.lock().insert(connection.id.clone(), known);
    }

    pub(super) fn remove(&self, id: &str) {
        self.lock().remove(id);
    }

    pub(super) fn get(&self, id: &str) -> Option<(Arc<Connection>, Arc<Cancel>)> {
        let known = self.lock().get(id).cloned()?;
        Some((known.connection.upgrade()?, known.closed))
    }
}
