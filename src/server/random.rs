//! Ids and secrets that cannot be guessed.

use base64ct::{Base64UrlUnpadded, Encoding};

/// 32 random bytes as a text that can stand in a URL.
pub(crate) fn random_text() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(Base64UrlUnpadded::encode_string(&bytes))
}
