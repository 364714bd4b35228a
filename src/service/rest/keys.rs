//! The keys that sign client tokens: the resource's own, or a temporary one in exchange for an Entra token.
//!
//! `GET {server endpoint}/api/v1/auth/accessKey` with the Entra token gives `{"KeyId", "AccessKey"}`, valid for
//! 90 minutes. An exchange that fails for now is tried three times.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use serde::Deserialize;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::{
    core::ErrorChain,
    lock::lock,
    service::{
        credentials::{
            cache::{Cache, Fresh},
            token_cache::TokenCache,
        },
        error::{Operation, ServiceError},
        jwt,
        negotiate::options::TokenAlgorithm,
        random,
        rest::exchange,
        secret::Secret,
    },
};

/// The first renewal is due 55 minutes after the exchange, as in the official SDK, and at most 5 later, so that the
/// replicas of a service do not renew all at once.
const REFRESH_AFTER: Duration = Duration::from_secs(55 * 60);
const JITTER: Duration = Duration::from_secs(5 * 60);
/// The service takes a key for 90 minutes; the rest is for clocks and for tokens on their way.
const USABLE_FOR: Duration = Duration::from_secs(85 * 60);

/// How often an exchange is tried, and the pause in between, as in the official SDK.
const ATTEMPTS: usize = 3;
const PAUSE: Duration = Duration::from_secs(3);
/// Callers wait for it, whatever the service asks for.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

const OPERATION: Operation = Operation::ExchangeAccessKey;

/// How long a refused exchange is not tried again where there is another way. Role assignments take minutes to work.
const REFUSED_FOR: Duration = Duration::from_secs(5 * 60);

#[derive(Debug, Clone)]
pub(in crate::service) enum SigningKeys {
    Fixed(Arc<jwt::Key>),
    Exchanged(ExchangedKeys),
}

impl SigningKeys {
    /// Exchanges the token for a new key, unless the key is the resource's own.
    pub(in crate::service) async fn renew(&self) -> Result<(), ServiceError> {
        match self {
            Self::Fixed(_) => Ok(()),
            Self::Exchanged(keys) => keys.renew().await,
        }
    }

    /// Exchanges the token for a new key if there is one from an exchange: an endpoint that was offline may no longer know it.
    pub(in crate::service) async fn renew_if_used(&self) -> Result<(), ServiceError> {
        match self {
            Self::Exchanged(keys) if !keys.cache.is_empty() => keys.renew().await,
            _ => Ok(()),
        }
    }
}

/// The keys that Entra tokens are exchanged for.
#[derive(Debug, Clone)]
pub(in crate::service) struct ExchangedKeys {
    cache: Cache<Arc<jwt::Key>, ServiceError>,
    #[cfg(feature = "server")]
    algorithm: TokenAlgorithm,
    refused_at: Arc<Mutex<Option<Instant>>>,
}

impl ExchangedKeys {
    pub(in crate::service) async fn current(&self) -> Result<Arc<jwt::Key>, ServiceError> {
        let key = self.cache.lease().await.map(|lease| lease.value);
        let refused = matches!(key, Err(ServiceError::Forbidden(_))).then(Instant::now);
        *lock(&self.refused_at) = refused;
        key
    }

    /// Whether the application's roles did not allow the exchange a short while ago.
    pub(in crate::service) fn was_refused(&self) -> bool {
        let at = *lock(&self.refused_at);
        at.is_some_and(|at| at.elapsed() < REFUSED_FOR)
    }

    /// Takes a key that came over a server connection. Those bring one every ten minutes, so that nothing is due to be
    /// exchanged for as long as one is up.
    #[cfg(feature = "server")]
    pub(in crate::service) fn install(&self, key: jwt::Key) {
        *lock(&self.refused_at) = None;
        self.cache.put(Fresh {
            value: Arc::new(key.algorithm(self.algorithm)),
            refresh_after: REFRESH_AFTER + random::up_to(JITTER),
            usable_for: USABLE_FOR,
        });
    }

