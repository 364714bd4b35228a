//! The negotiate endpoint as a `tower` service, for any HTTP framework.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response, request::Parts};
use tower_service::Service;

use crate::service::{
    hub::hub_client::HubClient,
    negotiate::options::NegotiateOptions,
    web::{
        cors::{Cors, InvalidOrigin},
        endpoint::{Endpoint, NegotiateRejection},
    },
};

/// Answers `POST …/negotiate` of a SignalR client: it sends the client on to Azure SignalR Service.
///
/// Mount it at the hub's path with `/negotiate` behind it, and with `/refresh` too when it
/// [refreshes](Self::authentication_refresh). The handler decides from the head of the request who the
/// client is, and gives [`NegotiateOptions`] or a `Result` of them and a [`NegotiateRejection`]. It must
/// authenticate the client: every client that gets an answer can connect.
///
/// The client's own query and path are carried on unless the handler sets
/// [`original_request`](NegotiateOptions::original_request) itself. Errors are JSON, `{"error": …}`; what is wrong
/// inside goes to the log, not to the client.
///
/// ```
/// use hubwire::service::{HubClient, NegotiateOptions, NegotiateService, web::InvalidOrigin};
///
/// fn endpoint(hub: HubClient) -> Result<axum::Router, InvalidOrigin> {
///     let negotiate = NegotiateService::new(hub, |_: &http::request::Parts| NegotiateOptions::anonymous())
///         .allow_origin("https://app.example.com")?;
///     Ok(axum::Router::new().route_service("/chat/negotiate", negotiate))
/// }
/// ```
pub struct NegotiateService<F> {
    endpoint: Arc<Endpoint>,
    handler: Arc<F>,
}

impl<F> NegotiateService<F> {
    /// A negotiate endpoint for a hub.
    pub fn new<R>(hub: HubClient, handler: F) -> Self
    where
        F: Fn(&Parts) -> R + Send + Sync + 'static,
        R: Into<Result<NegotiateOptions, NegotiateRejection>>,
    {
        let endpoint = Endpoint { hub, cors: Cors::default(), refreshes: false };
        Self { endpoint: Arc::new(endpoint), handler: Arc::new(handler) }
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
    /// use hubwire::service::{HubClient, NegotiateOptions, NegotiateService};
    ///
    /// fn endpoint(hub: HubClient) -> axum::Router {
    ///     let negotiate = NegotiateService::new(hub, |_: &http::request::Parts| NegotiateOptions::anonymous())
    ///         .allow_origin_if(|origin| {
    ///             origin.strip_prefix("https://").is_some_and(|host| host.ends_with(".example.com"))
    ///         });
    ///     axum::Router::new().route_service("/chat/negotiate", negotiate)
    /// }
    /// ```
    #[must_use]
    pub fn allow_origin_if(mut self, predicate: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Arc::make_mut(&mut self.endpoint).cors.allow_if(predicate);
        self
    }

    /// Lets clients refresh their authentication: tells them in negotiate how long their token is valid, and answers
    /// `POST {hub}/refresh`, for which the handler is asked like for a negotiation. With
    /// [`close_on_expiry`](NegotiateOptions::close_on_expiry) connections last as long as their authentication is renewed.
    ///
    /// Off by default: it needs version 2026-07-01 of the service's REST API and clients of .NET 11 or of this
    /// crate. Source: [authentication refresh](https://github.com/Azure/azure-signalr/issues/2282).
    #[must_use]
    pub fn authentication_refresh(mut self) -> Self {
        Arc::make_mut(&mut self.endpoint).refreshes = true;
        self
    }
}

impl<F> Clone for NegotiateService<F> {
    fn clone(&self) -> Self {
        Self { endpoint: Arc::clone(&self.endpoint), handler: Arc::clone(&self.handler) }
    }
}

impl<F> fmt::Debug for NegotiateService<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NegotiateService").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl<F, R, B> Service<Request<B>> for NegotiateService<F>
where
    F: Fn(&Parts) -> R + Send + Sync + 'static,
    R: Into<Result<NegotiateOptions, NegotiateRejection>>,
{
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The body of a negotiate request is empty, or means nothing.
        let (parts, _) = request.into_parts();
        let options = self.endpoint.wanted(&parts).and_then(|wanted| {
            let options = (self.handler)(&parts).into().map_err(NegotiateRejection::into_response)?;
            Ok((wanted, options))
        });
        let endpoint = Arc::clone(&self.endpoint);
        Box::pin(async move { Ok(endpoint.answer(&parts, options).await) })
    }
}
