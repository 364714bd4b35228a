//! The endpoints that this program offers over HTTP, for its web framework.
//!
//! A [`NegotiateService`](crate::service::NegotiateService) answers clients that want to connect, a
//! [`NegotiateRejection`](crate::service::NegotiateRejection) refuses one. Both, like the
//! [`UpstreamRouter`](crate::service::upstream::UpstreamRouter), are for any framework that takes `tower` services;
//! `hubwire::axum_routes` and `hubwire::actix_routes` (features `axum` and `actix`) adapt them.
//!
//! A handler of your own that calls the service may return a [`ServiceError`](crate::service::ServiceError) with `?`: with the
//! feature `axum` it is an `IntoResponse`, with `actix` a `ResponseError`. The caller gets a status and one of a few texts, as JSON
//! `{"error": …}`; what is wrong inside, with addresses and identities, goes to the log at level `error`.
//!
//! | status | when |
//! | --- | --- |
//! | 400 | the client's user id or one of its claims cannot be used |
//! | 401 | what the client has authenticated with has ended, or its user id is empty |
//! | 404 | the connection, user or group does not exist |
//! | 413 | the client's token would be too long |
//! | 503 | trying again later may help; with `Retry-After` if the service has said when |
//! | 502 | the service or Entra refuses, or does not answer as it should |
//! | 500 | anything else, such as an argument that cannot be serialized |

#[cfg(feature = "actix")]
pub mod actix_routes;
#[cfg(feature = "axum")]
pub mod axum_routes;
pub(super) mod endpoint;
mod handler;
pub(super) mod rejection;
pub(super) mod tower;

pub use crate::cors::InvalidOrigin;
pub use handler::{AuthenticationChange, NegotiateAnswer, RefreshAnswer};
