//! The client of Azure SignalR Service, of one resource or several, and what all of its hubs share.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::join_all;
use reqwest::Method;

use crate::{
    core::{ErrorChain, hub_name},
    platform::proxy::Proxy,
    service::{
        configuration::{error::ConfigurationError, settings::Configuration},
        credentials::access_key::AccessKey,
        endpoints::{
            connected::{ConnectedEndpoint, Setup},
            endpoint::{Change, EndpointError, EndpointRole, ServiceEndpoint},
            list::{Endpoints, HEALTH_INTERVAL, distinct, statuses},
            router::{DefaultRouter, EndpointRouter, EndpointStatus},
        },
        error::{BuildError, Operation, ServiceError},
        hub::hub_client::HubClient,
        negotiate::options::TokenAlgorithm,
        rest::{
            request::{Request, RestClient},
            retry::RetryOptions,
        },
    },
};

/// Collects what a [`ServiceClient`] needs.
#[derive(Clone)]
#[must_use = "a builder does nothing until build() is called"]
pub struct ServiceClientBuilder {
    endpoints: Vec<ServiceEndpoint>,
    setup: Setup,
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
        self.set_up(|setup| setup.application = Some(name.into()))
    }

    /// The limit for one REST request, 100 seconds by default. Getting a token comes on top of it, and so do
    /// [retries](Self::retry), each with this limit.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.set_up(|setup| setup.timeout = timeout)
    }

    /// The limit for getting an Entra token, and again for exchanging it for an access key: 30 seconds each by
    /// default.
    pub fn credential_timeout(self, timeout: Duration) -> Self {
        self.set_up(|setup| setup.credential_timeout = timeout)
    }

    /// How often and when REST requests are made again. By default up to three times where it can do no harm; see
    /// [`RetryOptions`].
    pub fn retry(self, retry: RetryOptions) -> Self {
        self.set_up(|setup| setup.retry = retry)
    }

    /// How many REST requests may be under way at once, 100 by default; further ones wait for their turn. Each takes
    /// a connection to the service, which is kept for the next request. Zero counts as one.
    pub fn max_concurrent_requests(self, max_concurrent_requests: usize) -> Self {
        self.set_up(|setup| setup.max_concurrent_requests = max_concurrent_requests)
    }

    /// What client tokens are signed with, HS256 by default. Tokens that the service makes itself
    /// ([`EntraStrategy::GenerateToken`](crate::service::negotiate::EntraStrategy::GenerateToken)) are as it makes them.
    pub fn token_algorithm(self, algorithm: TokenAlgorithm) -> Self {
        self.set_up(|setup| setup.algorithm = algorithm)
    }

    /// Sends an id with each request about a hub, in the header `X-ASRS-Message-Tracing-Id`, by which the service's
    /// messaging logs name the message; it is logged at the level debug. Off by default.
    ///
    /// Source: [Messaging logs](https://learn.microsoft.com/azure/azure-signalr/signalr-howto-diagnostic-logs).
    pub fn message_tracing(self) -> Self {
        self.set_up(|setup| setup.message_tracing = true)
    }

    /// The proxy for all requests that use https, to the service and to the Entra authority. Requests for plain http (to
    /// this machine, and to the endpoint of a managed identity) never go through a proxy. Default:
    /// [`Proxy::from_environment`].
    pub fn proxy(self, proxy: Proxy) -> Self {
        self.set_up(|setup| setup.network.proxy = proxy)
    }

    /// Trusts the certificates in a PEM text, such as the one of a proxy that looks into TLS, besides those of the operating
    /// system. Each call adds to the earlier ones. [`build`](Self::build) fails with [`BuildError::InvalidCertificate`] if
    /// there is no certificate in the text.
    ///
    /// On Linux and other Unix systems, the environment variables `SSL_CERT_FILE` (a PEM file) and `SSL_CERT_DIR` (folders
    /// of PEM files) replace the certificates of the system.
    pub fn root_certificate(self, pem: impl AsRef<[u8]>) -> Self {
        self.set_up(|setup| setup.network.certificates.add_root(pem.as_ref()))
    }

    /// Chooses among several endpoints in another way. [`DefaultRouter`] by default.
    pub fn router(self, router: impl EndpointRouter + 'static) -> Self {
        Self { router: Arc::new(router), ..self }
    }

    /// How often the health of several endpoints is checked while they are used: every 5 seconds by default. It is also
    /// checked when a request fails or stays without an answer; an endpoint that is offline is checked every second.
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
        let application = self.setup.application.take().filter(|name| !name.is_empty());
        if application.as_deref().is_some_and(|name| !is_application_name(name)) {
            return Err(BuildError::InvalidApplicationName);
        }
        self.setup.application = application.map(|name| name.to_ascii_lowercase());
        let certificates = std::mem::take(&mut self.setup.network.certificates).check();
        self.setup.network.certificates =
            certificates.map_err(|reason| BuildError::InvalidCertificate { reason })?;
        let connected = endpoints.into_iter().map(|endpoint| ConnectedEndpoint::new(endpoint, &self.setup));
        let connected = connected.collect::<Result<Vec<_>, _>>()?;
        Ok(ServiceClient(Arc::new(Service {
            endpoints: Arc::new(Endpoints::new(connected, self.health_check_interval)),
            router: self.router,
            setup: self.setup,
        })))
    }

    fn set_up(mut self, change: impl FnOnce(&mut Setup)) -> Self {
        change(&mut self.setup);
        self
    }
}

