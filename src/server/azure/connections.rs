//! The server connections of one hub, at all its endpoints.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::{
    future::join_all,
    stream::{FuturesUnordered, StreamExt as _},
};
use tokio::{sync::mpsc, time};

use super::{
    event::{Event, Via},
    handle::{Command, Link},
    ids,
    keep_up::keep_up,
    questions::Ack,
    shared::{ConnectionsOptions, Endpoint, Shared, StartError},
};
use crate::{
    core::{
        server_connection::Fin,
        service_protocol::{
            self, ServiceMessage,
            codes::outcome::{FORBIDDEN, OK},
        },
    },
    service::server_access::EndpointAccess,
};

/// How often a message is tried on another server connection, and the pause before, as in the official SDK.
const TRIES: usize = 3;
const PAUSE: Duration = Duration::from_millis(200);

/// How long the service may take to answer a question.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the ends of server connections may take when the server stops.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// No server connection could take the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no server connection to Azure SignalR Service is up")]
pub(crate) struct NotConnected;

/// Why a question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AskError {
    #[error(transparent)]
    NotConnected(#[from] NotConnected),
    #[error("Azure SignalR Service has not answered within {} seconds", ANSWER_TIMEOUT.as_secs())]
    Timeout,
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
    #[cfg_attr(not(test), allow(dead_code, reason = "a hub lets its sessions say goodbye first"))]
    Off,
    /// No new ones come, and those that are there may go on until they leave or time is up.
    WaitForClientsClose,
    /// They move to other servers.
    MigrateClients,
}

/// The server connections of one hub, at all its endpoints. Cheap to clone. They end when the events are no longer
/// waited for.
#[derive(Clone)]
pub(crate) struct ServerConnections(Arc<Shared>);

impl fmt::Debug for ServerConnections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerConnections").field("hub", &self.0.options.hub).finish_non_exhaustive()
    }
}

impl ServerConnections {
    /// Connects in the background, for ever; within a tokio runtime. The events have to be read without delay: what reads
    /// them must not wait for an answer of the service, which comes behind them.
    pub(crate) fn start(options: ConnectionsOptions) -> Result<(Self, mpsc::Receiver<Event>), StartError> {
        let (shared, events) = Shared::new(options)?;
        for index in 0..shared.endpoints.len() {
            tokio::spawn(keep_up(Arc::clone(&shared), index));
        }
        Ok((Self(shared), events))
    }

    /// The endpoints, with the tokens and keys of each.
    pub(crate) fn endpoints(&self) -> impl ExactSizeIterator<Item = &EndpointAccess> {
        self.0.endpoints.iter().map(|endpoint| &endpoint.access)
    }

    /// The hub's name, without the application's.
    pub(crate) fn hub(&self) -> &str {
        &self.0.options.hub
    }

    /// Which server this is.
    pub(crate) fn server_id(&self) -> &str {
        &self.0.options.server_id
    }

    /// Sends on this very server connection; waits while it is full.
    pub(crate) async fn send(&self, via: Via, message: &ServiceMessage<'_>) -> Result<(), NotConnected> {
        let link = self.0.endpoints.get(via.endpoint).and_then(|endpoint| endpoint.link(via.number));
        let (bytes, closes) = written(message);
        let sent = match link {
            Some(link) => link.send(bytes, closes).await,
            None => false,
        };
        if sent { Ok(()) } else { Err(NotConnected) }
    }

    /// Sends on one server connection of every endpoint that is online; `Ok` when one of them takes it. What has the same
    /// key (a group, a user, a connection) goes on the same one while that is up, and what prefers one on that, so that
    /// order is kept.
    pub(crate) async fn send_to_all(
        &self,
        key: Option<&str>,
        prefer: Option<Via>,
        message: &ServiceMessage<'_>,
    ) -> Result<(), NotConnected> {
        let (hash, (bytes, closes)) = (key.map(ids::hash), written(message));
        let sends = self.0.endpoints.iter().enumerate().map(|(index, endpoint)| {
            let route = Route { endpoint, prefer: number_at(prefer, index), hash };
            route.send(bytes.clone(), closes.clone())
        });
        let sent = join_all(sends).await;
        if !sent.contains(&true) {
            return Err(NotConnected);
        }
        for (endpoint, _) in self.0.endpoints.iter().zip(&sent).filter(|(_, sent)| !**sent) {
            let (hub, endpoint, message) = (&*self.0.options.hub, endpoint.access.label(), message.name());
            tracing::debug!(hub, endpoint, message, "the endpoint is offline, and does not get the message");
        }
        Ok(())
    }

