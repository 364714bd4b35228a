//! What a token says, in words, and what Azure SignalR Service would refuse about it.

use std::borrow::Cow;
use std::time::Duration;

use super::ClientToken;
use crate::core::ascii::split_once;
use crate::core::text::clipped;

/// The longest client token that Azure SignalR Service takes, in characters.
pub const SERVICE_LIMIT: usize = 4096;
/// How long a temporary access key of Entra is good for.
const KEY_LIFETIME: i64 = 90 * 60;
/// A token that is stolen is good for as long.
const LONG_LIFETIME: i64 = 24 * 60 * 60;

/// What a claim means, of those that are registered and of those that mean something to Azure SignalR Service.
///
/// ```
/// assert_eq!(hubwire::core::token::claim_meaning("asrs.s.uid"), Some("the user's id"));
/// assert_eq!(hubwire::core::token::claim_meaning("favourite-colour"), None);
/// ```
///
/// Source: [`Constants.ClaimType` of the official SDK](https://github.com/Azure/azure-signalr/blob/dev/src/Microsoft.Azure.SignalR.Common/Constants.cs).
#[must_use]
pub fn claim_meaning(name: &str) -> Option<&'static str> {
    Some(match name {
        "aud" => "the address that the token is for",
        "exp" => "when it expires",
        "iat" => "when it was issued",
        "nbf" => "from when on it is valid",
        "iss" => "what issued it",
        "jti" => "its own id",
        "sub" => "the user's id, unless asrs.s.uid or nameid has it",
        "nameid" => "the user's id, unless asrs.s.uid has it",
        "role" | "roles" => "the user's roles",
        "scp" => "what the application may do for the user",
        "tid" => "the Entra tenant",
        "oid" => "the id of the Entra identity",
        "appid" | "azp" => "the Entra application",
        "asrs.s.uid" => "the user's id",
        "asrs.s.sn" => "the app server that the client is for",
        "asrs.s.ssticky" => "whether it has to be that app server",
        "asrs.s.dc" => "a diagnostic client, which the service's logs follow",
        "asrs.s.cht" => "how long the handshake may take, in seconds",
        "asrs.s.aut" => "how the user was authenticated",
        "asrs.s.secn" => "how many endpoints the app server has",
        "asrs.s.derror" => "the client sees details of errors",
        "asrs.s.nt" => "the type of the claim with the user's name",
        "asrs.s.rt" => "the type of the claims with roles",
        "asrs.s.ttl" => "how long a poll is held at most, in seconds",
        "asrs.s.htt" => {
            "the transports that are allowed: 1 WebSockets, 2 Server-Sent Events, 4 long polling, added up"
        }
        "asrs.s.coae" => "the connection is closed when the authentication ends",
        "asrs.s.aeo" => "when the authentication ends",
        "asrs.s.id" => "an id that the service sets",
        "asrs.s.apn" => "the name of the application",
        "asrs.s.vn" => "the version of what made the token",
        name if name.starts_with("asrs.s.") => "for the service itself; hubs do not see it",
        name if name.starts_with("asrs.u.") => {
            "a claim of the user whose name is taken: hubs see it without asrs.u."
        }
        _ => return None,
    })
}

/// What a token of Azure SignalR Service opens, by its audience.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenPurpose {
    /// A client's connection: `https://NAME.service.signalr.net/client/?hub=HUB`.
    Client,
    /// An app server's connection: `…/server/?hub=HUB`.
    Server,
    /// A request to the REST API: `…/api/…`.
    Rest,
    /// Whatever the roles of an Entra identity allow: `https://signalr.azure.com`.
    Entra,
}

impl TokenPurpose {
    /// What an audience is for; `None` for one that is not of the service.
    ///
    /// ```
    /// use hubwire::core::token::TokenPurpose;
    ///
    /// let audience = "https://contoso.service.signalr.net/client/?hub=chat";
    /// assert_eq!(TokenPurpose::of_audience(audience), Some(TokenPurpose::Client));
    /// assert_eq!(TokenPurpose::of_audience("my-api"), None);
    /// ```
    #[must_use]
    pub fn of_audience(audience: &str) -> Option<Self> {
        let (_, rest) = split_once(audience, b':')?;
        let rest = rest.strip_prefix("//")?;
        let (host, path) = split_once(rest, b'/').unwrap_or((rest, ""));
        if host.starts_with("signalr.azure.") && path.is_empty() {
            return Some(Self::Entra);
        }
        // A path may come before it, behind a reverse proxy.
        let has = |part: &str| path.strip_prefix(part).is_some() || path.contains(&["/", part].concat());
        if has("client/?") {
            Some(Self::Client)
        } else if has("server/?") {
            Some(Self::Server)
        } else if has("api/") {
            Some(Self::Rest)
        } else {
            None
        }
    }
}

