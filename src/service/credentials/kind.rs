//! The kinds of credential that settings can ask for.

use std::fmt;

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
    /// The user who is signed in to a developer's tool.
    DeveloperTool,
    /// The default credential of the Azure SDKs.
    DefaultAzureCredential,
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
