//! Connection strings of Azure SignalR Service.
//!
//! The grammar is that of the official SDK: `key=value` segments between semicolons, keys in any case and order,
//! no quoting, a value may contain `=`. Documented in
//! [Connection strings](https://learn.microsoft.com/azure/azure-signalr/concept-connection-string).

use std::fmt;

use crate::service::{
    configuration::names::near,
    credentials::{
        access_key::AccessKey,
        entra::client_secret::ClientSecret,
        kind::AuthKind,
        settings::{CertificateLocation, CredentialSettings, ManagedIdentityId},
    },
    http::{
        addresses::{Addresses, without_bare_slash},
        url::parse_url,
    },
};

/// A connection string, read and checked, before anything is decided about its use.
///
/// [`ServiceEndpoint::from_connection_string`](crate::service::ServiceEndpoint::from_connection_string) reads one in
/// passing. This type is for looking at what a connection string says, and at what is most likely a mistake in it.
///
/// As text it is redacted: a log shows everything but the secrets.
///
/// ```
/// use hubwire::service::{
///     connection_string::{ConnectionString, ConnectionStringWarning},
///     credentials::AuthKind,
/// };
///
/// let parsed = ConnectionString::parse("Endpoint=https://contoso.service.signalr.net;AccessKey=abc;Version=1.0;")?;
/// assert_eq!(parsed.endpoint(), "https://contoso.service.signalr.net");
/// assert_eq!(parsed.auth_kind(), AuthKind::AccessKey);
/// assert_eq!(
///     parsed.to_string(),
///     "Endpoint=https://contoso.service.signalr.net;AccessKey=(redacted);Version=1.0;"
/// );
///
/// // Most mistakes are not errors to the official SDK; here they can be.
/// let text = "Endpoint=https://contoso.service.signalr.net;AccessKey=abc;AuthType=azur.msi";
/// assert_eq!(ConnectionString::parse(text)?.warnings(), [ConnectionStringWarning::UnknownAuthType]);
/// assert!(ConnectionString::parse_strict(text).is_err());
/// # Ok::<(), hubwire::service::connection_string::ConnectionStringError>(())
/// ```
///
/// Source: [Connection strings](https://learn.microsoft.com/azure/azure-signalr/concept-connection-string).
#[derive(Clone)]
pub struct ConnectionString {
    pub(in crate::service) addresses: Addresses,
    version: Option<String>,
    pub(in crate::service) credential: CredentialSettings,
    pub(in crate::service) warnings: Vec<ConnectionStringWarning>,
}

/// What is most likely a mistake in a connection string that can be used nevertheless. No variant carries a value of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionStringWarning {
    /// `AuthType` is not one that the service defines, so the access key is used. Most likely it is mistyped.
    #[error(
        "AuthType is not one of azure, azure.msi, azure.app and aad, so the access key is used; correct it or remove it"
    )]
    UnknownAuthType,
    /// A property has a value that its `AuthType` makes nothing of.
    #[error("{property} is not used, because the connection string asks for {used}; {}", Fix(.property, *.used))]
    UnusedProperty {
        /// The property.
        property: &'static str,
        /// What is used instead.
        used: AuthKind,
    },
    /// A property has nearly the name of one that is defined, so it is not used.
    #[error("a property with a name close to {meant} is not used; correct its name")]
    MisspeltProperty {
        /// The name that was most likely meant.
        meant: &'static str,
    },
    /// A property is not one that the service defines, so it is not used. Its name may be the end of a secret, so it is not
    /// shown.
    #[error(
        "a property of another name than those of Azure SignalR Service is not used; remove it, and note that no \
         value can contain a semicolon"
    )]
    UnknownProperty,
    /// A segment between semicolons has no `=`, so it is not used. Most likely it is the end of a value that was cut at a
    /// semicolon.
    #[error("a part without = is not used; remove it, and note that no value can contain a semicolon")]
    NotAProperty,
}

struct Fix<'a>(&'a str, AuthKind);

impl fmt::Display for Fix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self("AccessKey", _) => f.write_str("remove it, or remove AuthType to use it"),
            Self(_, AuthKind::ClientSecret | AuthKind::ClientCertificate) => f.write_str("remove it"),
            Self(_, _) => f.write_str("remove it, or set AuthType=azure.app to use it"),
        }
    }
}

