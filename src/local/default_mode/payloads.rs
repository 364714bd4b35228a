//! What app servers send to clients: a payload for each protocol.

use axum::{body::Bytes, extract::ws::Utf8Bytes};

use crate::{
    core::{json, msgpack, service_protocol::Payloads},
    server::message::Message,
};

/// What Blazor calls MessagePack of its own. It is framed alike, and a hub of Blazor's has no other protocol.
pub(super) const BLAZORPACK: &str = "blazorpack";

/// A message with the payload of each protocol. What is not there, or not a text in JSON, nobody gets.
pub(super) fn message(payloads: &Payloads<'_>) -> Message {
    let bytes = |name: &str| {
        let payload = payloads.iter().find(|(protocol, _)| protocol == name);
        payload.map(|(_, bytes)| Bytes::copy_from_slice(bytes))
    };
    let text = bytes(json::NAME).and_then(|bytes| Utf8Bytes::try_from(bytes).ok());
    let binary = bytes(msgpack::NAME).or_else(|| bytes(BLAZORPACK));
    Message::from_encoded(text.unwrap_or_default(), binary.unwrap_or_default())
}
