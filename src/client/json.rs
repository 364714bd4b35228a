use crate::client::codec::Codec;
use crate::core::framing::TextFraming;
use crate::core::message::HubMessage;
use crate::core::negotiate::TransferFormat;
use crate::core::{ProtocolError, json};
use crate::platform::Frame;

/// The JSON hub protocol for Rust: payloads are slices of JSON, decoded straight into the caller's types.
#[derive(Debug, Default)]
pub(crate) struct Json {
    framing: TextFraming,
}

impl Codec for Json {
    type Payload<'a> = &'a str;
    type Out = Vec<u8>;

    const NAME: &'static str = json::NAME;
    const FORMAT: TransferFormat = TransferFormat::Text;

    fn decode(
        &mut self,
        frame: &Frame,
        each: &mut dyn for<'m> FnMut(HubMessage<'m, &'m str>),
    ) -> Result<(), ProtocolError> {
        if !frame.is_text() {
            return Err(ProtocolError::WrongKind("binary"));
        }
        self.framing.feed(&frame.bytes(), |record| {
            if let Some(message) = json::parse(record)? {
                each(message);
            }
            Ok(())
        })
    }

    fn write(out: &mut Vec<u8>, message: &HubMessage<'_, &str>) {
        json::write(out, message);
    }

    fn append(out: &mut Vec<u8>, more: &Vec<u8>) {
        out.extend_from_slice(more);
    }

    fn waiting(out: &Vec<u8>) -> usize {
        out.len()
    }

    fn frame(out: Vec<u8>) -> Frame {
        Frame::text(out)
    }
}
