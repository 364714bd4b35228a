use crate::client::codec::Codec;
use crate::client::payload::Payload;
#[cfg(feature = "msgpack")]
use crate::core::framing::BinaryFraming;
use crate::core::framing::TextFraming;
use crate::core::message::HubMessage;
#[cfg(feature = "msgpack")]
use crate::core::msgpack;
use crate::core::negotiate::TransferFormat;
use crate::core::{HubProtocol, ProtocolError, json};
use crate::platform::Frame;

/// The hub protocols for Rust: payloads are slices of the message, decoded straight into the caller's types.
#[derive(Debug, Clone)]
pub(crate) enum Raw {
    Json(TextFraming),
    #[cfg(feature = "msgpack")]
    MessagePack(BinaryFraming),
}

impl Raw {
    pub(super) fn new(protocol: HubProtocol) -> Self {
        match protocol {
            HubProtocol::Json => Self::Json(TextFraming::default()),
            #[cfg(feature = "msgpack")]
            HubProtocol::MessagePack => Self::MessagePack(BinaryFraming::default()),
        }
    }

    fn protocol(&self) -> HubProtocol {
        match self {
            Self::Json(_) => HubProtocol::Json,
            #[cfg(feature = "msgpack")]
            Self::MessagePack(_) => HubProtocol::MessagePack,
        }
    }
}

impl Codec for Raw {
    type Payload<'a> = Payload<'a>;
    type Out = Vec<u8>;

    fn name(&self) -> &str {
        self.protocol().name()
    }

    fn format(&self) -> TransferFormat {
        self.protocol().format()
    }

    fn decode(
        &mut self,
        frame: &Frame,
        each: &mut dyn for<'m> FnMut(HubMessage<'m, Payload<'m>>),
    ) -> Result<(), ProtocolError> {
        match self {
            Self::Json(framing) => {
                if !frame.is_text() {
                    return Err(ProtocolError::WrongKind("binary"));
                }
                framing.feed(&frame.bytes(), |record| {
                    if let Some(message) = json::parse(record)? {
                        each(message.map(Payload::Json));
                    }
                    Ok(())
                })
            }
            #[cfg(feature = "msgpack")]
            Self::MessagePack(framing) => {
                if frame.is_text() {
                    return Err(ProtocolError::WrongKind("text"));
                }
                framing.feed(&frame.bytes(), |bytes| {
                    if let Some(message) = msgpack::parse(bytes)? {
                        each(message.map(Payload::MessagePack));
                    }
                    Ok(())
                })
            }
        }
    }

    fn write(&self, out: &mut Vec<u8>, message: &HubMessage<'_, Payload<'_>>) {
        match self {
            Self::Json(_) => json::write(out, message),
            #[cfg(feature = "msgpack")]
            Self::MessagePack(_) => msgpack::write(out, message),
        }
    }

    fn append(out: &mut Vec<u8>, more: &Vec<u8>) {
        out.extend_from_slice(more);
    }

    fn waiting(out: &Vec<u8>) -> usize {
        out.len()
    }

    fn frame(&self, out: Vec<u8>) -> Frame {
        match self.format() {
            TransferFormat::Text => Frame::text(out),
            TransferFormat::Binary => Frame::binary(out),
        }
    }
}
