//! `X-ASRS-Signature: sha256=<hex>[,sha256=<hex>]`: one HMAC of the connection id for each access key of the service.

use std::sync::{Arc, RwLock};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{
    lock::{read, write},
    service::credentials::{access_key::AccessKey, error::InvalidCredential},
};

/// The service has two access keys.
const MAX_ENTRIES: usize = 16;

/// The access keys that sign upstream requests, for [`UpstreamRouter::access_keys`]. All clones share the keys, and they
/// can be replaced while routers serve: a resource has a primary and a secondary key, so that one can be rotated while the
/// other is in use.
///
/// [`UpstreamRouter::access_keys`]: crate::service::upstream::UpstreamRouter::access_keys
///
/// ```
/// use hubwire::service::{credentials::AccessKey, upstream::{UpstreamKeys, UpstreamRouter}};
///
/// # fn example([primary, secondary, new]: [String; 3]) -> Result<(), hubwire::service::credentials::InvalidCredential> {
/// let keys = UpstreamKeys::new([AccessKey::new(primary.clone()), AccessKey::new(secondary)])?;
/// let upstream = UpstreamRouter::new().access_keys(&keys);
/// // Later, when the secondary key has been regenerated:
/// keys.replace([AccessKey::new(primary), AccessKey::new(new)])?;
/// # Ok(())
/// # }
/// # example(["1", "2", "3"].map(|key| key.to_owned())).unwrap();
/// ```
#[derive(Clone, Debug, Default)]
pub struct UpstreamKeys(Arc<RwLock<Signatures>>);

impl UpstreamKeys {
    /// These keys. With none, no request is accepted.
    ///
    /// # Errors
    /// [`InvalidCredential::Part`] when a key is empty: anyone could sign with it.
    pub fn new(keys: impl IntoIterator<Item = AccessKey>) -> Result<Self, InvalidCredential> {
        let shared = Self::default();
        shared.replace(keys)?;
        Ok(shared)
    }

    /// Takes these keys in place of the present ones, from the next request on.
    ///
    /// # Errors
    /// [`InvalidCredential::Part`] when a key is empty: anyone could sign with it. Then the present ones stay.
    pub fn replace(&self, keys: impl IntoIterator<Item = AccessKey>) -> Result<(), InvalidCredential> {
        let mut signatures = Signatures::default();
        keys.into_iter().try_for_each(|key| signatures.add(&key))?;
        *write(&self.0) = signatures;
        Ok(())
    }

    pub(crate) fn accept(&self, connection_id: &str, header: &str) -> bool {
        read(&self.0).accept(connection_id, header)
    }
}

#[derive(Clone, Default)]
pub(super) struct Signatures(Vec<Hmac<Sha256>>);

impl std::fmt::Debug for Signatures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signatures({})", self.0.len())
    }
}

impl Signatures {
    /// Anyone could sign with an empty key.
    pub(super) fn add(&mut self, key: &AccessKey) -> Result<(), InvalidCredential> {
        if key.secret().is_empty() {
            return Err(InvalidCredential::Part { what: "access key" });
        }
        self.0.push(keyed(key.secret()));
        Ok(())
    }

    /// Whether one of the entries is the connection id's under one of the keys. The documentation leaves the prefix
    /// out, the service writes it. Every entry is compared with every key, in constant time.
    pub(super) fn accept(&self, connection_id: &str, header: &str) -> bool {
        header
            .split(',')
            .take(MAX_ENTRIES)
            .filter_map(|entry| {
                let hex = match entry.get(..7) {
                    Some(prefix) if prefix.eq_ignore_ascii_case("sha256=") => entry.get(7..)?,
                    _ => entry,
                };
                decode_hex(hex)
            })
            .fold(false, |accepted, signature| {
                self.0.iter().fold(accepted, |accepted, key| {
                    let mac = key.clone().chain_update(connection_id.as_bytes());
                    mac.verify_slice(&signature).is_ok() | accepted
                })
            })
    }
}

/// The entry of a header that a key makes.
#[cfg(feature = "local")]
pub(crate) fn sign(key: &str, connection_id: &str) -> String {
    let mac = keyed(key).chain_update(connection_id.as_bytes()).finalize().into_bytes();
    mac.iter().fold("sha256=".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

fn keyed(key: &str) -> Hmac<Sha256> {
    Hmac::new_from_slice(key.as_bytes()).expect("HMAC takes keys of any length")
}

fn decode_hex(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut bytes = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?;
    }
    Some(bytes)
}
