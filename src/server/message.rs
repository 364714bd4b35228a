//! Encoded messages: for one client, and for clients of either protocol.

use axum::{body::Bytes, extract::ws::Utf8Bytes};

use crate::core::{
    HubProtocol, ProtocolError,
    framing::{BinaryFraming, TextFraming},
    json,
    message::HubMessage,
    msgpack,
};

/// Writes a message whose payloads are in this protocol already.
pub(crate) fn write<P: AsRef<[u8]>>(protocol: HubProtocol, out: &mut Vec<u8>, message: &HubMessage<'_, P>) {
    match protocol {
        HubProtocol::Json => json::write(out, message),
        HubProtocol::MessagePack => msgpack::write(out, message),
    }
}

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

    /// Of one message whose payloads are in this protocol already.
    pub(crate) fn encode<P: AsRef<[u8]>>(protocol: HubProtocol, message: &HubMessage<'_, P>) -> Self {
        let mut out = Vec::new();
        write(protocol, &mut out, message);
        Self::new(protocol, out)
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

    /// A Close message.
    pub(crate) fn close(error: Option<&str>, allow_reconnect: bool) -> Self {
        let message: HubMessage<'_, &str> =
            HubMessage::Close { error: error.map(Into::into), allow_reconnect };
        Self::new(&message, &message.clone().map(|_| Vec::new()))
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

/// Cuts what a client sends into messages of its protocol.
#[derive(Debug)]
pub(crate) enum Framing {
    Json(TextFraming),
    MessagePack(BinaryFraming),
}

impl Framing {
    pub(crate) fn new(protocol: HubProtocol, limit: usize) -> Self {
        match protocol {
            HubProtocol::Json => Self::Json(TextFraming::new(limit)),
            HubProtocol::MessagePack => Self::MessagePack(BinaryFraming::new(limit)),
        }
    }

    /// Takes a chunk and hands on each message that it ends.
    pub(crate) fn feed(&mut self, chunk: &[u8], inbox: &mut impl Inbox) -> Result<(), ProtocolError> {
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
pub(crate) trait Inbox {
    fn take<P: AsRef<[u8]> + Clone>(&mut self, message: HubMessage<'_, P>);
}
