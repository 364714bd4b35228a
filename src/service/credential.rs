//! The kinds of credential, and the cache of the Entra tokens they give.

use std::{fmt, sync::Arc, time::Duration};

use azure_core::{
    credentials::{AccessToken, TokenCredential},
    time::OffsetDateTime,
};

use super::{
    cache::{Cache, Fresh},
    entra::{
        AzureCli, ClientCertificate, ClientSecret, CredentialChain, EnvironmentCredential,
        FederatedCredential, ManagedIdentity, TokenSource, WorkloadIdentity,
    },
    error::{CredentialError, ServiceError},
    http::HttpClients,
    random,
    secret::Secret,
};

/// The scope of Azure SignalR Service, the same in every cloud.
pub(super) const DEFAULT_SCOPE: &str = "https://signalr.azure.com/.default";

/// Tokens live for an hour or a day; a longer expiry is not relied on.
const LONGEST_USE: Duration = Duration::from_secs(24 * 3600);

/// An access key of the SignalR resource. Its text is wiped from memory when it is dropped and hidden in `Debug`.
#[derive(Debug, Clone)]
pub struct AccessKey(Secret);

impl AccessKey {
    /// The key as the Azure portal shows it.
    #[must_use]
    pub fn new(key: impl Into<String>) -> Self {
        Self(Secret::new(key))
    }

    /// The key's text. Keep it out of logs.
    #[must_use]
    pub fn secret(&self) -> &str {
        self.0.expose()
    }
}

/// How a [`ServiceEndpoint`](super::ServiceEndpoint) authenticates: an [`AccessKey`] or any of the Entra credentials.
///
/// | credential | who it is for |
/// | --- | --- |
/// | [`AccessKey`] | local authentication, also of the emulator |
/// | [`ClientSecret`], [`ClientCertificate`] | an application that keeps a credential of its own |
/// | [`FederatedCredential`] | an application that trusts another identity instead, such as a managed one |
/// | [`ManagedIdentity`] | a program on an Azure virtual machine, in App Service or in Functions |
/// | [`WorkloadIdentity`] | a program in Kubernetes |
/// | [`EnvironmentCredential`] | whatever the variables `AZURE_…` describe |
/// | [`AzureCli`] | a developer who has run `az login` |
/// | [`CredentialChain`] | the first of several that works |
/// | `Arc<dyn TokenCredential>` | anything else: a credential of `azure_identity` or of your own |
#[derive(Clone)]
pub struct Credential(pub(super) Kind);

#[derive(Clone)]
pub(super) enum Kind {
    AccessKey(AccessKey),
    Token(Arc<dyn TokenSource>),
}

impl From<AccessKey> for Credential {
    fn from(key: AccessKey) -> Self {
        Self(Kind::AccessKey(key))
    }
}

macro_rules! from_sources {
    ($($source:ty),+ $(,)?) => {$(
        impl From<$source> for Credential {
            fn from(source: $source) -> Self {
                Self(Kind::Token(Arc::new(source)))
            }
        }
    )+};
}

from_sources!(
    AzureCli,
    ClientCertificate,
    ClientSecret,
    CredentialChain,
    EnvironmentCredential,
    FederatedCredential,
    ManagedIdentity,
    WorkloadIdentity,
);

impl From<Arc<dyn TokenCredential>> for Credential {
    fn from(credential: Arc<dyn TokenCredential>) -> Self {
        Self(Kind::Token(Arc::new(Foreign(credential))))
    }
}

impl<T: TokenCredential + 'static> From<Arc<T>> for Credential {
    fn from(credential: Arc<T>) -> Self {
        Self::from(credential as Arc<dyn TokenCredential>)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::AccessKey(key) => key.fmt(f),
            Kind::Token(source) => source.fmt(f),
        }
    }
}

/// A credential of another crate.
struct Foreign(Arc<dyn TokenCredential>);

impl fmt::Debug for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What it shows of itself is not known.
        f.write_str("TokenCredential")
    }
}

#[async_trait::async_trait]
impl TokenSource for Foreign {
    fn name(&self) -> &'static str {
        "TokenCredential"
    }

    async fn fetch(&self, _: &HttpClients, scope: &str) -> Result<AccessToken, CredentialError> {
        let token = self.0.get_token(&[scope], None).await;
        token.map_err(|error| CredentialError::Other(Arc::new(error)))
    }
}

/// A cache of the tokens of one scope that renews a token when 70 to 80 % of its life are over. `timeout` limits one
/// request, its retries included.
pub(super) fn token_cache(
    source: Arc<dyn TokenSource>,
    http: HttpClients,
    scope: String,
    timeout: Duration,
) -> Cache<Arc<Secret>> {
    Cache::new("Entra token", move || {
        let (source, http, scope) = (Arc::clone(&source), http.clone(), scope.clone());
        async move {
            let fetched = tokio::time::timeout(timeout, source.fetch(&http, &scope)).await;
            let fetched = fetched.unwrap_or(Err(CredentialError::Timeout { after: timeout }));
            fetched.and_then(fresh).map_err(ServiceError::from)
        }
    })
}

fn fresh(token: AccessToken) -> Result<Fresh<Arc<Secret>>, CredentialError> {
    let remaining = Duration::try_from(token.expires_on - OffsetDateTime::now_utc()).unwrap_or_default();
    let text = token.token.secret();
    if text.is_empty() || remaining.is_zero() || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(CredentialError::UnusableToken);
    }
    let usable_for = remaining.min(LONGEST_USE);
    Ok(Fresh {
        value: Arc::new(Secret::new(text)),
        refresh_after: usable_for.mul_f64(0.8) - random::up_to(usable_for / 10),
        usable_for,
    })
}
