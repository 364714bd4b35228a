//! A hub protocol in JavaScript.

use std::borrow::Cow;
use std::marker::PhantomData;

use js_sys::{Array, ArrayIntoIter};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast as _, JsValue};

use super::callbacks::{Callbacks, Reader};
use crate::client::WireCodec;
use crate::core::ProtocolError;
use crate::core::codec::Codec;
use crate::core::message::{HubMessage, Invocation, Outcome};
use crate::core::negotiate::TransferFormat;
use crate::platform::Frame;

#[wasm_bindgen]
extern "C" {
    /// A hub message as its protocol reads it.
    type Record;
    #[wasm_bindgen(method, getter, js_name = type)]
    fn kind(this: &Record) -> JsValue;
    #[wasm_bindgen(method, getter, js_name = invocationId)]
    fn invocation_id(this: &Record) -> Option<String>;
    #[wasm_bindgen(method, getter)]
    fn error(this: &Record) -> Option<String>;
    #[wasm_bindgen(method, getter, js_name = allowReconnect)]
    fn allow_reconnect(this: &Record) -> JsValue;
    #[wasm_bindgen(method, getter, js_name = sequenceId)]
    fn sequence_id(this: &Record) -> JsValue;

    /// A hub message as its protocol writes it: a string, or a `Uint8Array`.
    type Written;
    #[wasm_bindgen(method, getter)]
    fn length(this: &Written) -> u32;
}

/// Any hub protocol in JavaScript. It reads and writes whole messages there, so payloads never enter wasm:
/// copying them in and out again would cost as much as reading them.
///
/// A payload that comes in is a message as it was read; the client finds its arguments, item or result there. One
/// that goes out is a message as it was written, so that writing cannot fail here.
pub(super) struct JsCodec {
    callbacks: Callbacks,
    name: String,
    format: TransferFormat,
}

impl JsCodec {
    pub(super) fn new(callbacks: Callbacks, name: String, binary: bool) -> Self {
        let format = if binary { TransferFormat::Binary } else { TransferFormat::Text };
        Self { callbacks, name, format }
    }
}

/// Messages on their way to the socket, and how long they are together.
#[derive(Default)]
pub(super) struct Out {
    messages: Vec<JsValue>,
    length: usize,
}

/// The messages of one frame.
pub(super) struct Messages<'f>(ArrayIntoIter, PhantomData<&'f Frame>);

impl<'f> Iterator for Messages<'f> {
    type Item = Result<HubMessage<'f, JsValue>, ProtocolError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(message) = envelope(self.0.next()?).transpose() {
                return Some(message);
            }
        }
    }
}

impl Codec for JsCodec {
    type Payload<'a> = JsValue;
    type Out = Out;
    type Frame<'f> = &'f Frame;
    type Decoder = Reader;
    type Messages<'f> = Messages<'f>;

    fn name(&self) -> &str {
        &self.name
    }

    fn format(&self) -> TransferFormat {
        self.format
    }

    /// JavaScript knows the limit.
    fn decoder(&self, _limit: usize) -> Reader {
        self.callbacks.reader()
    }

