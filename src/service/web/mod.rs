//! The endpoints that this program offers over HTTP, for its web framework.
//!
//! A [`NegotiateService`](crate::service::NegotiateService) answers clients that want to connect, a
//! [`NegotiateRejection`](crate::service::NegotiateRejection) refuses one. Both, like the
//! [`UpstreamRouter`](crate::service::upstream::UpstreamRouter), are for any framework that takes `tower` services;
//! `hubwire::axum_routes` and `hubwire::actix_routes` (features `axum` and `actix`) adapt them.

#[cfg(feature = "actix")]
pub mod actix_routes;
#[cfg(feature = "axum")]
pub mod axum_routes;
mod cors;
pub(super) mod endpoint;
mod handler;
pub(super) mod tower;

pub use endpoint::AuthenticationChange;
pub use handler::NegotiateAnswer;
