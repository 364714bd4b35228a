//! Connection strings of Azure SignalR Service.
//!
//! The grammar is that of the official SDK: `key=value` segments between semicolons, keys in any case and order,
//! no quoting, a value may contain `=`. Documented in
//! [Connection strings](https://learn.microsoft.com/azure/azure-signalr/concept-connection-string).

use std::fmt;

use reqwest::Url;

use super::{credential::AccessKey, secret::Secret};

/// A connection string, read and checked, before anything is decided about its use.
///
/// [`ServiceEndpoint::from_connection_string`](super::ServiceEndpoint::from_connection_string) reads one in
/// passing. This type is for looking at what a connection string says.
///
/// ```
/// use hubwire::service::{AuthKind, ConnectionString};
///
/// let parsed = ConnectionString::parse("Endpoint=https://contoso.service.signalr.net;AccessKey=abc;Version=1.0;")?;
/// assert_eq!(parsed.endpoint(), "https://contoso.service.signalr.net");
/// assert_eq!(parsed.auth_kind(), AuthKind::AccessKey);
/// # Ok::<(), hubwire::service::ConnectionStringError>(())
/// ```
#[derive(Clone)]
pub struct ConnectionString {
    pub(super) endpoint: Url,
    pub(super) client_endpoint: Option<Url>,
    pub(super) server_endpoint: Option<Url>,
    version: Option<String>,
    pub(super) auth: Auth,
}

/// What a connection string says about authentication.
#[derive(Debug, Clone)]
pub(super) enum Auth {
    AccessKey(AccessKey),
    ClientSecret { tenant_id: String, client_id: String, secret: Secret },
    ClientCertificate { tenant_id: String, client_id: String },
    ManagedIdentity { client_id: Option<String> },
    Default,
}

/// The kind of credential a connection string asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthKind {
    /// `AccessKey=…`, with no `AuthType` or one that is not known.
    AccessKey,
    /// `AuthType=azure.app` with a client secret.
    ClientSecret,
    /// `AuthType=azure.app` with the path of a certificate.
    ClientCertificate,
    /// `AuthType=azure.msi`.
    ManagedIdentity,
    /// `AuthType=azure`: the default credential of the Azure SDKs.
    DefaultAzureCredential,
}

/// Why a text is no connection string. No variant carries a value of the text: any of them may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionStringError {
    /// The text is empty or blank. Check that the setting it comes from exists.
    #[error("the connection string is empty; check that the setting it comes from exists")]
    Empty,
    /// There is no `Endpoint`, or hardly anything at all.
    #[error("the connection string has no Endpoint; copy the whole string from the Azure portal")]
    MissingEndpoint,
    /// A property stands there twice.
    #[error("the connection string has the property {name} twice; remove one")]
    DuplicateProperty {
        /// The property, or `(unknown)` when the service does not define it.
        name: &'static str,
    },
    /// `Endpoint` is not an absolute http or https URL without user, query and fragment.
    #[error("Endpoint in the connection string is not an absolute http or https URL")]
    InvalidEndpoint,
    /// `Version` is not 1.x.
    #[error("Version in the connection string is not supported; it must be 1.x, such as 1.0")]
    UnsupportedVersion,
    /// `Port` is not a number from 1 to 65535.
    #[error("Port in the connection string must be a number from 1 to 65535")]
    InvalidPort,
    /// `ClientEndpoint` is not an absolute http or https URL without user, query and fragment.
    #[error("ClientEndpoint in the connection string is not an absolute http or https URL")]
    InvalidClientEndpoint,
    /// `ServerEndpoint` is not an absolute http or https URL without user, query and fragment.
    #[error("ServerEndpoint in the connection string is not an absolute http or https URL")]
    InvalidServerEndpoint,
    /// There is no `AccessKey`, and `AuthType` names no Entra credential either.
    #[error(
        "the connection string has no AccessKey; add it, or an AuthType of azure, azure.msi or azure.app"
    )]
    MissingAccessKey,
    /// `AuthType=azure.app` without `ClientId`.
    #[error("AuthType=azure.app needs ClientId, the application (client) id")]
    MissingClientId,
    /// `AuthType=azure.app` without `TenantId`.
    #[error("AuthType=azure.app needs TenantId, the directory (tenant) id")]
    MissingTenantId,
    /// `AuthType=azure.app` without `ClientSecret` and without a certificate.
    #[error("AuthType=azure.app needs ClientSecret or ClientCert")]
    MissingClientCredential,
}

