//! The handle of a connection.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use futures_channel::oneshot;
use serde::de::DeserializeOwned;

use crate::arguments::{ArgumentWriter, Arguments};
use crate::client::CallError;
use crate::client::engine::calls::PendingCall;
use crate::client::engine::connection::{CallEnd, Caller, ClientCall, Connection, Job, StopOnDrop};
use crate::client::engine::events::{ConnectionEvent, ConnectionEvents};
#[cfg(any(feature = "leptos", feature = "yew"))]
use crate::client::handler::sealed::Callable;
use crate::client::handler::{Handler, InvokeHandler};
use crate::client::handlers::{Handlers, Subscription};
use crate::client::server_call::ServerCall;
use crate::client::stream::HubStream;
use crate::client::trace::{CallSpan, Tracing};
use crate::client::upload::Uploads;
use crate::core::client::{ConnectionError, ConnectionInfo, ConnectionState, Method};
use crate::core::codec::{Payload, RawCodec};
use crate::core::message::Outcome;
use crate::core::refresh::RefreshError;
use crate::payload::Decode as _;
use crate::platform::{MaybeSend, MaybeSync};
use crate::serialize::Encoding;

/// A connection to a SignalR hub.
///
/// It is a handle: clones are cheap and share one connection, which stops when the last of them is dropped.
/// Handlers that call the connection should hold a [weak](Self::downgrade) handle, so that it can stop.
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
    connection: Arc<StopOnDrop<RawCodec>>,
    handlers: Arc<Handlers>,
    encoding: Encoding,
    tracing: Tracing,
    call_timeout: Option<Duration>,
}

impl HubConnection {
    pub(super) fn new(
        connection: Arc<Connection<RawCodec>>,
        handlers: Arc<Handlers>,
        encoding: Encoding,
        tracing: Tracing,
        call_timeout: Option<Duration>,
    ) -> Self {
        Self { connection: Arc::new(StopOnDrop(connection)), handlers, encoding, tracing, call_timeout }
    }

    /// Connects: negotiates, opens the transport and shakes hands. A connection that has ended can be started
    /// again; it then begins at the hub's own URL, with a new token from the provider.
    ///
    /// # Errors
    /// [`ConnectionError`] says what failed and what to do about it. [`ConnectionError::AlreadyStarted`] unless
    /// the state is [`ConnectionState::Disconnected`].
    pub async fn start(&self) -> Result<(), ConnectionError> {
        self.connection.0.start().await.map_err(Arc::unwrap_or_clone)
    }

    /// Stops the connection, whatever it is doing, and waits until it is down. Calls that are pending end with
    /// [`ConnectionError::Stopped`]. Does nothing when there is no connection.
    pub async fn stop(&self) {
        self.connection.0.stop().await;
    }

