//! Errors as JavaScript takes them: a code for programs, the official client's text for what it has one for, and the HTTP
//! status that a server refused with.
//!
//! Texts are put together without `Display`, which takes four times as much room in the module.

use super::list::List;
use crate::core::ascii::push_decimal;
use crate::core::client::{ConnectionError, TransportError};
use crate::core::negotiate::{NegotiateError, SkipReason, SkippedTransport, Transport, Transports};
use crate::core::refresh::RefreshError;
use crate::core::token::{TokenError, TokenPart};

/// The text of the official client when a time is over.
const TIMEOUT: &str = "A timeout occurred.";
const SILENCE: &str = "Server timeout elapsed without receiving a message from the server.";

/// `[code, text, status, inner errors]`, of which `driver.js` makes an `Error`.
pub(super) fn js_error(code: &str, text: &str, status: Option<u16>) -> List {
    let list = List::new();
    list.text(Some(code));
    list.text(Some(text));
    match status {
        Some(status) => list.number(status.into()),
        None => list.text(None),
    }
    list
}

pub(super) fn refresh_error(error: &RefreshError) -> List {
    let text = match error {
        RefreshError::NotConnected => {
            "there is no negotiated connection; start it, or wait until it is up".to_owned()
        }
        RefreshError::NoProvider => {
            "there is no access token provider; set the option 'accessTokenFactory'".to_owned()
        }
        RefreshError::AccessToken(_) => "the access token provider failed: ".to_owned(),
        RefreshError::Request(error) => join(&["the refresh request failed: ", &error.message]),
        RefreshError::Refused { status, error } => {
            let reason = error.as_deref();
            let colon = if reason.is_some() { ": " } else { "" };
            let status = decimal((*status).into());
            join(&[
                "the server refused to refresh the authentication (status ",
                &status,
                ")",
                colon,
                reason.unwrap_or_default(),
            ])
        }
        RefreshError::WebPage | RefreshError::Invalid(_) => {
            "the answer to the refresh is not valid; is a login or a proxy in between?".to_owned()
        }
    };
    js_error("AuthenticationRefresh", &text, error.status())
}

pub(super) fn connection_error(error: &ConnectionError) -> List {
    let (code, text) = match error {
        ConnectionError::InvalidUrl(_) => ("InvalidUrl", "the hub URL is invalid".to_owned()),
        // JavaScript appends what it was.
        ConnectionError::AccessToken(_) => ("AccessToken", negotiation("")),
        ConnectionError::Negotiate { source, .. } => ("Negotiate", negotiate_text(source)),
        ConnectionError::NegotiateRequest { source, .. } => {
            let code = if source.message.ends_with(TIMEOUT) { "Timeout" } else { "Negotiate" };
            (code, negotiation(&source.message))
        }
        ConnectionError::NoTransport { skipped } => return no_transport(skipped, error.status()),
        ConnectionError::Transport(TransportError { message, .. }) => ("Transport", message.clone()),
        ConnectionError::Timeout { step: "the answer to the handshake", .. } => ("Timeout", SILENCE.to_owned()),
        ConnectionError::Timeout { .. } => ("Timeout", negotiation(&join(&["Error: ", TIMEOUT]))),
        ConnectionError::Handshake(reason) => ("Handshake", join(&["Server returned handshake error: ", reason])),
        ConnectionError::Protocol(_) => ("Protocol", "The server broke the hub protocol.".to_owned()),
        ConnectionError::ServerTimeout { .. } => ("ServerTimeout", SILENCE.to_owned()),
        ConnectionError::ServerClosed { error: Some(reason), .. } => {
            ("ServerClosed", join(&["Server returned an error on close: ", reason]))
        }
        ConnectionError::ServerClosed { .. } => ("ServerClosed", String::new()),
        ConnectionError::RetriesExhausted { attempts, elapsed, .. } => {
            let elapsed = decimal(elapsed.as_millis() as u64);
            let attempts = decimal((*attempts).into());
            let parts = ["Reconnect retries have been exhausted after ", &elapsed, " ms and ", &attempts, " failed attempts."];
            ("RetriesExhausted", join(&parts))
        }
        ConnectionError::SlowConsumer => (
            "SlowConsumer",
            "handlers and streams take the server's messages too slowly: more than 65536 messages, or 64 MiB, wait for them"
                .to_owned(),
        ),
        ConnectionError::Stopped => {
            ("Stopped", "The connection was stopped before the hub handshake could complete.".to_owned())
        }
        // Headers, certificates and plain http are the browser's matter.
        ConnectionError::AlreadyStarted
        | ConnectionError::NotConnected
        | ConnectionError::InvalidHeader { .. }
        | ConnectionError::InsecureUrl(_)
        | ConnectionError::InvalidCertificate { .. } => ("InvalidState", "there is no connection".to_owned()),
    };
    js_error(code, &text, error.status())
}

fn negotiation(reason: &str) -> String {
    join(&["Failed to complete negotiation with the server: ", reason])
}

