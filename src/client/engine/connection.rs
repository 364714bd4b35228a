//! What the handles of a connection and its driver share: the machine, wakers, and who waits for each of its numbers.

use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Waker;
use std::time::Duration;

use futures_channel::oneshot;

use crate::client::engine::backlog::Backlog;
use crate::client::engine::codec::WireCodec;
use crate::client::engine::events::{ConnectionEvent, Listen, Listeners};
use crate::client::engine::events::{ConnectionEvents, EventCallback};
use crate::client::engine::retry::RetryPolicy;
use crate::client::engine::room::Room;
#[cfg(all(native, feature = "server"))]
use crate::client::engine::transport::in_memory::InMemory;
use crate::core::Cause;
use crate::core::client::{ClientMachine, ClientOptions, ConnectionError, ConnectionInfo, ConnectionState};
use crate::core::codec::Codec;
use crate::core::http::{is_header_name, value_fault};
use crate::core::message::{Invocation, Outcome};
use crate::core::refresh::RefreshError;
use crate::core::table::Table;
use crate::core::token::AccessToken;
use crate::core::url::HubUrl;
use crate::lock::lock;
use crate::platform::{self, BoxFuture, Cookies, MaybeSend, MaybeSync, Network, Runtime};

/// The caller's source of access tokens.
pub(crate) type TokenProvider = Arc<dyn ProvideToken>;

/// Asks for a token. `None` means to connect without one.
pub(crate) trait ProvideToken: MaybeSend + MaybeSync {
    fn provide(&self) -> BoxFuture<Result<Option<AccessToken>, Cause>>;
}

impl<F: Fn() -> BoxFuture<Result<Option<AccessToken>, Cause>> + MaybeSend + MaybeSync> ProvideToken for F {
    fn provide(&self) -> BoxFuture<Result<Option<AccessToken>, Cause>> {
        self()
    }
}

/// What the driver needs to know, and the machine does not.
#[derive(Clone)]
pub(crate) struct ConnectionSettings {
    /// The user's headers for every HTTP request.
    pub(crate) headers: Vec<(String, String)>,
    /// Whether there are cookies: natively at all, in a browser to another origin than the page's.
    pub(crate) with_credentials: bool,
    pub(crate) network: Network,
    /// The caller's own cookies.
    #[cfg(native)]
    pub(crate) cookie_jar: Option<platform::CookieJar>,
    pub(crate) token_provider: Option<TokenProvider>,
    /// Answers in the network's place.
    #[cfg(all(native, feature = "server"))]
    pub(crate) in_memory: Option<Arc<dyn InMemory>>,
    /// Asked when the connection is lost, if the machine's options say so.
    pub(crate) retry_policy: RetryPolicy,
}

impl Default for ConnectionSettings {
    fn default() -> Self {
        Self {
            headers: Vec::new(),
            with_credentials: true,
            network: Network::default(),
            #[cfg(native)]
            cookie_jar: None,
            token_provider: None,
            #[cfg(all(native, feature = "server"))]
            in_memory: None,
            retry_policy: RetryPolicy::default(),
        }
    }
}

impl ConnectionSettings {
    /// Platforms do not agree on what they do with headers that are not allowed.
    pub(crate) fn check(&self) -> Result<(), ConnectionError> {
        for (name, value) in &self.headers {
            if !is_header_name(name) {
                // If name and value were mixed up, this is a secret.
                let name = String::new();
                return Err(ConnectionError::InvalidHeader { name, reason: "is not the name of a header" });
            }
            if let Some(fault) = value_fault(value) {
                return Err(ConnectionError::InvalidHeader { name: name.clone(), reason: fault });
            }
        }
        Ok(())
    }

    /// The cookies of one start.
    pub(super) fn cookies(&self) -> Cookies {
        Cookies::new(
            self.with_credentials,
            #[cfg(native)]
            self.cookie_jar.clone(),
        )
    }
}

