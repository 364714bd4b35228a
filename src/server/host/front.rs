//! How a hub meets its clients: authentication that ends and is refreshed, other origins.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{
    identity::Identity,
    refreshable::{OnRefresh, OnRefreshed},
};
use crate::cors::Cors;

/// The rules for requests, whatever the hub is.
#[derive(Default)]
pub(in crate::server) struct Front {
    pub(super) cors: Cors,
    /// Whether clients are told how long their authentication lasts, and may refresh it.
    pub(in crate::server) refreshes: bool,
    pub(in crate::server) on_refresh: Option<OnRefresh>,
    pub(super) on_refreshed: Option<OnRefreshed>,
    /// Whether connections end with the authentication of their clients.
    pub(super) closes_on_expiry: bool,
    pub(super) maximum_expiry: Option<Duration>,
}

impl Front {
    /// When the authentication of a client ends, if it does.
    pub(in crate::server) fn expiry(&self, identity: &Identity) -> Option<SystemTime> {
        let latest = self.maximum_expiry.and_then(|most| SystemTime::now().checked_add(most));
        [identity.expires, latest].into_iter().flatten().min()
    }

    /// When a connection ends with it, if it does, in seconds since the Unix epoch.
    pub(in crate::server) fn end(&self, identity: &Identity) -> Option<u64> {
        let expiry = self.expiry(identity).filter(|_| self.closes_on_expiry)?;
        Some(expiry.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    }

    /// How many seconds are left of it, for clients that refresh it in time.
    pub(in crate::server) fn lifetime(&self, identity: &Identity) -> Option<u64> {
        let expiry = self.expiry(identity).filter(|_| self.refreshes)?;
        Some(expiry.duration_since(SystemTime::now()).map_or(0, |left| left.as_secs()))
    }
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Front").field("cors", &self.cors).finish_non_exhaustive()
    }
}
