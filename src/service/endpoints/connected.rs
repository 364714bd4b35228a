//! One endpoint with everything that requests to it share: keys, tokens, connections, and what is known of its health.
//!
//! Health is `HEAD {server endpoint}/api/health`, without authentication. It is checked when the endpoint is used and
//! the last check is old, so nothing runs while the endpoint is not needed.
//!
//! Source: [REST API reference](https://learn.microsoft.com/azure/azure-signalr/signalr-reference-data-plane-rest-api).

use std::{sync::Arc, time::Duration};

use reqwest::Url;
use tokio::{sync::Semaphore, time::Instant};

use crate::{
    core::ErrorChain,
    platform::Network,
    service::{
        credentials::{access_key::AccessKey, credential::Kind, token_cache::token_cache},
        endpoints::{
            endpoint::{EndpointError, ServiceEndpoint},
            health::Health,
        },
        error::{BuildError, EndpointFailure, Operation, ServiceError},
        http::clients::HttpClients,
        jwt, random,
        rest::{
            keys::{Exchange, SigningKeys},
            request::{self, API_VERSION, RestClient, RestCredential},
            retry::RetryOptions,
        },
    },
};

const REST_TIMEOUT: Duration = Duration::from_secs(100);
const CREDENTIAL_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_CONCURRENT_REQUESTS: usize = 100;

/// An endpoint that is offline is checked again after this, so that it is used again soon after it is back.
const OFFLINE_INTERVAL: Duration = Duration::from_secs(1);
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);
/// One lost packet does not take an endpoint out.
const HEALTH_ATTEMPTS: usize = 2;

/// What endpoints are connected with.
#[derive(Debug, Clone)]
pub(in crate::service) struct Setup {
    pub(in crate::service) application: Option<String>,
    /// Of one REST request.
    pub(in crate::service) timeout: Duration,
    pub(in crate::service) credential_timeout: Duration,
    pub(in crate::service) retry: RetryOptions,
    pub(in crate::service) max_concurrent_requests: usize,
    pub(in crate::service) network: Network,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            application: None,
            timeout: REST_TIMEOUT,
            credential_timeout: CREDENTIAL_TIMEOUT,
            retry: RetryOptions::default(),
            max_concurrent_requests: MAX_CONCURRENT_REQUESTS,
            network: Network::default(),
        }
    }
}

/// What the hubs of a client share of one endpoint.
pub(in crate::service) struct ConnectedEndpoint {
    pub(in crate::service) endpoint: ServiceEndpoint,
    pub(in crate::service) application: Option<String>,
    pub(in crate::service) keys: SigningKeys,
    pub(in crate::service) rest: RestClient,
    pub(in crate::service) health: Arc<Health>,
}

impl ConnectedEndpoint {
    /// Prepares requests to an endpoint. Nothing is sent yet.
    pub(in crate::service) fn new(endpoint: ServiceEndpoint, setup: &Setup) -> Result<Arc<Self>, BuildError> {
        let application = setup.application.clone();
        let proxy = setup.network.proxy.for_url(endpoint.server_url());
        proxy.map_err(|variable| BuildError::InvalidProxy { variable })?;
        let is_plain = endpoint.server_url().scheme() == "http";
        // With an access key nothing else is asked than the service.
        let only_plain = is_plain && matches!(endpoint.credential.0, Kind::AccessKey(_));
        let http = HttpClients::new(&setup.network, only_plain)?;
        let client = http.for_url(endpoint.server_url()).clone();
        let (keys, credential) = match &endpoint.credential.0 {
            Kind::AccessKey(key) => fixed(key),
            Kind::Token(source) => {
                let (source, scope) = (Arc::clone(source), endpoint.token_scope().to_owned());
                let tokens = token_cache(source, http, scope, setup.credential_timeout);
                let url = format!("{}api/v1/auth/accessKey", endpoint.server_base());
                let exchange = Exchange {
                    client: client.clone(),
                    url: url.parse().map_err(|_| BuildError::NoEndpoint)?,
                    tokens: tokens.clone(),
                    timeout: setup.credential_timeout,
                };
                (exchange.into_keys(), RestCredential::Entra(tokens))
            }
        };
        let permits = setup.max_concurrent_requests.clamp(1, Semaphore::MAX_PERMITS);
        let rest = RestClient {
            client,
            base: endpoint.server_base(),
            audience_base: endpoint.audience_base(),
            application: application.clone(),
            credential,
            timeout: setup.timeout,
            retry: setup.retry,
            permits: Arc::new(Semaphore::new(permits)),
            server_name: format!("hubwire_{:016x}", random::number()),
        };
        Ok(Arc::new(Self { endpoint, application, keys, rest, health: Arc::new(Health::new()) }))
    }