/// The properties that mean something. The documentation calls the certificate's `ClientCertPath`, the official
/// parser reads `clientCert`.
const PROPERTIES: [&str; 12] = [
    "Endpoint",
    "Port",
    "Version",
    "AccessKey",
    "AuthType",
    "ClientId",
    "TenantId",
    "ClientSecret",
    "ClientCert",
    "ClientCertPath",
    "ClientEndpoint",
    "ServerEndpoint",
];

struct Properties<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Properties<'a> {
    fn read(text: &'a str) -> Result<Self, ConnectionStringError> {
        if text.trim().is_empty() {
            return Err(ConnectionStringError::Empty);
        }
        let segments: Vec<&str> = text.split(';').map(str::trim).filter(|s| !s.is_empty()).collect();
        if segments.len() < 2 {
            return Err(ConnectionStringError::MissingEndpoint);
        }
        let mut properties = Self(Vec::with_capacity(segments.len()));
        for (key, value) in segments.iter().filter_map(|s| s.split_once('=')) {
            let (key, value) = (key.trim(), value.trim());
            if properties.find(key).is_some() {
                let known = PROPERTIES.iter().find(|p| p.eq_ignore_ascii_case(key));
                return Err(ConnectionStringError::DuplicateProperty { name: known.unwrap_or(&"(unknown)") });
            }
            properties.0.push((key, value));
        }
        Ok(properties)
    }

    /// The value of a property, which may be empty.
    fn find(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|&(_, value)| value)
    }

    /// The value of a property, unless it is absent or empty.
    fn filled(&self, name: &str) -> Option<&'a str> {
        self.find(name).filter(|value| !value.is_empty())
    }

    fn owned(&self, name: &str) -> Option<String> {
        self.filled(name).map(str::to_owned)
    }

    fn certificate(&self) -> Option<&'a str> {
        self.filled("ClientCert").or_else(|| self.filled("ClientCertPath"))
    }

    fn auth(&self) -> Result<Auth, ConnectionStringError> {
        let auth_type = self.find("AuthType").unwrap_or_default();
        let is = |name: &str| auth_type.eq_ignore_ascii_case(name);
        if is("azure") || is("azure.msi") {
            if self.filled("ClientSecret").is_some() || self.certificate().is_some() {
                tracing::warn!(
                    "the connection string has AuthType={auth_type}, so its client secret or certificate is not \
                     used; AuthType=azure.app uses it"
                );
            }
            return Ok(match is("azure") {
                true => Auth::Default,
                false => Auth::ManagedIdentity { client_id: self.owned("ClientId") },
            });
        }
        let (client_id, tenant_id) = (self.owned("ClientId"), self.owned("TenantId"));
        if is("azure.app") {
            let client_id = client_id.ok_or(ConnectionStringError::MissingClientId)?;
            return self.application(client_id, tenant_id.ok_or(ConnectionStringError::MissingTenantId)?);
        }
        if is("aad") {
            // The name of before there were several; what it means depends on what else is there.
            return match (client_id, tenant_id) {
                (Some(client_id), Some(tenant_id)) => self.application(client_id, tenant_id),
                (client_id, _) => Ok(Auth::ManagedIdentity { client_id }),
            };
        }
        if !auth_type.is_empty() {
            tracing::warn!("the AuthType of the connection string is not known; its access key is used");
        }
        let key = self.filled("AccessKey").ok_or(ConnectionStringError::MissingAccessKey)?;
        Ok(Auth::AccessKey(AccessKey::new(key)))
    }

    fn application(&self, client_id: String, tenant_id: String) -> Result<Auth, ConnectionStringError> {
        match (self.filled("ClientSecret"), self.certificate()) {
            (Some(secret), _) => Ok(Auth::ClientSecret { tenant_id, client_id, secret: Secret::new(secret) }),
            (None, Some(_)) => Ok(Auth::ClientCertificate { tenant_id, client_id }),
            (None, None) => Err(ConnectionStringError::MissingClientCredential),
        }
    }
}

