//! Streams that clients have asked for, and that callers of the REST API answer.

use axum::http::StatusCode;

use super::{
    body::{ItemBody, encoded, json_text, not_transcoded},
    call::{Answer, Call},
};
use crate::{
    core::{
        json::reader::Reader,
        message::{HubMessage, Outcome},
    },
    local::{
        api_error::ApiError,
        message::{Kind, from_json},
        roles::Action,
    },
    server::{connections::Target, message::Message},
};

pub(super) async fn send(call: Call, body: Result<ItemBody, ApiError>) -> Answer {
    let hub = call.hub(Action::ConnectionSend)?;
    let stream = call.stream()?;
    let is_last = match call.query.first("completed") {
        None => false,
        Some(text) => {
            let is_last = text.to_ascii_lowercase().parse();
            is_last.map_err(|_| ApiError::bad_request("completed", "completed is true or false."))?
        }
    };
    let item = match body? {
        ItemBody::Json(body) => item(stream, &body)?,
        ItemBody::Binary(body) => encoded(&body, Kind::StreamItem)?.message(),
    };
    pass_on(&call, &hub, &item)?;
    if is_last {
        end(&call, &hub, None)?;
    }
    Ok(StatusCode::ACCEPTED)
}

pub(super) async fn complete(call: Call) -> Answer {
    let hub = call.hub(Action::ConnectionSend)?;
    // The specification calls it a reason, and the official SDK of 2026 sends an error.
    let mut errors = ["reason", "error"].into_iter().filter_map(|name| call.query.first(name));
    let error = errors.find(|text| !text.is_empty());
    end(&call, &hub, error)?;
    Ok(StatusCode::ACCEPTED)
}

fn item(stream: &str, body: &[u8]) -> Result<Message, ApiError> {
    let mut reader = Reader::new(json_text(body)?);
    let item = reader.value().and_then(|item| reader.end().map(|()| item));
    let item = item.map_err(|_| ApiError::bad_request("body", "The item is not JSON."))?;
    let message = HubMessage::StreamItem { headers: Vec::new(), invocation_id: stream.into(), item };
    from_json(&message).map_err(not_transcoded)
}

fn end(call: &Call, hub: &str, error: Option<&str>) -> Result<(), ApiError> {
    let outcome = error.map_or(Outcome::Void, |error| Outcome::Error(error.into()));
    let invocation_id = call.stream()?.into();
    let message = HubMessage::Completion { headers: Vec::new(), invocation_id, outcome };
    pass_on(call, hub, &from_json(&message).map_err(not_transcoded)?)
}

fn pass_on(call: &Call, hub: &str, message: &Message) -> Result<(), ApiError> {
    call.connections().send(hub, Target::Connection(call.connection()?), &[], message);
    Ok(())
}
