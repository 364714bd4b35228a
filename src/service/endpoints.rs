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

    /// Makes a call at every endpoint that is online and that the router chooses for the path.
    pub(super) async fn on_each<T, F>(
        &self,
        router: &dyn EndpointRouter,
        path: &str,
        call: impl Fn(Arc<Shared>) -> F,
    ) -> Answers<T>
    where
        F: Future<Output = Result<T, ServiceError>>,
    {
        let Chosen { online, offline, alone } = self.choose(router, path).await;
        let mut answers =
            Answers { done: Vec::new(), absent: None, failed: Vec::new(), lost: offline, alone };
        let results = match &*online {
            // The usual case, without the boxes that several futures need.
            [only] => vec![call(Arc::clone(only)).await],
            several => join_all(several.iter().map(|e| call(Arc::clone(e)))).await,
        };
        let mut failed = Vec::new();
        for (endpoint, result) in online.into_iter().zip(results) {
            match result {
                Ok(value) => answers.done.push(value),
                Err(error) if !alone && error.is_absence() => {
                    answers.absent = answers.absent.or(Some(error));
                }
                Err(error) => failed.push((endpoint, error)),
            }
        }
        if !alone {
            join_all(failed.iter().filter(|(_, error)| error.is_outage()).map(|(e, _)| e.look())).await;
        }
        for (endpoint, error) in failed {
            let lost = !alone && error.is_outage() && !endpoint.health.is_online();
            let list = if lost { &mut answers.lost } else { &mut answers.failed };
            list.push(EndpointFailure::new(&endpoint, error));
        }
        answers
    }

    /// The endpoints that the router chooses for a path, by whether they are online.
    pub(super) async fn choose(&self, router: &dyn EndpointRouter, path: &str) -> Chosen {
        let all = self.in_use();
        let mut chosen: Vec<Arc<Shared>> = Vec::with_capacity(all.len());
        for EndpointStatus(endpoint) in route(router, path, &statuses(&all)) {
            // Nobody gets a message twice because a router names an endpoint twice.
            if !chosen.iter().any(|e| Arc::ptr_eq(e, &endpoint)) {
                chosen.push(endpoint);
            }
        }
        let alone = all.len() == 1;
        if alone {
            return Chosen { online: chosen, offline: Vec::new(), alone };
        }
        self.keep_watch(&chosen).await;
        if !chosen.iter().any(|e| e.health.is_online()) {
            join_all(chosen.iter().map(|e| e.look())).await;
        }
        let (online, offline): (Vec<_>, Vec<_>) = chosen.into_iter().partition(|e| e.health.is_online());
        let offline = offline.iter().filter_map(|e| Some(EndpointFailure::new(e, e.health.reason()?)));
        Chosen { offline: offline.collect(), online, alone }
    }

    async fn keep_watch(&self, endpoints: &[Arc<Shared>]) {
        join_all(endpoints.iter().map(|e| e.keep_watch(self.interval))).await;
    }
}

/// Who is to be asked.
pub(super) struct Chosen {
    pub(super) online: Vec<Arc<Shared>>,
    pub(super) offline: Vec<EndpointFailure>,
    /// Whether the client has one endpoint only.
    pub(super) alone: bool,
}

/// What the endpoints said.
pub(super) struct Answers<T> {
    pub(super) done: Vec<T>,
    /// Said by those that do not know the connection, user or group in question.
    absent: Option<ServiceError>,
    failed: Vec<EndpointFailure>,
    /// Those that are offline: they have no clients to reach.
    lost: Vec<EndpointFailure>,
    alone: bool,
}

impl<T> Answers<T> {
    /// A call is done when all endpoints that are online and know what it is about have done it.
    pub(super) fn into_result(mut self) -> Result<Vec<T>, ServiceError> {
        match self.absent {
            _ if self.alone && !self.failed.is_empty() => Err(self.failed.remove(0).into_error()),
            _ if !self.failed.is_empty() => {
                Err(ServiceError::EndpointsFailed { succeeded: self.done.len(), failures: self.failed })
            }
            _ if !self.done.is_empty() => Ok(self.done),
            Some(error) => Err(error),
            None => Err(ServiceError::NoEndpointAvailable { failures: self.lost }),
        }
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
