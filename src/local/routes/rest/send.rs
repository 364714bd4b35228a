//! Messages to everybody, to groups, users and connections.

use axum::http::StatusCode;

use super::{
    body::Payload,
    call::{Answer, Call},
};
use crate::{
    local::{api_error::ApiError, roles::Action},
    server::connections::Target,
};

/// What is wrong with a body matters only to those who may send it.
type Body = Result<Payload, ApiError>;

pub(super) async fn to_all(call: Call, body: Body) -> Answer {
    let hub = call.hub(Action::HubSend)?;
    send(&call, &hub, Target::All, body)
}

pub(super) async fn to_group(call: Call, body: Body) -> Answer {
    let hub = call.hub(Action::GroupSend)?;
    send(&call, &hub, Target::Group(call.group()?), body)
}

pub(super) async fn to_user(call: Call, body: Body) -> Answer {
    let hub = call.hub(Action::UserSend)?;
    send(&call, &hub, Target::User(call.user()?), body)
}

pub(super) async fn to_connection(call: Call, body: Body) -> Answer {
    let hub = call.hub(Action::ConnectionSend)?;
    send(&call, &hub, Target::Connection(call.connection()?), body)
}

fn send(call: &Call, hub: &str, target: Target<'_>, body: Body) -> Answer {
    let message = body?.message()?;
    call.connections().send(hub, target, &call.excluded(), &message);
    Ok(StatusCode::ACCEPTED)
}