/// What Azure SignalR Service would refuse about a client token, or what is most likely not meant so. The text says what to
/// do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenProblem {
    /// It is longer than [`SERVICE_LIMIT`].
    #[error(
        "it has {length} characters, and the service takes {SERVICE_LIMIT}: put fewer claims into it; {largest} takes most"
    )]
    TooLong {
        /// Its length in characters.
        length: usize,
        /// The claim that takes most of it.
        largest: String,
    },
    /// It is signed with something else than HS256 or HS512.
    #[error("it is signed with {}, and the service takes HS256 and HS512", .algorithm.as_deref().unwrap_or("nothing that it names"))]
    Algorithm {
        /// The `alg` of its header.
        algorithm: Option<String>,
    },
    /// Its header names extensions that have to be understood, and are not.
    #[error("its header has `crit`, extensions that the service does not know")]
    Critical,
    /// There is no `exp`.
    #[error("it has no `exp`: say when it expires")]
    NoExpiry,
    /// It has expired.
    #[error("it has expired: get a new one, and keep it no longer than it lasts")]
    Expired {
        /// How long ago.
        ago: Duration,
    },
    /// Its `nbf` is still to come.
    #[error("it is not valid yet: check the clock of the machine that made it")]
    NotYetValid {
        /// How long it takes.
        until: Duration,
    },
    /// There is no `aud`.
    #[error(
        "it has no audience (`aud`): for a client it is https://NAME.service.signalr.net/client/?hub=HUB"
    )]
    NoAudience,
    /// It is for something else than a client's connection.
    #[error(
        "it is for {audience}, {}; for a client the audience is https://NAME.service.signalr.net/client/?hub=HUB",
        match .purpose {
            Some(TokenPurpose::Server) => "which is for the connections of app servers",
            Some(TokenPurpose::Rest) => "which is for requests to the REST API",
            Some(TokenPurpose::Entra) => "which is for app servers and the REST API by Microsoft Entra",
            _ => "which is not of Azure SignalR Service",
        }
    )]
    Audience {
        /// Its audience.
        audience: String,
        /// What it is for, if it is the service's.
        purpose: Option<TokenPurpose>,
    },
    /// It is for another hub than was expected.
    #[error("it is for the hub {}, not for {expected}", .found.as_deref().unwrap_or("(none)"))]
    Hub {
        /// The hub of its audience.
        found: Option<String>,
        /// The hub that was expected.
        expected: String,
    },
    /// It is for another endpoint than was expected.
    #[error(
        "it is for {found}, not for {expected}: the audience is that of the connection string's Endpoint, even where clients go \
         through a reverse proxy (ClientEndpoint)"
    )]
    Endpoint {
        /// Scheme and host of its audience.
        found: String,
        /// Those that were expected.
        expected: String,
    },
    /// It outlives the temporary access key of Entra that signed it.
    #[error(
        "it is signed with a key that has an id, and lasts longer than 90 minutes: if that is a temporary key of Microsoft Entra, the \
         token may stop working before it expires"
    )]
    OutlivesKey,
    /// It lasts for longer than a day.
    #[error(
        "it lasts for more than a day, and works that long for anybody who finds it; give it an hour, as is usual"
    )]
    LongLifetime,
}

impl TokenProblem {
    /// Whether the service takes the token nevertheless.
    #[must_use]
    pub fn is_warning(&self) -> bool {
        matches!(self, Self::OutlivesKey | Self::LongLifetime)
    }
}

/// What a client token is expected to be.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokenExpectation<'a> {
    /// The clock, in seconds since 1970.
    pub now: i64,
    /// The hub; any unless set.
    pub hub: Option<&'a str>,
    /// The service's endpoint, such as `https://contoso.service.signalr.net`; any unless set.
    pub endpoint: Option<&'a str>,
}

