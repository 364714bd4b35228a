//! The identity that Azure gives to a machine or to an app.
//!
//! The requests are our own, and not those of `azure_identity`: that one has a fixed address for the metadata service,
//! asks it for minutes where there is none, and takes neither resource ids in App Service nor an expiry that is a
//! number.
//!
//! Sources: [virtual machines](https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token),
//! [App Service](https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference).

use std::{env, fmt, io, time::Duration};

use azure_core::{
    credentials::{AccessToken, Secret as AzureSecret},
    time::OffsetDateTime,
};
use serde::Deserialize;
use serde_json::Value;
use tokio::{net::TcpStream, time};
use zeroize::Zeroizing;

use crate::service::{
    credentials::{
        entra::variables::Variables,
        error::{Cause, CredentialError, InvalidCredential},
        source::{TokenSource, cause},
    },
    http::{
        body::{read_body, within},
        clients::HttpClients,
        url::parse_url,
    },
    secret::Secret,
};

/// The metadata service of virtual machines, the same in every cloud.
const METADATA_SERVICE: &str = "http://169.254.169.254";
/// It is on the same host, so it accepts at once or never.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// Pauses before the second, third and fourth attempt.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(800), Duration::from_millis(1600), Duration::from_millis(3200)];
const MAX_ANSWER: usize = 64 * 1024;

/// The managed identity of the virtual machine, App Service app or Functions app that the program runs on. There is
/// nothing secret to keep.
///
/// Where it runs is told by the variables `IDENTITY_ENDPOINT` and `IDENTITY_HEADER` of App Service; without them, the
/// metadata service of virtual machines is asked, at 169.254.169.254 or at `AZURE_POD_IDENTITY_AUTHORITY_HOST`. Azure
/// Arc, Service Fabric and Cloud Shell are not supported.
///
/// ```
/// use hubwire::service::{ServiceEndpoint, credentials::ManagedIdentity};
///
/// let system_assigned = ManagedIdentity::system_assigned();
/// let user_assigned = ManagedIdentity::with_client_id("11111111-2222-3333-4444-555555555555");
/// let endpoint = ServiceEndpoint::new("https://contoso.service.signalr.net", user_assigned)?;
/// # Ok::<(), hubwire::service::endpoints::EndpointError>(())
/// ```
///
/// Source: [Authorize requests with managed identities](https://learn.microsoft.com/azure/azure-signalr/signalr-howto-authorize-managed-identity).
#[derive(Clone)]
pub struct ManagedIdentity {
    id: Id,
    host: Option<Host>,
}

#[derive(Debug, Clone)]
enum Id {
    System,
    Client(String),
    Object(String),
    Resource(String),
}

#[derive(Clone)]
enum Host {
    VirtualMachine { url: String },
    AppService { endpoint: String, header: Secret },
}

impl ManagedIdentity {
    /// The identity that the machine or app itself has.
    #[must_use]
    pub fn system_assigned() -> Self {
        Self { id: Id::System, host: None }
    }

    /// A user-assigned identity by its client id.
    #[must_use]
    pub fn with_client_id(id: impl Into<String>) -> Self {
        Self { id: Id::Client(id.into()), host: None }
    }

    /// A user-assigned identity by its object (principal) id.
    #[must_use]
    pub fn with_object_id(id: impl Into<String>) -> Self {
        Self { id: Id::Object(id.into()), host: None }
    }

    /// A user-assigned identity by its resource id: `/subscriptions/…/userAssignedIdentities/…`.
    #[must_use]
    pub fn with_resource_id(id: impl Into<String>) -> Self {
        Self { id: Id::Resource(id.into()), host: None }
    }

    /// Asks the metadata service of a virtual machine at this address, whatever the environment says.
    #[must_use]
    pub fn metadata_service(self, url: impl Into<String>) -> Self {
        Self { host: Some(Host::VirtualMachine { url: url.into() }), ..self }
    }

