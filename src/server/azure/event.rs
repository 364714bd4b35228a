//! What the service says, and over which server connection.

use std::fmt;

use tokio::sync::OwnedSemaphorePermit;

use crate::{
    core::service_protocol::{self, ServiceMessage},
    platform::SharedBytes,
};

/// One server connection. Its number is never used again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Via {
    /// The place of the endpoint in [`ConnectionsOptions::endpoints`](super::shared::ConnectionsOptions::endpoints).
    pub(crate) endpoint: usize,
    pub(crate) number: u64,
}

/// A message of the service, as it came. It takes a part of what may wait for the hub until it is dropped.
pub(crate) struct Arrived {
    pub(super) frame: SharedBytes,
    pub(super) budget: Option<OwnedSemaphorePermit>,
}

/// There are tokens and users' data in it.
impl fmt::Debug for Arrived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Arrived({} bytes)", self.frame.len())
    }
}

impl Arrived {
    /// The message, which borrows from this. It could be read once already, so it can be again.
    pub(crate) fn message(&self) -> Option<ServiceMessage<'_>> {
        service_protocol::parse(&self.frame).ok().flatten()
    }
}

/// What the service says.
#[derive(Debug)]
pub(crate) enum Event {
    /// What concerns clients, in order: types 4, 5, 6, 34 to 38, 39 of a client, and 43.
    Message(Via, Arrived),
    /// A server connection has ended, and its clients with it.
    Lost(Via),
    /// An instance of the service is gone, and with it those clients of this server connection that it had; all of them,
    /// where the instance is empty.
    Offline(Via, String),
}

impl Event {
    /// Takes a part of what may wait until this is dropped.
    pub(super) fn hold(&mut self, part: OwnedSemaphorePermit) {
        if let Self::Message(_, arrived) = self {
            arrived.budget = Some(part);
        }
    }
}
