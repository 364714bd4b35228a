//! The transports: what they are called, and which of them a client can and may use.

use std::fmt;
use std::ops::BitOr;

use crate::core::negotiate::AvailableTransport;
use crate::core::{ErrorChain, TransportError};

/// A way to carry messages over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport {
    /// One socket, text and binary.
    WebSockets,
    /// An event stream down, POSTs up; text only.
    ServerSentEvents,
    /// One GET at a time down, POSTs up; text and binary.
    LongPolling,
}

impl Transport {
    /// The transport of this name, as the wire writes it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::WebSockets, Self::ServerSentEvents, Self::LongPolling].into_iter().find(|t| t.name() == name)
    }

    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::WebSockets => "WebSockets",
            Self::ServerSentEvents => "ServerSentEvents",
            Self::LongPolling => "LongPolling",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of transports, with the bits of the official `HttpTransportType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transports(u8);

impl Transports {
    /// None at all.
    pub const NONE: Self = Self(0);
    /// All three.
    pub const ALL: Self = Self(7);

    /// The set of these bits of the official `HttpTransportType`: 1 for WebSockets, 2 for Server-Sent Events, 4 for
    /// long polling. Others mean nothing.
    #[must_use]
    pub fn from_mask(mask: u8) -> Self {
        Self(mask & Self::ALL.0)
    }

    /// The bits of the set, as [`from_mask`](Self::from_mask) takes them.
    #[must_use]
    pub fn mask(self) -> u8 {
        self.0
    }

    /// Whether a transport is in the set.
    #[must_use]
    pub fn contains(self, transport: Transport) -> bool {
        self.0 & Self::from(transport).0 != 0
    }
}

impl From<Transport> for Transports {
    fn from(transport: Transport) -> Self {
        Self(match transport {
            Transport::WebSockets => 1,
            Transport::ServerSentEvents => 2,
            Transport::LongPolling => 4,
        })
    }
}

impl BitOr for Transport {
    type Output = Transports;
    fn bitor(self, other: Self) -> Transports {
        Transports::from(self) | Transports::from(other)
    }
}

impl BitOr<Transport> for Transports {
    type Output = Self;
    fn bitor(self, other: Transport) -> Self {
        self | Self::from(other)
    }
}

impl BitOr for Transports {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What kind of messages a hub protocol needs carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferFormat {
    /// JSON.
    Text,
    /// MessagePack.
    Binary,
}

impl TransferFormat {
    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "Text",
            Self::Binary => "Binary",
        }
    }
}

/// Why a transport that the server offers was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SkipReason {
    /// This client does not know it.
    #[error("it is not known to this client")]
    Unknown,
    /// The caller's options leave it out.
    #[error("it is disabled by the client's options")]
    Disabled,
    /// It does not carry the protocol's kind of messages.
    #[error("it does not support the transfer format {}", .0.name())]
    Format(TransferFormat),
    /// The environment lacks it: no WebSocket, or no `fetch` whose answers can be read as they come.
    #[error("it is not available in this environment")]
    Environment,
    /// It was tried, and could not be opened.
    #[error("it could not be opened")]
    Failed(#[source] TransportError),
}

/// A transport that was not taken, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SkippedTransport {
    /// Its name on the wire.
    pub transport: String,
    /// Why it was not taken.
    pub reason: SkipReason,
}

impl fmt::Display for SkippedTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.transport, ErrorChain::new(&self.reason))
    }
}

/// What a client can and may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransportChoice {
    /// What the caller allows.
    pub allowed: Transports,
    /// What the environment has.
    pub available: Transports,
    /// What the protocol needs.
    pub format: TransferFormat,
}

impl TransportChoice {
    /// Judges one offer.
    ///
    /// # Errors
    /// The reason to pass it over.
    pub fn judge(&self, offer: &AvailableTransport) -> Result<Transport, SkipReason> {
        let transport = Transport::from_name(&offer.transport).ok_or(SkipReason::Unknown)?;
        if !self.allowed.contains(transport) {
            Err(SkipReason::Disabled)
        } else if !offer.transfer_formats.iter().any(|format| format == self.format.name()) {
            Err(SkipReason::Format(self.format))
        } else if !self.available.contains(transport) {
            Err(SkipReason::Environment)
        } else {
            Ok(transport)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_skip_has_its_reason() {
        let choice = TransportChoice {
            allowed: Transport::ServerSentEvents | Transport::LongPolling,
            available: Transport::LongPolling.into(),
            format: TransferFormat::Binary,
        };
        for (transport, formats, judged) in [
            ("CarrierPigeon", &["Text"][..], Err(SkipReason::Unknown)),
            ("WebSockets", &["Text", "Binary"], Err(SkipReason::Disabled)),
            ("ServerSentEvents", &["Text"], Err(SkipReason::Format(TransferFormat::Binary))),
            ("ServerSentEvents", &["Binary"], Err(SkipReason::Environment)),
            ("LongPolling", &["Text", "Binary"], Ok(Transport::LongPolling)),
        ] {
            let transfer_formats = formats.iter().map(|&format| format.to_owned()).collect();
            let offer = AvailableTransport { transport: transport.to_owned(), transfer_formats };
            assert_eq!(choice.judge(&offer), judged, "{transport}");
        }
    }
}
