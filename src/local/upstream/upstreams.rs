//! Which upstreams there are, and how they are reached.

use std::sync::{Arc, OnceLock, RwLock};

use crate::{
    Proxy,
    core::Cause,
    local::{
        entra::authority::Authority,
        error::LocalError,
        keys::KeyRing,
        upstream::rule::{Target, UpstreamRule},
    },
    lock::{read, write},
    platform::Network,
    server::observe::Observer,
};

/// The upstreams and how to reach them.
#[derive(Debug)]
pub(in crate::local) struct Upstreams {
    rules: RwLock<Arc<[UpstreamRule]>>,
    /// Made with the first rule.
    pub(super) client: OnceLock<reqwest::Client>,
    pub(super) keys: Arc<KeyRing>,
    pub(super) entra: Arc<Authority>,
    /// Once there is a dashboard.
    pub(super) observer: OnceLock<Arc<Observer>>,
}

impl Upstreams {
    pub(in crate::local) fn new(
        rules: Vec<UpstreamRule>,
        keys: Arc<KeyRing>,
        entra: Arc<Authority>,
    ) -> Result<Self, LocalError> {
        let (client, observer) = (OnceLock::new(), OnceLock::new());
        let upstreams = Self { rules: RwLock::default(), client, keys, entra, observer };
        upstreams.set(rules)?;
        Ok(upstreams)
    }

    /// Replaces the rules. What has happened is told by those of its time.
    pub(in crate::local) fn set(&self, rules: Vec<UpstreamRule>) -> Result<(), LocalError> {
        if !rules.is_empty() && self.client.get().is_none() {
            let unavailable = |error| LocalError::HttpClient(error);
            let network = Network { proxy: Proxy::none(), ..Network::default() };
            let builder = network.http_client_builder().map_err(|error| unavailable(Cause::new(error)))?;
            let client = builder.build().map_err(|error| unavailable(Cause::new(error)))?;
            self.client.get_or_init(|| client);
        }
        *write(&self.rules) = rules.into();
        Ok(())
    }

    /// Whether a rule sends tokens along.
    pub(in crate::local) fn has_identity(&self) -> bool {
        read(&self.rules).iter().any(UpstreamRule::has_identity)
    }

    /// Keeps what upstreams are asked for the dashboard.
    #[cfg(feature = "dashboard")]
    pub(in crate::local) fn observe(&self, observer: &Arc<Observer>) {
        let _ = self.observer.set(observer.clone());
    }

    /// The rules for the dashboard.
    #[cfg(feature = "dashboard")]
    pub(in crate::local) fn described(&self) -> Vec<crate::dashboard::contract::Upstream> {
        read(&self.rules).iter().map(UpstreamRule::described).collect()
    }

    pub(super) fn is_configured(&self) -> bool {
        !read(&self.rules).is_empty()
    }

    pub(super) fn target(&self, hub: &str, category: &str, event: &str) -> Option<Target> {
        read(&self.rules).iter().find_map(|rule| rule.target(hub, category, event))
    }
}
