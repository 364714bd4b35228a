//! Tokens of Microsoft Entra ID: one module for each kind of credential.
//!
//! Applications prove who they are with a [`ClientSecret`] or with an assertion, a token that is signed with a
//! [`ClientCertificate`] or comes from somewhere that the application trusts ([`FederatedCredential`],
//! [`WorkloadIdentity`]). A [`ManagedIdentity`] gets its token from the machine it runs on.

mod application;
mod azure_cli;
mod certificate;
mod chain;
mod client_certificate;
mod client_secret;
mod environment;
mod federated;
mod http;
mod managed_identity;
mod workload_identity;

use std::fmt;

use azure_core::credentials::AccessToken;

use super::{
    endpoint::EndpointError,
    error::{Cause, CredentialError},
    http::HttpClients,
};

pub use azure_cli::AzureCli;
pub use certificate::{CertificateError, SigningAlgorithm};
pub use chain::CredentialChain;
pub use client_certificate::ClientCertificate;
pub use client_secret::ClientSecret;
pub use environment::EnvironmentCredential;
pub use federated::FederatedCredential;
pub use managed_identity::ManagedIdentity;
pub use workload_identity::WorkloadIdentity;

/// One way to get Entra tokens.
#[async_trait::async_trait]
pub(super) trait TokenSource: fmt::Debug + Send + Sync {
    /// What the chain calls it in logs and errors.
    fn name(&self) -> &'static str;

    /// Checks what can be checked without asking anybody.
    fn check(&self) -> Result<(), EndpointError> {
        Ok(())
    }

    /// Gets a token that is not from a cache. Whoever calls it limits the time.
    async fn fetch(&self, http: &HttpClients, scope: &str) -> Result<AccessToken, CredentialError>;
}

/// Runs what blocks, such as reading a file, where it holds nobody up.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CredentialError> + Send + 'static,
) -> Result<T, CredentialError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(CredentialError::Cancelled))
}

fn cause(error: impl std::error::Error + Send + Sync + 'static) -> Cause {
    std::sync::Arc::new(error)
}
