//! Groups and the connections in them.

use axum::{Json, http::StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::{
    call::{Answer, Call},
    connections::not_found,
};
use crate::{
    local::{api_error::ApiError, roles::Action},
    server::connections::Target,
    service::limits,
};

pub(super) async fn exists(call: Call) -> Answer {
    let hub = call.hub(Action::GroupRead)?;
    if call.connections().exists(&hub, Target::Group(call.group()?)) {
        return Ok(StatusCode::OK);
    }
    Err(ApiError::not_found("Warning.Group.NotExisted", "There is no connection in this group."))
}

pub(super) async fn join(call: Call) -> Answer {
    let hub = call.hub(Action::GroupWrite)?;
    if call.connections().add_to_group(&hub, call.connection()?, call.group()?) {
        return Ok(StatusCode::OK);
    }
    Err(not_found("Error.Connection.NotExisted"))
}

pub(super) async fn leave(call: Call) -> Answer {
    let hub = call.hub(Action::GroupWrite)?;
    call.connections().remove_from_group(&hub, call.connection()?, Some(call.group()?));
    Ok(StatusCode::OK)
}

pub(super) async fn leave_all(call: Call) -> Answer {
    let hub = call.hub(Action::GroupWrite)?;
    call.connections().remove_from_group(&hub, call.connection()?, None);
    Ok(StatusCode::OK)
}

pub(super) async fn list(call: Call) -> Result<Json<Value>, ApiError> {
    let hub = call.hub(Action::GroupRead)?;
    let size = |number: Option<i32>| number.and_then(|number| usize::try_from(number).ok());
    let largest = limits::PAGE.into();
    let page_size = size(call.number("maxpagesize", 1, largest)?.or(Some(largest))).unwrap_or_default();
    let top = size(call.number("top", 1, i32::MAX)?);
    let count = top.map_or(page_size, |top| top.min(page_size));
    let group = call.group()?;
    let (members, more) = call.connections().list(&hub, group, call.query.first("continuationToken"), count);
    let value: Vec<_> = members
        .iter()
        .map(|(id, user)| match user {
            Some(user) => json!({ "connectionId": **id, "userId": user }),
            None => json!({ "connectionId": **id }),
        })
        .collect();
    let left = top.map(|top| top - members.len());
    let mut answer = json!({ "value": value });
    if let Some((last, _)) = members.last()
        && more
        && left != Some(0)
    {
        answer["nextLink"] = next_link(&call, group, left, last).into();
    }
    Ok(Json(answer))
}

/// Where the next page is.
fn next_link(call: &Call, group: &str, left: Option<usize>, last: &str) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let mut query: Vec<(&str, String)> = ["application", "api-version", "maxpagesize"]
        .into_iter()
        .filter_map(|name| Some((name, encoded(call.query.first(name)?))))
        .collect();
    query.extend(left.map(|left| ("top", left.to_string())));
    query.push(("continuationToken", encoded(last)));
    let query: Vec<_> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let (origin, hub, group) = (&call.origin, encoded(call.hub_as_sent()), encoded(group));
    format!("{origin}/api/hubs/{hub}/groups/{group}/connections?{}", query.join("&"))
}
