//! Encoded messages: for one client, and for clients of either protocol.

use axum::{body::Bytes, extract::ws::Utf8Bytes};

use crate::core::{HubProtocol, json, message::HubMessage, msgpack};

/// Encoded messages for one client, in what its protocol is carried in.
#[derive(Debug, Clone)]
pub(crate) enum Frame {
    Text(Utf8Bytes),
    Binary(Bytes),
}

impl Frame {
    /// Of messages that are encoded already.
    pub(crate) fn new(protocol: HubProtocol, bytes: Vec<u8>) -> Self {
        match protocol {
            HubProtocol::Json => Self::Text(text(bytes)),
            HubProtocol::MessagePack => Self::Binary(bytes.into()),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }
}

/// The JSON codec writes UTF-8 only; it is a matter of types.
fn text(bytes: Vec<u8>) -> Utf8Bytes {
    String::from_utf8(bytes).unwrap_or_default().into()
}

impl From<Frame> for Bytes {
    fn from(frame: Frame) -> Self {
        match frame {
            Frame::Text(text) => text.into(),
            Frame::Binary(bytes) => bytes,
        }
    }
}

/// A message in every protocol, encoded once for all its receivers. Clients of a protocol in which it is empty get
/// nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Message {
    json: Utf8Bytes,
    msgpack: Bytes,
}

impl Message {
    /// Encodes the same message twice: with payloads in JSON, and with the same ones in MessagePack.
    pub(crate) fn new(json: &HubMessage<'_, &str>, msgpack: &HubMessage<'_, Vec<u8>>) -> Self {
        let (mut text, mut bytes) = (Vec::new(), Vec::new());
        json::write(&mut text, json);
        msgpack::write(&mut bytes, msgpack);
        Self::from_encoded(self::text(text), bytes.into())
    }

    /// What is encoded already.
    pub(crate) fn from_encoded(json: Utf8Bytes, msgpack: Bytes) -> Self {
        Self { json, msgpack }
    }

    /// The message for a client, if there is one for it.
    pub(crate) fn frame(&self, protocol: HubProtocol) -> Option<Frame> {
        let frame = match protocol {
            HubProtocol::Json => Frame::Text(self.json.clone()),
            HubProtocol::MessagePack => Frame::Binary(self.msgpack.clone()),
        };
        (frame.len() > 0).then_some(frame)
    }
}
