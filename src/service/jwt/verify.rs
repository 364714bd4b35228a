//! Verifying tokens: what the service does with those that [`sign`](Key::sign) makes.

use hmac::Mac;
use serde_json::{Map, Value};

use crate::service::jwt::{Key, Token};

/// How far the clock of who signs may be ahead, as .NET and Entra have it. The official SDK writes `nbf`, and says that the
/// service does not look at it. An expiry is taken at its word, so that tests of it need not wait.
const SKEW: u64 = 300;

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("the token is not a JSON Web Token, or has extensions that are not known here")]
    Malformed,
    #[error("the token is signed with neither HS256 nor HS512")]
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
    /// `now` is in seconds since the Unix epoch.
    pub(crate) fn verify(
        &self,
        token: &str,
        now: u64,
        accepts_audience: impl Fn(&str) -> bool,
    ) -> Result<Map<String, Value>, TokenError> {
        let token = Token::parse(token).ok_or(TokenError::Malformed)?;
        self.verify_signature(&token)?;
        check_claims(&token.claims, now, accepts_audience)?;
        Ok(token.claims)
    }

    /// Checks a token's signature alone, in constant time.
    pub(crate) fn verify_signature(&self, token: &Token<'_>) -> Result<(), TokenError> {
        let (signed, signature) = (token.signed.as_bytes(), &token.signature);
        let verified = match token.header_text("alg") {
            Some("HS256") => self.hs256.clone().chain_update(signed).verify_slice(signature),
            Some("HS512") => self.hs512.clone().chain_update(signed).verify_slice(signature),
            _ => return Err(TokenError::Algorithm),
        };
        verified.map_err(|_| TokenError::Signature)
    }
}

/// Checks a token's times and audience. `aud` may be a text or a list; one accepted entry is enough.
pub(crate) fn check_claims(
    claims: &Map<String, Value>,
    now: u64,
    accepts_audience: impl Fn(&str) -> bool,
) -> Result<(), TokenError> {
    let time = |name: &str| claims.get(name).map(|v| v.as_f64().ok_or(TokenError::Malformed)).transpose();
    if now as f64 >= time("exp")?.ok_or(TokenError::NoExpiry)? {
        return Err(TokenError::Expired);
    }
    if time("nbf")?.is_some_and(|not_before| (now.saturating_add(SKEW) as f64) < not_before) {
        return Err(TokenError::NotYetValid);
    }
    let accepted = match claims.get("aud") {
        Some(Value::String(audience)) => accepts_audience(audience),
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).any(accepts_audience),
        _ => false,
    };
    if accepted { Ok(()) } else { Err(TokenError::Audience) }
}

/// The `kid` of a token's header, to find the key that has to verify it. Nothing is verified yet.
pub(crate) fn key_id(token: &str) -> Result<Option<String>, TokenError> {
    let token = Token::parse(token).ok_or(TokenError::Malformed)?;
    Ok(token.header_text("kid").map(str::to_owned))
}
