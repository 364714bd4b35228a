//! Hub messages in the vectors' own form, whatever encodes them.

pub(crate) mod values;

use hubwire::core::message::{Headers, HubMessage, Invocation, Outcome};
use serde_json::{Map, Value, json as value};

/// A message in the vectors' form, with its payload as `payload` shows it.
pub(crate) fn plain<P>(message: &HubMessage<'_, P>, payload: impl Fn(&P) -> Value) -> Value {
    let with_headers = |mut value: Value, headers: &Headers<'_>| {
        if !headers.is_empty() {
            let headers: Map<_, _> =
                headers.iter().map(|(k, v)| (k.to_string(), v.as_ref().into())).collect();
            value["headers"] = headers.into();
        }
        value
    };
    let call = |kind: &str, call: &Invocation<'_, P>| {
        let mut value = value!({"type": kind, "target": call.target, "arguments": payload(&call.arguments)});
        if let Some(id) = &call.invocation_id {
            value["invocationId"] = id.as_ref().into();
        }
        if !call.stream_ids.is_empty() {
            value["streamIds"] = call.stream_ids.iter().map(|id| Value::from(id.as_ref())).collect();
        }
        with_headers(value, &call.headers)
    };
    match message {
        HubMessage::Invocation(invocation) => call("Invocation", invocation),
        HubMessage::StreamInvocation(invocation) => call("StreamInvocation", invocation),
        HubMessage::StreamItem { headers, invocation_id, item } => with_headers(
            value!({"type": "StreamItem", "invocationId": invocation_id, "item": payload(item)}),
            headers,
        ),
        HubMessage::Completion { headers, invocation_id, outcome } => {
            let mut value = value!({"type": "Completion", "invocationId": invocation_id});
            let kind = match outcome {
                Outcome::Void => "void",
                Outcome::Value(result) => {
                    value["result"] = payload(result);
                    "value"
                }
                Outcome::Error(error) => {
                    value["error"] = error.as_ref().into();
                    "error"
                }
            };
            value["resultKind"] = kind.into();
            with_headers(value, headers)
        }
        HubMessage::CancelInvocation { headers, invocation_id } => {
            with_headers(value!({"type": "CancelInvocation", "invocationId": invocation_id}), headers)
        }
        HubMessage::Ping => value!({"type": "Ping"}),
        HubMessage::Close { error, allow_reconnect } => {
            let mut value = value!({"type": "Close", "allowReconnect": allow_reconnect});
            if let Some(error) = error {
                value["error"] = error.as_ref().into();
            }
            value
        }
        HubMessage::Ack { sequence_id } => value!({"type": "Ack", "sequenceId": sequence_id}),
        HubMessage::Sequence { sequence_id } => value!({"type": "Sequence", "sequenceId": sequence_id}),
    }
}

/// The message that the vectors describe. `payload` encodes the field of that name.
pub(crate) fn built<'a>(
    message: &'a Value,
    headers: Headers<'a>,
    payload: impl Fn(&str) -> Vec<u8>,
) -> HubMessage<'a, Vec<u8>> {
    let text = |name: &str| message[name].as_str().unwrap_or_default().into();
    let invocation_id = text("invocationId");
    let sequence_id = message["sequenceId"].as_i64().unwrap_or_default();
    let call = |headers| Invocation {
        headers,
        invocation_id: message["invocationId"].as_str().map(Into::into),
        target: text("target"),
        arguments: payload("arguments"),
        stream_ids: message["streamIds"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|id| Some(id.as_str()?.into()))
            .collect(),
    };
    match message["type"].as_str() {
        Some("Invocation") => HubMessage::Invocation(call(headers)),
        Some("StreamInvocation") => HubMessage::StreamInvocation(call(headers)),
        Some("StreamItem") => HubMessage::StreamItem { headers, invocation_id, item: payload("item") },
        Some("Completion") => HubMessage::Completion {
            headers,
            invocation_id,
            outcome: match message["resultKind"].as_str() {
                Some("void") => Outcome::Void,
                Some("error") => Outcome::Error(text("error")),
                _ => Outcome::Value(payload("result")),
            },
        },
        Some("CancelInvocation") => HubMessage::CancelInvocation { headers, invocation_id },
        Some("Ping") => HubMessage::Ping,
        Some("Close") => HubMessage::Close {
            error: message["error"].as_str().map(Into::into),
            allow_reconnect: message["allowReconnect"].as_bool().unwrap_or_default(),
        },
        Some("Ack") => HubMessage::Ack { sequence_id },
        Some("Sequence") => HubMessage::Sequence { sequence_id },
        other => panic!("the vectors have a message of the unknown type {other:?}"),
    }
}
