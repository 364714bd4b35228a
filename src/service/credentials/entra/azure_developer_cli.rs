//! The developer who has logged in to the Azure Developer CLI.

use azure_core::credentials::{AccessToken, Secret as AzureSecret};
use serde::Deserialize;
use serde_json::Value;

use crate::service::{
    credentials::{
        entra::{developer_tool, expiry},
        error::{Cause, CredentialError},
        source::TokenSource,
    },
    http::clients::HttpClients,
    secret::Secret,
};

/// The credential of a developer who has run `azd auth login`. Settings ask for it.
///
/// Source: [Azure Developer CLI](https://learn.microsoft.com/azure/developer/azure-developer-cli/reference#azd-auth-token).
#[derive(Debug, Clone, Default)]
pub(in crate::service) struct AzureDeveloperCli;

#[async_trait::async_trait]
impl TokenSource for AzureDeveloperCli {
    fn name(&self) -> &'static str {
        "Azure Developer CLI"
    }

    async fn fetch(&self, _: &HttpClients, scope: &str) -> Result<AccessToken, CredentialError> {
        let arguments = ["auth", "token", "--output", "json", "--no-prompt", "--scope", scope];
        let printed =
            developer_tool::run("azd", &arguments).await.map_err(CredentialError::AzureDeveloperCli)?;
        read(&printed).ok_or_else(|| {
            CredentialError::AzureDeveloperCli(Cause::from(
                "azd printed no token; install its newest version",
            ))
        })
    }
}

fn read(printed: &str) -> Option<AccessToken> {
    #[derive(Deserialize)]
    struct Answer {
        token: Secret,
        #[serde(rename = "expiresOn")]
        expires_on: Value,
    }
    let answer: Answer = serde_json::from_str(developer_tool::object(printed)?).ok()?;
    let token = AzureSecret::new(answer.token.expose().to_owned());
    Some(AccessToken::new(token, expiry::parse(&answer.expires_on)?))
}