    /// Asks every endpoint that is online. What concerns one connection is over with the first that says 1, the rest when all
    /// have answered; then 1 counts most. A question whose server connection ends meanwhile is asked again.
    pub(crate) async fn ask<'m>(
        &self,
        key: Option<&str>,
        prefer: Option<Via>,
        build: impl Fn(i32) -> ServiceMessage<'m> + Sync,
    ) -> Result<Ack, AskError> {
        let hash = key.map(ids::hash);
        let one_is_enough = has_one_owner(&build(0));
        let asked = self.0.endpoints.iter().enumerate();
        let mut answers: FuturesUnordered<_> = asked
            .map(|(index, endpoint)| {
                let route = Route { endpoint, prefer: number_at(prefer, index), hash };
                self.ask_along(index, route, &build)
            })
            .collect();
        let mut best = Err(AskError::NotConnected(NotConnected));
        while let Some(answer) = answers.next().await {
            if weight(&answer) > weight(&best) {
                best = answer;
            }
            if one_is_enough && best.as_ref().is_ok_and(|ack| ack.status == OK) {
                break;
            }
        }
        best
    }

    /// Asks one endpoint.
    pub(crate) async fn ask_at<'m>(
        &self,
        endpoint: usize,
        key: Option<&str>,
        build: impl Fn(i32) -> ServiceMessage<'m> + Sync,
    ) -> Result<Ack, AskError> {
        let Some(asked) = self.0.endpoints.get(endpoint) else { return Err(NotConnected.into()) };
        let route = Route { endpoint: asked, prefer: None, hash: key.map(ids::hash) };
        self.ask_along(endpoint, route, &build).await
    }

    async fn ask_along<'m>(
        &self,
        index: usize,
        route: Route<'_>,
        build: &(impl Fn(i32) -> ServiceMessage<'m> + Sync),
    ) -> Result<Ack, AskError> {
        let asking = async {
            for attempt in 0..TRIES {
                let (number, link) = route.choose(attempt).await.ok_or(NotConnected)?;
                let via = Via { endpoint: index, number };
                let mut question = self.0.questions.ask(via).ok_or(AskError::TooMany)?;
                let (bytes, closes) = written(&build(question.ack_id));
                if link.send(bytes, closes).await
                    && let Ok(answer) = (&mut question.answer).await
                {
                    return Ok(answer);
                }
            }
            Err(NotConnected.into())
        };
        time::timeout(ANSWER_TIMEOUT, asking).await.unwrap_or(Err(AskError::Timeout))
    }

    /// What is known of each endpoint, in their order.
    pub(crate) fn status(&self) -> Vec<EndpointStatus> {
        let of = |endpoint: &Endpoint| {
            endpoint.with(|state| {
                let said = state.pool.status().unwrap_or_default();
                EndpointStatus {
                    is_online: state.pool.is_online(),
                    connections: state.pool.online().count(),
                    clients: state.links.values().map(|link| link.state.borrow().clients).sum(),
                    client_count: said.client_count,
                    server_count: said.server_count,
                    capacity: said.capacity,
                }
            })
        };
        self.0.endpoints.iter().map(of).collect()
    }

    /// Waits until a server connection has been up.
    pub(crate) async fn ready(&self) {
        // The sender lives as long as this does.
        let _ = self.0.is_ready.subscribe().wait_for(|is_ready| *is_ready).await;
    }

    /// Ends all server connections, after what the mode asks for, which takes until the timeout at most. Each that was up has
    /// its [`Event::Lost`], so events have to be read on. No new ones are opened.
    pub(crate) async fn shut_down(&self, mode: Shutdown, timeout: Duration) {
        let links: Vec<Link> = self
            .0
            .endpoints
            .iter()
            .flat_map(|endpoint| {
                endpoint.with(|state| {
                    state.pool.stop();
                    state.links.values().cloned().collect::<Vec<_>>()
                })
            })
            .collect();
        let fin = match mode {
            Shutdown::Off => None,
            Shutdown::WaitForClientsClose => Some(Fin::Keep),
            Shutdown::MigrateClients => Some(Fin::Migrate),
        };
        if let Some(fin) = fin {
            let leave = links.iter().filter(|link| link.state.borrow().is_ready).map(|link| {
                link.tell(Command::Fin(fin));
                let mut state = link.state.clone();
                // One that has ended meanwhile has no clients either.
                async move { drop(state.wait_for(|state| state.fin_done && state.clients == 0).await) }
            });
            if time::timeout(timeout, join_all(leave)).await.is_err() {
                let clients: usize = links.iter().map(|link| link.state.borrow().clients).sum();
                tracing::warn!(
                    hub = &*self.0.options.hub,
                    clients,
                    "the server stops with clients that have not left"
                );
            }
        }
        let end = links.iter().map(|link| {
            link.tell(Command::Close);
            let mut state = link.state.clone();
            async move { while state.changed().await.is_ok() {} }
        });
        let _ = time::timeout(CLOSE_TIMEOUT, join_all(end)).await;
    }
}

