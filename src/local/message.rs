//! Messages of the REST API's callers, for clients of either protocol.

use std::borrow::Cow;

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

const SEPARATOR: char = '\u{1e}';

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

/// What a message that a caller has encoded itself has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Invocation,
    StreamItem,
}

/// A message that a caller has encoded itself, whole, for one protocol or both.
#[derive(Debug)]
pub(super) struct Encoded {
    /// With its separator.
    json: Option<String>,
    /// With its length.
    msgpack: Option<Vec<u8>>,
}

impl Encoded {
    /// Takes the messages. An invocation without arguments gets an empty list of them: clients of .NET would end the
    /// connection.
    pub(super) fn new(json: Option<&[u8]>, msgpack: Option<&[u8]>, kind: Kind) -> Result<Self, String> {
        let json = json.map(|json| whole_json(json, kind)).transpose()?;
        let msgpack = msgpack.map(|msgpack| whole_msgpack(msgpack, kind)).transpose()?;
        Ok(Self { json, msgpack })
    }

    pub(super) fn len(&self) -> usize {
        self.json.as_ref().map_or(0, String::len).max(self.msgpack.as_ref().map_or(0, Vec::len))
    }

    /// Whether it has a message for clients of this protocol.
    pub(super) fn is_for(&self, protocol: HubProtocol) -> bool {
        match protocol {
            HubProtocol::Json => self.json.is_some(),
            HubProtocol::MessagePack => self.msgpack.is_some(),
        }
    }

    pub(super) fn message(&self) -> Message {
        let json = self.json.clone().unwrap_or_default();
        Message::from_encoded(json.into(), self.msgpack.clone().unwrap_or_default().into())
    }

    /// The invocation that it is, with this id in the place of its own.
    pub(super) fn call(&self, id: &str) -> Message {
        let (mut text, mut bytes) = (Vec::new(), Vec::new());
        if let Some(record) = self.record()
            && let Ok(Some(HubMessage::Invocation(mut call))) = json::parse(record)
        {
            call.invocation_id = Some(id.into());
            json::write(&mut text, &HubMessage::Invocation(call));
        }
        if let Some(Ok(Some(HubMessage::Invocation(mut call)))) = self.body().map(msgpack::parse) {
            call.invocation_id = Some(id.into());
            msgpack::write(&mut bytes, &HubMessage::Invocation(call));
        }
        Message::from_encoded(String::from_utf8(text).unwrap_or_default().into(), bytes.into())
    }

    /// The invocation id that the caller has given it.
    pub(super) fn id(&self) -> Option<String> {
        let json = self.record().and_then(|record| id_of(json::parse(record).ok()??));
        json.or_else(|| id_of(msgpack::parse(self.body()?).ok()??))
    }

    fn record(&self) -> Option<&str> {
        self.json.as_deref()?.strip_suffix(SEPARATOR)
    }

    /// The MessagePack message without its length.
    fn body(&self) -> Option<&[u8]> {
        let bytes = self.msgpack.as_deref()?;
        let start = bytes.iter().position(|byte| byte & 0x80 == 0)? + 1;
        bytes.get(start..)
    }
}

fn id_of<P>(message: HubMessage<'_, P>) -> Option<String> {
    match message {
        HubMessage::Invocation(call) => call.invocation_id.map(Cow::into_owned),
        _ => None,
    }
}

fn whole_json(json: &[u8], kind: Kind) -> Result<String, String> {
    let text = std::str::from_utf8(json).map_err(|_| "the JSON message is not UTF-8")?;
    let read = text.strip_suffix(SEPARATOR).map(json::parse);
    match (kind, read) {
        (Kind::Invocation, Some(Ok(Some(HubMessage::Invocation(call))))) if call.arguments == "[]" => {
            let mut text = Vec::new();
            json::write(&mut text, &HubMessage::Invocation(call));
            String::from_utf8(text).map_err(|error| error.to_string())
        }
        (Kind::Invocation, Some(Ok(Some(HubMessage::Invocation(_)))))
        | (Kind::StreamItem, Some(Ok(Some(HubMessage::StreamItem { .. })))) => Ok(text.to_owned()),
        _ => Err(format!("the JSON message is not {}", kind.name())),
    }
}

fn whole_msgpack(msgpack: &[u8], kind: Kind) -> Result<Vec<u8>, String> {
    let invalid = || format!("the MessagePack message is not {}", kind.name());
    let (mut framing, mut whole) = (BinaryFraming::new(msgpack.len()), Vec::new());
    let read = framing.feed(msgpack, |message| {
        // One is enough to know that there are too many.
        let message = if whole.is_empty() { with_arguments(message)? } else { message.into() };
        match (kind, msgpack::parse(&message)?) {
            (Kind::Invocation, Some(HubMessage::Invocation(call))) => {
                whole.push(if call.arguments == b"\x90" {
                    let mut bytes = Vec::new();
                    msgpack::write(&mut bytes, &HubMessage::Invocation(call));
                    bytes
                } else {
                    msgpack.to_owned()
                });
            }
            (Kind::StreamItem, Some(HubMessage::StreamItem { .. })) => whole.push(msgpack.to_owned()),
            _ => return Err(ProtocolError::Message("it is of another type")),
        }
        Ok(())
    });
    match (read.and_then(|()| framing.finish()), whole.pop()) {
        (Ok(()), Some(bytes)) if whole.is_empty() => Ok(bytes),
        _ => Err(invalid()),
    }
}

/// An invocation that ends behind its target, with arguments; other messages as they are.
fn with_arguments(message: &[u8]) -> Result<Cow<'_, [u8]>, ProtocolError> {
    let mut reader = msgpack::reader::Reader::new(message);
    if reader.array()? != 4 || reader.clone().integer()? != 1 {
        return Ok(message.into());
    }
    let mut all = Vec::with_capacity(message.len() + 1);
    msgpack::write_array(&mut all, 5);
    for _ in 0..4 {
        all.extend_from_slice(reader.value()?);
    }
    reader.end()?;
    msgpack::write_array(&mut all, 0);
    Ok(all.into())
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Invocation => "an invocation",
            Self::StreamItem => "an item of a stream",
        }
    }
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