/// Why a text is not a valid connection string. No variant carries a value of the text: any of them may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionStringError {
    /// The text is empty or blank. Check that the setting it comes from exists.
    #[error("the connection string is empty; check that the setting it comes from exists")]
    Empty,
    /// It is in quotation marks. A shell takes them away, an `--env-file` of Docker and the portal do not. Remove them.
    #[error("the connection string is in quotation marks; remove them")]
    Quoted,
    /// It is a reference to Key Vault or App Configuration, `@Microsoft.KeyVault(…)`, in place of which App Service should have
    /// put the connection string. Check the reference's status in the portal, and that the app's managed identity may read
    /// secrets; outside of App Service put the connection string there yourself.
    #[error(
        "the connection string is a reference, such as @Microsoft.KeyVault(…), that was not resolved; check its status \
         in the portal and the access of the app's identity, or put the connection string itself there"
    )]
    UnresolvedReference,
    /// There is no `Endpoint`, or fewer than two properties.
    #[error("the connection string has no Endpoint; copy the whole string from the Azure portal")]
    MissingEndpoint,
    /// A property is missing, and another one has nearly its name. Correct that.
    #[error("the connection string has no {meant}, but a property with a name close to it; correct the name")]
    Misspelt {
        /// The name that was most likely meant.
        meant: &'static str,
    },
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
    /// There is a warning, and [`ConnectionString::parse_strict`] takes none.
    #[error("there is a likely mistake in the connection string")]
    Warning(#[source] ConnectionStringWarning),
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

/// Those that say how to authenticate.
const CREDENTIAL_PROPERTIES: [&str; 6] =
    ["AccessKey", "ClientId", "TenantId", "ClientSecret", "ClientCert", "ClientCertPath"];

/// The properties in their order, and whether there is something besides.
struct Properties<'a>(Vec<(&'a str, &'a str)>, bool);

impl<'a> Properties<'a> {
    fn read(text: &'a str) -> Result<Self, ConnectionStringError> {
        if text.trim().is_empty() {
            return Err(ConnectionStringError::Empty);
        }
        if is_quoted(text) {
            return Err(ConnectionStringError::Quoted);
        }
        if is_reference(text) {
            return Err(ConnectionStringError::UnresolvedReference);
        }
        let segments: Vec<&str> = text.split(';').map(str::trim).filter(|s| !s.is_empty()).collect();
        if segments.len() < 2 {
            return Err(ConnectionStringError::MissingEndpoint);
        }
        let loose = segments.iter().any(|segment| !segment.contains('='));
        let mut properties = Self(Vec::with_capacity(segments.len()), loose);
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

    /// What is missing: a property, or its right name.
    fn missing(&self, name: &'static str, error: ConnectionStringError) -> ConnectionStringError {
        let misspelt = self.0.iter().any(|(key, _)| near(key, PROPERTIES) == Some(name));
        if misspelt { ConnectionStringError::Misspelt { meant: name } } else { error }
    }

    /// The value of a property, unless it is absent or empty.
    fn filled(&self, name: &str) -> Option<&'a str> {
        self.find(name).filter(|value| !value.is_empty())
    }

    fn owned(&self, name: &str) -> Option<String> {
        self.filled(name).map(str::to_owned)
    }

    fn credential(&self) -> Result<CredentialSettings, ConnectionStringError> {
        let identity = || match self.owned("ClientId") {
            Some(id) => ManagedIdentityId::ClientId(id),
            None => ManagedIdentityId::SystemAssigned,
        };
        Ok(match self.auth_type() {
            AuthType::Azure => CredentialSettings::DefaultAzureCredential,
            AuthType::Msi => CredentialSettings::ManagedIdentity(identity()),
            AuthType::App => self.application()?,
            // The name of before there were several; what it means depends on what else is there.
            AuthType::Aad if self.filled("ClientId").is_some() && self.filled("TenantId").is_some() => {
                self.application()?
            }
            AuthType::Aad => CredentialSettings::ManagedIdentity(identity()),
            AuthType::None | AuthType::Unknown => {
                let missing = || self.missing("AccessKey", ConnectionStringError::MissingAccessKey);
                let key = self.find("AccessKey").ok_or_else(missing)?;
                CredentialSettings::AccessKey(AccessKey::new(key))
            }
        })
    }

    fn auth_type(&self) -> AuthType {
        match self.find("AuthType").unwrap_or_default().to_ascii_lowercase().as_str() {
            "" => AuthType::None,
            "azure" => AuthType::Azure,
            "azure.msi" => AuthType::Msi,
            "azure.app" => AuthType::App,
            "aad" => AuthType::Aad,
            _ => AuthType::Unknown,
        }
    }

    fn application(&self) -> Result<CredentialSettings, ConnectionStringError> {
        let needed = |name, error| self.owned(name).ok_or_else(|| self.missing(name, error));
        let client_id = needed("ClientId", ConnectionStringError::MissingClientId)?;
        let tenant_id = needed("TenantId", ConnectionStringError::MissingTenantId)?;
        if let Some(secret) = self.filled("ClientSecret") {
            return Ok(CredentialSettings::ClientSecret(ClientSecret::new(tenant_id, client_id, secret)));
        }
        let certificate = self.filled("ClientCert").or_else(|| self.filled("ClientCertPath"));
        let missing = || self.missing("ClientSecret", ConnectionStringError::MissingClientCredential);
        let path = certificate.ok_or_else(missing)?;
        let certificate = CertificateLocation::new(path);
        Ok(CredentialSettings::ClientCertificate { tenant_id, client_id, certificate })
    }

    /// What the credential does not use. An access key in a string for Entra comes with switching from one to the
    /// other; the rest is most likely an `AuthType` that was copied wrong, as it is in examples of the documentation.
    fn warnings(&self, credential: &CredentialSettings) -> Vec<ConnectionStringWarning> {
        let used = credential.kind();
        let of_use: &[&str] = match used {
            AuthKind::ClientSecret => &["ClientId", "TenantId", "ClientSecret"],
            AuthKind::ClientCertificate if self.filled("ClientCert").is_some() => {
                &["ClientId", "TenantId", "ClientCert"]
            }
            AuthKind::ClientCertificate => &["ClientId", "TenantId", "ClientCertPath"],
            AuthKind::ManagedIdentity => &["ClientId"],
            AuthKind::AccessKey => &["AccessKey"],
            _ => &[],
        };
        let unknown = matches!(self.auth_type(), AuthType::Unknown);
        let unused = CREDENTIAL_PROPERTIES
            .iter()
            .filter(|property| self.filled(property).is_some() && !of_use.contains(property))
            .map(|property| ConnectionStringWarning::UnusedProperty { property, used });
        let other = self.0.iter().filter(|(key, _)| !PROPERTIES.iter().any(|p| p.eq_ignore_ascii_case(key)));
        let other = other.map(|(key, _)| match near(key, PROPERTIES) {
            Some(meant) => ConnectionStringWarning::MisspeltProperty { meant },
            None => ConnectionStringWarning::UnknownProperty,
        });
        let loose = self.1.then_some(ConnectionStringWarning::NotAProperty);
        unknown
            .then_some(ConnectionStringWarning::UnknownAuthType)
            .into_iter()
            .chain(unused)
            .chain(other)
            .chain(loose)
            .collect()
    }
}

enum AuthType {
    None,
    Azure,
    Msi,
    App,
    Aad,
    Unknown,
}

impl ConnectionString {
    /// Reads a connection string. Of several faults the first in the official SDK's order is reported. What the SDK
    /// takes without a word though it is most likely a mistake is in [`warnings`](Self::warnings).
    ///
    /// # Errors
    /// See [`ConnectionStringError`].
    pub fn parse(text: &str) -> Result<Self, ConnectionStringError> {
        let properties = Properties::read(text)?;
        let missing = || properties.missing("Endpoint", ConnectionStringError::MissingEndpoint);
        let endpoint = properties.find("Endpoint").ok_or_else(missing)?;
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
        let client_endpoint = other("ClientEndpoint", ConnectionStringError::InvalidClientEndpoint)?;
        let server_endpoint = other("ServerEndpoint", ConnectionStringError::InvalidServerEndpoint)?;
        let credential = properties.credential()?;
        Ok(Self {
            addresses: Addresses { endpoint, client_endpoint, server_endpoint },
            version: version.map(str::to_owned),
            warnings: properties.warnings(&credential),
            credential,
        })
    }

    /// Reads a connection string and takes none that there is a warning about.
    ///
    /// # Errors
    /// See [`ConnectionStringError`].
    pub fn parse_strict(text: &str) -> Result<Self, ConnectionStringError> {
        let parsed = Self::parse(text)?;
        match parsed.warnings.first() {
            Some(warning) => Err(ConnectionStringError::Warning(warning.clone())),
            None => Ok(parsed),
        }
    }

    /// What is most likely a mistake, though it is not an error.
    #[must_use]
    pub fn warnings(&self) -> &[ConnectionStringWarning] {
        &self.warnings
    }

    /// Scheme, host and port of the endpoint; the scheme's own port is left out.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.addresses.endpoint()
    }

    /// The port that the service listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.addresses.endpoint.port_or_known_default().unwrap_or_default()
    }

    /// Where clients are sent instead of the endpoint, if anywhere. No trailing slash unless there is a path.
    #[must_use]
    pub fn client_endpoint(&self) -> Option<&str> {
        self.addresses.client_endpoint()
    }

    /// Where this program sends its requests instead of the endpoint, if anywhere.
    #[must_use]
    pub fn server_endpoint(&self) -> Option<&str> {
        self.addresses.server_endpoint()
    }

    /// The version as it was given.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// The credential it asks for.
    #[must_use]
    pub fn credential(&self) -> &CredentialSettings {
        &self.credential
    }

    /// The kind of credential it asks for.
    #[must_use]
    pub fn auth_kind(&self) -> AuthKind {
        self.credential.kind()
    }

    /// The access key, when that is what authenticates.
    #[must_use]
    pub fn access_key(&self) -> Option<&AccessKey> {
        match &self.credential {
            CredentialSettings::AccessKey(key) => Some(key),
            _ => None,
        }
    }

    /// The client id of the application or of the user-assigned managed identity.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        self.credential.client_id()
    }

    /// The tenant of the application.
    #[must_use]
    pub fn tenant_id(&self) -> Option<&str> {
        self.credential.tenant_id()
    }
}

