//! The keys that sign tokens: the access key, and the temporary keys that applications exchange their Entra tokens
//! for.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use serde_json::{Map, Value};

use crate::{
    server::random::random_text,
    service::{
        jwt::{Key, Validity, verify},
        secret::Secret,
    },
};

/// A temporary key is valid for 90 minutes, as in Azure.
const TEMPORARY_KEY_SECONDS: u64 = 90 * 60;

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyError {
    #[error(transparent)]
    Token(#[from] verify::TokenError),
    #[error("the signature key was not found: neither the access key nor a temporary key in force made it")]
    KeyNotFound,
}

#[derive(Debug)]
pub(super) struct KeyRing {
    access_key: Key,
    temporary: Mutex<HashMap<String, Temporary>>,
}

#[derive(Debug)]
struct Temporary {
    key: Key,
    expires_at: u64,
}

/// A temporary key as its user gets it.
#[derive(Debug)]
pub(super) struct IssuedKey {
    pub(super) id: String,
    pub(super) text: Secret,
}

impl KeyRing {
    pub(super) fn new(access_key: &str) -> Self {
        Self { access_key: Key::new(access_key, None), temporary: Mutex::default() }
    }

    /// Makes a temporary key.
    pub(super) fn issue(&self, now: u64) -> Result<IssuedKey, getrandom::Error> {
        let (id, text) = (random_text()?, Secret::new(random_text()?));
        let temporary = Temporary {
            key: Key::new(text.expose(), Some(&id)),
            expires_at: now.saturating_add(TEMPORARY_KEY_SECONDS),
        };
        let mut keys = self.temporary.lock().unwrap_or_else(PoisonError::into_inner);
        keys.retain(|_, key| key.expires_at > now);
        keys.insert(id.clone(), temporary);
        Ok(IssuedKey { id, text })
    }

    /// Signs a token with the access key.
    pub(super) fn sign(&self, claims: &[(&str, &str)], validity: Validity, audience: &str) -> String {
        self.access_key.sign(claims.iter().copied(), validity, audience)
    }

    /// Checks a token that one of the keys has signed, and gives its claims. A key id that is not known here does
    /// not matter: official SDKs write a random one when they sign with the access key.
    pub(super) fn verify(
        &self,
        token: &str,
        now: u64,
        accepts_audience: impl Fn(&str) -> bool,
    ) -> Result<Map<String, Value>, KeyError> {
        let id = verify::key_id(token)?;
        if let Some(id) = &id {
            let keys = self.temporary.lock().unwrap_or_else(PoisonError::into_inner);
            let key = keys.get(id).filter(|key| key.expires_at > now).map(|key| key.key.clone());
            drop(keys);
            if let Some(key) = key {
                return Ok(key.verify(token, now, accepts_audience)?);
            }
        }
        match self.access_key.verify(token, now, accepts_audience) {
            Err(verify::TokenError::Signature) if id.is_some() => Err(KeyError::KeyNotFound),
            verified => Ok(verified?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;
    const DAY: Validity = Validity { issued_at: NOW, expires_at: NOW + 86_400 };
    const NONE: [(&str, &str); 0] = [];

    #[test]
    fn temporary_keys_verify_for_ninety_minutes() {
        let ring = KeyRing::new("static");
        let issued = ring.issue(NOW).expect("random numbers");
        let token = Key::new(issued.text.expose(), Some(&issued.id)).sign(NONE, DAY, "a");
        let verify = |now| ring.verify(&token, now, |a| a == "a").map(|_| ());
        assert_eq!(verify(NOW), Ok(()));
        assert_eq!(verify(NOW + 5399), Ok(()));
        assert_eq!(verify(NOW + 5400), Err(KeyError::KeyNotFound));

        ring.issue(NOW + 5400).expect("random numbers");
        assert_eq!(ring.temporary.lock().expect("no panic").len(), 1);
    }

    #[test]
    fn the_access_key_needs_no_id_and_ignores_a_strange_one() {
        let ring = KeyRing::new("static");
        for id in [None, Some("-1234567")] {
            let token = Key::new("static", id).sign(NONE, DAY, "a");
            assert!(ring.verify(&token, NOW, |a| a == "a").is_ok());
        }
        let verify = |id| ring.verify(&Key::new("other", id).sign(NONE, DAY, "a"), NOW, |_| true);
        assert_eq!(verify(None), Err(KeyError::Token(verify::TokenError::Signature)));
        assert_eq!(verify(Some("x")), Err(KeyError::KeyNotFound));
    }

    #[test]
    fn keys_do_not_show_themselves() {
        let ring = KeyRing::new("static-key");
        let issued = ring.issue(NOW).expect("random numbers");
        let shown = format!("{ring:?} {issued:?}");
        assert!(!shown.contains("static-key") && !shown.contains(issued.text.expose()), "{shown}");
    }
}
