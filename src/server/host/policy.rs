//! Policies: who may connect, and who may call what.

use std::{
    collections::HashMap,
    fmt,
    future::{Future, ready},
    sync::Arc,
};

use http::{HeaderMap, StatusCode};

use super::{
    caller::Caller,
    hub_server::HubServerBuilder,
    identity::{Identity, Rejection},
    methods::Methods,
    rules::Rules,
};
use crate::{
    platform::{BoxFuture, lowercase},
    server::query::Query,
};

pub(super) type Policy = Arc<dyn Fn(Authorizing) -> BoxFuture<bool> + Send + Sync>;

/// What a policy decides about: a client that wants to connect, or a call.
#[derive(Clone)]
pub struct Authorizing(Subject);

#[derive(Clone)]
enum Subject {
    Connect(Arc<Visitor>),
    Call(Caller, Arc<str>),
}

/// A client that wants to connect.
struct Visitor {
    identity: Identity,
    headers: HeaderMap,
    query: Query,
}

impl Authorizing {
    /// Whose connection it is or will be.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        match &self.0 {
            Subject::Connect(visitor) => visitor.identity.user_id.as_deref(),
            Subject::Call(caller, _) => caller.user_id(),
        }
    }

    /// Every value of a claim.
    pub fn claims<'c>(&'c self, name: &'c str) -> impl Iterator<Item = &'c str> {
        let (visitor, caller) = match &self.0 {
            Subject::Connect(visitor) => (Some(visitor), None),
            Subject::Call(caller, _) => (None, Some(caller)),
        };
        let claims = visitor.into_iter().flat_map(move |visitor| visitor.identity.values(name));
        claims.chain(caller.into_iter().flat_map(move |caller| caller.claims(name)))
    }

    /// Whether a claim has this value, such as `has_claim("role", "admin")`.
    #[must_use]
    pub fn has_claim(&self, name: &str, value: &str) -> bool {
        self.claims(name).any(|claim| claim == value)
    }

    /// The headers of this request of a client that wants to connect; in a call, of that which opened the connection.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        match &self.0 {
            Subject::Connect(visitor) => &visitor.headers,
            Subject::Call(caller, _) => caller.headers(),
        }
    }

    /// A query parameter of that request, decoded.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<&str> {
        match &self.0 {
            Subject::Connect(visitor) => visitor.query.first(name),
            Subject::Call(caller, _) => caller.query(name),
        }
    }

    /// The method that is called, as the client writes it.
    #[must_use]
    pub fn method(&self) -> Option<&str> {
        match &self.0 {
            Subject::Connect(_) => None,
            Subject::Call(_, method) => Some(method),
        }
    }

    /// The caller of a method.
    #[must_use]
    pub fn caller(&self) -> Option<&Caller> {
        match &self.0 {
            Subject::Connect(_) => None,
            Subject::Call(caller, _) => Some(caller),
        }
    }
}

impl fmt::Debug for Authorizing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorizing").field("method", &self.method()).finish_non_exhaustive()
    }
}

/// The policies of a hub.
#[derive(Default)]
pub(super) struct Policies {
    named: HashMap<String, Policy>,
    /// What is written down before all names are known.
    wanted: Vec<(Option<String>, String)>,
    of_hub: Vec<Policy>,
    /// By the lower-case name of the method.
    pub(super) of_methods: HashMap<String, Vec<Policy>>,
}

impl Policies {
    /// Finds what is named.
    ///
    /// # Panics
    /// When a policy or a method does not exist.
    pub(super) fn resolve(&mut self, methods: &Methods) {
        for (method, name) in std::mem::take(&mut self.wanted) {
            let policy = self.named.get(&name).cloned();
            assert!(policy.is_some(), "the hub has no policy of the name {name}");
            let policies = match &method {
                None => &mut self.of_hub,
                Some(method) => {
                    assert!(
                        methods.find(method).is_some(),
                        "the hub has no method of the name {method} to authorize"
                    );
                    self.of_methods.entry(lowercase(method)).or_default()
                }
            };
            policies.extend(policy);
        }
    }
}

impl Rules {
    /// Whether the policies of the hub let a client in.
    pub(super) async fn admit(
        &self,
        identity: &Identity,
        headers: &HeaderMap,
        query: Option<&str>,
    ) -> Result<(), Rejection> {
        if self.policies.of_hub.is_empty() {
            return Ok(());
        }
        let query = Query::parse(query);
        let visitor = Visitor { identity: identity.clone(), headers: headers.clone(), query };
        let authorizing = Authorizing(Subject::Connect(Arc::new(visitor)));
        if all(&self.policies.of_hub, &authorizing).await {
            return Ok(());
        }
        // As in ASP.NET Core: who is nobody yet may show who it is.
        let is_known = identity.user_id.is_some() || !identity.claims.is_empty();
        Err(Rejection::new(if is_known { StatusCode::FORBIDDEN } else { StatusCode::UNAUTHORIZED }, ""))
    }

    /// Whether the policies of a method let a caller call it.
    pub(super) async fn allow(&self, caller: &Caller, target: &Arc<str>) -> bool {
        if self.policies.of_methods.is_empty() {
            return true;
        }
        let Some(policies) = self.policies.of_methods.get(&lowercase(target)) else { return true };
        all(policies, &Authorizing(Subject::Call(caller.clone(), target.clone()))).await
    }
}

async fn all(policies: &[Policy], authorizing: &Authorizing) -> bool {
    for policy in policies {
        if !policy(authorizing.clone()).await {
            return false;
        }
    }
    true
}

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
