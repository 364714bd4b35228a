//! Answers that say no, in the shape of Azure SignalR Service.

use std::fmt;

use axum::{
    Json,
    http::{
        HeaderValue, StatusCode,
        header::{RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::server::observe::Reason;

/// The seconds after which it is worth another try.
pub(super) const RETRY_SOON: HeaderValue = HeaderValue::from_static("1");

pub(super) const TOO_MANY_CONNECTIONS: &str = "The service has as many connections as it may have (max_connections); try \
                                               again when some have ended.";

/// An error answer of the REST API: `{"code", "message", "target"}`, and for what does not exist a header that tells
/// it from a wrong address.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    target: Option<&'static str>,
    header: Option<&'static str>,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), target: None, header: None }
    }

    /// The request itself is wrong; `target` names the part that is.
    pub(super) fn bad_request(target: &'static str, message: impl Into<String>) -> Self {
        Self { target: Some(target), ..Self::new(StatusCode::BAD_REQUEST, "BadRequest", message) }
    }

    /// The same refusal with another code than the one of its status.
    pub(super) fn with_code(self, code: &'static str) -> Self {
        Self { code, ..self }
    }

    /// There is nothing at this address.
    pub(super) fn wrong_address(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", message)
    }

    pub(super) fn method_not_allowed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
    }

    pub(super) fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", message)
    }

    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message)
    }

    /// A connection cannot be given to another user.
    pub(super) fn other_user() -> Self {
        let code = "ConnectionUserMismatch";
        let message = "The connection is another user's; a refresh cannot change its user.";
        Self { header: Some(code), ..Self::new(StatusCode::FORBIDDEN, code, message) }
    }

    /// What the path names does not exist; `header` is the value of `x-ms-error-code`.
    pub(super) fn not_found(header: &'static str, message: impl Into<String>) -> Self {
        Self { header: Some(header), ..Self::new(StatusCode::NOT_FOUND, "NotFound", message) }
    }

    /// The client answered a call with an error. The official SDK takes status 500 for that, and no other.
    pub(super) fn client_error(message: String) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "ClientInvocationError", message)
    }

    /// The client was there and has gone before it has answered: an error of the call, for its caller does not have to
    /// look for another address.
    pub(super) fn client_left(connection: &str) -> Self {
        let message = format!("Connection {connection} has disconnected.");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "ClientDisconnected", message)
    }

    pub(super) fn no_answer() -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", "The client has not answered in time.")
    }

    /// The service has as many connections as it may have.
    pub(super) fn too_many_connections() -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", TOO_MANY_CONNECTIONS)
    }

    pub(super) fn stopping() -> Self {
        let message = "The local service is stopping.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message)
    }

    pub(super) fn too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "PayloadTooLarge", "The body is larger than 1 MB.")
    }

    pub(super) fn unsupported_media_type() -> Self {
        let message = "The body of this call is application/json; that of a message may also be application/octet-stream.";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)
    }
}

/// What it says in words.
impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<getrandom::Error> for ApiError {
    fn from(error: getrandom::Error) -> Self {
        tracing::error!(%error, "the operating system gives no random numbers");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", "There are no random numbers.")
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Self { status, code, message, target, header } = self;
        tracing::debug!(%status, message, "the local service refused a request");
        let reason = Reason(message.clone().into());
        let mut body = json!({ "code": code, "message": message });
        if let (Some(target), Some(object)) = (target, body.as_object_mut()) {
            object.insert("target".to_owned(), target.into());
        }
        let mut response = (status, Json(body)).into_response();
        response.extensions_mut().insert(reason);
        let headers = response.headers_mut();
        if let Some(header) = header {
            headers.insert("x-ms-error-code", HeaderValue::from_static(header));
        }
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            headers.insert(RETRY_AFTER, RETRY_SOON);
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
