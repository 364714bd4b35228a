//! What the negotiate endpoint answers, whatever the framework: negotiation, authentication refresh, CORS, errors.

use http::{HeaderValue, Method, Response, StatusCode, header, request::Parts};
use serde_json::json;

use crate::{
    core::{ErrorChain, refresh::CONNECTION_TOKEN_HEADER},
    service::{
        error::ServiceError,
        http::url::{decode, parameter},
        hub::hub_client::HubClient,
        negotiate::options::{ClientAccess, NegotiateOptions},
        web::cors::Cors,
    },
};

/// Rejects a client that wants to negotiate. The message goes to the client.
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

    /// Status 401: the user is not signed in.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Sign in first.")
    }

    /// Status 403: the user may not use this hub.
    #[must_use]
    pub fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN, "You may not use this hub.")
    }
}

impl NegotiateRejection {
    pub(super) fn into_response(self) -> Box<Response<String>> {
        Box::new(error(self.status, &self.message))
    }
}

// Lets a handler return plain options where it rejects no client.
impl From<NegotiateOptions> for Result<NegotiateOptions, NegotiateRejection> {
    fn from(options: NegotiateOptions) -> Self {
        Ok(options)
    }
}

/// What a request is for.
pub(super) enum Wanted {
    Access,
    /// New credentials for the connection of this token.
    Refresh(String),
}

/// The endpoint of one hub.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    pub(super) hub: HubClient,
    pub(super) cors: Cors,
    pub(super) refreshes: bool,
}

impl Endpoint {
    /// What a request is for, or the answer to one that asks for neither.
    pub(super) fn wanted(&self, parts: &Parts) -> Result<Wanted, Box<Response<String>>> {
        match parts.method {
            Method::POST => {}
            Method::OPTIONS if self.cors.is_on() => {
                let refusal = || error(StatusCode::FORBIDDEN, "Pages of this origin may not negotiate.");
                return Err(Box::new(self.cors.preflight(&parts.headers).unwrap_or_else(refusal)));
            }
            _ => return Err(Box::new(method_not_allowed(self.cors.is_on()))),
        }
        if !parts.uri.path().trim_end_matches('/').ends_with("/refresh") {
            return Ok(Wanted::Access);
        }
        if !self.refreshes {
            return Err(Box::new(error(StatusCode::NOT_FOUND, "refresh_disabled")));
        }
        // Released clients send the header, previews the parameter.
        let header = parts.headers.get(CONNECTION_TOKEN_HEADER).and_then(|value| value.to_str().ok());
        let query = parts.uri.query().unwrap_or_default();
        let token = header.map(str::to_owned).or_else(|| parameter(query, "id"));
        match token.filter(|token| !token.is_empty()) {
            Some(token) => Ok(Wanted::Refresh(token)),
            None => Err(Box::new(error(StatusCode::BAD_REQUEST, "missing_connection_token"))),
        }
    }

    /// The answer for a client that was accepted or rejected.
    pub(super) async fn answer(
        &self,
        parts: &Parts,
        options: Result<(Wanted, NegotiateOptions), Box<Response<String>>>,
    ) -> Response<String> {
        let mut response = match options {
            Err(response) => *response,
            Ok((Wanted::Access, options)) => match self.hub.negotiate(carry_on(options, parts)).await {
                Ok(access) => self.access(&access),
                Err(failure) => explain(&self.hub, &failure),
            },
            Ok((Wanted::Refresh(token), options)) => {
                match self.hub.refresh_authentication(&token, options).await {
                    Ok(ClientAccess { access_token, expires_in, .. }) => json_response(
                        StatusCode::OK,
                        &json!({ "accessToken": access_token, "tokenLifetimeSeconds": expires_in.as_secs() }),
                    ),
                    Err(failure) => refused_refresh(&self.hub, &failure),
                }
            }
        };
        self.cors.apply(&parts.headers, response.headers_mut());
        response
    }

