//! How a server, its connections and its requests are told apart.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::OnceLock;

use crate::server::random::{hexadecimal, random_bytes};

/// A random number.
pub(super) fn random() -> u64 {
    u64::from_le_bytes(random_bytes())
}

/// A random number from 0 to 1.
pub(super) fn fraction() -> f64 {
    random() as f64 / u64::MAX as f64
}

/// A text as a number, another one in every process.
pub(super) fn hash(text: &str) -> u64 {
    static STATE: OnceLock<RandomState> = OnceLock::new();
    STATE.get_or_init(RandomState::new).hash_one(text)
}

/// A random UUID (RFC 9562, version 4), which the service knows an attempt to connect by.
pub(super) fn guid() -> String {
    let mut bytes = random_bytes::<16>();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = hexadecimal(&bytes);
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

/// The name of this process to the service: the machine's, and 32 hexadecimal digits. The same for all hubs.
pub(crate) fn server_id() -> &'static str {
    static ID: OnceLock<String> = OnceLock::new();
    ID.get_or_init(|| format!("{}_{}", machine_name(), hexadecimal(&random_bytes::<16>())))
}

/// The machine's name, as far as a header may have it.
fn machine_name() -> String {
    let named = ["HOSTNAME", "COMPUTERNAME"].iter().find_map(|name| std::env::var(name).ok());
    let name =
        named.or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok()).unwrap_or_default();
    let name: String = name.trim().chars().filter(|c| c.is_ascii_graphic()).take(64).collect();
    if name.is_empty() { "hubwire".to_owned() } else { name }
}

/// What makes server connections: product, version and system, in the form of the official SDK.
pub(super) fn user_agent() -> String {
    let (version, os, architecture) =
        (env!("CARGO_PKG_VERSION"), std::env::consts::OS, std::env::consts::ARCH);
    format!("hubwire/{version} (Rust; {os}; {architecture})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_form_that_the_service_knows() {
        let guid = guid();
        let lengths: Vec<usize> = guid.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(&guid[14..15], "4");
        let (name, digits) = server_id().rsplit_once('_').unwrap();
        assert!(!name.is_empty() && digits.len() == 32, "{name} {digits}");
        assert_eq!(server_id(), server_id());
        assert!((0.0..=1.0).contains(&fraction()));
        assert_eq!(hash("group"), hash("group"));
    }
}
