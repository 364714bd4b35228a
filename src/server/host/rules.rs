//! What a hub puts around its calls: filters, a fallback, policies and rate limits.

use std::{future::Future, sync::Arc};

use super::{
    caller::Caller, error::HubError, filter::Filters, hub_server::HubServerBuilder,
    invocation::HubInvocation, methods::Methods, outgoing::OutgoingRules, policy::Policies, presence::Watch,
    rate_limit::Limiter, reply::Reply,
};
use crate::{client::Tracing, platform::BoxFuture, server::slow::SlowRules};

pub(super) type Fallback = Arc<dyn Fn(HubInvocation) -> BoxFuture<Result<Reply, HubError>> + Send + Sync>;

#[derive(Default)]
pub(super) struct Rules {
    pub(super) filters: Filters,
    pub(super) fallback: Option<Fallback>,
    pub(super) limits: Vec<Limiter>,
    pub(super) policies: Policies,
    pub(super) outgoing: OutgoingRules,
    pub(super) slow: Arc<SlowRules>,
    pub(super) presence: Watch,
    pub(super) name: Option<String>,
    pub(super) trace_context: Tracing,
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

impl HubServerBuilder {
    /// Answers calls of methods that do not exist; without it they fail with ASP.NET Core's `Method does not exist.` It may
    /// reply with a value or, where the client wants one, with a stream.
    ///
    /// ```
    /// use hubwire::server::{HubError, HubServer, Reply};
    /// use serde_json::Value;
    ///
    /// let hub = HubServer::builder().fallback(|call| async move {
    ///     let arguments: Vec<Value> = call.arguments()?;
    ///     match call.method().strip_prefix("plugin.") {
    ///         Some(plugin) => Ok(Reply::new(format!("{plugin} got {} arguments", arguments.len()))),
    ///         None => Err(HubError::new(format!("there is no method {}", call.method()))),
    ///     }
    /// });
    /// # drop(hub);
    /// ```
    pub fn fallback<F, R>(mut self, fallback: F) -> Self
    where
        F: Fn(HubInvocation) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Reply, HubError>> + Send + 'static,
    {
        self.rules.fallback = Some(Arc::new(move |call| Box::pin(fallback(call))));
        self
    }
}
