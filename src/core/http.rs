//! What the heads of HTTP answers say, and what the headers of requests may say, on whichever platform.

use std::time::Duration;

use crate::core::ascii::{decimal, is_one_of, split_at_byte};
use crate::core::text::{clip, clipped};
use crate::core::url::HubUrl;
use crate::core::{TransportError, TransportErrorKind};

/// The longest pause that `Retry-After` can ask for. A server, or whatever answers in its place, must not be able to
/// put a client to sleep forever: what is longer counts as this.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

/// The pause that a `Retry-After` header asks for (RFC 9110, 10.2.3): a whole number of seconds. A date is ignored: it
/// would need both clocks to agree, and SignalR's servers send none.
///
/// ```
/// # #[cfg(feature = "unstable-machines")] {
/// use std::time::Duration;
/// use hubwire::core::http::{MAX_RETRY_AFTER, retry_after};
///
/// assert_eq!(retry_after("120"), Some(Duration::from_secs(120)));
/// assert_eq!(retry_after("18446744073709551616"), Some(MAX_RETRY_AFTER));
/// assert_eq!(retry_after("soon"), None);
/// # }
/// ```
#[must_use]
pub fn retry_after(value: &str) -> Option<Duration> {
    Some(Duration::from_secs(decimal(value.trim_ascii())?).min(MAX_RETRY_AFTER))
}

/// The head of an answer: what it claims to be, before its body is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// The HTTP status; 0 for a redirect that a browser does not show (`opaqueredirect` of fetch).
    pub status: u16,
    /// The pause that `Retry-After` asks for ([`retry_after`]).
    pub retry_after: Option<Duration>,
    /// `Content-Type`, as it is.
    pub content_type: Option<String>,
    /// `Content-Length`, where the body has one.
    pub content_length: Option<u64>,
    /// `Location`, as it is.
    pub location: Option<String>,
}

impl Head {
    /// Reads the headers, of which `header` gives the value by name.
    pub fn new(status: u16, header: impl Fn(&'static str) -> Option<String>) -> Self {
        Self {
            status,
            retry_after: header("Retry-After").as_deref().and_then(retry_after),
            content_type: header("Content-Type"),
            content_length: header("Content-Length").and_then(|length| length.trim_ascii().parse().ok()),
            location: header("Location"),
        }
    }

    /// Whether the body is a web page, as logins and proxies send them in a server's place.
    #[must_use]
    pub fn is_web_page(&self) -> bool {
        is_web_page(self.content_type.as_deref()) && self.content_length != Some(0)
    }

    /// Whether the body is an event stream (`text/event-stream`), as `EventSource` requires. An answer that does not say
    /// what it is counts as one.
    #[must_use]
    pub fn is_event_stream(&self) -> bool {
        self.content_type.as_deref().is_none_or(|kind| is_media_type(kind, EVENT_STREAM))
    }

    /// An answer that is not what was asked for: `message` says what failed.
    #[must_use]
    pub fn refusal(&self, message: &str) -> TransportError {
        let mut message = message.to_owned();
        let mut kind = TransportErrorKind::Other;
        if let Some(redirect) = redirect(self.status, self.location.as_deref()) {
            message.push(':');
            message.push_str(&redirect);
            kind = TransportErrorKind::Redirect;
        } else if self.is_web_page() {
            message.push_str(": the answer is a web page (text/html); is a login or a proxy in between?");
        } else if let (200, Some(kind)) = (self.status, &self.content_type) {
            message.push_str(": the answer is of the type ");
            message.push_str(&clip(kind.as_str()));
        }
        let status = Some(self.status).filter(|&status| status != 0);
        TransportError { status, kind, ..TransportError::new(message) }
    }
}

/// The media type of JSON.
#[cfg(all(native, feature = "service"))]
pub const JSON: &str = "application/json";
/// The media type of MessagePack, which is not registered, as Azure SignalR Service writes it.
#[cfg(all(native, feature = "service", feature = "msgpack"))]
pub const MESSAGE_PACK: &str = "application/x-msgpack";
/// The media type of bytes.
pub const OCTETS: &str = "application/octet-stream";
/// The media type of Server-Sent Events.
pub const EVENT_STREAM: &str = "text/event-stream";

/// Whether a `Content-Type` (RFC 9110, 8.3) names this media type, whatever its parameters and its case.
///
/// ```
/// use hubwire::core::http::is_media_type;
///
/// assert!(is_media_type("Text/HTML; charset=utf-8", "text/html"));
/// ```
#[must_use]
pub fn is_media_type(content_type: &str, media_type: &str) -> bool {
    let (name, _parameters) = split_at_byte(content_type, b';');
    name.trim_ascii().eq_ignore_ascii_case(media_type)
}

/// Whether a `Content-Type` is that of a web page.
#[must_use]
pub fn is_web_page(content_type: Option<&str>) -> bool {
    content_type
        .is_some_and(|kind| is_media_type(kind, "text/html") || is_media_type(kind, "application/xhtml+xml"))
}

/// What an error says of an answer that redirects, which is never followed: the request's headers and token are for the
/// server that was asked. `None` for any other answer.
#[must_use]
pub fn redirect(status: u16, location: Option<&str>) -> Option<String> {
    if !matches!(status, 0 | 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let mut text = " an HTTP redirect".to_owned();
    let target = location.map(without_query).unwrap_or_default();
    if !target.is_empty() {
        text.push_str(" to ");
        text.push_str(&target);
    }
    text.push_str(
        ", which is not followed; use the final URL of the hub, and check that no login answers in its place",
    );
    Some(text)
}

/// A `Location` as errors show it: clipped, without query, fragment and user information.
#[must_use]
pub fn without_query(location: &str) -> String {
    if let Ok(url) = HubUrl::parse(location) {
        return clipped(&url.without_query());
    }
    // A path, most likely. A host of another scheme, or without one, may have a user name.
    let end = location.bytes().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(location.len());
    let path = location.get(..end).unwrap_or_default();
    if path.bytes().any(|byte| byte == b'@') { String::new() } else { clipped(path) }
}

/// What keeps a text from being the value of a header (RFC 9110, 5.5), in the form of "it contains …". Only ASCII is the
/// same everywhere: natively other characters would go as UTF-8, in browsers as Latin-1.
#[must_use]
pub fn value_fault(value: &str) -> Option<&'static str> {
    value.bytes().find_map(|byte| match byte {
        b'\r' | b'\n' => Some("contains a line end; trim it"),
        b'\t' | b' '..=b'~' => None,
        0..=0x7f => Some("contains a control character"),
        _ => Some("contains a character that is not ASCII"),
    })
}

/// The token in the value of an `Authorization` header of the scheme `Bearer` (RFC 6750, 2.1).
#[cfg(all(native, any(feature = "server", feature = "service")))]
#[must_use]
pub fn bearer_token(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_ascii())
}

