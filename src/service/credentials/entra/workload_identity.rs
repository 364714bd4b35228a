//! An application that proves itself with the token of its Kubernetes service account.

use std::{env, fmt, io, path::PathBuf};

use azure_core::credentials::AccessToken;

use crate::service::{
    credentials::{
        entra::{
            application::{Application, Proof, authority_methods},
            variables::Variables,
        },
        error::{CredentialError, InvalidCredential},
        file::read_file,
        source::{TokenSource, blocking, cause},
    },
    http::clients::HttpClients,
    secret::Secret,
};

/// Tokens of Kubernetes have one to two kilobytes.
const LONGEST_TOKEN: usize = 64 * 1024;

/// The credential of an Entra application, or of a managed identity, that trusts a Kubernetes service account. The
/// account's token stands in a file that Kubernetes keeps renewing; it is read for every token. It has to be a regular
/// file of up to 64 kilobytes, or a symbolic link to one.
///
/// ```no_run
/// use hubwire::service::{ServiceEndpoint, credentials::WorkloadIdentity};
///
/// // The variables that the workload identity webhook sets in a pod.
/// let credential = WorkloadIdentity::from_environment()?;
/// let endpoint = ServiceEndpoint::new("https://contoso.service.signalr.net", credential)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: [Microsoft Entra Workload ID](https://learn.microsoft.com/azure/aks/workload-identity-overview).
#[derive(Clone)]
pub struct WorkloadIdentity {
    application: Application,
    token_file: PathBuf,
}

impl WorkloadIdentity {
    /// Takes the directory (tenant) id, the client id, and the path of the file with the service account's token.
    #[must_use]
    pub fn new(
        tenant_id: impl Into<String>,
        client_id: impl Into<String>,
        token_file: impl Into<PathBuf>,
    ) -> Self {
        Self { application: Application::new(tenant_id, client_id), token_file: token_file.into() }
    }

    /// Takes them from `AZURE_TENANT_ID`, `AZURE_CLIENT_ID` and `AZURE_FEDERATED_TOKEN_FILE`, and the authority from
    /// `AZURE_AUTHORITY_HOST` if that is set.
    ///
    /// # Errors
    /// [`CredentialError::NotConfigured`] names the variable that is missing.
    pub fn from_environment() -> Result<Self, CredentialError> {
        Self::from_variables(&Variables(&|name| env::var(name).ok()))
    }

    pub(super) fn from_variables(variables: &Variables<'_>) -> Result<Self, CredentialError> {
        let file = variables.required("AZURE_FEDERATED_TOKEN_FILE")?;
        let tenant_id = variables.required("AZURE_TENANT_ID")?;
        let identity = Self::new(tenant_id, variables.required("AZURE_CLIENT_ID")?, file);
        Ok(match variables.authority() {
            Some(authority) => identity.authority(authority),
            None => identity,
        })
    }

    authority_methods!();
}

#[async_trait::async_trait]
impl TokenSource for WorkloadIdentity {
    fn name(&self) -> &'static str {
        "workload identity"
    }

    fn check(&self) -> Result<(), InvalidCredential> {
        self.application.check()
    }

    async fn fetch(&self, http: &HttpClients, scope: &str) -> Result<AccessToken, CredentialError> {
        let path = self.token_file.clone();
        let assertion = blocking(move || read(path)).await?;
        self.application.request(http, scope, Proof::Assertion(assertion)).await
    }
}

/// Reads the token in the file. It blocks.
fn read(path: PathBuf) -> Result<Secret, CredentialError> {
    #[derive(Debug, thiserror::Error)]
    #[error("the token file {} cannot be read", .path.display())]
    struct Unreadable {
        path: PathBuf,
        source: io::Error,
    }
    let text = read_file(&path, LONGEST_TOKEN).and_then(|bytes| {
        let text = std::str::from_utf8(&bytes).map(str::trim).unwrap_or_default();
        let reason = "it is empty or not a text";
        if text.is_empty() {
            Err(io::Error::new(io::ErrorKind::InvalidData, reason))
        } else {
            Ok(Secret::new(text))
        }
    });
    text.map_err(|source| CredentialError::Assertion(cause(Unreadable { path, source })))
}

impl fmt::Debug for WorkloadIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkloadIdentity")
            .field("tenant_id", &self.application.tenant_id)
            .field("client_id", &self.application.client_id)
            .field("token_file", &self.token_file)
            .finish()
    }
}
