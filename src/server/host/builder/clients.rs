//! How the hub that is built meets its clients: stateful reconnect, authentication, other origins, limits.

use std::{future::Future, sync::Arc, time::Duration};

use super::HubServerBuilder;
use crate::{
    core::stateful,
    cors::InvalidOrigin,
    server::host::{caller::Caller, refreshable::AuthenticationRefresh},
};

/// Clients, from negotiate on.
impl HubServerBuilder {
    /// Lets clients keep their connection when their WebSocket is lost, if they ask for that (`withStatefulReconnect` of the
    /// official client, `with_stateful_reconnect` of this crate's): they open another one, and nothing is lost, doubled or in
    /// another order, in either direction. The hub does not notice. Default: no.
    pub fn allow_stateful_reconnects(mut self) -> Self {
        self.options.stateful_buffer.get_or_insert(stateful::DEFAULT_BUFFER_SIZE);
        self
    }

    /// How many bytes are kept for each client until it acknowledges them, so that they can be sent again; while more
    /// wait, sending does. Default: 100 000. [Allows](Self::allow_stateful_reconnects) stateful reconnect as well.
    pub fn stateful_reconnect_buffer_size(mut self, bytes: usize) -> Self {
        self.options.stateful_buffer = Some(bytes);
        self
    }

    /// How long a stateful connection waits for another socket: `DisconnectTimeout`. Default: 15 seconds.
    pub fn disconnect_timeout(mut self, timeout: Duration) -> Self {
        self.options.resume_window = timeout;
        self
    }

    /// Ends a connection with the authentication of its client, see [`Identity::expires`](crate::server::Identity::expires), unless the client has refreshed it
    /// by then. It may come back with a new one. Default: no, as in ASP.NET Core: a connection that is open stays open.
    pub fn close_on_authentication_expiration(mut self) -> Self {
        self.front.closes_on_expiry = true;
        self
    }

    /// An authentication lasts no longer than this, from the negotiation or the last refresh on, whatever its own end is.
    /// Default: no limit.
    pub fn maximum_authentication_expiration(mut self, most: Duration) -> Self {
        self.front.maximum_expiry = Some(most);
        self
    }

    /// Lets clients refresh their authentication without a new connection: they are told how long it lasts, and
    /// `POST {hub}/refresh` takes the next one, which [`authenticate`](Self::authenticate) looks at as at any other request.
    /// The user has to stay the same; claims may change. Clients of .NET 11 and of this crate do it by themselves. Default:
    /// no.
    ///
    /// | answer | why |
    /// | --- | --- |
    /// | 200 `{"tokenLifetimeSeconds":…}` | it is refreshed |
    /// | 400 `missing_connection_token` | the header `X-SignalR-Connection-Token` is missing or empty |
    /// | what `authenticate` says | it rejects the client |
    /// | 403 `user_changed` | the client is another user |
    /// | 403 `permission_change_rejected` | [the hub's rule](Self::on_authentication_refresh) says no |
    /// | 404 `connection_not_found` | there is no such connection |
    /// | 404, empty | refresh is off |
    /// | 405, empty | the method is not POST |
    ///
    /// A refused refresh leaves the connection as it was.
    pub fn enable_authentication_refresh(mut self) -> Self {
        self.front.refreshes = true;
        self
    }

    /// Decides whether a client may change its authentication to another one of the same user, such as one with other roles.
    /// Default: it may.
    ///
    /// ```
    /// use hubwire::server::HubServer;
    ///
    /// let hub = HubServer::builder()
    ///     .enable_authentication_refresh()
    ///     // Nobody becomes an administrator while connected.
    ///     .on_authentication_refresh(|refresh| async move {
    ///         refresh.previous().has_claim("role", "admin") || !refresh.new_identity().has_claim("role", "admin")
    ///     });
    /// # drop(hub);
    /// ```
    pub fn on_authentication_refresh<F, R>(mut self, rule: F) -> Self
    where
        F: Fn(AuthenticationRefresh) -> R + Send + Sync + 'static,
        R: Future<Output = bool> + Send + 'static,
    {
        self.front.on_refresh = Some(Arc::new(move |refresh| Box::pin(rule(refresh))));
        self
    }

    /// Runs when a client has refreshed its authentication: the caller has the new claims. Calls that have begun before keep
    /// those that they have begun with.
    pub fn on_authentication_refreshed<F, R>(mut self, handler: F) -> Self
    where
        F: Fn(Caller) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        self.front.on_refreshed = Some(Arc::new(move |caller| Box::pin(handler(caller))));
        self
    }

    /// Lets pages of another origin connect, such as `https://app.example.com`, with cookies. May be called several times.
    /// From then on pages of other origins are refused, with WebSockets too, to which browsers apply no such rule; the
    /// server's own, the one of the header `Host`, is always allowed, and so are programs, which send no `Origin`.
    ///
    /// By default nobody is refused, and browsers let pages of the server's own origin read answers. Do not use it together
    /// with a layer for CORS, such as that of `tower-http`, which goes around a hub as around any other service.
    ///
    /// # Errors
    /// [`InvalidOrigin`] for a wildcard, which browsers refuse where cookies are sent, for a pattern, and for what is not an
    /// origin, such as one without a scheme, with a path, or with a slash at its end. It says what to write instead.
    pub fn allow_origin(mut self, origin: impl AsRef<str>) -> Result<Self, InvalidOrigin> {
        self.front.cors.allow(origin.as_ref())?;
        Ok(self)
    }

    /// Lets pages connect whose origin fulfils a condition, with cookies, besides those of
    /// [`allow_origin`](Self::allow_origin). The origin is as the browser writes it: scheme, host in lower case, and the port
    /// unless it is the scheme's own. `null` is never allowed, and not asked about.
    ///
    /// Compare whole labels of the host: `ends_with("example.com")` lets `https://evil-example.com` in as well.
    pub fn allow_origin_if(mut self, predicate: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.front.cors.allow_if(predicate);
        self
    }

    /// How many connections there may be at a time; the next ones are answered 503. Default: as many as the machine bears.
    pub fn maximum_connections(mut self, connections: usize) -> Self {
        self.maximum_connections = connections;
        self
    }

    /// How many bytes of calls and of items of uploads may wait for the methods of one client; while more do, the client is
    /// not read. An upload that its method does not read keeps nobody waiting before. Default: 256 KiB.
    pub fn application_max_buffer_size(mut self, bytes: usize) -> Self {
        self.client_buffer = bytes;
        self
    }
}
