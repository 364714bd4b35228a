//! Errors as JavaScript has them.

use js_sys::Reflect;
use wasm_bindgen::JsValue;

use crate::core::ErrorChain;
use crate::core::client::ConnectionError;

/// A JavaScript `Error` with a `code` for programs, and a `statusCode` where there is one.
pub(super) fn js_error(code: &str, message: &str, status: Option<u16>) -> JsValue {
    let error = JsValue::from(js_sys::Error::new(message));
    // Setting a property of a fresh object does not fail.
    let set = |name: &str, value: &JsValue| drop(Reflect::set(&error, &JsValue::from_str(name), value));
    set("code", &JsValue::from_str(code));
    if let Some(status) = status {
        set("statusCode", &JsValue::from_f64(f64::from(status)));
    }
    error
}

pub(super) fn connection_error(error: &ConnectionError) -> JsValue {
    let code = match error {
        ConnectionError::InvalidUrl(_) => "InvalidUrl",
        ConnectionError::InvalidHeader { .. } => "InvalidArgument",
        ConnectionError::InsecureUrl(_) => "InsecureUrl",
        ConnectionError::AccessToken(_) => "AccessToken",
        ConnectionError::Negotiate { .. } | ConnectionError::NegotiateRequest { .. } => "Negotiate",
        ConnectionError::NoTransport { .. } => "NoTransport",
        ConnectionError::Transport(_) => "Transport",
        ConnectionError::Timeout { .. } => "Timeout",
        ConnectionError::Handshake(_) => "Handshake",
        ConnectionError::Protocol(_) => "Protocol",
        ConnectionError::ServerTimeout { .. } => "ServerTimeout",
        ConnectionError::ServerClosed { .. } => "ServerClosed",
        ConnectionError::RetriesExhausted { .. } => "RetriesExhausted",
        ConnectionError::SlowConsumer => "SlowConsumer",
        ConnectionError::Stopped => "Stopped",
        // Certificates are the browser's matter.
        ConnectionError::AlreadyStarted
        | ConnectionError::NotConnected
        | ConnectionError::InvalidCertificate { .. } => "InvalidState",
    };
    js_error(code, &ErrorChain::new(error).to_string(), error.status())
}
