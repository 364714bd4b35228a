//! How a hub is built.

#[cfg(feature = "service")]
mod azure;
mod backplane;
mod calls;
mod clients;
mod outgoing;
mod policies;
mod presence;
mod telemetry;

use std::{
    fmt,
    future::{Future, ready},
    sync::Arc,
    time::Duration,
};

use tokio::sync::watch;

use super::{
    caller::Caller,
    error::HubError,
    filter::{OnConnected, OnDisconnected},
    front::Front,
    hub_server::HubServer,
    identity::{HubRequest, Identity, Rejection},
    lifetime::{Lifetime, Local},
    methods::{Counts, HubMethod, HubStreamMethod, IntoMethod, Methods, Registered},
    outgoing::OutgoingRules,
    refreshable::Refreshable,
    rules::Rules,
    sender::HubSender,
    state::{Authenticate, Hub},
};
#[cfg(feature = "service")]
use crate::server::azure::{Prepared, listen, start};
use crate::{
    HubProtocol, Transports,
    core::server::ServerOptions,
    server::{
        backplane::Options as BackplaneOptions,
        room::{Room, Stop},
    },
};

/// How many bytes of what a client sends may wait for the hub's methods.
const DEFAULT_CLIENT_BUFFER: usize = 256 * 1024;

impl HubServer {
    /// Begins to build a hub.
    pub fn builder() -> HubServerBuilder {
        HubServerBuilder::default()
    }
}

/// Builds a [`HubServer`]. Names and defaults are those of ASP.NET Core's `HubOptions`.
#[must_use = "build it"]
pub struct HubServerBuilder {
    methods: Methods,
    rules: Rules,
    outgoing: OutgoingRules,
    authenticate: Authenticate,
    on_connected: Option<OnConnected>,
    on_disconnected: Option<OnDisconnected>,
    options: ServerOptions,
    front: Front,
    maximum_connections: usize,
    client_buffer: usize,
    transports: Transports,
    protocols: &'static [HubProtocol],
    poll_interval: Duration,
    parallel_calls: usize,
    detailed_errors: bool,
    #[cfg(feature = "service")]
    pub(in crate::server) azure: Option<Prepared>,
    pub(in crate::server) backplane: BackplaneOptions,
}

impl Default for HubServerBuilder {
    fn default() -> Self {
        Self {
            methods: Methods::default(),
            rules: Rules::default(),
            outgoing: OutgoingRules::default(),
            authenticate: Arc::new(|_| Box::pin(ready(Ok(Identity::anonymous())))),
            on_connected: None,
            on_disconnected: None,
            options: ServerOptions::default(),
            front: Front::default(),
            maximum_connections: usize::MAX,
            client_buffer: DEFAULT_CLIENT_BUFFER,
            transports: Transports::ALL,
            protocols: HubProtocol::ALL,
            poll_interval: Duration::from_secs(90),
            parallel_calls: 1,
            detailed_errors: false,
            #[cfg(feature = "service")]
            azure: None,
            backplane: BackplaneOptions::default(),
        }
    }
}

impl HubServerBuilder {
    /// A method that clients can call. Names are compared without regard to case.
    ///
    /// The calls of one client run one after the other, in the order of their arrival, unless
    /// [`maximum_parallel_invocations_per_client`](Self::maximum_parallel_invocations_per_client) says otherwise. A method whose client is gone runs to its end.
    ///
    /// # Panics
    /// When there is a method of this name already.
    pub fn on<M>(self, name: &str, method: impl HubMethod<M>) -> Self {
        self.add(name, method.into_method(), false)
    }

    /// A method that clients call for a stream. The stream is dropped when nobody wants it any more; while the client does
    /// not keep up, the next item is not asked for. The method may be `async` and return a `Result` of a stream: it can refuse
    /// before the stream begins, and runs up to there whatever the client does.
    ///
    /// ```
    /// use futures_util::stream;
    /// use hubwire::server::{Caller, HubError, HubServer};
    ///
    /// let hub = HubServer::builder()
    ///     .stream("Count", |_: Caller, to: u32| stream::iter((0..to).map(Ok)))
    ///     .stream("Ticks", |_: Caller, symbol: String| async move {
    ///         if symbol.is_empty() {
    ///             return Err(HubError::new("which one?"));
    ///         }
    ///         Ok(stream::iter([1, 2, 3]).map(Ok))
    ///     });
    /// # use futures_util::StreamExt as _;
    /// # drop(hub);
    /// ```
    ///
    /// # Panics
    /// When there is a method of this name already.
    pub fn stream<M>(self, name: &str, method: impl HubStreamMethod<M>) -> Self {
        self.add(name, method.into_method(), true)
    }

