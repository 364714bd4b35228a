//! The hub protocols for a server, whose clients share the messages that many of them get.

use std::borrow::Cow;

use crate::{
    core::{
        HubProtocol, ProtocolError,
        codec::{Codec, Payload, RawDecoder, RawMessages},
        message::HubMessage,
        negotiate::TransferFormat,
    },
    server::message::Frame,
};

/// One of the hub protocols. What is encoded for many clients is not copied for each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SharedCodec(pub(crate) HubProtocol);

/// Messages on their way to one client.
#[derive(Debug, Default)]
pub(crate) struct Out {
    chunks: Vec<Chunk>,
    size: usize,
}

#[derive(Debug)]
enum Chunk {
    /// Messages of this client's own.
    Own(Vec<u8>),
    /// Messages that others may get, too.
    Shared(Frame),
}

impl Out {
    /// Writes to the client's own messages at the end.
    fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if let Some(Chunk::Own(own)) = self.chunks.last_mut() {
            let before = own.len();
            write(own);
            self.size += own.len() - before;
        } else {
            let mut own = Vec::new();
            write(&mut own);
            self.size += own.len();
            self.chunks.push(Chunk::Own(own));
        }
    }

    /// The messages, each shared one in a frame of its own.
    pub(crate) fn into_frames(self, protocol: HubProtocol) -> Vec<Frame> {
        let frames = self.chunks.into_iter().map(|chunk| match chunk {
            Chunk::Own(bytes) => Frame::new(protocol, bytes),
            Chunk::Shared(frame) => frame,
        });
        frames.collect()
    }
}

impl From<Frame> for Out {
    fn from(frame: Frame) -> Self {
        Self { size: frame.len(), chunks: vec![Chunk::Shared(frame)] }
    }
}

impl Codec for SharedCodec {
    type Payload<'a> = Payload<'a>;
    type Out = Out;
    type Frame<'f> = &'f Frame;
    type Decoder = RawDecoder;
    type Messages<'f> = RawMessages<'f>;

    fn name(&self) -> &str {
        self.0.name()
    }

    fn format(&self) -> TransferFormat {
        self.0.format()
    }

    fn write(&self, out: &mut Out, message: &HubMessage<'_, Payload<'_>>) {
        out.write(|own| self.0.write(own, message));
    }

    fn append(out: &mut Out, more: &Out) {
        for chunk in &more.chunks {
            match chunk {
                Chunk::Own(bytes) => out.write(|own| own.extend_from_slice(bytes)),
                Chunk::Shared(frame) => {
                    out.size += frame.len();
                    out.chunks.push(Chunk::Shared(frame.clone()));
                }
            }
        }
    }

    fn size(out: &Out) -> usize {
        out.size
    }

    fn decoder(&self, limit: usize) -> RawDecoder {
        RawDecoder::new(self.0, limit)
    }

    fn bytes<'s>(frame: &'s &Frame) -> Cow<'s, [u8]> {
        frame.bytes().into()
    }

    fn decode<'f>(
        decoder: &mut RawDecoder,
        frame: &'f Frame,
        skip: usize,
        spare: &'f mut Vec<u8>,
    ) -> Result<RawMessages<'f>, ProtocolError> {
        // Like ASP.NET Core, this server does not look at the kind of a frame.
        Ok(match (decoder, frame) {
            (RawDecoder::Text(framing), Frame::Text(text)) => {
                RawMessages::Text(framing.take(text.as_str().get(skip..).unwrap_or_default(), spare))
            }
            (RawDecoder::Text(framing), Frame::Binary(bytes)) => {
                RawMessages::Text(framing.take(bytes.get(skip..).unwrap_or_default(), spare))
            }
            (RawDecoder::Binary(framing), frame) => {
                RawMessages::Binary(framing.take(frame.bytes().get(skip..).unwrap_or_default(), spare))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(out: Out) -> Vec<String> {
        let frames = out.into_frames(HubProtocol::Json).into_iter();
        let text = |frame| match frame {
            Frame::Text(text) => text.to_string(),
            Frame::Binary(_) => panic!("JSON is text"),
        };
        frames.map(text).collect()
    }

    #[test]
    fn shared_messages_are_not_copied_and_the_order_stays() {
        let codec = SharedCodec(HubProtocol::Json);
        let (mut out, ping) = (Out::default(), HubMessage::Ping);
        codec.write(&mut out, &ping);
        codec.write(&mut out, &ping);
        let shared = Frame::Text("{\"many\":1}\u{1e}".into());
        SharedCodec::append(&mut out, &shared.clone().into());
        let mut more = Out::default();
        codec.write(&mut more, &ping);
        SharedCodec::append(&mut out, &more);
        codec.write(&mut out, &ping);
        assert_eq!(SharedCodec::size(&out), 4 * "{\"type\":6}\u{1e}".len() + shared.len());
        let same = |chunk: &Chunk| match (chunk, &shared) {
            (Chunk::Shared(Frame::Text(text)), Frame::Text(first)) => text.as_ptr() == first.as_ptr(),
            _ => false,
        };
        assert_eq!(out.chunks.iter().filter(|chunk| same(chunk)).count(), 1);
        let two = "{\"type\":6}\u{1e}".repeat(2);
        assert_eq!(texts(out), [two.clone(), "{\"many\":1}\u{1e}".to_owned(), two]);
    }
}
