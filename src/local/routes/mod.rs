//! What the service answers over HTTP, on each of its ports.
//!
//! Every request comes in by the `gate`. `client` and `server` are the ways in for clients and app servers, `rest` is the REST API;
//! `token`, `discovery` and `identity` are the Entra authority and the managed identities; `control` is for tests.

mod client;
mod control;
mod discovery;
mod gate;
mod identity;
mod request_log;
mod rest;
mod server;
mod token;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::{from_fn, from_fn_with_state, map_request},
};

use crate::{local::service::Service, service::limits};

pub(super) use identity::APP_SERVICE_PATH as IDENTITY_ENDPOINT;
#[cfg(feature = "cli")]
pub(crate) use request_log::TARGET as REQUESTS;

/// All routes.
pub(super) fn router() -> Router<Arc<Service>> {
    // axum has to be told that the colon of `:send` is not one of its old captures.
    let mut router = Router::new().without_v07_checks();
    for add in [
        token::add_routes,
        discovery::add_routes,
        identity::add_routes,
        client::add_routes,
        server::add_routes,
        rest::add_routes,
        control::add_routes,
    ] {
        router = add(router);
    }
    router.layer(DefaultBodyLimit::max(limits::BODY))
}

/// Puts the gate in front of the routes of a port.
pub(super) fn guarded(
    router: Router<Arc<Service>>,
    service: &Arc<Service>,
    scheme: &'static str,
) -> Router<Arc<Service>> {
    let gate = gate::Gate { service: service.clone(), scheme };
    router.layer(from_fn_with_state(gate, gate::check))
}

/// What a port answers with.
pub(super) fn complete(router: Router<Arc<Service>>, service: Arc<Service>) -> Router {
    let router = router.layer(from_fn(request_log::tell));
    // Before a router looks at the path.
    Router::new().fallback_service(router.with_state(service)).layer(map_request(rest::canonical))
}
