//! Where a client connects to, and the token it connects with.
//!
//! The URL is `{client endpoint}/client/?hub={hub}`; for an app server it also carries the client's own query and
//! path. The token is signed with an access key; its audience is built from the endpoint, without the port.

use std::{fmt, time::Duration};

use serde::Serialize;
use serde_json::Value;

use super::{
    error::ServiceError,
    jwt::{self, Validity},
    random,
};
use crate::core::url::encode_data;

/// The longest token that the service takes: it travels in headers and in URLs.
const MAX_TOKEN_LENGTH: usize = 4096;
const DEFAULT_LIFETIME: Duration = Duration::from_secs(3600);
/// The end of the year 9999, the last that .NET can express.
const LAST_SECOND: u64 = 253_402_300_799;
/// Claims that a token has of its own. The service gives them back to hubs under their names.
const TOKEN_CLAIMS: [&str; 11] =
    ["aud", "exp", "iat", "nbf", "iss", "actort", "acr", "azp", "c_hash", "jti", "nonce"];

/// What a client token says about the client.
///
/// ```
/// use std::time::Duration;
/// use hubwire::service::NegotiateOptions;
///
/// let options = NegotiateOptions::for_user("alice")
///     .claim("role", "moderator")
///     .claim("role", "member")
///     .lifetime(Duration::from_secs(15 * 60));
/// ```
#[derive(Clone)]
pub struct NegotiateOptions {
    user_id: Option<String>,
    claims: Vec<(String, String)>,
    lifetime: Duration,
    pub(super) original_request: Option<(String, String)>,
}

impl NegotiateOptions {
    /// A client that is nobody in particular; messages to users don't reach it.
    #[must_use]
    pub fn anonymous() -> Self {
        Self { user_id: None, claims: Vec::new(), lifetime: DEFAULT_LIFETIME, original_request: None }
    }

    /// A client of this user. User ids are case-sensitive.
    #[must_use]
    pub fn for_user(id: impl Into<String>) -> Self {
        Self { user_id: Some(id.into()), ..Self::anonymous() }
    }

    /// The user, if it is somebody in particular.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        self.user_id.as_deref()
    }

    /// Adds a claim, which hubs and upstream handlers see. A name that occurs several times becomes a list. Names
    /// that start with `asrs.s.` are the service's own and are refused by [`HubClient::negotiate`].
    ///
    /// All claims together have to fit into a token of 4 096 characters.
    ///
    /// [`HubClient::negotiate`]: super::HubClient::negotiate
    #[must_use]
    pub fn claim(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.claims.push((name.into(), value.into()));
        self
    }

    /// How long the token is valid, one hour by default; parts of a second are rounded up. It is checked when a
    /// client connects, and with Server-Sent Events and long polling on every later request too.
    #[must_use]
    pub fn lifetime(self, lifetime: Duration) -> Self {
        Self { lifetime, ..self }
    }

    /// The path and query of the client's negotiate request, to be carried on to the service: hubs on an app server
    /// and upstream handlers see them. The parameters `hub`, `id`, `access_token` and all that start with `asrs.` or
    /// `asrs_` are left out, since they mean something to the service.
    #[must_use]
    pub fn original_request(self, path: impl Into<String>, query: impl Into<String>) -> Self {
        Self { original_request: Some((path.into(), query.into())), ..self }
    }
}

impl Default for NegotiateOptions {
    fn default() -> Self {
        Self::anonymous()
    }
}

impl fmt::Debug for NegotiateOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values of claims and queries are the caller's; names say enough.
        let names: Vec<&str> = self.claims.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("NegotiateOptions")
            .field("user_id", &self.user_id)
            .field("claims", &names)
            .field("lifetime", &self.lifetime)
            .field("path", &self.original_request.as_ref().map(|(path, _)| path))
            .finish()
    }
}

/// What a client needs to connect: it serializes to the answer of a negotiate endpoint,
/// `{"url": …, "accessToken": …}`.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ClientAccess {
    /// Where to connect.
    pub url: String,
    /// What to connect with. Keep it out of logs.
    pub access_token: String,
}

impl fmt::Debug for ClientAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.url.split('?').next().unwrap_or_default();
        f.debug_struct("ClientAccess").field("url", &url).finish_non_exhaustive()
    }
}

