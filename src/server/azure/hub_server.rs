//! A hub behind the service: when clients can come, and how it ends.

use crate::server::HubServer;

impl HubServer {
    /// Waits until clients can connect: behind Azure SignalR Service until a server connection has been up, otherwise not at
    /// all.
    pub async fn ready(&self) {
        if let Some(azure) = &self.hub.azure {
            azure.ready().await;
        }
    }

    /// Behind Azure SignalR Service, does with the clients what [`AzureSignalR::graceful_shutdown`](super::AzureSignalR::graceful_shutdown) says, and then, as
    /// everywhere, what [`shut_down`](Self::shut_down) does.
    pub async fn shut_down_gracefully(&self) {
        if let Some(azure) = &self.hub.azure {
            azure.shut_down().await;
        }
        self.shut_down().await;
    }
}
