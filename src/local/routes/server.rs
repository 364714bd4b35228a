//! The way in for app servers.

use std::sync::Arc;

use axum::{
    Router,
    extract::{
        RawQuery, State,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    http::HeaderMap,
    response::Response,
    routing::get,
};

use crate::{
    core::hub_name,
    local::{
        access::Caller,
        api_error::ApiError,
        default_mode::{MAX_FRAME, ServerConnection},
        mode::Mode,
        roles::Action,
        service::Service,
    },
    server::{query::Query, random::random_text},
};

/// The longest name that an app server may have.
const MAX_SERVER_ID: usize = 1024;

pub(super) fn add_routes(router: Router<Arc<Service>>) -> Router<Arc<Service>> {
    router.route("/server", get(open)).route("/server/", get(open))
}

async fn open(
    State(service): State<Arc<Service>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let query = Query::parse(query.as_deref());
    let hub = query.first("hub").unwrap_or_default().to_ascii_lowercase();
    if hub_name::check(&hub).is_err() {
        return Err(ApiError::bad_request("hub", "The query parameter hub is not the name of a hub."));
    }
    Caller::identify_server(&service.access, &headers, &hub)?.authorize(Action::ServerConnectionWrite)?;
    if service.room.is_stopping() {
        return Err(ApiError::stopping());
    }
    let Mode::Default(hubs) = &service.mode else {
        let message = "The service is in serverless mode, which has no server connections.";
        return Err(ApiError::forbidden(message));
    };
    let upgrade = upgrade.map_err(|_| {
        ApiError::bad_request(
            "upgrade",
            "A server connection is a WebSocket, and this request does not open one.",
        )
    })?;
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let server_id = header("x-asrs-server-id").or_else(|| query.first("cid")).unwrap_or_default();
    if server_id.len() > MAX_SERVER_ID {
        return Err(ApiError::bad_request(
            "X-ASRS-Server-Id",
            "The name of the app server has at most 1024 characters.",
        ));
    }
    let user_agent = header("asrs-user-agent").unwrap_or_default().to_owned();
    let (server_id, connection_id) = (server_id.to_owned(), random_text()?);
    // They count as connections, as in Azure.
    let _slot = service.room.slots.take().ok_or_else(ApiError::too_many_connections)?;
    let (room, access, hubs) = (service.room.clone(), service.access.clone(), hubs.clone());
    let connection =
        ServerConnection { _slot, room, access, hubs, hub, server_id, user_agent, connection_id };
    let upgrade = upgrade.max_message_size(MAX_FRAME).max_frame_size(MAX_FRAME);
    Ok(upgrade.on_upgrade(|socket| connection.run(socket)))
}
