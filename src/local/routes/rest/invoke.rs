//! Calls of clients' methods that give a result.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    http::{
        HeaderMap,
        header::{ACCEPT, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use tokio::time;

use super::{body::Payload, call::Call, connections::not_found};
use crate::{
    core::{
        HubProtocol,
        http::{JSON, OCTETS, is_media_type},
        json,
        message::{HubMessage, Outcome},
        msgpack,
    },
    local::{api_error::ApiError, message::answer_to_json, roles::Action},
    server::calls::Answer,
};

/// How long Azure keeps a call for a client's answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(600);

/// The protocol of a completion that is passed on as it is.
const PROTOCOL: &str = "x-protocol";

/// Asks a client. The answer is JSON, or, to those who accept `application/octet-stream` rather, the completion in the
/// client's own protocol, as the official SDK asks for it since 2026.
pub(super) async fn invoke(
    headers: HeaderMap,
    call: Call,
    body: Result<Payload, ApiError>,
) -> Result<Response, ApiError> {
    let hub = call.hub(Action::ConnectionSend)?;
    let (payload, connection) = (body?, call.connection()?);
    // What is wrong with the body is said before the client hears anything.
    payload.message()?;
    let (size, own_id) = (payload.len(), payload.id());
    let (payload, given_id) = (Arc::new(payload), Arc::new(OnceLock::new()));
    let (sent, given) = (payload.clone(), given_id.clone());
    let message = move |id: &str| {
        let _ = given.set(id.to_owned());
        sent.call(id).unwrap_or_default()
    };
    let invocation = call.connections().call(&hub, connection, size, message);
    let invocation = invocation.ok_or_else(|| not_found("Warning.Connection.NotExisted"))?;
    let protocol = invocation.protocol;
    if !payload.is_for(protocol) {
        let message =
            format!("The payload has no message in the protocol of the client, {}.", protocol.name());
        return Err(ApiError::bad_request("body", message));
    }
    let answer = match time::timeout(ANSWER_TIMEOUT, invocation.answer()).await {
        Ok(Some(Outcome::Error(error))) => return Err(ApiError::client_error(error.into_owned())),
        Ok(Some(answer)) => answer,
        Ok(None) => return Err(ApiError::client_left(connection)),
        Err(_) => return Err(ApiError::no_answer()),
    };
    if wants_completion(&headers) {
        let id = own_id.or_else(|| given_id.get().cloned()).unwrap_or_default();
        let bytes = completion(protocol, &id, answer);
        return Ok(([(CONTENT_TYPE.as_str(), OCTETS), (PROTOCOL, protocol.name())], bytes).into_response());
    }
    let result = answer_to_json(protocol, answer).map_err(ApiError::client_error)?;
    Ok(([(CONTENT_TYPE, JSON)], format!("{{\"result\":{result}}}")).into_response())
}

/// Whether a caller accepts a completion, and would not rather have JSON.
fn wants_completion(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut types = accepted.flat_map(|value| value.split(','));
    types
        .find(|kind| [OCTETS, JSON, "*/*"].iter().any(|known| is_media_type(kind, known)))
        .is_some_and(|kind| is_media_type(kind, OCTETS))
}

fn completion(protocol: HubProtocol, id: &str, outcome: Answer) -> Vec<u8> {
    let message = HubMessage::Completion { headers: Vec::new(), invocation_id: id.into(), outcome };
    let mut bytes = Vec::new();
    match protocol {
        HubProtocol::Json => json::write(&mut bytes, &message),
        HubProtocol::MessagePack => msgpack::write(&mut bytes, &message),
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_completion_is_for_those_who_ask_for_it() {
        let headers = |text: &'static str| HeaderMap::from_iter([(ACCEPT, text.parse().unwrap())]);
        for text in [
            "application/octet-stream",
            "Application/Octet-Stream; q=1",
            "text/html, application/octet-stream, */*",
        ] {
            assert!(wants_completion(&headers(text)), "{text}");
        }
        for text in
            ["", "*/*", "application/json", "application/json, application/octet-stream", "text/plain"]
        {
            assert!(!wants_completion(&headers(text)), "{text}");
        }
        assert!(!wants_completion(&HeaderMap::new()));
    }
}
