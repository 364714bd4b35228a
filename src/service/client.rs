//! The client of Azure SignalR Service, of one resource or several, and what all of its hubs share.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::join_all;
use reqwest::Method;
use tokio::sync::Semaphore;

use super::{
    access_key::{Exchange, SigningKeys},
    credential::{Kind, token_cache},
    endpoint::{EndpointRole, ServiceEndpoint},
    endpoints::{Endpoints, statuses},
    error::{EndpointFailure, Operation, ServiceError},
    health::{self, Health},
    http::HttpClients,
    hub::HubClient,
    jwt, random,
    rest::{Request, RestClient, RestCredential},
    retry::RetryOptions,
    router::{DefaultRouter, EndpointRouter, EndpointStatus},
    secret::Secret,
};

const REST_TIMEOUT: Duration = Duration::from_secs(100);
const CREDENTIAL_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_CONCURRENT_REQUESTS: usize = 100;
const MAX_HUB_NAME: usize = 128;

/// Why a [`ServiceClient`] cannot be built.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// No endpoint was given. Add one with [`ServiceClientBuilder::endpoint`].
    #[error("the service client needs an endpoint")]
    NoEndpoint,
    /// All endpoints are secondary, or would be. One has to be primary: secondary ones only stand in.
    #[error("the service client needs a primary endpoint; make one of its endpoints primary")]
    NoPrimaryEndpoint,
    /// An application name starts with a letter and consists of letters, digits and underscores.
    #[error("an application name starts with a letter and consists of letters, digits and underscores")]
    InvalidApplicationName,
    /// The proxy's address is not a URL with the scheme http, https or socks5.
    #[error("the address of the proxy is not valid; it is one such as http://proxy.example.com:3128")]
    InvalidProxy,
    /// The HTTP client could not be set up; most likely the system has no root certificates.
    #[error("the HTTP client could not be set up; check that the system has root certificates")]
    HttpClient(#[source] Arc<dyn std::error::Error + Send + Sync>),
}

/// Collects what a [`ServiceClient`] needs.
#[derive(Clone)]
#[must_use = "a builder does nothing until build() is called"]
pub struct ServiceClientBuilder {
    endpoints: Vec<ServiceEndpoint>,
    application_name: Option<String>,
    timeout: Duration,
    credential_timeout: Duration,
    pub(super) retry: RetryOptions,
    max_concurrent_requests: usize,
    proxy: Option<Secret>,
    health_check_interval: Duration,
    router: Arc<dyn EndpointRouter>,
}

impl ServiceClientBuilder {
    /// An endpoint to serve. With several, of several addresses, clients are sent to one of them and messages to all:
    /// see [`ServiceClient`].
    pub fn endpoint(mut self, endpoint: ServiceEndpoint) -> Self {
        self.endpoints.push(endpoint);
        self
    }

    /// Keeps the hubs of several applications on one resource apart. Clients and servers of one application need the
    /// same name. None by default.
    pub fn application_name(self, name: impl Into<String>) -> Self {
        Self { application_name: Some(name.into()), ..self }
    }

    /// The limit for one REST request, 100 seconds by default. Getting a token comes on top of it, and so do
    /// [retries](Self::retry), each with this limit.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// The limit for getting an Entra token, and again for exchanging it for an access key: 30 seconds each by
    /// default.
    pub fn credential_timeout(self, timeout: Duration) -> Self {
        Self { credential_timeout: timeout, ..self }
    }

    /// How often and when REST requests are made again. By default up to three times where it can do no harm; see
    /// [`RetryOptions`].
    pub fn retry(self, retry: RetryOptions) -> Self {
        Self { retry, ..self }
    }

    /// How many REST requests may be under way at once, 100 by default; further ones wait for their turn. Each takes
    /// a connection to the service, which is kept for the next request. Zero counts as one.
    pub fn max_concurrent_requests(self, max_concurrent_requests: usize) -> Self {
        Self { max_concurrent_requests, ..self }
    }

    /// The proxy for all requests, such as `http://user:password@proxy.example.com:3128`. Hosts in the variable
    /// `NO_PROXY` are reached without it, and so is this machine over plain http. By default the proxy is the
    /// system's: `HTTPS_PROXY` and `ALL_PROXY`.
    pub fn proxy(self, url: impl Into<String>) -> Self {
        Self { proxy: Some(Secret::new(url)), ..self }
    }