/// Writes what counts, with `(redacted)` for a secret. It means the same when it is read again, but for the secret.
impl fmt::Display for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint={};", without_bare_slash(&self.addresses.endpoint))?;
        match &self.credential {
            CredentialSettings::AccessKey(_) => f.write_str("AccessKey=(redacted);")?,
            CredentialSettings::ClientSecret(app) => {
                let (client_id, tenant_id) = (app.client_id(), app.tenant_id());
                f.write_str("AuthType=azure.app;")?;
                write!(f, "ClientId={client_id};TenantId={tenant_id};ClientSecret=(redacted);")?;
            }
            CredentialSettings::ClientCertificate { tenant_id, client_id, certificate } => {
                f.write_str("AuthType=azure.app;")?;
                write!(
                    f,
                    "ClientId={client_id};TenantId={tenant_id};ClientCert={};",
                    certificate.path().display()
                )?;
            }
            CredentialSettings::ManagedIdentity(ManagedIdentityId::ClientId(id)) => {
                write!(f, "AuthType=azure.msi;ClientId={id};")?;
            }
            CredentialSettings::ManagedIdentity(_) => f.write_str("AuthType=azure.msi;")?,
            _ => f.write_str("AuthType=azure;")?,
        }
        for (name, value) in [
            ("ClientEndpoint", self.client_endpoint()),
            ("ServerEndpoint", self.server_endpoint()),
            ("Version", self.version()),
        ] {
            if let Some(value) = value {
                write!(f, "{name}={value};")?;
            }
        }
        Ok(())
    }
}

