//! The cache of the Entra tokens that a credential gives.

use std::{sync::Arc, time::Duration};

use azure_core::{credentials::AccessToken, time::OffsetDateTime};

use crate::service::{
    credentials::{
        cache::{Cache, Fresh},
        error::CredentialError,
        source::TokenSource,
    },
    http::{body::within, clients::HttpClients},
    random,
    secret::Secret,
};

/// Tokens live for an hour or a day; a longer expiry is not relied on.
const LONGEST_USE: Duration = Duration::from_secs(24 * 3600);

/// The Entra tokens of one credential for one scope.
pub(in crate::service) type TokenCache = Cache<Arc<Secret>, CredentialError>;

/// A cache of the tokens of one scope that renews a token when 70 to 80 % of its life are over. `timeout` limits one
/// request, its retries included.
pub(in crate::service) fn token_cache(
    source: Arc<dyn TokenSource>,
    http: HttpClients,
    scope: String,
    timeout: Duration,
) -> TokenCache {
    Cache::new("Entra token", move || {
        let (source, http, scope) = (Arc::clone(&source), http.clone(), scope.clone());
        async move {
            let elapsed = || CredentialError::Timeout { after: timeout };
            within(timeout, source.fetch(&http, &scope), elapsed).await.and_then(fresh)
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
