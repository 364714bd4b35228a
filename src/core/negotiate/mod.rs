//! Negotiate: from a hub's URL to a transport to open.
//!
//! 1. [`Negotiation::request`] says what to POST, and with which token.
//! 2. [`Negotiation::handle_answer`] reads the answer ([`NegotiateResponse`]). A redirect (Azure SignalR Service)
//!    leads back to 1, at most [`REQUEST_LIMIT`] times.
//! 3. [`TransportChoice`] judges the transports that the server offers, and says why one cannot be used.
//! 4. [`Negotiation::connect_url`] is where the chosen transport opens.
//!
//! Source: [TransportProtocols.md](https://github.com/dotnet/aspnetcore/blob/main/src/SignalR/docs/specs/TransportProtocols.md)
//! and the official clients.

mod refusal;
mod response;
mod transport;

pub use self::response::{AvailableTransport, NegotiateResponse};
pub use self::transport::{
    SkipReason, SkippedTransport, TransferFormat, Transport, TransportChoice, Transports,
};

use std::fmt;
use std::time::Duration;

use crate::core::ProtocolError;
use crate::core::text::clipped;
use crate::core::token::AccessToken;
use crate::core::url::{HubUrl, UrlError, encode_data, encode_query_value};

/// The highest negotiate version there is.
pub const VERSION: u32 = 1;

/// How many negotiate requests one start makes, redirects included, before it gives up.
pub const REQUEST_LIMIT: u32 = 100;

/// The longest negotiate answer that is read, in bytes.
pub const RESPONSE_LIMIT: usize = 1024 * 1024;

/// Why negotiating failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NegotiateError {
    /// The server answered with another status than 200.
    #[error("{}{}{}", StatusHint(*.status), if .reason.is_some() { "; the server says: " } else { "" }, .reason.as_deref().unwrap_or_default())]
    Status {
        /// The HTTP status.
        status: u16,
        /// What `Retry-After` asks for, if the server sent it.
        retry_after: Option<Duration>,
        /// The server's reason, if it gave one in plain text or in JSON (`error`, problem details of RFC 9457); at most
        /// 4 KiB of it, and never with the token of the request.
        reason: Option<String>,
    },
    /// The server redirects by HTTP, which is not followed on any platform: headers and token are for the server that
    /// was asked, and browsers turn most redirected POSTs into GETs. Redirects of SignalR itself (`url` in the answer)
    /// are.
    #[error("negotiate was answered with{}", crate::core::http::redirect(.status.unwrap_or_default(), .location.as_deref()).as_deref().unwrap_or_default())]
    HttpRedirect {
        /// The HTTP status; browsers hide it.
        status: Option<u16>,
        /// Where to, without query and user information. Browsers hide it.
        location: Option<String>,
    },
    /// The answer is a web page: a login page, that of a proxy, the index page of a web app.
    #[error(
        "the answer is a web page (text/html), not a negotiate answer; is a login or a proxy in between, or is the URL not that of a SignalR hub?"
    )]
    WebPage,
    /// The answer is not JSON. Something other than a SignalR server answers there.
    #[error("the negotiate answer is not JSON; check that the URL is a SignalR hub")]
    NotJson(#[source] ProtocolError),
    /// The answer is JSON, but a property is missing or of the wrong kind.
    #[error("the negotiate answer is not valid: {0}")]
    Invalid(&'static str),
    /// The properties are there in another case. JavaScript and .NET clients need camelCase as well.
    #[error(
        "the negotiate answer has `{0}`; SignalR needs camelCase names (`url`, `accessToken`), so set the server's JSON serializer to camelCase"
    )]
    WrongCase(String),
    /// The server is one of ASP.NET SignalR, not of ASP.NET Core SignalR. The protocols have nothing in common.
    #[error(
        "the server speaks the old ASP.NET SignalR protocol; only ASP.NET Core SignalR and Azure SignalR Service can be connected to"
    )]
    LegacyServer,
    /// The server refuses, with a text of which the first 4 KiB are kept.
    #[error("the server refuses the connection: {0}")]
    Refused(String),
    /// Redirects did not end.
    #[error("there were {REQUEST_LIMIT} redirects; two servers may be redirecting to each other")]
    RedirectLimit,
    /// The server redirects to something that is not a URL.
    #[error("the server redirects to an invalid URL")]
    RedirectUrl(#[source] UrlError),
    /// The server redirects from https to http. The token would travel in clear text.
    #[error("the server redirects from https to http, which is refused; use an https endpoint")]
    InsecureRedirect,
    /// Stateful reconnect was not asked for, but the server switched it on.
    #[error("the server switched on stateful reconnect, which was not asked for")]
    UnaskedStatefulReconnect,
    /// The answer is longer than [`RESPONSE_LIMIT`].
    #[error("the negotiate answer is longer than {RESPONSE_LIMIT} bytes")]
    TooLong,
}

