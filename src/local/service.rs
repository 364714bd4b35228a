//! What the request handlers of one local service share.

use std::sync::Arc;

use crate::{
    local::{
        default_mode::Hubs, entra::authority::Authority, guard::Guard, keys::KeyRing, upstream::Upstream,
        user_groups::UserGroups,
    },
    server::room::Room,
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
    pub(super) keys: Arc<KeyRing>,
    pub(super) entra: Arc<Authority>,
    pub(super) identity_header: Secret,
    pub(super) room: Arc<Room>,
    pub(super) user_groups: Arc<UserGroups>,
    pub(super) upstream: Arc<Upstream>,
    /// Where clients and app servers meet, in default mode.
    pub(super) hubs: Option<Hubs>,
}
