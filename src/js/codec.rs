use js_sys::JsString;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast as _, JsValue};

use crate::client::Codec;
use crate::core::framing::DEFAULT_MESSAGE_LIMIT;
use crate::core::message::{HubMessage, Invocation, Outcome};
use crate::core::negotiate::TransferFormat;
use crate::core::{ProtocolError, json};
use crate::platform::Frame;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = JSON, js_name = parse, catch)]
    fn json_parse(text: &JsString) -> Result<JsValue, JsValue>;

    /// A hub message as `JSON.parse` gives it.
    type Record;
    #[wasm_bindgen(method, getter, js_name = type)]
    fn kind(this: &Record) -> JsValue;
    #[wasm_bindgen(method, getter, js_name = invocationId)]
    fn invocation_id(this: &Record) -> JsValue;
    #[wasm_bindgen(method, getter)]
    fn target(this: &Record) -> JsValue;
    #[wasm_bindgen(method, getter)]
    fn arguments(this: &Record) -> JsValue;
    #[wasm_bindgen(method, getter)]
    fn item(this: &Record) -> JsValue;
    #[wasm_bindgen(method, getter)]
    fn result(this: &Record) -> JsValue;
    #[wasm_bindgen(method, getter)]
    fn error(this: &Record) -> JsValue;
    #[wasm_bindgen(method, getter, js_name = allowReconnect)]
    fn allow_reconnect(this: &Record) -> JsValue;
    #[wasm_bindgen(method, getter, js_name = sequenceId)]
    fn sequence_id(this: &Record) -> JsValue;
}

/// The JSON hub protocol for JavaScript. `JSON.parse` reads whole messages, so payloads never enter wasm: copying
/// them in and out again would cost as much as parsing them.
///
/// A payload that comes in is a value. One that goes out is its JSON text, so that writing can't fail.
#[derive(Clone, Default)]
pub(super) struct JsJson {
    partial: Option<JsString>,
}

impl Codec for JsJson {
    type Payload<'a> = JsValue;
    type Out = Option<JsString>;

    fn name(&self) -> &'static str {
        json::NAME
    }

    fn format(&self) -> TransferFormat {
        TransferFormat::Text
    }

    fn decode(
        &mut self,
        frame: &Frame,
        each: &mut dyn for<'m> FnMut(HubMessage<'m, JsValue>),
    ) -> Result<(), ProtocolError> {
        let Frame::Text(text) = frame else { return Err(ProtocolError::WrongKind("binary")) };
        let whole = match self.partial.take() {
            Some(partial) => partial.concat(text),
            None => text.clone(),
        };
        let mut from = 0;
        loop {
            let end = whole.index_of("\u{1e}", i32::try_from(from).unwrap_or(i32::MAX));
            let Ok(end) = u32::try_from(end) else { break };
            if let Some(message) = parse(&whole.substring(from, end))? {
                each(message);
            }
            from = end + 1;
        }
        if from < whole.length() {
            if (whole.length() - from) as usize > DEFAULT_MESSAGE_LIMIT {
                return Err(ProtocolError::TooLong { limit: DEFAULT_MESSAGE_LIMIT });
            }
            self.partial = Some(whole.substring(from, whole.length()));
        }
        Ok(())
    }

    fn write(&self, out: &mut Option<JsString>, message: &HubMessage<'_, JsValue>) {
        // The core writes the envelope; the payload goes in before the two bytes that end the message.
        let (envelope, payload) = split(message);
        let mut bytes = Vec::new();
        json::write(&mut bytes, &envelope);
        let text = String::from_utf8_lossy(&bytes);
        let mut written = out.take().unwrap_or_else(|| JsString::from(""));
        match payload.and_then(|payload| payload.dyn_ref::<JsString>()) {
            Some(payload) => {
                let head = text.strip_suffix("}\u{1e}").unwrap_or(&text);
                written = written.concat(&head.into()).concat(payload).concat(&"}\u{1e}".into());
            }
            None => written = written.concat(&JsString::from(&*text)),
        }
        *out = Some(written);
    }

    fn append(out: &mut Option<JsString>, more: &Option<JsString>) {
        if let Some(more) = more {
            *out = Some(match out.take() {
                Some(text) => text.concat(more),
                None => more.clone(),
            });
        }
    }

    fn waiting(out: &Option<JsString>) -> usize {
        out.as_ref().map_or(0, |text| text.length() as usize)
    }

    fn frame(&self, out: Option<JsString>) -> Frame {
        Frame::Text(out.unwrap_or_else(|| JsString::from("")))
    }
}

