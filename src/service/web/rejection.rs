//! Why a client may not negotiate.

use http::StatusCode;

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
    pub(super) status: StatusCode,
    pub(super) message: String,
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

/// With the status' own words as the message.
impl From<StatusCode> for NegotiateRejection {
    fn from(status: StatusCode) -> Self {
        Self::new(status, status.canonical_reason().unwrap_or_default())
    }
}
