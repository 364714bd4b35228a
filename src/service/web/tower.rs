//! The negotiate endpoint as a `tower` service, for any HTTP framework.

use std::{
    convert::Infallible,
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response, request::Parts};
use tower_service::Service;

use crate::{
    cors::{Cors, InvalidOrigin},
    service::{
        hub::hub_client::HubClient,
        web::{
            endpoint::Endpoint,
            handler::{self, AuthenticationChange, BoxFuture, Handler, NegotiateAnswer, RefreshAnswer},
        },
    },
};

/// Answers `POST …/negotiate` of a SignalR client: it sends the client on to Azure SignalR Service.
///
/// Mount it at the hub's path with `/negotiate` behind it, and with `/refresh` too when it
/// [refreshes](Self::authentication_refresh). The handler decides from the head of the request who the
/// client is, and gives [`NegotiateOptions`](crate::service::NegotiateOptions), a `Result` of them and a
/// [`NegotiateRejection`](crate::service::NegotiateRejection), or a future of either, which may ask a session store or fetch the
/// keys of an issuer. It must authenticate the client: every client that gets an answer can connect.
///
/// The client's own query and path are carried on unless the handler sets
/// [`original_request`](crate::service::NegotiateOptions::original_request) itself. Errors are JSON, `{"error": …}`; what is wrong
/// inside goes to the log, not to the client. How long a handler takes is not limited here.
///
/// ```
/// use std::sync::Arc;
/// use hubwire::service::{HubClient, NegotiateOptions, NegotiateRejection, NegotiateService, web::InvalidOrigin};
///
/// # struct Sessions;
/// # struct Session { user: String }
/// # impl Sessions {
/// #     async fn find(&self, cookie: Option<&http::HeaderValue>) -> Result<Option<Session>, std::io::Error> { Ok(None) }
/// # }
/// fn endpoint(hub: HubClient, sessions: Arc<Sessions>) -> Result<axum::Router, InvalidOrigin> {
///     let negotiate = NegotiateService::new(hub, move |parts| {
///         let sessions = Arc::clone(&sessions);
///         async move {
///             let session = sessions.find(parts.headers.get("cookie")).await;
///             let session = session.map_err(|_| http::StatusCode::SERVICE_UNAVAILABLE)?;
///             let session = session.ok_or_else(NegotiateRejection::unauthorized)?;
///             Ok(NegotiateOptions::for_user(session.user))
///         }
///     });
///     let negotiate = negotiate.allow_origin("https://app.example.com")?;
///     Ok(axum::Router::new().route_service("/chat/negotiate", negotiate))
/// }
/// ```
#[derive(Clone)]
pub struct NegotiateService {
    endpoint: Arc<Endpoint>,
    handler: Arc<Handler>,
}

