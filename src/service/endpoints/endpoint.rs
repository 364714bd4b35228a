//! One Azure SignalR Service resource and how to authenticate to it.

use reqwest::Url;

use crate::service::{
    connection_string::{ConnectionString, ConnectionStringError, ConnectionStringWarning},
    credentials::{
        access_key::AccessKey,
        credential::{Credential, DEFAULT_SCOPE, Kind},
        entra::variables::authority,
        error::InvalidCredential,
        settings::CredentialSettings,
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
    /// Tokens would travel in clear text. Use https; plain http is possible on this machine, and in development to the
    /// emulator in a container: see [`ServiceEndpoint::for_development_over_plain_http`].
    #[error(
        "the {what} must use https; plain http is possible on this machine only, or, in development, to a host that the \
         setting Hubwire:DevelopmentPlainHttpHosts names, and by ServiceEndpoint::for_development_over_plain_http"
    )]
    InsecureUrl {
        /// What the URL is for.
        what: &'static str,
    },
    /// Plain http is not possible in development either, for the reason that is given.
    #[error("plain http is not possible in development either: {reason}")]
    PlainHttp {
        /// Why not.
        reason: &'static str,
    },
    /// The authority host is not one. It was given to [`ServiceEndpoint::authority_host`], or is in the variable
    /// `AZURE_AUTHORITY_HOST`.
    #[error("the authority host, which AZURE_AUTHORITY_HOST sets, cannot be used")]
    AuthorityHost(#[source] InvalidCredential),
    /// The credential was made in code, so its authority is set there: by `authority` or `cloud` of the credential.
    #[error("the endpoint's credential was made in code; set the authority there")]
    AuthorityOfCredential,
    /// No endpoint has the name or the address that was given.
    #[error("the client has no endpoint of this name or address")]
    NoSuchEndpoint,
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
    /// What the credential was made of, if it was not made in code.
    described: Option<CredentialSettings>,
    /// The authority that it was made with.
    authority: Option<String>,
    /// Whether it comes from a configuration, which may change.
    configured: bool,
    warnings: Vec<ConnectionStringWarning>,
}

impl ServiceEndpoint {
    /// An endpoint by its address, such as `https://contoso.service.signalr.net`, and a credential: an
    /// [`AccessKey`], a [`ClientSecret`](crate::service::credentials::ClientSecret) or any `Arc<dyn TokenCredential>`.
    ///
    /// # Errors
    /// When the address is not an https URL (or an http URL of this machine), or the credential is incomplete.
    pub fn new(url: &str, credential: impl Into<Credential>) -> Result<Self, EndpointError> {
        let endpoint = checked_url(url.trim_end_matches('/'), "endpoint")?;
        let credential = credential.into();
        credential.check()?;
        Ok(Self::at(Addresses::new(endpoint), credential, None))
    }

    /// An endpoint from a connection string, as the Azure portal shows it. Likely mistakes in it are in
    /// [`warnings`](Self::warnings); [`ConnectionString::parse_strict`] and `TryFrom` reject such a string.
    ///
    /// `AuthType=azure` is [`CredentialChain::azure_default`](crate::service::credentials::CredentialChain::azure_default).
    /// The variable `AZURE_AUTHORITY_HOST` of this process, if it is set, says which Entra authority is asked, as with the Azure
    /// SDKs; [`authority_host`](Self::authority_host) wins over it.
    ///
    /// # Errors
    /// See [`EndpointError`].
    pub fn from_connection_string(text: &str) -> Result<Self, EndpointError> {
        ConnectionString::parse(text)?.try_into()
    }