    async fn renew(&self) -> Result<(), ServiceError> {
        let lease = self.cache.lease().await?;
        self.cache.renew(&lease).await.map(drop)
    }
}

/// Whether there is no exchange: the application's roles do not allow it, or a proxy does not pass it on. Clients may get
/// in by `:generateToken` then, which is one of the hub's own paths.
pub(in crate::service) fn is_refusal(error: &ServiceError) -> bool {
    matches!(
        error,
        ServiceError::Forbidden(_) | ServiceError::NotFound(_) | ServiceError::InvalidResponse { .. }
    )
}

/// What an exchange needs.
#[derive(Clone)]
pub(in crate::service) struct Exchange {
    pub(in crate::service) client: reqwest::Client,
    /// `{server endpoint}/api/v1/auth/accessKey`.
    pub(in crate::service) url: reqwest::Url,
    pub(in crate::service) tokens: TokenCache,
    pub(in crate::service) timeout: Duration,
    /// What the keys sign with.
    pub(in crate::service) algorithm: TokenAlgorithm,
}

impl Exchange {
    pub(in crate::service) fn into_keys(self) -> SigningKeys {
        #[cfg(feature = "server")]
        let algorithm = self.algorithm;
        let cache = Cache::new("access key", move || {
            let exchange = self.clone();
            async move { exchange.fetch().await }
        });
        SigningKeys::Exchanged(ExchangedKeys {
            cache,
            #[cfg(feature = "server")]
            algorithm,
            refused_at: Arc::default(),
        })
    }

    async fn fetch(&self) -> Result<Fresh<Arc<jwt::Key>>, ServiceError> {
        let token = self.tokens.lease().await?;
        let mut answer = self.attempts(&token.value).await;
        if matches!(answer, Err(ServiceError::Unauthorized(_))) {
            let token = self.tokens.renew(&token).await?;
            answer = self.attempts(&token.value).await;
        }
        Ok(Fresh {
            value: Arc::new(answer?),
            refresh_after: REFRESH_AFTER + random::up_to(JITTER),
            usable_for: USABLE_FOR,
        })
    }

    /// Asks again where that may help. Unlike the SDK, what the service refuses is not asked for again; a timeout ends it
    /// there as well.
    async fn attempts(&self, token: &Secret) -> Result<jwt::Key, ServiceError> {
        for _ in 1..ATTEMPTS {
            let error = match self.request(token).await {
                Err(error) if error.is_retryable() && !matches!(error, ServiceError::Timeout { .. }) => error,
                result => return result,
            };
            let asked = error.refusal().and_then(|refusal| refusal.retry_after());
            let Some(pause) = Some(asked.unwrap_or(PAUSE)).filter(|pause| *pause <= LONGEST_PAUSE) else {
                return Err(error);
            };
            let reason = ErrorChain::new(&error).to_string();
            tracing::debug!(reason, ?pause, "the token is exchanged for an access key again");
            tokio::time::sleep(pause).await;
        }
        self.request(token).await
    }

    async fn request(&self, token: &Secret) -> Result<jwt::Key, ServiceError> {
        // The SDK reads names in any case; these two are in use.
        #[derive(Deserialize)]
        struct Answer {
            #[serde(rename = "KeyId", alias = "keyId")]
            key_id: String,
            #[serde(rename = "AccessKey", alias = "accessKey")]
            access_key: Secret,
        }
        let request = self.client.get(self.url.clone());
        let response = exchange::send(request, OPERATION, token.expose(), self.timeout).await?;
        let body = Zeroizing::new(exchange::read(response, OPERATION, self.timeout).await?);
        let answer: Option<Answer> = serde_json::from_slice(&body).ok();
        let answer = answer.filter(|a| !a.key_id.is_empty() && !a.access_key.is_empty());
        let answer = answer.ok_or(ServiceError::InvalidResponse {
            operation: OPERATION,
            reason: "KeyId or AccessKey is missing",
        })?;
        let key = jwt::Key::new(answer.access_key.expose(), Some(&answer.key_id));
        Ok(key.algorithm(self.algorithm))
    }
}