/// A message with an empty payload, which is always the last thing in it, and the payload.
fn split<'m>(message: &'m HubMessage<'_, JsValue>) -> (HubMessage<'m, &'m str>, Option<&'m JsValue>) {
    let borrow = |text: &'m str| std::borrow::Cow::Borrowed(text);
    let call = |call: &'m Invocation<'_, JsValue>| Invocation {
        headers: Vec::new(),
        invocation_id: call.invocation_id.as_deref().map(borrow),
        target: borrow(&call.target),
        arguments: "",
        stream_ids: Vec::new(),
    };
    match message {
        HubMessage::Invocation(invocation) => {
            (HubMessage::Invocation(call(invocation)), Some(&invocation.arguments))
        }
        HubMessage::StreamInvocation(invocation) => {
            (HubMessage::StreamInvocation(call(invocation)), Some(&invocation.arguments))
        }
        HubMessage::StreamItem { invocation_id, item, .. } => (
            HubMessage::StreamItem { headers: Vec::new(), invocation_id: borrow(invocation_id), item: "" },
            Some(item),
        ),
        HubMessage::Completion { invocation_id, outcome, .. } => {
            let (outcome, payload) = match outcome {
                Outcome::Void => (Outcome::Void, None),
                Outcome::Value(value) => (Outcome::Value(""), Some(value)),
                Outcome::Error(error) => (Outcome::Error(borrow(error)), None),
            };
            let invocation_id = borrow(invocation_id);
            (HubMessage::Completion { headers: Vec::new(), invocation_id, outcome }, payload)
        }
        HubMessage::CancelInvocation { invocation_id, .. } => {
            (HubMessage::CancelInvocation { headers: Vec::new(), invocation_id: borrow(invocation_id) }, None)
        }
        HubMessage::Ping => (HubMessage::Ping, None),
        HubMessage::Close { error, allow_reconnect } => (
            HubMessage::Close { error: error.as_deref().map(borrow), allow_reconnect: *allow_reconnect },
            None,
        ),
        HubMessage::Ack { sequence_id } => (HubMessage::Ack { sequence_id: *sequence_id }, None),
        HubMessage::Sequence { sequence_id } => (HubMessage::Sequence { sequence_id: *sequence_id }, None),
    }
}

/// Reads one message, by the rules of the core's `json::parse`.
fn parse(text: &JsString) -> Result<Option<HubMessage<'static, JsValue>>, ProtocolError> {
    let malformed = ProtocolError::Json { offset: 0, reason: "JSON.parse refuses it" };
    let value = json_parse(text).map_err(|_| malformed)?;
    // Reading a property of null throws.
    if !value.is_object() {
        return Err(ProtocolError::Message("it is not an object"));
    }
    let record: Record = value.unchecked_into();
    let kind = record.kind().as_f64().ok_or(ProtocolError::Message("`type` is missing or not a number"))?;
    let headers = Vec::new();
    Ok(Some(match kind as i64 {
        1 => HubMessage::Invocation(invocation(&record)?),
        2 => {
            let item = record.item();
            if item.is_undefined() {
                return Err(ProtocolError::Message("`item` is missing"));
            }
            HubMessage::StreamItem { headers, invocation_id: required_id(&record)?.into(), item }
        }
        3 => HubMessage::Completion {
            headers,
            invocation_id: required_id(&record)?.into(),
            outcome: outcome(&record)?,
        },
        4 => {
            required_id(&record)?;
            HubMessage::StreamInvocation(invocation(&record)?)
        }
        5 => HubMessage::CancelInvocation { headers, invocation_id: required_id(&record)?.into() },
        6 => HubMessage::Ping,
        7 => HubMessage::Close {
            error: error(&record)?.map(Into::into),
            allow_reconnect: record.allow_reconnect().is_truthy(),
        },
        8 => HubMessage::Ack { sequence_id: sequence_id(&record)? },
        9 => HubMessage::Sequence { sequence_id: sequence_id(&record)? },
        _ => return Ok(None),
    }))
}

fn invocation(record: &Record) -> Result<Invocation<'static, JsValue>, ProtocolError> {
    let target = record.target().as_string().filter(|target| !target.is_empty());
    let arguments = record.arguments();
    if !js_sys::Array::is_array(&arguments) {
        return Err(ProtocolError::Message("`arguments` is missing or not an array"));
    }
    Ok(Invocation {
        headers: Vec::new(),
        invocation_id: invocation_id(record)?.map(Into::into),
        target: target.ok_or(ProtocolError::Message("`target` is not a string with text in it"))?.into(),
        arguments,
        stream_ids: Vec::new(),
    })
}

fn invocation_id(record: &Record) -> Result<Option<String>, ProtocolError> {
    let id = record.invocation_id();
    if id.is_undefined() {
        return Ok(None);
    }
    match id.as_string() {
        Some(id) if !id.is_empty() => Ok(Some(id)),
        _ => Err(ProtocolError::Message("`invocationId` is not a string with text in it")),
    }
}

fn required_id(record: &Record) -> Result<String, ProtocolError> {
    invocation_id(record)?.ok_or(ProtocolError::Message("`invocationId` is missing"))
}

fn error(record: &Record) -> Result<Option<String>, ProtocolError> {
    let error = record.error();
    if error.is_undefined() || error.is_null() {
        return Ok(None);
    }
    error.as_string().map(Some).ok_or(ProtocolError::Message("`error` is not a string"))
}

fn outcome(record: &Record) -> Result<Outcome<'static, JsValue>, ProtocolError> {
    let result = record.result();
    match error(record)? {
        Some(error) if result.is_undefined() || result.is_null() => Ok(Outcome::Error(error.into())),
        Some(error) if !error.is_empty() => {
            Err(ProtocolError::Message("both `result` and `error` are there"))
        }
        _ if result.is_undefined() => Ok(Outcome::Void),
        _ => Ok(Outcome::Value(result)),
    }
}

fn sequence_id(record: &Record) -> Result<i64, ProtocolError> {
    let id = record.sequence_id().as_f64().filter(|id| id.fract() == 0.0);
    Ok(id.ok_or(ProtocolError::Message("`sequenceId` is missing or not an integer"))? as i64)
}