    /// An endpoint for development: the emulator, or the local service, in another container or on the host of one, which
    /// speaks plain http. Tokens go there in clear text, so anybody on the way can use them. It is therefore for access keys
    /// only, and not for addresses of Azure. A line in the log says that it is in use, at level `warn`.
    ///
    /// ```
    /// use hubwire::service::ServiceEndpoint;
    ///
    /// let emulator = "Endpoint=http://signalr-emulator;Port=8888;AccessKey=abc;Version=1.0;";
    /// assert!(ServiceEndpoint::from_connection_string(emulator).is_err());
    /// let endpoint = ServiceEndpoint::for_development_over_plain_http(emulator)?;
    /// assert_eq!(endpoint.endpoint(), "http://signalr-emulator:8888");
    /// # Ok::<(), hubwire::service::endpoints::EndpointError>(())
    /// ```
    ///
    /// In settings, `Hubwire:DevelopmentPlainHttpHosts` names the hosts: see
    /// [`Configuration`](crate::service::configuration::Configuration). Browsers outside of the containers need another address:
    /// give it as `ClientEndpoint`, such as `ClientEndpoint=http://localhost:8888`.
    ///
    /// # Errors
    /// See [`EndpointError`]; [`EndpointError::PlainHttp`] for an Entra credential and for Azure.
    pub fn for_development_over_plain_http(connection_string: &str) -> Result<Self, EndpointError> {
        let parsed = ConnectionString::parse(connection_string)?;
        let described = Described { plain_http: &|_| true, authority: None, credential: parsed.credential };
        Ok(described.at(parsed.addresses)?.with_warnings(parsed.warnings))
    }

    /// An endpoint at URLs that are right, with a credential that is.
    fn at(addresses: Addresses, credential: Credential, described: Option<CredentialSettings>) -> Self {
        Self {
            name: String::new(),
            role: EndpointRole::Primary,
            weight: 1,
            addresses,
            scope: DEFAULT_SCOPE.to_owned(),
            credential,
            described,
            authority: None,
            configured: false,
            warnings: Vec::new(),
        }
    }

    /// Gets tokens from another Entra authority than that of the public cloud, such as that of a
    /// [`Cloud`](crate::service::credentials::Cloud): a host, or an https address without a path. It is for endpoints of
    /// connection strings and settings; a credential that was made in code has methods of its own. Access keys and managed
    /// identities have no authority, so nothing changes for them.
    ///
    /// ```
    /// use hubwire::service::{ServiceEndpoint, credentials::Cloud};
    ///
    /// let text = "Endpoint=https://contoso.signalr.azure.cn;AuthType=azure.app;ClientId=11111111-2222;TenantId=t;ClientSecret=s";
    /// let endpoint = ServiceEndpoint::from_connection_string(text)?.authority_host(Cloud::China.authority())?;
    /// # Ok::<(), hubwire::service::endpoints::EndpointError>(())
    /// ```
    ///
    /// # Errors
    /// [`EndpointError::AuthorityHost`] when it is not https (or an address of this machine) or has a path;
    /// [`EndpointError::AuthorityOfCredential`] when the credential was made in code.
    pub fn authority_host(mut self, host: &str) -> Result<Self, EndpointError> {
        match (&self.described, &self.credential.0) {
            (Some(described), _) => {
                let authority = authority(host);
                self.credential = credential_of(described.clone(), Some(&authority))?;
                self.authority = Some(authority);
                Ok(self)
            }
            (None, Kind::AccessKey(_)) => Ok(self),
            (None, Kind::Token(_)) => Err(EndpointError::AuthorityOfCredential),
        }
    }

    pub(in crate::service) fn configured(self) -> Self {
        Self { configured: true, ..self }
    }

    pub(in crate::service) fn is_configured(&self) -> bool {
        self.configured
    }

    /// What has to change for this to become another one; nothing when it is another one altogether.
    pub(in crate::service) fn change_to(&self, other: &Self) -> Option<Change> {
        // The texts of endpoints and credentials have everything in them but secrets.
        let shown = |endpoint: &Self| format!("{:?}", Self { warnings: Vec::new(), ..endpoint.clone() });
        let (Some(old), Some(new)) = (&self.described, &other.described) else { return None };
        match (old, new) {
            _ if shown(self) != shown(other) => None,
            (CredentialSettings::AccessKey(old), CredentialSettings::AccessKey(new)) => {
                Some(if old.secret() == new.secret() { Change::None } else { Change::AccessKey(new.clone()) })
            }
            _ => old.has_secrets_of(new).then_some(Change::None),
        }
    }

