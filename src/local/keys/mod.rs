//! The keys that sign tokens: the two access keys, and the temporary keys that applications exchange their Entra tokens
//! for.

mod temporary;

use std::sync::RwLock;

use base64ct::{Base64, Encoding};
use serde_json::{Map, Value};
use subtle::ConstantTimeEq as _;

pub(super) use temporary::{IssuedKey, derived_secret};

use crate::{
    local::error::LocalError,
    lock::{read, write},
    service::{
        jwt::{
            Key, Validity,
            verify::{self, TokenError},
        },
        secret::Secret,
        upstream::signature::sign,
    },
};
use temporary::{DerivedId, Roots};

/// The access key of the official emulator, which is public.
pub(super) const EMULATOR_ACCESS_KEY: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789ABCDEFGH";

/// Which of the two access keys of a service. Both are good for everything, so that one can be replaced while the other is
/// in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    /// The first key, which the service itself signs with.
    Primary,
    /// The second key.
    Secondary,
}

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyError {
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(
        "the signature key was not found: neither an access key, nor a temporary key in force, nor the Entra authority \
         of this service made it"
    )]
    KeyNotFound,
    #[error("local authentication is disabled, so access keys are refused; use Microsoft Entra ID")]
    LocalAuthDisabled,
}

#[derive(Debug)]
pub(super) struct KeyRing {
    keys: RwLock<Keys>,
    local_auth: bool,
}

#[derive(Debug)]
struct Keys {
    primary: AccessKey,
    secondary: AccessKey,
    roots: Roots,
}

#[derive(Debug)]
struct AccessKey {
    text: Secret,
    key: Key,
}

impl AccessKey {
    fn new(text: Secret) -> Self {
        Self { key: Key::new(text.expose(), None), text }
    }

    /// A new one, in the form of Azure's.
    fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self::new(Secret::new(Base64::encode_string(&bytes))))
    }
}

impl KeyRing {
    /// Without a secondary key, a random one is made.
    pub(super) fn new(
        primary: Secret,
        secondary: Option<Secret>,
        local_auth: bool,
    ) -> Result<Self, LocalError> {
        let is_valid = |key: &Secret| !key.is_empty() && !key.expose().contains(';');
        if ![Some(&primary), secondary.as_ref()].into_iter().flatten().all(is_valid) {
            return Err(LocalError::InvalidAccessKey);
        }
        let roots = Roots::new(&primary);
        let secondary = secondary.map_or_else(AccessKey::random, |text| Ok(AccessKey::new(text)))?;
        let keys = Keys { primary: AccessKey::new(primary), secondary, roots };
        Ok(Self { keys: RwLock::new(keys), local_auth })
    }

    /// Whether access keys are good for anything.
    #[cfg(feature = "dashboard")]
    pub(super) fn local_auth(&self) -> bool {
        self.local_auth
    }

    pub(super) fn access_key(&self, which: KeyType) -> Secret {
        let keys = read(&self.keys);
        match which {
            KeyType::Primary => keys.primary.text.clone(),
            KeyType::Secondary => keys.secondary.text.clone(),
        }
    }

