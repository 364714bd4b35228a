use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::client::HubConnection;
use crate::client::connection::{Connection, ConnectionSettings};
use crate::client::handler::{Handler, InvokeHandler};
use crate::client::handlers::Handlers;
use crate::client::raw::Raw;
use crate::core::HubProtocol;
use crate::core::session::{ConnectionError, SessionOptions};
use crate::core::token::AccessToken;
use crate::core::url::UrlError;
use crate::platform::{self, BoxFuture, MaybeSend, MaybeSync};

/// Sets up a [`HubConnection`]. Names and defaults are those of the official clients.
#[derive(Clone)]
#[must_use = "a builder does nothing until `connect` or `build`"]
pub struct HubConnectionBuilder {
    options: Result<SessionOptions, UrlError>,
    settings: ConnectionSettings,
    handlers: Arc<Handlers>,
    protocol: HubProtocol,
    call_timeout: Option<Duration>,
}

impl HubConnectionBuilder {
    pub(super) fn new(url: &str) -> Self {
        Self {
            options: platform::absolute_url(url).map(SessionOptions::new),
            settings: ConnectionSettings {
                headers: Vec::new(),
                with_credentials: true,
                token_provider: None,
            },
            handlers: Arc::default(),
            protocol: HubProtocol::default(),
            call_timeout: None,
        }
    }

    fn set(mut self, change: impl FnOnce(&mut SessionOptions)) -> Self {
        if let Ok(options) = &mut self.options {
            change(options);
        }
        self
    }

    /// Where access tokens come from. The provider is asked once for every start. Natively the token goes into the
    /// `Authorization` header of every request; browsers can't set headers on a WebSocket, so there it goes into
    /// the query of that one request. An empty token means to go without.
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
    pub fn with_access_token<P, F, T, E>(mut self, provider: P) -> Self
    where
        P: Fn() -> F + MaybeSend + MaybeSync + 'static,
        F: Future<Output = Result<T, E>> + MaybeSend + 'static,
        T: Into<String>,
        E: fmt::Display,
    {
        self.settings.token_provider =
            Some(Arc::new(move || -> BoxFuture<Result<Option<AccessToken>, String>> {
                let token = provider();
                Box::pin(async move {
                    match token.await {
                        Ok(token) => Ok(Some(AccessToken::from(token.into()))),
                        Err(error) => Err(error.to_string()),
                    }
                })
            }));
        self
    }

    /// How messages are encoded. Default: [`HubProtocol::Json`].
    pub fn with_protocol(mut self, protocol: HubProtocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// A header for every HTTP request. In a browser, headers do not reach the WebSocket itself.
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.headers.push((name.into(), value.into()));
        self
    }

    /// Whether a browser sends cookies along to another origin, which sticky sessions need. Natively there are no
    /// cookies. Default: on.
    pub fn with_credentials(mut self, include: bool) -> Self {
        self.settings.with_credentials = include;
        self
    }

    /// Opens a WebSocket at the hub's URL without negotiate. Azure SignalR Service can't be reached like this
    /// through an app server. Default: off.
    pub fn with_skip_negotiation(self, skip: bool) -> Self {
        self.set(|options| options.skip_negotiation = skip)
    }

    /// Allows plain `http` to other machines than this one. Tokens and messages then travel in clear text.
    /// Default: off.
    pub fn with_insecure_http(self, allow: bool) -> Self {
        self.set(|options| options.insecure_http = allow)
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

    /// How long each of these may take: the access token, a negotiate request, opening the transport. Default:
    /// 100 s.
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

    /// Makes a connection that is not started.
    ///
    /// # Errors
    /// [`ConnectionError::InvalidUrl`].
    pub fn build(self) -> Result<HubConnection, ConnectionError> {
        let options = self.options.map_err(ConnectionError::InvalidUrl)?;
        let handlers = self.handlers;
        let callee = Box::new(Arc::clone(&handlers));
        let codec = Raw::new(self.protocol);
        let backlog = Arc::clone(handlers.backlog());
        let connection = Connection::new(options, self.settings, backlog, callee, codec);
        Ok(HubConnection::new(connection, handlers, self.protocol, self.call_timeout))
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