    /// Chooses among several endpoints in a way of its own. [`DefaultRouter`] by default.
    pub fn router(self, router: impl EndpointRouter + 'static) -> Self {
        Self { router: Arc::new(router), ..self }
    }

    /// How often the health of several endpoints is looked at, every two minutes by default, when they are used. An
    /// endpoint that is offline is looked at every second.
    pub fn health_check_interval(self, interval: Duration) -> Self {
        Self { health_check_interval: interval, ..self }
    }

    /// Builds the client. Nothing is sent yet: the first call gets the first token.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn build(mut self) -> Result<ServiceClient, BuildError> {
        let endpoints = std::mem::take(&mut self.endpoints);
        if endpoints.is_empty() {
            return Err(BuildError::NoEndpoint);
        }
        if !endpoints.iter().any(|e| e.role() == EndpointRole::Primary) {
            return Err(BuildError::NoPrimaryEndpoint);
        }
        let application = self.application_name.take().filter(|name| !name.is_empty());
        if application.as_deref().is_some_and(|name| !is_application_name(name)) {
            return Err(BuildError::InvalidApplicationName);
        }
        self.application_name = application.map(|name| name.to_ascii_lowercase());
        let connected: Result<Vec<_>, _> = endpoints.into_iter().map(|e| self.connect(e)).collect();
        Ok(ServiceClient(Arc::new(Service {
            endpoints: Endpoints::new(connected?, self.health_check_interval),
            router: Arc::clone(&self.router),
            setup: self,
        })))
    }

    /// What it takes to talk to one endpoint.
    fn connect(&self, endpoint: ServiceEndpoint) -> Result<Arc<Shared>, BuildError> {
        let application = self.application_name.clone();
        let http = HttpClients::new(self.proxy.as_ref())?;
        let client = http.for_url(endpoint.server_url()).clone();
        let source = match &endpoint.credential.0 {
            Kind::AccessKey(key) => Err(Arc::new(jwt::Key::new(key.secret(), None))),
            Kind::Token(source) => Ok(Arc::clone(source)),
        };
        let (keys, credential) = match source {
            Err(key) => (SigningKeys::Fixed(Arc::clone(&key)), RestCredential::Key(key)),
            Ok(source) => {
                let tokens = token_cache(source, http, endpoint.scope().to_owned(), self.credential_timeout);
                let url = format!("{}api/v1/auth/accessKey", endpoint.server_base());
                let exchange = Exchange {
                    client: client.clone(),
                    url: url.parse().map_err(|_| BuildError::NoEndpoint)?,
                    tokens: tokens.clone(),
                    timeout: self.credential_timeout,
                };
                (exchange.into_keys(), RestCredential::Entra(tokens))
            }
        };
        let rest = RestClient {
            client,
            base: endpoint.server_base(),
            audience_base: endpoint.audience_base(),
            application: application.clone(),
            credential,
            timeout: self.timeout,
            retry: self.retry,
            permits: Arc::new(Semaphore::new(self.max_concurrent_requests.clamp(1, Semaphore::MAX_PERMITS))),
            server_name: format!("hubwire_{:016x}", random::number()),
        };
        Ok(Arc::new(Shared { endpoint, application, keys, rest, health: Health::new() }))
    }
}

impl fmt::Debug for ServiceClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceClientBuilder")
            .field("endpoints", &self.endpoints)
            .field("application_name", &self.application_name)
            .field("timeout", &self.timeout)
            .field("credential_timeout", &self.credential_timeout)
            .field("retry", &self.retry)
            .field("health_check_interval", &self.health_check_interval)
            .finish_non_exhaustive()
    }
}

/// What the hubs of one client share.
pub(super) struct Service {
    pub(super) endpoints: Endpoints,
    pub(super) router: Arc<dyn EndpointRouter>,
    /// How endpoints that come later are connected.
    setup: ServiceClientBuilder,
}

/// What they share of one endpoint.
pub(super) struct Shared {
    pub(super) endpoint: ServiceEndpoint,
    pub(super) application: Option<String>,
    pub(super) keys: SigningKeys,
    pub(super) rest: RestClient,
    pub(super) health: Health,
}

