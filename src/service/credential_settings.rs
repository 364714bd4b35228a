//! What a connection string or a configuration says about the credential, before one is made of it.

use std::{fmt, path::PathBuf};

use super::{
    credential::{AccessKey, Credential},
    endpoint::EndpointError,
    entra::ClientSecret,
};

/// The credential that a [`ConnectionString`](super::ConnectionString) or a [`Configuration`](super::Configuration) asks
/// for.
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
    /// An Entra application with a certificate that Windows keeps.
    StoredCertificate {
        /// The directory (tenant) id.
        tenant_id: String,
        /// The application (client) id.
        client_id: String,
        /// The certificate's thumbprint.
        thumbprint: String,
    },
    /// A managed identity of the machine.
    ManagedIdentity(ManagedIdentityId),
    /// An Entra application that trusts tokens which somebody else puts into a file, such as Kubernetes.
    WorkloadIdentity {
        /// The directory (tenant) id.
        tenant_id: String,
        /// The application (client) id.
        client_id: String,
        /// The file with the token.
        token_file: PathBuf,
    },
    /// An Entra application that trusts a managed identity of the machine.
    FederatedIdentity {
        /// The directory (tenant) id.
        tenant_id: String,
        /// The application (client) id.
        client_id: String,
        /// The managed identity.
        identity: ManagedIdentityId,
        /// What the managed identity's token has to be for: the exchange of the cloud.
        audience: &'static str,
    },
    /// A service connection of Azure Pipelines.
    AzurePipelines {
        /// The directory (tenant) id.
        tenant_id: String,
        /// The application (client) id.
        client_id: String,
        /// The service connection's id.
        service_connection_id: String,
    },
    /// Who is signed in to the Azure CLI.
    AzureCli,
    /// Who is signed in to the Azure Developer CLI.
    AzureDeveloperCli,
    /// Whatever the environment offers: the default credential of the Azure SDKs.
    DefaultAzureCredential,
    /// The default credential of the Azure SDKs, in an environment that is known: what it tries, in its order.
    Chain(Vec<Self>),
}

/// Which of a machine's managed identities.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ManagedIdentityId {
    /// The one that the machine itself has.
    SystemAssigned,
    /// A user-assigned one, by its client id. Not its object id.
    ClientId(String),
    /// A user-assigned one, by its Azure resource id.
    ResourceId(String),
    /// A user-assigned one, by its object (principal) id.
    ObjectId(String),
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
    /// A managed identity of the machine.
    ManagedIdentity,
    /// An Entra application that trusts tokens in a file.
    WorkloadIdentity,
    /// An Entra application that trusts a managed identity of the machine.
    FederatedIdentity,
    /// A service connection of Azure Pipelines.
    AzurePipelines,
    /// Who is signed in to a developer's tool.
    DeveloperTool,
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
            Self::ClientCertificate { .. } | Self::StoredCertificate { .. } => AuthKind::ClientCertificate,
            Self::ManagedIdentity(_) => AuthKind::ManagedIdentity,
            Self::WorkloadIdentity { .. } => AuthKind::WorkloadIdentity,
            Self::FederatedIdentity { .. } => AuthKind::FederatedIdentity,
            Self::AzurePipelines { .. } => AuthKind::AzurePipelines,
            Self::AzureCli | Self::AzureDeveloperCli => AuthKind::DeveloperTool,
            Self::DefaultAzureCredential | Self::Chain(_) => AuthKind::DefaultAzureCredential,
        }
    }

    /// The client id of the application or of the user-assigned managed identity.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        match self {
            Self::ClientSecret(secret) => Some(secret.client_id()),
            Self::ClientCertificate { client_id, .. }
            | Self::StoredCertificate { client_id, .. }
            | Self::WorkloadIdentity { client_id, .. }
            | Self::FederatedIdentity { client_id, .. }
            | Self::AzurePipelines { client_id, .. } => Some(client_id),
            Self::ManagedIdentity(ManagedIdentityId::ClientId(id)) => Some(id),
            _ => None,
        }
    }

    /// The tenant of the application.
    #[must_use]
    pub fn tenant_id(&self) -> Option<&str> {
        match self {
            Self::ClientSecret(secret) => Some(secret.tenant_id()),
            Self::ClientCertificate { tenant_id, .. }
            | Self::StoredCertificate { tenant_id, .. }
            | Self::WorkloadIdentity { tenant_id, .. }
            | Self::FederatedIdentity { tenant_id, .. }
            | Self::AzurePipelines { tenant_id, .. } => Some(tenant_id),
            _ => None,
        }
    }

    /// The credential itself, with another authority than that of the public cloud if there is one.
    pub(super) fn into_credential(self, authority: Option<&str>) -> Result<Credential, EndpointError> {
        match self {
            Self::AccessKey(key) => Ok(key.into()),
            Self::ClientSecret(secret) => Ok(match authority {
                Some(authority) => secret.authority(authority).into(),
                None => secret.into(),
            }),
            // The first one that is complete is the one that counts, whether it works or not.
            Self::Chain(mut members) if matches!(members.first(), Some(Self::ClientSecret(_))) => {
                members.swap_remove(0).into_credential(authority)
            }
            _ => Err(EndpointError::UnsupportedCredential { kind: self.kind() }),
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
            Self::WorkloadIdentity => "a workload identity",
            Self::FederatedIdentity => "a federated identity",
            Self::AzurePipelines => "a service connection of Azure Pipelines",
            Self::DeveloperTool => "a developer's own sign-in",
            Self::DefaultAzureCredential => "the default credential of the environment",
        })
    }
}
