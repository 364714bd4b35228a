//! What the request handlers of one local service share.

use std::sync::Arc;

use crate::{
    local::{
        default_mode::Hubs, entra::authority::Authority, faults::Faults, guard::Guard, keys::KeyRing,
        upstream::Upstream, user_groups::UserGroups,
    },
    server::room::{Room, Slots},
    service::secret::Secret,
};

/// The address of the service for whoever has sent a request, by the host that it has asked.
#[derive(Debug, Clone)]
pub(super) struct Origin(pub(super) Arc<str>);

/// One running service.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) origin: String,
    pub(super) guard: Guard,
    pub(super) faults: Faults,
    pub(super) keys: Arc<KeyRing>,
    pub(super) entra: Arc<Authority>,
    pub(super) identity_header: Secret,
    pub(super) room: Arc<Room>,
    /// The requests of the REST API in progress.
    pub(super) requests: Arc<Slots>,
    pub(super) user_groups: Arc<UserGroups>,
    pub(super) upstream: Arc<Upstream>,
    /// Where clients and app servers meet, in default mode.
    pub(super) hubs: Option<Hubs>,
}

impl Service {
    /// Waits until nothing is in progress: no request of the REST API, and in serverless mode no client's call. What app
    /// servers have in progress with their clients is not known here.
    pub(super) async fn drained(&self) {
        self.requests.empty().await;
        if self.hubs.is_none() {
            self.room.slots.empty().await;
        }
    }
}