impl fmt::Debug for ServiceClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceClientBuilder")
            .field("endpoints", &self.endpoints)
            .field("application_name", &self.setup.application)
            .field("timeout", &self.setup.timeout)
            .field("credential_timeout", &self.setup.credential_timeout)
            .field("retry", &self.setup.retry)
            .field("health_check_interval", &self.health_check_interval)
            .finish_non_exhaustive()
    }
}

/// What the hubs of one client share.
struct Service {
    endpoints: Arc<Endpoints>,
    router: Arc<dyn EndpointRouter>,
    /// How endpoints that are added later are connected.
    setup: Setup,
}

/// The client of Azure SignalR Service. Cheap to clone; clones share connections, tokens and keys.
///
/// ```no_run
/// use hubwire::service::{NegotiateOptions, ServiceClient, ServiceEndpoint, credentials::ClientSecret};
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
///   secondary one while no primary one is. An endpoint that gives no access is skipped.
/// - Messages, groups and everything else go to every endpoint that is online. `Ok` means that all of them have done
///   it; [`ServiceError::EndpointsFailed`] says which ones have not, [`ServiceError::NoEndpointAvailable`] that all
///   are offline, and why.
/// - An endpoint is offline when it does not answer the question for its health, which is asked every 5 seconds while
///   endpoints are used, at the first failure of a request (an
///   answer that is not the service's, such as a page, counts as one), and when one stays without an answer for a quarter of a second.
///   While the answer is open, clients are sent to another endpoint if there is one; so none is sent to one that has
///   stopped to answer requests for a second.
/// - A call that is under way at an endpoint that turns out to be offline, or that waits to be made there again, is given up
///   there. So the loss of an endpoint that has answered before holds up a call to several for a moment where connections
///   are refused, and for about a second where they hang: a quarter of a second, and half a second for each of two
///   questions for the health (longer where its answers take more than 60 milliseconds, four seconds at most).
/// - An endpoint that is offline is asked again every second that it is needed; so it may be skipped for a second after it
///   is back. The first call waits for all answers, four seconds at most.
/// - Where clients only negotiate and nothing is published, the question for the health alone finds a loss: see
///   [`health_check_interval`](ServiceClientBuilder::health_check_interval).
/// - Endpoints come and go while the client runs ([`add_endpoint`](Self::add_endpoint),
///   [`remove_endpoint`](Self::remove_endpoint)), and an [`EndpointRouter`] of your own may choose among them.
///
/// ```
/// use hubwire::service::{ServiceClient, ServiceEndpoint, credentials::{AccessKey, ClientSecret}};
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
pub struct ServiceClient(Arc<Service>);

impl ServiceClient {
    /// Starts a client.
    pub fn builder() -> ServiceClientBuilder {
        ServiceClientBuilder {
            endpoints: Vec::new(),
            setup: Setup::default(),
            health_check_interval: HEALTH_INTERVAL,
            router: Arc::new(DefaultRouter),
        }
    }

    /// A hub by its name: a letter, then up to 127 letters, digits, underscores or any of `` ` , . [ ] ``. Case does
    /// not matter.
    ///
    /// # Errors
    /// [`ServiceError::InvalidName`].
    pub fn hub(&self, name: &str) -> Result<HubClient, ServiceError> {
        hub_name::check(name)
            .map_err(|error| ServiceError::InvalidName { what: "hub", reason: error.reason() })?;
        let Service { endpoints, router, .. } = &*self.0;
        Ok(HubClient::new(Arc::clone(endpoints), Arc::clone(router), name.to_ascii_lowercase()))
    }