    /// The connection string of a service with these keys, in the emulator's form.
    pub(super) fn connection_string(&self, origin: &str, which: KeyType) -> String {
        // The port is not behind an IPv6 address's colons, nor behind that of the scheme.
        let (endpoint, port) = match origin.rsplit_once(':') {
            Some((endpoint, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (endpoint, port),
            _ => (origin, if origin.starts_with("https") { "443" } else { "80" }),
        };
        if !self.local_auth {
            return format!("Endpoint={endpoint};Port={port};AuthType=azure;Version=1.0;");
        }
        format!("Endpoint={endpoint};Port={port};AccessKey={};Version=1.0;", self.access_key(which).expose())
    }

    /// Whether this is an access key itself, which a request that controls the service has to show.
    pub(super) fn is_access_key(&self, text: &str) -> bool {
        let keys = read(&self.keys);
        let is = |key: &AccessKey| key.text.expose().as_bytes().ct_eq(text.as_bytes());
        (is(&keys.primary) | is(&keys.secondary)).into()
    }

    /// Puts a new random key in the place of one, which is refused from now on.
    pub(super) fn regenerate(&self, which: KeyType, now: u64) -> Result<Secret, getrandom::Error> {
        let key = AccessKey::random()?;
        let text = key.text.clone();
        let mut keys = write(&self.keys);
        match which {
            KeyType::Primary => {
                keys.roots.replace(&text, now);
                keys.primary = key;
            }
            KeyType::Secondary => keys.secondary = key,
        }
        Ok(text)
    }

    /// Makes a temporary key.
    pub(super) fn issue(&self, now: u64) -> Result<IssuedKey, getrandom::Error> {
        read(&self.keys).roots.issue(now)
    }

    /// Signs a token with the primary access key, or, where access keys are refused, with a key of the service's own.
    pub(super) fn sign(&self, claims: &[(&str, &str)], validity: Validity, audience: &str) -> String {
        let keys = read(&self.keys);
        let own = (!self.local_auth).then(|| keys.roots.own_key());
        own.as_ref().unwrap_or(&keys.primary.key).sign(claims.iter().copied(), validity, audience)
    }

    /// What the header `X-ASRS-Signature` says of a connection: an entry for each access key.
    pub(super) fn signature(&self, connection_id: &str) -> Option<String> {
        let keys = read(&self.keys);
        let of = |key: &AccessKey| sign(key.text.expose(), connection_id);
        self.local_auth.then(|| format!("{},{}", of(&keys.primary), of(&keys.secondary)))
    }

    /// Checks a token that one of the keys has signed, and gives its claims. A key id that is not known here does
    /// not matter: official SDKs write one of their own when they sign with an access key.
    pub(super) fn verify(
        &self,
        token: &str,
        now: u64,
        accepts_audience: impl Fn(&str) -> bool,
    ) -> Result<Map<String, Value>, KeyError> {
        use TokenError::{Algorithm, Malformed, Signature};

        let id = verify::key_id(token)?;
        let keys = read(&self.keys);
        if let Some(derived) = id.as_deref().and_then(DerivedId::parse) {
            return match verify_with(keys.roots.keys(&derived, now), token, now, accepts_audience) {
                Err(Signature) => Err(KeyError::KeyNotFound),
                verified => Ok(verified?),
            };
        }
        let access_keys = [&keys.primary, &keys.secondary].map(|key| key.key.clone());
        match verify_with(access_keys, token, now, accepts_audience) {
            // An algorithm of public keys is that of an authority which is not this service's.
            Err(Signature | Algorithm) if id.is_some() => Err(KeyError::KeyNotFound),
            Err(error @ (Malformed | Signature | Algorithm)) => Err(error.into()),
            _ if !self.local_auth => Err(KeyError::LocalAuthDisabled),
            verified => Ok(verified?),
        }
    }
}

/// Checks a token with the first key that has made its signature.
fn verify_with(
    keys: impl IntoIterator<Item = Key>,
    token: &str,
    now: u64,
    accepts_audience: impl Fn(&str) -> bool,
) -> Result<Map<String, Value>, TokenError> {
    keys.into_iter()
        .map(|key| key.verify(token, now, &accepts_audience))
        .find(|verified| !matches!(verified, Err(TokenError::Signature)))
        .unwrap_or(Err(TokenError::Signature))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;
    const DAY: Validity = Validity { issued_at: NOW, expires_at: NOW + 86_400 };
    const NONE: [(&str, &str); 0] = [];

    fn ring(local_auth: bool) -> KeyRing {
        KeyRing::new(Secret::new("static"), Some(Secret::new("second")), local_auth).expect("good keys")
    }

    fn token(key: &str, id: Option<&str>) -> String {
        Key::new(key, id).sign(NONE, DAY, "a")
    }

    fn verified(ring: &KeyRing, token: &str, now: u64) -> Result<(), KeyError> {
        ring.verify(token, now, |a| a == "a").map(|_| ())
    }

    #[test]
    fn temporary_keys_verify_for_ninety_minutes() {
        let issued = ring(true).issue(NOW).expect("random numbers");
        let token = token(issued.text.expose(), Some(&issued.id));
        // Of another service with the same access key, too; whether it takes access keys or not.
        for ring in [ring(true), ring(false)] {
            assert_eq!(verified(&ring, &token, NOW), Ok(()));
            assert_eq!(verified(&ring, &token, NOW + 5399), Ok(()));
            assert_eq!(verified(&ring, &token, NOW + 5400), Err(KeyError::KeyNotFound));
            // It could not have been made yet.
            assert_eq!(verified(&ring, &token, NOW - 1000), Err(KeyError::KeyNotFound));
        }
        let other = KeyRing::new(Secret::new("other"), None, true).expect("good keys");
        assert_eq!(verified(&other, &token, NOW), Err(KeyError::KeyNotFound));
    }

    #[test]
    fn the_id_is_part_of_a_temporary_key() {
        let ring = ring(true);
        let issued = ring.issue(NOW).expect("random numbers");
        let later = issued.id.replace(&(NOW + 5400).to_string(), &(NOW + 5401).to_string());
        assert_ne!(later, issued.id);
        let other = ring.issue(NOW).expect("random numbers");
        assert_ne!(issued.id, other.id);
        for id in [later, other.id, issued.id.to_uppercase()] {
            let token = token(issued.text.expose(), Some(&id));
            assert_eq!(verified(&ring, &token, NOW + 1), Err(KeyError::KeyNotFound), "{id}");
        }
    }

    #[test]
    fn access_keys_need_no_id_and_ignore_a_strange_one() {
        let ring = ring(true);
        for key in ["static", "second"] {
            for id in [None, Some("-1234567"), Some(""), Some("temporary.")] {
                assert_eq!(verified(&ring, &token(key, id), NOW), Ok(()), "{key} {id:?}");
            }
        }
        let verify = |id| verified(&ring, &token("other", id), NOW);
        assert_eq!(verify(None), Err(KeyError::Token(TokenError::Signature)));
        assert_eq!(verify(Some("x")), Err(KeyError::KeyNotFound));
    }

    #[test]
    fn a_key_that_was_replaced_is_refused_and_the_other_is_not() {
        let ring = ring(true);
        let before = ring.issue(NOW).expect("random numbers");
        let new = ring.regenerate(KeyType::Primary, NOW + 60).expect("random numbers");
        assert_eq!(new.expose().len(), 44);
        let signature = TokenError::Signature;
        assert_eq!(verified(&ring, &token("static", None), NOW), Err(KeyError::Token(signature)));
        assert_eq!(verified(&ring, &token("second", None), NOW), Ok(()));
        assert_eq!(verified(&ring, &token(new.expose(), None), NOW), Ok(()));
        // Temporary keys live on, but with the old access key no later ones can be derived.
        let of_before = token(before.text.expose(), Some(&before.id));
        assert_eq!(verified(&ring, &of_before, NOW + 5399), Ok(()));
        let late = self::ring(true).issue(NOW + 61).expect("random numbers");
        let late = token(late.text.expose(), Some(&late.id));
        assert_eq!(verified(&ring, &late, NOW + 61), Err(KeyError::KeyNotFound));
        let after = ring.issue(NOW + 61).expect("random numbers");
        assert_eq!(verified(&ring, &token(after.text.expose(), Some(&after.id)), NOW + 61), Ok(()));

        ring.regenerate(KeyType::Secondary, NOW).expect("random numbers");
        assert_eq!(verified(&ring, &token("second", None), NOW), Err(KeyError::Token(signature)));
        let key = ring.access_key(KeyType::Secondary);
        assert_eq!(verified(&ring, &token(key.expose(), None), NOW), Ok(()));
    }

    #[test]
    fn without_local_authentication_access_keys_are_refused() {
        let ring = ring(false);
        for key in ["static", "second"] {
            assert_eq!(verified(&ring, &token(key, None), NOW), Err(KeyError::LocalAuthDisabled));
        }
        assert_eq!(verified(&ring, &token("other", Some("x")), NOW), Err(KeyError::KeyNotFound));
        assert_eq!(ring.signature("c"), None);
        // What the service signs itself outlives temporary keys.
        let own = ring.sign(&[], DAY, "a");
        assert_eq!(verified(&ring, &own, NOW + 86_399), Ok(()));
        assert_eq!(verified(&self::ring(true), &own, NOW), Ok(()), "it was restarted with other settings");
    }

    #[test]
    fn both_keys_sign_connections() {
        let ring = ring(true);
        let entries = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        let first = entries(&ring.signature("c").expect("local authentication"));
        assert_eq!(first, [sign("static", "c"), sign("second", "c")]);
        ring.regenerate(KeyType::Secondary, NOW).expect("random numbers");
        let then = entries(&ring.signature("c").expect("local authentication"));
        assert_eq!((then[0] == first[0], then[1] == first[1]), (true, false));
    }

    #[test]
    fn keys_do_not_show_themselves() {
        let keys = (Secret::new("hush-1"), Some(Secret::new("hush-2")));
        let ring = KeyRing::new(keys.0, keys.1, true).expect("good keys");
        let issued = ring.issue(NOW).expect("random numbers");
        let shown = format!("{ring:?} {issued:?}");
        for secret in ["hush-1", "hush-2", issued.text.expose()] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