    /// Asks App Service with this `IDENTITY_ENDPOINT` and `IDENTITY_HEADER`, whatever the environment says.
    #[must_use]
    pub fn app_service(self, endpoint: impl Into<String>, header: impl Into<String>) -> Self {
        let host = Host::AppService { endpoint: endpoint.into(), header: Secret::new(header) };
        Self { host: Some(host), ..self }
    }

    fn request(&self, host: &Host, http: &HttpClients, scope: &str) -> Option<reqwest::RequestBuilder> {
        let resource = scope.strip_suffix("/.default").unwrap_or(scope);
        let (base, version) = match host {
            Host::VirtualMachine { url } => {
                (format!("{}/metadata/identity/oauth2/token", url.trim_end_matches('/')), "2018-02-01")
            }
            Host::AppService { endpoint, .. } => (endpoint.clone(), "2019-08-01"),
        };
        let mut url = parse_url(&base)?;
        let is_app_service = matches!(host, Host::AppService { .. });
        let id = match &self.id {
            Id::System => None,
            Id::Client(id) => Some(("client_id", id)),
            Id::Object(id) if is_app_service => Some(("principal_id", id)),
            Id::Object(id) => Some(("object_id", id)),
            Id::Resource(id) if is_app_service => Some(("mi_res_id", id)),
            Id::Resource(id) => Some(("msi_res_id", id)),
        };
        let mut query = url.query_pairs_mut();
        query.append_pair("api-version", version).append_pair("resource", resource);
        if let Some((name, id)) = id {
            query.append_pair(name, id);
        }
        drop(query);
        let request = http.for_url(&url).get(url).timeout(ATTEMPT_TIMEOUT);
        Some(match host {
            Host::VirtualMachine { .. } => request.header("Metadata", "true"),
            Host::AppService { header, .. } => request.header("X-IDENTITY-HEADER", header.expose()),
        })
    }
}

impl Host {
    fn from_variables(variables: &Variables<'_>) -> Result<Self, CredentialError> {
        let variable = |name| variables.filled(name);
        let unsupported = |place: &str| {
            let reason = format!("the managed identity of {place} is not supported; use another credential");
            Err(CredentialError::NotConfigured { reason })
        };
        match (variable("IDENTITY_ENDPOINT"), variable("IDENTITY_HEADER")) {
            (Some(_), Some(_)) if variable("IDENTITY_SERVER_THUMBPRINT").is_some() => {
                unsupported("Service Fabric")
            }
            (Some(endpoint), Some(header)) => Ok(Self::AppService { endpoint, header: Secret::new(header) }),
            (Some(_), None) => unsupported("Azure Arc"),
            _ if variable("MSI_ENDPOINT").is_some() => unsupported("Cloud Shell and Azure Machine Learning"),
            _ => Ok(Self::VirtualMachine {
                url: variable("AZURE_POD_IDENTITY_AUTHORITY_HOST")
                    .unwrap_or_else(|| METADATA_SERVICE.to_owned()),
            }),
        }
    }

    /// Finds out fast that the endpoint does not exist, instead of waiting until a request ends.
    async fn probe(&self) -> Result<(), CredentialError> {
        let Self::VirtualMachine { url } = self else { return Ok(()) };
        let url = parse_url(url).ok_or_else(invalid_address)?;
        let address = (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(80));
        let address = (address.0.trim_matches(['[', ']']), address.1);
        let elapsed = || io::Error::from(io::ErrorKind::TimedOut);
        let connected = within(CONNECT_TIMEOUT, TcpStream::connect(address), elapsed).await;
        connected.map(drop).map_err(|error| CredentialError::NoManagedIdentity(cause(error)))
    }
}

fn invalid_address() -> CredentialError {
    CredentialError::NotConfigured {
        reason: "the address of the managed identity's endpoint is not an absolute URL".to_owned(),
    }
}

