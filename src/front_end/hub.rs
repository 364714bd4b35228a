//! The hub that components share, and its state.

use std::fmt;
use std::future::Future;
use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;

use futures_channel::mpsc;
use futures_core::Stream as _;
use serde::de::DeserializeOwned;

use crate::arguments::Arguments;
use crate::client::{
    CallError, ConnectionEvent, ConnectionEvents, HubConnection, HubConnectionBuilder, HubStream, RetryPolicy,
};
use crate::core::client::ConnectionError;
use crate::core::client::ConnectionState;
use crate::lock::lock;
use crate::platform::{MaybeSend, ThreadBound};
use crate::typed::TypedHub;

/// The connection that components share. Clones share it too, and are equal to each other.
///
/// Components get it from `use_hub`. It does not keep the connection alive: that ends with the provider, even if a
/// component still has a clone, and calls then fail.
#[derive(Clone)]
pub struct Hub(Arc<ThreadBound<Mutex<Shared>>>);

struct Shared {
    connection: Result<HubConnection, ConnectionError>,
    /// Whether there is to be a connection, by [`Hub::start`] and [`Hub::stop`].
    wanted: bool,
    /// Whether the connection has to be started again once it is down, since it is still stopping.
    restart: bool,
    /// Who watches the connection: the provider, while it is there. Without one nothing connects.
    watcher: Option<u32>,
    watchers: u32,
    /// Tells the watcher of each [`Hub::stop`]: a connection that has ended already has no event for it.
    stops: Option<mpsc::UnboundedSender<()>>,
}

impl Shared {
    fn begin(&mut self) {
        let Ok(connection) = &self.connection else { return };
        match connection.begin_start() {
            Ok(()) => {}
            Err(ConnectionError::AlreadyStarted) => {
                self.restart = connection.state() == ConnectionState::Disconnecting;
            }
            Err(error) => {
                tracing::error!(error = %crate::ErrorChain::new(&error), "the connection cannot be started")
            }
        }
    }
}

impl Hub {
    /// A hub that is not connected yet. It reconnects automatically when it is lost, unless `setup` says otherwise.
    #[cfg(any(feature = "yew", test))]
    pub(crate) fn new(url: &str, setup: impl FnOnce(HubConnectionBuilder) -> HubConnectionBuilder) -> Self {
        Self::over(build(url, setup))
    }

    /// A hub without a connection, before the first [`replace`](Self::replace).
    #[cfg(feature = "leptos")]
    pub(crate) fn unset() -> Self {
        Self::over(Err(ConnectionError::NotConnected))
    }

    fn over(connection: Result<HubConnection, ConnectionError>) -> Self {
        let shared =
            Shared { connection, wanted: false, restart: false, watcher: None, watchers: 0, stops: None };
        Self(Arc::new(ThreadBound::new(Mutex::new(shared))))
    }

    /// Has another connection take the place of this one, which ends with its [`watch`].
    #[cfg(feature = "leptos")]
    pub(crate) fn replace(
        &self,
        url: &str,
        setup: impl FnOnce(HubConnectionBuilder) -> HubConnectionBuilder,
    ) {
        let connection = build(url, setup);
        let old = mem::replace(&mut self.lock().connection, connection);
        // Not under the lock: handlers of the user go with it.
        drop(old);
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        lock(&self.0)
    }

    /// The connection itself, with all its methods.
    ///
    /// # Errors
    /// [`ConnectionError::InvalidUrl`].
    pub fn connection(&self) -> Result<HubConnection, ConnectionError> {
        self.lock().connection.clone()
    }

    /// The connection as the typed handle that [`hub!`](crate::hub) makes: names, arguments and results of calls are
    /// checked when the program is compiled.
    ///
    /// # Errors
    /// [`ConnectionError::InvalidUrl`].
    ///
    /// ```no_run
    /// hubwire::hub! {
    ///     pub trait Chat { fn send_message(user: &str, text: &str); }
    /// }
    ///
    /// # #[cfg(feature = "leptos")]
    /// # async fn run(hub: hubwire::leptos_hooks::Hub) -> Result<(), hubwire::CallError> {
    /// hub.typed::<Chat>()?.send_message("alice", "hello").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn typed<H: TypedHub>(&self) -> Result<H, ConnectionError> {
        self.connection().map(H::over)
    }

    /// Connects, unless there is a connection or one is being made. The state tells how it goes: there is nothing to
    /// wait for. On a server that renders the page it does nothing, and so it does when the provider is gone.
    ///
    /// The provider does this by itself, unless it is told not to (`enabled`). By hand it is for a connection that was
    /// [stopped](Self::stop), or that was tried again for as long as the retry policy wants.
    pub fn start(&self) {
        let mut shared = self.lock();
        shared.wanted = true;
        if shared.watcher.is_some() {
            shared.begin();
        }
    }

    /// Disconnects, whatever the connection is doing, until [`start`](Self::start). Calls that are pending fail with
    /// [`ConnectionError::Stopped`].
    pub fn stop(&self) {
        let mut shared = self.lock();
        shared.wanted = false;
        shared.restart = false;
        if let Ok(connection) = &shared.connection {
            connection.request_stop();
        }
        if let Some(stops) = &shared.stops {
            // Without a watcher nobody is to be told.
            let _ = stops.unbounded_send(());
        }
    }

    /// Calls a method of the hub and waits for its result. See [`HubConnection::invoke`].
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn invoke<R>(&self, target: &str, arguments: impl Arguments) -> Result<R, CallError>
    where
        R: DeserializeOwned + MaybeSend + 'static,
    {
        self.connection()?.invoke(target, arguments).await
    }

    /// Calls a method of the hub without waiting for it. See [`HubConnection::send`].
    ///
    /// # Errors
    /// [`CallError::Connection`] and [`CallError::Arguments`].
    pub async fn send(&self, target: &str, arguments: impl Arguments) -> Result<(), CallError> {
        self.connection()?.send(target, arguments).await
    }

    /// Calls a method of the hub that answers with a stream. See [`HubConnection::stream`].
    ///
    /// # Errors
    /// [`CallError::Connection`] and [`CallError::Arguments`].
    pub async fn stream<T>(&self, target: &str, arguments: impl Arguments) -> Result<HubStream<T>, CallError>
    where
        T: DeserializeOwned + MaybeSend + 'static,
    {
        self.connection()?.stream(target, arguments).await
    }
}

