//! What a host that is made for tests does to what is written to its clients.

use std::{fmt::Debug, time::Duration};

/// What becomes of a write.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Disturbed {
    pub(crate) delay: Duration,
    /// The client does not get it, and nobody knows.
    pub(crate) is_lost: bool,
}

pub(crate) trait Disturb: Debug + Send + Sync {
    /// Something is about to be written to a client.
    fn written(&self, hub: &str, user: Option<&str>, connection: &str) -> Disturbed;
}