impl NegotiateError {
    /// The HTTP status, if the server answered with one that is not 200.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            Self::HttpRedirect { status, .. } => *status,
            _ => None,
        }
    }
}

/// Says what a status of negotiate means for the caller.
struct StatusHint(u16);

impl fmt::Display for StatusHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server answered with status {}", self.0)?;
        f.write_str(match self.0 {
            401 => ": the access token is missing, expired or not meant for this server; get a new one",
            403 => ": the access token is valid, but its user may not connect",
            404 => ": there is no SignalR hub at this URL, or a proxy hides it",
            405 => ": the endpoint does not take POST; negotiate needs it",
            413 => ": the access token is too long; carry fewer claims in it",
            429 => ": too many requests or connections; try again later",
            500..=599 => ": the server failed; try again later or see its log",
            _ => "",
        })
    }
}

/// What to POST for negotiate. There is no body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NegotiateRequest {
    /// The URL.
    pub url: HubUrl,
    /// The bearer token, if there is one.
    pub token: Option<AccessToken>,
}

/// What came back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NegotiateAnswer<'a> {
    /// The HTTP status; 0 for a redirect that a browser does not show.
    pub status: u16,
    /// What `Retry-After` asks for.
    pub retry_after: Option<Duration>,
    /// The `Content-Type`.
    pub content_type: Option<&'a str>,
    /// The `Location`.
    pub location: Option<&'a str>,
    /// The body; more than [`RESPONSE_LIMIT`] bytes need not be read.
    pub body: &'a [u8],
}

/// What an answer leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Negotiated {
    /// Ask again: [`Negotiation::request`] now names the redirect's target.
    Redirect,
    /// The server that hosts the connection has answered.
    Done(NegotiateResponse),
}

/// One negotiation, from the hub's URL through all redirects.
///
/// A redirect holds for this negotiation only: the next start begins at the hub's URL again, with the caller's token,
/// and never sends a redirect's token back to the app server.
#[derive(Debug, Clone)]
pub struct Negotiation {
    url: HubUrl,
    token: Option<AccessToken>,
    redirected_token: bool,
    stateful: bool,
    requests: u32,
    token_lifetime: Option<Duration>,
}

impl Negotiation {
    /// Begins at a hub's URL. Stateful reconnect is asked for when `stateful` is set or the URL has
    /// `useStatefulReconnect=true`.
    #[must_use]
    pub fn new(url: HubUrl, token: Option<AccessToken>, stateful: bool) -> Self {
        let stateful = match url.parameter("useStatefulReconnect") {
            Some("true") => true,
            Some(_) => false,
            None => stateful,
        };
        Self { url, token, redirected_token: false, stateful, requests: 0, token_lifetime: None }
    }

    /// The request to make now.
    #[must_use]
    pub fn request(&self) -> NegotiateRequest {
        NegotiateRequest { url: negotiate_url(&self.url, self.stateful), token: self.token.clone() }
    }

    /// The server in use: the hub's URL, or where it redirected to.
    #[must_use]
    pub fn url(&self) -> &HubUrl {
        &self.url
    }

    /// The token for that server.
    #[must_use]
    pub fn token(&self) -> Option<&AccessToken> {
        self.token.as_ref()
    }

    /// Whether the token came with a redirect. The caller's token provider must not replace it then.
    #[must_use]
    pub fn has_redirected_token(&self) -> bool {
        self.redirected_token
    }

    /// How long the credentials are valid, by the last answer that told.
    #[must_use]
    pub fn token_lifetime(&self) -> Option<Duration> {
        self.token_lifetime
    }