    /// The same endpoint, with its connections and what is known of its health, and another access key.
    pub(in crate::service) fn with_access_key(&self, key: &AccessKey) -> Result<Arc<Self>, EndpointError> {
        let endpoint = self.endpoint.with_access_key(key.clone())?;
        let (keys, credential) = fixed(key);
        let rest = RestClient { credential, ..self.rest.clone() };
        let (application, health) = (self.application.clone(), Arc::clone(&self.health));
        Ok(Arc::new(Self { endpoint, application, keys, rest, health }))
    }

    /// A hub's name within the service: with the application's prefix, if there is one.
    pub(in crate::service) fn prefixed(&self, hub: &str) -> String {
        match &self.application {
            Some(application) => format!("{application}_{hub}"),
            None => hub.to_owned(),
        }
    }

    pub(in crate::service) fn health_url(&self) -> String {
        format!("{}api/health?api-version={API_VERSION}", self.rest.base)
    }

    /// What went wrong here.
    pub(in crate::service) fn failure(&self, error: ServiceError) -> EndpointFailure {
        EndpointFailure::new(self.endpoint.name(), self.endpoint.endpoint(), error)
    }

    /// Checks the health when the last check is older than `interval`: in the background if that is soon enough, before
    /// this returns when there was no check or it is twice as old.
    pub(in crate::service) async fn watch_health(self: &Arc<Self>, interval: Duration) {
        let Some(age) = self.health.age() else { return self.check_health().await };
        let online = self.health.is_online();
        let interval = if online { interval } else { interval.min(OFFLINE_INTERVAL) };
        if online && age >= interval.saturating_mul(2) {
            self.check_health().await;
        } else if age >= interval && self.health.checking.try_lock().is_ok() {
            let this = Arc::clone(self);
            tokio::spawn(async move { this.check_health().await });
        }
    }

    /// Checks the health now. A caller that had to wait for another check takes its result.
    pub(in crate::service) async fn check_health(&self) {
        let since = Instant::now();
        let _turn = self.health.checking.lock().await;
        if self.health.was_checked_since(since) {
            return;
        }
        let mut verdict = Ok(());
        for _ in 0..HEALTH_ATTEMPTS {
            verdict = self.probe().await;
            if verdict.is_ok() {
                break;
            }
        }
        let label = self.endpoint.label();
        match (&verdict, self.health.is_online()) {
            (Err(error), true) => {
                tracing::warn!(endpoint = label, reason = %ErrorChain::new(error), "the endpoint is offline");
            }
            (Ok(()), false) => {
                // If this fails, the present key may still be valid; the cache logs the failure.
                let _ = self.keys.renew_if_used().await;
                tracing::info!(endpoint = label, "the endpoint is online again");
            }
            _ => {}
        }
        self.health.note(verdict);
    }

    async fn probe(&self) -> Result<(), ServiceError> {
        let operation = Operation::CheckHealth;
        let url = Url::parse(&self.health_url()).map_err(|_| ServiceError::InvalidName {
            what: "endpoint",
            reason: "it has no place for a path",
        })?;
        request::dispatch(self.rest.client.head(url), operation, None, HEALTH_TIMEOUT).await.map(drop)
    }
}

/// An access key of the resource signs both client tokens and those of requests.
fn fixed(key: &AccessKey) -> (SigningKeys, RestCredential) {
    let key = Arc::new(jwt::Key::new(key.secret(), None));
    (SigningKeys::Fixed(Arc::clone(&key)), RestCredential::Key(key))
}