    /// Whether the service says that it is healthy: one of the endpoints, if there are several. A status from 500 on
    /// means no, and is not retried.
    ///
    /// # Errors
    /// See [`ServiceError`]: the service cannot be reached, or refuses to answer.
    pub async fn is_healthy(&self) -> Result<bool, ServiceError> {
        let all = self.0.endpoints.all();
        let request = &Request::new(Operation::CheckHealth, Method::HEAD, "api/health".to_owned());
        let ask = |endpoint: &Arc<ConnectedEndpoint>| {
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
        let failed = all.iter().zip(results).filter_map(|(e, result)| Some(e.failure(result.err()?)));
        let failures: Vec<_> = failed.collect();
        match all.len() - failures.len() {
            _ if failures.is_empty() => Ok(()),
            succeeded => Err(ServiceError::EndpointsFailed { succeeded, failures }),
        }
    }

    /// The endpoints, with everything that requests to them share.
    pub(super) fn connected(&self) -> Arc<[Arc<ConnectedEndpoint>]> {
        self.0.endpoints.all()
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
    /// See [`BuildError`]: no primary endpoint would be left, or the HTTP client cannot be set up.
    pub fn add_endpoint(&self, endpoint: ServiceEndpoint) -> Result<(), BuildError> {
        let added = ConnectedEndpoint::new(endpoint, &self.0.setup)?;
        let changed = self.0.endpoints.change(|all| {
            let address = added.endpoint.endpoint();
            match all.iter_mut().find(|e| e.endpoint.endpoint() == address) {
                Some(known) => *known = added,
                None => all.push(added),
            }
        });
        if changed { Ok(()) } else { Err(BuildError::NoPrimaryEndpoint) }
    }

    /// Signs with another access key from the next call on, at the endpoints of a name or the one of an address: for this
    /// client with all its clones and hubs, without a restart. Calls under way go on with the old key. Clients that are
    /// connected stay connected, and tokens that were given out work as long as the service knows the old key.
    ///
    /// A resource has two keys, so that one can be regenerated while the other is in use:
    ///
    /// ```
    /// use hubwire::service::{ServiceClient, ServiceEndpoint, credentials::AccessKey};
    ///
    /// # fn example(primary: String, secondary: String) -> Result<(), Box<dyn std::error::Error>> {
    /// let address = "https://contoso.service.signalr.net";
    /// let service = ServiceClient::builder().endpoint(ServiceEndpoint::new(address, AccessKey::new(primary))?).build()?;
    ///
    /// // Before the primary key is regenerated:
    /// service.set_access_key(address, AccessKey::new(secondary))?;
    /// # Ok(())
    /// # }
    /// # example("1".to_owned(), "2".to_owned()).unwrap();
    /// ```
    ///
    /// Where keys are in settings, [`reconfigure`](Self::reconfigure) takes over whatever has changed in them. An
    /// [`UpstreamRouter`](crate::service::upstream::UpstreamRouter) has keys of its own: give it both.
    ///
    /// # Errors
    /// [`EndpointError::NoSuchEndpoint`]; [`EndpointError::Credential`] when the key is empty. Then nothing has changed.
    pub fn set_access_key(&self, name_or_address: &str, key: AccessKey) -> Result<(), EndpointError> {
        let mut result = Err(EndpointError::NoSuchEndpoint);
        self.0.endpoints.change(|all| {
            for known in all.iter_mut().filter(|e| is_called(e, name_or_address)) {
                result = known.with_access_key(&key).map(|changed| *known = changed);
                if result.is_err() {
                    break;
                }
            }
        });
        result
    }

    /// Takes over the endpoints that are configured now, while the client runs: new ones are added, changed ones replaced,
    /// and those that came from a configuration and are no longer in it are removed. One of which only the access key has
    /// changed keeps its connections, and one that has not changed is left alone. Endpoints that were given in code stay as
    /// they are: one that the settings have under the same address is not used, and a line in the log, at level `warn`, says so.
    /// The application name, time-outs and retries are those that the client was built with.
    ///
    /// Call it when the settings may have changed: when a file or a secret in Key Vault has a new version, at a signal, or
    /// from time to time.
    ///
    /// ```
    /// use hubwire::service::{ServiceClient, configuration::{Configuration, ConfigurationError}};
    ///
    /// fn settings() -> Result<Configuration, ConfigurationError> {
    ///     // Key Vault, mounted as a folder, puts each secret into a file of its own.
    ///     let key = std::fs::read_to_string("/secrets/signalr").unwrap_or_default();
    ///     Ok(Configuration::from_environment().set("Azure:SignalR:ConnectionString", key))
    /// }
    ///
    /// async fn follow(service: ServiceClient) -> Result<(), ConfigurationError> {
    ///     loop {
    ///         tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    ///         service.reconfigure(&settings()?)?;
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// See [`ConfigurationError`]; the client goes on with what it has.
    pub fn reconfigure(&self, configuration: &Configuration) -> Result<(), ConfigurationError> {
        let known = self.0.endpoints.all();
        let connected = |wanted: ServiceEndpoint| -> Result<Arc<ConnectedEndpoint>, ConfigurationError> {
            let mut same = known.iter().filter(|e| e.endpoint.is_configured());
            match same.find_map(|e| Some((e, e.endpoint.change_to(&wanted)?))) {
                Some((known, Change::None)) => Ok(Arc::clone(known)),
                Some((known, Change::AccessKey(key))) => {
                    tracing::info!(endpoint = wanted.label(), "the endpoint has another access key");
                    let failed = |source| ConfigurationError::Endpoint { key: wanted.label(), source };
                    known.with_access_key(&key).map_err(failed)
                }
                None => {
                    tracing::info!(
                        endpoint = wanted.label(),
                        "the endpoint is new, or configured in another way"
                    );
                    Ok(ConnectedEndpoint::new(wanted, &self.0.setup)?)
                }
            }
        };
        let wanted = configuration.service_endpoints()?.into_iter().filter(|wanted| {
            let address = wanted.endpoint();
            let by_code = known.iter().any(|e| !e.endpoint.is_configured() && e.endpoint.endpoint() == address);
            if by_code {
                tracing::warn!(
                    endpoint = wanted.label(),
                    "the endpoint of the settings is not used, since one of this address was given in code; remove one of them"
                );
            }
            !by_code
        });
        let wanted = wanted.map(connected);
        let wanted = wanted.collect::<Result<Vec<_>, _>>()?;
        let changed = self.0.endpoints.change(|all| {
            all.retain(|e| !e.endpoint.is_configured());
            all.splice(0..0, wanted);
            *all = distinct(std::mem::take(all), |e| (e.endpoint.endpoint(), e.endpoint.role()));
        });
        if changed { Ok(()) } else { Err(BuildError::NoPrimaryEndpoint.into()) }
    }

    /// Removes the endpoints of a name, or the one of an address, and says how many those were. Calls under way are
    /// not cancelled. Connected clients stay connected and get no more messages: send new ones elsewhere first, with a
    /// [weight](ServiceEndpoint::weighted) of zero.
    ///
    /// # Errors
    /// [`BuildError::NoPrimaryEndpoint`] when none would be left; then nothing is removed.
    pub fn remove_endpoint(&self, name_or_address: &str) -> Result<usize, BuildError> {
        let mut removed = 0;
        let changed = self.0.endpoints.change(|all| {
            let before = all.len();
            all.retain(|e| !is_called(e, name_or_address));
            removed = before - all.len();
        });
        if changed { Ok(removed) } else { Err(BuildError::NoPrimaryEndpoint) }
    }
}

impl fmt::Debug for ServiceClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceClient")
            .field("endpoints", &self.0.endpoints)
            .field("application", &self.0.setup.application)
            .finish_non_exhaustive()
    }
}