impl std::str::FromStr for ConnectionString {
    type Err = ConnectionStringError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Debug for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionString")
            .field("endpoint", &self.endpoint())
            .field("client_endpoint", &self.client_endpoint())
            .field("server_endpoint", &self.server_endpoint())
            .field("version", &self.version)
            .field("credential", &self.credential)
            .field("warnings", &self.warnings)
            .finish()
    }
}

/// Whether a text is in quotation marks, which are a part of it.
pub(in crate::service) fn is_quoted(text: &str) -> bool {
    let text = text.trim();
    ['"', '\''].iter().any(|&mark| text.len() > 1 && text.starts_with(mark) && text.ends_with(mark))
}

/// Whether a text is a reference of App Service, such as `@Microsoft.KeyVault(SecretUri=…)`, that was not resolved.
///
/// Source: [Key Vault references](https://learn.microsoft.com/azure/app-service/app-service-key-vault-references).
pub(in crate::service) fn is_reference(text: &str) -> bool {
    let start = text.trim_start().get(.."@Microsoft.".len());
    start.is_some_and(|start| start.eq_ignore_ascii_case("@Microsoft."))
}

/// `1.` with digits, then anything made of word characters, dots and hyphens: `1.0`, `1.1-preview`.
fn is_version_1(text: &str) -> bool {
    text.strip_prefix("1.").is_some_and(|rest| {
        rest.starts_with(|c: char| c.is_ascii_digit())
            && rest.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-'))
    })
}
