//! An application that proves itself with a token of another identity that it trusts.

use std::{error::Error, fmt, sync::Arc};

use azure_core::credentials::AccessToken;

use crate::service::{
    credentials::{
        cloud::Cloud,
        entra::{
            application::{Application, Proof},
            managed_identity::ManagedIdentity,
        },
        error::{CredentialError, InvalidCredential},
        source::TokenSource,
    },
    http::clients::HttpClients,
    secret::Secret,
};

type BoxError = Box<dyn Error + Send + Sync>;
type BoxFuture<T> = std::pin::Pin<Box<dyn Future<Output = T> + Send>>;

/// The credential of an Entra application that trusts another identity: that identity's token is the application's
/// proof. No secret of the application is kept anywhere.
///
/// The application needs a federated credential with the issuer and the subject of the token. The tenant is the one
/// that the SignalR resource belongs to; the application may be registered in another one, where the managed identity
/// is, and be provisioned in this one.
///
/// ```
/// use hubwire::service::{ServiceEndpoint, credentials::{Cloud, FederatedCredential, ManagedIdentity}};
///
/// let identity = ManagedIdentity::with_client_id("99999999-8888-7777-6666-555555555555");
/// let credential = FederatedCredential::with_managed_identity(
///     "contoso.onmicrosoft.com",
///     "11111111-2222-3333-4444-555555555555",
///     identity,
/// )
/// .cloud(Cloud::UsGovernment);
/// let endpoint = ServiceEndpoint::new("https://contoso.signalr.azure.us", credential)?;
///
/// // The token may come from anywhere.
/// let credential = FederatedCredential::new(
///     "contoso.onmicrosoft.com",
///     "11111111-2222-3333-4444-555555555555",
///     || async { std::fs::read_to_string("/var/run/token") },
/// );
/// let endpoint = ServiceEndpoint::new("https://contoso.service.signalr.net", credential)?;
/// # Ok::<(), hubwire::service::endpoints::EndpointError>(())
/// ```
///
/// Source: [Configure an application to trust a managed identity](https://learn.microsoft.com/entra/workload-id/workload-identity-federation-config-app-trust-managed-identity).
#[derive(Clone)]
pub struct FederatedCredential {
    application: Application,
    assertion: Assertion,
}

#[derive(Clone)]
enum Assertion {
    Caller(Arc<dyn Fn() -> BoxFuture<Result<Secret, BoxError>> + Send + Sync>),
    ManagedIdentity { identity: ManagedIdentity, audience: String },
}

impl FederatedCredential {
    /// Takes the directory (tenant) id, the application (client) id, and what gives the other identity's token. It is
    /// called for every token of the application, about once an hour.
    pub fn new<F, Fut, E>(tenant_id: impl Into<String>, client_id: impl Into<String>, assertion: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let assertion = move || -> BoxFuture<Result<Secret, BoxError>> {
            let assertion = assertion();
            Box::pin(async move { assertion.await.map(Secret::new).map_err(Into::into) })
        };
        Self {
            application: Application::new(tenant_id, client_id),
            assertion: Assertion::Caller(Arc::new(assertion)),
        }
    }

    /// Takes the directory (tenant) id, the application (client) id, and a managed identity that the application
    /// trusts.
    #[must_use]
    pub fn with_managed_identity(
        tenant_id: impl Into<String>,
        client_id: impl Into<String>,
        identity: ManagedIdentity,
    ) -> Self {
        let audience = Cloud::Public.exchange_audience().to_owned();
        Self {
            application: Application::new(tenant_id, client_id),
            assertion: Assertion::ManagedIdentity { identity, audience },
        }
    }

    /// The cloud whose Entra ID is asked, the public one by default. It decides on the authority and on the audience
    /// of a managed identity's token.
    #[must_use]
    pub fn cloud(self, cloud: Cloud) -> Self {
        self.authority(cloud.authority()).exchange_audience(cloud.exchange_audience())
    }

    /// The address of the authority, `https://login.microsoftonline.com` by default. Plain http is possible on this
    /// machine only. [`ServiceEndpoint::new`](crate::service::ServiceEndpoint::new) checks it.
    #[must_use]
    pub fn authority(mut self, url: impl Into<String>) -> Self {
        self.application.authority = url.into();
        self
    }

    /// What a managed identity's token is meant for, `api://AzureADTokenExchange` by default. The application's
    /// federated credential has to name the same. A token from elsewhere has its audience already.
    #[must_use]
    pub fn exchange_audience(mut self, text: impl Into<String>) -> Self {
        if let Assertion::ManagedIdentity { audience, .. } = &mut self.assertion {
            *audience = text.into();
        }
        self
    }
}

#[async_trait::async_trait]
impl TokenSource for FederatedCredential {
    fn name(&self) -> &'static str {
        "federated credential"
    }

    fn check(&self) -> Result<(), InvalidCredential> {
        if let Assertion::ManagedIdentity { identity, .. } = &self.assertion {
            identity.check()?;
        }
        self.application.check()
    }

    async fn fetch(&self, http: &HttpClients, scope: &str) -> Result<AccessToken, CredentialError> {
        let assertion = match &self.assertion {
            Assertion::Caller(assertion) => {
                assertion().await.map_err(|error| CredentialError::Assertion(error.into()))?
            }
            Assertion::ManagedIdentity { identity, audience } => {
                let token = identity.fetch(http, &format!("{audience}/.default")).await?;
                Secret::new(token.token.secret())
            }
        };
        let assertion = Secret::new(assertion.expose().trim());
        if assertion.is_empty() {
            return Err(CredentialError::Assertion(BoxError::from("the assertion is empty").into()));
        }
        self.application.request(http, scope, Proof::Assertion(assertion)).await
    }
}

impl fmt::Debug for FederatedCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("FederatedCredential");
        shown.field("tenant_id", &self.application.tenant_id).field("client_id", &self.application.client_id);
        if let Assertion::ManagedIdentity { identity, audience } = &self.assertion {
            shown.field("identity", identity).field("exchange_audience", audience);
        }
        shown.finish_non_exhaustive()
    }
}
