//! What all connections of a hub share.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    filter::{OnConnected, OnDisconnected},
    front::Front,
    identity::{HubRequest, Identity, Rejection},
    methods::Methods,
    refreshable::Refreshable,
    rules::Rules,
    sender::HubSender,
};
use crate::{core::negotiate::Transports, platform::BoxFuture, server::room::Room};

pub(super) type Authenticate =
    Arc<dyn Fn(&HubRequest<'_>) -> BoxFuture<Result<Identity, Rejection>> + Send + Sync>;

/// A hub: its methods, its connections, its rules.
pub(in crate::server) struct Hub {
    pub(in crate::server) room: Arc<Room>,
    /// What those have of it who send to its clients.
    pub(super) sender: Arc<HubSender>,
    pub(super) methods: Methods,
    pub(super) rules: Rules,
    pub(super) authenticate: Authenticate,
    pub(super) on_connected: Option<OnConnected>,
    pub(super) on_disconnected: Option<OnDisconnected>,
    pub(in crate::server) transports: Transports,
    pub(super) poll_interval: Duration,
    pub(super) parallel_calls: usize,
    pub(in crate::server) detailed_errors: bool,
    /// Where its clients connect, instead of here.
    #[cfg(feature = "service")]
    pub(in crate::server) azure: Option<Arc<crate::server::azure::Azure>>,
    /// How many bytes may wait for the methods of one client.
    pub(super) client_buffer: usize,
    pub(in crate::server) front: Front,
    pub(super) refreshable: Refreshable,
}

impl Hub {
    /// Whether the authentication of its clients may be refreshed, here or by another server.
    pub(super) fn has_refreshes(&self) -> bool {
        #[cfg(feature = "service")]
        if self.azure.is_some() {
            return true;
        }
        self.front.refreshes
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}