    /// Calls a method of the hub and waits for its result. `()` is the result of a method that has none.
    ///
    /// Dropping the future cancels the call: the result is no longer awaited, and the server is told (which
    /// servers before .NET 11 ignore). So does a [time limit](Self::with_call_timeout).
    ///
    /// Among the arguments there may be [`Upload`](crate::Upload)s: streams whose items follow the call. They stop
    /// when the call ends.
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
        let span = CallSpan::new(&self.connection.0, target);
        let (sender, result) = oneshot::channel();
        let caller = Box::new(Waiting { sender, encoding: self.encoding });
        let called = async {
            let (arguments, jobs, uploads) = self.write(arguments)?;
            let method = self.method(target, &span);
            let _call = self.call(method, &arguments, jobs, uploads, ClientCall::Plain(caller)).await?;
            // The driver tells every caller why the connection ended, unless it is gone with its runtime.
            result.await.unwrap_or(Err(CallError::Connection(ConnectionError::Stopped)))
        };
        let result = match self.call_timeout {
            None => called.await,
            Some(limit) => self.within(limit, called).await,
        };
        result.inspect_err(|error| span.fail(error))
    }

    /// The same connection, where every [`invoke`](Self::invoke) is cancelled and fails with
    /// [`CallError::Timeout`] when its result takes longer than this. Streams have no such limit. Default: none.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # async fn run(hub: hubwire::HubConnection) -> Result<(), hubwire::CallError> {
    /// let sum: u32 = hub.with_call_timeout(Duration::from_secs(5)).invoke("Add", (1, 2)).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_call_timeout(&self, limit: Duration) -> Self {
        Self { call_timeout: Some(limit), ..self.clone() }
    }

    /// Calls a method of the hub without waiting for it. The future ends once the message is on its way to the
    /// socket: while much is on its way already, it waits.
    ///
    /// [`Upload`](crate::Upload)s among the arguments go on after that, until they or the connection end.
    ///
    /// # Errors
    /// [`CallError::Connection`] and [`CallError::Arguments`]. A failure of the method is not reported.
    pub async fn send(&self, target: &str, arguments: impl Arguments) -> Result<(), CallError> {
        let connection = &self.connection.0;
        let span = CallSpan::new(connection, target);
        let sent = async {
            let (arguments, jobs, uploads) = self.write(arguments)?;
            let arguments = Payload::new(self.encoding.protocol, &arguments);
            let ids = connection.send(self.method(target, &span), arguments, jobs).await?;
            uploads.start(connection, self.encoding, ids);
            Ok(())
        };
        sent.await.inspect_err(|error| span.fail(error))
    }

    /// Calls a method of the hub that answers with a stream. The call is sent at once; items are kept for the stream
    /// from the first on.
    ///
    /// When more than 1 024 items and messages for handlers wait, or more than 8 MiB, the socket is no longer read,
    /// and the server has to wait. The exception: while a result is awaited ([`invoke`](Self::invoke), or an empty
    /// stream, after 30 seconds without progress), since a slow handler may itself be awaiting that result. Then up to 65 536
    /// messages or 64 MiB are held, and past that the connection ends with [`ConnectionError::SlowConsumer`].
    ///
    /// # Errors
    /// [`CallError::Connection`] and [`CallError::Arguments`]. What happens later is the last item of the stream.
    ///
    /// ```no_run
    /// # async fn run(hub: hubwire::HubConnection) -> Result<(), hubwire::CallError> {
    /// let mut ticks = hub.stream::<u64>("Ticks", ("MSFT",)).await?;
    /// while let Some(tick) = ticks.next().await {
    ///     println!("{}", tick?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn stream<T>(&self, target: &str, arguments: impl Arguments) -> Result<HubStream<T>, CallError>
    where
        T: DeserializeOwned + MaybeSend + 'static,
    {
        let (subscriber, stream) = HubStream::new(self.handlers.backlog(), self.encoding.names);
        let span = CallSpan::new(&self.connection.0, target);
        let called = async {
            let (arguments, jobs, uploads) = self.write(arguments)?;
            let method = self.method(target, &span);
            self.call(method, &arguments, jobs, uploads, ClientCall::Stream(subscriber)).await
        };
        let called = called.await.inspect_err(|error| span.fail(error))?;
        Ok(stream((called, span)))
    }

    async fn call(
        &self,
        method: Method<'_>,
        arguments: &[u8],
        jobs: Vec<Job>,
        uploads: Uploads,
        call: ClientCall<RawCodec>,
    ) -> Result<PendingCall<RawCodec>, CallError> {
        let connection = &self.connection.0;
        let call =
            connection.invoke(method, Payload::new(self.encoding.protocol, arguments), call, jobs).await?;
        uploads.start(connection, self.encoding, call.uploads.clone());
        Ok(call)
    }

    fn method<'a>(&self, name: &'a str, span: &CallSpan) -> Method<'a> {
        Method { name, headers: span.headers(&self.tracing) }
    }

    fn write(&self, arguments: impl Arguments) -> Result<(Vec<u8>, Vec<Job>, Uploads), CallError> {
        let mut writer = ArgumentWriter::new(self.encoding);
        arguments.write(&mut writer).map_err(CallError::Arguments)?;
        let (bytes, uploads) = writer.finish();
        let (jobs, uploads) = Uploads::new(uploads);
        Ok((bytes, jobs, uploads))
    }

    async fn within<R>(
        &self,
        limit: Duration,
        call: impl Future<Output = Result<R, CallError>>,
    ) -> Result<R, CallError> {
        let mut call = pin!(call);
        // A connection that was never started has nothing to wait for.
        let Some(runtime) = self.connection.0.runtime() else { return call.await };
        let mut sleep = runtime.sleep(limit);
        poll_fn(|cx| match call.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => sleep.as_mut().poll(cx).map(|()| Err(CallError::Timeout { limit })),
        })
        .await
    }

    /// Registers a handler for calls of the server, before or after connecting. There can be several for a method;
    /// each gets every call, in the order of arrival. Names are compared without regard to case.
    ///
    /// A handler is a closure, or an `async` one, and gets one call after the other. The handlers of a connection begin
    /// in the order in which their calls arrive: a closure runs to its end, an `async` handler to its first pending
    /// `await`. While it is pending, later calls go on to other handlers, and its own next call waits for it. Natively both
    /// run on a thread that may block (tokio's `spawn_blocking`), an `async` handler from its first pending `await` on
    /// in a task: a closure that takes long holds up the calls behind it, and neither pings, results, streams nor
    /// [`stop`](Self::stop). It may even wait for a call of its own connection
    /// (`tokio::runtime::Handle::block_on`). In a browser, which has one thread, nothing may block.
    ///
    /// Results and the items of streams do not wait for handlers: when a result is there, handlers of calls that came
    /// before it may still be running. When more than 1 024
    /// messages wait for their handlers, or more than 8 MiB, the socket is no longer read until some are done;
    /// [`stream`](Self::stream) tells the exception. Arguments of another type than the handler's are logged
    /// (`tracing`, level error), and so is a panic.
    ///
    /// Messages for a method that has never had a handler are kept, up to 256 of them and 1 MiB for all methods
    /// together: the first handler gets them before later ones. Past that the oldest are dropped, with a warning in
    /// the log. [`start`](Self::start) drops what was kept.
    ///
    /// ```no_run
    /// # fn run(hub: &hubwire::HubConnection) {
    /// let clock = hub.on("Clock", |time: String| println!("{time}"));
    /// clock.unsubscribe();
    ///
    /// let caller = hub.downgrade(); // a handler that owns a handle would keep the connection alive forever
    /// hub.on("Wake", move |name: String| {
    ///     let hub = caller.upgrade();
    ///     async move {
    ///         let Some(hub) = hub else { return };
    ///         if let Err(error) = hub.send("Awake", (name,)).await {
    ///             eprintln!("{}", hubwire::ErrorChain::new(&error));
    ///         }
    ///     }
    /// });
    /// # }
    /// ```
    pub fn on<M: 'static>(&self, target: &str, handler: impl Handler<M>) -> Subscription {
        self.handlers.add(target, handler)
    }

    /// Registers a handler of any kind.
    #[cfg(any(feature = "leptos", feature = "yew"))]
    pub(super) fn subscribe<M: 'static>(&self, target: &str, handler: impl Callable<M>) -> Subscription {
        self.handlers.add(target, handler)
    }

    /// Registers a handler of any kind that answers.
    #[cfg(feature = "yew")]
    pub(super) fn subscribe_answer<M: 'static>(
        &self,
        target: &str,
        handler: impl Callable<M>,
    ) -> Subscription {
        self.handlers.answer(target, handler)
    }

    /// As [`start`](Self::start), without waiting: the [events](Self::events) tell how it ends.
    #[cfg(any(feature = "leptos", feature = "yew"))]
    pub(crate) fn begin_start(&self) -> Result<(), ConnectionError> {
        self.connection.0.begin_start().map(drop).map_err(Arc::unwrap_or_clone)
    }

    /// As [`stop`](Self::stop), without waiting.
    #[cfg(any(feature = "leptos", feature = "yew"))]
    pub(crate) fn request_stop(&self) {
        self.connection.0.request_stop();
    }

    /// Registers the handler whose result the server gets when it calls a method and waits for the answer. It returns
    /// a `Result`; the server gets the text of an error. Another handler that answers for this method is replaced;
    /// those of [`on`](Self::on) run as well.
    ///
    /// Exactly one answer goes back for each call. It is an error if there is no handler that answers, if the
    /// arguments are of another type than the handler's, if the handler panics (natively), and if the result cannot be
    /// serialized; these are logged (`tracing`, level error). An `Err` of the handler is an answer like any other, and is
    /// logged at the level debug. When the server cancels the call, the future of an `async` handler is dropped. An answer that
    /// comes after the end of the connection is dropped, and so is the result of a call that asks for none.
    ///
    /// ```no_run
    /// use std::convert::Infallible;
    ///
    /// # async fn find(name: String) -> std::io::Result<String> { Ok(name) }
    /// # fn run(hub: &hubwire::HubConnection) {
    /// hub.on_invoke("Find", |name: String| async move { find(name).await });
    /// hub.on_invoke("Parse", |number: String| number.parse::<u32>());
    /// hub.on_invoke("Version", || Ok::<_, Infallible>("1.0"));
    /// # }
    /// ```
    pub fn on_invoke<M: 'static>(&self, target: &str, handler: impl InvokeHandler<M>) -> Subscription {
        self.handlers.answer(target, handler)
    }

    /// Registers a handler for calls of methods that have none of their own: to log them, or to pass them on to where the
    /// methods are known. A method whose last handler was unsubscribed is one of them again. There can be several such
    /// handlers; each gets every such call, in turn with those of other handlers.
    ///
    /// The handler is a closure that is done when it returns; natively it runs on a thread that may block, as those of
    /// [`on`](Self::on) do. It does not answer: a server that waits for a result is told that there is none, as without
    /// the handler. Nothing is kept any more for methods without a handler, and what was kept is given to this one.
    ///
    /// ```no_run
    /// # fn run(hub: &hubwire::HubConnection) {
    /// hub.on_unhandled(|call| match call.arguments::<Vec<serde_json::Value>>() {
    ///     Ok(arguments) => println!("{}{arguments:?}", call.method()),
    ///     Err(error) => eprintln!("{}: {error}", call.method()),
    /// });
    /// # }
    /// ```
    pub fn on_unhandled(&self, handler: impl FnMut(ServerCall) + MaybeSend + 'static) -> Subscription {
        self.handlers.add_unhandled(handler)
    }

    /// Whether messages wait for their handlers, or items for the readers of their streams.
    #[cfg(all(native, feature = "cli"))]
    pub(crate) fn has_waiting_messages(&self) -> bool {
        !self.handlers.backlog().is_empty()
    }

    /// Registers a handler for a method that gets its calls as they are.
    #[cfg(all(native, feature = "cli"))]
    pub(crate) fn watch(
        &self,
        target: &str,
        handler: impl FnMut(ServerCall) + MaybeSend + 'static,
    ) -> Subscription {
        self.handlers.watch(target, handler)
    }

    /// What happens to the connection from now on: a stream of [`ConnectionEvent`]s.
    ///
    /// ```no_run
    /// # async fn run(hub: hubwire::HubConnection) {
    /// let mut events = hub.events();
    /// while let Some(event) = events.next().await {
    ///     println!("{event:?}");
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn events(&self) -> ConnectionEvents {
        self.connection.0.events()
    }

    /// Tells a callback of every [`ConnectionEvent`], in order, and natively on a thread where it may block. It stays
    /// for as long as the connection.
    ///
    /// ```no_run
    /// use hubwire::ConnectionEvent;
    ///
    /// # fn run(hub: &hubwire::HubConnection) {
    /// hub.on_event(|event| {
    ///     if let ConnectionEvent::Disconnected { error } = event {
    ///         println!("the connection has ended: {}", hubwire::ErrorChain::new(&error));
    ///     }
    /// });
    /// # }
    /// ```
    pub fn on_event(&self, callback: impl Fn(ConnectionEvent) + MaybeSend + MaybeSync + 'static) {
        self.connection.0.on_event(Arc::new(callback));
    }

    /// Gets a new token from the provider and gives it to the server, without a new connection (ASP.NET Core 11).
    /// Returns how long the new credentials are valid, if the server tells. It happens automatically where the
    /// server told their lifetime in negotiate; see
    /// [`with_authentication_refresh`](crate::HubConnectionBuilder::with_authentication_refresh).
    ///
    /// # Errors
    /// [`RefreshError`]; the connection goes on as it was.
    ///
    /// ```no_run
    /// # async fn run(hub: hubwire::HubConnection) -> Result<(), hubwire::RefreshError> {
    /// let lifetime = hub.refresh_authentication().await?;
    /// println!("valid for {lifetime:?}");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn refresh_authentication(&self) -> Result<Option<Duration>, RefreshError> {
        self.connection.0.refresh().await
    }

    /// A handle that does not keep the connection alive, for handlers that call it.
    #[must_use]
    pub fn downgrade(&self) -> WeakHubConnection {
        WeakHubConnection {
            connection: Arc::downgrade(&self.connection),
            handlers: Arc::downgrade(&self.handlers),
            encoding: self.encoding,
            tracing: self.tracing.clone(),
            call_timeout: self.call_timeout,
        }
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

/// A handle that does not keep the connection alive. See [`HubConnection::downgrade`].
#[derive(Clone)]
pub struct WeakHubConnection {
    connection: Weak<StopOnDrop<RawCodec>>,
    handlers: Weak<Handlers>,
    encoding: Encoding,
    tracing: Tracing,
    call_timeout: Option<Duration>,
}

impl WeakHubConnection {
    /// The connection, unless its last handle is gone.
    #[must_use]
    pub fn upgrade(&self) -> Option<HubConnection> {
        Some(HubConnection {
            connection: self.connection.upgrade()?,
            handlers: self.handlers.upgrade()?,
            encoding: self.encoding,
            tracing: self.tracing.clone(),
            call_timeout: self.call_timeout,
        })
    }
}

impl fmt::Debug for WeakHubConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakHubConnection").finish_non_exhaustive()
    }
}

/// Waits for a result, which is read from the message's own bytes.
struct Waiting<R> {
    sender: oneshot::Sender<Result<R, CallError>>,
    encoding: Encoding,
}

impl<R: DeserializeOwned + MaybeSend> Caller<RawCodec> for Waiting<R> {
    fn end(self: Box<Self>, end: CallEnd<'_, Payload<'_>>) {
        let Encoding { protocol, names } = self.encoding;
        let decode = |value: Payload<'_>| value.decode(names).map_err(CallError::Result);
        let result = match end {
            CallEnd::Outcome(Outcome::Void) => decode(Payload::null(protocol)),
            CallEnd::Outcome(Outcome::Value(value)) => decode(value),
            CallEnd::Outcome(Outcome::Error(error)) => Err(CallError::Server(error.into_owned())),
            CallEnd::UnexpectedItem => Err(CallError::NotAStream),
            CallEnd::Closed(error) => Err(CallError::Connection(error.clone())),
        };
        // The call was dropped in this moment.
        let _ = self.sender.send(result);
    }
}
