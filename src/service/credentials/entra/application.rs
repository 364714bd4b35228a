//! An application in a tenant, and the request that gets it a token.

use azure_core::{
    credentials::{AccessToken, Secret as AzureSecret, TokenCredential},
    http::{ClientMethodOptions, Url},
};
use azure_identity::{
    ClientAssertion, ClientAssertionCredential, ClientAssertionCredentialOptions, ClientSecretCredential,
    ClientSecretCredentialOptions,
};

use crate::service::{
    credentials::{
        cloud::Cloud,
        entra::http::EntraHttp,
        error::{CredentialError, InvalidCredential},
        source::cause,
    },
    http::{
        clients::HttpClients,
        url::{is_secure, parse_url},
    },
    secret::Secret,
};

/// An Entra application, and the authority that it gets its tokens from.
#[derive(Debug, Clone)]
pub(super) struct Application {
    pub(super) tenant_id: String,
    pub(super) client_id: String,
    pub(super) authority: String,
}

/// What proves that it is the application that asks.
#[derive(Debug)]
pub(super) enum Proof {
    Secret(Secret),
    Assertion(Secret),
}

impl Application {
    pub(super) fn new(tenant_id: impl Into<String>, client_id: impl Into<String>) -> Self {
        Self {
            tenant_id: tenant_id.into(),
            client_id: client_id.into(),
            authority: Cloud::Public.authority().to_owned(),
        }
    }

    pub(super) fn authority_url(&self) -> Result<Url, InvalidCredential> {
        let url = parse_url(&self.authority).filter(|url| url.path() == "/");
        let url = url.ok_or(InvalidCredential::Authority)?;
        if is_secure(&url) { Ok(url) } else { Err(InvalidCredential::InsecureAuthority) }
    }

    pub(super) fn check(&self) -> Result<(), InvalidCredential> {
        self.authority_url()?;
        let tenant = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        for (what, valid) in [
            ("tenant id", !self.tenant_id.is_empty() && self.tenant_id.chars().all(tenant)),
            ("client id", !self.client_id.trim().is_empty()),
        ] {
            if !valid {
                return Err(InvalidCredential::Part { what });
            }
        }
        Ok(())
    }

    /// Where tokens are asked for, and so what an assertion is meant for.
    pub(super) fn token_url(&self) -> String {
        format!("{}/{}/oauth2/v2.0/token", self.authority.trim_end_matches('/'), self.tenant_id)
    }

    /// Requests a token. Ends by itself only if the authority answers; the cache limits the time.
    pub(super) async fn request(
        &self,
        http: &HttpClients,
        scope: &str,
        proof: Proof,
    ) -> Result<AccessToken, CredentialError> {
        let authority = self.authority_url().map_err(|error| CredentialError::Other(cause(error)))?;
        let http = EntraHttp::new(http, &authority);
        let client_options = EntraHttp::client_options(&http, &authority);
        let is_assertion = matches!(proof, Proof::Assertion(_));
        // A credential of azure_identity gives out the same token until five minutes before its end and cannot be
        // told to forget it, so each request makes a new one.
        let result = match proof {
            Proof::Secret(secret) => {
                let credential = ClientSecretCredential::new(
                    &self.tenant_id,
                    self.client_id.clone(),
                    AzureSecret::new(secret.expose().to_owned()),
                    Some(ClientSecretCredentialOptions { client_options }),
                );
                let credential = credential.map_err(|error| CredentialError::Other(cause(error)))?;
                credential.get_token(&[scope], None).await
            }
            Proof::Assertion(assertion) => {
                let credential = ClientAssertionCredential::new(
                    self.tenant_id.clone(),
                    self.client_id.clone(),
                    Ready(assertion),
                    Some(ClientAssertionCredentialOptions { client_options }),
                );
                let credential = credential.map_err(|error| CredentialError::Other(cause(error)))?;
                credential.get_token(&[scope], None).await
            }
        };
        result.map_err(|error| http.explain(error, &self.client_id, is_assertion))
    }
}

/// An assertion that is there already.
#[derive(Debug)]
struct Ready(Secret);

#[async_trait::async_trait]
impl ClientAssertion for Ready {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        Ok(self.0.expose().to_owned())
    }
}

/// The methods that choose an authority, for every credential with an `application`.
macro_rules! authority_methods {
    () => {
        /// The cloud whose Entra ID is asked, the public one by default.
        #[must_use]
        pub fn cloud(self, cloud: $crate::service::credentials::Cloud) -> Self {
            self.authority(cloud.authority())
        }

        /// The address of the authority, `https://login.microsoftonline.com` by default. Plain http is possible on
        /// this machine only. [`ServiceEndpoint::new`](crate::service::ServiceEndpoint::new) checks it.
        #[must_use]
        pub fn authority(mut self, url: impl Into<String>) -> Self {
            self.application.authority = url.into();
            self
        }
    };
}
pub(super) use authority_methods;
