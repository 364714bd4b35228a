//! What a hub puts around its calls: filters, a fallback, policies and rate limits.

use std::sync::Arc;

use super::{
    caller::Caller, error::HubError, filter::Filters, invocation::HubInvocation, methods::Methods,
    policy::Policies, presence::Watch, rate_limit::Limiter, reply::Reply, telemetry::Telemetry,
};
use crate::platform::BoxFuture;

pub(super) type Fallback = Arc<dyn Fn(HubInvocation) -> BoxFuture<Result<Reply, HubError>> + Send + Sync>;

#[derive(Default)]
pub(super) struct Rules {
    pub(super) filters: Filters,
    pub(super) fallback: Option<Fallback>,
    pub(super) limits: Vec<Limiter>,
    pub(super) policies: Policies,
    pub(super) presence: Arc<Watch>,
    pub(super) telemetry: Telemetry,
}

impl Rules {
    /// Whether a call goes to its method and no further.
    pub(super) fn are_quick(&self) -> bool {
        self.filters.is_empty()
            && self.fallback.is_none()
            && self.limits.is_empty()
            && self.policies.of_methods.is_empty()
    }

    /// Sees to it that what is to be limited exists.
    ///
    /// # Panics
    /// When it does not.
    pub(super) fn check_limits(&self, methods: &Methods) {
        for name in self.limits.iter().flat_map(Limiter::methods) {
            let exists = self.fallback.is_some() || methods.find(name).is_some();
            assert!(exists, "the hub has no method of the name {name} to limit");
        }
    }

    /// Counts a call.
    pub(super) fn limit(&self, caller: &Caller, target: &str) -> Result<(), HubError> {
        self.limits.iter().try_for_each(|limit| limit.count(caller, target))
    }
}
