//! What the negotiate endpoint answers, whatever the framework: negotiation, authentication refresh, CORS, errors.

use std::{fmt, sync::Arc};

use http::{HeaderValue, Method, Response, StatusCode, header, request::Parts};
use serde_json::json;

use crate::{
    core::{ErrorChain, http::JSON, refresh::CONNECTION_TOKEN_HEADER},
    cors::Cors,
    service::{
        error::ServiceError,
        http::url::decode,
        hub::hub_client::HubClient,
        negotiate::{
            options::{ClientAccess, NegotiateOptions},
            refresh::ConnectionClaims,
        },
        web::{
            handler::{AuthenticationChange, Handler, Rule},
            rejection::NegotiateRejection,
        },
    },
};

impl NegotiateRejection {
    fn into_response(self) -> Response<String> {
        error(self.status, &self.message)
    }
}

/// What a request is for.
enum Wanted {
    Access,
    /// New credentials for the connection of this token.
    Refresh(String),
}

/// The endpoint of one hub.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) hub: HubClient,
    pub(super) cors: Cors,
    pub(super) refreshes: bool,
    /// Whether a change may be made; every one without it.
    pub(super) decide: Option<Arc<Rule>>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("hub", &self.hub)
            .field("cors", &self.cors)
            .field("refreshes", &self.refreshes)
            .finish_non_exhaustive()
    }
}

impl Endpoint {
    /// The answer to a request, about which the handler decides.
    pub(super) async fn answer(&self, parts: Parts, handler: &Handler) -> Response<String> {
        let headers = parts.headers.clone();
        let mut response = match self.wanted(&parts) {
            Ok(Wanted::Access) => {
                let (path, query) = (decode(parts.uri.path()), parts.uri.query().map(str::to_owned));
                match handler(parts).await {
                    Ok(options) => self.access(carry_on(options, path, query)).await,
                    Err(rejection) => rejection.into_response(),
                }
            }
            Ok(Wanted::Refresh(token)) => match handler(parts).await {
                Ok(options) => self.refresh(&token, options).await,
                Err(rejection) => rejection.into_response(),
            },
            Err(response) => *response,
        };
        self.cors.apply(&headers, response.headers_mut());
        response
    }

    /// What a request is for, or the answer to one that asks for neither.
    fn wanted(&self, parts: &Parts) -> Result<Wanted, Box<Response<String>>> {
        let is_refresh = parts.uri.path().trim_end_matches('/').ends_with("/refresh");
        if is_refresh && !self.refreshes {
            return Err(Box::new(empty(StatusCode::NOT_FOUND)));
        }
        match parts.method {
            Method::POST => {}
            Method::OPTIONS if self.cors.is_on() => {
                let refusal = || error(StatusCode::FORBIDDEN, "Pages of this origin may not negotiate.");
                return Err(Box::new(self.cors.preflight(&parts.headers, "POST").unwrap_or_else(refusal)));
            }
            _ => return Err(Box::new(method_not_allowed(is_refresh, self.cors.is_on()))),
        }
        if !is_refresh {
            return Ok(Wanted::Access);
        }
        let token = parts.headers.get(CONNECTION_TOKEN_HEADER).and_then(|value| value.to_str().ok());
        match token.map(str::trim).filter(|token| !token.is_empty()) {
            Some(token) => Ok(Wanted::Refresh(token.to_owned())),
            None => Err(Box::new(error(StatusCode::BAD_REQUEST, "missing_connection_token"))),
        }
    }

    async fn access(&self, options: NegotiateOptions) -> Response<String> {
        let ClientAccess { url, access_token, expires_in } = match self.hub.negotiate(options).await {
            Ok(access) => access,
            Err(failure) => return explain(&self.hub, &failure),
        };
        // Old clients want the empty list.
        let mut body = json!({ "url": url, "accessToken": access_token, "availableTransports": [] });
        if self.refreshes {
            // Makes clients of .NET 11 refresh before the token ends.
            body["tokenLifetimeSeconds"] = expires_in.as_secs().into();
        }
        json_response(StatusCode::OK, &body)
    }

