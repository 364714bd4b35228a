//! Hub protocols as the machines see them: something that turns messages into frames, and frames into messages.
//!
//! The machines of both ends write through a [`Codec`] and so know no encoding. [`RawCodec`] is the one for Rust, whose
//! payloads are slices of the message. Another may keep payloads, and what is to be sent, wherever it likes: in
//! JavaScript, or shared between the connections of a server.

use std::borrow::Cow;

#[cfg(feature = "msgpack")]
use crate::core::framing::BinaryFraming;
use crate::core::framing::{self, TextFraming};
use crate::core::message::HubMessage;
#[cfg(feature = "msgpack")]
use crate::core::msgpack;
use crate::core::negotiate::TransferFormat;
use crate::core::{HubProtocol, ProtocolError, json};

/// Encodes and decodes the messages of one hub protocol.
pub trait Codec {
    /// What arguments, items and results are while they pass through.
    type Payload<'a>;
    /// Messages on their way to the transport, or kept until they are acknowledged.
    type Out: Default;
    /// What a transport brings.
    type Frame<'f>;
    /// Keeps what one transport has brought of a message that is not whole yet.
    type Decoder;
    /// The messages of one frame. It ends after the first error.
    type Messages<'f>: Iterator<Item = Result<HubMessage<'f, Self::Payload<'f>>, ProtocolError>>;

    /// Whether calls and items are told their ids. Payloads that are whole messages know them.
    const NEEDS_IDS: bool = true;

    /// The name of the protocol in the handshake.
    fn name(&self) -> &str;

    /// What a transport has to carry.
    fn format(&self) -> TransferFormat;

    /// Appends a message to what is on its way.
    fn write(&self, out: &mut Self::Out, message: &HubMessage<'_, Self::Payload<'_>>);

    /// Appends messages that were written before.
    fn append(out: &mut Self::Out, more: &Self::Out);

    /// Takes all of it. What follows may be of about the same size.
    fn take(out: &mut Self::Out) -> Self::Out {
        std::mem::take(out)
    }

    /// Roughly how many bytes there are; 0 for none at all.
    fn size(out: &Self::Out) -> usize;

    /// For a new transport. `limit` is for one message, in bytes.
    fn decoder(&self, limit: usize) -> Self::Decoder;

    /// The bytes of a frame, for the handshake, which is JSON text in every protocol.
    fn bytes<'s>(frame: &'s Self::Frame<'_>) -> Cow<'s, [u8]>;

    /// Reads a frame without its first `skip` bytes, which were the handshake. `spare` holds a message that began in
    /// an earlier frame.
    ///
    /// # Errors
    /// [`ProtocolError::WrongKind`] if it is not of the protocol's kind. JSON may come in either kind of frame.
    fn decode<'f>(
        decoder: &mut Self::Decoder,
        frame: Self::Frame<'f>,
        skip: usize,
        spare: &'f mut Vec<u8>,
    ) -> Result<Self::Messages<'f>, ProtocolError>;
}

/// Arguments, an item or a result as they are in a message, not looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload<'a> {
    /// JSON text.
    Json(&'a str),
    /// MessagePack.
    #[cfg(feature = "msgpack")]
    MessagePack(&'a [u8]),
}

impl<'a> Payload<'a> {
    /// What a serializer of this protocol wrote.
    #[must_use]
    pub fn new(protocol: HubProtocol, bytes: &'a [u8]) -> Self {
        match protocol {
            // JSON is text, so nothing is replaced here.
            HubProtocol::Json => Self::Json(std::str::from_utf8(bytes).unwrap_or("null")),
            #[cfg(feature = "msgpack")]
            HubProtocol::MessagePack => Self::MessagePack(bytes),
        }
    }

    /// Stands for the value of a call without a result.
    #[must_use]
    pub fn null(protocol: HubProtocol) -> Self {
        match protocol {
            HubProtocol::Json => Self::Json("null"),
            #[cfg(feature = "msgpack")]
            HubProtocol::MessagePack => Self::MessagePack(b"\xc0"),
        }
    }

    /// The protocol that it is written in.
    #[must_use]
    pub fn protocol(self) -> HubProtocol {
        match self {
            Self::Json(_) => HubProtocol::Json,
            #[cfg(feature = "msgpack")]
            Self::MessagePack(_) => HubProtocol::MessagePack,
        }
    }
}

impl AsRef<[u8]> for Payload<'_> {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Json(json) => json.as_bytes(),
            #[cfg(feature = "msgpack")]
            Self::MessagePack(bytes) => bytes,
        }
    }
}