    /// Takes the answer to [`request`](Self::request).
    ///
    /// # Errors
    /// See [`NegotiateError`].
    pub fn handle_answer(&mut self, answer: NegotiateAnswer<'_>) -> Result<Negotiated, NegotiateError> {
        self.requests += 1;
        if answer.status != 200 {
            return Err(answer.refusal(self.token.as_ref()));
        }
        let response = NegotiateResponse::parse(answer.body).map_err(|error| match error {
            // Some servers label JSON as a page, which is no reason to refuse it.
            NegotiateError::NotJson(_) if answer.is_web_page() => NegotiateError::WebPage,
            error => error,
        })?;
        if let Some(error) = &response.error {
            return Err(NegotiateError::Refused(clipped(error)));
        }
        if let Some(seconds) = response.token_lifetime_seconds {
            self.token_lifetime = u64::try_from(seconds).ok().map(Duration::from_secs);
        }
        if let Some(token) = &response.access_token {
            self.token = Some(token.clone());
            self.redirected_token = true;
        }
        if let Some(target) = &response.url {
            let target = HubUrl::parse(target).map_err(NegotiateError::RedirectUrl)?;
            if self.url.is_https() && !target.is_https() {
                return Err(NegotiateError::InsecureRedirect);
            }
            if self.requests >= REQUEST_LIMIT {
                return Err(NegotiateError::RedirectLimit);
            }
            self.url = target;
            return Ok(Negotiated::Redirect);
        }
        if response.use_stateful_reconnect && !self.stateful {
            return Err(NegotiateError::UnaskedStatefulReconnect);
        }
        Ok(Negotiated::Done(response))
    }

    /// Where a transport opens the connection that the answer describes. The token is not in it.
    #[must_use]
    pub fn connect_url(&self, response: &NegotiateResponse) -> HubUrl {
        match response.transport_id() {
            Some(id) => self.url.with_parameter("id", &encode_query_value(id)),
            None => self.url.clone(),
        }
    }
}

/// Where to negotiate for a hub: `/negotiate` after its path, its query kept, and what it lacks added.
#[must_use]
pub fn negotiate_url(hub: &HubUrl, stateful: bool) -> HubUrl {
    let mut url = hub.join("negotiate");
    if hub.parameter("negotiateVersion").is_none() {
        url = url.with_parameter("negotiateVersion", "1");
    }
    if stateful && hub.parameter("useStatefulReconnect").is_none() {
        url = url.with_parameter("useStatefulReconnect", "true");
    }
    url
}

/// Where to renew the authentication of a connection (.NET 11): `/refresh` after the hub's path, its query kept.
/// The connection is named by the header `X-SignalR-Connection-Token`.
#[must_use]
pub fn refresh_url(hub: &HubUrl) -> HubUrl {
    hub.join("refresh")
}

/// When to renew an authentication of this lifetime: `lead` before its end, or after half of it if that is later.
/// `None` where no lifetime is known.
#[must_use]
pub fn refresh_delay(lifetime_seconds: Option<i64>, lead: Duration) -> Option<Duration> {
    // JavaScript's timers end at 2^31 - 1 milliseconds, and the official clients all keep to that.
    const LONGEST: Duration = Duration::from_millis(2_147_483_647);
    let lifetime = u64::try_from(lifetime_seconds?).ok().filter(|&seconds| seconds > 0)?;
    let lifetime = Duration::from_secs(lifetime);
    Some(lifetime.saturating_sub(lead).max(lifetime / 2).min(LONGEST))
}

/// A transport's URL with the token in its query, for a browser, which cannot set headers on sockets.
#[must_use]
pub fn with_token_in_query(url: &HubUrl, token: Option<&AccessToken>) -> HubUrl {
    match token {
        Some(token) => url.with_parameter("access_token", &encode_data(token.secret())),
        None => url.clone(),
    }
}

