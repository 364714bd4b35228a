//! What the owner of a hub is told about its backplane.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use crate::Cause;
use crate::lock::lock;

/// Something that happened to the connection of a hub with its backplane.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum BackplaneEvent {
    /// The connection is lost, or could not be made at first. Until it is restored, what other servers send does not reach
    /// the clients of this one, and what is sent from here is an error.
    #[non_exhaustive]
    Lost {
        /// Why.
        error: Cause,
    },
    /// The connection stands again, and everything is subscribed to. What other servers have sent meanwhile is lost.
    #[non_exhaustive]
    Restored {
        /// For how long there was no connection.
        away: Duration,
        /// How many messages of this server could not be published meanwhile. Each of them was an error.
        refused: u64,
    },
}

/// Counts while there is no connection.
#[derive(Debug, Default)]
pub(super) struct Outage(Mutex<(Option<Instant>, u64)>);

impl Outage {
    /// Whether there was a connection before.
    pub(super) fn begin(&self) -> bool {
        let mut outage = lock(&self.0);
        let is_new = outage.0.is_none();
        if is_new {
            *outage = (Some(Instant::now()), outage.1);
        }
        is_new
    }

    /// A message was not published, or it is not known whether it was. What breaks with the connection is often known
    /// before the loss itself, so it counts for the outage that follows.
    pub(super) fn refuse(&self) {
        lock(&self.0).1 += 1;
    }

    /// How long it was and how many messages were refused, if there was one.
    pub(super) fn end(&self) -> Option<(Duration, u64)> {
        let (since, refused) = std::mem::take(&mut *lock(&self.0));
        since.map(|since| (since.elapsed(), refused))
    }
}