/// What the set-up of a hub gets: its connection comes back when it is lost.
pub(crate) fn builder(url: &str) -> HubConnectionBuilder {
    HubConnection::builder(url)
        .with_automatic_reconnect(RetryPolicy::default())
        .with_first_connect_retry(true)
}

/// A connection that comes back when it is lost, unless `setup` says otherwise.
fn build(
    url: &str,
    setup: impl FnOnce(HubConnectionBuilder) -> HubConnectionBuilder,
) -> Result<HubConnection, ConnectionError> {
    setup(builder(url)).build()
}

impl PartialEq for Hub {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hub").field(&self.connection()).finish()
    }
}

/// What the connection is doing, for display.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct HubState {
    /// [`ConnectionState::Disconnected`] before the first start, and on a server that renders the page.
    pub connection: ConnectionState,
    /// Why the connection was lost, could not be made, or has ended; `None` once there is one again, and after it was
    /// stopped on purpose.
    pub error: Option<ConnectionError>,
}

impl HubState {
    /// Whether calls can be made.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.connection == ConnectionState::Connected
    }

    /// Whether the connection was lost and may be back soon.
    #[must_use]
    pub fn is_reconnecting(&self) -> bool {
        self.connection == ConnectionState::Reconnecting
    }
}

impl Default for HubState {
    fn default() -> Self {
        Self { connection: ConnectionState::Disconnected, error: None }
    }
}

/// Connects, reports every change of state, and disconnects when it is dropped.
#[cfg(all(test, native))]
pub(crate) async fn keep(hub: Hub, tell: impl Fn(HubState)) {
    hub.start();
    watch(&hub, tell).await;
}

/// Connects when the hub is to be started, reports every change of state, and disconnects when it is dropped.
pub(crate) fn watch<T: Fn(HubState)>(hub: &Hub, tell: T) -> impl Future<Output = ()> + use<T> {
    let mut shared = hub.lock();
    shared.watchers += 1;
    shared.watcher = Some(shared.watchers);
    shared.restart = false;
    let (stopped, stops) = mpsc::unbounded();
    shared.stops = Some(stopped);
    let watch = Watch { hub: hub.clone(), connection: shared.connection.clone(), watcher: shared.watchers };
    // From before it is started: nothing that happens is missed.
    let events = shared.connection.as_ref().ok().map(HubConnection::events);
    if shared.wanted {
        shared.begin();
    }
    drop(shared);
    async move {
        match (&watch.connection, events) {
            (Ok(connection), Some(events)) => watch.report(connection, events, stops, tell).await,
            (Err(error), _) => tell(HubState { error: Some(error.clone()), ..HubState::default() }),
            (Ok(_), None) => {}
        }
    }
}

struct Watch {
    hub: Hub,
    connection: Result<HubConnection, ConnectionError>,
    watcher: u32,
}

impl Watch {
    async fn report(
        &self,
        watched: &HubConnection,
        mut events: ConnectionEvents,
        mut stops: mpsc::UnboundedReceiver<()>,
        tell: impl Fn(HubState),
    ) {
        loop {
            // `None` for a stop, of which a connection that has failed says nothing more.
            let next = poll_fn(|cx| match Pin::new(&mut stops).poll_next(cx) {
                Poll::Ready(Some(())) => Poll::Ready(Some(None)),
                _ => Pin::new(&mut events).poll_next(cx).map(|event| event.map(Some)),
            });
            let Some(event) = next.await else { return };
            let Some(event) = event else {
                if watched.state() == ConnectionState::Disconnected {
                    tell(HubState::default());
                }
                continue;
            };
            let (connection, error) = match event {
                ConnectionEvent::Connecting => (ConnectionState::Connecting, None),
                ConnectionEvent::Connected { .. } | ConnectionEvent::Reconnected { .. } => {
                    (ConnectionState::Connected, None)
                }
                ConnectionEvent::Reconnecting { error } => (ConnectionState::Reconnecting, Some(error)),
                ConnectionEvent::Disconnected { error } => {
                    let error = Some(error).filter(|error| *error != ConnectionError::Stopped);
                    (ConnectionState::Disconnected, error)
                }
                ConnectionEvent::AuthenticationRefreshed { .. }
                | ConnectionEvent::AuthenticationRefreshFailed { .. } => continue,
            };
            tell(HubState { connection, error });
            let mut shared = self.hub.lock();
            if connection == ConnectionState::Disconnected && mem::take(&mut shared.restart) {
                shared.begin();
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut shared = self.hub.lock();
        if shared.watcher == Some(self.watcher) {
            shared.watcher = None;
        }
        drop(shared);
        if let Ok(connection) = &self.connection {
            connection.request_stop();
        }
    }
}