/// One frame of a transport: a WebSocket message, an event of an event stream, the answer to a poll, a POST. What a
/// transport does not tell is of the kind that the protocol needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'f> {
    /// A frame of text.
    Text(&'f str),
    /// A frame of bytes.
    Binary(&'f [u8]),
}

impl<'f> Frame<'f> {
    /// What is in it.
    #[must_use]
    pub fn bytes(self) -> &'f [u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

/// How much memory [`RawCodec`] takes in advance for what is written next, in bytes.
const MOST_KEPT: usize = 32 * 1024;

/// The hub protocols for Rust: payloads are slices of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RawCodec(pub HubProtocol);

/// What [`RawCodec`] keeps of a transport.
#[derive(Debug)]
pub enum RawDecoder {
    /// For JSON.
    Text(TextFraming),
    /// For MessagePack.
    #[cfg(feature = "msgpack")]
    Binary(BinaryFraming),
}

/// The messages of one frame, for [`RawCodec`].
#[derive(Debug)]
pub enum RawMessages<'f> {
    /// In JSON.
    Text(framing::Records<'f>),
    /// In MessagePack.
    #[cfg(feature = "msgpack")]
    Binary(framing::Messages<'f>),
}

impl RawDecoder {
    /// For a new transport. `limit` is for one message, in bytes.
    #[must_use]
    pub fn new(protocol: HubProtocol, limit: usize) -> Self {
        match protocol {
            HubProtocol::Json => Self::Text(TextFraming::new(limit)),
            #[cfg(feature = "msgpack")]
            HubProtocol::MessagePack => Self::Binary(BinaryFraming::new(limit)),
        }
    }

    /// As [`Codec::decode`].
    ///
    /// # Errors
    /// [`ProtocolError::WrongKind`] for a frame of text where the protocol needs bytes, or of bytes that are not JSON where
    /// it needs JSON.
    pub fn decode<'f>(
        &mut self,
        frame: Frame<'f>,
        skip: usize,
        spare: &'f mut Vec<u8>,
    ) -> Result<RawMessages<'f>, ProtocolError> {
        // An empty frame is a sign of life, of whatever kind. The handshake is text in every protocol, so what follows
        // it in the same frame is as well.
        match (self, frame) {
            (Self::Text(framing), Frame::Text(text)) => {
                Ok(RawMessages::Text(framing.take(text.get(skip..).unwrap_or_default(), spare)))
            }
            // JSON in frames of bytes is read as any other, as .NET's client and server do: some peers send it so. What
            // does not begin as JSON does is another protocol, whose end need not be waited for.
            (Self::Text(framing), Frame::Binary(bytes)) => {
                let rest = bytes.get(skip..).unwrap_or_default();
                let begins = framing.finish().is_ok();
                if begins && rest.first().is_some_and(|byte| !b"{ \t\r\n\x1e".contains(byte)) {
                    return Err(ProtocolError::WrongKind("binary"));
                }
                Ok(RawMessages::Text(framing.take(rest, spare)))
            }
            #[cfg(feature = "msgpack")]
            (Self::Binary(_), Frame::Text(text)) if skip == 0 && !text.is_empty() => {
                Err(ProtocolError::WrongKind("text"))
            }
            #[cfg(feature = "msgpack")]
            (Self::Binary(framing), frame) => {
                Ok(RawMessages::Binary(framing.take(frame.bytes().get(skip..).unwrap_or_default(), spare)))
            }
        }
    }
}

impl<'f> Iterator for RawMessages<'f> {
    type Item = Result<HubMessage<'f, Payload<'f>>, ProtocolError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            // Messages of unknown types are skipped.
            let message = match self {
                Self::Text(records) => {
                    records.next()?.and_then(json::parse).map(|message| message.map(|m| m.map(Payload::Json)))
                }
                #[cfg(feature = "msgpack")]
                Self::Binary(messages) => messages
                    .next()?
                    .and_then(msgpack::parse)
                    .map(|message| message.map(|m| m.map(Payload::MessagePack))),
            };
            if let Some(message) = message.transpose() {
                return Some(message);
            }
        }
    }
}

