//! What the hub that is built puts around its calls: filters, a fallback, rate limits.

use std::{future::Future, sync::Arc};

use super::HubServerBuilder;
use crate::server::host::{
    error::HubError,
    filter::HubFilter,
    invocation::HubInvocation,
    rate_limit::{Limiter, RateLimit},
    reply::Reply,
};

impl HubServerBuilder {
    /// Puts code around calls and connections: a [`HubFilter`], or a closure
    /// `|call: HubInvocation, next: Next| async move { … }`. The first one is the outermost.
    pub fn filter(mut self, filter: impl HubFilter) -> Self {
        Arc::make_mut(&mut self.rules.filters).push(Arc::new(filter));
        self
    }

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

    /// Limits how often clients call. Several limits hold together.
    pub fn rate_limit(mut self, limit: RateLimit) -> Self {
        self.rules.limits.push(Limiter::new(limit));
        self
    }
}