/// The client of Azure SignalR Service. Cheap to clone; clones share connections, tokens and keys.
///
/// ```no_run
/// use hubwire::service::{ClientSecret, NegotiateOptions, ServiceClient, ServiceEndpoint};
///
/// # async fn example(tenant: String, app: String, secret: String) -> Result<(), Box<dyn std::error::Error>> {
/// let service = ServiceClient::builder()
///     .endpoint(ServiceEndpoint::new(
///         "https://contoso.service.signalr.net",
///         ClientSecret::new(tenant, app, secret),
///     )?)
///     .build()?;
/// let hub = service.hub("chat")?;
/// let access = hub.negotiate(NegotiateOptions::for_user("alice")).await?;
/// hub.all().send("ReceiveMessage", ("system", "alice is here")).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Several endpoints
///
/// For more clients than one resource takes, or to survive the loss of one:
///
/// - [`negotiate`](HubClient::negotiate) sends a client to a primary endpoint that is online, by weight; to a
///   secondary one while no primary one is. An endpoint that gives no access is passed over.
/// - Messages, groups and everything else go to every endpoint that is online. `Ok` means that all of them have done
///   it; [`ServiceError::EndpointsFailed`] says which ones have not, [`ServiceError::NoEndpointAvailable`] that all
///   are offline, and why.
/// - An endpoint is offline when it does not answer the question for its health, which is asked every two minutes and
///   whenever a call fails. It is asked again every second that it is needed; so it may be passed over for a second
///   after it is back, or as long as an answer takes. The first call waits for all answers, four seconds at most.
/// - Endpoints come and go while the client runs ([`add_endpoint`](Self::add_endpoint),
///   [`remove_endpoint`](Self::remove_endpoint)), and an [`EndpointRouter`] of your own may choose among them.
///
/// ```
/// use hubwire::service::{AccessKey, ClientSecret, ServiceClient, ServiceEndpoint};
///
/// # fn example(secret: String, key: String) -> Result<(), Box<dyn std::error::Error>> {
/// let entra = ClientSecret::new("contoso.onmicrosoft.com", "11111111-2222-3333-4444-555555555555", secret);
/// let service = ServiceClient::builder()
///     .endpoint(ServiceEndpoint::new("https://east.service.signalr.net", entra.clone())?.named("east").weighted(3))
///     .endpoint(ServiceEndpoint::new("https://west.service.signalr.net", entra)?.named("west"))
///     .endpoint(ServiceEndpoint::new("https://spare.service.signalr.net", AccessKey::new(key))?.secondary())
///     .build()?;
/// assert_eq!(service.endpoints().len(), 3);
/// # Ok(())
/// # }
/// # example("s".to_owned(), "k".to_owned()).unwrap();
/// ```
///
/// Source: [Scale SignalR Service with multiple instances](https://learn.microsoft.com/azure/azure-signalr/signalr-howto-scale-multi-instances).
#[derive(Clone)]
pub struct ServiceClient(pub(super) Arc<Service>);

impl ServiceClient {
    /// Starts a client.
    pub fn builder() -> ServiceClientBuilder {
        ServiceClientBuilder {
            endpoints: Vec::new(),
            application_name: None,
            timeout: REST_TIMEOUT,
            credential_timeout: CREDENTIAL_TIMEOUT,
            retry: RetryOptions::default(),
            max_concurrent_requests: MAX_CONCURRENT_REQUESTS,
            proxy: None,
            health_check_interval: health::INTERVAL,
            router: Arc::new(DefaultRouter),
        }
    }

    /// A hub by its name: a letter, then up to 127 letters, digits, underscores or any of `` ` , . [ ] ``. Case does
    /// not matter.
    ///
    /// # Errors
    /// [`ServiceError::InvalidName`].
    pub fn hub(&self, name: &str) -> Result<HubClient, ServiceError> {
        let reason = match name.as_bytes() {
            [] => "it is empty",
            _ if name.len() > MAX_HUB_NAME => "it is longer than 128 characters",
            [first, rest @ ..]
                if first.is_ascii_alphabetic()
                    && rest.iter().all(|b| b.is_ascii_alphanumeric() || b"_`,.[]".contains(b)) =>
            {
                return Ok(HubClient::new(Arc::clone(&self.0), name.to_ascii_lowercase()));
            }
            _ => "it must start with a letter and consist of letters, digits and underscores",
        };
        Err(ServiceError::InvalidName { what: "hub", reason })
    }

