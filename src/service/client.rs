//! The client of one Azure SignalR Service resource, and what all of its hubs share.

use std::{fmt, sync::Arc, time::Duration};

use reqwest::Method;
use tokio::sync::Semaphore;

use super::{
    access_key::{Exchange, SigningKeys},
    credential::{Kind, token_cache},
    endpoint::ServiceEndpoint,
    error::{Operation, ServiceError},
    http::HttpClients,
    hub::HubClient,
    jwt, random,
    rest::{Request, RestClient, RestCredential},
    retry::RetryOptions,
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
    /// More than one endpoint was given. One client serves one endpoint; build a client for each.
    #[error("the service client takes one endpoint; build a client for each")]
    SeveralEndpoints,
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
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until build() is called"]
pub struct ServiceClientBuilder {
    endpoints: Vec<ServiceEndpoint>,
    application_name: Option<String>,
    timeout: Duration,
    credential_timeout: Duration,
    retry: RetryOptions,
    max_concurrent_requests: usize,
    proxy: Option<Secret>,
}

impl ServiceClientBuilder {
    /// The endpoint to serve. Exactly one.
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

    /// Builds the client. Nothing is sent yet: the first call gets the first token.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn build(self) -> Result<ServiceClient, BuildError> {
        let mut endpoints = self.endpoints.into_iter();
        let endpoint = endpoints.next().ok_or(BuildError::NoEndpoint)?;
        if endpoints.next().is_some() {
            return Err(BuildError::SeveralEndpoints);
        }
        let application = self.application_name.filter(|name| !name.is_empty());
        if application.as_deref().is_some_and(|name| !is_application_name(name)) {
            return Err(BuildError::InvalidApplicationName);
        }
        let application = application.map(|name| name.to_ascii_lowercase());

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
        Ok(ServiceClient(Arc::new(Shared { endpoint, application, keys, rest })))
    }
}

/// What the hubs of one client share.
pub(super) struct Shared {
    pub(super) endpoint: ServiceEndpoint,
    pub(super) application: Option<String>,
    pub(super) keys: SigningKeys,
    pub(super) rest: RestClient,
}

/// The client of one Azure SignalR Service resource. Cheap to clone; clones share connections, tokens and keys.
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
#[derive(Clone)]
pub struct ServiceClient(Arc<Shared>);

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

    /// Whether the service says that it is healthy. A status from 500 on is a no, and not asked about again.
    ///
    /// # Errors
    /// See [`ServiceError`]: the service can't be reached, or refuses to answer.
    pub async fn is_healthy(&self) -> Result<bool, ServiceError> {
        let request = Request::new(Operation::CheckHealth, Method::HEAD, "api/health".to_owned());
        let once = RestClient { retry: RetryOptions::none(), ..self.0.rest.clone() };
        match once.call(&request).await {
            Err(ServiceError::Failed(refusal)) if refusal.status() >= 500 => Ok(false),
            answer => answer.map(|_| true),
        }
    }

    /// Exchanges the Entra token for a new access key now, rather than when the present one is 55 minutes old. With
    /// an access key of the resource there is nothing to exchange.
    ///
    /// # Errors
    /// See [`ServiceError`]; the present key stays in use.
    pub async fn refresh_access_key(&self) -> Result<(), ServiceError> {
        self.0.keys.renew().await
    }
}

impl fmt::Debug for ServiceClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceClient")
            .field("endpoint", &self.0.endpoint)
            .field("application", &self.0.application)
            .finish_non_exhaustive()
    }
}

fn is_application_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
