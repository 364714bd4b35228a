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
    /// Waits until nothing is in progress: no request of the REST API, and no call between clients and who answers them, so
    /// that all have left. Server connections, which are in slots as well, go last.
    pub(super) async fn drained(&self) {
        self.requests.empty().await;
        match &self.mode {
            Mode::Default(hubs) => hubs.drained().await,
            Mode::Serverless(_) => self.room.slots.empty().await,
        }
    }
}
