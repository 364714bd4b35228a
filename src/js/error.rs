//! Errors as JavaScript takes them: a code for programs, the official client's text for what it has one for, and the HTTP
//! status that a server refused with.
//!
//! A text is told in parts, which JavaScript joins: to put them together here takes several times as much room in the
//! module.

use super::list::List;
use crate::core::ProtocolError;
use crate::core::client::{ConnectionError, TransportError};
use crate::core::negotiate::{NegotiateError, SkipReason, SkippedTransport, Transport, Transports};
use crate::core::refresh::RefreshError;
use crate::core::token::{TokenError, TokenPart};

/// The text of the official client when a time is over.
const TIMEOUT: &str = "A timeout occurred.";
const SILENCE: &str = "Server timeout elapsed without receiving a message from the server.";
const NEGOTIATION: &str = "Failed to complete negotiation with the server: ";
const ERROR: &str = "Error: ";

/// `[code, status, inner errors, ...parts of the text]`, of which `machine.js` makes an `Error`. Here without any parts.
fn begin(code: &str, status: Option<u16>) -> List {
    let list = List::new();
    list.text(code);
    match status {
        Some(status) => list.number(status.into()),
        None => list.optional(None),
    }
    list
}

/// An error whose text is known.
pub(super) fn js_error(code: &str, text: &str) -> List {
    let error = begin(code, None);
    error.optional(None);
    error.text(text);
    error
}

pub(super) fn refresh_error(error: &RefreshError) -> List {
    let list = begin("AuthenticationRefresh", error.status());
    list.optional(None);
    match error {
        RefreshError::NotConnected => {
            list.text("there is no negotiated connection; start it, or wait until it is up");
        }
        RefreshError::NoProvider => {
            list.text("there is no access token provider; set the option 'accessTokenFactory'");
        }
        RefreshError::AccessToken(_) => list.text("the access token provider failed: "),
        RefreshError::Request(error) => {
            list.text("the refresh request failed: ");
            list.text(&error.message);
        }
        RefreshError::Refused { status, error } => {
            list.text("the server refused to refresh the authentication (status ");
            list.number((*status).into());
            list.text(")");
            if let Some(reason) = error {
                list.text(": ");
                list.text(reason);
            }
        }
        RefreshError::WebPage | RefreshError::Invalid(_) => {
            list.text("the answer to the refresh is not valid; is a login or a proxy in between?");
        }
    }
    list
}

pub(super) fn connection_error(error: &ConnectionError) -> List {
    let code = match error {
        ConnectionError::InvalidUrl(_) => "InvalidUrl",
        ConnectionError::AccessToken(_) => "AccessToken",
        ConnectionError::NegotiateRequest { source, .. } if source.message.ends_with(TIMEOUT) => "Timeout",
        ConnectionError::Negotiate { .. } | ConnectionError::NegotiateRequest { .. } => "Negotiate",
        ConnectionError::NoTransport { .. } => "NoTransport",
        ConnectionError::Transport(_) => "Transport",
        ConnectionError::Timeout { .. } => "Timeout",
        ConnectionError::Handshake(_) => "Handshake",
        ConnectionError::Protocol(_) => "Protocol",
        ConnectionError::ServerTimeout { .. } => "ServerTimeout",
        ConnectionError::ServerClosed { .. } => "ServerClosed",
        ConnectionError::RetriesExhausted { .. } => "RetriesExhausted",
        ConnectionError::SlowConsumer => "SlowConsumer",
        ConnectionError::Stopped => "Stopped",
        // Headers, certificates and plain http are the browser's matter.
        ConnectionError::AlreadyStarted
        | ConnectionError::NotConnected
        | ConnectionError::InvalidHeader { .. }
        | ConnectionError::InsecureUrl(_)
        | ConnectionError::InvalidCertificate { .. } => "InvalidState",
    };
    let list = begin(code, error.status());
    if let ConnectionError::NoTransport { skipped } = error {
        tell_skipped(&list, skipped);
        return list;
    }
    list.optional(None);
    match error {
        ConnectionError::InvalidUrl(_) => list.text("the hub URL is invalid"),
        // JavaScript appends what it was.
        ConnectionError::AccessToken(_) => list.text(NEGOTIATION),
        ConnectionError::Negotiate { source, .. } => tell_negotiate(&list, source),
        ConnectionError::NegotiateRequest { source, .. } => {
            list.text(NEGOTIATION);
            list.text(&source.message);
        }
        ConnectionError::Transport(TransportError { message, .. }) => list.text(message),
        ConnectionError::Timeout { step: "the answer to the handshake", .. }
        | ConnectionError::ServerTimeout { .. } => list.text(SILENCE),
        ConnectionError::Timeout { .. } => {
            list.text(NEGOTIATION);
            list.text(ERROR);
            list.text(TIMEOUT);
        }
        ConnectionError::Handshake(reason) => {
            list.text("Server returned handshake error: ");
            list.text(reason);
        }
        ConnectionError::Protocol(error) => list.text(protocol_text(error)),
        ConnectionError::ServerClosed { error: Some(reason), .. } => {
            list.text("Server returned an error on close: ");
            list.text(reason);
        }
        ConnectionError::ServerClosed { .. } => {}
        ConnectionError::RetriesExhausted { attempts, elapsed, .. } => {
            list.text("Reconnect retries have been exhausted after ");
            list.number(elapsed.as_millis() as u64 as f64);
            list.text(" ms and ");
            list.number((*attempts).into());
            list.text(" failed attempts.");
        }
        ConnectionError::SlowConsumer => list.text(
            "handlers and streams take the server's messages too slowly: more than 65536 messages, or 64 MiB, wait for them",
        ),
        ConnectionError::Stopped => {
            list.text("The connection was stopped before the hub handshake could complete.");
        }
        _ => list.text("there is no connection"),
    }
    list
}

