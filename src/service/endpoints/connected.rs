//! One endpoint with everything that requests to it share: keys, tokens, connections, and what is known of its health.

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;

use crate::{
    platform::Network,
    service::{
        credentials::{access_key::AccessKey, credential::Kind, token_cache::token_cache},
        endpoints::{
            endpoint::{EndpointError, ServiceEndpoint},
            health::{Health, Probe},
        },
        error::{BuildError, EndpointFailure, ServiceError},
        http::clients::HttpClients,
        jwt,
        negotiate::options::TokenAlgorithm,
        random,
        rest::{
            keys::{Exchange, SigningKeys},
            request::{API_VERSION, RestClient, RestCredential},
            retry::RetryOptions,
        },
    },
};

const REST_TIMEOUT: Duration = Duration::from_secs(100);
const CREDENTIAL_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_CONCURRENT_REQUESTS: usize = 100;

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
    pub(in crate::service) message_tracing: bool,
    /// Of client tokens.
    pub(in crate::service) algorithm: TokenAlgorithm,
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
            message_tracing: false,
            algorithm: TokenAlgorithm::default(),
        }
    }
}

/// What the hubs of a client share of one endpoint.
pub(in crate::service) struct ConnectedEndpoint {
    pub(in crate::service) endpoint: ServiceEndpoint,
    pub(in crate::service) application: Option<String>,
    pub(in crate::service) keys: SigningKeys,
    /// Of client tokens.
    algorithm: TokenAlgorithm,
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
            Kind::AccessKey(key) => fixed(key, setup.algorithm),
            Kind::Token(source) => {
                let (source, scope) = (Arc::clone(source), endpoint.token_scope().to_owned());
                let tokens = token_cache(source, http, scope, setup.credential_timeout);
                let url = format!("{}api/v1/auth/accessKey", endpoint.server_base());
                let exchange = Exchange {
                    client: client.clone(),
                    url: url.parse().map_err(|_| BuildError::NoEndpoint)?,
                    tokens: tokens.clone(),
                    timeout: setup.credential_timeout,
                    algorithm: setup.algorithm,
                };
                (exchange.into_keys(), RestCredential::Entra(tokens))
            }
        };
        let permits = setup.max_concurrent_requests.clamp(1, Semaphore::MAX_PERMITS);
        let health = Arc::new(Health::new(Probe {
            client: client.clone(),
            url: health_url(&endpoint.server_base()),
            keys: keys.clone(),
            label: endpoint.label(),
        }));
        let rest = RestClient {
            client,
            health: Arc::clone(&health),
            base: endpoint.server_base(),
            audience_base: endpoint.audience_base(),
            application: application.clone(),
            credential,
            timeout: setup.timeout,
            retry: setup.retry,
            permits: Arc::new(Semaphore::new(permits)),
            server_name: format!("hubwire_{:016x}", random::number()),
            message_tracing: setup.message_tracing,
        };
        let algorithm = setup.algorithm;
        Ok(Arc::new(Self { endpoint, application, keys, algorithm, rest, health }))
    }

    /// The same endpoint, with its connections and what is known of its health, and another access key.
    pub(in crate::service) fn with_access_key(&self, key: &AccessKey) -> Result<Arc<Self>, EndpointError> {
        let endpoint = self.endpoint.with_access_key(key.clone())?;
        let algorithm = self.algorithm;
        let (keys, credential) = fixed(key, algorithm);
        let rest = RestClient { credential, ..self.rest.clone() };
        let (application, health) = (self.application.clone(), Arc::clone(&self.health));
        Ok(Arc::new(Self { endpoint, application, keys, algorithm, rest, health }))
    }

    /// A hub's name within the service: with the application's prefix, if there is one.
    pub(in crate::service) fn prefixed(&self, hub: &str) -> String {
        match &self.application {
            Some(application) => format!("{application}_{hub}"),
            None => hub.to_owned(),
        }
    }

    pub(in crate::service) fn health_url(&self) -> String {
        health_url(&self.rest.base)
    }

    /// What went wrong here.
    pub(in crate::service) fn failure(&self, error: ServiceError) -> EndpointFailure {
        EndpointFailure::new(self.endpoint.name(), self.endpoint.endpoint(), error)
    }
}

fn health_url(base: &str) -> String {
    format!("{base}api/health?api-version={API_VERSION}")
}

/// An access key of the resource signs both client tokens and those of requests. The latter with HS256 in any case, as by
/// the official SDK.
fn fixed(key: &AccessKey, algorithm: TokenAlgorithm) -> (SigningKeys, RestCredential) {
    let key = jwt::Key::new(key.secret(), None);
    let credential = RestCredential::Key(Arc::new(key.clone()));
    (SigningKeys::Fixed(Arc::new(key.algorithm(algorithm))), credential)
}
