//! Whether connections exist, and their ends.

use axum::http::StatusCode;

use super::call::{Answer, Call};
use crate::{
    local::{api_error::ApiError, roles::Action},
    server::connections::Target,
};

pub(super) async fn exists(call: Call) -> Answer {
    let hub = call.hub(Action::ConnectionRead)?;
    let exists = call.connections().exists(&hub, Target::Connection(call.connection()?));
    if exists { Ok(StatusCode::OK) } else { Err(not_found("Warning.Connection.NotExisted")) }
}

pub(super) fn not_found(header: &'static str) -> ApiError {
    ApiError::not_found(header, "There is no connection with this id.")
}

pub(super) async fn close(call: Call) -> Answer {
    let hub = call.hub(Action::ConnectionWrite)?;
    let target = Target::Connection(call.connection()?);
    if !call.connections().exists(&hub, target) {
        return Err(not_found("Warning.Connection.NotExisted"));
    }
    close_each(&call, &hub, target);
    Ok(call.status(StatusCode::OK, StatusCode::ACCEPTED))
}

pub(super) async fn close_all(call: Call) -> Answer {
    let hub = call.hub(Action::ConnectionWrite)?;
    Ok(close_each(&call, &hub, Target::All))
}

pub(super) async fn close_group(call: Call) -> Answer {
    let hub = call.hub(Action::ConnectionWrite)?;
    Ok(close_each(&call, &hub, Target::Group(call.group()?)))
}

pub(super) async fn close_user(call: Call) -> Answer {
    let hub = call.hub(Action::ConnectionWrite)?;
    Ok(close_each(&call, &hub, Target::User(call.user()?)))
}

/// Clients may come back, as those of Microsoft's emulator may.
fn close_each(call: &Call, hub: &str, target: Target<'_>) -> StatusCode {
    call.connections().close_for_now(hub, target, &call.excluded(), call.query.first("reason"));
    StatusCode::NO_CONTENT
}
