//! Encoded messages: for one client, and for clients of either protocol.

use std::sync::{Arc, OnceLock};

use axum::{body::Bytes, extract::ws::Utf8Bytes};

use crate::core::{
    HubProtocol,
    codec::{self, Payload, RawDecoder},
    json,
    message::{HubMessage, Invocation},
    msgpack,
};

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

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes().len()
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
    /// The method that it calls, once somebody has asked.
    target: OnceLock<Option<Arc<str>>>,
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
        Self { json, msgpack, target: OnceLock::new() }
    }

    /// The message for a client, if there is one for it.
    pub(crate) fn frame(&self, protocol: HubProtocol) -> Option<Frame> {
        let frame = match protocol {
            HubProtocol::Json => Frame::Text(self.json.clone()),
            HubProtocol::MessagePack => Frame::Binary(self.msgpack.clone()),
        };
        (frame.len() > 0).then_some(frame)
    }

    /// The method of the clients that it calls, if it is a call.
    pub(crate) fn target(&self) -> Option<&Arc<str>> {
        self.target.get_or_init(|| self.read(|call| call.target.as_ref().into())).as_ref()
    }

    /// Looks into it, if it is a call.
    pub(crate) fn read<R>(&self, look: impl FnOnce(&Invocation<'_, Payload<'_>>) -> R) -> Option<R> {
        let (protocol, frame) = if self.json.is_empty() {
            (HubProtocol::MessagePack, codec::Frame::Binary(&self.msgpack))
        } else {
            (HubProtocol::Json, codec::Frame::Text(&self.json))
        };
        let mut spare = Vec::new();
        let mut messages = RawDecoder::new(protocol, usize::MAX).decode(frame, 0, &mut spare).ok()?;
        match messages.next()?.ok()? {
            HubMessage::Invocation(call) => Some(look(&call)),
            _ => None,
        }
    }
}