pub(super) fn negotiate_error(error: &NegotiateError) -> List {
    let list = begin("Negotiate", None);
    list.optional(None);
    tell_negotiate(&list, error);
    list
}

/// Why negotiate has failed. Where the official client does not count it as a refusal, it follows the
/// official client's words.
fn tell_negotiate(list: &List, error: &NegotiateError) {
    match error {
        NegotiateError::Status { status: 200..=299, .. }
        | NegotiateError::LegacyServer
        | NegotiateError::Refused(_)
        | NegotiateError::RedirectLimit
        | NegotiateError::UnaskedStatefulReconnect => {}
        _ => {
            list.text(NEGOTIATION);
            list.text(ERROR);
        }
    }
    match error {
        NegotiateError::Status { status, .. } if matches!(status, 200..=299) => {
            list.text("Unexpected status code returned from negotiate '");
            list.number((*status).into());
            list.text("'");
        }
        NegotiateError::Status { status, reason, .. } => {
            list.optional(reason.as_deref());
            list.text(": Status code '");
            list.number((*status).into());
            list.text("'");
            if *status == 404 {
                list.text(
                    " Either this is not a SignalR endpoint or there is a proxy blocking the connection.",
                );
            }
        }
        NegotiateError::HttpRedirect { location, .. } => {
            list.text("negotiate was answered with an HTTP redirect");
            if let Some(location) = location {
                list.text(" to ");
                list.text(location);
            }
            list.text(
                ", which is not followed; use the final URL of the hub, and check that no login answers in its place",
            );
        }
        NegotiateError::WebPage => list.text(
            "the answer is a web page (text/html), not a negotiate answer; is a login or a proxy in between, or is the URL not that of a SignalR hub?",
        ),
        NegotiateError::NotJson(_) => {
            list.text("the negotiate answer is not JSON; check that the URL is a SignalR hub");
        }
        NegotiateError::Invalid(what) => {
            list.text("the negotiate answer is not valid: ");
            list.text(what);
        }
        NegotiateError::WrongCase(name) => {
            list.text("the negotiate answer has `");
            list.text(name);
            list.text(
                "`; SignalR needs camelCase names (`url`, `accessToken`), so set the server's JSON serializer to camelCase",
            );
        }
        NegotiateError::LegacyServer => list.text(
            "Detected a connection attempt to an ASP.NET SignalR Server. This client only supports connecting to an ASP.NET Core SignalR Server. See https://aka.ms/signalr-core-differences for details.",
        ),
        NegotiateError::Refused(reason) => list.text(reason),
        NegotiateError::RedirectLimit => list.text("Negotiate redirection limit exceeded."),
        NegotiateError::RedirectUrl(_) => list.text("the server redirects to an invalid URL"),
        NegotiateError::InsecureRedirect => {
            list.text("the server redirects from https to http, which is refused; use an https endpoint");
        }
        NegotiateError::UnaskedStatefulReconnect => {
            list.text("Client didn't negotiate Stateful Reconnect but the server did.");
        }
        NegotiateError::TooLong => list.text("the negotiate answer is too long"),
    }
}

