//! What the server connections of a hub are made with, and what they share.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, atomic::AtomicUsize},
    time::Duration,
};

use tokio::sync::{Notify, Semaphore, mpsc, watch};

use super::{event::Event, handle::Link, ids, questions::Questions};
use crate::{
    core::{TransportError, server_connection::pool::Pool},
    lock::lock,
    platform::{HttpClient, now},
    service::server_access::EndpointAccess,
};

/// How many events may wait for the hub, and how many kilobytes in them.
const EVENTS: usize = 1024;
const EVENT_BUDGET: usize = 64 * 1024;

/// What server connections are made with.
pub(crate) struct ConnectionsOptions {
    /// The hub's name, without the application's.
    pub(crate) hub: String,
    /// The endpoints; hubs of one process share them, and with them tokens and keys. Each knows its name, its role and
    /// the application.
    pub(crate) endpoints: Vec<EndpointAccess>,
    /// How many server connections each endpoint has, at least.
    pub(crate) initial_count: usize,
    /// How many at most, where the service asks for more.
    pub(crate) maximum_count: Option<usize>,
    /// Which server this is: one name for a process. See [`ids::server_id`].
    pub(crate) server_id: String,
    /// Whether clients move to another server when this one shuts down: 0 no, 1 yes.
    pub(crate) migration_level: i32,
    /// Whether the hub takes part in stateful reconnect.
    pub(crate) allows_stateful_reconnect: bool,
    /// Of the tokens that open server connections.
    pub(crate) access_token_lifetime: Duration,
}

impl ConnectionsOptions {
    /// The defaults of the official SDK.
    pub(crate) fn new(hub: impl Into<String>, endpoints: Vec<EndpointAccess>) -> Self {
        Self {
            hub: hub.into(),
            endpoints,
            initial_count: 5,
            maximum_count: None,
            server_id: ids::server_id().to_owned(),
            migration_level: 0,
            allows_stateful_reconnect: false,
            access_token_lifetime: Duration::from_secs(3600),
        }
    }
}

/// Why server connections cannot be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("there is no endpoint")]
    NoEndpoint,
    #[error(transparent)]
    Transport(#[from] TransportError),
}

pub(super) struct Shared {
    pub(super) options: ConnectionsOptions,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) questions: Questions,
    pub(super) events: mpsc::Sender<Event>,
    /// Of what waits for the hub, in kilobytes.
    pub(super) budget: Arc<Semaphore>,
    /// How many clients the hub has in this process.
    pub(super) clients: AtomicUsize,
    /// Whether a server connection has been up.
    pub(super) is_ready: watch::Sender<bool>,
}

/// One endpoint of the hub.
pub(super) struct Endpoint {
    pub(super) access: EndpointAccess,
    pub(super) http: HttpClient,
    state: Mutex<EndpointState>,
    /// Something may have to be opened.
    pub(super) changed: Notify,
}

pub(super) struct EndpointState {
    pub(super) pool: Pool,
    pub(super) links: HashMap<u64, Link>,
}

impl Shared {
    pub(super) fn new(
        mut options: ConnectionsOptions,
    ) -> Result<(Arc<Self>, mpsc::Receiver<Event>), StartError> {
        let endpoints = std::mem::take(&mut options.endpoints);
        if endpoints.is_empty() {
            return Err(StartError::NoEndpoint);
        }
        let endpoints = endpoints.into_iter().map(|access| {
            let http = match access.is_plain() {
                true => HttpClient::plain()?,
                false => HttpClient::new(crate::platform::Cookies::default(), &access.network)?,
            };
            let pool = Pool::new(access.is_primary(), options.initial_count, options.maximum_count);
            let state = Mutex::new(EndpointState { pool, links: HashMap::new() });
            Ok(Endpoint { access, http, state, changed: Notify::new() })
        });
        let endpoints = endpoints.collect::<Result<_, StartError>>()?;
        let (events, receiver) = mpsc::channel(EVENTS);
        let shared = Self {
            options,
            endpoints,
            questions: Questions::default(),
            events,
            budget: Arc::new(Semaphore::new(EVENT_BUDGET)),
            clients: AtomicUsize::new(0),
            is_ready: watch::Sender::new(false),
        };
        Ok((Arc::new(shared), receiver))
    }

    /// Hands an event to the hub, once it has room. `false`: nobody waits for it any more.
    pub(super) async fn deliver(&self, mut event: Event, units: u32) -> bool {
        if let Ok(budget) = Arc::clone(&self.budget).acquire_many_owned(units).await {
            event.hold(budget);
        }
        self.events.send(event).await.is_ok()
    }
}

impl Endpoint {
    /// Does something with the state, and has the task look whether something has to be opened.
    pub(super) fn with<T>(&self, change: impl FnOnce(&mut EndpointState) -> T) -> T {
        change(&mut lock(&self.state))
    }

    pub(super) fn handle_ready(&self, number: u64) {
        self.with(|state| state.pool.handle_ready(now(), number));
        self.changed.notify_one();
    }

    pub(super) fn handle_rebalance(&self, target: String) {
        self.with(|state| state.pool.handle_rebalance(target));
        self.changed.notify_one();
    }

    pub(super) fn handle_lost(&self, number: u64) {
        self.with(|state| {
            state.pool.handle_lost(now(), number, ids::fraction());
            state.links.remove(&number);
        });
        self.changed.notify_one();
    }

    /// The server connection of this number, while it is there.
    pub(super) fn link(&self, number: u64) -> Option<Link> {
        self.with(|state| state.links.get(&number).cloned())
    }

    /// The server connection for a message.
    pub(super) fn choose(&self, preferred: Option<u64>, hash: Option<u64>) -> Option<(u64, Link)> {
        self.with(|state| {
            let number = state.pool.choose(preferred, hash, ids::random())?;
            Some((number, state.links.get(&number)?.clone()))
        })
    }
}
