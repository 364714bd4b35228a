//! The client on whose behalf a method runs.

use std::{
    any::Any,
    fmt,
    marker::PhantomData,
    sync::{Arc, Mutex, OnceLock},
};

use http::HeaderMap;

use super::{
    cancel::Cancel,
    clients::{Clients, Groups},
    identity::{CurrentIdentity, Identity},
    sender::HubSender,
};
use crate::{
    core::negotiate::Transport,
    lock::lock,
    server::{outbox::Outbox, query::Query, room::Slot},
};

/// Marks what belongs to a hub whose methods have names that nothing checks.
#[derive(Debug, Clone, Copy)]
pub enum Untyped {}

/// The client that calls a method, and the way to all others. It is cheap to clone, and may be kept.
///
/// Methods of a hub that [`hub!`](crate::hub) describes get a `Caller<Chat, User>`: it calls what the contract `Chat` has for
/// clients, and has a `User` as its session.
pub struct Caller<C = Untyped, S = ()> {
    pub(super) sender: Arc<HubSender>,
    pub(super) connection: Arc<Connection>,
    /// Who the client was when the call began.
    pub(super) identity: Arc<Identity>,
    pub(super) types: PhantomData<fn() -> (C, S)>,
    /// Of the call, or of the connection.
    pub(super) cancelled: Arc<Cancel>,
}

/// What a typed hub keeps for a connection.
pub(super) type Session = OnceLock<Box<dyn Any + Send + Sync>>;

/// What is known of a connection.
pub(super) struct Connection {
    pub(super) id: String,
    /// Who the client is by now.
    pub(super) current: CurrentIdentity,
    pub(super) transport: Option<Transport>,
    pub(super) is_stateful: bool,
    pub(super) headers: HeaderMap,
    pub(super) query: Query,
    pub(super) outbox: Arc<Outbox>,
    /// Why it has ended, once it has.
    pub(super) error: OnceLock<Box<str>>,
    /// Its place in the room, until the hub has been told of its end.
    pub(super) slot: Mutex<Option<Arc<Slot>>>,
    pub(super) session: Session,
}

impl Connection {
    /// The hub has been told of its end.
    pub(super) fn leave(&self) {
        lock(&self.slot).take();
    }
}

impl Caller {
    /// The clients of the hub, this one among them.
    #[must_use]
    pub fn clients(&self) -> Clients<'_> {
        Clients { sender: &self.sender, caller: Some(&self.connection.id) }
    }
}

impl<C, S> Caller<C, S> {
    pub(super) fn with_types<D, T>(&self) -> Caller<D, T> {
        let Self { sender, connection, identity, cancelled, .. } = self.clone();
        Caller { sender, connection, identity, cancelled, types: PhantomData }
    }

    /// The same caller for what knows nothing of the contract.
    #[must_use]
    pub fn untyped(&self) -> Caller {
        self.with_types()
    }

    /// The id of the connection: it can be addressed by it.
    #[must_use]
    pub fn connection_id(&self) -> &str {
        &self.connection.id
    }

    /// The user id of the client; `None` if it is anonymous.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        self.identity.user_id.as_deref()
    }

    /// Every value of a claim, as it was when the call began: see
    /// [`enable_authentication_refresh`](super::HubServerBuilder::enable_authentication_refresh).
    pub fn claims<'c>(&'c self, name: &'c str) -> impl Iterator<Item = &'c str> {
        self.identity.values(name)
    }

    /// Whether a claim has this value, such as `has_claim("role", "admin")`.
    #[must_use]
    pub fn has_claim(&self, name: &str, value: &str) -> bool {
        self.identity.has_claim(name, value)
    }

    /// The transport that the client has chosen, if it is connected to this program.
    #[must_use]
    pub fn transport(&self) -> Option<Transport> {
        self.connection.transport
    }

    /// Whether the connection goes on when it loses its transport, and the client comes back in time.
    #[must_use]
    pub fn is_stateful(&self) -> bool {
        self.connection.is_stateful
    }

    /// The headers of the request that opened the connection.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.connection.headers
    }

    /// A query parameter of that request, decoded.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<&str> {
        self.connection.query.first(name)
    }

    /// The groups of the hub.
    #[must_use]
    pub fn groups(&self) -> Groups<'_> {
        Groups { sender: &self.sender }
    }

    /// Waits until the client no longer wants the result: it cancelled the call, or is gone. For methods that work for
    /// long; a stream is dropped then.
    pub async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }

    /// Whether the client no longer wants the result.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled()
    }

    /// Why the connection has ended: `None` while it has not, and where the client or this server has closed it as agreed.
    #[must_use]
    pub fn disconnect_error(&self) -> Option<&str> {
        self.connection.error.get().map(|error| &**error)
    }

    /// How many messages this client has not got since it does not keep up, see
    /// [`slow_consumers`](super::HubServerBuilder::slow_consumers).
    #[must_use]
    pub fn dropped_messages(&self) -> u64 {
        self.connection.outbox.dropped()
    }

    /// Ends the connection. The client is told that it may not reconnect by itself.
    pub fn abort(&self) {
        self.connection.outbox.close(None);
    }
}

impl<C, S> Clone for Caller<C, S> {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            connection: self.connection.clone(),
            identity: self.identity.clone(),
            cancelled: self.cancelled.clone(),
            types: PhantomData,
        }
    }
}

impl<C, S> fmt::Debug for Caller<C, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("connection_id", &self.connection.id).finish_non_exhaustive()
    }
}
