//! Describes a connection.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::client::HubConnection;
use crate::client::engine::connection::{Connection, ConnectionSettings};
use crate::client::engine::events::{ConnectionEvent, EventCallback};
use crate::client::engine::retry::RetryPolicy;
#[cfg(all(native, feature = "server"))]
use crate::client::engine::transport::in_memory::InMemory;
use crate::client::handler::{Handler, InvokeHandler};
use crate::client::handlers::{Handlers, Inbound};
use crate::client::server_call::ServerCall;
use crate::client::trace::{TraceContext, Tracing};
use crate::core::client::{ClientOptions, ConnectionError};
use crate::core::codec::RawCodec;
use crate::core::negotiate::Transports;
use crate::core::token::AccessToken;
use crate::core::url::UrlError;
use crate::core::{Cause, HubProtocol};
use crate::platform::{self, BoxFuture, IntoCause, MaybeSend, MaybeSync};
use crate::property_names::PropertyNames;
use crate::serialize::Encoding;

/// Sets up a [`HubConnection`]. Names and defaults are those of the official clients.
#[derive(Clone)]
#[must_use = "a builder does nothing until `connect` or `build`"]
pub struct HubConnectionBuilder {
    options: Result<ClientOptions, UrlError>,
    pub(super) settings: ConnectionSettings,
    pub(super) handlers: Arc<Handlers>,
    pub(super) callbacks: Vec<EventCallback>,
    encoding: Encoding,
    tracing: Tracing,
    call_timeout: Option<Duration>,
}

impl HubConnection {
    /// Begins with the hub URL, such as `https://example.com/chat`. In a browser it may be relative to the page.
    pub fn builder(url: impl AsRef<str>) -> HubConnectionBuilder {
        HubConnectionBuilder::new(url.as_ref())
    }
}

impl HubConnectionBuilder {
    pub(super) fn new(url: &str) -> Self {
        Self {
            options: platform::absolute_url(url).map(ClientOptions::new),
            settings: ConnectionSettings::default(),
            handlers: Arc::default(),
            callbacks: Vec::new(),
            encoding: HubProtocol::default().into(),
            tracing: None,
            call_timeout: None,
        }
    }

    /// A connection to a hub in this program.
    #[cfg(all(native, feature = "server"))]
    pub(crate) fn in_memory(server: Arc<dyn InMemory>) -> Self {
        let mut builder = Self::new("http://localhost/");
        builder.settings.in_memory = Some(server);
        builder.with_transports(crate::core::negotiate::Transport::WebSockets)
    }

    fn set(mut self, change: impl FnOnce(&mut ClientOptions)) -> Self {
        if let Ok(options) = &mut self.options {
            change(options);
        }
        self
    }

    /// Where access tokens come from. The provider is asked once for every start, and again when a reconnect finds
    /// the token close to its end (the claim `exp`), when the server answers 401, and to refresh the
    /// authentication. Natively the token goes into the
    /// `Authorization` header of every request; browsers cannot set headers on a WebSocket, so there it goes into
    /// the query of that one request. An empty token means to connect without one. A token with a line end in it, such as
    /// one that was read from a file, or with another character that is not allowed in a header, is refused with
    /// [`ConnectionError::AccessToken`] on every platform; nothing is trimmed.
    ///
    /// ```no_run
    /// # async fn fetch_token() -> std::io::Result<String> { Ok(String::new()) }
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let hub = hubwire::HubConnection::builder("https://example.com/chat")
    ///     .with_access_token(|| async { fetch_token().await })
    ///     .connect()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A token that is always the same: `.with_access_token(|| async { Ok::<_, std::convert::Infallible>("…") })`.
    pub fn with_access_token<P, F, T, E>(mut self, provider: P) -> Self
    where
        P: Fn() -> F + MaybeSend + MaybeSync + 'static,
        F: Future<Output = Result<T, E>> + MaybeSend + 'static,
        T: Into<String>,
        E: IntoCause,
    {
        self.settings.token_provider =
            Some(Arc::new(move || -> BoxFuture<Result<Option<AccessToken>, Cause>> {
                let token = provider();
                Box::pin(async move {
                    match token.await {
                        Ok(token) => Ok(Some(AccessToken::from(token.into()))),
                        Err(error) => Err(error.into_cause()),
                    }
                })
            }));
        self
    }

