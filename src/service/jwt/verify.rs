//! Verifying tokens: what the service does with those that [`sign`](Key::sign) makes.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use hmac::Mac;
use serde_json::{Map, Value};

use super::{Key, MAX_TOKEN_LENGTH};

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("the token is no JSON Web Token")]
    Malformed,
    #[error("the token is not signed with HS256")]
    Algorithm,
    #[error("the signature of the token is wrong")]
    Signature,
    #[error("the token has no expiry")]
    NoExpiry,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    NotYetValid,
    #[error("the token is meant for another audience")]
    Audience,
}

impl Key {
    /// Checks a token's signature (in constant time), times and audience, in this order, and gives its claims.
    /// `now` is in seconds since the Unix epoch. `aud` may be a text or a list; one accepted entry is enough.
    pub(crate) fn verify(
        &self,
        token: &str,
        now: u64,
        accepts_audience: impl Fn(&str) -> bool,
    ) -> Result<Map<String, Value>, TokenError> {
        let (signed, header, payload, signature) = split(token)?;
        if decode_object(header)?.get("alg").and_then(Value::as_str) != Some("HS256") {
            return Err(TokenError::Algorithm);
        }
        let signature = BASE64.decode(signature).map_err(|_| TokenError::Malformed)?;
        self.mac
            .clone()
            .chain_update(signed.as_bytes())
            .verify_slice(&signature)
            .map_err(|_| TokenError::Signature)?;
        let claims = decode_object(payload)?;
        let time = |name: &str| claims.get(name).map(|v| v.as_f64().ok_or(TokenError::Malformed)).transpose();
        let now = now as f64;
        if now >= time("exp")?.ok_or(TokenError::NoExpiry)? {
            return Err(TokenError::Expired);
        }
        if time("nbf")?.is_some_and(|not_before| now < not_before) {
            return Err(TokenError::NotYetValid);
        }
        let accepted = match claims.get("aud") {
            Some(Value::String(audience)) => accepts_audience(audience),
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).any(accepts_audience),
            _ => false,
        };
        if accepted { Ok(claims) } else { Err(TokenError::Audience) }
    }
}

/// The `kid` of a token's header, to find the key that has to verify it. Nothing is verified yet.
pub(crate) fn key_id(token: &str) -> Result<Option<String>, TokenError> {
    let (_, header, ..) = split(token)?;
    Ok(decode_object(header)?.get("kid").and_then(Value::as_str).map(str::to_owned))
}

/// The signed part, the header, the payload and the signature of a token.
pub(crate) fn split(token: &str) -> Result<(&str, &str, &str, &str), TokenError> {
    if token.len() > MAX_TOKEN_LENGTH {
        return Err(TokenError::Malformed);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
    let (header, payload) = signed.split_once('.').ok_or(TokenError::Malformed)?;
    if payload.contains('.') {
        return Err(TokenError::Malformed);
    }
    Ok((signed, header, payload, signature))
}

/// A header or a payload.
pub(crate) fn decode_object(part: &str) -> Result<Map<String, Value>, TokenError> {
    let bytes = BASE64.decode(part).map_err(|_| TokenError::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| TokenError::Malformed)
}