impl ServiceClient {
    /// A client of what is configured. [`Configuration`] lists the keys.
    ///
    /// ```no_run
    /// use hubwire::service::{ServiceClient, configuration::Configuration};
    ///
    /// # fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let service = ServiceClient::from_configuration(&Configuration::from_environment())?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`ConfigurationError`]; it names the key that is missing or wrong.
    pub fn from_configuration(configuration: &Configuration) -> Result<Self, ConfigurationError> {
        Ok(Self::builder().configuration(configuration)?.build()?)
    }
}

impl ServiceClientBuilder {
    /// Adds the endpoints that are configured, and sets the application name, the timeout and the retries if they are. What is set
    /// afterwards wins. Each of the [`warnings`](Configuration::warnings) is a line in the log, at level `warn`.
    ///
    /// # Errors
    /// See [`ConfigurationError`]; it names the key that is missing or wrong.
    pub fn configuration(self, configuration: &Configuration) -> Result<Self, ConfigurationError> {
        configuration.check_transport()?;
        let timeout = configuration.timeout()?;
        let mut builder = self;
        for endpoint in configuration.service_endpoints()? {
            builder = builder.endpoint(endpoint);
        }
        for warning in configuration.warnings()? {
            tracing::warn!(warning = %ErrorChain::new(&warning), "the settings have most likely a mistake");
        }
        builder.setup.retry = configuration.retry(builder.setup.retry)?;
        if let Some(name) = configuration.filled("Azure:SignalR:ApplicationName") {
            builder = builder.application_name(name);
        }
        match timeout {
            Some(timeout) => Ok(builder.timeout(timeout)),
            None => Ok(builder),
        }
    }
}

/// Whether an endpoint has this name or this address.
fn is_called(endpoint: &ConnectedEndpoint, name_or_address: &str) -> bool {
    let (name, address) = (endpoint.endpoint.name(), endpoint.endpoint.endpoint());
    !name_or_address.is_empty()
        && (name == name_or_address || address == name_or_address.trim_end_matches('/'))
}

pub(super) fn is_application_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
