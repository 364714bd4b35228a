//! Messages for clients, encoded.
//!
//! A JSON payload is `{"Target", "Arguments"}`; the service writes it anew for every protocol that its clients speak.
//! A binary payload is a MessagePack map from the name of a protocol to a whole hub message; the service hands each
//! client the one of its protocol as it is.

use azure_core::Bytes;
use serde::Serialize;
use serde_json::Value;

use crate::{
    arguments::{ArgumentWriter, Arguments},
    core::HubProtocol,
    serialize::SerializeError,
    service::error::ServiceError,
};

const JSON: &str = "application/json; charset=utf-8";

/// The body of a request.
#[derive(Debug, Clone)]
pub(in crate::service) struct Payload {
    pub(in crate::service) content_type: &'static str,
    pub(in crate::service) body: Bytes,
}

impl Payload {
    /// A call of a method in JSON.
    pub(in crate::service) fn json_call(
        method: &str,
        arguments: impl Arguments,
    ) -> Result<Self, ServiceError> {
        let arguments = json_arguments(method, arguments)?;
        let body = format!(r#"{{"Target":{},"Arguments":{arguments}}}"#, Value::from(method));
        Ok(Self { content_type: JSON, body: body.into() })
    }

    /// A call of a method in both protocols.
    #[cfg(feature = "msgpack")]
    pub(in crate::service) fn binary_call(
        method: &str,
        arguments: impl Arguments,
    ) -> Result<Self, ServiceError> {
        use crate::core::{json, message::HubMessage, message::Invocation, msgpack};

        check_method(method)?;
        let mut writer = ArgumentWriter::json_and_msgpack();
        let written = arguments.write(&mut writer).and_then(|()| writer.finish_both());
        let (json_arguments, msgpack_arguments) = written.map_err(ServiceError::Arguments)?;
        let call = |arguments| {
            HubMessage::Invocation(Invocation {
                headers: Vec::new(),
                invocation_id: None,
                target: method.into(),
                arguments,
                stream_ids: Vec::new(),
            })
        };
        let (mut text, mut bytes) = (Vec::new(), Vec::new());
        json::write(&mut text, &call(&json_arguments));
        msgpack::write(&mut bytes, &call(&msgpack_arguments));
        // A map of two.
        let mut body = vec![0x82];
        for (name, message) in [(json::NAME, text), (msgpack::NAME, bytes)] {
            msgpack::write_text(&mut body, name);
            msgpack::write_binary(&mut body, &message);
        }
        Ok(Self { content_type: crate::core::http::OCTETS, body: body.into() })
    }

    /// A value in JSON.
    pub(in crate::service) fn json(value: &(impl Serialize + ?Sized)) -> Result<Self, ServiceError> {
        let body =
            serde_json::to_vec(value).map_err(|error| ServiceError::Arguments(SerializeError::new(error)))?;
        Ok(Self { content_type: JSON, body: body.into() })
    }
}

/// The list of arguments as a JSON array.
pub(in crate::service) fn json_arguments(
    method: &str,
    arguments: impl Arguments,
) -> Result<String, ServiceError> {
    check_method(method)?;
    let mut writer = ArgumentWriter::new(HubProtocol::Json);
    let written = arguments.write(&mut writer).and_then(|()| writer.finish_without_uploads());
    let text = written.and_then(|bytes| String::from_utf8(bytes).map_err(SerializeError::new));
    text.map_err(ServiceError::Arguments)
}

fn check_method(method: &str) -> Result<(), ServiceError> {
    if method.is_empty() {
        return Err(ServiceError::InvalidName { what: "method", reason: "it is empty" });
    }
    Ok(())
}

#[cfg(all(test, feature = "msgpack"))]
mod tests {
    use super::*;

    /// The bytes that the official SDK sends for this call.
    #[test]
    fn a_binary_payload_is_the_official_one() {
        let payload = Payload::binary_call("m", ("x",)).unwrap();
        let expected = b"\x82\xa4json\xc4\x2a{\"type\":1,\"target\":\"m\",\"arguments\":[\"x\"]}\x1e\
                         \xabmessagepack\xc4\x0b\x0a\x96\x01\x80\xc0\xa1m\x91\xa1x\x90";
        assert_eq!(&payload.body[..], expected);
        for (length, header) in [(300, &b"\xc5"[..]), (70_000, b"\xc6")] {
            let payload = Payload::binary_call("m", ("x".repeat(length),)).unwrap();
            assert_eq!(&payload.body[6..7], header);
        }
    }
}
