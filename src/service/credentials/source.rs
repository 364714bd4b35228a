//! What every Entra credential can do: get a token.

use std::fmt;

use azure_core::credentials::AccessToken;

use crate::service::{
    credentials::error::{Cause, CredentialError, InvalidCredential},
    http::clients::HttpClients,
};

/// One way to get Entra tokens.
#[async_trait::async_trait]
pub(in crate::service) trait TokenSource: fmt::Debug + Send + Sync {
    /// What the chain calls it in logs and errors.
    fn name(&self) -> &'static str;

    /// Checks what can be checked without a request.
    fn check(&self) -> Result<(), InvalidCredential> {
        Ok(())
    }

    /// Gets a token that is not from a cache. The caller limits the time.
    async fn fetch(&self, http: &HttpClients, scope: &str) -> Result<AccessToken, CredentialError>;
}

/// Runs what blocks, such as reading a file, on a thread for blocking work.
pub(in crate::service) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CredentialError> + Send + 'static,
) -> Result<T, CredentialError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(CredentialError::Cancelled))
}

/// An error as the cause of another one.
pub(in crate::service) fn cause(error: impl std::error::Error + Send + Sync + 'static) -> Cause {
    Cause::new(error)
}
