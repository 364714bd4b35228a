//! What the routes of one local service share.

use std::sync::Arc;

use crate::{
    local::{access::Access, faults::Faults, mode::Mode, upstream::Upstreams, user_groups::UserGroups},
    server::room::{Room, Slots},
    service::secret::Secret,
};

/// One running service.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) access: Arc<Access>,
    pub(super) identity_header: Secret,
    pub(super) faults: Faults,
    pub(super) room: Arc<Room>,
    /// The requests of the REST API in progress.
    pub(super) requests: Arc<Slots>,
    pub(super) user_groups: Arc<UserGroups>,
    pub(super) upstreams: Arc<Upstreams>,
    pub(super) mode: Mode,
}

impl Service {
    /// Waits until nothing is in progress: no request of the REST API, and in serverless mode no client's call. What app
    /// servers have in progress with their clients is not known here.
    pub(super) async fn drained(&self) {
        self.requests.empty().await;
        if let Mode::Serverless(_) = self.mode {
            self.room.slots.empty().await;
        }
    }
}
