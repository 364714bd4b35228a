//! What stands in the way of a negotiation, and what to do about it.

use crate::{
    cli::{
        context::{Place, Target},
        duration,
        failure::in_flags,
        negotiate::{
            answer::header_of,
            walk::{Hop, Obstacle, Walk},
        },
    },
    core::{
        ErrorChain, TransportErrorKind,
        negotiate::NegotiateError,
        token::{ClientToken, TokenProblem},
    },
    platform::unix_now,
};

/// What it is, and what to do about it.
pub(in crate::cli) fn explain(target: &Target, walk: &Walk) -> Option<(String, Option<String>)> {
    let hop = walk.hops.last();
    Some(match walk.obstacle.as_ref()? {
        Obstacle::Request(error) => {
            let advice = match error.kind {
                // The text says what is wrong with it.
                TransportErrorKind::Proxy { .. } | TransportErrorKind::Certificate => None,
                _ => hop.map(unanswered),
            };
            (in_flags(&format!("there was no answer: {}", ErrorChain::new(error))), advice)
        }
        Obstacle::Answer(error) => {
            let page = hop.and_then(|hop| hop.page.as_ref()).map(|title| format!(" The page is called \"{title}\"."));
            let text = format!("{}{}", ErrorChain::new(error), page.unwrap_or_default());
            (text, advice(error, target, walk))
        }
        Obstacle::Legacy(url) => (
            format!("there is no hub of ASP.NET Core SignalR at this URL, but ASP.NET SignalR (the old one, of .NET Framework) at {url}"),
            Some("the two protocols have nothing in common: move the server to ASP.NET Core SignalR, or take a client of ASP.NET SignalR".to_owned()),
        ),
        Obstacle::Insecure(url) => (
            format!("the server leads to {url}, which is plain http to another machine"),
            Some("have the server give an https URL, or give --insecure-http where it does not matter who reads along".to_owned()),
        ),
        Obstacle::Timeout(limit) => (
            format!("there was no answer within {}", duration::words(*limit)),
            Some(format!(
                "try again with a longer --timeout; if it stays so, the server hangs, does not speak {} there, or a firewall drops the \
                 requests",
                hop.map_or("http", scheme)
            )),
        ),
    })
}

/// Nobody has answered, or not in HTTP.
fn unanswered(hop: &Hop) -> String {
    let proxies = "and whether a proxy is needed (HTTPS_PROXY)";
    if hop.url.is_loopback() {
        format!("is the server running at {}, and does it speak {} there?", authority(hop), scheme(hop))
    } else {
        format!(
            "check the host, the port and the scheme ({}) of the URL, DNS and the firewall, {proxies}",
            scheme(hop)
        )
    }
}

fn scheme(hop: &Hop) -> &'static str {
    if hop.url.is_https() { "https" } else { "http" }
}

fn authority(hop: &Hop) -> String {
    match hop.url.port() {
        Some(port) => format!("{}:{port}", hop.url.host()),
        None => hop.url.host().to_owned(),
    }
}

/// What is wrong with the times of a token, if it is refused for them.
fn out_of_time(token: &ClientToken) -> Option<String> {
    let now = i64::try_from(unix_now().as_secs()).unwrap_or(i64::MAX);
    let is_of_now = |problem: &TokenProblem| {
        matches!(problem, TokenProblem::Expired { .. } | TokenProblem::NotYetValid { .. })
    };
    let problem = token.problems_of_time(now).into_iter().find(is_of_now)?;
    Some(format!("as for the token, {problem}"))
}

fn advice(error: &NegotiateError, target: &Target, walk: &Walk) -> Option<String> {
    let hop = walk.hops.last()?;
    let is_first = walk.hops.len() == 1;
    Some(match error {
        NegotiateError::Status { status: 401, .. } => {
            if let Some(problem) = hop.token.as_ref().and_then(out_of_time) {
                problem
            } else if !hop.bore_token {
                "give a token with `--token env:NAME` or `--token file:PATH`, or a cookie with `-H 'Cookie: env:NAME'`".to_owned()
            } else if is_first && matches!(target.place(), Place::Hub(_)) {
                "`hubwire token env:NAME` shows what the token says; its audience and issuer have to be those that the server expects"
                    .to_owned()
            } else {
                "the token came with the step before: is it made with the current access key, and for this endpoint? `hubwire doctor` \
                 checks the service's side"
                    .to_owned()
            }
        }
        NegotiateError::Status { status: 403, .. } => {
            "the user may need a role, or the service's network access control keeps this machine out".to_owned()
        }
        NegotiateError::Status { status: 404, .. } if hop.url.path().ends_with("/negotiate/negotiate") => {
            "leave `/negotiate` out of the URL: clients add it".to_owned()
        }
        NegotiateError::Status { status: 404, .. } => {
            "compare the path with the one of MapHub in the server's code; for Azure Functions it ends in /api".to_owned()
        }
        NegotiateError::Status { status: 405, .. } => {
            "let the route of negotiate take POST; with a web app's fallback to index.html, put the hub's route before it".to_owned()
        }
        NegotiateError::Status { status: 400, .. } if !hop.url.is_https() && header_of(&hop.headers, "server").is_some() => {
            "if the server speaks https at this port, write https:// in the URL".to_owned()
        }
        NegotiateError::Status { status: 413 | 431, .. } => {
            "Azure SignalR Service takes tokens of at most 4 096 characters: put fewer claims into it".to_owned()
        }
        NegotiateError::Status { status: 429, .. } => match header_of(&hop.headers, "retry-after") {
            Some(after) => format!("try again in {after} seconds"),
            None => "the service may have reached its limit of connections; add units, or try later".to_owned(),
        },
        NegotiateError::Status { status: 503, .. } if matches!(target.place(), Place::Service(_)) => {
            "in default mode the service needs an app server: is one connected for this hub? Otherwise try again in a minute".to_owned()
        }
        NegotiateError::Status { status: 502..=504, .. } => {
            "a proxy or load balancer answered in the server's place: is the app behind it up?".to_owned()
        }
        NegotiateError::HttpRedirect { location: Some(location), .. } => {
            if location.starts_with("https://") && !hop.url.is_https() {
                "take the https URL".to_owned()
            } else if location.to_ascii_lowercase().contains("login") || location.contains("signin") {
                "the server sends clients that are not signed in to a login page: give a token with --token, or a cookie with \
                 `-H 'Cookie: env:NAME'`"
                    .to_owned()
            } else {
                "take the URL that it redirects to (without /negotiate)".to_owned()
            }
        }
        NegotiateError::WebPage => {
            "compare the path with that of the hub; a web app's fallback to index.html answers whatever it does not know".to_owned()
        }
        NegotiateError::UnaskedStatefulReconnect => return None,
        NegotiateError::RedirectUrl(_) => "the `url` of the answer has to be absolute: https://…".to_owned(),
        _ => return None,
    })
}
