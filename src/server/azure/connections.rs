//! The server connections of one hub, at all its endpoints.

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;

use crate::{
    core::service_protocol::{self, ServiceMessage},
    platform::SharedBytes,
    service::server_access::EndpointAccess,
};

/// What server connections are made with.
pub(crate) struct ConnectionsOptions {
    /// The hub's name, without the application's.
    pub(crate) hub: String,
    /// The endpoints; hubs of one process share them, and with them tokens and keys. Each knows its name, its role and
    /// the application.
    pub(crate) endpoints: Vec<EndpointAccess>,
    /// How many server connections each endpoint has, at least.
    pub(crate) initial_count: usize,
    /// How many at most, where the service asks for more.
    pub(crate) maximum_count: Option<usize>,
    /// Which server this is: one name for a process. See [`server_id`].
    pub(crate) server_id: String,
    /// Whether clients move to another server when this one shuts down: 0 no, 1 yes.
    pub(crate) migration_level: i32,
    /// Whether the hub takes part in stateful reconnect.
    pub(crate) allows_stateful_reconnect: bool,
    /// Of the tokens that open server connections.
    pub(crate) access_token_lifetime: Duration,
}

/// One server connection. Its number is never used again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Via {
    /// The place of the endpoint in [`ConnectionsOptions::endpoints`].
    pub(crate) endpoint: usize,
    pub(crate) number: u64,
}

/// A message of the service that was taken apart already once.
pub(crate) struct Arrived {
    pub(crate) frame: SharedBytes,
}

impl Arrived {
    /// The message, which borrows from this.
    pub(crate) fn message(&self) -> Option<ServiceMessage<'_>> {
        service_protocol::parse(&self.frame).ok().flatten()
    }
}

/// What the service says.
pub(crate) enum Event {
    /// What concerns clients, in order: types 4, 5, 6, 34 to 38, 39 of a client, and 43.
    Message(Via, Arrived),
    /// A server connection has ended, and its clients with it.
    Lost(Via),
    /// An instance of the service is gone, and with it those clients of this server connection that it had; all of them,
    /// where the instance is empty.
    Offline(Via, String),
}

/// No server connection could take the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no server connection to Azure SignalR Service is up")]
pub(crate) struct NotConnected;

/// What the service answers to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ack {
    /// The endpoint that answered.
    pub(crate) endpoint: usize,
    /// 1 done or yes, 2 not found or no, 3 too late, 4 the service failed, 5 forbidden.
    pub(crate) status: i32,
    pub(crate) payload: Option<SharedBytes>,
}

/// Why a question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AskError {
    #[error(transparent)]
    NotConnected(#[from] NotConnected),
    #[error("Azure SignalR Service has not answered within {} seconds", .0.as_secs())]
    Timeout(Duration),
    #[error("too many questions to Azure SignalR Service are open")]
    TooMany,
}

/// What is known of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EndpointStatus {
    /// Whether a server connection is up; before the first one was tried, too.
    pub(crate) is_online: bool,
    /// How many server connections are up.
    pub(crate) connections: usize,
    /// Clients of this process.
    pub(crate) clients: usize,
    /// What the endpoint has said last: clients and servers of the hub, and for how many clients there is room.
    pub(crate) client_count: Option<u64>,
    pub(crate) server_count: Option<u64>,
    pub(crate) capacity: Option<u64>,
}

/// What happens to clients when the server stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shutdown {
    /// They are dropped.
    Off,
    /// No new ones come, and those that are there may go on until they leave or time is up.
    WaitForClientsClose,
    /// They move to other servers.
    MigrateClients,
}

/// The server connections of one hub, at all its endpoints. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ServerConnections(Arc<()>);

/// Why server connections cannot be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("there is no endpoint")]
    NoEndpoint,
    #[error(transparent)]
    Transport(#[from] crate::core::TransportError),
}

#[allow(clippy::todo, clippy::unused_async, unused_variables, reason = "an outline")]
impl ServerConnections {
    /// Connects in the background, for ever. The events have to be read without delay: what reads them must not wait for an
    /// answer of the service.
    pub(crate) fn start(options: ConnectionsOptions) -> Result<(Self, mpsc::Receiver<Event>), StartError> {
        todo!()
    }

    /// Sends on this very server connection; waits while it is full.
    pub(crate) async fn send(&self, via: Via, message: &ServiceMessage<'_>) -> Result<(), NotConnected> {
        todo!()
    }

    /// Sends on one server connection of every endpoint that is online. What has the same key goes on the same one, so
    /// that order is kept; so does what prefers one.
    pub(crate) async fn send_to_all(
        &self,
        key: Option<&str>,
        prefer: Option<Via>,
        message: &ServiceMessage<'_>,
    ) -> Result<(), NotConnected> {
        todo!()
    }

    /// Asks every endpoint that is online, and waits for the first that says 1; if none does, the last answer.
    pub(crate) async fn ask<'m>(
        &self,
        key: Option<&str>,
        prefer: Option<Via>,
        build: impl Fn(i32) -> ServiceMessage<'m>,
    ) -> Result<Ack, AskError> {
        todo!()
    }

    /// Asks one endpoint.
    pub(crate) async fn ask_at<'m>(
        &self,
        endpoint: usize,
        key: Option<&str>,
        build: impl Fn(i32) -> ServiceMessage<'m>,
    ) -> Result<Ack, AskError> {
        todo!()
    }

    /// What is known of each endpoint, in their order.
    pub(crate) fn status(&self) -> Vec<EndpointStatus> {
        todo!()
    }

    /// Waits until a server connection is up.
    pub(crate) async fn ready(&self) {
        todo!()
    }

    /// Ends all server connections, after what the mode asks for. Each has its [`Event::Lost`].
    pub(crate) async fn shut_down(&self, mode: Shutdown, timeout: Duration) {
        todo!()
    }
}

/// A name for this process: the machine's, and 32 random hexadecimal digits.
#[allow(clippy::todo, reason = "an outline")]
pub(crate) fn server_id() -> String {
    todo!()
}
