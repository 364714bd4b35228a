//! The endpoints of one client: which ones get a request, and what several answers mean together.

use std::{
    fmt,
    pin::pin,
    sync::{Arc, RwLock},
    time::Duration,
};

use futures_util::future::join_all;

use crate::{
    core::ErrorChain,
    lock::{read, write},
    service::{
        endpoints::{
            connected::ConnectedEndpoint,
            endpoint::EndpointRole,
            health::Watched,
            router::{EndpointRouter, EndpointStatus, route},
        },
        error::{EndpointFailure, ServiceError},
        negotiate::options::{ClientAccess, NegotiateOptions},
        rest::scope::Scope,
    },
};

/// How often the health of several endpoints is checked while they are used. The official SDK does so every two minutes;
/// but a negotiation with an access key asks the service for nothing, so where nothing is published the loss of an
/// endpoint shows in no other way.
pub(in crate::service) const HEALTH_INTERVAL: Duration = Duration::from_secs(5);

pub(in crate::service) struct Endpoints {
    all: RwLock<Arc<[Arc<ConnectedEndpoint>]>>,
    interval: Duration,
}

impl Endpoints {
    pub(in crate::service) fn new(all: Vec<Arc<ConnectedEndpoint>>, interval: Duration) -> Self {
        let distinct = distinct(all, |e| (e.endpoint.endpoint(), e.endpoint.role()));
        Self { all: RwLock::new(distinct.into()), interval }
    }

    pub(in crate::service) fn all(&self) -> Arc<[Arc<ConnectedEndpoint>]> {
        Arc::clone(&read(&self.all))
    }

    /// All of them, for a call. One that is alone is used whether it is healthy or not.
    fn in_use(&self) -> Arc<[Arc<ConnectedEndpoint>]> {
        let all = self.all();
        for endpoint in &*all {
            endpoint.health.set_watched(all.len() > 1);
        }
        all
    }

    /// Changes the list, unless no primary endpoint would be left. Calls under way go on with the old one.
    pub(in crate::service) fn change(&self, change: impl FnOnce(&mut Vec<Arc<ConnectedEndpoint>>)) -> bool {
        let mut all = write(&self.all);
        let mut changed = all.to_vec();
        change(&mut changed);
        let valid = changed.iter().any(is_primary);
        if valid {
            *all = changed.into();
        }
        valid
    }

    /// Negotiates through the endpoint that the router chooses, and through its next choice when that one fails.
    pub(in crate::service) async fn negotiate<F>(
        &self,
        router: &dyn EndpointRouter,
        options: &NegotiateOptions,
        negotiate: impl Fn(Arc<ConnectedEndpoint>) -> F,
    ) -> Result<ClientAccess, ServiceError>
    where
        F: Future<Output = Result<ClientAccess, ServiceError>>,
    {
        let all = self.in_use();
        let several = all.len() > 1;
        if several {
            self.keep_fresh(&all).await;
            // With nothing better to choose, it is worth the time to know.
            if !all.iter().any(|e| e.health.is_trusted()) {
                join_all(all.iter().map(|e| e.health.check())).await;
            }
        }
        let mut left: Vec<EndpointStatus> = statuses(&all);
        let mut failures = Vec::new();
        // A router that insists on an endpoint that has failed must not keep this going.
        for _ in 0..all.len() {
            let Some(EndpointStatus(chosen)) = router.negotiate_endpoint(options, &left) else { break };
            let negotiation = pin!(negotiate(Arc::clone(&chosen)));
            match chosen.health.watch(negotiation).await {
                Watched::Done(Err(error)) | Watched::Lost(error) if several && error.is_of_endpoint() => {
                    tracing::warn!(endpoint = chosen.endpoint.label(), error = %ErrorChain::new(&error), "the endpoint gives no access");
                    left.retain(|e| !Arc::ptr_eq(&e.0, &chosen));
                    failures.push(chosen.failure(error));
                }
                Watched::Done(result) => return result,
                Watched::Lost(error) => return Err(error),
            }
        }
        failures.extend(left.iter().filter_map(|e| Some(e.0.failure(e.0.health.reason()?))));
        Err(ServiceError::NoEndpointAvailable { failures })
    }

