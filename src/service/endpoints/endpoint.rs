//! One Azure SignalR Service resource and how to authenticate to it.

use reqwest::Url;

use crate::service::{
    connection_string::{ConnectionString, ConnectionStringError, ConnectionStringWarning},
    credentials::{
        credential::{Credential, DEFAULT_SCOPE},
        error::InvalidCredential,
    },
    http::{
        addresses::Addresses,
        url::{is_secure, parse_url, with_slash},
    },
};

/// Why an endpoint cannot be used as it is described.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// The connection string is wrong.
    #[error(transparent)]
    ConnectionString(#[from] ConnectionStringError),
    /// The URL is not absolute, not http or https, or has a user, a query or a fragment.
    #[error("the {what} is not an absolute http or https URL")]
    InvalidUrl {
        /// What the URL is for.
        what: &'static str,
    },
    /// Tokens would travel in clear text. Use https; plain http is possible on this machine only.
    #[error("the {what} must use https; plain http is possible on this machine only")]
    InsecureUrl {
        /// What the URL is for.
        what: &'static str,
    },
    /// The credential is incomplete or not supported.
    #[error(transparent)]
    Credential(#[from] InvalidCredential),
}

/// What an endpoint is for, among several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndpointRole {
    /// Clients are sent there.
    Primary,
    /// Clients are sent there while no primary endpoint is online. Messages are sent there always, since clients that
    /// came then stay.
    Secondary,
}

/// One Azure SignalR Service resource: its address and a credential for it.
///
/// ```
/// use hubwire::service::{ServiceEndpoint, credentials::{AccessKey, ClientSecret}};
///
/// # let secret = String::new() + "s";
/// # let key = String::new() + "k";
/// let with_entra = ServiceEndpoint::new(
///     "https://contoso.service.signalr.net",
///     ClientSecret::new("contoso.onmicrosoft.com", "11111111-2222-3333-4444-555555555555", secret),
/// )?;
/// let with_key = ServiceEndpoint::new("https://contoso.service.signalr.net", AccessKey::new(key))?;
/// let from_setting =
///     ServiceEndpoint::from_connection_string("Endpoint=http://localhost;Port=8888;AccessKey=abc;Version=1.0;")?;
/// # Ok::<(), hubwire::service::endpoints::EndpointError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ServiceEndpoint {
    name: String,
    role: EndpointRole,
    weight: u32,
    addresses: Addresses,
    scope: String,
    pub(in crate::service) credential: Credential,
    warnings: Vec<ConnectionStringWarning>,
}

impl ServiceEndpoint {
    /// An endpoint by its address, such as `https://contoso.service.signalr.net`, and a credential: an
    /// [`AccessKey`](crate::service::credentials::AccessKey), a [`ClientSecret`](crate::service::credentials::ClientSecret) or any `Arc<dyn TokenCredential>`.
    ///
    /// # Errors
    /// When the address is not an https URL (or an http URL of this machine), or the credential is incomplete.
    pub fn new(url: &str, credential: impl Into<Credential>) -> Result<Self, EndpointError> {
        let endpoint = checked_url(url.trim_end_matches('/'), "endpoint")?;
        Self::at(Addresses::new(endpoint), credential.into())
    }

    /// An endpoint from a connection string, as the Azure portal shows it. Likely mistakes in it are in
    /// [`warnings`](Self::warnings); [`ConnectionString::parse_strict`] and `TryFrom` reject such a string.
    ///
    /// `AuthType=azure` is [`CredentialChain::azure_default`](crate::service::credentials::CredentialChain::azure_default).
    ///
    /// # Errors
    /// See [`EndpointError`].
    pub fn from_connection_string(text: &str) -> Result<Self, EndpointError> {
        ConnectionString::parse(text)?.try_into()
    }

    /// An endpoint at URLs that are valid, but may be insecure.
    pub(in crate::service) fn at(
        addresses: Addresses,
        credential: Credential,
    ) -> Result<Self, EndpointError> {
        for (url, what) in [
            (Some(&addresses.endpoint), "endpoint"),
            (addresses.client_endpoint.as_ref(), "client endpoint"),
            (addresses.server_endpoint.as_ref(), "server endpoint"),
        ] {
            if url.is_some_and(|url| !is_secure(url)) {
                return Err(EndpointError::InsecureUrl { what });
            }
        }
        credential.check()?;
        Ok(Self {
            name: String::new(),
            role: EndpointRole::Primary,
            weight: 1,
            addresses,
            scope: DEFAULT_SCOPE.to_owned(),
            credential,
            warnings: Vec::new(),
        })
    }

