//! An application that proves itself with a client secret.

use std::fmt;

use azure_core::credentials::AccessToken;

use crate::service::{
    credentials::{
        entra::application::{Application, Proof, authority_methods},
        error::{CredentialError, InvalidCredential},
        source::TokenSource,
    },
    http::clients::HttpClients,
    secret::Secret,
};

/// The credential of an Entra application: its tenant, its client id and a client secret.
///
/// The tenant is the one that the SignalR resource belongs to, also when the application is registered in another.
/// For another cloud than the public one, set its [`cloud`](Self::cloud). The variable `AZURE_AUTHORITY_HOST` is not
/// read.
///
/// ```
/// use hubwire::service::{ServiceEndpoint, credentials::{ClientSecret, Cloud}};
///
/// # let secret = "from a key vault".to_owned();
/// let credential = ClientSecret::new("contoso.onmicrosoft.com", "11111111-2222-3333-4444-555555555555", secret)
///     .cloud(Cloud::UsGovernment);
/// let endpoint = ServiceEndpoint::new("https://contoso.signalr.azure.us", credential)?;
/// # Ok::<(), hubwire::service::endpoints::EndpointError>(())
/// ```
///
/// Source: [Authorize requests with Microsoft Entra applications](https://learn.microsoft.com/azure/azure-signalr/signalr-howto-authorize-application).
#[derive(Clone)]
pub struct ClientSecret {
    application: Application,
    secret: Secret,
}

impl ClientSecret {
    /// Takes the directory (tenant) id, the application (client) id, and the *value* of a client secret.
    #[must_use]
    pub fn new(
        tenant_id: impl Into<String>,
        client_id: impl Into<String>,
        secret: impl Into<String>,
    ) -> Self {
        Self { application: Application::new(tenant_id, client_id), secret: Secret::new(secret) }
    }

    /// The directory (tenant) id.
    #[must_use]
    pub fn tenant_id(&self) -> &str {
        &self.application.tenant_id
    }

    /// The application (client) id.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.application.client_id
    }

    /// The client secret's value. Keep it out of logs.
    #[must_use]
    pub fn secret(&self) -> &str {
        self.secret.expose()
    }

    authority_methods!();
}

#[async_trait::async_trait]
impl TokenSource for ClientSecret {
    fn name(&self) -> &'static str {
        "client secret"
    }

    fn check(&self) -> Result<(), InvalidCredential> {
        self.application.check()?;
        if self.secret.is_empty() {
            return Err(InvalidCredential::Part { what: "client secret" });
        }
        Ok(())
    }

    async fn fetch(&self, http: &HttpClients, scope: &str) -> Result<AccessToken, CredentialError> {
        self.application.request(http, scope, Proof::Secret(self.secret.clone())).await
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSecret")
            .field("tenant_id", &self.application.tenant_id)
            .field("client_id", &self.application.client_id)
            .finish_non_exhaustive()
    }
}
