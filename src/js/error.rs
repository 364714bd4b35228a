//! Errors as JavaScript takes them: a code for programs, a text, and the HTTP status that a server refused with.

use js_sys::Array;
use wasm_bindgen::JsValue;

use crate::core::ErrorChain;
use crate::core::client::ConnectionError;
use crate::core::refresh::RefreshError;

/// `[code, text, status]`, of which `errors.js` makes an `Error`.
pub(super) fn js_error(code: &str, text: &str, status: Option<u16>) -> JsValue {
    Array::of3(&code.into(), &text.into(), &status.into()).into()
}

pub(super) fn refresh_error(error: &RefreshError) -> JsValue {
    js_error("AuthenticationRefresh", &ErrorChain::new(error).to_string(), error.status())
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
