//! Bodies of the REST API: messages in JSON, and messages that their sender has encoded.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::{HeaderMap, HeaderName, StatusCode, header::CONTENT_TYPE},
};

use crate::{
    core::{
        HubProtocol, ProtocolError,
        http::{JSON, MESSAGE_PACK, OCTETS, is_media_type},
        json::{
            self,
            reader::{Reader, as_string},
        },
        message::{HubMessage, Invocation},
        msgpack,
    },
    local::{
        api_error::ApiError,
        message::{Encoded, Kind, from_json},
    },
    server::message::Message,
};

/// The media types of a body in JSON.
const TEXTS: [&str; 2] = [JSON, "text/json"];
/// Those of a message that its sender has encoded.
const BINARY: [&str; 2] = [OCTETS, MESSAGE_PACK];

/// A message for clients, which calls one of their methods.
#[derive(Debug)]
pub(super) enum Payload {
    /// As JSON: `{"target", "arguments"}`.
    Json(Bytes),
    /// As its sender has encoded it.
    Encoded(Encoded),
}

impl<S: Send + Sync> FromRequest<S> for Payload {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        match ItemBody::from_request(request, state).await? {
            ItemBody::Json(body) => Ok(Self::Json(body)),
            ItemBody::Binary(body) => encoded(&body, Kind::Invocation).map(Self::Encoded),
        }
    }
}

impl Payload {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Json(body) => body.len(),
            Self::Encoded(encoded) => encoded.len(),
        }
    }

    /// The message that clients get.
    pub(super) fn message(&self) -> Result<Message, ApiError> {
        match self {
            Self::Json(body) => encode_invocation(body, None),
            Self::Encoded(encoded) => Ok(encoded.message()),
        }
    }

    /// The message that asks a client for a result.
    pub(super) fn call(&self, id: &str) -> Result<Message, ApiError> {
        match self {
            Self::Json(body) => encode_invocation(body, Some(id)),
            Self::Encoded(encoded) => Ok(encoded.call(id)),
        }
    }

    pub(super) fn is_for(&self, protocol: HubProtocol) -> bool {
        match self {
            Self::Json(_) => true,
            Self::Encoded(encoded) => encoded.is_for(protocol),
        }
    }

    /// The invocation id that its sender has given it.
    pub(super) fn id(&self) -> Option<String> {
        match self {
            Self::Json(_) => None,
            Self::Encoded(encoded) => encoded.id(),
        }
    }
}

/// A body of JSON or of messages by protocol, not looked into.
pub(super) enum ItemBody {
    Json(Bytes),
    Binary(Bytes),
}

impl<S: Send + Sync> FromRequest<S> for ItemBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if is_one_of(request.headers(), &CONTENT_TYPE, &BINARY) {
            return read_body(request, state).await.map(Self::Binary);
        }
        let JsonBody(body) = JsonBody::from_request(request, state).await?;
        Ok(Self::Json(body))
    }
}

/// A body of JSON, not looked into.
pub(super) struct JsonBody(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let headers = request.headers();
        if headers.contains_key(CONTENT_TYPE) && !is_one_of(headers, &CONTENT_TYPE, &TEXTS) {
            return Err(ApiError::unsupported_media_type());
        }
        read_body(request, state).await.map(Self)
    }
}

fn is_one_of(headers: &HeaderMap, name: &HeaderName, types: &[&str]) -> bool {
    let value = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    types.iter().any(|kind| is_media_type(value, kind))
}

async fn read_body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    Bytes::from_request(request, state).await.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            ApiError::too_large()
        } else {
            ApiError::bad_request("body", "The body cannot be read.")
        }
    })
}

/// The messages of a binary payload, a MessagePack map from the names of protocols to whole messages. Clients of a
/// protocol that is not there get nothing.
pub(super) fn encoded(body: &[u8], kind: Kind) -> Result<Encoded, ApiError> {
    let invalid =
        |what: &str| ApiError::bad_request("body", format!("The binary payload is not valid: {what}."));
    let malformed = |error: ProtocolError| invalid(&error.to_string());
    let mut reader = msgpack::reader::Reader::new(body);
    let (mut json, mut msgpack) = (None, None);
    for _ in 0..reader.map().map_err(malformed)? {
        let name = reader.text().map_err(malformed)?;
        let message =
            binary(reader.value().map_err(malformed)?).ok_or_else(|| invalid("a message is not bytes"))?;
        match name {
            Some(json::NAME) => json = Some(message),
            Some(msgpack::NAME) => msgpack = Some(message),
            _ => {}
        }
    }
    reader.end().map_err(malformed)?;
    Encoded::new(json, msgpack, kind).map_err(|what| invalid(&what))
}