impl NegotiateService {
    /// A negotiate endpoint for a hub.
    pub fn new<R, M>(hub: HubClient, handler: impl Fn(Parts) -> R + Send + Sync + 'static) -> Self
    where
        R: NegotiateAnswer<M>,
    {
        let endpoint = Endpoint { hub, cors: Cors::default(), refreshes: false, decide: None };
        Self { endpoint: Arc::new(endpoint), handler: handler::boxed(handler) }
    }

    /// Lets pages of another origin negotiate, such as `https://app.example.com`, with cookies. May be called
    /// several times. None by default; do not use it together with a CORS layer.
    ///
    /// # Errors
    /// [`InvalidOrigin`] for a wildcard, which browsers refuse where cookies are sent, for a pattern, and for what is not an
    /// origin, such as one without a scheme, with a path, or with a slash at its end. It says what to write instead.
    pub fn allow_origin(mut self, origin: impl AsRef<str>) -> Result<Self, InvalidOrigin> {
        Arc::make_mut(&mut self.endpoint).cors.allow(origin.as_ref())?;
        Ok(self)
    }

    /// Lets pages negotiate whose origin fulfils a condition, with cookies, besides those of
    /// [`allow_origin`](Self::allow_origin). The origin is as the browser writes it: scheme, host in lower case, and the port
    /// unless it is the scheme's own. `null` is never allowed, and not asked about.
    ///
    /// Compare whole labels of the host: `ends_with("example.com")` lets `https://evil-example.com` in as well.
    ///
    /// ```
    /// use hubwire::service::{HubClient, NegotiateOptions, NegotiateService, web::InvalidOrigin};
    ///
    /// fn endpoint(hub: HubClient) -> Result<axum::Router, InvalidOrigin> {
    ///     // Two origins, and besides them whatever is below a domain.
    ///     let negotiate = NegotiateService::new(hub, |_| NegotiateOptions::anonymous())
    ///         .allow_origin("https://app.example.com")?
    ///         .allow_origin("http://localhost:5173")?
    ///         .allow_origin_if(|origin| {
    ///             origin.strip_prefix("https://").is_some_and(|host| host.ends_with(".preview.example.com"))
    ///         });
    ///     Ok(axum::Router::new().route_service("/chat/negotiate", negotiate))
    /// }
    /// ```
    #[must_use]
    pub fn allow_origin_if(mut self, predicate: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Arc::make_mut(&mut self.endpoint).cors.allow_if(predicate);
        self
    }

    /// Lets clients refresh their authentication: tells them in negotiate how long their token is valid, and answers
    /// `POST {hub}/refresh`, for which the handler is asked like for a negotiation. With
    /// [`close_on_expiry`](crate::service::NegotiateOptions::close_on_expiry) connections last as long as their authentication is
    /// renewed; give [`authentication_expiry`](crate::service::NegotiateOptions::authentication_expiry), so that tokens and
    /// connections end with what the client has signed in with.
    ///
    /// The connection is named by the header `X-SignalR-Connection-Token`, and by nothing else. The answers are those of the
    /// official SDK (1.34):
    ///
    /// | answer | why |
    /// | --- | --- |
    /// | 200 `{"accessToken":…,"tokenLifetimeSeconds":…}` | it is refreshed |
    /// | 400 `missing_connection_token` | the header is missing or empty |
    /// | the handler's | it rejects the client |
    /// | 400 `invalid_claims` | its user id or one of its claims cannot be used |
    /// | 401 `invalid_token` | what the client has authenticated with has ended, or its user id is empty |
    /// | 403 `permission_change_rejected` | the client is another user, or [the application's rule](Self::authentication_refresh_if) says no |
    /// | 404 `connection_not_found` | there is no such connection |
    /// | 404, empty | refresh is off |
    /// | 405, empty | the method is not POST |
    /// | 500 `internal_server_error` | anything else; the log says what |
    ///
    /// A client needs a token provider, from which it gets what it signs in with again: `with_access_token` in this crate,
    /// `AccessTokenProvider` in .NET. One that signs in by cookies or headers alone is not refreshed.
    ///
    /// Off by default: it needs version 2026-07-01 of the service's REST API and clients of .NET 11 or of this
    /// crate. Source: [authentication refresh](https://github.com/Azure/azure-signalr/issues/2282).
    #[must_use]
    pub fn authentication_refresh(mut self) -> Self {
        Arc::make_mut(&mut self.endpoint).refreshes = true;
        self
    }

    /// Lets clients [refresh their authentication](Self::authentication_refresh), where a rule of the application's says
    /// so for each change. The service is asked for the connection's present claims before. A client that is refused keeps its
    /// connection as it is. The rule gives a `bool`, or a future of one. `OnAuthenticationRefresh` in .NET.
    ///
    /// ```
    /// use hubwire::service::{HubClient, NegotiateOptions, NegotiateService};
    ///
    /// fn endpoint(hub: HubClient) -> NegotiateService {
    ///     NegotiateService::new(hub, |_| NegotiateOptions::for_user("alice").claim("tenant", "contoso"))
    ///         // Nobody changes the tenant while connected.
    ///         .authentication_refresh_if(|change| change.previous.get("tenant") == change.new.get("tenant"))
    /// }
    /// ```
    #[must_use]
    pub fn authentication_refresh_if<R, M>(
        mut self,
        rule: impl Fn(AuthenticationChange) -> R + Send + Sync + 'static,
    ) -> Self
    where
        R: RefreshAnswer<M>,
    {
        let endpoint = Arc::make_mut(&mut self.endpoint);
        endpoint.refreshes = true;
        endpoint.decide = Some(handler::boxed_rule(rule));
        self
    }
}

impl fmt::Debug for NegotiateService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NegotiateService").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl<B> Service<Request<B>> for NegotiateService {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = BoxFuture<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The body of a negotiate request is empty, or means nothing.
        let (parts, _) = request.into_parts();
        let (endpoint, handler) = (Arc::clone(&self.endpoint), Arc::clone(&self.handler));
        Box::pin(async move { Ok(endpoint.answer(parts, &*handler).await) })
    }
}