impl HubProtocol {
    /// Appends a message whose payloads are in this protocol.
    pub fn write<P: AsRef<[u8]>>(self, out: &mut Vec<u8>, message: &HubMessage<'_, P>) {
        match self {
            Self::Json => json::write(out, message),
            #[cfg(feature = "msgpack")]
            Self::MessagePack => msgpack::write(out, message),
        }
    }
}

impl Codec for RawCodec {
    type Payload<'a> = Payload<'a>;
    type Out = Vec<u8>;
    type Frame<'f> = Frame<'f>;
    type Decoder = RawDecoder;
    type Messages<'f> = RawMessages<'f>;

    fn name(&self) -> &str {
        self.0.name()
    }

    fn format(&self) -> TransferFormat {
        self.0.format()
    }

    fn write(&self, out: &mut Vec<u8>, message: &HubMessage<'_, Payload<'_>>) {
        self.0.write(out, message);
    }

    fn append(out: &mut Vec<u8>, more: &Vec<u8>) {
        out.extend_from_slice(more);
    }

    fn take(out: &mut Vec<u8>) -> Vec<u8> {
        let next = Vec::with_capacity(out.len().min(MOST_KEPT));
        std::mem::replace(out, next)
    }

    fn size(out: &Vec<u8>) -> usize {
        out.len()
    }

    fn decoder(&self, limit: usize) -> RawDecoder {
        RawDecoder::new(self.0, limit)
    }

    fn bytes<'s>(frame: &'s Frame<'_>) -> Cow<'s, [u8]> {
        frame.bytes().into()
    }

    fn decode<'f>(
        decoder: &mut RawDecoder,
        frame: Frame<'f>,
        skip: usize,
        spare: &'f mut Vec<u8>,
    ) -> Result<RawMessages<'f>, ProtocolError> {
        decoder.decode(frame, skip, spare)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(protocol: HubProtocol, frames: &[(Frame<'_>, usize)]) -> Result<usize, ProtocolError> {
        let mut decoder = RawDecoder::new(protocol, 1000);
        let mut count = 0;
        for (frame, skip) in frames {
            for message in decoder.decode(*frame, *skip, &mut Vec::new())? {
                message?;
                count += 1;
            }
        }
        Ok(count)
    }

    #[test]
    fn json_comes_in_either_kind_of_frame() {
        let message = "{\"type\":1,\"target\":\"\u{fc}\",\"arguments\":[]}\u{1e}";
        let bytes = message.as_bytes();
        for cut in 0..bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            let frames = [(Frame::Binary(head), 0), (Frame::Binary(tail), 0), (Frame::Text(message), 0)];
            assert_eq!(read(HubProtocol::Json, &frames), Ok(2), "{cut}");
        }
        let frame = [b"{}\x1e", bytes].concat();
        assert_eq!(read(HubProtocol::Json, &[(Frame::Binary(&frame), 3)]), Ok(1));
        for other in [&b"\x02\x91\x06"[..], b"\x91\x06", b"\xff"] {
            let refused = read(HubProtocol::Json, &[(Frame::Binary(other), 0)]);
            assert_eq!(refused, Err(ProtocolError::WrongKind("binary")));
        }
        let refused = read(HubProtocol::Json, &[(Frame::Binary(b"{\"\xff\"}\x1e"), 0)]);
        assert!(matches!(refused, Err(ProtocolError::Json { .. })), "{refused:?}");
    }

    #[cfg(feature = "msgpack")]
    #[test]
    fn message_pack_comes_in_binary_frames_only() {
        let protocol = HubProtocol::MessagePack;
        assert_eq!(read(protocol, &[(Frame::Binary(b"\x02\x91\x06"), 0), (Frame::Text(""), 0)]), Ok(1));
        assert_eq!(read(protocol, &[(Frame::Text("\u{2}x"), 0)]), Err(ProtocolError::WrongKind("text")));
    }
}
