//! JSON Web Tokens with HS256 and HS512, as Azure SignalR Service takes them.
//!
//! A [`Key`] is expanded into its MAC states once and then signs and verifies without keying again. Signing serves
//! client tokens and REST tokens; verifying is what the embedded local service does with them.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Sha256, Sha512};

use crate::{core::token::TokenParts, service::negotiate::options::TokenAlgorithm};

type Object = Map<String, Value>;

#[cfg(any(test, feature = "local"))]
pub(crate) mod verify;

/// A symmetric key, ready to sign. It keeps the expanded states only, not the key's text.
#[derive(Clone)]
pub(crate) struct Key {
    hs256: Hmac<Sha256>,
    hs512: Hmac<Sha512>,
    algorithm: TokenAlgorithm,
    id: Option<String>,
    /// The encoded header with the dot that follows it.
    header: String,
}

/// The header of tokens, in the order of the official SDK.
fn header(algorithm: TokenAlgorithm, id: Option<&str>) -> String {
    let mut header = format!(r#"{{"alg":"{}","typ":"JWT""#, algorithm.name()).into_bytes();
    if let Some(id) = id {
        header.extend_from_slice(br#","kid":"#);
        write_json(&mut header, id);
    }
    header.push(b'}');
    let mut header = BASE64.encode(&header);
    header.push('.');
    header
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

/// Who makes a token, as the official SDK says it since version 1.34: for clients, for its own connections, for the REST API.
const ISSUER: &str = "azure-signalr";

/// When a token is issued and when it ends, in seconds since the Unix epoch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Validity {
    pub(crate) issued_at: u64,
    pub(crate) expires_at: u64,
}

impl Key {
    /// The service takes the UTF-8 bytes of a key's text and never decodes them from base64. Signs with HS256.
    pub(crate) fn new(text: &str, id: Option<&str>) -> Self {
        let (hs256, hs512) = (Hmac::new_from_slice(text.as_bytes()), Hmac::new_from_slice(text.as_bytes()));
        let any_length = "HMAC takes keys of any length";
        let algorithm = TokenAlgorithm::Hs256;
        Self {
            hs256: hs256.expect(any_length),
            hs512: hs512.expect(any_length),
            algorithm,
            header: header(algorithm, id),
            id: id.map(str::to_owned),
        }
    }

    /// The same key, which signs with this.
    pub(crate) fn algorithm(self, algorithm: TokenAlgorithm) -> Self {
        Self { algorithm, header: header(algorithm, self.id.as_deref()), ..self }
    }

    /// Signs a token: the given claims in their order, then `nbf`, `exp`, `iat`, `iss` and `aud`, as the official SDK
    /// orders them. The caller keeps names from occurring twice.
    pub(crate) fn sign<K, V>(
        &self,
        claims: impl IntoIterator<Item = (K, V)>,
        validity: Validity,
        audience: &str,
    ) -> String
    where
        K: AsRef<str>,
        V: Serialize,
    {
        let payload = payload(ISSUER, claims, validity, audience);

        // Room for the payload in base64, and the signature, of up to 86 characters, behind its dot.
        let mut token = String::with_capacity(self.header.len() + payload.len().div_ceil(3) * 4 + 87);
        token.push_str(&self.header);
        BASE64.encode_string(&payload, &mut token);
        match self.algorithm {
            TokenAlgorithm::Hs256 => append_signature(&mut token, self.hs256.clone()),
            TokenAlgorithm::Hs512 => append_signature(&mut token, self.hs512.clone()),
        }
        token
    }
}

/// The payload of a token: the given claims in their order, then `nbf`, `exp`, `iat`, `iss` and `aud`.
pub(crate) fn payload<K, V>(
    issuer: &str,
    claims: impl IntoIterator<Item = (K, V)>,
    validity: Validity,
    audience: &str,
) -> Vec<u8>
where
    K: AsRef<str>,
    V: Serialize,
{
    let mut payload = Vec::with_capacity(256);
    payload.push(b'{');
    for (name, value) in claims {
        write_json(&mut payload, name.as_ref());
        payload.push(b':');
        write_json(&mut payload, &value);
        payload.push(b',');
    }
    let Validity { issued_at, expires_at } = validity;
    let times = format!(r#""nbf":{issued_at},"exp":{expires_at},"iat":{issued_at},"iss":"#);
    payload.extend_from_slice(times.as_bytes());
    write_json(&mut payload, issuer);
    payload.extend_from_slice(br#","aud":"#);
    write_json(&mut payload, audience);
    payload.push(b'}');
    payload
}

/// A signing key for the benchmarks, which measure the signature alone.
#[cfg(feature = "unstable-machines")]
#[derive(Debug)]
pub struct SigningKey(Key);

#[cfg(feature = "unstable-machines")]
impl SigningKey {
    /// Of an access key.
    #[must_use]
    pub fn new(key: &str) -> Self {
        Self(Key::new(key, None))
    }

    /// A token that is issued at this second, and lives for an hour.
    #[must_use]
    pub fn sign(&self, claims: &[(&str, &str)], issued_at: u64, audience: &str) -> String {
        let validity = Validity { issued_at, expires_at: issued_at + 3600 };
        self.0.sign(claims.iter().copied(), validity, audience)
    }
}

fn append_signature(token: &mut String, mac: impl Mac) {
    let signature = mac.chain_update(token.as_bytes()).finalize().into_bytes();
    token.push('.');
    BASE64.encode_string(signature, token);
}

/// More than any HTTP server takes as one header; nothing longer is looked at.
const MAX_TOKEN_LENGTH: usize = 16 * 1024;

/// A token that is taken apart. Nothing is verified yet.
pub(crate) struct Token<'a> {
    /// What the signature covers.
    pub(crate) signed: &'a str,
    pub(crate) header: Object,
    pub(crate) claims: Object,
    pub(crate) signature: Vec<u8>,
}

impl<'a> Token<'a> {
    /// Takes a token apart. `None` when the text is not a JSON Web Token, is too long, or has a `crit` in its header: that
    /// names extensions which have to be understood, and none is (RFC 7515, section 4.1.11).
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        if text.len() > MAX_TOKEN_LENGTH {
            return None;
        }
        let TokenParts { signed, header, claims, signature } = TokenParts::split(text).ok()?;
        let object = |part: &str| serde_json::from_slice(&TokenParts::decode(part)?).ok();
        let (header, claims): (Object, Object) = (object(header)?, object(claims)?);
        if header.contains_key("crit") {
            return None;
        }
        Some(Self { signed, header, claims, signature: TokenParts::decode(signature)? })
    }

    /// A text in the header, such as `alg` or `kid`.
    pub(crate) fn header_text(&self, name: &str) -> Option<&str> {
        self.header.get(name).and_then(Value::as_str)
    }
}

fn write_json<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    let start = out.len();
    if serde_json::to_writer(&mut *out, value).is_err() {
        // Texts and lists of texts always serialize; anything else becomes null rather than broken JSON.
        out.truncate(start);
        out.extend_from_slice(b"null");
    }
}

#[cfg(test)]
mod tests {
    use super::{
        verify::{TokenError, key_id},
        *,
    };

    const NOW: u64 = 1_700_000_000;
    const HOUR: Validity = Validity { issued_at: NOW, expires_at: NOW + 3600 };
    const AUDIENCE: &str = "https://h/client/?hub=chat";
    const NONE: [(&str, &str); 0] = [];

    fn claims() -> Vec<(&'static str, Value)> {
        vec![("asrs.s.uid", "a\"b\\ü\u{1}".into()), ("role", serde_json::json!(["a", "b"]))]
    }

    fn parts(token: &str) -> (String, String) {
        let text =
            |part| BASE64.decode(part).ok().and_then(|b| String::from_utf8(b).ok()).unwrap_or_default();
        let mut parts = token.split('.').map(text);
        (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
    }

    #[test]
    fn header_and_payload_have_the_order_of_the_official_sdk() {
        let (header, payload) = parts(&Key::new("k", Some("id\"1")).sign(claims(), HOUR, AUDIENCE));
        assert_eq!(header, r#"{"alg":"HS256","typ":"JWT","kid":"id\"1"}"#);
        let expected = concat!(
            r#"{"asrs.s.uid":"a\"b\\ü\u0001","role":["a","b"],"nbf":1700000000,"exp":1700003600,"#,
            r#""iat":1700000000,"iss":"azure-signalr","aud":"https://h/client/?hub=chat"}"#
        );
        assert_eq!(payload, expected);
        assert_eq!(parts(&Key::new("k", None).sign(NONE, HOUR, "x")).0, r#"{"alg":"HS256","typ":"JWT"}"#);
    }

    #[test]
    fn jsonwebtoken_agrees_with_what_is_signed() {
        // Keys below, at and above the block size of SHA-256, and a payload of every remainder of three.
        for key_length in [1, 32, 64, 65, 200] {
            for length in [0, 1, 2, 3, 767, 768, 769, 2000] {
                let key = "k".repeat(key_length);
                let value = "x".repeat(length);
                let token = Key::new(&key, Some("kid")).sign([("v", &value)], HOUR, AUDIENCE);
                let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
                validation.set_audience(&[AUDIENCE]);
                validation.validate_exp = false;
                let decoded = jsonwebtoken::decode::<Value>(
                    &token,
                    &jsonwebtoken::DecodingKey::from_secret(key.as_bytes()),
                    &validation,
                );
                let decoded = decoded.map(|d| (d.header.kid, d.claims["v"].clone()));
                assert_eq!(decoded.ok(), Some((Some("kid".to_owned()), Value::from(value))));
            }
        }
    }

    #[test]
    fn what_jsonwebtoken_signs_is_verified() {
        let key = Key::new("secret", None);
        let sign = |claims: Value, algorithm| {
            let header =
                jsonwebtoken::Header { kid: Some("k1".into()), ..jsonwebtoken::Header::new(algorithm) };
            jsonwebtoken::encode(&header, &claims, &jsonwebtoken::EncodingKey::from_secret(b"secret"))
                .expect("jsonwebtoken signs")
        };
        let hs256 = |claims| sign(claims, jsonwebtoken::Algorithm::HS256);
        let verify = |token: &str| key.verify(token, NOW, |a| a == AUDIENCE);

        let good =
            hs256(serde_json::json!({"exp": NOW + 1, "nbf": NOW + 300, "aud": ["other", AUDIENCE], "x": 1}));
        assert_eq!(verify(&good).map(|c| c.get("x").cloned()), Ok(Some(1.into())));
        assert_eq!(key_id(&good), Ok(Some("k1".to_owned())));

        for (claims, error) in [
            (serde_json::json!({"exp": NOW, "aud": AUDIENCE}), TokenError::Expired),
            (
                serde_json::json!({"exp": NOW + 900, "nbf": NOW + 301, "aud": AUDIENCE}),
                TokenError::NotYetValid,
            ),
            (serde_json::json!({"aud": AUDIENCE}), TokenError::NoExpiry),
            (serde_json::json!({"exp": "soon", "aud": AUDIENCE}), TokenError::Malformed),
            (serde_json::json!({"exp": NOW + 9, "aud": "other"}), TokenError::Audience),
            (serde_json::json!({"exp": NOW + 9}), TokenError::Audience),
        ] {
            assert_eq!(verify(&hs256(claims)), Err(error));
        }
        let claims = serde_json::json!({"exp": NOW + 9, "aud": AUDIENCE});
        assert!(verify(&sign(claims.clone(), jsonwebtoken::Algorithm::HS512)).is_ok());
        assert_eq!(verify(&sign(claims, jsonwebtoken::Algorithm::HS384)), Err(TokenError::Algorithm));
    }

    #[test]
    fn jsonwebtoken_agrees_with_hs512() {
        let key = Key::new("secret", Some("kid")).algorithm(TokenAlgorithm::Hs512);
        let token = key.sign([("v", "x")], HOUR, AUDIENCE);
        let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS512);
        validation.set_audience(&[AUDIENCE]);
        validation.validate_exp = false;
        let secret = jsonwebtoken::DecodingKey::from_secret(b"secret");
        let decoded = jsonwebtoken::decode::<Value>(&token, &secret, &validation).map(|d| d.header.kid);
        assert_eq!(decoded.ok(), Some(Some("kid".to_owned())));
    }

    /// RFC 7515: a recipient that does not understand an extension that is named as critical has to refuse the token.
    #[test]
    fn tokens_with_critical_extensions_are_refused() {
        let key = Key::new("secret", None);
        let header = BASE64.encode(br#"{"alg":"HS256","crit":["b64"],"b64":true}"#);
        let token = key.sign(NONE, HOUR, AUDIENCE);
        let payload = token.split('.').nth(1).expect("three parts");
        let mut token = format!("{header}.{payload}");
        append_signature(&mut token, key.hs256.clone());
        assert_eq!(key.verify(&token, NOW, |_| true), Err(TokenError::Malformed));
    }

    #[test]
    fn changed_and_malformed_tokens_are_refused() {
        let key = Key::new("secret", None);
        let token = key.sign([("role", "user")], HOUR, AUDIENCE);
        assert!(key.verify(&token, NOW, |_| true).is_ok());
        assert_eq!(Key::new("other", None).verify(&token, NOW, |_| true), Err(TokenError::Signature));

        let forged = Key::new("other", None).sign([("role", "admin")], HOUR, AUDIENCE);
        let (forged, _) = forged.rsplit_once('.').expect("three parts");
        let (_, signature) = token.rsplit_once('.').expect("three parts");
        let refused = key.verify(&format!("{forged}.{signature}"), NOW, |_| true);
        assert_eq!(refused, Err(TokenError::Signature));

        let none = BASE64.encode(br#"{"alg":"none"}"#);
        let payload = token.split('.').nth(1).expect("three parts");
        assert_eq!(key.verify(&format!("{none}.{payload}."), NOW, |_| true), Err(TokenError::Algorithm));

        for text in
            ["", ".", "..", "a.b.c", "a.b.c.d", &token[1..], &format!("{token}="), &"a".repeat(20_000)]
        {
            assert!(key.verify(text, NOW, |_| true).is_err(), "{text}");
        }
    }

    #[test]
    fn the_key_does_not_show_itself() {
        assert_eq!(format!("{:?}", Key::new("secret", Some("id"))), "Key(…)");
    }
}
