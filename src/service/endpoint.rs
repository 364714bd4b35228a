//! One Azure SignalR Service resource and how to authenticate to it.

use std::net::Ipv4Addr;

use reqwest::Url;

use super::{
    configuration::EndpointSettings,
    connection_string::{ConnectionString, ConnectionStringError, ConnectionStringWarning, parse_url},
    credential::{Credential, DEFAULT_SCOPE, Kind},
    credential_settings::AuthKind,
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
    /// The authority is not the origin of an https URL, such as `https://login.microsoftonline.com`.
    #[error("the authority must be an address such as https://login.microsoftonline.com, without a path")]
    InvalidAuthority,
    /// A part of the credential is empty or has characters that it cannot have.
    #[error("the {what} of the credential is not valid")]
    InvalidCredential {
        /// The part.
        what: &'static str,
    },
    /// Settings cannot carry everything this kind of credential needs. Make the credential yourself and pass it to
    /// [`ServiceEndpoint::new`]; the text names one that fits.
    #[error("{kind} cannot be made of settings alone; {}", UseInstead(*.kind))]
    UnsupportedCredential {
        /// What it asks for.
        kind: AuthKind,
    },
}

struct UseInstead(AuthKind);

impl std::fmt::Display for UseInstead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            AuthKind::ClientCertificate => {
                "the certificate store of Windows is not read, so export the certificate to a file and pass a \
                 ClientCertificate to ServiceEndpoint::new"
            }
            AuthKind::AzurePipelines => {
                "pass an AzurePipelinesCredential of azure_identity to ServiceEndpoint::new"
            }
            _ => "pass a credential to ServiceEndpoint::new",
        })
    }
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
/// use hubwire::service::{AccessKey, ClientSecret, ServiceEndpoint};
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
/// # Ok::<(), hubwire::service::EndpointError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ServiceEndpoint {
    name: String,
    role: EndpointRole,
    weight: u32,
    endpoint: Url,
    client_endpoint: Option<Url>,
    server_endpoint: Option<Url>,
    scope: String,
    pub(super) credential: Credential,
    warnings: Vec<ConnectionStringWarning>,
}

impl ServiceEndpoint {
    /// An endpoint by its address, such as `https://contoso.service.signalr.net`, and a credential: an
    /// [`AccessKey`](super::AccessKey), a [`ClientSecret`](super::ClientSecret) or any `Arc<dyn TokenCredential>`.
    ///
    /// # Errors
    /// When the address is not an https URL (or an http URL of this machine), or the credential is incomplete.
    pub fn new(url: &str, credential: impl Into<Credential>) -> Result<Self, EndpointError> {
        let endpoint = checked_url(url.trim_end_matches('/'), "endpoint")?;
        Self::with(endpoint, credential.into())
    }

    /// An endpoint from a connection string, as the Azure portal shows it. What is odd about it is in
    /// [`warnings`](Self::warnings); [`ConnectionString::parse_strict`] and `TryFrom` take no such string.
    ///
    /// `AuthType=azure` is [`CredentialChain::azure_default`](super::CredentialChain::azure_default).
    ///
    /// # Errors
    /// See [`EndpointError`].
    pub fn from_connection_string(text: &str) -> Result<Self, EndpointError> {
        ConnectionString::parse(text)?.try_into()
    }

    fn at(
        endpoint: Url,
        client_endpoint: Option<Url>,
        server_endpoint: Option<Url>,
        credential: Credential,
    ) -> Result<Self, EndpointError> {
        let secure = |url: Option<Url>, what| match url {
            Some(url) if !is_secure(&url) => Err(EndpointError::InsecureUrl { what }),
            url => Ok(url),
        };
        if !is_secure(&endpoint) {
            return Err(EndpointError::InsecureUrl { what: "endpoint" });
        }
        Ok(Self {
            client_endpoint: secure(client_endpoint, "client endpoint")?,
            server_endpoint: secure(server_endpoint, "server endpoint")?,
            ..Self::with(endpoint, credential)?
        })
    }

    fn with(endpoint: Url, credential: Credential) -> Result<Self, EndpointError> {
        match &credential.0 {
            Kind::AccessKey(key) if key.secret().is_empty() => {
                return Err(EndpointError::InvalidCredential { what: "access key" });
            }
            Kind::AccessKey(_) => {}
            Kind::Token(source) => source.check()?,
        }
        Ok(Self {
            name: String::new(),
            role: EndpointRole::Primary,
            weight: 1,
            endpoint,
            client_endpoint: None,
            server_endpoint: None,
            scope: DEFAULT_SCOPE.to_owned(),
            credential,
            warnings: Vec::new(),
        })
    }

