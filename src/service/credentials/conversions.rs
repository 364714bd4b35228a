//! Every Entra credential is a [`Credential`].

use std::sync::Arc;

use crate::service::credentials::{
    chain::CredentialChain,
    credential::{Credential, Kind},
    entra::{
        azure_cli::AzureCli, azure_developer_cli::AzureDeveloperCli, client_certificate::ClientCertificate,
        client_secret::ClientSecret, environment::EnvironmentCredential, federated::FederatedCredential,
        managed_identity::ManagedIdentity, workload_identity::WorkloadIdentity,
    },
};

macro_rules! from_sources {
    ($($source:ty),+ $(,)?) => {$(
        impl From<$source> for Credential {
            fn from(source: $source) -> Self {
                Self(Kind::Token(Arc::new(source)))
            }
        }
    )+};
}

from_sources!(
    AzureCli,
    AzureDeveloperCli,
    ClientCertificate,
    ClientSecret,
    CredentialChain,
    EnvironmentCredential,
    FederatedCredential,
    ManagedIdentity,
    WorkloadIdentity,
);
