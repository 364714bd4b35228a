//! Taking an upstream request apart, and answering it.

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header, request::Parts};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

#[cfg(feature = "msgpack")]
use crate::core::{http::MESSAGE_PACK, msgpack};
use crate::{
    core::{
        HubProtocol,
        http::{JSON, is_media_type},
        json,
        message::{HubMessage, Outcome},
    },
    service::upstream::event::{UpstreamClient, UpstreamError, UpstreamMessage, parse_claims},
};

/// A refusal, answered in JSON.
#[derive(Debug)]
pub(crate) struct Refusal(pub(super) StatusCode, pub(super) &'static str);

impl Refusal {
    /// Why, in a sentence.
    #[cfg(feature = "cli")]
    pub(crate) fn text(&self) -> &'static str {
        self.1
    }

    pub(super) fn into_response(self) -> Response<Vec<u8>> {
        let Self(status, text) = self;
        tracing::debug!(%status, text, "refused an upstream request");
        let mut response = answer(status, JSON, json!({ "error": text }).to_string().into_bytes());
        if status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        response
    }
}

/// What the headers say.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) client: UpstreamClient,
    /// `connections` or `messages`.
    pub(crate) category: String,
    /// `connected`, `disconnected` or the method.
    pub(crate) event: String,
    pub(crate) protocol: HubProtocol,
}

impl Head {
    pub(crate) fn read(parts: &Parts) -> Result<Self, Refusal> {
        if parts.method != Method::POST {
            return Err(Refusal(StatusCode::METHOD_NOT_ALLOWED, "The method must be POST."));
        }
        let kind = text(&parts.headers, "content-type").unwrap_or_default();
        let protocol = match kind {
            _ if is_media_type(kind, JSON) => HubProtocol::Json,
            #[cfg(feature = "msgpack")]
            _ if is_media_type(kind, MESSAGE_PACK) => HubProtocol::MessagePack,
            _ => {
                let text = "The content type must be application/json or application/x-msgpack.";
                return Err(Refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
            }
        };
        let required = |name| {
            let text = "A header X-ASRS-… that upstream requests have is missing.";
            let value = text_of(&parts.headers, name).filter(|value| !value.is_empty());
            value.ok_or(Refusal(StatusCode::BAD_REQUEST, text))
        };
        Ok(Self {
            client: UpstreamClient {
                hub: required("x-asrs-hub")?,
                connection_id: required("x-asrs-connection-id")?,
                user_id: text_of(&parts.headers, "x-asrs-user-id").filter(|id| !id.is_empty()),
                claims: parse_claims(&text_of(&parts.headers, "x-asrs-user-claims").unwrap_or_default()),
                query: text_of(&parts.headers, "x-asrs-client-query").unwrap_or_default(),
            },
            category: required("x-asrs-category")?,
            event: required("x-asrs-event")?,
            protocol,
        })
    }

    /// A message's body. What it calls must be what the headers say, since they chose the handler.
    pub(crate) fn message(self, body: &[u8]) -> Result<UpstreamMessage, Refusal> {
        let call = match self.protocol {
            HubProtocol::Json => Call::from_json(record(body)?),
            #[cfg(feature = "msgpack")]
            HubProtocol::MessagePack => match msgpack::parse(body) {
                Ok(Some(HubMessage::Invocation(call))) => Some(Call {
                    invocation_id: call.invocation_id.map(|id| id.into_owned()),
                    target: call.target.into_owned(),
                    arguments: call.arguments.to_vec(),
                }),
                _ => None,
            },
        };
        let Some(Call { invocation_id, target, arguments }) = call else {
            return Err(Refusal(
                StatusCode::BAD_REQUEST,
                "The body is not an invocation of the hub protocol.",
            ));
        };
        if !target.eq_ignore_ascii_case(&self.event) {
            let text = "The body calls another method than the header X-ASRS-Event names.";
            return Err(Refusal(StatusCode::BAD_REQUEST, text));
        }
        Ok(UpstreamMessage {
            client: self.client,
            method: target,
            invocation_id: invocation_id.filter(|id| !id.is_empty()),
            arguments,
            protocol: self.protocol,
        })
    }
}

/// An invocation of the hub protocol.
struct Call {
    invocation_id: Option<String>,
    target: String,
    arguments: Vec<u8>,
}

impl Call {
    /// Callers of upstreams write an id that is null or empty where a client would leave it out.
    fn from_json(text: &str) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a> {
            #[serde(rename = "type")]
            kind: u64,
            invocation_id: Option<String>,
            target: String,
            #[serde(borrow)]
            arguments: &'a RawValue,
        }
        let Body { kind, invocation_id, target, arguments } = serde_json::from_str(text).ok()?;
        let is_call = kind == 1 && arguments.get().starts_with('[');
        is_call.then(|| Self { invocation_id, target, arguments: arguments.get().as_bytes().to_vec() })
    }
}

/// `{"type":11,"error":…}`; the emulator writes the names with a capital.
pub(crate) fn disconnect_reason(body: &[u8]) -> Result<Option<String>, Refusal> {
    let refusal = || Refusal(StatusCode::BAD_REQUEST, "The body is not a message of type 11.");
    let value: Value = serde_json::from_str(record(body)?).map_err(|_| refusal())?;
    let object = value.as_object().ok_or_else(refusal)?;
    let field = |wanted: &str| {
        object.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
    };
    match (field("type").and_then(Value::as_u64), field("error")) {
        (Some(11), None | Some(Value::Null)) => Ok(None),
        (Some(11), Some(Value::String(error))) => Ok(Some(error.clone())),
        _ => Err(refusal()),
    }
}

/// A JSON message, with or without the separator that the hub protocol ends it with.
fn record(body: &[u8]) -> Result<&str, Refusal> {
    let text = std::str::from_utf8(body);
    let text = text.map_err(|_| Refusal(StatusCode::BAD_REQUEST, "The body is not UTF-8."))?;
    Ok(text.strip_suffix('\u{1e}').unwrap_or(text))
}

/// The result of a handler, for a client that waits for it.
pub(crate) fn completion(
    protocol: HubProtocol,
    id: Option<&str>,
    result: Result<Vec<u8>, UpstreamError>,
) -> Response<Vec<u8>> {
    let Some(id) = id else { return answer(StatusCode::OK, JSON, Vec::new()) };
    let outcome = match result {
        Ok(value) => Outcome::Value(value),
        Err(error) => Outcome::Error(error.to_string().into()),
    };
    let message = HubMessage::Completion { headers: Vec::new(), invocation_id: id.into(), outcome };
    let mut body = Vec::new();
    match protocol {
        HubProtocol::Json => {
            json::write(&mut body, &message);
            answer(StatusCode::OK, JSON, body)
        }
        #[cfg(feature = "msgpack")]
        HubProtocol::MessagePack => {
            msgpack::write(&mut body, &message);
            answer(StatusCode::OK, MESSAGE_PACK, body)
        }
    }
}

/// An answer; one that is empty has no type.
pub(super) fn answer(status: StatusCode, kind: &'static str, body: Vec<u8>) -> Response<Vec<u8>> {
    let has_type = !body.is_empty();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    if has_type {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    response
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// A header that may hold more than ASCII, such as a user id.
fn text_of(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}
