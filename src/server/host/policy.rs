//! Policies: who may connect, and who may call what.

use std::{collections::HashMap, fmt, sync::Arc};

use http::{HeaderMap, StatusCode};

use super::{
    caller::Caller,
    identity::{Identity, Rejection},
    methods::Methods,
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
    /// The user id of the client, whether it is connected yet or not; `None` if it is anonymous.
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
    pub(super) named: HashMap<String, Policy>,
    /// What is written down before all names are known.
    pub(super) wanted: Vec<(Option<String>, String)>,
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

    /// Whether the policies of the hub let a client in.
    pub(super) async fn admit(
        &self,
        identity: &Identity,
        headers: &HeaderMap,
        query: Option<&str>,
    ) -> Result<(), Rejection> {
        if self.of_hub.is_empty() {
            return Ok(());
        }
        let query = Query::parse(query);
        let visitor = Visitor { identity: identity.clone(), headers: headers.clone(), query };
        let authorizing = Authorizing(Subject::Connect(Arc::new(visitor)));
        if all(&self.of_hub, &authorizing).await {
            return Ok(());
        }
        // As in ASP.NET Core: a client that is anonymous so far may show who it is.
        let is_known = identity.user_id.is_some() || !identity.claims.is_empty();
        Err(Rejection::new(if is_known { StatusCode::FORBIDDEN } else { StatusCode::UNAUTHORIZED }, ""))
    }

    /// Whether the policies of a method let a caller call it.
    pub(super) async fn allow(&self, caller: &Caller, target: &Arc<str>) -> bool {
        if self.of_methods.is_empty() {
            return true;
        }
        let Some(policies) = self.of_methods.get(&lowercase(target)) else { return true };
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