#[async_trait::async_trait]
impl TokenSource for ManagedIdentity {
    fn name(&self) -> &'static str {
        "managed identity"
    }

    fn check(&self) -> Result<(), InvalidCredential> {
        let url = self.host.as_ref().map(|host| match host {
            Host::VirtualMachine { url } => url,
            Host::AppService { endpoint, .. } => endpoint,
        });
        if url.is_some_and(|url| parse_url(url).is_none()) {
            return Err(InvalidCredential::Url { what: "managed identity's endpoint" });
        }
        let (Id::Client(id) | Id::Object(id) | Id::Resource(id)) = &self.id else { return Ok(()) };
        if id.trim().is_empty() {
            return Err(InvalidCredential::Part { what: "id of the managed identity" });
        }
        Ok(())
    }

    async fn fetch(&self, http: &HttpClients, scope: &str) -> Result<AccessToken, CredentialError> {
        let host = match &self.host {
            Some(host) => host.clone(),
            None => Host::from_variables(&Variables(&|name| env::var(name).ok()))?,
        };
        host.probe().await?;
        let mut pauses = PAUSES.iter();
        loop {
            let request = self.request(&host, http, scope).ok_or_else(invalid_address)?;
            let status = match send(request).await.map_err(CredentialError::NoManagedIdentity)? {
                (200, body) => return read_token(&body),
                (status, _) => status,
            };
            // 404 and 410 come while the identity is being set up.
            let pause = pauses.next().filter(|_| matches!(status, 404 | 410 | 429 | 500..));
            let Some(pause) = pause else {
                return Err(match status {
                    429 | 500.. => CredentialError::Unavailable { status },
                    _ => CredentialError::ManagedIdentityRefused { status },
                });
            };
            tracing::debug!(status, "the managed identity is asked for again");
            time::sleep(*pause).await;
        }
    }
}

async fn send(request: reqwest::RequestBuilder) -> Result<(u16, Zeroizing<Vec<u8>>), Cause> {
    let response = request.send().await.map_err(|error| cause(error.without_url()))?;
    let status = response.status().as_u16();
    let body = read_body(response, MAX_ANSWER).await?;
    tracing::debug!(status, "the managed identity's endpoint answered");
    Ok((status, Zeroizing::new(body)))
}

fn read_token(body: &[u8]) -> Result<AccessToken, CredentialError> {
    #[derive(Deserialize)]
    struct Answer {
        access_token: Secret,
        /// Seconds since the Unix epoch: a text on virtual machines and in App Service, a number elsewhere.
        expires_on: Value,
    }
    let answer: Answer = serde_json::from_slice(body).map_err(|_| CredentialError::UnusableToken)?;
    let seconds = match &answer.expires_on {
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_i64(),
    };
    let expires_on = seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let token = AzureSecret::new(answer.access_token.expose().to_owned());
    Ok(AccessToken::new(token, expires_on.ok_or(CredentialError::UnusableToken)?))
}

impl fmt::Debug for ManagedIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManagedIdentity").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_found_by_its_variables() {
        let host = |variables: &[(&str, &str)]| {
            let find = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
            Host::from_variables(&Variables(&find)).map(|host| match host {
                Host::VirtualMachine { url } => url,
                Host::AppService { endpoint, header } => format!("{endpoint} {}", header.expose()),
            })
        };
        assert_eq!(host(&[]).ok().as_deref(), Some(METADATA_SERVICE));
        let pod = ("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://1.2.3.4");
        assert_eq!(host(&[pod]).ok().as_deref(), Some("http://1.2.3.4"));
        let (endpoint, header) = (("IDENTITY_ENDPOINT", "http://e/t"), ("IDENTITY_HEADER", "h"));
        assert_eq!(host(&[endpoint, header, pod]).ok().as_deref(), Some("http://e/t h"));
        for (variables, place) in [
            (vec![endpoint, header, ("IDENTITY_SERVER_THUMBPRINT", "t")], "Service Fabric"),
            (vec![endpoint], "Azure Arc"),
            (vec![("MSI_ENDPOINT", "http://m")], "Cloud Shell"),
        ] {
            let error = host(&variables).expect_err(place);
            assert!(error.to_string().contains(place) && error.is_unavailable(), "{error}");
        }
    }
}