    /// The same endpoint with an access key.
    pub(in crate::service) fn with_access_key(&self, key: AccessKey) -> Result<Self, EndpointError> {
        let described = Some(CredentialSettings::AccessKey(key.clone()));
        let credential = Credential::from(key);
        credential.check()?;
        Ok(Self { credential, described, ..self.clone() })
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
        let authority = authority_of_process();
        let described = Described {
            plain_http: &|_| false,
            authority: authority.as_deref(),
            credential: parsed.credential,
        };
        Ok(described.at(parsed.addresses)?.with_warnings(parsed.warnings))
    }
}

/// What makes of one endpoint another.
pub(in crate::service) enum Change {
    None,
    AccessKey(AccessKey),
}

/// The authority that the variable of this process names, as the Azure SDKs read it.
pub(in crate::service) fn authority_of_process() -> Option<String> {
    let host = std::env::var("AZURE_AUTHORITY_HOST").ok().filter(|host| !host.trim().is_empty());
    host.as_deref().map(authority)
}

/// An endpoint of settings, before its credential is made.
pub(in crate::service) struct Described<'a> {
    /// Whether plain http may go to this host, though it is not this machine.
    pub(in crate::service) plain_http: &'a dyn Fn(&str) -> bool,
    pub(in crate::service) authority: Option<&'a str>,
    pub(in crate::service) credential: CredentialSettings,
}

impl Described<'_> {
    /// The endpoint at URLs that are valid, but may be insecure.
    pub(in crate::service) fn at(self, addresses: Addresses) -> Result<ServiceEndpoint, EndpointError> {
        for (url, what) in [
            (Some(&addresses.endpoint), "endpoint"),
            (addresses.client_endpoint.as_ref(), "client endpoint"),
            (addresses.server_endpoint.as_ref(), "server endpoint"),
        ] {
            let Some(url) = url.filter(|url| !is_secure(url)) else { continue };
            let host = url.host_str().unwrap_or_default();
            if !(self.plain_http)(host) {
                return Err(EndpointError::InsecureUrl { what });
            }
            let refused = |reason| Err(EndpointError::PlainHttp { reason });
            if AZURE.iter().any(|domain| host.ends_with(domain)) {
                return refused("the address is one of Azure, where https is");
            }
            if !matches!(self.credential, CredentialSettings::AccessKey(_)) {
                return refused("tokens of Microsoft Entra ID are for Azure; use an access key");
            }
            tracing::warn!(host, "tokens go to the {what} in clear text; this is for development only");
        }
        let credential = credential_of(self.credential.clone(), self.authority)?;
        let authority = self.authority.map(str::to_owned);
        Ok(ServiceEndpoint { authority, ..ServiceEndpoint::at(addresses, credential, Some(self.credential)) })
    }
}

/// The domains of the service, in all clouds.
const AZURE: [&str; 3] = [".signalr.net", ".signalr.azure.cn", ".signalr.azure.us"];

fn credential_of(
    described: CredentialSettings,
    authority: Option<&str>,
) -> Result<Credential, EndpointError> {
    let credential = described.into_credential(authority)?;
    credential.check().map_err(|error| match error {
        InvalidCredential::Authority | InvalidCredential::InsecureAuthority if authority.is_some() => {
            EndpointError::AuthorityHost(error)
        }
        error => error.into(),
    })?;
    Ok(credential)
}

fn checked_url(text: &str, what: &'static str) -> Result<Url, EndpointError> {
    let url = parse_url(text.trim()).ok_or(EndpointError::InvalidUrl { what })?;
    if is_secure(&url) { Ok(url) } else { Err(EndpointError::InsecureUrl { what }) }
}
