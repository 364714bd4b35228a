//! A look into a client token: the JWT that opens a connection to Azure SignalR Service or to a hub.
//!
//! Nothing here is verified: a client has no key to verify with. It is for showing a user who they are, for
//! renewing a token before it expires, and for finding out why one was rejected.

#[cfg(all(native, feature = "service"))]
pub(crate) mod claims;
mod reading;

pub use self::reading::{SERVICE_LIMIT, TokenExpectation, TokenProblem, TokenPurpose, claim_meaning};

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use crate::core::ProtocolError;
use crate::core::ascii::{split_at_byte, split_once};
use crate::core::json::reader::{Reader, as_integer, as_string};

/// The longest token that is looked at, in bytes. Azure SignalR Service itself takes 4 096.
pub const LIMIT: usize = 64 * 1024;

/// The claims that can carry the user id, in the order in which Azure SignalR Service looks for it.
pub const USER_ID_CLAIMS: [&str; 3] = ["asrs.s.uid", "nameid", "sub"];

/// A token as it goes over the wire. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken(String);

impl AccessToken {
    /// The text itself, for an `Authorization` header or a query.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl From<String> for AccessToken {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for AccessToken {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(..)")
    }
}

/// The parts of a JWT that are not its signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenPart {
    /// The first part: algorithm and key id.
    Header,
    /// The second part: the claims.
    Claims,
}

impl fmt::Display for TokenPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Claims => "claims",
        })
    }
}

/// Why a text is not a client token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It is longer than [`LIMIT`].
    #[error("the token has {length} bytes; tokens of more than {LIMIT} are not read")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// A signed JWT has three parts, separated by dots. An opaque token has none, an encrypted one five.
    #[error("the token has {parts} parts; a signed JWT has three, separated by dots")]
    Parts {
        /// How many it has.
        parts: usize,
    },
    /// A part is not base64url (RFC 7515 has no padding).
    #[error("the token's {0} is not base64url without padding")]
    Base64(TokenPart),
    /// A part does not decode to UTF-8.
    #[error("the token's {0} is not UTF-8")]
    Utf8(TokenPart),
    /// A part does not decode to a JSON object.
    #[error("the token's {part} is not a JSON object")]
    Json {
        /// Which part.
        part: TokenPart,
        /// What is wrong with the JSON.
        source: ProtocolError,
    },
    /// A registered claim has a value of the wrong kind.
    #[error("the token's claim `{0}` is of the wrong kind")]
    Claim(&'static str),
}

/// The parts of a signed JWT (RFC 7515, compact serialization), still encoded. Nothing is verified.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenParts<'a> {
    /// What the signature covers: header and claims, with the dot between them.
    pub signed: &'a str,
    /// Algorithm and key id.
    pub header: &'a str,
    /// The claims.
    pub claims: &'a str,
    /// The signature.
    pub signature: &'a str,
}

impl<'a> TokenParts<'a> {
    /// Splits a token at its dots.
    ///
    /// # Errors
    /// [`TokenError::Parts`] unless it has exactly three parts.
    pub fn split(token: &'a str) -> Result<Self, TokenError> {
        let parts = 1 + token.bytes().filter(|byte| *byte == b'.').count();
        let (header, rest) = split_once(token, b'.').unwrap_or_default();
        let (claims, signature) = split_once(rest, b'.').unwrap_or_default();
        if parts != 3 {
            return Err(TokenError::Parts { parts });
        }
        let signed = token.get(..header.len() + 1 + claims.len()).unwrap_or_default();
        Ok(Self { signed, header, claims, signature })
    }

    /// Decodes a part: base64url without padding (RFC 7515).
    #[must_use]
    pub fn decode(part: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(part.len() / 4 * 3 + 2);
        let (mut bits, mut count) = (0_u32, 0);
        for byte in part.bytes() {
            let digit = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'-' => 62,
                b'_' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(digit);
            count += 6;
            if count >= 8 {
                count -= 8;
                bytes.push((bits >> count) as u8);
            }
        }
        // A digit too many, or bits that should be zero: nobody encodes like that.
        let left = bits & ((1 << count) - 1);
        (count < 6 && left == 0).then_some(bytes)
    }
}

