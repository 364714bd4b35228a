//! What the request handlers of one local service share.

use std::sync::Arc;

use crate::{
    local::{
        default_mode::Hubs, entra::authority::Authority, keys::KeyRing, upstream::Upstream,
        user_groups::UserGroups,
    },
    server::room::Room,
    service::secret::Secret,
};

/// The address of the service at which a request has come in.
#[derive(Debug, Clone)]
pub(super) struct Origin(pub(super) Arc<str>);

/// One running service.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) origin: String,
    pub(super) keys: KeyRing,
    pub(super) entra: Authority,
    pub(super) identity_header: Secret,
    pub(super) room: Arc<Room>,
    pub(super) user_groups: Arc<UserGroups>,
    pub(super) upstream: Option<Arc<Upstream>>,
    /// Where clients and app servers meet, in default mode.
    pub(super) hubs: Option<Hubs>,
}
