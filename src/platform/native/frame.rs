//! One WebSocket message, natively: what tungstenite has read, without a copy.

use std::borrow::Cow;

use tokio_tungstenite::tungstenite::{Bytes, Utf8Bytes};

use crate::platform::SharedFrame;

/// Bytes whose clones are cheap.
pub(crate) type SharedBytes = Bytes;
/// A text whose clones are cheap.
pub(crate) type SharedText = Utf8Bytes;

/// One WebSocket message.
#[derive(Debug)]
pub(crate) enum Frame {
    Text(Utf8Bytes),
    Binary(Bytes),
}

impl Frame {
    /// A text frame. Bytes that are not UTF-8, which no codec writes, are replaced.
    pub(crate) fn text(bytes: Vec<u8>) -> Self {
        let text =
            String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
        Self::Text(text.into())
    }

    pub(crate) fn binary(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes.into())
    }

    pub(crate) fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }

    /// In bytes.
    pub(crate) fn length(&self) -> usize {
        self.bytes().len()
    }

    pub(crate) fn bytes(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        })
    }
}

impl Frame {
    /// To be borrowed from for as long as it takes.
    pub(crate) fn share(self) -> SharedFrame {
        match self {
            Self::Text(text) => SharedFrame::Text(text),
            Self::Binary(bytes) => SharedFrame::Binary(bytes),
        }
    }

    #[cfg(feature = "server")]
    pub(crate) fn into_bytes(self) -> Bytes {
        match self {
            Self::Text(text) => text.into(),
            Self::Binary(bytes) => bytes,
        }
    }

    pub(super) fn shared_bytes(&self) -> Bytes {
        match self {
            Self::Text(text) => text.clone().into(),
            Self::Binary(bytes) => bytes.clone(),
        }
    }
}

impl From<&str> for Frame {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}