/// The text by which a client names itself to a server, in the official clients' form:
/// `NAME/MAJOR.MINOR (VERSION; OS; RUNTIME; RUNTIME VERSION)`.
#[must_use]
pub fn user_agent(name: &str, version: &str, os: &str, runtime: &str, runtime_version: &str) -> String {
    let minor = version.match_indices('.').nth(1).and_then(|(at, _)| version.get(..at)).unwrap_or(version);
    let or = |text: &str, unknown: &'static str| {
        if text.is_empty() { unknown.to_owned() } else { text.to_owned() }
    };
    format!(
        "{name}/{minor} ({version}; {}; {runtime}; {})",
        or(os, "Unknown OS"),
        or(runtime_version, "Unknown Runtime Version")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(body: &[u8]) -> NegotiateAnswer<'_> {
        NegotiateAnswer { status: 200, body, ..NegotiateAnswer::default() }
    }

    fn start(url: &str) -> Negotiation {
        Negotiation::new(HubUrl::parse(url).unwrap(), Some("app".into()), false)
    }

    #[test]
    fn urls() {
        for (hub, stateful, wanted) in [
            ("https://h/hub", false, "https://h/hub/negotiate?negotiateVersion=1"),
            ("https://h/hub/", false, "https://h/hub/negotiate?negotiateVersion=1"),
            ("https://h", false, "https://h/negotiate?negotiateVersion=1"),
            ("https://h/?", false, "https://h/negotiate?negotiateVersion=1"),
            ("https://h/a?q=1/0", false, "https://h/a/negotiate?q=1/0&negotiateVersion=1"),
            ("https://h/a?negotiateVersion=42", false, "https://h/a/negotiate?negotiateVersion=42"),
            (
                "https://h/a?NegotiateVersion=2",
                false,
                "https://h/a/negotiate?NegotiateVersion=2&negotiateVersion=1",
            ),
            ("https://h/a", true, "https://h/a/negotiate?negotiateVersion=1&useStatefulReconnect=true"),
            (
                "https://h/a?useStatefulReconnect=false",
                true,
                "https://h/a/negotiate?useStatefulReconnect=false&negotiateVersion=1",
            ),
        ] {
            let negotiation = Negotiation::new(HubUrl::parse(hub).unwrap(), None, stateful);
            assert_eq!(negotiation.request().url.to_text(), wanted);
        }
    }

    #[test]
    fn what_is_null_is_absent() {
        let redirect =
            br#"{"url":"https://svc/client","accessToken":"t","connectionId":null,"connectionToken":null,
            "availableTransports":null,"error":null,"negotiateVersion":null,"ProtocolVersion":null,
            "useStatefulReconnect":null,"tokenLifetimeSeconds":null}"#;
        assert_eq!(start("https://app/chat").handle_answer(ok(redirect)), Ok(Negotiated::Redirect));

        for (body, id) in [
            // An empty id, and none where the token takes its place.
            (&br#"{"connectionId":"","availableTransports":[]}"#[..], Some("")),
            (br#"{"negotiateVersion":1.0,"connectionId":null,"connectionToken":"t"}"#, Some("t")),
            (br#"{"negotiateVersion":1,"connectionId":"","connectionToken":"t"}"#, Some("t")),
            (br#"{"negotiateVersion":null,"connectionId":"c","connectionToken":"t","url":null}"#, Some("c")),
        ] {
            let response = NegotiateResponse::parse(body);
            assert_eq!(response.as_ref().map(|response| response.transport_id()), Ok(id));
        }
        // An offer that says nothing does not spoil the others.
        let body = br#"{"connectionId":"c","availableTransports":[null,{},{"transport":null,"transferFormats":["Text"]},
            {"transport":"WebSockets","transferFormats":null},{"transport":"LongPolling","transferFormats":["Text",null,7]}]}"#;
        let offers = NegotiateResponse::parse(body).map(|response| response.available_transports);
        let text = vec!["Text".to_owned()];
        let wanted =
            [AvailableTransport::new("WebSockets", vec![]), AvailableTransport::new("LongPolling", text)];
        assert_eq!(offers, Ok(wanted.to_vec()));
        assert!(NegotiateResponse::parse(br#"{"connectionId":null}"#).is_err());
    }

    #[test]
    fn redirects_carry_url_and_token_on() {
        let mut negotiation = start("https://app/chat");
        let redirect = br#"{"url":"https://svc/client/?hub=chat","accessToken":"svc"}"#;
        assert_eq!(negotiation.handle_answer(ok(redirect)), Ok(Negotiated::Redirect));
        let request = negotiation.request();
        assert_eq!(request.url.to_text(), "https://svc/client/negotiate?hub=chat&negotiateVersion=1");
        assert_eq!(request.token, Some("svc".into()));
        let answer =
            br#"{"negotiateVersion":1,"connectionId":"c","connectionToken":"t+/=","availableTransports":[]}"#;
        let Ok(Negotiated::Done(response)) = negotiation.handle_answer(ok(answer)) else { panic!() };
        assert_eq!(negotiation.connect_url(&response).to_text(), "https://svc/client/?hub=chat&id=t%2B/=");
        assert!(negotiation.has_redirected_token());
    }

    #[test]
    fn a_token_stays_when_a_later_hop_names_none() {
        let mut negotiation = start("https://app/chat");
        for (body, token) in [
            (&br#"{"url":"https://a/x","accessToken":"one"}"#[..], "one"),
            (br#"{"url":"https://b/x"}"#, "one"),
            (br#"{"url":"https://c/x","accessToken":"two"}"#, "two"),
        ] {
            assert_eq!(negotiation.handle_answer(ok(body)), Ok(Negotiated::Redirect));
            assert_eq!(negotiation.request().token, Some(token.into()));
        }
        // A token without a URL counts as well.
        let body = br#"{"connectionId":"c","availableTransports":[],"accessToken":"three"}"#;
        assert!(matches!(negotiation.handle_answer(ok(body)), Ok(Negotiated::Done(_))));
        assert_eq!(negotiation.token(), Some(&"three".into()));
    }

    #[test]
    fn redirects_end() {
        let mut negotiation = start("http://a/x");
        let redirect = br#"{"url":"http://a/x"}"#;
        for _ in 1..REQUEST_LIMIT {
            assert_eq!(negotiation.handle_answer(ok(redirect)), Ok(Negotiated::Redirect));
        }
        assert_eq!(negotiation.handle_answer(ok(redirect)), Err(NegotiateError::RedirectLimit));
    }

    #[test]
    fn each_bad_answer_has_its_error() {
        let answer = |status, body: &str| {
            let answer = NegotiateAnswer { status, ..ok(body.as_bytes()) };
            start("https://app/chat").handle_answer(answer)
        };
        assert_eq!(answer(200, "<!doctype html>"), Err(NegotiateError::WebPage));
        assert!(matches!(answer(200, ""), Err(NegotiateError::NotJson(_))));
        assert!(matches!(answer(200, "{\"connectionId\":\"a\",\"avail"), Err(NegotiateError::NotJson(_))));
        assert_eq!(
            answer(200, "{\"error\":\"no\",\"url\":\"x\"}"),
            Err(NegotiateError::Refused("no".into()))
        );
        let flood = format!("{{\"error\":\"{}\"}}", "x".repeat(RESPONSE_LIMIT - 100));
        let Err(NegotiateError::Refused(kept)) = answer(200, &flood) else { panic!("not refused") };
        assert_eq!(kept.len(), crate::core::text::LIMIT);
        for name in ["accessToken", "connectionToken"] {
            let body = format!("{{\"url\":\"https://h\",\"{name}\":\"a\\r\\nb\"}}");
            let error = answer(200, &body).unwrap_err().to_string();
            assert!(error.contains(name) && error.ends_with("cannot carry"), "{error}");
        }
        assert_eq!(answer(200, "{\"ProtocolVersion\":\"1.4\"}"), Err(NegotiateError::LegacyServer));
        let many = vec!["{\"transport\":\"X\",\"transferFormats\":[]}"; 65].join(",");
        let many = format!("{{\"connectionId\":\"a\",\"availableTransports\":[{many}]}}");
        assert_eq!(
            answer(200, &many),
            Err(NegotiateError::Invalid("there are too many available transports"))
        );
        assert_eq!(answer(200, "{\"Url\":\"https://a\"}"), Err(NegotiateError::WrongCase("Url".into())));
        assert_eq!(
            answer(200, "{\"url\":\"/relative\"}"),
            Err(NegotiateError::RedirectUrl(UrlError::Scheme))
        );
        assert_eq!(answer(200, "{\"url\":\"http://h/\"}"), Err(NegotiateError::InsecureRedirect));
        let unasked = "{\"connectionId\":\"a\",\"useStatefulReconnect\":true,\"availableTransports\":[]}";
        assert_eq!(answer(200, unasked), Err(NegotiateError::UnaskedStatefulReconnect));
        for status in [201, 204, 302, 401, 403, 404, 500] {
            assert_eq!(answer(status, "{}").map_err(|e| e.status()), Err(Some(status)));
        }
        assert!(answer(401, "").unwrap_err().to_string().contains("get a new one"));
    }

    #[test]
    fn user_agents() {
        assert_eq!(
            user_agent("hubwire", "3.1.3-build.10", "", "Browser", "4"),
            "hubwire/3.1 (3.1.3-build.10; Unknown OS; Browser; 4)"
        );
        assert_eq!(
            user_agent("x", "1.0", "Linux", "Rust", ""),
            "x/1.0 (1.0; Linux; Rust; Unknown Runtime Version)"
        );
    }
}
