//! The client of one Azure SignalR Service resource, and what all of its hubs share.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    access_key::{Exchange, SigningKeys},
    credential::{Kind, TokenSource},
    endpoint::ServiceEndpoint,
    error::ServiceError,
    hub::HubClient,
    jwt, random,
    rest::{RestClient, RestCredential},
};
use crate::platform::tls::http_client_builder;

const REST_TIMEOUT: Duration = Duration::from_secs(100);
const CREDENTIAL_TIMEOUT: Duration = Duration::from_secs(30);
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

    /// The limit for one REST request, 100 seconds by default. Getting a token comes on top of it.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// The limit for getting an Entra token, and again for exchanging it for an access key: 30 seconds each by
    /// default.
    pub fn credential_timeout(self, timeout: Duration) -> Self {
        Self { credential_timeout: timeout, ..self }
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

        let client = http_client(endpoint.server_url())?;
        let source = match &endpoint.credential.0 {
            Kind::AccessKey(key) => Err(Arc::new(jwt::Key::new(key.secret(), None))),
            Kind::ClientSecret(secret) => {
                let authority = secret.authority_url().map_err(|e| BuildError::HttpClient(Arc::new(e)))?;
                let client = if authority.scheme() == endpoint.server_url().scheme() {
                    client.clone()
                } else {
                    http_client(&authority)?
                };
                Ok(TokenSource::ClientSecret { secret: secret.clone(), client })
            }
            Kind::Token(credential) => Ok(TokenSource::Token(Arc::clone(credential))),
        };
        let (keys, credential) = match source {
            Err(key) => (SigningKeys::Fixed(Arc::clone(&key)), RestCredential::Key(key)),
            Ok(source) => {
                let tokens = source.into_cache(endpoint.scope().to_owned(), self.credential_timeout);
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
            server_name: format!("hubwire_{:016x}", random::number()),
        };
        Ok(ServiceClient(Arc::new(Shared { endpoint, application, keys, rest })))
    }
}

/// Plain http goes to this machine only, so never through a proxy: it would see tokens in clear text.
fn http_client(target: &reqwest::Url) -> Result<reqwest::Client, BuildError> {
    let builder = http_client_builder().map_err(|error| BuildError::HttpClient(Arc::new(error)))?;
    let builder = builder.user_agent(concat!("hubwire/", env!("CARGO_PKG_VERSION")));
    let builder = if target.scheme() == "http" { builder.no_proxy() } else { builder };
    builder.build().map_err(|error| BuildError::HttpClient(Arc::new(error)))
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
pub struct ServiceClient(pub(super) Arc<Shared>);

impl ServiceClient {
    /// Starts a client.
    pub fn builder() -> ServiceClientBuilder {
        ServiceClientBuilder {
            endpoints: Vec::new(),
            application_name: None,
            timeout: REST_TIMEOUT,
            credential_timeout: CREDENTIAL_TIMEOUT,
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
