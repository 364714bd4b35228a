//! Hubs behind Azure SignalR Service, in its default mode: clients connect to the service, and the hub runs here.
//!
//! One line puts a [hub](crate::server) there; its methods stay as they are. The features are `server` and `service`.
//!
//! ```no_run
//! use hubwire::server::{Caller, HubServer, azure::AzureSignalR};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let connection_string = std::env::var("AZURE_SIGNALR_CONNECTION_STRING")?;
//! let chat = HubServer::builder()
//!     .on("SendMessage", |caller: Caller, user: String, text: String| async move {
//!         caller.clients().all().send("ReceiveMessage", (user, text)).await?;
//!         Ok(())
//!     })
//!     .azure(AzureSignalR::from_connection_string("chat", &connection_string))?
//!     .build();
//!
//! let app = axum::Router::new().nest_service("/chat", chat.clone());
//! axum::serve(tokio::net::TcpListener::bind("127.0.0.1:8080").await?, app).await?;
//! chat.shut_down_gracefully().await;
//! # Ok(())
//! # }
//! ```
//!
//! Clients are given the same address as before, `/chat`, and are sent on to the service when they negotiate. Who they are,
//! [`authenticate`](crate::server::HubServerBuilder::authenticate) says then: their claims travel in a token. Several servers
//! may have the hub, written in Rust or in .NET with `Microsoft.Azure.SignalR`: users, groups and results of clients reach over
//! all of them.
//!
//! What is different from a hub that has its clients itself:
//!
//! - A send waits until a server connection has room for it, and fails while none is up
//!   ([`SendError`](crate::server::error::SendError)). It does not say whether a client has got it.
//! - Putting a connection into a group waits for the service.
//! - A client that is in several of the groups of one send gets it once.
//! - [`Groups::members`](crate::server::Groups::members) asks the service, page by page.
//! - A client whose calls the hub does not keep up with ends when 16 MiB of them wait, since the service cannot be asked to
//!   hold back one client of many.
//! - Clients of [`connect_in_memory`](crate::server::HubServer::connect_in_memory) are not known to the service, so what is sent to
//!   all, to users or to groups does not reach them. Test the hub without this line.
//!
//! # Microsoft Entra
//!
//! What [Authorize requests with Microsoft Entra applications](https://learn.microsoft.com/azure/azure-signalr/signalr-howto-authorize-application)
//! shows for app servers in C#, in Rust. The application or identity needs the role **SignalR App Server** on the resource.
//!
//! With a certificate:
//!
//! ```no_run
//! use hubwire::server::azure::AzureSignalR;
//! use hubwire::service::{ServiceEndpoint, credentials::ClientCertificate};
//!
//! # fn azure() -> Result<AzureSignalR, Box<dyn std::error::Error>> {
//! let credential = ClientCertificate::from_file("tenantId", "clientId", "path-to-cert");
//! let azure = AzureSignalR::new("chat", [ServiceEndpoint::new("https://<resource>.service.signalr.net", credential)?]);
//! # Ok(azure)
//! # }
//! ```
//!
//! With a client secret:
//!
//! ```no_run
//! use hubwire::server::azure::AzureSignalR;
//! use hubwire::service::{ServiceEndpoint, credentials::ClientSecret};
//!
//! # fn azure() -> Result<AzureSignalR, Box<dyn std::error::Error>> {
//! let credential = ClientSecret::new("tenantId", "clientId", "clientSecret");
//! let azure = AzureSignalR::new("chat", [ServiceEndpoint::new("https://<resource>.service.signalr.net", credential)?]);
//! # Ok(azure)
//! # }
//! ```
//!
//! With a federated identity, where the organization allows neither secrets nor certificates:
//!
//! ```no_run
//! use hubwire::server::azure::AzureSignalR;
//! use hubwire::service::{ServiceEndpoint, credentials::{FederatedCredential, ManagedIdentity}};
//!
//! # fn azure() -> Result<AzureSignalR, Box<dyn std::error::Error>> {
//! let identity = ManagedIdentity::with_client_id("msiClientId");
//! // In US Government and in China: `.cloud(Cloud::UsGovernment)`, `.cloud(Cloud::China)`.
//! let credential = FederatedCredential::with_managed_identity("tenantId", "appClientId", identity);
//! let azure = AzureSignalR::new("chat", [ServiceEndpoint::new("https://<resource>.service.signalr.net", credential)?]);
//! # Ok(azure)
//! # }
//! ```
//!
//! With several endpoints, each with a credential of its own:
//!
//! ```no_run
//! use hubwire::server::azure::AzureSignalR;
//! use hubwire::service::{ServiceEndpoint, credentials::{ClientCertificate, ClientSecret}};
//!
//! # fn azure() -> Result<AzureSignalR, Box<dyn std::error::Error>> {
//! let credential1 = ClientSecret::new("tenantId", "clientId", "clientSecret");
//! let credential2 = ClientCertificate::from_file("tenantId", "clientId", "path-to-cert");
//! let azure = AzureSignalR::new("chat", [
//!     ServiceEndpoint::new("https://<resource1>.service.signalr.net", credential1)?,
//!     ServiceEndpoint::new("https://<resource2>.service.signalr.net", credential2)?.named("west").secondary(),
//! ]);
//! # Ok(azure)
//! # }
//! ```
//!
//! Clients go to a primary endpoint that is online, by how many each has room for and by [weight](crate::service::ServiceEndpoint::weighted);
//! to a secondary one while no primary one is. Messages go to all. From settings, such as `Azure__SignalR__ConnectionString`
//! with `AuthType=azure.msi`: [`AzureSignalR::from_configuration`].
//!
//! # How it is made
//!
//! ```text
//!   service ──server connections──▶ events ──▶ clients: a session for each client, over a transport made of messages
//!           ◀── ConnectionData, CloseConnection ──────┘          │
//!           ◀── sends, groups, questions ── lifetime ◀── the hub's methods
//! ```
//!
//! `connections` are the server connections of a hub: WebSockets to the service, on which the traffic of all its clients
//! goes. They know the service, and nothing of hubs. `listen` hears what the service says, `clients` has the clients, and
//! `client` the transport that carries each session. `lifetime` is how messages leave, `results` how results come from clients of other servers,
//! `negotiate` the way in.

