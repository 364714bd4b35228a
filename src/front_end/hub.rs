//! The hub that components share, and its state.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::arguments::Arguments;
use crate::client::{
    CallError, ConnectionEvent, HubConnection, HubConnectionBuilder, HubStream, RetryPolicy,
};
use crate::core::client::ConnectionError;
use crate::core::client::ConnectionState;
use crate::platform::{MaybeSend, ThreadBound};

/// The connection that components share. Clones share it too, and are equal to each other.
///
/// Components get it from `use_hub`. It does not keep the connection alive: that ends with the provider, even if a
/// component still has a clone, and calls then fail.
#[derive(Clone)]
pub struct Hub(Arc<ThreadBound<Result<HubConnection, ConnectionError>>>);

impl Hub {
    /// A hub that is not connected yet. It reconnects automatically when it is lost, unless `setup` says otherwise.
    pub(crate) fn new(url: &str, setup: impl FnOnce(HubConnectionBuilder) -> HubConnectionBuilder) -> Self {
        let builder = HubConnection::builder(url)
            .with_automatic_reconnect(RetryPolicy::default())
            .with_first_connect_retry(true);
        Self(Arc::new(ThreadBound::new(setup(builder).build())))
    }

    /// The connection itself, with all its methods.
    ///
    /// # Errors
    /// [`ConnectionError::InvalidUrl`].
    pub fn connection(&self) -> Result<&HubConnection, ConnectionError> {
        (**self.0).as_ref().map_err(Clone::clone)
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
    /// Why the connection was lost, could not be made, or has ended; gone when there is one again.
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
pub(crate) async fn keep(hub: Hub, tell: impl Fn(HubState)) {
    let connection = match hub.connection() {
        Ok(connection) => connection,
        Err(error) => return tell(HubState { error: Some(error), ..HubState::default() }),
    };
    let mut events = connection.events();
    let _stop = Stop(connection);
    if let Err(error) = connection.begin_start() {
        tell(HubState { error: Some(error), ..HubState::default() });
    }
    while let Some(event) = events.next().await {
        let (connection, error) = match event {
            ConnectionEvent::Connecting => (ConnectionState::Connecting, None),
            ConnectionEvent::Connected { .. } | ConnectionEvent::Reconnected { .. } => {
                (ConnectionState::Connected, None)
            }
            ConnectionEvent::Reconnecting { error } => (ConnectionState::Reconnecting, Some(error)),
            ConnectionEvent::Disconnected { error } => (ConnectionState::Disconnected, Some(error)),
            ConnectionEvent::AuthenticationRefreshed { .. }
            | ConnectionEvent::AuthenticationRefreshFailed { .. } => continue,
        };
        tell(HubState { connection, error });
    }
}

struct Stop<'a>(&'a HubConnection);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.request_stop();
    }
}