    /// Sends clients to another address, such as that of a reverse proxy, which may have a path.
    ///
    /// # Errors
    /// When the address is not an https URL (or an http URL of this machine).
    pub fn with_client_endpoint(self, url: &str) -> Result<Self, EndpointError> {
        Ok(Self { client_endpoint: Some(checked_url(url, "client endpoint")?), ..self })
    }

    /// Sends this program's own requests to another address than the endpoint's.
    ///
    /// # Errors
    /// When the address is not an https URL (or an http URL of this machine).
    pub fn with_server_endpoint(self, url: &str) -> Result<Self, EndpointError> {
        Ok(Self { server_endpoint: Some(checked_url(url, "server endpoint")?), ..self })
    }

    /// Gives it a name, by which routers, logs and errors know it. None by default.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// Makes it a secondary endpoint, which takes over while no primary one is online.
    #[must_use]
    pub fn secondary(self) -> Self {
        self.with_role(EndpointRole::Secondary)
    }

    /// Makes it a primary endpoint, which it is by default, or a secondary one.
    #[must_use]
    pub fn with_role(self, role: EndpointRole) -> Self {
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
    pub fn with_scope(self, scope: impl Into<String>) -> Self {
        Self { scope: scope.into(), ..self }
    }

    /// Scheme, host and port; the scheme's own port is left out.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.endpoint.origin().ascii_serialization()
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

    /// What people call it: name and address.
    pub(super) fn label(&self) -> String {
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

    pub(super) fn scope(&self) -> &str {
        &self.scope
    }

    /// What the audience of every token starts with: `scheme://host/`, from the endpoint even behind a proxy, and
    /// without the port.
    pub(super) fn audience_base(&self) -> String {
        format!("{}://{}/", self.endpoint.scheme(), self.endpoint.host_str().unwrap_or_default())
    }

    /// Whether clients go elsewhere than to the service itself.
    pub(super) fn has_client_endpoint(&self) -> bool {
        self.client_endpoint.is_some()
    }

    /// Where clients go; it ends in a slash.
    pub(super) fn client_base(&self) -> String {
        with_slash(self.client_endpoint.as_ref().unwrap_or(&self.endpoint))
    }

    /// Where this program's requests go; it ends in a slash.
    pub(super) fn server_base(&self) -> String {
        with_slash(self.server_url())
    }

    pub(super) fn server_url(&self) -> &Url {
        self.server_endpoint.as_ref().unwrap_or(&self.endpoint)
    }
}

impl TryFrom<ConnectionString> for ServiceEndpoint {
    type Error = EndpointError;

    fn try_from(parsed: ConnectionString) -> Result<Self, EndpointError> {
        let credential = parsed.credential.into_credential(None)?;
        let endpoint = Self::at(parsed.endpoint, parsed.client_endpoint, parsed.server_endpoint, credential)?;
        Ok(Self { warnings: parsed.warnings, ..endpoint })
    }
}

impl TryFrom<EndpointSettings> for ServiceEndpoint {
    type Error = EndpointError;

    fn try_from(settings: EndpointSettings) -> Result<Self, EndpointError> {
        let EndpointSettings { endpoint, client_endpoint, server_endpoint, .. } = settings;
        let credential = settings.credential.into_credential(settings.authority.as_deref())?;
        let endpoint = Self::at(endpoint, client_endpoint, server_endpoint, credential)?;
        Ok(Self { name: settings.name, role: settings.role, warnings: settings.warnings, ..endpoint })
    }
}

fn with_slash(url: &Url) -> String {
    format!("{}/", url.as_str().trim_end_matches('/'))
}

fn checked_url(text: &str, what: &'static str) -> Result<Url, EndpointError> {
    let url = parse_url(text.trim()).ok_or(EndpointError::InvalidUrl { what })?;
    if is_secure(&url) { Ok(url) } else { Err(EndpointError::InsecureUrl { what }) }
}

/// Whether tokens may be sent there: anywhere with https, with plain http to this machine only.
pub(super) fn is_secure(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    url.scheme() == "https"
        || host == "localhost"
        || host == "[::1]"
        || host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
}