    /// Whether the service says that it is healthy: one of the endpoints, if there are several. A status from 500 on
    /// is a no, and not asked about again.
    ///
    /// # Errors
    /// See [`ServiceError`]: the service can't be reached, or refuses to answer.
    pub async fn is_healthy(&self) -> Result<bool, ServiceError> {
        let all = self.0.endpoints.all();
        let request = &Request::new(Operation::CheckHealth, Method::HEAD, "api/health".to_owned());
        let ask = |endpoint: &Arc<Shared>| {
            let once = RestClient { retry: RetryOptions::none(), ..endpoint.rest.clone() };
            async move { once.call(request).await }
        };
        let mut refusal = None;
        for answer in join_all(all.iter().map(ask)).await {
            match answer {
                Ok(_) => return Ok(true),
                Err(error) if error.status().is_some_and(|status| status >= 500) => {}
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }
        refusal.map_or(Ok(false), Err)
    }

    /// Exchanges the Entra token for a new access key now, at every endpoint, rather than when the present one is 55
    /// minutes old. With an access key of the resource there is nothing to exchange.
    ///
    /// # Errors
    /// See [`ServiceError`]; the present key stays in use.
    pub async fn refresh_access_key(&self) -> Result<(), ServiceError> {
        let all = self.0.endpoints.all();
        if let [only] = &*all {
            return only.keys.renew().await;
        }
        let results = join_all(all.iter().map(|e| e.keys.renew())).await;
        let failed =
            all.iter().zip(results).filter_map(|(e, result)| Some(EndpointFailure::new(e, result.err()?)));
        let failures: Vec<_> = failed.collect();
        match all.len() - failures.len() {
            _ if failures.is_empty() => Ok(()),
            succeeded => Err(ServiceError::EndpointsFailed { succeeded, failures }),
        }
    }

    /// The endpoints as they are at the moment.
    #[must_use]
    pub fn endpoints(&self) -> Vec<EndpointStatus> {
        statuses(&self.0.endpoints.all())
    }

    /// Adds an endpoint, to this client with all its clones and hubs. It replaces one of the same address, such as one
    /// whose credential has changed.
    ///
    /// # Errors
    /// See [`BuildError`]: no primary endpoint would be left, or the HTTP client can't be set up.
    pub fn add_endpoint(&self, endpoint: ServiceEndpoint) -> Result<(), BuildError> {
        let added = self.0.setup.connect(endpoint)?;
        let changed = self.0.endpoints.change(|all| {
            let address = added.endpoint.endpoint();
            match all.iter_mut().find(|e| e.endpoint.endpoint() == address) {
                Some(known) => *known = added,
                None => all.push(added),
            }
        });
        if changed { Ok(()) } else { Err(BuildError::NoPrimaryEndpoint) }
    }

    /// Removes the endpoints of a name, or the one of an address, and says how many those were. Calls under way are
    /// not broken off. Clients that are there stay, and get no more messages: send new ones elsewhere first, with a
    /// [weight](ServiceEndpoint::weighted) of zero.
    ///
    /// # Errors
    /// [`BuildError::NoPrimaryEndpoint`] when none would be left; then nothing is removed.
    pub fn remove_endpoint(&self, name_or_address: &str) -> Result<usize, BuildError> {
        let is_it = |e: &Shared| {
            let (name, address) = (e.endpoint.name(), e.endpoint.endpoint());
            !name_or_address.is_empty()
                && (name == name_or_address || address == name_or_address.trim_end_matches('/'))
        };
        let mut removed = 0;
        let changed = self.0.endpoints.change(|all| {
            let before = all.len();
            all.retain(|e| !is_it(e));
            removed = before - all.len();
        });
        if changed { Ok(removed) } else { Err(BuildError::NoPrimaryEndpoint) }
    }
}

impl fmt::Debug for ServiceClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceClient")
            .field("endpoints", &self.0.endpoints)
            .field("application", &self.0.setup.application_name)
            .finish_non_exhaustive()
    }
}

fn is_application_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
