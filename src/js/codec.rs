//! The hub protocol of a connection for JavaScript, which reads and writes every message: what is on its way is a list
//! of handles to what JavaScript has written.

use std::borrow::Cow;
use std::iter;

use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use super::list::List;
use crate::core::ProtocolError;
use crate::core::codec::Codec;
use crate::core::message::{HubMessage, Invocation, Outcome};
use crate::core::negotiate::TransferFormat;

/// About how long a message without a payload is, in bytes.
const OWN_LENGTH: usize = 32;

#[wasm_bindgen]
extern "C" {
    /// Writes messages without a payload, in the package's JavaScript.
    #[derive(Debug)]
    pub type Writer;
    /// A completion, a cancellation, a ping, Close, Ack or Sequence.
    #[wasm_bindgen(method, js_name = writeOwn)]
    fn write_own(this: &Writer, kind: u8, id: &str, error: Option<&str>, number: f64) -> JsValue;
}

/// A message that JavaScript has written.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub(super) message: JsValue,
    pub(super) length: usize,
}

/// Messages on their way to the transport, and how long they are together.
#[derive(Debug, Default)]
pub(super) struct Out {
    messages: Vec<JsValue>,
    length: usize,
}

impl Out {
    /// The only message, or a list of them.
    pub(super) fn into_value(mut self) -> JsValue {
        match (self.messages.pop(), self.messages.is_empty()) {
            (Some(only), true) => only,
            (last, _) => {
                let list = List::new();
                self.messages.iter().chain(&last).for_each(|message| list.value(message));
                list.into()
            }
        }
    }
}

/// Writes messages as JavaScript wants them.
pub(super) struct JsCodec {
    pub(super) writer: Writer,
    pub(super) name: String,
    pub(super) format: TransferFormat,
}

impl Codec for JsCodec {
    type Payload<'a> = Written;
    type Out = Out;
    /// Of the handshake.
    type Frame<'f> = &'f str;
    type Decoder = ();
    const NEEDS_IDS: bool = false;
    type Messages<'f> = iter::Empty<Result<HubMessage<'f, Written>, ProtocolError>>;

    fn name(&self) -> &str {
        &self.name
    }

    fn format(&self) -> TransferFormat {
        self.format
    }

    /// JavaScript knows the limit.
    fn decoder(&self, _limit: usize) {}

    fn bytes<'s>(frame: &'s &str) -> Cow<'s, [u8]> {
        frame.as_bytes().into()
    }

    fn decode<'f>(
        (): &mut (),
        _frame: &'f str,
        _skip: usize,
        _spare: &'f mut Vec<u8>,
    ) -> Result<Self::Messages<'f>, ProtocolError> {
        Ok(iter::empty())
    }

    fn write(&self, out: &mut Out, message: &HubMessage<'_, Written>) {
        let own = |kind, id: &str, error: Option<&str>, number: i64| {
            #[allow(clippy::cast_precision_loss, reason = "there are never 2^53 messages")]
            let message = self.writer.write_own(kind, id, error, number as f64);
            Written { message, length: OWN_LENGTH }
        };
        let written = match message {
            HubMessage::Invocation(Invocation { arguments: payload, .. })
            | HubMessage::StreamInvocation(Invocation { arguments: payload, .. })
            | HubMessage::StreamItem { item: payload, .. }
            | HubMessage::Completion { outcome: Outcome::Value(payload), .. } => payload.clone(),
            HubMessage::Completion { invocation_id, outcome: Outcome::Error(error), .. } => {
                own(3, invocation_id, Some(error), 0)
            }
            HubMessage::Completion { invocation_id, .. } => own(3, invocation_id, None, 0),
            HubMessage::CancelInvocation { invocation_id, .. } => own(5, invocation_id, None, 0),
            HubMessage::Ping => own(6, "", None, 0),
            HubMessage::Close { error, .. } => own(7, "", error.as_deref(), 0),
            HubMessage::Ack { sequence_id } => own(8, "", None, *sequence_id),
            HubMessage::Sequence { sequence_id } => own(9, "", None, *sequence_id),
        };
        out.length += written.length;
        out.messages.push(written.message);
    }

    fn append(out: &mut Out, more: &Out) {
        out.messages.extend_from_slice(&more.messages);
        out.length += more.length;
    }

    fn size(out: &Out) -> usize {
        out.length
    }
}
