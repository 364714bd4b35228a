//! The policies of the hub that is built.

use std::{
    future::{Future, ready},
    sync::Arc,
};

use super::HubServerBuilder;
use crate::server::host::policy::{Authorizing, Policy};

impl HubServerBuilder {
    /// A policy, by the name that [`authorize_hub`](Self::authorize_hub) and
    /// [`authorize_methods`](Self::authorize_methods) know it by.
    ///
    /// # Panics
    /// When there is a policy of this name already.
    ///
    /// ```
    /// use hubwire::server::{Caller, HubServer};
    ///
    /// # async fn is_open(room: &str) -> bool { !room.is_empty() }
    /// let hub = HubServer::builder()
    ///     .on("Ban", |_: Caller, _user: String| async move { Ok(()) })
    ///     .on("Close", |_: Caller| async move { Ok(()) })
    ///     .policy("Users", |who| who.user_id().is_some())
    ///     .policy("Admins", |who| who.has_claim("role", "admin"))
    ///     .async_policy("OpeningHours", |who| async move {
    ///         is_open(who.query("room").unwrap_or_default()).await
    ///     })
    ///     .authorize_hub("Users")
    ///     .authorize_methods(["Ban", "Close"], "Admins")
    ///     .authorize_methods(["Ban"], "OpeningHours")
    ///     .build();
    /// # drop(hub);
    /// ```
    pub fn policy(
        self,
        name: impl Into<String>,
        allows: impl Fn(&Authorizing) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.async_policy(name, move |who| ready(allows(&who)))
    }

    /// A [`policy`](Self::policy) that has to ask somebody.
    ///
    /// # Panics
    /// When there is a policy of this name already.
    pub fn async_policy<F, R>(mut self, name: impl Into<String>, allows: F) -> Self
    where
        F: Fn(Authorizing) -> R + Send + Sync + 'static,
        R: Future<Output = bool> + Send + 'static,
    {
        let policy: Policy = Arc::new(move |who| Box::pin(allows(who)));
        let name = name.into();
        let is_new = !self.rules.policies.named.contains_key(&name);
        assert!(is_new, "the hub has two policies of the name {name}");
        self.rules.policies.named.insert(name, policy);
        self
    }

    /// Lets in only clients that a policy allows; of several, all must. It is asked on every request, before anything is kept
    /// for the client. Others are answered with 401 where they are nobody yet, and with 403 where they are.
    ///
    /// [`build`](Self::build) panics when there is no such policy.
    pub fn authorize_hub(mut self, policy: impl Into<String>) -> Self {
        self.rules.policies.wanted.push((None, policy.into()));
        self
    }

    /// Lets only callers that a policy allows call these methods; of several, all must. Others are told that they are
    /// unauthorized.
    ///
    /// [`build`](Self::build) panics when there is no such policy, or no such method: a misspelt one would stay open.
    pub fn authorize_methods<S: Into<String>>(
        mut self,
        methods: impl IntoIterator<Item = S>,
        policy: impl Into<String>,
    ) -> Self {
        let policy = policy.into();
        let wanted = methods.into_iter().map(|method| (Some(method.into()), policy.clone()));
        self.rules.policies.wanted.extend(wanted);
        self
    }
}
