//! The negotiate endpoint as an [`axum`](https://docs.rs/axum) router.

use axum::{
    Router,
    http::request::Parts,
    response::{IntoResponse, Response},
};

use crate::service::{
    error::ServiceError,
    hub::hub_client::HubClient,
    web::{endpoint::answer_for, handler::NegotiateAnswer, tower::NegotiateService},
};

/// A router for a hub at `path`: `POST {path}/negotiate`, and `POST {path}/refresh` for services
/// [that refresh](NegotiateService::authentication_refresh). See [`NegotiateService`] for what the
/// handler does.
///
/// ```
/// use hubwire::service::{HubClient, NegotiateOptions, NegotiateRejection};
///
/// fn app(hub: HubClient) -> axum::Router {
///     axum::Router::new().merge(hubwire::axum_routes::negotiate("/chat", hub, |parts| {
///         let user = parts.headers.get("x-user").and_then(|value| value.to_str().ok());
///         user.map(NegotiateOptions::for_user).ok_or_else(NegotiateRejection::unauthorized)
///     }))
/// }
/// ```
///
/// # Panics
/// As [`Router::route`] does, when `path` does not start with a slash.
pub fn negotiate<S, R, M>(
    path: &str,
    hub: HubClient,
    handler: impl Fn(Parts) -> R + Send + Sync + 'static,
) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    R: NegotiateAnswer<M>,
{
    negotiate_service(path, NegotiateService::new(hub, handler))
}

/// The same with a [`NegotiateService`] that has been set up, for instance with
/// [`allow_origin`](NegotiateService::allow_origin).
///
/// # Panics
/// As [`Router::route`] does, when `path` does not start with a slash.
pub fn negotiate_service<S>(path: &str, service: NegotiateService) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    let path = path.trim_end_matches('/');
    Router::new()
        .route_service(&format!("{path}/negotiate"), service.clone())
        .route_service(&format!("{path}/refresh"), service)
}

/// Lets a handler use `?` on calls of the service. The caller is told nothing about addresses, identities and causes, which go
/// to the log: see [`web`](crate::service::web).
///
/// ```
/// use axum::{extract::State, http::StatusCode};
/// use hubwire::service::{HubClient, ServiceError};
///
/// async fn announce(State(hub): State<HubClient>, text: String) -> Result<StatusCode, ServiceError> {
///     hub.all().send("Announced", (text,)).await?;
///     Ok(StatusCode::ACCEPTED)
/// }
/// ```
impl IntoResponse for ServiceError {
    fn into_response(self) -> Response {
        answer_for(&self).into_response()
    }
}