/// Why negotiate has failed. What is no refusal by the official client's rules stands behind its words.
pub(super) fn negotiate_text(error: &NegotiateError) -> String {
    let invalid = |reason: &str| negotiation(&join(&["Error: ", reason]));
    match error {
        NegotiateError::Status { status, .. } if matches!(status, 200..=299) => {
            join(&["Unexpected status code returned from negotiate '", &decimal((*status).into()), "'"])
        }
        NegotiateError::Status { status, reason, .. } => {
            let hint = if *status == 404 {
                " Either this is not a SignalR endpoint or there is a proxy blocking the connection."
            } else {
                ""
            };
            let status = decimal((*status).into());
            invalid(&join(&[reason.as_deref().unwrap_or_default(), ": Status code '", &status, "'", hint]))
        }
        NegotiateError::HttpRedirect { location, .. } => {
            let to = if location.is_some() { " to " } else { "" };
            invalid(&join(&[
                "negotiate was answered with an HTTP redirect",
                to,
                location.as_deref().unwrap_or_default(),
                ", which is not followed; use the final URL of the hub, and check that no login answers in its place",
            ]))
        }
        NegotiateError::WebPage => invalid(
            "the answer is a web page (text/html), not a negotiate answer; is a login or a proxy in between, or is the URL not that of a SignalR hub?",
        ),
        NegotiateError::NotJson(_) => {
            invalid("the negotiate answer is not JSON; check that the URL is a SignalR hub")
        }
        NegotiateError::Invalid(what) => invalid(&join(&["the negotiate answer is not valid: ", what])),
        NegotiateError::WrongCase(name) => invalid(&join(&[
            "the negotiate answer has `",
            name,
            "`; SignalR needs camelCase names (`url`, `accessToken`), so set the server's JSON serializer to camelCase",
        ])),
        NegotiateError::LegacyServer => "Detected a connection attempt to an ASP.NET SignalR Server. This client only supports connecting to an ASP.NET Core SignalR Server. See https://aka.ms/signalr-core-differences for details.".to_owned(),
        NegotiateError::Refused(reason) => reason.clone(),
        NegotiateError::RedirectLimit => "Negotiate redirection limit exceeded.".to_owned(),
        NegotiateError::RedirectUrl(_) => invalid("the server redirects to an invalid URL"),
        NegotiateError::InsecureRedirect => {
            invalid("the server redirects from https to http, which is refused; use an https endpoint")
        }
        NegotiateError::UnaskedStatefulReconnect => {
            "Client didn't negotiate Stateful Reconnect but the server did.".to_owned()
        }
        NegotiateError::TooLong => invalid("the negotiate answer is too long"),
    }
}

/// With an inner error for each transport: its type, the number of the transport, and its text.
fn no_transport(skipped: &[SkippedTransport], status: Option<u16>) -> List {
    if skipped.is_empty() {
        let text = "None of the transports supported by the client are supported by the server.";
        return js_error("NoTransport", text, None);
    }
    let mut text = "Unable to connect to the server with any of the available transports.".to_owned();
    let inner = List::new();
    for SkippedTransport { transport, reason } in skipped {
        let (kind, why) = match reason {
            SkipReason::Unknown => (
                "",
                join(&["Skipping transport '", transport, "' because it is not supported by this client."]),
            ),
            SkipReason::Disabled => {
                ("DisabledTransportError", join(&["'", transport, "' is disabled by the client."]))
            }
            SkipReason::Format(format) => {
                ("", join(&["'", transport, "' does not support ", format.name(), "."]))
            }
            SkipReason::Environment => (
                "UnsupportedTransportError",
                join(&["'", transport, "' is not supported in your environment."]),
            ),
            SkipReason::Failed(error) => {
                ("FailedToStartTransportError", join(&[transport, " failed: Error: ", &error.message]))
            }
        };
        let name = if matches!(reason, SkipReason::Failed(_)) { "" } else { transport };
        let failed = if name.is_empty() { "" } else { " failed:" };
        text.push_str(&join(&[
            " ",
            name,
            failed,
            if name.is_empty() { "Error: " } else { " Error: " },
            &why,
        ]));
        let number = Transport::from_name(transport).map(|transport| Transports::from(transport).mask());
        let failed = List::new();
        failed.text(Some(kind));
        failed.number(number.unwrap_or_default().into());
        failed.text(Some(&why));
        inner.list(&failed);
    }
    let error = js_error("NoTransport", &text, status);
    error.list(&inner);
    error
}

pub(super) fn token_text(error: &TokenError) -> String {
    let part = |part: &TokenPart| match part {
        TokenPart::Header => "header",
        TokenPart::Claims => "claims",
    };
    match error {
        TokenError::TooLong { length } => {
            join(&["the token has ", &decimal(*length as u64), " bytes, which is too long"])
        }
        TokenError::Parts { parts } => join(&[
            "the token has ",
            &decimal(*parts as u64),
            " parts; a signed JWT has three, separated by dots",
        ]),
        TokenError::Base64(which) => {
            join(&["the token's ", part(which), " is not base64url without padding"])
        }
        TokenError::Claim(name) => join(&["the token's claim `", name, "` is of the wrong kind"]),
        TokenError::Utf8(which) => join(&["the token's ", part(which), " is not UTF-8"]),
        TokenError::Json { part: which, .. } => join(&["the token's ", part(which), " is not a JSON object"]),
    }
}

fn join(parts: &[&str]) -> String {
    parts.concat()
}

fn decimal(number: u64) -> String {
    let mut text = String::new();
    push_decimal(&mut text, number);
    text
}