    /// Sends clients to another address, such as that of a reverse proxy, which may have a path.
    ///
    /// # Errors
    /// When the address is not an https URL (or an http URL of this machine).
    pub fn client_endpoint(mut self, url: &str) -> Result<Self, EndpointError> {
        self.addresses.client_endpoint = Some(checked_url(url, "client endpoint")?);
        Ok(self)
    }

    /// Sends this program's own requests to another address than the endpoint's.
    ///
    /// # Errors
    /// When the address is not an https URL (or an http URL of this machine).
    pub fn server_endpoint(mut self, url: &str) -> Result<Self, EndpointError> {
        self.addresses.server_endpoint = Some(checked_url(url, "server endpoint")?);
        Ok(self)
    }

    /// Gives it a name, by which routers, logs and errors know it. None by default.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// Makes it a secondary endpoint, which takes over while no primary one is online.
    #[must_use]
    pub fn secondary(self) -> Self {
        self.in_role(EndpointRole::Secondary)
    }

    /// Makes it a primary endpoint, which it is by default, or a secondary one.
    #[must_use]
    pub fn in_role(self, role: EndpointRole) -> Self {
        Self { role, ..self }
    }

    /// Its share of new clients among the endpoints of its role, 1 by default. With weights of 3 and 1 three of four
    /// clients go to the first. Zero sends none there while another one is online, such as before it is removed.
    #[must_use]
    pub fn weighted(self, weight: u32) -> Self {
        Self { weight, ..self }
    }

    /// Asks Entra for tokens of another scope than `https://signalr.azure.com/.default`.
    #[must_use]
    pub fn scope(self, scope: impl Into<String>) -> Self {
        Self { scope: scope.into(), ..self }
    }

    /// Scheme, host and port; the scheme's own port is left out.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.addresses.endpoint()
    }

    /// Its name, empty unless one was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a primary or a secondary endpoint.
    #[must_use]
    pub fn role(&self) -> EndpointRole {
        self.role
    }

    /// Its share of new clients.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.weight
    }

    /// Name and address, for people to read.
    pub(in crate::service) fn label(&self) -> String {
        match self.name.as_str() {
            "" => self.endpoint(),
            name => format!("{name} ({})", self.endpoint()),
        }
    }

    /// What is most likely a mistake in the connection string that it comes from.
    #[must_use]
    pub fn warnings(&self) -> &[ConnectionStringWarning] {
        &self.warnings
    }

    pub(in crate::service) fn with_warnings(self, warnings: Vec<ConnectionStringWarning>) -> Self {
        Self { warnings, ..self }
    }

    pub(in crate::service) fn token_scope(&self) -> &str {
        &self.scope
    }

    /// What the audience of every token starts with: `scheme://host/`, from the endpoint even behind a proxy, and
    /// without the port.
    pub(in crate::service) fn audience_base(&self) -> String {
        let endpoint = &self.addresses.endpoint;
        format!("{}://{}/", endpoint.scheme(), endpoint.host_str().unwrap_or_default())
    }

    /// Whether clients go elsewhere than to the service itself.
    pub(in crate::service) fn has_client_endpoint(&self) -> bool {
        self.addresses.client_endpoint.is_some()
    }

    /// Where clients go; it ends in a slash.
    pub(in crate::service) fn client_base(&self) -> String {
        with_slash(self.addresses.client_endpoint.as_ref().unwrap_or(&self.addresses.endpoint))
    }

    /// Where this program's requests go; it ends in a slash.
    pub(in crate::service) fn server_base(&self) -> String {
        with_slash(self.server_url())
    }

    pub(in crate::service) fn server_url(&self) -> &Url {
        self.addresses.server_endpoint.as_ref().unwrap_or(&self.addresses.endpoint)
    }
}

impl TryFrom<ConnectionString> for ServiceEndpoint {
    type Error = EndpointError;

    fn try_from(parsed: ConnectionString) -> Result<Self, EndpointError> {
        let credential = parsed.credential.into_credential(None)?;
        Ok(Self::at(parsed.addresses, credential)?.with_warnings(parsed.warnings))
    }
}

fn checked_url(text: &str, what: &'static str) -> Result<Url, EndpointError> {
    let url = parse_url(text.trim()).ok_or(EndpointError::InvalidUrl { what })?;
    if is_secure(&url) { Ok(url) } else { Err(EndpointError::InsecureUrl { what }) }
}