    async fn refresh(&self, token: &str, options: NegotiateOptions) -> Response<String> {
        let refreshed = async {
            if let Some(decide) = &self.decide {
                let new = ConnectionClaims::of(&options)?;
                let previous = self.hub.connection_claims(token).await?;
                if !decide(AuthenticationChange { previous, new }).await {
                    return Ok(error(StatusCode::FORBIDDEN, "permission_change_rejected"));
                }
            }
            let access = self.hub.refresh_authentication(token, options).await?;
            Ok(json_response(StatusCode::OK, &json!(access)))
        };
        refreshed.await.unwrap_or_else(|failure| refused_refresh(&self.hub, &failure))
    }
}

/// Tells a client why its connection does not get new credentials; it keeps those that it has. The words are those of
/// the official SDK.
fn refused_refresh(hub: &HubClient, failure: &ServiceError) -> Response<String> {
    match failure {
        ServiceError::NotFound(_) => error(StatusCode::NOT_FOUND, "connection_not_found"),
        // Roles are missing, or the user is another one; only the service's words tell which.
        ServiceError::Forbidden(refusal)
            if refusal
                .error_code()
                .or(refusal.message())
                .is_some_and(|why| why.to_ascii_lowercase().contains("mismatch")) =>
        {
            error(StatusCode::FORBIDDEN, "permission_change_rejected")
        }
        ServiceError::AuthenticationExpired | ServiceError::EmptyUserId => {
            error(StatusCode::UNAUTHORIZED, "invalid_token")
        }
        failure => {
            tracing::error!(hub = hub.name(), error = %ErrorChain::new(failure), "a refresh failed");
            match failure.is_of_client() {
                true => error(StatusCode::BAD_REQUEST, "invalid_claims"),
                false => error(StatusCode::INTERNAL_SERVER_ERROR, "internal_server_error"),
            }
        }
    }
}

fn carry_on(options: NegotiateOptions, path: String, query: Option<String>) -> NegotiateOptions {
    if options.has_original_request() {
        return options;
    }
    options.original_request(path, query.unwrap_or_default())
}

/// Nothing but a status, as ASP.NET Core answers where there is no such endpoint.
fn empty(status: StatusCode) -> Response<String> {
    let mut response = Response::new(String::new());
    *response.status_mut() = status;
    response
}

fn method_not_allowed(is_refresh: bool, cross_origin: bool) -> Response<String> {
    let status = StatusCode::METHOD_NOT_ALLOWED;
    let mut response = if is_refresh { empty(status) } else { error(status, "The method must be POST.") };
    let allow = if cross_origin { "POST, OPTIONS" } else { "POST" };
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}

/// What the client is told about its own user id or claims.
const OF_CLIENT: &str = "The user's name or a claim cannot be used here. The server's log says why.";
const TOKEN_TOO_LONG: &str = "The access token would be longer than 4096 characters.";

/// What the client is told about a failure. The details are for the log: they name tenants, roles and addresses.
fn explain(hub: &HubClient, failure: &ServiceError) -> Response<String> {
    tracing::error!(hub = hub.name(), error = %ErrorChain::new(failure), "negotiation failed");
    let (status, message) = match failure {
        ServiceError::AuthenticationExpired => (StatusCode::UNAUTHORIZED, "Sign in again."),
        ServiceError::EmptyUserId => (StatusCode::UNAUTHORIZED, "Sign in first."),
        _ if failure.is_of_client() => (StatusCode::BAD_REQUEST, OF_CLIENT),
        ServiceError::TokenTooLong { .. } => (StatusCode::PAYLOAD_TOO_LARGE, TOKEN_TOO_LONG),
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
        ServiceError::EmptyUserId => (StatusCode::UNAUTHORIZED, "Sign in first."),
        _ if failure.is_of_client() => (StatusCode::BAD_REQUEST, OF_CLIENT),
        ServiceError::TokenTooLong { .. } => (StatusCode::PAYLOAD_TOO_LARGE, TOKEN_TOO_LONG),
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

/// A refusal in JSON.
pub(super) fn error(status: StatusCode, message: &str) -> Response<String> {
    json_response(status, &json!({ "error": message }))
}

fn json_response(status: StatusCode, body: &serde_json::Value) -> Response<String> {
    let mut response = Response::new(body.to_string());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    // The answer holds a token.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
