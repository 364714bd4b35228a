//! What a connection string or a configuration says about the credential, before one is made of it.

use std::path::{Path, PathBuf};

use crate::service::{
    credentials::{
        access_key::AccessKey,
        chain::CredentialChain,
        cloud::Cloud,
        credential::Credential,
        entra::{
            azure_cli::AzureCli, azure_developer_cli::AzureDeveloperCli,
            client_certificate::ClientCertificate, client_secret::ClientSecret,
            federated::FederatedCredential, managed_identity::ManagedIdentity,
            workload_identity::WorkloadIdentity,
        },
        error::InvalidCredential,
        kind::AuthKind,
    },
    secret::Secret,
};

/// The credential that a [`ConnectionString`](crate::service::connection_string::ConnectionString) or a [`Configuration`](crate::service::configuration::Configuration) asks
/// for.
///
/// ```
/// use hubwire::service::{
///     connection_string::ConnectionString,
///     credentials::{CredentialSettings, ManagedIdentityId},
/// };
///
/// let text = "Endpoint=https://contoso.service.signalr.net;AuthType=azure.msi;ClientId=11111111-2222";
/// let parsed = ConnectionString::parse(text)?;
/// let CredentialSettings::ManagedIdentity(ManagedIdentityId::ClientId(id)) = parsed.credential() else {
///     unreachable!("AuthType=azure.msi is a managed identity");
/// };
/// assert_eq!(id, "11111111-2222");
/// # Ok::<(), hubwire::service::connection_string::ConnectionStringError>(())
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
        /// Where the certificate is.
        certificate: CertificateLocation,
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
    /// An Entra application that trusts tokens that another program puts into a file, such as Kubernetes.
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
        /// The cloud, which decides what the managed identity's token is for.
        cloud: Cloud,
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
    /// The user who is signed in to the Azure CLI.
    AzureCli,
    /// The user who is signed in to the Azure Developer CLI.
    AzureDeveloperCli,
    /// Whatever the environment offers: the default credential of the Azure SDKs.
    DefaultAzureCredential,
    /// The default credential of the Azure SDKs, in an environment that is known: what it tries, in its order.
    Chain(Vec<Self>),
}

/// The file with a certificate and its private key: PEM, or a PKCS#12 archive.
#[derive(Debug, Clone)]
pub struct CertificateLocation {
    path: PathBuf,
    password: Secret,
    send_chain: bool,
}

impl CertificateLocation {
    pub(in crate::service) fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), password: Secret::new(""), send_chain: false }
    }

    pub(in crate::service) fn with_password(self, password: &str) -> Self {
        Self { password: Secret::new(password), ..self }
    }

    pub(in crate::service) fn send_chain(self, send_chain: bool) -> Self {
        Self { send_chain, ..self }
    }

    /// The file's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
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

    /// Whether the secrets are those of other settings, which are the same but for their secrets.
    pub(in crate::service) fn has_secrets_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::AccessKey(one), Self::AccessKey(two)) => one.secret() == two.secret(),
            (Self::ClientSecret(one), Self::ClientSecret(two)) => one.secret() == two.secret(),
            (
                Self::ClientCertificate { certificate: one, .. },
                Self::ClientCertificate { certificate: two, .. },
            ) => one.password.expose() == two.password.expose(),
            (Self::Chain(one), Self::Chain(two)) => {
                one.len() == two.len() && one.iter().zip(two).all(|(one, two)| one.has_secrets_of(two))
            }
            _ => true,
        }
    }

    /// The credential itself, with another authority than that of the public cloud if there is one.
    pub(in crate::service) fn into_credential(
        self,
        authority: Option<&str>,
    ) -> Result<Credential, InvalidCredential> {
        macro_rules! at_authority {
            ($credential:expr) => {
                match authority {
                    Some(authority) => $credential.authority(authority).into(),
                    None => $credential.into(),
                }
            };
        }
        let unsupported = InvalidCredential::Unsupported { kind: self.kind() };
        Ok(match self {
            Self::AccessKey(key) => key.into(),
            Self::ClientSecret(secret) => at_authority!(secret),
            Self::ClientCertificate { tenant_id, client_id, certificate } => {
                let CertificateLocation { path, password, send_chain } = certificate;
                let password = password.expose();
                let credential =
                    ClientCertificate::from_file_with_password(tenant_id, client_id, path, password)
                        .send_certificate_chain(send_chain);
                at_authority!(credential)
            }
            Self::ManagedIdentity(id) => id.into_identity().into(),
            Self::WorkloadIdentity { tenant_id, client_id, token_file } => {
                at_authority!(WorkloadIdentity::new(tenant_id, client_id, token_file))
            }
            Self::FederatedIdentity { tenant_id, client_id, identity, cloud } => {
                let identity = identity.into_identity();
                let credential = FederatedCredential::with_managed_identity(tenant_id, client_id, identity);
                at_authority!(credential.cloud(cloud))
            }
            Self::AzureCli => AzureCli::new().into(),
            Self::AzureDeveloperCli => AzureDeveloperCli.into(),
            Self::DefaultAzureCredential => CredentialChain::azure_default().into(),
            Self::Chain(members) => {
                let mut chain = CredentialChain::new();
                for member in members {
                    chain = chain.or(member.into_credential(authority)?);
                }
                chain.into()
            }
            Self::StoredCertificate { .. } | Self::AzurePipelines { .. } => return Err(unsupported),
        })
    }
}

impl ManagedIdentityId {
    fn into_identity(self) -> ManagedIdentity {
        match self {
            Self::SystemAssigned => ManagedIdentity::system_assigned(),
            Self::ClientId(id) => ManagedIdentity::with_client_id(id),
            Self::ResourceId(id) => ManagedIdentity::with_resource_id(id),
            Self::ObjectId(id) => ManagedIdentity::with_object_id(id),
        }
    }
}
