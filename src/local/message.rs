//! Messages of the REST API's callers, for clients of either protocol.

use axum::{body::Bytes, extract::ws::Utf8Bytes};

use crate::{
    core::{
        HubProtocol, ProtocolError,
        framing::BinaryFraming,
        json,
        message::{HubMessage, Outcome},
        msgpack,
    },
    local::transcode,
    server::{calls::Answer, message::Message},
};

/// Encodes a message with JSON payloads.
pub(super) fn from_json(message: &HubMessage<'_, &str>) -> Result<Message, serde_json::Error> {
    let mut failure = None;
    let transcoded = message.clone().map(|payload| {
        transcode::to_msgpack(payload).unwrap_or_else(|error| {
            failure = Some(error);
            Vec::new()
        })
    });
    failure.map_or_else(|| Ok(Message::new(message, &transcoded)), Err)
}

/// What a caller has encoded itself; each one is a whole invocation.
pub(super) fn from_encoded(json: Option<&[u8]>, msgpack: Option<&[u8]>) -> Result<Message, String> {
    let (mut text, mut bytes) = (Utf8Bytes::default(), Bytes::new());
    if let Some(json) = json {
        let json = std::str::from_utf8(json).map_err(|_| "the JSON message is not UTF-8")?;
        let is_call = |record| matches!(json::parse(record), Ok(Some(HubMessage::Invocation(_))));
        if !json.strip_suffix('\u{1e}').is_some_and(is_call) {
            return Err("the JSON message is no invocation".to_owned());
        }
        text = json.to_owned().into();
    }
    if let Some(msgpack) = msgpack {
        let (mut framing, mut calls, mut others) = (BinaryFraming::new(msgpack.len()), 0, 0);
        let read = framing.feed(msgpack, |message| {
            match msgpack::parse(message)? {
                Some(HubMessage::Invocation(_)) => calls += 1,
                _ => others += 1,
            }
            Ok(())
        });
        if read.and_then(|()| framing.finish()).is_err() || (calls, others) != (1, 0) {
            return Err("the MessagePack message is no invocation".to_owned());
        }
        bytes = Bytes::copy_from_slice(msgpack);
    }
    Ok(Message::from_encoded(text, bytes))
}

/// The JSON of what a client answers, or the text of its error.
pub(super) fn answer_to_json(protocol: HubProtocol, answer: Answer) -> Result<String, String> {
    match answer {
        Outcome::Value(value) => payload_to_json(protocol, &value)
            .map_err(|error| format!("The client's result cannot be written as JSON: {error}.")),
        Outcome::Void => Ok("null".to_owned()),
        Outcome::Error(error) => Err(error.into_owned()),
    }
}

fn payload_to_json(protocol: HubProtocol, payload: &[u8]) -> Result<String, ProtocolError> {
    match protocol {
        // The codec has seen that it is JSON.
        HubProtocol::Json => Ok(String::from_utf8_lossy(payload).into_owned()),
        HubProtocol::MessagePack => transcode::to_json(payload),
    }
}
