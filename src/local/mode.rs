//! Who answers the clients of a service.

use std::sync::Arc;

use crate::local::{default_mode::Hubs, serverless::Serverless};

/// Who answers the clients of a service: what Azure calls its service mode.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServiceMode {
    /// App servers, which open server connections to the service, as `Microsoft.Azure.SignalR` does. Without any, clients
    /// are refused in their handshake. An upstream is not told of them.
    Default,
    /// Nobody, or an [upstream](super::LocalServiceBuilder::upstream). App servers are refused.
    #[default]
    Serverless,
}

/// The mode of a running service, with what its clients share.
#[derive(Debug)]
pub(super) enum Mode {
    Default(Arc<Hubs>),
    Serverless(Arc<Serverless>),
}

impl Mode {
    /// Where clients and app servers meet, in default mode.
    pub(super) fn hubs(&self) -> Option<&Arc<Hubs>> {
        match self {
            Self::Default(hubs) => Some(hubs),
            Self::Serverless(_) => None,
        }
    }
}
