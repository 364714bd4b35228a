//! Ids and secrets that cannot be guessed.

use std::time::UNIX_EPOCH;

use base64ct::{Base64UrlUnpadded, Encoding};

/// 32 random bytes as a text that can stand in a URL.
pub(crate) fn random_text() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(Base64UrlUnpadded::encode_string(&bytes))
}

/// Random bytes for names that have to differ from all others, and need not be secret: without a source of random numbers,
/// which a system always has, they come from the time and the process.
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if getrandom::fill(&mut bytes).is_err() {
        let time =
            UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos() ^ (u128::from(std::process::id()) << 64);
        bytes.iter_mut().zip(time.to_le_bytes()).for_each(|(byte, other)| *byte = other);
    }
    bytes
}

/// Bytes as text, two digits each.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
