//! The negotiate endpoint as a `tower` service, for any HTTP framework.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use serde_json::json;
use tower_service::Service;

use super::{
    cors::Cors,
    error::ServiceError,
    hub::HubClient,
    negotiate::{ClientAccess, NegotiateOptions},
};

/// Says no to a client that wants to negotiate. The message goes to the client.
///
/// ```
/// use hubwire::service::{NegotiateOptions, NegotiateRejection};
///
/// fn options(parts: &http::request::Parts) -> Result<NegotiateOptions, NegotiateRejection> {
///     let user = parts.headers.get("x-user").and_then(|value| value.to_str().ok());
///     user.map(NegotiateOptions::for_user).ok_or_else(NegotiateRejection::unauthorized)
/// }
/// ```
#[derive(Debug, Clone)]
pub struct NegotiateRejection {
    status: StatusCode,
    message: String,
}

impl NegotiateRejection {
    /// Any status, with a message for the client.
    #[must_use]
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// Status 401: nobody is signed in.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Sign in first.")
    }

    /// Status 403: whoever is signed in may not use this hub.
    #[must_use]
    pub fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN, "You may not use this hub.")
    }
}

// Lets a handler return plain options where it rejects nobody.
impl From<NegotiateOptions> for Result<NegotiateOptions, NegotiateRejection> {
    fn from(options: NegotiateOptions) -> Self {
        Ok(options)
    }
}

/// Answers `POST …/negotiate` of a SignalR client: it sends the client on to Azure SignalR Service.
///
/// Mount it at the hub's path with `/negotiate` behind it. The handler decides from the head of the request who the
/// client is, and gives [`NegotiateOptions`] or a `Result` of them and a [`NegotiateRejection`]. It must
/// authenticate the client: whoever gets an answer can connect.
///
/// The client's own query and path are carried on unless the handler sets
/// [`original_request`](NegotiateOptions::original_request) itself. Errors are JSON, `{"error": …}`; what is wrong
/// inside goes to the log, not to the client.
///
/// ```
/// use hubwire::service::{HubClient, NegotiateOptions, NegotiateService};
///
/// fn endpoint(hub: HubClient) -> axum::Router {
///     let negotiate = NegotiateService::new(hub, |_: &http::request::Parts| NegotiateOptions::anonymous())
///         .allow_origin("https://app.example.com");
///     axum::Router::new().route_service("/chat/negotiate", negotiate)
/// }
/// ```
pub struct NegotiateService<F> {
    hub: HubClient,
    handler: Arc<F>,
    cors: Arc<Cors>,
}

impl<F> NegotiateService<F> {
    /// A negotiate endpoint for a hub.
    pub fn new<R>(hub: HubClient, handler: F) -> Self
    where
        F: Fn(&Parts) -> R + Send + Sync + 'static,
        R: Into<Result<NegotiateOptions, NegotiateRejection>>,
    {
        Self { hub, handler: Arc::new(handler), cors: Arc::default() }
    }

    /// Lets pages of another origin negotiate, such as `https://app.example.com`, with cookies. May be called
    /// several times. A wildcard is not possible: browsers refuse it where credentials are sent. None by default; do
    /// not use it together with a CORS layer.
    #[must_use]
    pub fn allow_origin(mut self, origin: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.cors).allow(&origin.into());
        self
    }
}

impl<F> Clone for NegotiateService<F> {
    fn clone(&self) -> Self {
        let Self { hub, handler, cors } = self;
        Self { hub: hub.clone(), handler: Arc::clone(handler), cors: Arc::clone(cors) }
    }
}

impl<F> fmt::Debug for NegotiateService<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NegotiateService")
            .field("hub", &self.hub)
            .field("cors", &self.cors)
            .finish_non_exhaustive()
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
        let negotiated = match parts.method {
            Method::POST => (self.handler)(&parts).into().map_err(|no| error(no.status, &no.message)),
            Method::OPTIONS if self.cors.is_on() => Err(match self.cors.preflight(&parts.headers) {
                Some(response) => response,
                None => error(StatusCode::FORBIDDEN, "Pages of this origin may not negotiate."),
            }),
            _ => Err(method_not_allowed(self.cors.is_on())),
        };
        let (hub, cors) = (self.hub.clone(), Arc::clone(&self.cors));
        Box::pin(async move {
            let mut response = match negotiated {
                Err(response) => response,
                Ok(options) => {
                    let options = carry_on(options, &parts);
                    match hub.negotiate(options).await {
                        Ok(access) => success(&access),
                        Err(failure) => explain(&hub, &failure),
                    }
                }
            };
            cors.apply(&parts.headers, response.headers_mut());
            Ok(response)
        })
    }
}

fn carry_on(options: NegotiateOptions, parts: &Parts) -> NegotiateOptions {
    if options.original_request.is_some() {
        return options;
    }
    options.original_request(parts.uri.path(), parts.uri.query().unwrap_or_default())
}

fn method_not_allowed(cross_origin: bool) -> Response<String> {
    let mut response = error(StatusCode::METHOD_NOT_ALLOWED, "Negotiate with POST.");
    let allow = if cross_origin { "POST, OPTIONS" } else { "POST" };
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}

fn success(access: &ClientAccess) -> Response<String> {
    // Old clients want the empty list.
    let ClientAccess { url, access_token } = access;
    let body = json!({ "url": url, "accessToken": access_token, "availableTransports": [] });
    json_response(StatusCode::OK, &body)
}

/// What the client is told about a failure. The details are for the log: they name tenants, roles and addresses.
fn explain(hub: &HubClient, failure: &ServiceError) -> Response<String> {
    tracing::error!(hub = hub.name(), error = %failure, "negotiation failed");
    let (status, message) = match failure {
        ServiceError::TokenTooLong { .. } => {
            (StatusCode::PAYLOAD_TOO_LARGE, "The access token would be longer than 4096 characters.")
        }
        _ if failure.is_retryable() => {
            (StatusCode::SERVICE_UNAVAILABLE, "The SignalR service is not available. Try again later.")
        }
        ServiceError::Credential(_) | ServiceError::InvalidResponse { .. } => {
            (StatusCode::BAD_GATEWAY, "The SignalR service gave no access. The server's log says why.")
        }
        _ if failure.refusal().is_some() => {
            (StatusCode::BAD_GATEWAY, "The SignalR service gave no access. The server's log says why.")
        }
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "The negotiation failed. The server's log says why."),
    };
    error(status, message)
}

fn error(status: StatusCode, message: &str) -> Response<String> {
    json_response(status, &json!({ "error": message }))
}

fn json_response(status: StatusCode, body: &serde_json::Value) -> Response<String> {
    let mut response = Response::new(body.to_string());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // The answer holds a token.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
