//! The hub that is built, behind Azure SignalR Service.

use super::HubServerBuilder;
use crate::server::azure::{AzureSignalR, AzureSignalRError};

impl HubServerBuilder {
    /// Puts the hub behind Azure SignalR Service: see [the module `azure`](crate::server::azure). Its clients negotiate
    /// here, and connect there.
    ///
    /// # Errors
    /// [`AzureSignalRError`]: a connection string, a name or a setting is wrong.
    pub fn azure(mut self, azure: AzureSignalR) -> Result<Self, AzureSignalRError> {
        self.azure = Some(azure.prepare()?);
        Ok(self)
    }
}
