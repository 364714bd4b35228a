use serde::de::DeserializeOwned;

use crate::core::HubProtocol;

/// Arguments, an item or a result as they are in a message, not looked into.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Payload<'a> {
    Json(&'a str),
}

impl AsRef<[u8]> for Payload<'_> {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Json(json) => json.as_bytes(),
        }
    }
}

/// Why a payload can't be read as the type that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PayloadError(String);

impl PayloadError {
    fn new(reason: impl ToString) -> Self {
        Self(reason.to_string())
    }
}

impl<'a> Payload<'a> {
    /// What our own serializer wrote.
    pub(crate) fn new(protocol: HubProtocol, bytes: &'a [u8]) -> Self {
        match protocol {
            // JSON is text, so nothing is replaced here.
            HubProtocol::Json => Self::Json(std::str::from_utf8(bytes).unwrap_or("null")),
        }
    }

    /// Stands for the value that a call without a result has.
    pub(crate) fn null(protocol: HubProtocol) -> Self {
        match protocol {
            HubProtocol::Json => Self::Json("null"),
        }
    }

    pub(crate) fn protocol(self) -> HubProtocol {
        match self {
            Self::Json(_) => HubProtocol::Json,
        }
    }

    pub(crate) fn decode<T: DeserializeOwned>(self) -> Result<T, PayloadError> {
        match self {
            Self::Json(json) => serde_json::from_str(json).map_err(PayloadError::new),
        }
    }
}
