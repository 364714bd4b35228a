//! Users, and the groups that they are in with their connections of today and of the future.

use std::time::{Duration, Instant};

use axum::http::StatusCode;

use super::call::{Answer, Call};
use crate::{
    local::{api_error::ApiError, roles::Action},
    server::connections::Target,
};

pub(super) async fn exists(call: Call) -> Answer {
    let hub = call.hub(Action::UserRead)?;
    if call.connections().exists(&hub, Target::User(call.user()?)) {
        return Ok(StatusCode::OK);
    }
    Err(ApiError::not_found("Warning.User.NotExisted", "There is no connection of this user."))
}

pub(super) async fn is_in_group(call: Call) -> Answer {
    let hub = call.hub(Action::UserRead)?;
    if call.user_groups().contains(call.connections(), &hub, call.user()?, call.group()?, Instant::now()) {
        return Ok(StatusCode::OK);
    }
    Err(ApiError::not_found("Info.User.NotInGroup", "The user is not in this group."))
}

pub(super) async fn join_group(call: Call) -> Answer {
    let hub = call.hub(Action::UserWrite)?;
    let seconds = call.number("ttl", 0, i32::MAX)?;
    let ttl = seconds.map(|seconds| Duration::from_secs(seconds.unsigned_abs().into()));
    call.user_groups().add(call.connections(), &hub, call.user()?, call.group()?, ttl, Instant::now());
    Ok(call.status(StatusCode::OK, StatusCode::ACCEPTED))
}

pub(super) async fn leave_group(call: Call) -> Answer {
    let hub = call.hub(Action::UserWrite)?;
    call.user_groups().remove(call.connections(), &hub, call.user()?, Some(call.group()?));
    Ok(call.status(StatusCode::NO_CONTENT, StatusCode::ACCEPTED))
}

pub(super) async fn leave_all_groups(call: Call) -> Answer {
    let hub = call.hub(Action::UserWrite)?;
    call.user_groups().remove(call.connections(), &hub, call.user()?, None);
    Ok(call.status(StatusCode::NO_CONTENT, StatusCode::OK))
}
