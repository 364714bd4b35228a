use std::fmt;
use std::sync::Arc;

use futures_channel::oneshot;
use serde::de::DeserializeOwned;

use crate::client::call::{CallEnd, Caller};
use crate::client::connection::{Connection, ConnectionState, StopOnDrop};
use crate::client::handler::{Handler, Handlers, Subscription};
use crate::client::json::Json;
use crate::client::{CallError, HubConnectionBuilder};
use crate::core::arguments::Arguments;
use crate::core::hub::Pending;
use crate::core::message::Outcome;
use crate::core::session::{ConnectionError, ConnectionInfo};
use crate::platform::MaybeSend;

/// A connection to a SignalR hub.
///
/// It is a handle: clones are cheap and mean the same connection, which stops when the last of them is dropped.
///
/// ```no_run
/// use hubwire::HubConnection;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let hub = HubConnection::builder("https://example.com/chat")
///     .on("ReceiveMessage", |user: String, text: String| println!("{user}: {text}"))
///     .connect()
///     .await?;
/// let sum: u32 = hub.invoke("Add", (1, 2)).await?;
/// hub.send("SendMessage", ("alice", format!("1 + 2 = {sum}"))).await?;
/// hub.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct HubConnection {
    connection: Arc<StopOnDrop<Json>>,
    handlers: Arc<Handlers>,
}

impl HubConnection {
    /// Begins with the hub's URL, such as `https://example.com/chat`. In a browser it may be relative to the page.
    pub fn builder(url: impl AsRef<str>) -> HubConnectionBuilder {
        HubConnectionBuilder::new(url.as_ref())
    }

    pub(super) fn new(connection: Arc<Connection<Json>>, handlers: Arc<Handlers>) -> Self {
        Self { connection: Arc::new(StopOnDrop(connection)), handlers }
    }

    /// Connects: negotiates, opens the transport and shakes hands. A connection that has ended can be started
    /// again; it then begins at the hub's own URL, with a new token of the provider's.
    ///
    /// # Errors
    /// [`ConnectionError`] says what failed and what to do about it. [`ConnectionError::AlreadyStarted`] unless
    /// the state is [`ConnectionState::Disconnected`].
    pub async fn start(&self) -> Result<(), ConnectionError> {
        self.connection.0.start(Json::default()).await.map_err(Arc::unwrap_or_clone)
    }

    /// Stops the connection, whatever it is doing, and waits until it is down. Calls that are pending end with
    /// [`ConnectionError::Stopped`]. Does nothing when there is none.
    pub async fn stop(&self) {
        self.connection.0.stop().await;
    }

    /// Calls a method of the hub and waits for its result. `()` is the result of a method that has none.
    ///
    /// Dropping the future cancels the call: the result is no longer waited for, and the server is told (which
    /// servers before .NET 11 ignore).
    ///
    /// # Errors
    /// [`CallError`].
    ///
    /// ```no_run
    /// # async fn run(hub: hubwire::HubConnection) -> Result<(), hubwire::CallError> {
    /// let sum: u32 = hub.invoke("Add", (1, 2)).await?;
    /// let nothing: () = hub.invoke("Ping", ()).await?;
    /// let maybe: Option<String> = hub.invoke("Find", ("alice",)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn invoke<R>(&self, target: &str, arguments: impl Arguments) -> Result<R, CallError>
    where
        R: DeserializeOwned + MaybeSend + 'static,
    {
        let arguments = arguments.to_json().map_err(CallError::Arguments)?;
        let (sender, receiver) = oneshot::channel();
        let caller = Pending::Call(Box::new(Waiting(sender)) as _);
        let call = self.connection.0.invoke(target, &arguments, caller, Vec::new())?;
        let result = receiver.await.unwrap_or(Err(CallError::Connection(ConnectionError::Stopped)));
        drop(call);
        result
    }

    /// Calls a method of the hub without waiting for it. The future ends once the message is on its way to the
    /// socket, which takes longer when much is on its way already.
    ///
    /// # Errors
    /// [`CallError::Connection`] and [`CallError::Arguments`]. That the method failed is not heard of.
    pub async fn send(&self, target: &str, arguments: impl Arguments) -> Result<(), CallError> {
        let arguments = arguments.to_json().map_err(CallError::Arguments)?;
        Ok(self.connection.0.send(target, &arguments, Vec::new())?.taken().await?)
    }

    /// Registers a handler for calls of the server, before or after connecting. There can be several for a method;
    /// each gets every call, in the order of arrival. Names are compared without regard to case.
    ///
    /// A handler runs in a task of its own, one call after the other. When more than 1 024 calls wait, the socket
    /// is no longer read until some are done. Arguments of another type than the handler's are logged
    /// (`tracing`, level error), and nothing else.
    ///
    /// ```no_run
    /// # fn run(hub: &hubwire::HubConnection) {
    /// let clock = hub.on("Clock", |time: String| println!("{time}"));
    /// clock.unsubscribe();
    /// # }
    /// ```
    pub fn on<A>(&self, target: &str, handler: impl Handler<A>) -> Subscription {
        self.handlers.add(target, handler)
    }

    /// What the connection is doing.
    #[must_use]
    pub fn state(&self) -> ConnectionState {
        self.connection.0.state()
    }

    /// The connection's public id. `None` unless connected, and when negotiate is skipped.
    #[must_use]
    pub fn connection_id(&self) -> Option<String> {
        self.connection_info()?.connection_id
    }

    /// What was agreed on in negotiate. `None` unless connected.
    #[must_use]
    pub fn connection_info(&self) -> Option<ConnectionInfo> {
        self.connection.0.info()
    }

    /// Waits until the connection ends, and says why; at once if it has ended already.
    /// [`ConnectionError::NotConnected`] if it was never started.
    pub async fn closed(&self) -> ConnectionError {
        let end = self.connection.0.closed().await;
        end.map_or(ConnectionError::NotConnected, Arc::unwrap_or_clone)
    }
}

impl fmt::Debug for HubConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubConnection").field("state", &self.state()).finish_non_exhaustive()
    }
}

/// Waits for a result, which is read from the message's own bytes.
struct Waiting<R>(oneshot::Sender<Result<R, CallError>>);

impl<R: DeserializeOwned + MaybeSend> Caller<Json> for Waiting<R> {
    fn end(self: Box<Self>, end: CallEnd<'_, &str>) {
        let result = match end {
            CallEnd::Outcome(Outcome::Void) => serde_json::from_str("null").map_err(CallError::Result),
            CallEnd::Outcome(Outcome::Value(json)) => serde_json::from_str(json).map_err(CallError::Result),
            CallEnd::Outcome(Outcome::Error(error)) => Err(CallError::Server(error.into_owned())),
            CallEnd::UnexpectedItem => Err(CallError::NotAStream),
            CallEnd::Closed(error) => Err(CallError::Connection(error.clone())),
        };
        // Nobody waits any more: the call was dropped in this moment.
        let _ = self.0.send(result);
    }
}