/// How a call ended, to the one who made it.
pub(crate) enum CallEnd<'a, P> {
    Outcome(Outcome<'a, P>),
    UnexpectedItem,
    Closed(&'a ConnectionError),
}

/// Receives the end of a call.
pub(crate) trait Caller<C: Codec>: MaybeSend {
    fn end(self: Box<Self>, end: CallEnd<'_, C::Payload<'_>>);
}

/// Receives the items of a stream.
pub(crate) trait Subscriber<C: Codec>: MaybeSend + MaybeSync {
    /// Takes an item. Returns whether more are wanted.
    fn item(&self, item: C::Payload<'_>) -> bool;

    fn end(&self, end: CallEnd<'_, C::Payload<'_>>);
}

/// A server call: its number, if it expects an answer, and its content.
pub(crate) type Called<'a, C> = (Option<u64>, Invocation<'a, <C as Codec>::Payload<'a>>);

/// Receives the server's calls.
pub(crate) trait Callee<C: WireCodec>: MaybeSend + MaybeSync {
    /// A connection is started. Nothing of an earlier one counts any more.
    fn start(&self, runtime: &Runtime);

    /// Takes the calls of one frame, in order. Nothing that takes long, and nothing that can fail, may happen here.
    fn call(&self, connection: &Arc<Connection<C>>, frame: &C::Held, calls: Vec<Called<'_, C>>);

    /// Nothing more comes for now. What was put aside to be handed over together is handed over.
    fn flush(&self) {}
}

/// Something that goes on until this is dropped.
pub(crate) type Job = oneshot::Sender<()>;

/// What waits for the answer to a call.
pub(crate) enum ClientCall<C: Codec> {
    Plain(Box<dyn Caller<C>>),
    Stream(Arc<dyn Subscriber<C>>),
}

impl<C: Codec> ClientCall<C> {
    pub(super) fn end(self, end: CallEnd<'_, C::Payload<'_>>) {
        match self {
            Self::Plain(caller) => caller.end(end),
            Self::Stream(subscriber) => subscriber.end(end),
        }
    }
}

/// A call, and what ends with it.
pub(super) struct Pending<C: Codec> {
    pub(super) call: ClientCall<C>,
    pub(super) _uploads: Vec<Job>,
}

/// What a driver and the users' handles share.
pub(crate) struct Connection<C: WireCodec> {
    pub(super) callee: Box<dyn Callee<C>>,
    pub(super) settings: ConnectionSettings,
    pub(super) backlog: Arc<Backlog>,
    shared: Mutex<Shared<C>>,
}

pub(super) struct Shared<C: WireCodec> {
    pub(super) machine: ClientMachine<C>,
    /// Where the driver runs.
    pub(super) runtime: Option<Runtime>,
    /// The driver's.
    pub(super) waker: Option<Waker>,
    /// Our calls, by number.
    pub(super) calls: Table<Pending<C>>,
    /// Uploads of calls without an end.
    pub(super) uploads: Table<Job>,
    /// What is being answered, by the number of the server's call.
    pub(super) answers: Table<Job>,
    pub(super) room: Room,
    pub(super) started: Vec<oneshot::Sender<Result<(), Arc<ConnectionError>>>>,
    pub(super) ended: Vec<oneshot::Sender<Arc<ConnectionError>>>,
    /// Why the connection ended the last time.
    pub(super) last_end: Option<Arc<ConnectionError>>,
    /// Who waits for a refresh of the authentication.
    pub(super) refreshed: Vec<oneshot::Sender<Refreshed>>,
    listeners: Listeners,
    /// Callbacks that receive events from the first start on, since there may be no runtime before.
    pub(super) callbacks: Vec<(ConnectionEvents, EventCallback)>,
}

/// The new lifetime of the credentials, if the server told, or why they could not be renewed.
pub(super) type Refreshed = Result<Option<Duration>, RefreshError>;

impl<C: WireCodec> Connection<C> {
    pub(crate) fn new(
        mut options: ClientOptions,
        settings: ConnectionSettings,
        backlog: Arc<Backlog>,
        callee: Box<dyn Callee<C>>,
        codec: C,
    ) -> Arc<Self> {
        options.transports.available = platform::transports();
        options.has_token_provider = settings.token_provider.is_some();
        let shared = Mutex::new(Shared {
            machine: ClientMachine::new(options, codec),
            runtime: None,
            waker: None,
            calls: Table::default(),
            uploads: Table::default(),
            answers: Table::default(),
            room: Room::default(),
            started: Vec::new(),
            ended: Vec::new(),
            last_end: None,
            refreshed: Vec::new(),
            listeners: Listeners::default(),
            callbacks: Vec::new(),
        });
        Arc::new(Self { callee, settings, backlog, shared })
    }

    /// No user code runs while the lock is held.
    pub(super) fn lock(&self) -> MutexGuard<'_, Shared<C>> {
        lock(&self.shared)
    }

    pub(crate) fn state(&self) -> ConnectionState {
        self.lock().machine.state()
    }

    pub(crate) fn info(&self) -> Option<ConnectionInfo> {
        self.lock().machine.info().cloned()
    }

    /// The hub's own URL, and that of the server that hosts the connection, as far as is known.
    pub(crate) fn urls(&self) -> (HubUrl, HubUrl) {
        let shared = self.lock();
        let hub = &shared.machine.options().url;
        let server = shared.machine.info().map_or(hub, |info| &info.url);
        (hub.clone(), server.clone())
    }

    /// Where the connection runs, once it was started.
    pub(crate) fn runtime(&self) -> Option<Runtime> {
        self.lock().runtime.clone()
    }

    /// Has a listener hear of what happens from now on.
    pub(crate) fn listen(&self, listener: Box<dyn Listen>) {
        self.lock().listeners.add(listener);
    }

    /// Changes what is shared, and wakes the driver if there is something to do for it.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut Shared<C>) -> R) -> R {
        let mut shared = self.lock();
        let result = change(&mut shared);
        let wakes = shared.machine.has_transmit() || shared.machine.has_effect();
        let waker = if wakes { shared.waker.take() } else { None };
        drop(shared);
        if let Some(waker) = waker {
            waker.wake();
        }
        result
    }
}

impl<C: WireCodec> Shared<C> {
    pub(super) fn tell(&mut self, event: &ConnectionEvent) {
        self.listeners.tell(event);
    }

    /// Lets the first of those who wait for room go on, if there is room.
    pub(super) fn yield_room(&mut self) {
        if !self.room.is_empty() && !self.machine.is_full() {
            self.room.wake_first();
        }
    }

    /// All who wait for an answer or for room, of a connection that is down.
    pub(super) fn take_pending(&mut self) -> Vec<Pending<C>> {
        self.uploads = Table::default();
        self.answers = Table::default();
        self.room.wake_all();
        self.calls.drain().collect()
    }

    /// All who wait for the end of the connection, or for its start.
    pub(super) fn take_waiting(&mut self) -> Waiting {
        self.waker = None;
        self.room.wake_all();
        Waiting { started: mem::take(&mut self.started), ended: mem::take(&mut self.ended) }
    }
}

/// Those who wait for a connection, to be told when it is no longer locked.
pub(super) struct Waiting {
    pub(super) started: Vec<oneshot::Sender<Result<(), Arc<ConnectionError>>>>,
    pub(super) ended: Vec<oneshot::Sender<Arc<ConnectionError>>>,
}

impl Waiting {
    pub(super) fn tell(self, error: &Arc<ConnectionError>) {
        for started in self.started {
            let _ = started.send(Err(Arc::clone(error)));
        }
        for ended in self.ended {
            let _ = ended.send(Arc::clone(error));
        }
    }
}

/// Stops the connection when the last user's handle is gone.
pub(crate) struct StopOnDrop<C: WireCodec>(pub(crate) Arc<Connection<C>>);

impl<C: WireCodec> Drop for StopOnDrop<C> {
    fn drop(&mut self) {
        self.0.request_stop();
    }
}

impl<C: WireCodec> fmt::Debug for StopOnDrop<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("state", &self.0.state()).finish_non_exhaustive()
    }
}
