//! The developer who has logged in to the Azure CLI.

use azure_core::credentials::{AccessToken, Secret as AzureSecret};
use serde::Deserialize;
use serde_json::Value;

use crate::service::{
    credentials::{
        entra::{developer_tool, expiry},
        error::{Cause, CredentialError, InvalidCredential},
        source::TokenSource,
    },
    http::clients::HttpClients,
    secret::Secret,
};

/// The credential of a developer who has run `az login`. It runs `az` (2.54.0 or newer) for every token, about once an
/// hour, and is meant for development.
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

    fn check(&self) -> Result<(), InvalidCredential> {
        // They become arguments of a command, on Windows of a batch file.
        let plain = |text: &str, extra: &[char]| {
            let fits = |c: char| c.is_alphanumeric() || extra.contains(&c);
            !text.is_empty() && !text.starts_with('-') && text.chars().all(fits)
        };
        if self.tenant_id.as_deref().is_some_and(|id| !plain(id, &['.', '-'])) {
            return Err(InvalidCredential::Part { what: "tenant id" });
        }
        if self.subscription.as_deref().is_some_and(|name| !plain(name, &['.', '-', '_', ' '])) {
            return Err(InvalidCredential::Part { what: "subscription (use its id instead of its name)" });
        }
        Ok(())
    }

    async fn fetch(&self, _: &HttpClients, scope: &str) -> Result<AccessToken, CredentialError> {
        let mut arguments = vec!["account", "get-access-token", "-o", "json", "--scope", scope];
        if let Some(tenant_id) = &self.tenant_id {
            arguments.extend(["--tenant", tenant_id]);
        }
        if let Some(subscription) = &self.subscription {
            arguments.extend(["--subscription", subscription]);
        }
        let printed = developer_tool::run("az", &arguments).await.map_err(CredentialError::AzureCli)?;
        read(&printed).map_err(|reason| CredentialError::AzureCli(Cause::from(reason)))
    }
}

fn read(printed: &str) -> Result<AccessToken, &'static str> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(rename = "accessToken")]
        token: Secret,
        /// Older versions have the local time alone, which is ambiguous once a year.
        expires_on: Option<Value>,
    }
    let answer = developer_tool::object(printed).and_then(|object| serde_json::from_str(object).ok());
    let answer: Answer = answer.ok_or("az printed no token")?;
    let expires_on = answer.expires_on.as_ref().filter(|value| !value.is_null());
    let expires_on =
        expires_on.ok_or("this version of az is too old; install 2.54.0 or newer (az upgrade)")?;
    let expires_on = expiry::parse(expires_on).ok_or("az printed an expiry that cannot be read")?;
    Ok(AccessToken::new(AzureSecret::new(answer.token.expose().to_owned()), expires_on))
}
