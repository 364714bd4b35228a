//! Temporary keys. They are derived, not stored: the text of one is a MAC of its id under the primary access key, and the id
//! says when it ends. So app servers can use theirs after the service was restarted with the same access key.

use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{
    server::random::random_text,
    service::{jwt::Key, secret::Secret},
};

/// A temporary key is valid for 90 minutes, as in Azure.
const LIFETIME: u64 = 90 * 60;

/// How far the clock may go back without a loss of keys.
const SKEW: u64 = 300;

/// What the ids of temporary keys begin with. Those that SDKs make up for access keys are numbers.
const PREFIX: &str = "temporary.";

/// The id of the service's own key.
const OWN: &str = "local.service";

/// How many replaced access keys are remembered. Each is for [`LIFETIME`] at most.
const MAX_REPLACED: usize = 16;

/// What sets the keys apart that are derived from one access key.
const LABEL: &[u8] = b"hubwire local service: temporary keys";

/// A temporary key as its user gets it.
#[derive(Debug)]
pub(in crate::local) struct IssuedKey {
    pub(in crate::local) id: String,
    pub(in crate::local) text: Secret,
}

/// The id of a derived key, which has the right form; nothing is verified by that.
#[derive(Debug)]
pub(super) struct DerivedId<'a> {
    text: &'a str,
    /// The service's own key has no end.
    expires_at: Option<u64>,
}

impl<'a> DerivedId<'a> {
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        if text == OWN {
            return Some(Self { text, expires_at: None });
        }
        let (time, random) = text.strip_prefix(PREFIX)?.split_once('.')?;
        let is_url_safe = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if time.len() != 10 || random.len() != 43 || !random.bytes().all(is_url_safe) {
            return None;
        }
        let is_number = time.bytes().all(|byte| byte.is_ascii_digit());
        Some(Self { text, expires_at: Some(time.parse().ok().filter(|_| is_number)?) })
    }
}

/// What temporary keys are derived from: the primary access key, and for a while those that were it before.
#[derive(Debug)]
pub(super) struct Roots {
    current: Root,
    /// With the time of its replacement.
    replaced: Vec<(u64, Root)>,
}

impl Roots {
    pub(super) fn new(access_key: &Secret) -> Self {
        Self { current: Root::new(access_key), replaced: Vec::new() }
    }

    /// Derives from another access key from now on. The keys that were issued live on, so that app servers with Entra do
    /// not notice.
    pub(super) fn replace(&mut self, access_key: &Secret, now: u64) {
        let before = std::mem::replace(&mut self.current, Root::new(access_key));
        self.replaced.retain(|(since, _)| now < since.saturating_add(LIFETIME));
        self.replaced.truncate(MAX_REPLACED - 1);
        self.replaced.insert(0, (now, before));
    }

    pub(super) fn issue(&self, now: u64) -> Result<IssuedKey, getrandom::Error> {
        let id = format!("{PREFIX}{:010}.{}", now.saturating_add(LIFETIME), random_text()?);
        Ok(IssuedKey { text: self.current.derive(&id), id })
    }

    /// What the service signs tokens with that must not be signed with an access key.
    pub(super) fn own_key(&self) -> Key {
        self.current.key(OWN)
    }

    /// The keys of this id, of which one may have signed a token: none if they have ended, or could not have been issued.
    pub(super) fn keys(&self, id: &DerivedId<'_>, now: u64) -> impl Iterator<Item = Key> {
        // A replaced access key must not give new keys to a program that still has it.
        let issued_by = |limit: u64| id.expires_at.is_none_or(|end| end <= limit.saturating_add(LIFETIME));
        let in_force = id.expires_at.is_none_or(|end| now < end) && issued_by(now.saturating_add(SKEW));
        let replaced = self
            .replaced
            .iter()
            .filter(move |(since, _)| issued_by(*since) && now < since.saturating_add(LIFETIME));
        let roots = std::iter::once(&self.current).chain(replaced.map(|(_, root)| root));
        roots.filter(move |_| in_force).map(|root| root.key(id.text))
    }
}

/// A secret that a service with the same access key has again.
pub(in crate::local) fn derived_secret(access_key: &Secret, label: &str) -> Secret {
    let mac = keyed(access_key.expose().as_bytes()).chain_update(label.as_bytes());
    Secret::new(Base64UrlUnpadded::encode_string(&mac.finalize().into_bytes()))
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

struct Root(Hmac<Sha256>);

impl std::fmt::Debug for Root {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Root(…)")
    }
}

impl Root {
    fn new(access_key: &Secret) -> Self {
        Self(keyed(&keyed(access_key.expose().as_bytes()).chain_update(LABEL).finalize().into_bytes()))
    }

    fn derive(&self, id: &str) -> Secret {
        Secret::new(Base64::encode_string(
            &self.0.clone().chain_update(id.as_bytes()).finalize().into_bytes(),
        ))
    }

    fn key(&self, id: &str) -> Key {
        Key::new(self.derive(id).expose(), Some(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_one_form() {
        let random = "a".repeat(43);
        let parsed = |text: &str| DerivedId::parse(text).map(|id| id.expires_at);
        assert_eq!(parsed(&format!("temporary.1700005400.{random}")), Some(Some(1_700_005_400)));
        assert_eq!(parsed(OWN), Some(None));
        for text in [
            "",
            "temporary",
            "temporary.",
            "temporary.1700005400.",
            "-1234567",
            "1700005400",
            &format!("temporary.+700005400.{random}"),
            &format!("temporary.11700005400.{random}"),
            &format!("temporary.1700005400.{random}a"),
            &format!("temporary.1700005400.{}\"", &random[1..]),
            &format!("Temporary.1700005400.{random}"),
        ] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }

    #[test]
    fn few_replaced_keys_are_remembered_and_none_for_long() {
        let mut roots = Roots::new(&Secret::new("first"));
        for now in 0..100 {
            roots.replace(&Secret::new("next"), now);
        }
        assert_eq!(roots.replaced.len(), MAX_REPLACED);
        roots.replace(&Secret::new("last"), 99 + LIFETIME);
        assert_eq!(roots.replaced.len(), 1);
    }
}
