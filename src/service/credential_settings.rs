//! What a connection string or a configuration says about the credential, before one is made of it.

use std::{fmt, path::PathBuf};

use super::{
    credential::{AccessKey, Credential},
    endpoint::EndpointError,
    entra::ClientSecret,
};

/// The credential that a [`ConnectionString`](super::ConnectionString) asks for.
///
/// ```
/// use hubwire::service::{ConnectionString, CredentialSettings, ManagedIdentityId};
///
/// let text = "Endpoint=https://contoso.service.signalr.net;AuthType=azure.msi;ClientId=11111111-2222";
/// let parsed = ConnectionString::parse(text)?;
/// let CredentialSettings::ManagedIdentity(ManagedIdentityId::ClientId(id)) = parsed.credential() else {
///     unreachable!("AuthType=azure.msi is a managed identity");
/// };
/// assert_eq!(id, "11111111-2222");
/// # Ok::<(), hubwire::service::ConnectionStringError>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum CredentialSettings {
    /// An access key of the resource.
    AccessKey(AccessKey),
    /// An Entra application with a client secret.
    ClientSecret(ClientSecret),
    /// An Entra application with a certificate.
    ClientCertificate {
        /// The directory (tenant) id.
        tenant_id: String,
        /// The application (client) id.
        client_id: String,
        /// The file with the certificate and its private key.
        path: PathBuf,
    },
    /// The managed identity of the machine.
    ManagedIdentity(ManagedIdentityId),
    /// Whatever the environment offers: the default credential of the Azure SDKs.
    DefaultAzureCredential,
}

/// Which of a machine's managed identities.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ManagedIdentityId {
    /// The one that the machine itself has.
    SystemAssigned,
    /// A user-assigned one, by its client id. Not its object id.
    ClientId(String),
}

/// The kind of credential that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthKind {
    /// An access key of the resource.
    AccessKey,
    /// An Entra application with a client secret.
    ClientSecret,
    /// An Entra application with a certificate.
    ClientCertificate,
    /// The managed identity of the machine.
    ManagedIdentity,
    /// The default credential of the Azure SDKs.
    DefaultAzureCredential,
}

impl CredentialSettings {
    /// The kind of it.
    #[must_use]
    pub fn kind(&self) -> AuthKind {
        match self {
            Self::AccessKey(_) => AuthKind::AccessKey,
            Self::ClientSecret(_) => AuthKind::ClientSecret,
            Self::ClientCertificate { .. } => AuthKind::ClientCertificate,
            Self::ManagedIdentity(_) => AuthKind::ManagedIdentity,
            Self::DefaultAzureCredential => AuthKind::DefaultAzureCredential,
        }
    }

    /// The client id of the application or of the user-assigned managed identity.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        match self {
            Self::ClientSecret(secret) => Some(secret.client_id()),
            Self::ClientCertificate { client_id, .. } => Some(client_id),
            Self::ManagedIdentity(ManagedIdentityId::ClientId(id)) => Some(id),
            _ => None,
        }
    }

    /// The tenant of the application.
    #[must_use]
    pub fn tenant_id(&self) -> Option<&str> {
        match self {
            Self::ClientSecret(secret) => Some(secret.tenant_id()),
            Self::ClientCertificate { tenant_id, .. } => Some(tenant_id),
            _ => None,
        }
    }

    /// The credential itself.
    pub(super) fn into_credential(self) -> Result<Credential, EndpointError> {
        match self {
            Self::AccessKey(key) => Ok(key.into()),
            Self::ClientSecret(secret) => Ok(secret.into()),
            Self::ClientCertificate { .. } | Self::ManagedIdentity(_) | Self::DefaultAzureCredential => {
                Err(EndpointError::UnsupportedCredential { kind: self.kind() })
            }
        }
    }
}

impl fmt::Display for AuthKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AccessKey => "an access key",
            Self::ClientSecret => "a client secret",
            Self::ClientCertificate => "a client certificate",
            Self::ManagedIdentity => "a managed identity",
            Self::DefaultAzureCredential => "the default credential of the environment",
        })
    }
}
