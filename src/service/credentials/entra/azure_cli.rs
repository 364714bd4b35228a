//! The developer who has logged in to the Azure CLI.

use azure_core::credentials::{AccessToken, TokenCredential};
use azure_identity::{AzureCliCredential, AzureCliCredentialOptions};

use crate::service::{
    credentials::{
        error::CredentialError,
        source::{TokenSource, cause},
    },
    http::clients::HttpClients,
};

/// The credential of a developer who has run `az login`. It runs `az` for every token, about once an hour, and is
/// meant for development.
///
/// ```
/// use hubwire::service::{ServiceEndpoint, credentials::AzureCli};
///
/// let credential = AzureCli::new().tenant("contoso.onmicrosoft.com");
/// let endpoint = ServiceEndpoint::new("https://contoso.service.signalr.net", credential)?;
/// # Ok::<(), hubwire::service::endpoints::EndpointError>(())
/// ```
///
/// Source: [Azure CLI](https://learn.microsoft.com/cli/azure/authenticate-azure-cli).
#[derive(Debug, Clone, Default)]
pub struct AzureCli {
    tenant_id: Option<String>,
    subscription: Option<String>,
}

impl AzureCli {
    /// The account, the tenant and the cloud that `az` itself would use.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The tenant that the token is for. By default, the account's own.
    #[must_use]
    pub fn tenant(self, tenant_id: impl Into<String>) -> Self {
        Self { tenant_id: Some(tenant_id.into()), ..self }
    }

    /// The name or id of the subscription whose account is used. By default, the current one.
    #[must_use]
    pub fn subscription(self, subscription: impl Into<String>) -> Self {
        Self { subscription: Some(subscription.into()), ..self }
    }
}

#[async_trait::async_trait]
impl TokenSource for AzureCli {
    fn name(&self) -> &'static str {
        "Azure CLI"
    }

    async fn fetch(&self, _: &HttpClients, scope: &str) -> Result<AccessToken, CredentialError> {
        let options = AzureCliCredentialOptions {
            tenant_id: self.tenant_id.clone(),
            subscription: self.subscription.clone(),
            ..AzureCliCredentialOptions::default()
        };
        let failed = |error| CredentialError::AzureCli(cause(error));
        let credential = AzureCliCredential::new(Some(options)).map_err(failed)?;
        credential.get_token(&[scope], None).await.map_err(failed)
    }
}