/// A token is a secret.
impl fmt::Debug for TokenParts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenParts(..)")
    }
}

/// An unverified view of a client token.
///
/// ```
/// use hubwire::core::token::ClientToken;
///
/// // {"alg":"HS256","typ":"JWT"} . {"aud":"https://x.service.signalr.net/client/?hub=chat","exp":1767225600,"nameid":"alice"}
/// let token = ClientToken::parse(concat!(
///     "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.",
///     "eyJhdWQiOiJodHRwczovL3guc2VydmljZS5zaWduYWxyLm5ldC9jbGllbnQvP2h1Yj1jaGF0IiwiZXhwIjoxNzY3MjI1NjAwLCJuYW1laWQiOiJhbGljZSJ9.",
///     "c2lnbmF0dXJl",
/// ))?;
/// assert_eq!(token.hub().as_deref(), Some("chat"));
/// assert_eq!(token.user_id().as_deref(), Some("alice"));
/// assert!(token.is_expired(1_767_225_600, std::time::Duration::ZERO));
/// # Ok::<(), hubwire::core::token::TokenError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ClientToken {
    length: usize,
    header: Object,
    claims: Object,
    expires_at: Option<i64>,
    issued_at: Option<i64>,
    not_before: Option<i64>,
}

/// A token as it stands in a header or is pasted: without `Bearer ` and the blanks around it.
pub(crate) fn without_scheme(text: &str) -> &str {
    let text = text.trim_ascii();
    text.strip_prefix("Bearer ").unwrap_or(text).trim_ascii()
}

/// The members of a JSON object, in order; values as JSON text.
type Object = Vec<(String, String)>;

impl ClientToken {
    /// Reads a token, with or without `Bearer ` before it.
    ///
    /// # Errors
    /// A [`TokenError`] for each way in which a text can fail to be one.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let text = without_scheme(text);
        if text.len() > LIMIT {
            return Err(TokenError::TooLong { length: text.len() });
        }
        let parts = TokenParts::split(text)?;
        let header = decode(TokenPart::Header, parts.header)?;
        let claims = decode(TokenPart::Claims, parts.claims)?;
        let date = |name| numeric_date(&claims, name);
        Ok(Self {
            expires_at: date("exp")?,
            issued_at: date("iat")?,
            not_before: date("nbf")?,
            length: text.len(),
            header,
            claims,
        })
    }

    /// How long the token is, in characters.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }

    /// The names in its header, in order.
    pub fn header_names(&self) -> impl Iterator<Item = &str> {
        self.header.iter().map(|(name, _)| name.as_str())
    }

    /// What its header has under a name, as JSON text; of duplicates the last one.
    #[must_use]
    pub fn header_value(&self, name: &str) -> Option<&str> {
        member(&self.header, name)
    }

    /// The signature algorithm (`alg`), such as `HS256`.
    #[must_use]
    pub fn algorithm(&self) -> Option<Cow<'_, str>> {
        text(&self.header, "alg")
    }

    /// The key's id (`kid`). Tokens signed with a temporary key of Azure SignalR Service carry it.
    #[must_use]
    pub fn key_id(&self) -> Option<Cow<'_, str>> {
        text(&self.header, "kid")
    }

    /// The audience (`aud`) that the token is for; the first, if it names several.
    #[must_use]
    pub fn audience(&self) -> Option<Cow<'_, str>> {
        self.audiences().into_iter().next()
    }

    /// All audiences that the token is for.
    #[must_use]
    pub fn audiences(&self) -> Vec<Cow<'_, str>> {
        texts(&self.claims, "aud")
    }

    /// The hub that the audience of an Azure SignalR Service token names.
    #[must_use]
    pub fn hub(&self) -> Option<String> {
        let audience = self.audience()?;
        let (_, mut rest) = split_at_byte(&audience, b'?');
        while let Some(query) = rest.get(1..) {
            let pair;
            (pair, rest) = split_at_byte(query, b'&');
            if let Some(hub) = pair.strip_prefix("hub=") {
                return Some(hub.to_owned());
            }
        }
        None
    }

    /// When it expires (`exp`), in seconds since 1970.
    #[must_use]
    pub fn expires_at(&self) -> Option<i64> {
        self.expires_at
    }

    /// When it was issued (`iat`), in seconds since 1970.
    #[must_use]
    pub fn issued_at(&self) -> Option<i64> {
        self.issued_at
    }

    /// From when on it is valid (`nbf`), in seconds since 1970.
    #[must_use]
    pub fn not_before(&self) -> Option<i64> {
        self.not_before
    }

    /// The user id, found as Azure SignalR Service does: see [`USER_ID_CLAIMS`]. Of several values the first counts.
    #[must_use]
    pub fn user_id(&self) -> Option<Cow<'_, str>> {
        USER_ID_CLAIMS.into_iter().find_map(|name| texts(&self.claims, name).into_iter().next())
    }

    /// The roles: every value of `role` and `roles`.
    #[must_use]
    pub fn roles(&self) -> Vec<Cow<'_, str>> {
        let mut roles = texts(&self.claims, "role");
        roles.extend(texts(&self.claims, "roles"));
        roles
    }

    /// The names of all claims, in order.
    pub fn claim_names(&self) -> impl Iterator<Item = &str> {
        self.claims.iter().map(|(name, _)| name.as_str())
    }

    /// Any claim, as JSON text; of duplicates the last one.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&str> {
        member(&self.claims, name)
    }

    /// How long it is still valid; zero once it has expired, `None` if it never does. `now` is in seconds since
    /// 1970.
    #[must_use]
    pub fn expires_in(&self, now: i64) -> Option<Duration> {
        let left = self.expires_at?.saturating_sub(now);
        Some(Duration::from_secs(u64::try_from(left).unwrap_or(0)))
    }

    /// Whether it has expired by this clock, in seconds since 1970, or will within `leeway`.
    #[must_use]
    pub fn is_expired(&self, now: i64, leeway: Duration) -> bool {
        self.expires_in(now).is_some_and(|left| left <= leeway)
    }
}

