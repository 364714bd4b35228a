//! What the server connections of a hub share, and the task that keeps up those of one endpoint.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, atomic::AtomicUsize},
    time::Duration,
};

use tokio::sync::{Notify, Semaphore, mpsc, watch};

use super::{
    connections::{ConnectionsOptions, Event, StartError},
    ids,
    link::{self, Command, Link},
    questions::Questions,
};
use crate::{
    core::server_connection::pool::{Open, Pool},
    lock::lock,
    platform::{HttpClient, now, sleep},
    service::server_access::EndpointAccess,
};

/// How many events may wait for the hub, and how many kilobytes in them.
const EVENTS: usize = 1024;
const EVENT_BUDGET: usize = 64 * 1024;

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
    changed: Notify,
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

    /// Keeps up the server connections of an endpoint, until nobody waits for events any more.
    pub(super) async fn keep_up(self: Arc<Self>, index: usize) {
        let endpoint = &self.endpoints[index];
        // A server connection that ends because nobody waits is not replaced.
        while !self.events.is_closed() {
            let timeout = endpoint.with(|state| {
                let now = now();
                while let Some(open) = state.pool.poll_open(now) {
                    let Open { number, .. } = open;
                    state.links.insert(number, link::start(&self, index, open));
                }
                if let Some(number) = state.pool.poll_status(now, ids::random())
                    && let Some(link) = state.links.get(&number)
                {
                    link.tell(Command::AskStatus);
                }
                state.pool.poll_timeout()
            });
            let wait = timeout.since(now()).min(Duration::from_secs(3600));
            tokio::select! {
                () = endpoint.changed.notified() => {}
                () = sleep(wait) => {}
                () = self.events.closed() => return,
            }
        }
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
