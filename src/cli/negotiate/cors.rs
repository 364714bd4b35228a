//! Whether a browser would let a page of another origin negotiate.
//!
//! Source: [CORS protocol](https://fetch.spec.whatwg.org/#http-cors-protocol).

use std::fmt;

use reqwest::{Method, header};

use crate::{
    cli::negotiate::answer::header_of,
    core::{ErrorChain, url::HubUrl},
    platform::HttpClient,
};

/// Why a browser would not.
#[derive(Debug)]
pub(in crate::cli) enum CorsProblem {
    /// The preflight cannot be asked.
    Unreachable(String),
    /// The preflight is not answered with a status of success.
    Status(u16),
    /// No origin, or another one, is allowed.
    Origin(Option<String>),
    /// Every origin is allowed, which does not hold for requests with cookies.
    Wildcard,
    /// Cookies are not allowed.
    Credentials,
    /// A header of the client is not allowed.
    Header(&'static str),
}

impl fmt::Display for CorsProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(error) => write!(f, "the preflight (OPTIONS) fails: {error}"),
            Self::Status(status) => write!(
                f,
                "the preflight (OPTIONS) is answered with status {status}; let the server's CORS answer it before authentication"
            ),
            Self::Origin(None) => {
                f.write_str("there is no Access-Control-Allow-Origin; allow the page's origin in the server's CORS settings")
            }
            Self::Origin(Some(origin)) => write!(
                f,
                "Access-Control-Allow-Origin is {origin}; allow the page's origin in the server's CORS settings"
            ),
            Self::Wildcard => f.write_str(
                "Access-Control-Allow-Origin is *, which does not hold for requests with cookies; name the page's origin, or set \
                 withCredentials to false in the client",
            ),
            Self::Credentials => f.write_str(
                "Access-Control-Allow-Credentials is not true; allow credentials, or set withCredentials to false in the client",
            ),
            Self::Header(name) => write!(f, "Access-Control-Allow-Headers does not have {name}; allow it"),
        }
    }
}

/// Whether a page of this origin needs no permission.
pub(super) fn is_same_origin(origin: &str, url: &HubUrl) -> bool {
    HubUrl::parse(origin).is_ok_and(|page| page.has_same_origin(url))
}

/// Asks as a browser does before the request itself.
pub(super) async fn preflight(
    http: &HttpClient,
    url: &HubUrl,
    origin: &str,
    has_token: bool,
) -> Vec<CorsProblem> {
    let mut wanted = vec!["x-requested-with", "x-signalr-user-agent"];
    if has_token {
        wanted.insert(0, "authorization");
    }
    let headers = [
        ("Origin".to_owned(), origin.to_owned()),
        ("Access-Control-Request-Method".to_owned(), "POST".to_owned()),
        ("Access-Control-Request-Headers".to_owned(), wanted.join(",")),
    ];
    let response = match http.ask(Method::OPTIONS, url, None, &headers).await {
        Ok(response) => response,
        Err(error) => return vec![CorsProblem::Unreachable(ErrorChain::new(&error).to_string())],
    };
    if !response.status().is_success() {
        return vec![CorsProblem::Status(response.status().as_u16())];
    }
    let value = |name: header::HeaderName| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
    let allowed = value(header::ACCESS_CONTROL_ALLOW_ORIGIN);
    let credentials = value(header::ACCESS_CONTROL_ALLOW_CREDENTIALS);
    if let Some(problem) = judge(allowed.as_deref(), credentials.as_deref(), origin) {
        return vec![problem];
    }
    let names = value(header::ACCESS_CONTROL_ALLOW_HEADERS).unwrap_or_default();
    let is_allowed = |name: &str| names.split(',').any(|known| known.trim().eq_ignore_ascii_case(name));
    wanted.into_iter().filter(|name| !is_allowed(name)).map(CorsProblem::Header).collect()
}

/// What the answer itself lacks.
pub(super) fn answer(headers: &[(String, String)], origin: &str) -> Vec<CorsProblem> {
    let allowed = header_of(headers, "access-control-allow-origin");
    let credentials = header_of(headers, "access-control-allow-credentials");
    judge(allowed, credentials, origin).into_iter().collect()
}

fn judge(allowed: Option<&str>, credentials: Option<&str>, origin: &str) -> Option<CorsProblem> {
    match allowed {
        Some("*") => Some(CorsProblem::Wildcard),
        Some(allowed) if allowed == origin => {
            (credentials != Some("true")).then_some(CorsProblem::Credentials)
        }
        other => Some(CorsProblem::Origin(other.map(str::to_owned))),
    }
}