/// The bytes of a MessagePack value, if they are what it is.
fn binary(value: &[u8]) -> Option<&[u8]> {
    match *value.first()? {
        0xc4 => value.get(2..),
        0xc5 => value.get(3..),
        0xc6 => value.get(5..),
        _ => None,
    }
}

/// Reads `{"target", "arguments"}`, whatever the case of the names, and writes the message.
pub(super) fn encode_invocation(body: &[u8], invocation_id: Option<&str>) -> Result<Message, ApiError> {
    let body = json_text(body)?;
    let (mut target, mut arguments) = (None, "[]");
    let mut reader = Reader::new(body);
    let read = reader.object(|name, value| {
        if name.eq_ignore_ascii_case("target") {
            target = as_string(value)?;
        } else if name.eq_ignore_ascii_case("arguments") && value != "null" {
            arguments = value;
        }
        Ok(())
    });
    read.and_then(|()| reader.end())
        .map_err(|error| ApiError::bad_request("body", format!("The body is not a JSON object: {error}.")))?;
    let target = target.filter(|target| !target.is_empty());
    let target = target.ok_or_else(|| ApiError::bad_request("target", "The target is missing or empty."))?;
    if !arguments.starts_with('[') {
        return Err(ApiError::bad_request("arguments", "The arguments are not an array."));
    }
    from_json(&HubMessage::Invocation(Invocation {
        headers: Vec::new(),
        invocation_id: invocation_id.map(Into::into),
        target,
        arguments,
        stream_ids: Vec::new(),
    }))
    .map_err(not_transcoded)
}

/// The text of a body, without the mark that some editors put before it.
pub(super) fn json_text(body: &[u8]) -> Result<&str, ApiError> {
    let text = std::str::from_utf8(body);
    let text = text.map_err(|_| ApiError::bad_request("body", "The body is not UTF-8."))?;
    Ok(text.trim_start_matches('\u{feff}'))
}

/// What MessagePack clients could not get, nobody does.
pub(super) fn not_transcoded(error: serde_json::Error) -> ApiError {
    ApiError::bad_request("body", format!("The body cannot be written as MessagePack: {error}."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{core::HubProtocol, server::message::Frame};

    fn in_json(message: &Message) -> Option<String> {
        match message.frame(HubProtocol::Json) {
            Some(Frame::Text(text)) => Some(text.to_string()),
            _ => None,
        }
    }

    #[test]
    fn bodies_become_messages() {
        let message = "{\"type\":1,\"target\":\"m\",\"arguments\":[1, {\"a\":null}]}\u{1e}";
        for body in [
            "{\"target\":\"m\",\"arguments\":[1, {\"a\":null}]}",
            "{\"Target\":\"m\",\"Arguments\":[1, {\"a\":null}]}",
            "\u{feff} {\"ARGUMENTS\": [1, {\"a\":null}] , \"other\":0,\"tArget\":\"m\"}\n",
        ] {
            let encoded = encode_invocation(body.as_bytes(), None);
            assert_eq!(encoded.ok().and_then(|m| in_json(&m)).as_deref(), Some(message), "{body}");
        }
        for body in ["{\"target\":\"m\"}", "{\"target\":\"m\",\"arguments\":null}"] {
            let encoded = encode_invocation(body.as_bytes(), None);
            let message = "{\"type\":1,\"target\":\"m\",\"arguments\":[]}\u{1e}";
            assert_eq!(encoded.ok().and_then(|m| in_json(&m)).as_deref(), Some(message), "{body}");
        }
        for body in [
            &b""[..],
            b"[]",
            b"{\"arguments\":[]}",
            b"{\"target\":\"\"}",
            b"{\"target\":1}",
            b"{\"target\":\"m\",\"arguments\":{}}",
            b"{\"target\":\"m\"} x",
            b"{\"target\":\"m\",\"arguments\":[\x1e]}",
            b"\xff",
        ] {
            assert!(encode_invocation(body, None).is_err(), "{}", String::from_utf8_lossy(body));
        }
    }
}