/// Claims may be personal, so only their names are shown.
impl fmt::Debug for ClientToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientToken")
            .field("claims", &self.claim_names().collect::<Vec<_>>())
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

fn decode(part: TokenPart, encoded: &str) -> Result<Object, TokenError> {
    let bytes = TokenParts::decode(encoded).ok_or(TokenError::Base64(part))?;
    let json = String::from_utf8(bytes).map_err(|_| TokenError::Utf8(part))?;
    let mut members = Vec::new();
    let mut reader = Reader::new(&json);
    reader
        .object(|name, value| {
            members.push((name.to_owned(), value.to_owned()));
            Ok(())
        })
        .and_then(|()| reader.end())
        .map_err(|source| TokenError::Json { part, source })?;
    Ok(members)
}

fn member<'a>(object: &'a Object, name: &str) -> Option<&'a str> {
    object.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn text<'a>(object: &'a Object, name: &str) -> Option<Cow<'a, str>> {
    as_string(member(object, name)?).ok()?
}

/// A claim that may be one text or a list of them.
fn texts<'a>(object: &'a Object, name: &str) -> Vec<Cow<'a, str>> {
    let Some(value) = member(object, name) else { return Vec::new() };
    let mut all = Vec::new();
    if value.starts_with('[') {
        // The value was checked when the token was read.
        let _ = Reader::new(value).array(&mut |item| {
            all.extend(as_string(item)?);
            Ok(())
        });
    } else {
        all.extend(as_string(value).ok().flatten());
    }
    all
}

/// A NumericDate (RFC 7519): seconds since 1970, possibly with a fraction, which is cut off.
fn numeric_date(claims: &Object, name: &'static str) -> Result<Option<i64>, TokenError> {
    let Some(value) = member(claims, name) else { return Ok(None) };
    let (whole, _fraction) = split_at_byte(value, b'.');
    let has_exponent = value.bytes().any(|byte| matches!(byte, b'e' | b'E'));
    as_integer(whole).filter(|_| !has_exponent).map(Some).ok_or(TokenError::Claim(name))
}

