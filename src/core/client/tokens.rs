//! The token cache.

use std::time::Duration;

use crate::core::Moment;
use crate::core::token::{AccessToken, ClientToken};

/// A token is renewed so long before it expires, or after three quarters of a short life.
const LEEWAY: Duration = Duration::from_secs(60);

/// The provider's last token, kept for reconnects.
///
/// A token that tells its end (`exp`) is used until shortly before it. Any other serves the one attempt that it was
/// fetched for, since its lifetime is not known.
#[derive(Debug, Default)]
pub(super) struct TokenCache {
    token: Option<(AccessToken, Moment)>,
}

impl TokenCache {
    /// `unix_now` is the wall clock, which `exp` counts by: the time since 1970.
    pub(super) fn store(&mut self, now: Moment, unix_now: Duration, token: Option<&AccessToken>) {
        self.token = token.map(|token| (token.clone(), good_until(now, unix_now, token)));
    }

    pub(super) fn clear(&mut self) {
        self.token = None;
    }

    pub(super) fn valid(&self, now: Moment) -> Option<&AccessToken> {
        self.token.as_ref().filter(|(_, until)| now < *until).map(|(token, _)| token)
    }
}

fn good_until(now: Moment, unix_now: Duration, token: &AccessToken) -> Moment {
    let expires = ClientToken::parse(token.secret()).ok().and_then(|token| token.expires_at());
    let Some(expires) = expires.and_then(|at| u64::try_from(at).ok()) else { return now };
    let left = Duration::from_secs(expires).saturating_sub(unix_now);
    now + left.saturating_sub(LEEWAY.min(left / 4))
}
