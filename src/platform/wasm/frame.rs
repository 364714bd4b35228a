//! One WebSocket message in a browser, whose bytes stay JavaScript's.

use std::rc::Rc;

use js_sys::{JsString, Uint8Array};
use wasm_bindgen::JsValue;

use crate::platform::SharedFrame;

/// Bytes whose clones are cheap.
pub(crate) type SharedBytes = Rc<[u8]>;
/// A text whose clones are cheap.
pub(crate) type SharedText = Rc<str>;

/// One WebSocket message. Text stays JavaScript's until someone asks for its bytes.
#[derive(Debug)]
pub(crate) enum Frame {
    Text(JsString),
    Binary(Uint8Array),
}

impl Frame {
    /// A text frame. Bytes that are not UTF-8, which no codec writes, are replaced.
    pub(crate) fn text(bytes: Vec<u8>) -> Self {
        Self::Text(String::from_utf8_lossy(&bytes).as_ref().into())
    }

    pub(crate) fn binary(bytes: Vec<u8>) -> Self {
        Self::Binary(Uint8Array::from(bytes.as_slice()))
    }

    pub(crate) fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }

    /// In bytes, or in units of UTF-16, which are as many or fewer.
    pub(crate) fn length(&self) -> usize {
        let length = match self {
            Self::Text(text) => text.length(),
            Self::Binary(bytes) => bytes.length(),
        };
        length as usize
    }

    /// To be borrowed from for as long as it takes.
    pub(crate) fn share(self) -> SharedFrame {
        match self {
            Self::Text(text) => SharedFrame::Text(String::from(text).into()),
            Self::Binary(bytes) => SharedFrame::Binary(bytes.to_vec().into()),
        }
    }
}

impl From<&str> for Frame {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl AsRef<JsValue> for Frame {
    fn as_ref(&self) -> &JsValue {
        match self {
            Self::Text(text) => text,
            Self::Binary(bytes) => bytes,
        }
    }
}
