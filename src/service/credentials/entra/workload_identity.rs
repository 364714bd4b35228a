//! An application that proves itself with the token of its Kubernetes service account.

use std::{env, fmt, path::PathBuf};

use azure_core::credentials::AccessToken;

use crate::service::{
    credentials::{
        entra::{
            application::{Application, Proof, authority_methods},
            variables::Variables,
        },
        error::{CredentialError, InvalidCredential},
        source::{TokenSource, blocking, cause},
    },
    http::clients::HttpClients,
    secret::Secret,
};

/// The credential of an Entra application, or of a managed identity, that trusts a Kubernetes service account. The
/// account's token stands in a file that Kubernetes keeps renewing; it is read for every token.
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
        let read = move || std::fs::read_to_string(path).map_err(|e| CredentialError::Assertion(cause(e)));
        let text = Secret::new(blocking(read).await?);
        let assertion = Secret::new(text.expose().trim());
        self.application.request(http, scope, Proof::Assertion(assertion)).await
    }
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
