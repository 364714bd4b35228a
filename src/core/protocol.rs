use crate::core::negotiate::TransferFormat;

/// How hub messages are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum HubProtocol {
    /// JSON text, which every server speaks.
    #[default]
    Json,
}

impl HubProtocol {
    /// The name in the handshake.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => crate::core::json::NAME,
        }
    }

    /// What a transport has to carry.
    #[must_use]
    pub fn format(self) -> TransferFormat {
        match self {
            Self::Json => TransferFormat::Text,
        }
    }
}
