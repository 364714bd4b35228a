//! The kinds of credential, and the cache of the Entra tokens they give.

use std::{fmt, sync::Arc, time::Duration};

use azure_core::{credentials::TokenCredential, time::OffsetDateTime};

use super::{
    cache::{Cache, Fresh},
    entra::ClientSecret,
    error::{CredentialError, ServiceError},
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

/// How a [`ServiceEndpoint`](super::ServiceEndpoint) authenticates: an [`AccessKey`], a [`ClientSecret`], or any
/// `Arc<dyn TokenCredential>` of `azure_identity` or of your own.
#[derive(Clone)]
pub struct Credential(pub(super) Kind);

#[derive(Clone)]
pub(super) enum Kind {
    AccessKey(AccessKey),
    ClientSecret(ClientSecret),
    Token(Arc<dyn TokenCredential>),
}

impl From<AccessKey> for Credential {
    fn from(key: AccessKey) -> Self {
        Self(Kind::AccessKey(key))
    }
}

impl From<ClientSecret> for Credential {
    fn from(secret: ClientSecret) -> Self {
        Self(Kind::ClientSecret(secret))
    }
}

impl From<Arc<dyn TokenCredential>> for Credential {
    fn from(credential: Arc<dyn TokenCredential>) -> Self {
        Self(Kind::Token(credential))
    }
}

impl<T: TokenCredential + 'static> From<Arc<T>> for Credential {
    fn from(credential: Arc<T>) -> Self {
        Self(Kind::Token(credential))
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::AccessKey(key) => key.fmt(f),
            Kind::ClientSecret(secret) => secret.fmt(f),
            // What another crate's credential shows of itself is not known.
            Kind::Token(_) => f.write_str("TokenCredential"),
        }
    }
}

/// Gets tokens when the cache asks for one.
#[derive(Clone)]
pub(super) enum TokenSource {
    ClientSecret { secret: ClientSecret, client: reqwest::Client },
    Token(Arc<dyn TokenCredential>),
}

impl TokenSource {
    /// A cache that renews a token when 70 to 80 % of its life are over. `timeout` limits one request, its retries
    /// included.
    pub(super) fn into_cache(self, scope: String, timeout: Duration) -> Cache<Arc<Secret>> {
        Cache::new("Entra token", move || {
            let (source, scope) = (self.clone(), scope.clone());
            async move {
                let fetched = tokio::time::timeout(timeout, source.fetch(&scope)).await;
                fetched
                    .unwrap_or(Err(CredentialError::Timeout { after: timeout }))
                    .map_err(ServiceError::from)
            }
        })
    }

    async fn fetch(&self, scope: &str) -> Result<Fresh<Arc<Secret>>, CredentialError> {
        let token = match self {
            Self::ClientSecret { secret, client } => secret.fetch(client, scope).await?,
            Self::Token(credential) => credential
                .get_token(&[scope], None)
                .await
                .map_err(|error| CredentialError::Other(Arc::new(error)))?,
        };
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
}