impl ClientToken {
    /// What Azure SignalR Service would refuse about it as a client's token, and what is most likely not meant so. The
    /// signature is not verified.
    ///
    /// ```
    /// use hubwire::core::token::{ClientToken, TokenExpectation, TokenProblem};
    ///
    /// // {"alg":"HS256","typ":"JWT"} . {"aud":"https://x.service.signalr.net/client/?hub=chat","exp":1767225600,"nameid":"alice"}
    /// let token = ClientToken::parse(concat!(
    ///     "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.",
    ///     "eyJhdWQiOiJodHRwczovL3guc2VydmljZS5zaWduYWxyLm5ldC9jbGllbnQvP2h1Yj1jaGF0IiwiZXhwIjoxNzY3MjI1NjAwLCJuYW1laWQiOiJhbGljZSJ9.",
    ///     "c2lnbmF0dXJl",
    /// ))?;
    /// let expected = TokenExpectation { now: 1_767_225_000, hub: Some("news"), ..TokenExpectation::default() };
    /// let problems = token.problems(&expected);
    /// assert_eq!(problems, [TokenProblem::Hub { found: Some("chat".to_owned()), expected: "news".to_owned() }]);
    /// # Ok::<(), hubwire::core::token::TokenError>(())
    /// ```
    #[must_use]
    pub fn problems(&self, expected: &TokenExpectation<'_>) -> Vec<TokenProblem> {
        let mut problems = Vec::new();
        if self.length() > SERVICE_LIMIT {
            let largest = self.claim_names().max_by_key(|name| self.claim(name).map_or(0, str::len));
            let largest = clipped(largest.unwrap_or_default());
            problems.push(TokenProblem::TooLong { length: self.length(), largest });
        }
        let algorithm = self.algorithm();
        if !matches!(algorithm.as_deref(), Some("HS256" | "HS512")) {
            problems.push(TokenProblem::Algorithm { algorithm: algorithm.as_deref().map(clipped) });
        }
        if self.header_value("crit").is_some() {
            problems.push(TokenProblem::Critical);
        }
        self.time_problems(expected.now, &mut problems);
        self.audience_problems(expected, &mut problems);
        problems
    }

    /// What is wrong with its times, whatever service it is for.
    #[must_use]
    pub fn problems_of_time(&self, now: i64) -> Vec<TokenProblem> {
        let mut problems = Vec::new();
        self.time_problems(now, &mut problems);
        problems
    }

    fn time_problems(&self, now: i64, problems: &mut Vec<TokenProblem>) {
        let between =
            |from: i64, to: i64| Duration::from_secs(u64::try_from(to.saturating_sub(from)).unwrap_or(0));
        let Some(expires) = self.expires_at() else {
            problems.push(TokenProblem::NoExpiry);
            return;
        };
        if expires <= now {
            problems.push(TokenProblem::Expired { ago: between(expires, now) });
        }
        let begins = self.not_before();
        if let Some(begins) = begins.filter(|&begins| begins > now) {
            problems.push(TokenProblem::NotYetValid { until: between(now, begins) });
        }
        let lifetime = expires.saturating_sub(self.issued_at().or(begins).unwrap_or(now));
        if lifetime > LONG_LIFETIME {
            problems.push(TokenProblem::LongLifetime);
        } else if lifetime > KEY_LIFETIME && self.key_id().is_some() {
            problems.push(TokenProblem::OutlivesKey);
        }
    }

    fn audience_problems(&self, expected: &TokenExpectation<'_>, problems: &mut Vec<TokenProblem>) {
        let audiences = self.audiences();
        let is_client =
            |audience: &&Cow<'_, str>| TokenPurpose::of_audience(audience) == Some(TokenPurpose::Client);
        let Some(audience) = audiences.iter().find(is_client) else {
            problems.push(match audiences.first() {
                None => TokenProblem::NoAudience,
                Some(audience) => TokenProblem::Audience {
                    audience: clipped(audience),
                    purpose: TokenPurpose::of_audience(audience),
                },
            });
            return;
        };
        let found = self.hub();
        let is_other =
            |expected: &&str| !found.as_deref().is_some_and(|hub| hub.eq_ignore_ascii_case(expected));
        if let Some(expected) = expected.hub.filter(is_other) {
            let (found, expected) = (found.as_deref().map(clipped), expected.to_owned());
            problems.push(TokenProblem::Hub { found, expected });
        } else if found.as_deref().is_none_or(str::is_empty) {
            problems.push(TokenProblem::Audience { audience: clipped(audience), purpose: None });
        }
        let found = origin(audience);
        if let Some(expected) =
            expected.endpoint.map(origin).filter(|expected| !found.eq_ignore_ascii_case(expected))
        {
            let (found, expected) = (clipped(found), expected.to_owned());
            problems.push(TokenProblem::Endpoint { found, expected });
        }
    }
}