/// The preferred server connection, if it is one of this endpoint.
fn number_at(prefer: Option<Via>, endpoint: usize) -> Option<u64> {
    prefer.filter(|via| via.endpoint == endpoint).map(|via| via.number)
}

/// A message with its length, and the client that it closes.
fn written(message: &ServiceMessage<'_>) -> (Vec<u8>, Option<Box<str>>) {
    let mut bytes = Vec::new();
    service_protocol::write(&mut bytes, message);
    let closes = match message {
        ServiceMessage::CloseConnection { connection_id, .. } => Some(connection_id.as_ref().into()),
        _ => None,
    };
    (bytes, closes)
}

/// Whether one endpoint alone can say yes: the one that has the connection.
fn has_one_owner(message: &ServiceMessage<'_>) -> bool {
    matches!(
        message,
        ServiceMessage::JoinGroupWithAck { .. }
            | ServiceMessage::LeaveGroupWithAck { .. }
            | ServiceMessage::CheckConnectionExistenceWithAck { .. }
            | ServiceMessage::CloseConnectionWithAck { .. }
            | ServiceMessage::RefreshAuth { .. }
            | ServiceMessage::GetConnectionClaims { .. }
    )
}

/// How much an answer counts among those of several endpoints: that it is done, that it must not be, that it is not known,
/// that there is nothing, that the endpoint is offline.
fn weight(answer: &Result<Ack, AskError>) -> u8 {
    match answer {
        Ok(Ack { status: OK, .. }) => 5,
        Ok(Ack { status: FORBIDDEN, .. }) => 4,
        Ok(Ack { status: 2, .. }) => 1,
        Ok(_) => 3,
        Err(AskError::Timeout | AskError::TooMany) => 2,
        Err(AskError::NotConnected(_)) => 0,
    }
}

/// The way of a message at one endpoint.
#[derive(Clone, Copy)]
struct Route<'e> {
    endpoint: &'e Endpoint,
    prefer: Option<u64>,
    hash: Option<u64>,
}

impl Route<'_> {
    /// The server connection to send on. The one before has ended, so the next attempt waits a moment.
    async fn choose(self, attempt: usize) -> Option<(u64, Link)> {
        if attempt > 0 {
            time::sleep(PAUSE).await;
        }
        self.endpoint.choose(self.prefer, self.hash)
    }

    async fn send(self, bytes: Vec<u8>, closes: Option<Box<str>>) -> bool {
        for attempt in 0..TRIES {
            let Some((_, link)) = self.choose(attempt).await else { return false };
            if link.send(bytes.clone(), closes.clone()).await {
                return true;
            }
        }
        false
    }
}
