//! One event of `tracing` for each request: what it was, and how it was answered.

use std::time::Instant;

use axum::{extract::Request, middleware::Next, response::Response};
use tracing::Level;

use crate::server::query::Query;

/// The target of the events.
pub(crate) const TARGET: &str = "hubwire::local::requests";

/// Tells of a request once it is answered; of a WebSocket, once it is open.
pub(super) async fn tell(request: Request, next: Next) -> Response {
    if !tracing::enabled!(target: TARGET, Level::DEBUG) {
        return next.run(request).await;
    }
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let begun = Instant::now();
    let response = next.run(request).await;
    let (status, path) = (response.status().as_u16(), uri.path());
    let ms = begun.elapsed().as_secs_f64() * 1000.0;
    // The rest of a query has tokens in it.
    let query = Query::parse(uri.query());
    let hub = query.first("hub");
    tracing::debug!(target: TARGET, method = method.as_str(), path, hub, status, ms, "request");
    response
}