#[cfg(test)]
mod tests {
    use base64ct::{Base64UrlUnpadded, Encoding as _};

    use super::*;

    fn token(header: &str, claims: &str) -> Result<ClientToken, TokenError> {
        let encode = |text: &str| Base64UrlUnpadded::encode_string(text.as_bytes());
        ClientToken::parse(&format!("{}.{}.c2ln", encode(header), encode(claims)))
    }

    #[test]
    fn every_property() {
        let claims = r#"{"nbf":10.9,"exp":100,"iat":10,"aud":["https://a/client/?x=1&hub=chat","b"],
            "sub":["first","second"],"role":"reader","roles":["writer",7],"n":{"a":[1]}}"#;
        let token = token(r#"{"alg":"HS256","typ":"JWT","kid":"key-1"}"#, claims).unwrap();
        assert_eq!(token.algorithm().as_deref(), Some("HS256"));
        assert_eq!(token.key_id().as_deref(), Some("key-1"));
        assert_eq!(token.hub().as_deref(), Some("chat"));
        assert_eq!(
            (token.expires_at(), token.issued_at(), token.not_before()),
            (Some(100), Some(10), Some(10))
        );
        assert_eq!(token.user_id().as_deref(), Some("first"));
        assert_eq!(token.roles(), ["reader", "writer"]);
        assert_eq!(token.claim("n"), Some(r#"{"a":[1]}"#));
        assert_eq!(token.expires_in(40), Some(Duration::from_secs(60)));
        assert_eq!(token.expires_in(400), Some(Duration::ZERO));
        assert!(!token.is_expired(40, Duration::from_secs(59)));
        assert!(token.is_expired(40, Duration::from_secs(60)));
    }

    #[test]
    fn the_users_id_by_the_services_rule() {
        for (claims, id) in [
            (r#"{"sub":"c","nameid":"b","asrs.s.uid":"a"}"#, Some("a")),
            (r#"{"sub":"c","nameid":"b"}"#, Some("b")),
            (r#"{"sub":"c"}"#, Some("c")),
            (r#"{"asrs.s.uid":"","sub":"c"}"#, Some("")),
            ("{}", None),
        ] {
            assert_eq!(token("{}", claims).unwrap().user_id().as_deref(), id, "{claims}");
        }
    }

    #[test]
    fn each_way_to_be_malformed_has_its_error() {
        let parse = ClientToken::parse;
        assert_eq!(parse(""), Err(TokenError::Parts { parts: 1 }));
        assert_eq!(parse("a.b"), Err(TokenError::Parts { parts: 2 }));
        assert_eq!(parse("a.b.c.d.e"), Err(TokenError::Parts { parts: 5 }));
        assert_eq!(parse("*.e30.x"), Err(TokenError::Base64(TokenPart::Header)));
        assert_eq!(parse("e30.e30=.x"), Err(TokenError::Base64(TokenPart::Claims)));
        assert_eq!(parse("_w.e30.x"), Err(TokenError::Utf8(TokenPart::Header)));
        assert!(matches!(token("{}", "[]"), Err(TokenError::Json { part: TokenPart::Claims, .. })));
        assert!(matches!(token("{", "{}"), Err(TokenError::Json { part: TokenPart::Header, .. })));
        for bad in [r#"{"exp":"1"}"#, r#"{"exp":1e3}"#, r#"{"exp":null}"#, r#"{"exp":99999999999999999999}"#]
        {
            assert_eq!(token("{}", bad), Err(TokenError::Claim("exp")), "{bad}");
        }
        let long = "x".repeat(LIMIT + 1);
        assert_eq!(parse(&long), Err(TokenError::TooLong { length: LIMIT + 1 }));
        assert!(parse(" Bearer e30.e30.x ").is_ok());
    }

    #[test]
    fn debug_shows_no_values() {
        let token = token("{}", r#"{"email":"alice@example.com"}"#).unwrap();
        assert!(!format!("{token:?} {:?}", AccessToken::from("secret")).contains("alice"));
        assert!(!format!("{:?}", AccessToken::from("secret")).contains("secret"));
    }
}