/// The URL that a client of `hub` connects to; `base` ends in a slash, `hub` is the name within the service.
pub(super) fn client_url(base: &str, hub: &str, options: &NegotiateOptions) -> String {
    let mut url = format!("{base}client/?hub={}", encode_data(hub));
    if let Some((path, query)) = &options.original_request {
        let path = path.trim_end_matches('/').strip_suffix("/negotiate").unwrap_or_default();
        if !path.is_empty() {
            url.push_str("&asrs.op=");
            url.push_str(&encode_data(path));
        }
        for pair in query.trim_start_matches('?').split('&').filter(|pair| may_be_forwarded(pair)) {
            url.push('&');
            push_query_text(&mut url, pair);
        }
        url.push_str(&format!("&asrs_request_id={:016x}", random::number()));
    }
    url
}

/// The query comes from whoever calls the negotiate endpoint, so it must not set what the service reads.
fn may_be_forwarded(pair: &str) -> bool {
    let name = decode(pair.split('=').next().unwrap_or_default()).to_ascii_lowercase();
    let reserved = matches!(name.trim(), "hub" | "id" | "access_token");
    !pair.is_empty() && !reserved && !name.trim().starts_with("asrs.") && !name.trim().starts_with("asrs_")
}

/// A parameter's name as the service will read it.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let code = match (first, after) {
            (b'%', [high, low, ..]) => {
                let digit = |b: &u8| char::from(*b).to_digit(16);
                digit(high).zip(digit(low)).and_then(|(high, low)| u8::try_from(high * 16 + low).ok())
            }
            _ => None,
        };
        bytes.push(code.unwrap_or(if *first == b'+' { b' ' } else { *first }));
        rest = if code.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Appends a parameter as it is, but for characters that cannot stand in a query.
fn push_query_text(url: &mut String, pair: &str) {
    for c in pair.chars() {
        match c {
            '!' | '$'..='&' | '\''..=';' | '=' | '?'..='~' => url.push(c),
            _ => url.push_str(&encode_data(c.encode_utf8(&mut [0; 4]))),
        }
    }
}

/// A client token. `audience` is `{audience base}client/?hub={hub}`.
pub(super) fn client_token(
    key: &jwt::Key,
    audience: &str,
    options: &NegotiateOptions,
    now: u64,
) -> Result<String, ServiceError> {
    let lifetime = options.lifetime.as_secs().checked_add(u64::from(options.lifetime.subsec_nanos() > 0));
    let expires_at =
        lifetime.filter(|&s| s > 0).and_then(|s| now.checked_add(s)).filter(|&at| at <= LAST_SECOND);
    let expires_at = expires_at.ok_or(ServiceError::InvalidLifetime)?;
    let claims = claims(options)?;
    let token =
        key.sign(claims.iter().map(|(n, v)| (n, v)), Validity { issued_at: now, expires_at }, audience);
    if token.len() > MAX_TOKEN_LENGTH {
        let mut largest: Vec<_> =
            claims.into_iter().map(|(name, value)| (name, value.to_string().chars().count())).collect();
        largest.sort_by_key(|&(_, length)| std::cmp::Reverse(length));
        largest.truncate(3);
        return Err(ServiceError::TokenTooLong { length: token.len(), largest });
    }
    Ok(token)
}

/// The claims in their order, each name once.
fn claims(options: &NegotiateOptions) -> Result<Vec<(String, Value)>, ServiceError> {
    let mut claims: Vec<(String, Value)> = Vec::with_capacity(options.claims.len() + 1);
    if let Some(user_id) = &options.user_id {
        claims.push(("asrs.s.uid".to_owned(), Value::from(user_id.as_str())));
    }
    for (name, value) in &options.claims {
        if name.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("asrs.s.")) {
            return Err(ServiceError::ReservedClaim { name: name.clone() });
        }
        // Only the first `sub` is the token's subject.
        let taken = name == "sub" && claims.iter().any(|(known, _)| known == "sub");
        let renamed = taken || TOKEN_CLAIMS.contains(&name.as_str());
        let name = if renamed { format!("asrs.u.{name}") } else { name.clone() };
        let value = Value::from(value.as_str());
        match claims.iter_mut().find(|(known, _)| *known == name) {
            Some((_, Value::Array(values))) => values.push(value),
            Some((_, first)) => *first = Value::Array(vec![first.take(), value]),
            None => claims.push((name, value)),
        }
    }
    Ok(claims)
}
