//! The encodings of hub messages, by their names in the handshake.

use crate::core::negotiate::TransferFormat;

/// How hub messages are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum HubProtocol {
    /// JSON text, which every server speaks.
    #[default]
    Json,
    /// MessagePack, which is smaller and quicker, and knows bytes and timestamps. Servers have to have it enabled; it
    /// needs a transport that carries bytes, which Server-Sent Events do not.
    #[cfg(feature = "msgpack")]
    MessagePack,
}

impl HubProtocol {
    /// All that this build knows.
    pub const ALL: &[Self] = &[
        Self::Json,
        #[cfg(feature = "msgpack")]
        Self::MessagePack,
    ];

    /// The protocol of this name, as the handshake writes it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|protocol| protocol.name() == name)
    }

    /// The name in the handshake.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => crate::core::json::NAME,
            #[cfg(feature = "msgpack")]
            Self::MessagePack => crate::core::msgpack::NAME,
        }
    }

    /// What a transport has to carry.
    #[must_use]
    pub fn format(self) -> TransferFormat {
        match self {
            Self::Json => TransferFormat::Text,
            #[cfg(feature = "msgpack")]
            Self::MessagePack => TransferFormat::Binary,
        }
    }
}