    /// Makes a call at every endpoint that is online and that the router chooses for the scope.
    pub(in crate::service) async fn on_each<T, F>(
        &self,
        router: &dyn EndpointRouter,
        scope: &Scope,
        call: impl Fn(Arc<ConnectedEndpoint>) -> F,
    ) -> Answers<T>
    where
        F: Future<Output = Result<T, ServiceError>>,
    {
        let Chosen { online, offline, alone } = self.choose(router, scope).await;
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
            let uncertain = failed.iter().filter(|(e, error)| error.is_outage() && e.health.is_online());
            join_all(uncertain.map(|(e, _)| e.health.check())).await;
        }
        for (endpoint, error) in failed {
            let lost = !alone && error.is_outage() && !endpoint.health.is_online();
            let list = if lost { &mut answers.lost } else { &mut answers.failed };
            list.push(endpoint.failure(error));
        }
        answers
    }

    /// The endpoints that the router chooses for a scope, by whether they are online.
    pub(in crate::service) async fn choose(&self, router: &dyn EndpointRouter, scope: &Scope) -> Chosen {
        let all = self.in_use();
        let mut chosen: Vec<Arc<ConnectedEndpoint>> = Vec::with_capacity(all.len());
        for EndpointStatus(endpoint) in route(router, scope, &statuses(&all)) {
            // A router that names an endpoint twice must not cause messages to be sent twice.
            if !chosen.iter().any(|e| Arc::ptr_eq(e, &endpoint)) {
                chosen.push(endpoint);
            }
        }
        let alone = all.len() == 1;
        if alone {
            return Chosen { online: chosen, offline: Vec::new(), alone };
        }
        self.keep_fresh(&chosen).await;
        if !chosen.iter().any(|e| e.health.is_online()) {
            join_all(chosen.iter().map(|e| e.health.check())).await;
        }
        let (online, offline): (Vec<_>, Vec<_>) = chosen.into_iter().partition(|e| e.health.is_online());
        let offline = offline.iter().filter_map(|e| Some(e.failure(e.health.reason()?)));
        Chosen { offline: offline.collect(), online, alone }
    }

    async fn keep_fresh(&self, endpoints: &[Arc<ConnectedEndpoint>]) {
        join_all(endpoints.iter().map(|e| e.health.keep_fresh(self.interval))).await;
    }
}

/// The endpoints that a request goes to.
pub(in crate::service) struct Chosen {
    pub(in crate::service) online: Vec<Arc<ConnectedEndpoint>>,
    pub(in crate::service) offline: Vec<EndpointFailure>,
    /// Whether the client has one endpoint only.
    pub(in crate::service) alone: bool,
}

/// What the endpoints said.
pub(in crate::service) struct Answers<T> {
    pub(in crate::service) done: Vec<T>,
    /// Said by those that do not know the connection, user or group in question.
    absent: Option<ServiceError>,
    failed: Vec<EndpointFailure>,
    /// Those that are offline: they have no clients to reach.
    lost: Vec<EndpointFailure>,
    alone: bool,
}

impl<T> Answers<T> {
    /// A call is done when all endpoints that are online and know what it is about have done it.
    pub(in crate::service) fn into_result(mut self) -> Result<Vec<T>, ServiceError> {
        match self.absent {
            // What is wrong with the call is wrong everywhere.
            _ if self.failed.first().is_some_and(|first| {
                self.alone || (self.done.is_empty() && !first.error().is_of_endpoint())
            }) =>
            {
                Err(self.failed.remove(0).into_error())
            }
            _ if !self.failed.is_empty() => {
                Err(ServiceError::EndpointsFailed { succeeded: self.done.len(), failures: self.failed })
            }
            _ if !self.done.is_empty() => Ok(self.done),
            Some(error) => Err(error),
            None => Err(ServiceError::NoEndpointAvailable { failures: self.lost }),
        }
    }
}

/// Of several endpoints with one address the first primary one counts, or else the first, as with the official SDK.
pub(in crate::service) fn distinct<T>(all: Vec<T>, of: impl Fn(&T) -> (String, EndpointRole)) -> Vec<T> {
    let mut kept: Vec<T> = Vec::with_capacity(all.len());
    for endpoint in all {
        let (address, role) = of(&endpoint);
        match kept.iter_mut().find(|known| of(known).0 == address) {
            Some(known) if role == EndpointRole::Primary && of(known).1 != EndpointRole::Primary => {
                *known = endpoint;
            }
            Some(_) => {}
            None => kept.push(endpoint),
        }
    }
    kept
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all().iter().map(|e| &e.endpoint)).finish()
    }
}

pub(in crate::service) fn statuses(all: &[Arc<ConnectedEndpoint>]) -> Vec<EndpointStatus> {
    all.iter().cloned().map(EndpointStatus).collect()
}

fn is_primary(shared: &Arc<ConnectedEndpoint>) -> bool {
    shared.endpoint.role() == EndpointRole::Primary
}