    fn access(&self, access: &ClientAccess) -> Response<String> {
        let ClientAccess { url, access_token, expires_in } = access;
        // Old clients want the empty list.
        let mut body = json!({ "url": url, "accessToken": access_token, "availableTransports": [] });
        if self.refreshes {
            // Makes clients of .NET 11 refresh before the token ends.
            body["tokenLifetimeSeconds"] = expires_in.as_secs().into();
        }
        json_response(StatusCode::OK, &body)
    }
}

/// Tells a client why its connection does not get new credentials; it keeps those that it has.
fn refused_refresh(hub: &HubClient, failure: &ServiceError) -> Response<String> {
    match failure {
        ServiceError::NotFound(_) => error(StatusCode::NOT_FOUND, "connection_not_found"),
        // Roles are missing, or the user is another one; only the service's words tell which.
        ServiceError::Forbidden(refusal)
            if refusal.error_code().or(refusal.message()).is_some_and(|why| why.contains("Mismatch")) =>
        {
            error(StatusCode::FORBIDDEN, "permission_change_rejected")
        }
        ServiceError::AuthenticationExpired => error(StatusCode::UNAUTHORIZED, "invalid_token"),
        failure => explain(hub, failure),
    }
}

fn carry_on(options: NegotiateOptions, parts: &Parts) -> NegotiateOptions {
    if options.has_original_request() {
        return options;
    }
    options.original_request(decode(parts.uri.path()), parts.uri.query().unwrap_or_default())
}

fn method_not_allowed(cross_origin: bool) -> Response<String> {
    let mut response = error(StatusCode::METHOD_NOT_ALLOWED, "The method must be POST.");
    let allow = if cross_origin { "POST, OPTIONS" } else { "POST" };
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}

/// What the client is told about a failure. The details are for the log: they name tenants, roles and addresses.
fn explain(hub: &HubClient, failure: &ServiceError) -> Response<String> {
    tracing::error!(hub = hub.name(), error = %ErrorChain::new(failure), "negotiation failed");
    let (status, message) = match failure {
        ServiceError::AuthenticationExpired => (StatusCode::UNAUTHORIZED, "Sign in again."),
        ServiceError::TokenTooLong { .. } => {
            (StatusCode::PAYLOAD_TOO_LARGE, "The access token would be longer than 4096 characters.")
        }
        _ if failure.is_retryable() => {
            (StatusCode::SERVICE_UNAVAILABLE, "The SignalR service is not available. Try again later.")
        }
        failure if failure.is_of_endpoint() => {
            (StatusCode::BAD_GATEWAY, "The SignalR service gave no access. The server's log says why.")
        }
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "The negotiation failed. The server's log says why."),
    };
    error(status, message)
}

/// What the caller of a handler is told about a failed call of the service.
#[cfg(any(feature = "axum", feature = "actix"))]
pub(super) fn answer_for(failure: &ServiceError) -> Response<String> {
    tracing::error!(error = %ErrorChain::new(failure), "a call of the service failed");
    let (status, message) = match failure {
        ServiceError::AuthenticationExpired => (StatusCode::UNAUTHORIZED, "Sign in again."),
        _ if failure.is_absence() => {
            (StatusCode::NOT_FOUND, "The connection, the user or the group does not exist.")
        }
        _ if failure.is_retryable() => {
            (StatusCode::SERVICE_UNAVAILABLE, "The SignalR service is not available. Try again later.")
        }
        ServiceError::EndpointsFailed { .. } => {
            (StatusCode::BAD_GATEWAY, "A part of the SignalR service failed. The server's log says why.")
        }
        _ if failure.is_of_endpoint() => {
            (StatusCode::BAD_GATEWAY, "The SignalR service refused. The server's log says why.")
        }
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "The request failed. The server's log says why."),
    };
    let mut response = error(status, message);
    let delay = failure.refusal().and_then(|refusal| refusal.retry_after());
    let delay = delay.filter(|_| failure.is_retryable());
    if let Some(delay) = delay {
        let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
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