    fn add(mut self, name: &str, IntoMethod(method): IntoMethod, streams: bool) -> Self {
        let counts = Arc::<Counts>::default();
        let registered = Registered { name: name.into(), method, streams, allows: None, counts };
        let is_new = self.methods.add(name, registered);
        assert!(is_new, "the hub has two methods of the name {name}");
        self
    }

    /// Lets a caller call a method only if this is true for it; the others are told that they are unauthorized.
    /// Of several, all must be true.
    ///
    /// # Panics
    /// When there is no method of this name: a misspelt one would stay open.
    pub fn authorize(
        mut self,
        method: &str,
        allows: impl Fn(&Caller) -> bool + Send + Sync + 'static,
    ) -> Self {
        let found = self.methods.find_mut(method);
        assert!(found.is_some(), "the hub has no method of the name {method} to authorize");
        if let Some(found) = found {
            found.allows = Some(match found.allows.take() {
                Some(earlier) => Arc::new(move |caller: &Caller| earlier(caller) && allows(caller)),
                None => Arc::new(allows),
            });
        }
        self
    }

    /// Finds out who a client is, on each of its requests, before anything is kept for it. Default: everybody is let in
    /// and belongs to no user.
    ///
    /// A connection belongs to the user that negotiated it; requests of others for it are refused with 404.
    ///
    /// ```
    /// use hubwire::server::{HubServer, Identity, Rejection};
    ///
    /// # async fn verify(token: String) -> Option<String> { Some(token) }
    /// let hub = HubServer::builder().authenticate(|request| {
    ///     let token = request.access_token().map(str::to_owned);
    ///     async move {
    ///         let user = verify(token.ok_or_else(Rejection::unauthorized)?).await;
    ///         user.map(Identity::user).ok_or_else(Rejection::unauthorized)
    ///     }
    /// });
    /// # drop(hub);
    /// ```
    pub fn authenticate<F, R>(mut self, authenticate: F) -> Self
    where
        F: Fn(&HubRequest<'_>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Identity, Rejection>> + Send + 'static,
    {
        self.authenticate = Arc::new(move |request| Box::pin(authenticate(request)));
        self
    }

    /// Runs when a client is connected, before any of its calls. An error ends the connection: none of its calls runs, nor
    /// does [`on_disconnected`](Self::on_disconnected). What was given before, or belongs to a typed hub, runs first.
    pub fn on_connected<F, R>(mut self, handler: F) -> Self
    where
        F: Fn(Caller) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), HubError>> + Send + 'static,
    {
        let before = self.on_connected.take();
        let handler = Arc::new(handler);
        self.on_connected = Some(Arc::new(move |caller| {
            let (before, handler) = (before.clone(), handler.clone());
            Box::pin(async move {
                if let Some(before) = before {
                    before(caller.clone()).await?;
                }
                handler(caller).await
            })
        }));
        self
    }

