//! The hub protocols of clients, and messages for clients of either.

use axum::{body::Bytes, extract::ws::Utf8Bytes};

use crate::{
    core::{
        ProtocolError,
        framing::{BinaryFraming, TextFraming},
        json,
        message::HubMessage,
        msgpack,
    },
    local::transcode,
};

/// The hub protocol of one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Json,
    MessagePack,
}

impl Protocol {
    /// The protocol that a handshake names.
    pub(super) fn by_name(name: &str) -> Option<Self> {
        match name {
            json::NAME => Some(Self::Json),
            msgpack::NAME => Some(Self::MessagePack),
            _ => None,
        }
    }

    /// Writes a message whose payloads are in this protocol already.
    pub(super) fn write<P: AsRef<[u8]>>(self, out: &mut Vec<u8>, message: &HubMessage<'_, P>) {
        match self {
            Self::Json => json::write(out, message),
            Self::MessagePack => msgpack::write(out, message),
        }
    }

    /// One message whose payloads are in this protocol already.
    pub(super) fn encode<P: AsRef<[u8]>>(self, message: &HubMessage<'_, P>) -> Frame {
        let mut out = Vec::new();
        self.write(&mut out, message);
        self.frame(out)
    }

    /// Encoded messages.
    pub(super) fn frame(self, bytes: Vec<u8>) -> Frame {
        match self {
            Self::Json => Frame::Text(text(bytes)),
            Self::MessagePack => Frame::Binary(bytes.into()),
        }
    }

    /// The JSON of a payload in this protocol.
    pub(super) fn to_json(self, payload: &[u8]) -> Result<String, ProtocolError> {
        match self {
            // The codec has seen that it is JSON.
            Self::Json => Ok(String::from_utf8_lossy(payload).into_owned()),
            Self::MessagePack => transcode::to_json(payload),
        }
    }
}

/// The JSON codec writes UTF-8 only; it is a matter of types.
fn text(bytes: Vec<u8>) -> Utf8Bytes {
    String::from_utf8(bytes).unwrap_or_default().into()
}

/// Encoded messages for one client, in what its protocol is carried in.
#[derive(Debug, Clone)]
pub(super) enum Frame {
    Text(Utf8Bytes),
    Binary(Bytes),
}

impl Frame {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }
}

impl From<Frame> for Bytes {
    fn from(frame: Frame) -> Self {
        match frame {
            Frame::Text(text) => text.into(),
            Frame::Binary(bytes) => bytes,
        }
    }
}

/// A message in every protocol. Clients of a protocol in which it is empty get nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct Message {
    json: Utf8Bytes,
    msgpack: Bytes,
}

impl Message {
    /// Encodes a message with JSON payloads.
    pub(super) fn new(message: &HubMessage<'_, &str>) -> Result<Self, serde_json::Error> {
        let mut failure = None;
        let transcoded = message.clone().map(|payload| {
            transcode::to_msgpack(payload).unwrap_or_else(|error| {
                failure = Some(error);
                Vec::new()
            })
        });
        if let Some(error) = failure {
            return Err(error);
        }
        let (mut json, mut msgpack) = (Vec::new(), Vec::new());
        json::write(&mut json, message);
        msgpack::write(&mut msgpack, &transcoded);
        Ok(Self { json: text(json), msgpack: msgpack.into() })
    }

    /// What a sender has encoded itself; each one is a whole invocation.
    pub(super) fn from_encoded(json: Option<&[u8]>, msgpack: Option<&[u8]>) -> Result<Self, String> {
        let mut message = Self::default();
        if let Some(bytes) = json {
            let text = std::str::from_utf8(bytes).map_err(|_| "the JSON message is not UTF-8")?;
            let is_call = |record| matches!(json::parse(record), Ok(Some(HubMessage::Invocation(_))));
            if !text.strip_suffix('\u{1e}').is_some_and(is_call) {
                return Err("the JSON message is no invocation".to_owned());
            }
            message.json = text.to_owned().into();
        }
        if let Some(bytes) = msgpack {
            let (mut framing, mut calls, mut others) = (BinaryFraming::new(bytes.len()), 0, 0);
            let read = framing.feed(bytes, |message| {
                match msgpack::parse(message)? {
                    Some(HubMessage::Invocation(_)) => calls += 1,
                    _ => others += 1,
                }
                Ok(())
            });
            if read.and_then(|()| framing.finish()).is_err() || (calls, others) != (1, 0) {
                return Err("the MessagePack message is no invocation".to_owned());
            }
            message.msgpack = Bytes::copy_from_slice(bytes);
        }
        Ok(message)
    }

    /// A Close message.
    pub(super) fn close(error: Option<&str>, allow_reconnect: bool) -> Self {
        let message: HubMessage<'_, &str> =
            HubMessage::Close { error: error.map(Into::into), allow_reconnect };
        // Without a payload, there is nothing that could not be transcoded.
        Self::new(&message).unwrap_or_default()
    }

    /// The message for a client, if there is one for it.
    pub(super) fn frame(&self, protocol: Protocol) -> Option<Frame> {
        let frame = match protocol {
            Protocol::Json => Frame::Text(self.json.clone()),
            Protocol::MessagePack => Frame::Binary(self.msgpack.clone()),
        };
        (frame.len() > 0).then_some(frame)
    }
}

/// Cuts what a client sends into messages of its protocol.
#[derive(Debug)]
pub(super) enum Framing {
    Json(TextFraming),
    MessagePack(BinaryFraming),
}

impl Framing {
    pub(super) fn new(protocol: Protocol, limit: usize) -> Self {
        match protocol {
            Protocol::Json => Self::Json(TextFraming::new(limit)),
            Protocol::MessagePack => Self::MessagePack(BinaryFraming::new(limit)),
        }
    }

    /// Takes a chunk and hands on each message that it ends.
    pub(super) fn feed(&mut self, chunk: &[u8], inbox: &mut impl Inbox) -> Result<(), ProtocolError> {
        match self {
            Self::Json(framing) => framing.feed(chunk, |record| {
                json::parse(record)?.into_iter().for_each(|message| inbox.take(message));
                Ok(())
            }),
            Self::MessagePack(framing) => framing.feed(chunk, |message| {
                msgpack::parse(message)?.into_iter().for_each(|message| inbox.take(message));
                Ok(())
            }),
        }
    }
}

/// Takes the messages of one client, whose payloads are in its protocol.
pub(super) trait Inbox {
    fn take<P: AsRef<[u8]> + Clone>(&mut self, message: HubMessage<'_, P>);
}
