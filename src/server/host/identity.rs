//! Who a client is.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use axum::{
    Extension,
    response::{AppendHeaders, IntoResponse, Response},
};
use http::{
    HeaderMap, Method, StatusCode, Uri,
    header::{AUTHORIZATION, RETRY_AFTER},
    request::Parts,
};

use crate::{
    core::http::bearer_token,
    lock::lock,
    server::{observe::Reason, query::Query},
};

/// Who a client is, as [`HubServerBuilder::authenticate`](super::HubServerBuilder::authenticate) finds out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    pub(in crate::server) user_id: Option<String>,
    pub(in crate::server) claims: Vec<(String, String)>,
    pub(in crate::server) expires: Option<SystemTime>,
}

impl Identity {
    /// A client that nobody knows: it belongs to no user.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::default()
    }

    /// A user, whose connections can be addressed by this id.
    pub fn user(id: impl Into<String>) -> Self {
        Self { user_id: Some(id.into()), ..Self::default() }
    }

    /// Adds a claim. A name may have several values.
    #[must_use]
    pub fn claim(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.claims.push((name.into(), value.into()));
        self
    }

    /// The user id; `None` for an anonymous client.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        self.user_id.as_deref()
    }

    /// Its claims: names and values.
    pub fn claims(&self) -> impl Iterator<Item = (&str, &str)> {
        self.claims.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Every value of a claim.
    pub(super) fn values<'c>(&'c self, name: &'c str) -> impl Iterator<Item = &'c str> {
        self.claims().filter(move |(claim, _)| *claim == name).map(|(_, value)| value)
    }

    /// Whether a claim has this value.
    #[must_use]
    pub fn has_claim(&self, name: &str, value: &str) -> bool {
        self.claims.iter().any(|(claim, text)| claim == name && text == value)
    }

    /// When the client's authentication ends, such as the claim `exp` of its token. What this means is up to the hub: see
    /// [`close_on_authentication_expiration`](super::HubServerBuilder::close_on_authentication_expiration) and
    /// [`enable_authentication_refresh`](super::HubServerBuilder::enable_authentication_refresh).
    #[must_use]
    pub fn expires(self, at: SystemTime) -> Self {
        Self { expires: Some(at), ..self }
    }
}

/// A request of a client: to negotiate, to open a transport, or to send.
#[derive(Debug)]
pub struct HubRequest<'r> {
    parts: &'r Parts,
    query: Query,
}

impl<'r> HubRequest<'r> {
    pub(in crate::server) fn new(parts: &'r Parts) -> Self {
        Self { query: Query::parse(parts.uri.query()), parts }
    }

    /// The HTTP method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.parts.method
    }

    /// The URL, as far as it is in the request.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.parts.uri
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// What a layer before the hub has found out, such as a session.
    #[must_use]
    pub fn extension<T: Clone + Send + Sync + 'static>(&self) -> Option<&T> {
        self.parts.extensions.get()
    }

    /// The first value of a query parameter, decoded.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.first(name)
    }

    /// The access token: of the header `Authorization: Bearer …`, or, since browsers cannot give a WebSocket a header, the
    /// query parameter `access_token`.
    #[must_use]
    pub fn access_token(&self) -> Option<&str> {
        let header = self.parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        header.and_then(bearer_token).or_else(|| self.query("access_token"))
    }
}

/// Who a client is by now.
#[derive(Debug)]
pub(super) struct CurrentIdentity(Mutex<Arc<Identity>>);

impl CurrentIdentity {
    pub(super) fn new(identity: Arc<Identity>) -> Self {
        Self(Mutex::new(identity))
    }

    pub(super) fn get(&self) -> Arc<Identity> {
        lock(&self.0).clone()
    }

    pub(super) fn set(&self, identity: Arc<Identity>) {
        *lock(&self.0) = identity;
    }
}

/// Why a client is not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    pub(super) status: StatusCode,
    pub(super) text: String,
    retry_after: Option<Duration>,
}

impl Rejection {
    /// Any status, with a text for the client.
    pub fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), retry_after: None }
    }

    /// Says when to try again: the header `Retry-After`, in whole seconds.
    #[must_use]
    pub fn retry_after(self, pause: Duration) -> Self {
        Self { retry_after: Some(pause), ..self }
    }

    /// 401: the request has no access token, or one that does not hold.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "")
    }

    /// 403: who it is is known, and may not.
    #[must_use]
    pub fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN, "")
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let Self { status, text, retry_after } = self;
        let seconds = retry_after.map(|pause| (RETRY_AFTER, pause.as_secs().to_string()));
        let reason = Extension(Reason(text.clone().into()));
        (status, AppendHeaders(seconds), reason, text).into_response()
    }
}