    /// Runs when a connection has ended, after what was given before.
    pub fn on_disconnected<F, R>(mut self, handler: F) -> Self
    where
        F: Fn(Caller) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let before = self.on_disconnected.take();
        let handler = Arc::new(handler);
        self.on_disconnected = Some(Arc::new(move |caller| {
            let (before, handler) = (before.clone(), handler.clone());
            Box::pin(async move {
                if let Some(before) = before {
                    before(caller.clone()).await;
                }
                handler(caller).await;
            })
        }));
        self
    }

    /// Which transports clients may use. Default: all.
    pub fn transports(self, transports: impl Into<Transports>) -> Self {
        Self { transports: transports.into(), ..self }
    }

    /// Which hub protocols clients may speak, such as `&[HubProtocol::Json]`. Default: all.
    pub fn supported_protocols(self, protocols: &'static [HubProtocol]) -> Self {
        Self { protocols, ..self }
    }

    /// How long a client may take for its handshake. Default: 15 seconds.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.options.handshake_timeout = timeout;
        self
    }

    /// A client gets a ping when nothing else was sent to it for this long. Default: 15 seconds.
    pub fn keep_alive_interval(mut self, interval: Duration) -> Self {
        self.options.keep_alive_interval = interval;
        self
    }

    /// A client that sends nothing for this long is given up. Default: 30 seconds.
    pub fn client_timeout_interval(mut self, timeout: Duration) -> Self {
        self.options.client_timeout = timeout;
        self
    }

    /// The largest message of a client, in bytes. Default: 32 KiB.
    pub fn maximum_receive_message_size(mut self, bytes: usize) -> Self {
        self.options.message_limit = bytes;
        self
    }

    /// How long a poll of long polling waits for a message. Default: 90 seconds.
    pub fn long_poll_timeout(self, timeout: Duration) -> Self {
        Self { poll_interval: timeout, ..self }
    }

    /// How many calls of one client may run at a time. Default: 1. Calls with streams, of either direction, do not count
    /// once they run.
    pub fn maximum_parallel_invocations_per_client(self, calls: usize) -> Self {
        Self { parallel_calls: calls.max(1), ..self }
    }

    /// Tells callers all about errors: for development. Default: no.
    pub fn detailed_errors(self) -> Self {
        Self { detailed_errors: true, ..self }
    }

    /// The hub. One that is behind Azure SignalR Service begins to connect to it.
    ///
    /// # Panics
    /// When [`authorize_hub`](Self::authorize_hub) or [`authorize_methods`](Self::authorize_methods) names what does not
    /// exist. Behind Azure SignalR Service: outside of a tokio runtime, and where TLS cannot be set up.
    #[must_use]
    pub fn build(mut self) -> HubServer {
        self.rules.policies.resolve(&self.methods);
        self.rules.check_limits(&self.methods);
        let (stop, stopped) = watch::channel(Stop::No);
        #[cfg(feature = "service")]
        let (options, prepared) = match self.azure {
            Some(mut prepared) => (prepared.adapt(self.options), Some(prepared)),
            None => (self.options, None),
        };
        #[cfg(not(feature = "service"))]
        let options = self.options;
        let room = Room::new(options, self.maximum_connections, stopped);
        let room = Arc::new(room.with_protocols(self.protocols));
        #[cfg(feature = "service")]
        let (azure, events) = prepared.map(|prepared| start(prepared, room.clone())).unzip();
        let backplane = self.backplane;
        let by_ourselves = || -> Arc<dyn Lifetime> {
            let lifetime = backplane.into_lifetime(&room.connections);
            lifetime.unwrap_or_else(|| Arc::new(Local(room.connections.clone())))
        };
        #[cfg(feature = "service")]
        let lifetime: Arc<dyn Lifetime> = match &azure {
            Some(azure) => Arc::new(azure.clone()),
            None => by_ourselves(),
        };
        #[cfg(not(feature = "service"))]
        let lifetime = by_ourselves();
        let trace_context = self.rules.telemetry.trace_context.clone();
        let sender = HubSender { room: room.clone(), lifetime, outgoing: self.outgoing, trace_context };
        let hub = Hub {
            sender: Arc::new(sender),
            #[cfg(feature = "service")]
            azure,
            room,
            methods: self.methods,
            rules: self.rules,
            authenticate: self.authenticate,
            on_connected: self.on_connected,
            on_disconnected: self.on_disconnected,
            transports: self.transports,
            poll_interval: self.poll_interval,
            parallel_calls: self.parallel_calls,
            detailed_errors: self.detailed_errors,
            client_buffer: self.client_buffer,
            front: self.front,
            refreshable: Refreshable::default(),
        };
        let hub = Arc::new(hub);
        #[cfg(feature = "service")]
        if let (Some(azure), Some(events)) = (hub.azure.clone(), events) {
            tokio::spawn(listen(hub.clone(), azure, events));
        }
        HubServer { hub, stop: Arc::new(stop) }
    }
}

impl fmt::Debug for HubServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubServerBuilder").finish_non_exhaustive()
    }
}
