//! The identity that Azure gives to a machine or to an app.
//!
//! The requests are our own, and not those of `azure_identity`: that one has a fixed address for the metadata service,
//! asks it for minutes where there is none, knows virtual machines and App Service only, and takes neither resource ids
//! in App Service nor an expiry that is a number.

mod answer;
mod arc;
mod fabric;
mod host;

use std::{env, fmt, time::Duration};

use azure_core::credentials::AccessToken;
use reqwest::{
    RequestBuilder,
    header::{AUTHORIZATION, HeaderValue},
};
use tokio::time;

use self::{
    answer::{Answer, Failure},
    host::{Host, Id},
};
use crate::{
    core::ErrorChain,
    service::{
        credentials::{
            entra::variables::Variables,
            error::{CredentialError, InvalidCredential},
            source::{TokenSource, blocking},
        },
        http::{clients::HttpClients, url::parse_url},
        secret::Secret,
    },
};

/// Pauses before the second, third and fourth attempt.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(800), Duration::from_millis(1600), Duration::from_millis(3200)];

/// The managed identity of the machine or app that the program runs on. There is nothing secret to keep.
///
/// Where it runs is told by variables that Azure sets:
///
/// | host | variables | identities |
/// | --- | --- | --- |
/// | App Service, Functions, Container Apps | `IDENTITY_ENDPOINT`, `IDENTITY_HEADER` | all |
/// | Service Fabric | these and `IDENTITY_SERVER_THUMBPRINT` | the one of the application's manifest |
/// | Azure Arc | `IDENTITY_ENDPOINT`, `IMDS_ENDPOINT` | the system-assigned one |
/// | Azure Machine Learning | `MSI_ENDPOINT`, `MSI_SECRET`, `DEFAULT_IDENTITY_CLIENT_ID` | by client id |
/// | Cloud Shell | `MSI_ENDPOINT` | that of its user |
/// | virtual machines, scale sets, AKS | none | all |
///
/// Without any of them, the metadata service of virtual machines is asked, at 169.254.169.254 or at
/// `AZURE_POD_IDENTITY_AUTHORITY_HOST`. Where there is none, or a proxy or a router answers in its place, that is found
/// out within two seconds. What is busy or starts late (429, 5xx, a refused connection at an endpoint that a variable
/// names) is asked four times, within six seconds.
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
}

#[async_trait::async_trait]
impl TokenSource for ManagedIdentity {
    fn name(&self) -> &'static str {
        "managed identity"
    }

    fn check(&self) -> Result<(), InvalidCredential> {
        if self.host.as_ref().is_some_and(|host| parse_url(host.address()).is_none()) {
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
            None => Host::from_variables(&Variables(&|name| env::var(name).ok())),
        };
        let resource = scope.strip_suffix("/.default").unwrap_or(scope);
        let client = host.client(http)?;
        let mut request = host.request(&client, &self.id, resource)?;
        host.probe().await?;
        let mut pauses = PAUSES.iter();
        loop {
            let failure = match ask(&host, request).await {
                Ok(token) => return Ok(token),
                Err(failure) => failure,
            };
            let Some(pause) = pauses.next().filter(|_| failure.may_pass) else { return Err(failure.error) };
            let reason = ErrorChain::new(&failure.error).to_string();
            tracing::debug!(reason, ?pause, "the managed identity is asked for again");
            time::sleep(*pause).await;
            request = host.request(&client, &self.id, resource)?;
        }
    }
}

/// Asks once; Azure Arc's agent asks back.
async fn ask(host: &Host, request: RequestBuilder) -> Result<AccessToken, Failure> {
    let again = request.try_clone();
    let answer = Answer::of(request, host).await?;
    let (Some(folder), Some(again), 401) = (host.keys(), again, answer.status()) else {
        return answer.token(host, host.secret());
    };
    let (challenge, folder) = (answer.challenge().map(str::to_owned), folder.to_owned());
    let key = blocking(move || arc::key(challenge.as_deref(), &folder)).await.map_err(Failure::last)?;
    let mut proof = HeaderValue::from_str(&format!("Basic {}", key.expose()))
        .map_err(|_| Failure::last(CredentialError::UnusableToken))?;
    proof.set_sensitive(true);
    Answer::of(again.header(AUTHORIZATION, proof), host).await?.token(host, Some(&key))
}

impl fmt::Debug for ManagedIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManagedIdentity").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