pub(in crate::server) mod client;
mod clients;
pub(crate) mod connections;
mod event;
mod handle;
mod hub_server;
pub(crate) mod ids;
mod keep_up;
mod lifetime;
mod link;
#[cfg(test)]
mod link_tests;
mod listen;
mod negotiate;
mod opening;
mod options;
mod pieces;
mod questions;
mod refresh;
mod results;
mod shared;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc, time::Duration};

use tokio::sync::mpsc;

use self::{
    clients::Clients,
    connections::{ServerConnections, Shutdown},
    event::Event,
    options::Rules,
    results::Results,
    shared::{ConnectionsOptions, StartError},
};
use crate::{core::ErrorChain, server::room::Room, service::server_access::EndpointAccess};

#[cfg(feature = "actix")]
pub(in crate::server) use self::negotiate::not_here;
pub(crate) use self::options::Prepared;
pub use self::options::{AzureSignalR, AzureSignalRError, GracefulShutdown, ServerStickyMode};
pub(in crate::server) use self::{listen::listen, negotiate::answer};

/// How long the end of a hub waits for its sessions to say goodbye.
const GOODBYE: Duration = Duration::from_secs(3);

/// A hub's side of Azure SignalR Service.
pub(crate) struct Azure {
    rules: Rules,
    room: Arc<Room>,
    connections: ServerConnections,
    clients: Clients,
    results: Results,
}

impl Azure {
    /// Connects in the background, for ever.
    fn start(prepared: Prepared, room: Arc<Room>) -> Result<(Arc<Self>, mpsc::Receiver<Event>), StartError> {
        let Prepared { hub, access, rules, allows_stateful_reconnect } = prepared;
        // Two hubs of a process may be two servers of one hub, so each has a name of its own.
        let mark = ids::guid().replace('-', "");
        let machine = ids::server_id().rsplit_once('_').map_or("hubwire", |(machine, _)| machine);
        let options = ConnectionsOptions {
            initial_count: rules.initial_connections,
            maximum_count: rules.maximum_connections,
            server_id: format!("{machine}_{mark}"),
            migration_level: i32::from(rules.shutdown == GracefulShutdown::MigrateClients),
            allows_stateful_reconnect,
            access_token_lifetime: rules.token_lifetime,
            ..ConnectionsOptions::new(hub, access)
        };
        let (connections, events) = ServerConnections::start(options)?;
        let (clients, results) = (Clients::default(), Results::new(mark));
        let azure = Self { rules, room, connections, clients, results };
        Ok((Arc::new(azure), events))
    }

    /// One of the endpoints.
    fn access(&self, endpoint: usize) -> Option<&EndpointAccess> {
        self.connections.endpoints().nth(endpoint)
    }

    /// Waits for a server connection: from then on clients can come.
    async fn ready(&self) {
        self.connections.ready().await;
    }

    /// Does with the clients what the hub is set up for, and ends the server connections. Otherwise sessions say goodbye.
    async fn shut_down(&self) {
        let mode = match self.rules.shutdown {
            GracefulShutdown::Off => return,
            GracefulShutdown::WaitForClientsClose => Shutdown::WaitForClientsClose,
            GracefulShutdown::MigrateClients => Shutdown::MigrateClients,
        };
        self.connections.shut_down(mode, self.rules.shutdown_timeout).await;
    }

    /// Ends the server connections, once the sessions have ended.
    async fn end(&self) {
        self.connections.shut_down(Shutdown::WaitForClientsClose, GOODBYE).await;
    }
}

/// Connects a hub that is about to be built. What the service says then, [`listen()`] hears.
pub(crate) fn start(prepared: Prepared, room: Arc<Room>) -> (Arc<Azure>, mpsc::Receiver<Event>) {
    match Azure::start(prepared, room) {
        Ok(started) => started,
        Err(error) => panic!("Azure SignalR Service cannot be connected to: {}", ErrorChain::new(&error)),
    }
}

impl fmt::Debug for Azure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Azure").field("connections", &self.connections).finish_non_exhaustive()
    }
}