/// Whether a text can be the name of a header (RFC 9110, 5.1).
#[must_use]
pub fn is_header_name(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || is_one_of(byte, b"!#$%&'*+-.^_`|~");
    !name.is_empty() && name.bytes().all(is_token)
}

/// Whether a request that was refused with this status may succeed later.
pub(super) fn may_pass(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_tell_what_an_answer_is() {
        let head = |status, kind: Option<&str>| Head {
            status,
            content_type: kind.map(str::to_owned),
            ..Head::default()
        };
        for (kind, page, events) in [
            (None, false, true),
            (Some("text/event-stream"), false, true),
            (Some("Text/Event-Stream ; charset=UTF-8"), false, true),
            (Some("text/event-streams"), false, false),
            (Some(""), false, false),
            (Some("TEXT/HTML;charset=utf-8"), true, false),
            (Some("application/xhtml+xml"), true, false),
            (Some("text/plain; text/html"), false, false),
        ] {
            let head = head(200, kind);
            assert_eq!((head.is_web_page(), head.is_event_stream()), (page, events), "{kind:?}");
        }
        assert!(!Head { content_length: Some(0), ..head(200, Some("text/html")) }.is_web_page());

        for (head, wanted) in [
            (
                head(200, Some("text/html")),
                "it failed: the answer is a web page (text/html); is a login or a proxy in between? (status 200)",
            ),
            (
                head(200, Some("application/json")),
                "it failed: the answer is of the type application/json (status 200)",
            ),
            (head(503, Some("text/plain")), "it failed (status 503)"),
            (
                Head {
                    location: Some("https://u:p@login.example/a?to=secret#x".to_owned()),
                    ..head(302, None)
                },
                "it failed: an HTTP redirect to https://login.example/a, which is not followed; use the final URL of the hub, and check that no login answers in its place (status 302)",
            ),
            (
                Head { location: Some("/login/?u=@secret".to_owned()), ..head(307, None) },
                "it failed: an HTTP redirect to /login/, which is not followed; use the final URL of the hub, and check that no login answers in its place (status 307)",
            ),
            (
                head(0, None),
                "it failed: an HTTP redirect, which is not followed; use the final URL of the hub, and check that no login answers in its place",
            ),
        ] {
            assert_eq!(head.refusal("it failed").to_string(), wanted);
        }
        let long = Head { content_type: Some("x/".repeat(1 << 20)), ..head(200, None) };
        assert!(long.refusal("it failed").message.len() < 5000);
    }

    #[test]
    fn heads_are_read_by_name() {
        let head = Head::new(200, |name| match name {
            "Content-Length" => Some(" 7".to_owned()),
            "Retry-After" => Some("5".to_owned()),
            _ => None,
        });
        let wanted = Head {
            status: 200,
            content_length: Some(7),
            retry_after: Some(Duration::from_secs(5)),
            ..Head::default()
        };
        assert_eq!(head, wanted);
    }

    #[test]
    fn header_values_and_names() {
        for (value, fault) in [
            ("", None),
            ("Bearer e30\tx ~", None),
            ("e30\n", Some("contains a line end; trim it")),
            ("e30\r\nX: y", Some("contains a line end; trim it")),
            ("\0", Some("contains a control character")),
            ("\u{7f}", Some("contains a control character")),
            ("caf\u{e9}", Some("contains a character that is not ASCII")),
        ] {
            assert_eq!(value_fault(value), fault, "{value:?}");
        }
        for (name, valid) in [
            ("X-Tenant", true),
            ("x_1.~", true),
            ("", false),
            ("X Y", false),
            ("X:", false),
            ("\u{e9}", false),
        ] {
            assert_eq!(is_header_name(name), valid, "{name:?}");
        }
    }

    #[test]
    fn seconds_are_read_and_capped() {
        for (value, seconds) in [
            ("0", Some(0)),
            (" 7\t", Some(7)),
            ("007", Some(7)),
            ("3600", Some(3600)),
            ("3601", Some(3600)),
            ("18446744073709551615", Some(3600)),
            ("18446744073709551616", Some(3600)),
            (&"9".repeat(10_000), Some(3600)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("1e3", None),
            ("1 2", None),
            ("\u{663}", None),
            ("nonsense", None),
            ("Fri, 31 Dec 9999 23:59:59 GMT", None),
        ] {
            assert_eq!(retry_after(value), seconds.map(Duration::from_secs), "{value:?}");
        }
    }
}