/// Messages are read in JavaScript, which knows what was wrong with one: only the handshake is JSON here.
fn protocol_text(error: &ProtocolError) -> &'static str {
    match error {
        ProtocolError::NotAHandshake => {
            "Error parsing handshake response: Error: Expected a handshake response from the server."
        }
        ProtocolError::Sequence { .. } => "Sequence ID greater than amount of messages we've received.",
        ProtocolError::Message(_) => "The server broke the hub protocol.",
        _ => "Error parsing handshake response: Error: It is not JSON.",
    }
}

fn tell_skipped(list: &List, skipped: &[SkippedTransport]) {
    if skipped.is_empty() {
        list.optional(None);
        list.text("None of the transports supported by the client are supported by the server.");
        return;
    }
    list.list(&skipped_transports(skipped));
    list.text("Unable to connect to the server with any of the available transports.");
    for SkippedTransport { transport, reason } in skipped {
        if !matches!(reason, SkipReason::Failed(_)) {
            list.text(" ");
            list.text(transport);
            list.text(" failed:");
        }
        list.text(" ");
        list.text(ERROR);
        tell_reason(list, transport, reason);
    }
}

/// For each transport the type of the official client's error, the number of the transport, and the parts of why it was
/// not taken.
pub(super) fn skipped_transports(skipped: &[SkippedTransport]) -> List {
    let list = List::new();
    for SkippedTransport { transport, reason } in skipped {
        let number = Transport::from_name(transport).map(|transport| Transports::from(transport).mask());
        let skipped = List::new();
        skipped.text(match reason {
            SkipReason::Unknown | SkipReason::Format(_) => "",
            SkipReason::Disabled => "DisabledTransportError",
            SkipReason::Environment => "UnsupportedTransportError",
            SkipReason::Failed(_) => "FailedToStartTransportError",
        });
        skipped.number(number.unwrap_or_default().into());
        tell_reason(&skipped, transport, reason);
        list.list(&skipped);
    }
    list
}

fn tell_reason(list: &List, transport: &str, reason: &SkipReason) {
    match reason {
        SkipReason::Unknown => list.text("Skipping transport '"),
        SkipReason::Failed(_) => {}
        _ => list.text("'"),
    }
    list.text(transport);
    match reason {
        SkipReason::Unknown => list.text("' because it is not supported by this client."),
        SkipReason::Disabled => list.text("' is disabled by the client."),
        SkipReason::Format(format) => {
            list.text("' does not support ");
            list.text(format.name());
            list.text(".");
        }
        SkipReason::Environment => list.text("' is not supported in your environment."),
        SkipReason::Failed(error) => {
            list.text(" failed: Error: ");
            list.text(&error.message);
        }
    }
}

pub(super) fn token_error(error: &TokenError) -> List {
    let list = begin("Token", None);
    list.optional(None);
    list.text("the token");
    let part = |part: &TokenPart, what: &str| {
        list.text(match part {
            TokenPart::Header => "'s header ",
            TokenPart::Claims => "'s claims ",
        });
        list.text(what);
    };
    match error {
        TokenError::TooLong { length } => {
            list.text(" has ");
            list.number(*length as f64);
            list.text(" bytes, which is too long");
        }
        TokenError::Parts { parts } => {
            list.text(" has ");
            list.number(*parts as f64);
            list.text(" parts; a signed JWT has three, separated by dots");
        }
        TokenError::Base64(which) => part(which, "is not base64url without padding"),
        TokenError::Claim(name) => {
            list.text("'s claim `");
            list.text(name);
            list.text("` is of the wrong kind");
        }
        TokenError::Utf8(which) => part(which, "is not UTF-8"),
        TokenError::Json { part: which, .. } => part(which, "is not a JSON object"),
    }
    list
}
