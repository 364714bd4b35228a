//! Several credentials, of which the first that works is used.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use azure_core::credentials::AccessToken;

use crate::{
    core::ErrorChain,
    lock::lock,
    service::{
        credentials::{
            credential::{Credential, Kind},
            entra::{
                azure_cli::AzureCli, environment::EnvironmentCredential, managed_identity::ManagedIdentity,
            },
            error::{CredentialError, InvalidCredential, TriedCredential},
            source::TokenSource,
        },
        http::clients::HttpClients,
    },
};

/// Several credentials in the order in which they are tried. The first that gives a token is used from then on, and a
/// log entry at level `info` says which one it is.
///
/// The next one is tried only when one is not there: its variables are not set, the machine has no managed identity (or
/// a proxy or a router answers in its place), `az` is not installed or not logged in, or a `TokenCredential` of another
/// crate fails. One that is there and is refused, such as a client secret that has expired, ends it: another identity in
/// its place would be a surprise. When none is there, [`CredentialError::NoneAvailable`] says for each why.
///
/// ```
/// use hubwire::service::{ServiceEndpoint, credentials::{AzureCli, CredentialChain, ManagedIdentity}};
///
/// let credential = CredentialChain::new().or(ManagedIdentity::system_assigned()).or(AzureCli::new());
/// let endpoint = ServiceEndpoint::new("https://contoso.service.signalr.net", credential)?;
/// # Ok::<(), hubwire::service::endpoints::EndpointError>(())
/// ```
#[derive(Clone, Default)]
pub struct CredentialChain {
    credentials: Vec<Credential>,
    found: Arc<Mutex<Option<usize>>>,
}

impl CredentialChain {
    /// A chain without credentials yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the credential that is tried next.
    #[must_use]
    pub fn or(mut self, credential: impl Into<Credential>) -> Self {
        self.credentials.push(credential.into());
        // A copy of the chain goes its own way.
        self.found = Arc::default();
        self
    }

    /// The chain that suits a program on a developer's machine as well as in Azure: the [`EnvironmentCredential`],
    /// the [`ManagedIdentity`] (the user-assigned one with the client id in `AZURE_CLIENT_ID`, if that is set), the
    /// [`AzureCli`].
    ///
    /// It is shorter than .NET's `DefaultAzureCredential`, in the same order.
    #[must_use]
    pub fn azure_default() -> Self {
        let client_id = std::env::var("AZURE_CLIENT_ID").ok().filter(|id| !id.trim().is_empty());
        let identity =
            client_id.map_or_else(ManagedIdentity::system_assigned, ManagedIdentity::with_client_id);
        Self::new().or(EnvironmentCredential::new()).or(identity).or(AzureCli::new())
    }

    fn sources(&self) -> impl Iterator<Item = &Arc<dyn TokenSource>> {
        self.credentials.iter().filter_map(|credential| match &credential.0 {
            Kind::Token(source) => Some(source),
            Kind::AccessKey(_) => None,
        })
    }

    fn found(&self) -> Option<usize> {
        *lock(&self.found)
    }
}

#[async_trait::async_trait]
impl TokenSource for CredentialChain {
    fn name(&self) -> &'static str {
        "chain"
    }

    fn check(&self) -> Result<(), InvalidCredential> {
        let is_key = |credential: &Credential| matches!(credential.0, Kind::AccessKey(_));
        if self.credentials.is_empty() || self.credentials.iter().any(is_key) {
            return Err(InvalidCredential::Part { what: "list of Entra credentials" });
        }
        self.sources().try_for_each(|source| source.check())
    }

    async fn fetch(&self, http: &HttpClients, scope: &str) -> Result<AccessToken, CredentialError> {
        if let Some(source) = self.found().and_then(|index| self.sources().nth(index)) {
            return source.fetch(http, scope).await;
        }
        let mut tried = Vec::new();
        for (index, source) in self.sources().enumerate() {
            let name = source.name();
            match source.fetch(http, scope).await {
                Ok(token) => {
                    tracing::info!(credential = name, "the credential chain has found the one that works");
                    *lock(&self.found) = Some(index);
                    return Ok(token);
                }
                Err(error) if error.is_unavailable() => {
                    tracing::debug!(credential = name, error = %ErrorChain::new(&error), "the credential chain goes on");
                    tried.push((name, error));
                }
                Err(error) => return Err(error),
            }
        }
        // A chain of none does not pass the check.
        let empty = || CredentialError::NotConfigured { reason: "the chain has no credentials".to_owned() };
        Err(TriedCredential::of(tried).map_or_else(empty, CredentialError::NoneAvailable))
    }
}

impl fmt::Debug for CredentialChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CredentialChain ")?;
        f.debug_list().entries(&self.credentials).finish()
    }
}