    /// How messages are encoded. Default: [`HubProtocol::Json`].
    ///
    /// MessagePack needs the feature `msgpack`. Types are those of serde in either protocol; [`Binary`](crate::Binary)
    /// and [`Timestamp`](crate::Timestamp) write bytes and times as each protocol does. In MessagePack .NET knows
    /// properties by their own names only, and enums by their names:
    ///
    /// ```no_run
    /// # #[cfg(feature = "msgpack")]
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// use hubwire::{Binary, HubConnection, HubProtocol, Timestamp};
    ///
    /// #[derive(serde::Serialize)]
    /// #[serde(rename_all = "PascalCase")]
    /// struct Photo {
    ///     taken_at: Timestamp,
    ///     image: Binary,
    /// }
    ///
    /// let hub = HubConnection::builder("https://example.com/photos")
    ///     .with_protocol(HubProtocol::MessagePack)
    ///     .connect()
    ///     .await?;
    /// let photo = Photo { taken_at: "2026-11-24T10:30:00Z".parse()?, image: vec![1, 2, 3].into() };
    /// hub.send("Publish", (photo,)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_protocol(mut self, protocol: HubProtocol) -> Self {
        self.encoding.protocol = protocol;
        self
    }

    /// Carries the trace context of spans with calls, in both directions. See [`TraceContext`]. Default: none.
    pub fn with_trace_context(mut self, context: impl TraceContext) -> Self {
        self.tracing = Some(Arc::new(context));
        self
    }

    /// How the names of fields stand in messages: with [`PropertyNames::DotNet`] one struct serves .NET in either
    /// protocol, in both directions. [`PropertyNames`] has an example, and tells what serde does not let be converted.
    /// Default: [`PropertyNames::AsDeclared`], which costs nothing.
    pub fn with_property_names(mut self, names: PropertyNames) -> Self {
        self.encoding.names = names;
        self
    }

    /// A parameter for the query of every request and of the WebSocket, such as a room or a tenant. Name and value are
    /// percent-encoded; parameters of one name are all sent, in the order in which they are given.
    ///
    /// Where negotiate redirects to another server, such as Azure SignalR Service, the parameters go to the hub's own
    /// URL only: what the other server gets is in the URL that it is redirected to.
    ///
    /// ```
    /// let builder = hubwire::HubConnection::builder("https://example.com/chat").with_query_parameter("room", "R&D");
    /// # let _ = builder;
    /// ```
    pub fn with_query_parameter(self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        self.set(|options| options.url = options.url.with_query_parameter(name.as_ref(), value.as_ref()))
    }

    /// A header for every HTTP request. In a browser, headers do not reach the WebSocket itself, and some, such as
    /// `Cookie`, are not a page's to set.
    ///
    /// A header of the same name as one of the client's own, such as `User-Agent`, takes its place; an `Authorization`
    /// gives way to the access token. `Authorization` and `Cookie` are for the hub's own origin: where negotiate redirects
    /// to another, as to Azure SignalR Service, they do not go along. The cookies of a `Cookie` header are sent before those
    /// of the [jar](Self::with_credentials), and in place of those of the same names.
    ///
    /// Names and values have to be ASCII without control characters and line ends; others are
    /// [`ConnectionError::InvalidHeader`].
    ///
    /// ```
    /// let builder = hubwire::HubConnection::builder("https://example.com/chat").with_header("X-Tenant", "contoso");
    /// # let _ = builder;
    /// ```
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.headers.push((name.into(), value.into()));
        self
    }

    /// Whether requests carry cookies, which sticky sessions of load balancers need. Default: on.
    ///
    /// - Natively, what the server sets (`Set-Cookie`) is kept in a jar from a start to the end that follows, reconnects
    ///   included, and goes back to the host and port that set it: with negotiate, all transports and refreshes. A server
    ///   that negotiate redirects to gets only the cookies that it has set itself. `false`: no cookies are kept or sent, also
    ///   none of a jar of your own (`with_cookie_jar`); a `Cookie` header of yours
    ///   ([`with_header`](Self::with_header)) is sent nevertheless.
    /// - In a browser, cookies are the browser's. `true` sends them, and what else fetch calls credentials, to other
    ///   origins than the page's as well, whose CORS rules have to allow that (`Access-Control-Allow-Credentials`);
    ///   `false` to the page's own origin only. WebSockets always carry them.
    ///
    /// ```
    /// let builder = hubwire::HubConnection::builder("https://example.com/chat").with_credentials(false);
    /// # let _ = builder;
    /// ```
    pub fn with_credentials(mut self, include: bool) -> Self {
        self.settings.with_credentials = include;
        self
    }

    /// A jar of your own for the cookies, which may be filled already and be shared by several connections. Default: every
    /// start has a new one. Natively only: in a browser, cookies are the browser's.
    ///
    /// ```
    /// use hubwire::{CookieJar, HubConnection};
    ///
    /// let jar = CookieJar::new();
    /// jar.set("https://example.com/", "session=31d4d96e; Secure")?;
    /// let chat = HubConnection::builder("https://example.com/chat").with_cookie_jar(jar.clone());
    /// let news = HubConnection::builder("https://example.com/news").with_cookie_jar(jar);
    /// # let _ = (chat, news);
    /// # Ok::<(), hubwire::CookieError>(())
    /// ```
    #[cfg(native)]
    pub fn with_cookie_jar(mut self, jar: platform::CookieJar) -> Self {
        self.settings.cookie_jar = Some(jar);
        self
    }

    /// Opens a WebSocket at the hub's URL without negotiate. Without WebSockets it fails
    /// ([`ConnectionError::NoTransport`]). Azure SignalR Service cannot be reached like this
    /// through an app server. Default: off.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), hubwire::ConnectionError> {
    /// let hub = hubwire::HubConnection::builder("https://example.com/chat")
    ///     .with_skip_negotiation(true)
    ///     .connect()
    ///     .await?;
    /// assert_eq!(hub.connection_id(), None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_skip_negotiation(self, skip: bool) -> Self {
        self.set(|options| options.skip_negotiation = skip)
    }

    /// Allows plain `http` to other machines than this one. Tokens and messages then travel in clear text.
    /// Default: off.
    pub fn with_insecure_http(self, allow: bool) -> Self {
        self.set(|options| options.insecure_http = allow)
    }

    /// The proxy for every request and WebSocket. Natively only: in a browser, proxies are the browser's matter.
    /// Default: [`Proxy::from_environment`](crate::Proxy::from_environment).
    ///
    /// What a proxy answers instead of opening a tunnel is a [`TransportErrorKind::Proxy`](crate::TransportErrorKind).
    ///
    /// ```
    /// use hubwire::{HubConnection, Proxy};
    ///
    /// # fn run() -> Result<(), hubwire::InvalidProxy> {
    /// let builder = HubConnection::builder("https://example.com/chat")
    ///     .with_proxy(Proxy::url("http://user:password@proxy.example.com:3128")?);
    /// # let _ = builder;
    /// # Ok(())
    /// # }
    /// # run().unwrap();
    /// ```
    #[cfg(native)]
    pub fn with_proxy(mut self, proxy: platform::proxy::Proxy) -> Self {
        self.settings.network.proxy = proxy;
        self
    }

    /// Trusts the certificates in a PEM text, such as the one of a company's own authority, besides those of the operating
    /// system. Each call adds to the earlier ones. Natively only: a browser has its own.
    ///
    /// On Linux and other Unix systems, the certificates of the system are those that OpenSSL would take; the environment
    /// variables `SSL_CERT_FILE` (a PEM file) and `SSL_CERT_DIR` (folders of PEM files) replace them.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let hub = hubwire::HubConnection::builder("https://hub.intranet.example/chat")
    ///     .with_root_certificate(std::fs::read("company.crt")?)
    ///     .connect()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// [`build`](Self::build) fails with [`ConnectionError::InvalidCertificate`] if there is no certificate in the text.
    #[cfg(native)]
    pub fn with_root_certificate(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.settings.network.certificates.add_root(pem.as_ref());
        self
    }

    /// Identifies this client to servers that ask for a certificate (mutual TLS). Both are PEM texts: the certificate with
    /// its chain, its own first, and its key, which is not encrypted. They may be one text. Natively only.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let hub = hubwire::HubConnection::builder("https://hub.intranet.example/chat")
    ///     .with_client_certificate(std::fs::read("device.crt")?, std::fs::read("device.key")?)
    ///     .connect()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// [`build`](Self::build) fails with [`ConnectionError::InvalidCertificate`] if one of them is missing or malformed, or
    /// the key is of another certificate.
    #[cfg(native)]
    pub fn with_client_certificate(mut self, certificate: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        self.settings.network.certificates.set_client(certificate.as_ref(), key.as_ref());
        self
    }

    /// Replaces a lost connection: with a new connection to the hub's own URL, after the delays of the policy.
    /// Pending calls end when the connection is lost. There is no reconnect after [`HubConnection::stop`], or
    /// when the server closes the connection and does not allow it. Default: off.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), hubwire::ConnectionError> {
    /// use hubwire::{ConnectionEvent, HubConnection, RetryPolicy};
    ///
    /// let hub = HubConnection::builder("https://example.com/chat")
    ///     .with_automatic_reconnect(RetryPolicy::default())
    ///     .connect()
    ///     .await?;
    /// let mut events = hub.events();
    /// while let Some(event) = events.next().await {
    ///     match event {
    ///         ConnectionEvent::Reconnecting { error } => println!("lost: {}", hubwire::ErrorChain::new(&error)),
    ///         ConnectionEvent::Reconnected { .. } => println!("back again"),
    ///         ConnectionEvent::Disconnected { .. } => break,
    ///         _ => {}
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_automatic_reconnect(mut self, policy: RetryPolicy) -> Self {
        self.settings.retry_policy = policy;
        self.set(|options| options.automatic_reconnect = true)
    }

    /// Asks the retry policy also when the first connect fails in a way that may pass: the server cannot be reached,
    /// is busy, takes too long. [`connect`](Self::connect) then waits until the connection is up or the policy
    /// gives up. The policy is that of [`with_automatic_reconnect`](Self::with_automatic_reconnect), or the
    /// default one. Default: off.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), hubwire::ConnectionError> {
    /// let hub = hubwire::HubConnection::builder("https://example.com/chat")
    ///     .with_first_connect_retry(true)
    ///     .connect()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_first_connect_retry(self, retry: bool) -> Self {
        self.set(|options| options.retry_first_connect = retry)
    }

    /// Lets the connection survive the loss of its socket: messages are numbered, kept until the server has
    /// them, and sent again on the next socket. Neither calls nor events notice. It needs WebSockets and a server
    /// that allows it (`AllowStatefulReconnects`); else it stays off. Default: off.
    ///
    /// A server that stays silent on a new socket ends the connection with [`ConnectionError::ServerTimeout`], and
    /// [`with_automatic_reconnect`](Self::with_automatic_reconnect) makes a new one. ASP.NET Core falls silent for good
    /// when it writes more between the loss and the new socket than its transport's buffer holds, so owners of servers
    /// should keep `TransportMaxBufferSize` (64 KiB unless set) above `StatefulReconnectBufferSize` (100 000 bytes unless
    /// set).
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), hubwire::ConnectionError> {
    /// let hub = hubwire::HubConnection::builder("https://example.com/chat")
    ///     .with_stateful_reconnect()
    ///     .with_automatic_reconnect(hubwire::RetryPolicy::default())
    ///     .connect()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_stateful_reconnect(self) -> Self {
        self.set(|options| options.use_stateful_reconnect = true)
    }

    /// How many bytes of messages are kept for stateful reconnect before sending waits for the server's
    /// acknowledgement, which comes once a second. Default: 100 000.
    pub fn with_stateful_buffer_size(self, bytes: usize) -> Self {
        self.set(|options| options.stateful_buffer_size = bytes)
    }

    /// How long before the credentials expire the server is given new ones, where it offers that (ASP.NET Core 11);
    /// after half of their lifetime if that is later. `None` leaves it to [`HubConnection::refresh_authentication`].
    /// It takes a provider of tokens ([`with_access_token`](Self::with_access_token)): without one, nothing is refreshed.
    /// Default: 5 minutes.
    pub fn with_authentication_refresh(self, before_expiration: Option<Duration>) -> Self {
        self.set(|options| options.refresh_lead = before_expiration)
    }

    /// Which transports may be used, of those that the server offers, in the server's order. Default: all.
    ///
    /// In a browser, Server-Sent Events and long polling are `fetch` requests whose answers are read as they come, not
    /// an `EventSource`: the token goes into a header and not into a query, they work in service workers, and an
    /// event stream that ends is not reopened behind the connection's back.
    ///
    /// ```
    /// use hubwire::{HubConnection, Transport};
    ///
    /// let builder = HubConnection::builder("https://example.com/chat")
    ///     .with_transports(Transport::WebSockets | Transport::LongPolling);
    /// # let _ = builder;
    /// ```
    pub fn with_transports(self, transports: impl Into<Transports>) -> Self {
        let transports = transports.into();
        self.set(|options| options.transports.allowed = transports)
    }

    /// How long the server may be silent before the connection is given up; at least twice the server's keep-alive
    /// interval. Default: 30 s.
    pub fn with_server_timeout(self, timeout: Duration) -> Self {
        self.set(|options| options.server_timeout = timeout)
    }

    /// A ping goes out when nothing else was sent for this long. Default: 15 s.
    pub fn with_keep_alive_interval(self, interval: Duration) -> Self {
        self.set(|options| options.keep_alive_interval = interval)
    }

    /// How long the server may take to answer the handshake. Default: 15 s.
    pub fn with_handshake_timeout(self, timeout: Duration) -> Self {
        self.set(|options| options.handshake_timeout = timeout)
    }

    /// How long each of these may take as a whole: the access token, a negotiate request and a refresh of the
    /// authentication with their answers, opening the transport, a POST that carries messages until its answer begins, and
    /// reading the answer to a poll. Default: 100 s.
    pub fn with_request_timeout(self, timeout: Duration) -> Self {
        self.set(|options| options.request_timeout = timeout)
    }

    /// How long the result of an `invoke` may take. See [`HubConnection::with_call_timeout`]. Default: no limit.
    pub fn with_call_timeout(mut self, limit: Duration) -> Self {
        self.call_timeout = Some(limit);
        self
    }

    /// Registers a handler for calls of the server. See [`HubConnection::on`].
    pub fn on<M: 'static>(self, target: &str, handler: impl Handler<M>) -> Self {
        self.handlers.add(target, handler);
        self
    }

    /// Registers the handler whose result the server gets. See [`HubConnection::on_invoke`].
    pub fn on_invoke<M: 'static>(self, target: &str, handler: impl InvokeHandler<M>) -> Self {
        self.handlers.answer(target, handler);
        self
    }

    /// Registers a handler for calls of methods that have none of their own. See [`HubConnection::on_unhandled`].
    pub fn on_unhandled(self, handler: impl FnMut(ServerCall) + MaybeSend + 'static) -> Self {
        self.handlers.add_unhandled(handler);
        self
    }

    /// Tells a callback what happens to the connection. See [`HubConnection::on_event`].
    pub fn on_event(mut self, callback: impl Fn(ConnectionEvent) + MaybeSend + MaybeSync + 'static) -> Self {
        self.callbacks.push(Arc::new(callback));
        self
    }

    /// Makes a connection that is not started.
    ///
    /// # Errors
    /// [`ConnectionError::InvalidUrl`], [`ConnectionError::InvalidHeader`] and [`ConnectionError::InvalidCertificate`].
    pub fn build(self) -> Result<HubConnection, ConnectionError> {
        let options = self.options.map_err(ConnectionError::InvalidUrl)?;
        self.settings.check()?;
        #[cfg_attr(browser, expect(unused_mut, reason = "certificates are the browser's matter"))]
        let mut settings = self.settings;
        #[cfg(native)]
        {
            let checked = settings.network.certificates.check();
            settings.network.certificates =
                checked.map_err(|reason| ConnectionError::InvalidCertificate { reason })?;
        }
        let handlers = self.handlers;
        let (names, tracing) = (self.encoding.names, self.tracing.clone());
        let callee = Box::new(Inbound { handlers: Arc::clone(&handlers), names, tracing });
        let codec = RawCodec(self.encoding.protocol);
        let backlog = Arc::clone(handlers.backlog());
        let connection = Connection::new(options, settings, backlog, callee, codec);
        for callback in self.callbacks {
            connection.on_event(callback);
        }
        Ok(HubConnection::new(connection, handlers, self.encoding, self.tracing, self.call_timeout))
    }

    /// Makes a connection and starts it.
    ///
    /// # Errors
    /// As [`build`](Self::build) and [`HubConnection::start`].
    pub async fn connect(self) -> Result<HubConnection, ConnectionError> {
        let connection = self.build()?;
        connection.start().await?;
        Ok(connection)
    }
}

impl fmt::Debug for HubConnectionBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.options.as_ref().map(|options| &options.url);
        f.debug_struct("HubConnectionBuilder").field("url", &url).finish_non_exhaustive()
    }
}
