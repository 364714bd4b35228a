//! The REST API.
//!
//! Source: [Azure SignalR Service data plane REST API](https://learn.microsoft.com/azure/azure-signalr/signalr-reference-data-plane-rest-api)
//! and its [definition](https://github.com/Azure/azure-signalr/tree/dev/docs/swagger) of version 2024-12-01. What it has for
//! `HEAD`, `GET` may ask as well: the official SDK does.

mod authentication;
mod body;
mod call;
mod connections;
mod execute;
mod groups;
mod invoke;
mod path;
mod send;
mod streams;
mod tokens;
mod users;
mod version;

use std::sync::Arc;

use axum::{
    Router,
    http::{Method, StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::{any, delete, get, post, put},
};

use crate::local::{api_error::ApiError, service::Service};

pub(super) use path::canonical;

#[rustfmt::skip]
pub(super) fn add_routes(router: Router<Arc<Service>>) -> Router<Arc<Service>> {
    // axum has to be told that the colon of `:send` is not one of its old captures.
    let current = Router::new()
        .without_v07_checks()
        .route("/api/health", get(health))
        .route("/api/auth/accessKey", get(tokens::exchange_key))
        .route("/api/hubs/{hub}/:generateToken", post(tokens::generate))
        .route("/api/hubs/{hub}/:send", post(send::to_all))
        .route("/api/hubs/{hub}/:closeConnections", post(connections::close_all))
        .route("/api/hubs/{hub}/:execute", post(execute::execute))
        .route("/api/hubs/{hub}/connections/:refreshAuth", post(authentication::refresh))
        // axum's routers of methods do not know QUERY.
        .route("/api/hubs/{hub}/connections/claims", any(authentication::claims))
        .route("/api/hubs/{hub}/connections/{connection}", get(connections::exists).delete(connections::close))
        .route("/api/hubs/{hub}/connections/{connection}/:send", post(send::to_connection))
        .route("/api/hubs/{hub}/connections/{connection}/:invoke", post(invoke::invoke))
        .route("/api/hubs/{hub}/connections/{connection}/streams/{stream}/:send", post(streams::send))
        .route("/api/hubs/{hub}/connections/{connection}/streams/{stream}/:complete", post(streams::complete))
        .route("/api/hubs/{hub}/connections/{connection}/groups", delete(groups::leave_all))
        .route("/api/hubs/{hub}/groups/{group}", get(groups::exists))
        .route("/api/hubs/{hub}/groups/{group}/:send", post(send::to_group))
        .route("/api/hubs/{hub}/groups/{group}/:closeConnections", post(connections::close_group))
        .route("/api/hubs/{hub}/groups/{group}/connections", get(groups::list))
        .route("/api/hubs/{hub}/groups/{group}/connections/{connection}", put(groups::join).delete(groups::leave))
        .route("/api/hubs/{hub}/users/{user}", get(users::exists))
        .route("/api/hubs/{hub}/users/{user}/:send", post(send::to_user))
        .route("/api/hubs/{hub}/users/{user}/:closeConnections", post(connections::close_user))
        .route("/api/hubs/{hub}/users/{user}/groups", delete(users::leave_all_groups))
        .route("/api/hubs/{hub}/users/{user}/groups/{group}",
            get(users::is_in_group).put(users::join_group).delete(users::leave_group));
    // The first version, which SDKs for Azure Functions and older servers still use.
    let first = Router::new()
        .without_v07_checks()
        .route("/api/v1/health", get(health))
        .route("/api/v1/auth/accessKey", get(tokens::exchange_key))
        .route("/api/v1/hubs/{hub}", post(send::to_all))
        .route("/api/v1/hubs/{hub}/connections/{connection}",
            get(connections::exists).post(send::to_connection).delete(connections::close))
        .route("/api/v1/hubs/{hub}/groups/{group}", get(groups::exists).post(send::to_group))
        .route("/api/v1/hubs/{hub}/groups/{group}/connections/{connection}", put(groups::join).delete(groups::leave))
        .route("/api/v1/hubs/{hub}/groups/{group}/users/{user}",
            get(users::is_in_group).put(users::join_group).delete(users::leave_group))
        .route("/api/v1/hubs/{hub}/users/{user}", get(users::exists).post(send::to_user))
        .route("/api/v1/hubs/{hub}/users/{user}/groups", delete(users::leave_all_groups));
    let all = current.merge(first).method_not_allowed_fallback(method_not_allowed);
    router.merge(all.route("/api/{*path}", any(unknown)))
}

/// Needs no token, and no version: an article of Microsoft's asks without one.
async fn health() -> StatusCode {
    StatusCode::OK
}

/// A wrong address. Its 404 has no code in a header, so that nobody takes it for the answer to a question.
async fn unknown(uri: Uri) -> ApiError {
    ApiError::wrong_address(format!("The REST API has nothing at {}.", uri.path()))
}

async fn method_not_allowed(method: Method, uri: Uri) -> Response {
    ApiError::method_not_allowed(format!("{} is not called with {method}.", uri.path())).into_response()
}