    fn bytes<'s>(frame: &'s &Frame) -> Cow<'s, [u8]> {
        frame.to_bytes().into()
    }

    fn decode<'f>(
        reader: &mut Reader,
        frame: &'f Frame,
        skip: usize,
        _spare: &'f mut Vec<u8>,
    ) -> Result<Messages<'f>, ProtocolError> {
        let rest;
        let frame = if skip == 0 {
            frame
        } else {
            let bytes = frame.to_bytes().get(skip..).unwrap_or_default().to_vec();
            rest = if frame.is_text() { Frame::text(bytes) } else { Frame::binary(bytes) };
            &rest
        };
        // The reader remembers what is wrong with it.
        let messages = reader.read(frame.as_ref());
        messages
            .map(|messages: Array| Messages(messages.into_iter(), PhantomData))
            .map_err(|_| ProtocolError::Message("it is malformed"))
    }

    fn write(&self, out: &mut Out, message: &HubMessage<'_, JsValue>) {
        let write = |kind, id: &str, error: Option<&str>, number: i64| {
            #[allow(clippy::cast_precision_loss, reason = "there are never 2^53 messages")]
            self.callbacks.write(kind, id, error, number as f64)
        };
        let written = match message {
            HubMessage::Invocation(Invocation { arguments: payload, .. })
            | HubMessage::StreamInvocation(Invocation { arguments: payload, .. })
            | HubMessage::StreamItem { item: payload, .. }
            | HubMessage::Completion { outcome: Outcome::Value(payload), .. } => payload.clone(),
            HubMessage::Completion { invocation_id, outcome: Outcome::Error(error), .. } => {
                write(3, invocation_id, Some(error), 0)
            }
            HubMessage::Completion { invocation_id, .. } => write(3, invocation_id, None, 0),
            HubMessage::CancelInvocation { invocation_id, .. } => write(5, invocation_id, None, 0),
            HubMessage::Ping => write(6, "", None, 0),
            HubMessage::Close { error, .. } => write(7, "", error.as_deref(), 0),
            HubMessage::Ack { sequence_id } => write(8, "", None, *sequence_id),
            HubMessage::Sequence { sequence_id } => write(9, "", None, *sequence_id),
        };
        out.length += written.unchecked_ref::<Written>().length() as usize;
        out.messages.push(written);
    }

    fn append(out: &mut Out, more: &Out) {
        out.messages.extend_from_slice(&more.messages);
        out.length += more.length;
    }

    fn size(out: &Out) -> usize {
        out.length
    }
}

impl WireCodec for JsCodec {
    type Held = Frame;

    fn hold(frame: Frame) -> Frame {
        frame
    }

    fn view(held: &Frame) -> &Frame {
        held
    }

    fn frame(&self, mut out: Out) -> Frame {
        let whole = match (out.messages.pop(), out.messages.is_empty()) {
            (Some(only), true) => only,
            (last, _) => self.callbacks.join(out.messages.into_iter().chain(last).collect()),
        };
        match self.format {
            TransferFormat::Text => Frame::Text(whole.unchecked_into()),
            TransferFormat::Binary => Frame::Binary(whole.unchecked_into()),
        }
    }
}

/// What the core needs of a message. Its protocol has looked at the rest.
fn envelope(message: JsValue) -> Result<Option<HubMessage<'static, JsValue>>, ProtocolError> {
    let record: &Record = message.unchecked_ref();
    let headers = Vec::new();
    let required_id = || -> Result<Cow<'static, str>, ProtocolError> {
        let id = record.invocation_id().map(Cow::Owned);
        id.ok_or(ProtocolError::Message("`invocationId` is missing"))
    };
    let sequence_id = || {
        let id = record.sequence_id().as_f64().filter(|id| id.fract() == 0.0);
        id.map(|id| id as i64).ok_or(ProtocolError::Message("`sequenceId` is missing or not an integer"))
    };
    let kind = record.kind().as_f64().unwrap_or_default();
    Ok(Some(match kind as u8 {
        1 => HubMessage::Invocation(invocation(record.invocation_id(), message)),
        2 => HubMessage::StreamItem { headers, invocation_id: required_id()?, item: message },
        3 => HubMessage::Completion {
            headers,
            invocation_id: required_id()?,
            outcome: Outcome::Value(message),
        },
        4 => HubMessage::StreamInvocation(invocation(record.invocation_id(), message)),
        5 => HubMessage::CancelInvocation { headers, invocation_id: required_id()? },
        6 => HubMessage::Ping,
        7 => HubMessage::Close {
            error: record.error().map(Cow::Owned),
            allow_reconnect: record.allow_reconnect().is_truthy(),
        },
        8 => HubMessage::Ack { sequence_id: sequence_id()? },
        9 => HubMessage::Sequence { sequence_id: sequence_id()? },
        _ => return Ok(None),
    }))
}

/// JavaScript finds the target in the message.
fn invocation(id: Option<String>, message: JsValue) -> Invocation<'static, JsValue> {
    Invocation {
        headers: Vec::new(),
        invocation_id: id.map(Cow::Owned),
        target: Cow::Borrowed(""),
        arguments: message,
        stream_ids: Vec::new(),
    }
}