/// Scheme and host of a URL. Audiences never have a port.
fn origin(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    let rest = url.get(start..).unwrap_or_default();
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let authority = rest.get(..end).unwrap_or_default();
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if is_port(port) => host.len(),
        _ => authority.len(),
    };
    url.get(..start + host).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use base64ct::{Base64UrlUnpadded, Encoding as _};

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn token(header: &str, claims: &str) -> ClientToken {
        let encode = |text: &str| Base64UrlUnpadded::encode_string(text.as_bytes());
        ClientToken::parse(&format!("{}.{}.c2ln", encode(header), encode(claims))).expect("a token")
    }

    fn client(claims: &str) -> ClientToken {
        let audience = "https://x.service.signalr.net/client/?hub=chat";
        token(
            r#"{"alg":"HS256"}"#,
            &format!(r#"{{"aud":"{audience}","exp":{},{claims}"iat":{NOW}}}"#, NOW + 3600),
        )
    }

    fn problems(token: &ClientToken) -> Vec<TokenProblem> {
        token.problems(&TokenExpectation { now: NOW, ..TokenExpectation::default() })
    }

    #[test]
    fn a_good_token_has_none() {
        assert_eq!(problems(&client("")), []);
        let expected = TokenExpectation {
            now: NOW,
            hub: Some("Chat"),
            endpoint: Some("https://X.service.signalr.net:443/"),
        };
        assert_eq!(client("").problems(&expected), []);
    }

    #[test]
    fn each_problem_is_found() {
        let late = TokenExpectation { now: NOW + 3600, ..TokenExpectation::default() };
        assert_eq!(client("").problems(&late), [TokenProblem::Expired { ago: Duration::ZERO }]);
        let early = format!(r#""nbf":{},"#, NOW + 9);
        assert_eq!(problems(&client(&early)), [TokenProblem::NotYetValid { until: Duration::from_secs(9) }]);
        let long = format!(r#""x":"{}","#, "a".repeat(4000));
        assert!(
            matches!(&problems(&client(&long))[..], [TokenProblem::TooLong { largest, .. }] if largest == "x")
        );
        let other = TokenExpectation { now: NOW, hub: None, endpoint: Some("https://y.service.signalr.net") };
        assert!(matches!(client("").problems(&other)[..], [TokenProblem::Endpoint { .. }]));
        let none = token("{}", "{}");
        assert_eq!(
            problems(&none),
            [TokenProblem::Algorithm { algorithm: None }, TokenProblem::NoExpiry, TokenProblem::NoAudience]
        );
        let critical = token(r#"{"alg":"HS512","crit":["b64"]}"#, r#"{"exp":1800000001,"aud":"app"}"#);
        let audience = TokenProblem::Audience { audience: "app".to_owned(), purpose: None };
        assert_eq!(problems(&critical), [TokenProblem::Critical, audience]);
    }

    #[test]
    fn long_lives_are_warnings() {
        let of = |header: &str, life: i64| {
            let audience = "https://x/client/?hub=chat";
            let claims = format!(r#"{{"aud":"{audience}","iat":{NOW},"exp":{}}}"#, NOW + life);
            problems(&token(header, &claims))
        };
        assert_eq!(of(r#"{"alg":"HS256"}"#, 7200), []);
        assert_eq!(of(r#"{"alg":"HS256","kid":"k"}"#, 7200), [TokenProblem::OutlivesKey]);
        assert_eq!(of(r#"{"alg":"HS256"}"#, 90_000), [TokenProblem::LongLifetime]);
        assert!(TokenProblem::LongLifetime.is_warning() && TokenProblem::OutlivesKey.is_warning());
        assert!(!TokenProblem::NoExpiry.is_warning());
    }

    #[test]
    fn purposes() {
        for (audience, purpose) in [
            ("https://x.service.signalr.net/client/?hub=chat", Some(TokenPurpose::Client)),
            ("https://proxy.example/base/client/?hub=chat", Some(TokenPurpose::Client)),
            ("https://x.service.signalr.net/server/?hub=chat", Some(TokenPurpose::Server)),
            ("https://x.service.signalr.net/api/hubs/chat/:send", Some(TokenPurpose::Rest)),
            ("https://signalr.azure.com", Some(TokenPurpose::Entra)),
            ("https://signalr.azure.cn/", Some(TokenPurpose::Entra)),
            ("https://x/clients?hub=chat", None),
            ("api://app", None),
            ("", None),
        ] {
            assert_eq!(TokenPurpose::of_audience(audience), purpose, "{audience}");
        }
    }
}