impl ConnectionString {
    /// Reads a connection string. Of several faults the first in the official SDK's order is reported.
    ///
    /// # Errors
    /// See [`ConnectionStringError`].
    pub fn parse(text: &str) -> Result<Self, ConnectionStringError> {
        let properties = Properties::read(text)?;
        let endpoint = properties.find("Endpoint").ok_or(ConnectionStringError::MissingEndpoint)?;
        let mut endpoint =
            parse_url(endpoint.trim_end_matches('/')).ok_or(ConnectionStringError::InvalidEndpoint)?;
        let version = properties.find("Version");
        if version.is_some_and(|v| !is_version_1(v)) {
            return Err(ConnectionStringError::UnsupportedVersion);
        }
        if let Some(port) = properties.find("Port") {
            let port = port.parse::<u16>().ok().filter(|&port| port > 0);
            let port = port.ok_or(ConnectionStringError::InvalidPort)?;
            endpoint.set_port(Some(port)).map_err(|()| ConnectionStringError::InvalidPort)?;
        }
        let other = |name, error| properties.find(name).map(|url| parse_url(url).ok_or(error)).transpose();
        Ok(Self {
            endpoint,
            client_endpoint: other("ClientEndpoint", ConnectionStringError::InvalidClientEndpoint)?,
            server_endpoint: other("ServerEndpoint", ConnectionStringError::InvalidServerEndpoint)?,
            version: version.map(str::to_owned),
            auth: properties.auth()?,
        })
    }

    /// Scheme, host and port of the endpoint; the scheme's own port is left out.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.endpoint.origin().ascii_serialization()
    }

    /// The port that the service listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.endpoint.port_or_known_default().unwrap_or_default()
    }

    /// Where clients are sent instead of the endpoint, if anywhere. No trailing slash unless there is a path.
    #[must_use]
    pub fn client_endpoint(&self) -> Option<&str> {
        self.client_endpoint.as_ref().map(without_bare_slash)
    }

    /// Where this program sends its requests instead of the endpoint, if anywhere.
    #[must_use]
    pub fn server_endpoint(&self) -> Option<&str> {
        self.server_endpoint.as_ref().map(without_bare_slash)
    }

    /// The version as it was given.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// The kind of credential it asks for.
    #[must_use]
    pub fn auth_kind(&self) -> AuthKind {
        match self.auth {
            Auth::AccessKey(_) => AuthKind::AccessKey,
            Auth::ClientSecret { .. } => AuthKind::ClientSecret,
            Auth::ClientCertificate { .. } => AuthKind::ClientCertificate,
            Auth::ManagedIdentity { .. } => AuthKind::ManagedIdentity,
            Auth::Default => AuthKind::DefaultAzureCredential,
        }
    }

    /// The access key, when that is what authenticates.
    #[must_use]
    pub fn access_key(&self) -> Option<&AccessKey> {
        match &self.auth {
            Auth::AccessKey(key) => Some(key),
            _ => None,
        }
    }

    /// The client id of the application or of the user-assigned managed identity.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        match &self.auth {
            Auth::ClientSecret { client_id, .. } | Auth::ClientCertificate { client_id, .. } => {
                Some(client_id)
            }
            Auth::ManagedIdentity { client_id } => client_id.as_deref(),
            Auth::AccessKey(_) | Auth::Default => None,
        }
    }

    /// The tenant of the application.
    #[must_use]
    pub fn tenant_id(&self) -> Option<&str> {
        match &self.auth {
            Auth::ClientSecret { tenant_id, .. } | Auth::ClientCertificate { tenant_id, .. } => {
                Some(tenant_id)
            }
            _ => None,
        }
    }
}

impl fmt::Debug for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionString")
            .field("endpoint", &self.endpoint())
            .field("client_endpoint", &self.client_endpoint())
            .field("server_endpoint", &self.server_endpoint())
            .field("version", &self.version)
            .field("auth", &self.auth)
            .finish()
    }
}

/// An absolute http or https URL. Paths would be appended behind a query, and user information is a password that
/// would end up in logs, so neither may be there. The `url` crate takes more than RFC 3986 does: a missing `//`,
/// backslashes, blanks.
pub(super) fn parse_url(text: &str) -> Option<Url> {
    let (scheme, rest) = text.split_once("://")?;
    let http = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    if !http
        || rest.starts_with('/')
        || rest.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\')
    {
        return None;
    }
    let url = Url::parse(text).ok()?;
    let plain = url.query().is_none() && url.fragment().is_none();
    let anonymous = url.username().is_empty() && url.password().is_none();
    (plain && anonymous && url.has_host()).then_some(url)
}

fn without_bare_slash(url: &Url) -> &str {
    match url.path() {
        "/" => url.as_str().trim_end_matches('/'),
        _ => url.as_str(),
    }
}

/// `1.` with digits, then anything made of word characters, dots and hyphens: `1.0`, `1.1-preview`.
fn is_version_1(text: &str) -> bool {
    text.strip_prefix("1.").is_some_and(|rest| {
        rest.starts_with(|c: char| c.is_ascii_digit())
            && rest.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-'))
    })
}
