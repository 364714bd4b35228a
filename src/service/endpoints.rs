//! The endpoints of one client: who is asked, and what several answers come to.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use futures_util::future::join_all;

use super::{
    client::Shared,
    endpoint::EndpointRole,
    error::{EndpointFailure, ServiceError},
    negotiate::{ClientAccess, NegotiateOptions},
    router::{EndpointRouter, EndpointStatus, route},
};

pub(super) struct Endpoints {
    all: RwLock<Arc<[Arc<Shared>]>>,
    interval: Duration,
}

impl Endpoints {
    /// Of several endpoints with one address the first primary one counts, as with the official SDK.
    pub(super) fn new(all: Vec<Arc<Shared>>, interval: Duration) -> Self {
        let mut distinct: Vec<Arc<Shared>> = Vec::with_capacity(all.len());
        for endpoint in all {
            match distinct.iter_mut().find(|e| e.endpoint.endpoint() == endpoint.endpoint.endpoint()) {
                Some(known) if is_primary(&endpoint) && !is_primary(known) => *known = endpoint,
                Some(_) => {}
                None => distinct.push(endpoint),
            }
        }
        Self { all: RwLock::new(distinct.into()), interval }
    }

    pub(super) fn all(&self) -> Arc<[Arc<Shared>]> {
        Arc::clone(&self.all.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// All of them, for a call. One that is alone is used whether it is healthy or not.
    fn in_use(&self) -> Arc<[Arc<Shared>]> {
        let all = self.all();
        if let [only] = &*all {
            only.health.forget();
        }
        all
    }

    /// Changes the list, unless no primary endpoint would be left. Calls under way go on with the old one.
    pub(super) fn change(&self, change: impl FnOnce(&mut Vec<Arc<Shared>>)) -> bool {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed = all.to_vec();
        change(&mut changed);
        let valid = changed.iter().any(is_primary);
        if valid {
            *all = changed.into();
        }
        valid
    }

    /// Negotiates through the endpoint that the router chooses, and through its next choice when that one fails.
    pub(super) async fn negotiate<F>(
        &self,
        router: &dyn EndpointRouter,
        options: &NegotiateOptions,
        negotiate: impl Fn(Arc<Shared>) -> F,
    ) -> Result<ClientAccess, ServiceError>
    where
        F: Future<Output = Result<ClientAccess, ServiceError>>,
    {
        let all = self.in_use();
        let several = all.len() > 1;
        if several {
            self.keep_watch(&all).await;
            if !all.iter().any(|e| e.health.is_online()) {
                join_all(all.iter().map(|e| e.look())).await;
            }
        }
        let mut left: Vec<EndpointStatus> = statuses(&all);
        let mut failures = Vec::new();
        // A router that insists on an endpoint that has failed must not keep this going.
        for _ in 0..all.len() {
            let Some(EndpointStatus(chosen)) = router.negotiate_endpoint(options, &left) else { break };
            match negotiate(Arc::clone(&chosen)).await {
                Err(error) if several && error.is_of_endpoint() => {
                    tracing::warn!(endpoint = chosen.endpoint.label(), %error, "no negotiation here");
                    if error.is_outage() {
                        chosen.health.note(Err(error.clone()));
                    }
                    left.retain(|e| !Arc::ptr_eq(&e.0, &chosen));
                    failures.push(EndpointFailure::new(&chosen, error));
                }
                other => return other,
            }
        }
        failures.extend(left.iter().filter_map(|e| Some(EndpointFailure::new(&e.0, e.0.health.reason()?))));
        Err(ServiceError::NoEndpointAvailable { failures })
    }

    /// Makes a call at every endpoint that is online and that the router chooses for the path. It is done when all of
    /// them have done it, but for those that do not know the connection, user or group in question while others do.
    /// An endpoint that turns out to be offline is left out: it has no clients to reach.
    pub(super) async fn on_each<T, F>(
        &self,
        router: &dyn EndpointRouter,
        path: &str,
        call: impl Fn(Arc<Shared>) -> F,
    ) -> Result<Vec<T>, ServiceError>
    where
        F: Future<Output = Result<T, ServiceError>>,
    {
        let all = self.in_use();
        let mut chosen: Vec<Arc<Shared>> = Vec::with_capacity(all.len());
        for EndpointStatus(endpoint) in route(router, path, &statuses(&all)) {
            // Nobody gets a message twice because a router names an endpoint twice.
            if !chosen.iter().any(|e| Arc::ptr_eq(e, &endpoint)) {
                chosen.push(endpoint);
            }
        }
        if let ([_], [only]) = (&*all, chosen.as_slice()) {
            return Ok(vec![call(Arc::clone(only)).await?]);
        }
        self.keep_watch(&chosen).await;
        if !chosen.iter().any(|e| e.health.is_online()) {
            join_all(chosen.iter().map(|e| e.look())).await;
        }
        let (online, offline): (Vec<_>, Vec<_>) = chosen.into_iter().partition(|e| e.health.is_online());

        let results = join_all(online.iter().map(|e| call(Arc::clone(e)))).await;
        let (mut done, mut absent, mut failed) = (Vec::new(), None, Vec::new());
        for (endpoint, result) in online.into_iter().zip(results) {
            match result {
                Ok(value) => done.push(value),
                Err(error) if error.is_absence() => absent = absent.or(Some(error)),
                Err(error) => failed.push((endpoint, error)),
            }
        }
        join_all(failed.iter().filter(|(_, error)| error.is_outage()).map(|(e, _)| e.look())).await;
        let (lost, failed): (Vec<_>, Vec<_>) =
            failed.into_iter().partition(|(e, error)| error.is_outage() && !e.health.is_online());
        let failures = |of: Vec<(Arc<Shared>, ServiceError)>| -> Vec<EndpointFailure> {
            of.into_iter().map(|(e, error)| EndpointFailure::new(&e, error)).collect()
        };
        match (done.is_empty(), failed.is_empty(), absent) {
            (false, true, _) => Ok(done),
            (true, true, Some(error)) => Err(error),
            (true, true, None) => {
                let mut failures = failures(lost);
                failures
                    .extend(offline.iter().filter_map(|e| Some(EndpointFailure::new(e, e.health.reason()?))));
                Err(ServiceError::NoEndpointAvailable { failures })
            }
            (_, false, _) => {
                Err(ServiceError::EndpointsFailed { succeeded: done.len(), failures: failures(failed) })
            }
        }
    }

    async fn keep_watch(&self, endpoints: &[Arc<Shared>]) {
        join_all(endpoints.iter().map(|e| e.keep_watch(self.interval))).await;
    }
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all().iter().map(|e| &e.endpoint)).finish()
    }
}

pub(super) fn statuses(all: &[Arc<Shared>]) -> Vec<EndpointStatus> {
    all.iter().cloned().map(EndpointStatus).collect()
}

fn is_primary(shared: &Arc<Shared>) -> bool {
    shared.endpoint.role() == EndpointRole::Primary
}
