//! An application that the environment describes.

use std::env;

use azure_core::credentials::AccessToken;

use crate::service::{
    credentials::{
        entra::{
            client_certificate::ClientCertificate,
            client_secret::ClientSecret,
            variables::{Variables, is_on},
            workload_identity::WorkloadIdentity,
        },
        error::CredentialError,
        source::{TokenSource, cause},
    },
    http::clients::HttpClients,
};

/// The credential that the variables `AZURE_…` describe. They are read for every token.
///
/// | variable | meaning |
/// | --- | --- |
/// | `AZURE_TENANT_ID` | the directory (tenant) id |
/// | `AZURE_CLIENT_ID` | the application (client) id |
/// | `AZURE_CLIENT_SECRET` | a client secret; or else |
/// | `AZURE_CLIENT_CERTIFICATE_PATH` | a PEM or PKCS#12 file, with `AZURE_CLIENT_CERTIFICATE_PASSWORD` and `AZURE_CLIENT_SEND_CERTIFICATE_CHAIN` (`1` or `true`); or else |
/// | `AZURE_FEDERATED_TOKEN_FILE` | a file with a federated token, as of a workload identity |
/// | `AZURE_AUTHORITY_HOST` | the authority, `https://login.microsoftonline.com` by default |
///
/// ```
/// use hubwire::service::{ServiceEndpoint, credentials::EnvironmentCredential};
///
/// let endpoint = ServiceEndpoint::new("https://contoso.service.signalr.net", EnvironmentCredential::new())?;
/// # Ok::<(), hubwire::service::endpoints::EndpointError>(())
/// ```
///
/// Source: [Environment variables of Azure Identity](https://learn.microsoft.com/dotnet/api/overview/azure/identity-readme#environment-variables).
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct EnvironmentCredential;

impl EnvironmentCredential {
    /// The credential of this process's environment.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

#[async_trait::async_trait]
impl TokenSource for EnvironmentCredential {
    fn name(&self) -> &'static str {
        "environment"
    }

    async fn fetch(&self, http: &HttpClients, scope: &str) -> Result<AccessToken, CredentialError> {
        let source = credential(&Variables(&|name| env::var(name).ok()))?;
        source.check().map_err(|error| CredentialError::Other(cause(error)))?;
        tracing::debug!(credential = source.name(), "the environment describes a credential");
        source.fetch(http, scope).await
    }
}

/// The credential that variables describe.
fn credential(variables: &Variables<'_>) -> Result<Box<dyn TokenSource>, CredentialError> {
    let (tenant_id, client_id) =
        (variables.required("AZURE_TENANT_ID")?, variables.required("AZURE_CLIENT_ID")?);
    let authority = variables.authority();
    if let Some(secret) = variables.filled("AZURE_CLIENT_SECRET") {
        let credential = ClientSecret::new(tenant_id, client_id, secret);
        return Ok(match authority {
            Some(authority) => Box::new(credential.authority(authority)),
            None => Box::new(credential),
        });
    }
    if let Some(path) = variables.filled("AZURE_CLIENT_CERTIFICATE_PATH") {
        let password = variables.filled("AZURE_CLIENT_CERTIFICATE_PASSWORD").unwrap_or_default();
        let chain = variables.filled("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN").unwrap_or_default();
        let credential = ClientCertificate::from_file_with_password(tenant_id, client_id, path, password)
            .send_certificate_chain(is_on(&chain));
        return Ok(match authority {
            Some(authority) => Box::new(credential.authority(authority)),
            None => Box::new(credential),
        });
    }
    if variables.filled("AZURE_FEDERATED_TOKEN_FILE").is_some() {
        return Ok(Box::new(WorkloadIdentity::from_variables(variables)?));
    }
    let reason = "none of the variables AZURE_CLIENT_SECRET, AZURE_CLIENT_CERTIFICATE_PATH and \
                  AZURE_FEDERATED_TOKEN_FILE is set";
    Err(CredentialError::NotConfigured { reason: reason.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(variables: &[(&str, &str)]) -> Result<String, String> {
        let find = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        let source = credential(&Variables(&find)).map_err(|error| error.to_string())?;
        source.check().map_err(|error| error.to_string())?;
        Ok(format!("{source:?}"))
    }

    #[test]
    fn the_most_particular_credential_wins() {
        let tenant = ("AZURE_TENANT_ID", "t");
        let client = ("AZURE_CLIENT_ID", "c");
        let file = ("AZURE_FEDERATED_TOKEN_FILE", "/token");
        let certificate = ("AZURE_CLIENT_CERTIFICATE_PATH", "/c.pem");
        let host = ("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.us/");
        let kind = |variables: &[(&str, &str)]| {
            described(variables).map(|shown| shown.split(' ').next().unwrap_or_default().to_owned())
        };
        let secret = ("AZURE_CLIENT_SECRET", "hush");
        assert_eq!(kind(&[tenant, client, file, certificate, secret]), Ok("ClientSecret".to_owned()));
        assert_eq!(kind(&[tenant, client, file, certificate, host]), Ok("ClientCertificate".to_owned()));
        assert_eq!(kind(&[tenant, client, file]), Ok("WorkloadIdentity".to_owned()));
        assert!(described(&[tenant, client, secret]).is_ok_and(|shown| !shown.contains("hush")));
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = |variables: &[(&str, &str)]| described(variables).expect_err("incomplete");
        assert!(error(&[]).contains("AZURE_TENANT_ID"));
        assert!(error(&[("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", " ")]).contains("AZURE_CLIENT_ID"));
        assert!(error(&[("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "c")]).contains("AZURE_CLIENT_SECRET"));
    }
}
