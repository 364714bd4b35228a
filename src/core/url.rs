//! A hub's address, and the few operations on it that SignalR needs.
//!
//! The text is kept as it was given: percent-encoding, the order of parameters and a trailing slash all mean
//! something to some server. The `url` crate would normalise them, and costs a browser build 76 kB (gzip).

use std::fmt;

/// Why a text cannot be the address of a hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// The scheme is missing or not `http` or `https`.
    #[error("the URL must start with http:// or https://")]
    Scheme,
    /// There is no host after the scheme.
    #[error("the URL has no host")]
    Host,
    /// A space or a control character stands in the URL; it has to be percent-encoded.
    #[error("the URL has a character that must be percent-encoded")]
    Character,
}

/// An absolute `http` or `https` URL. `Display` and `Debug` leave the query out, since tokens travel in it;
/// [`HubUrl::to_text`] gives everything.
#[derive(Clone, PartialEq, Eq)]
pub struct HubUrl {
    /// Scheme, authority, path, and the query with its `?` if there is one.
    text: String,
    authority_start: usize,
    path_start: usize,
    path_end: usize,
}

const HTTP: &str = "http://";
const HTTPS: &str = "https://";

impl HubUrl {
    /// Reads an absolute URL. A fragment is dropped: it never goes over the wire.
    ///
    /// # Errors
    /// See [`UrlError`].
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let begins =
            |scheme: &&str| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
        let scheme = [HTTPS, HTTP].into_iter().find(begins).ok_or(UrlError::Scheme)?;
        if text.bytes().any(|b| b <= b' ' || b == 0x7f) {
            return Err(UrlError::Character);
        }
        let rest = text.get(scheme.len()..).unwrap_or_default();
        let (rest, _fragment) = split_at_byte(rest, b'#');
        let (before, query) = split_at_byte(rest, b'?');
        let mut query = query.get(1..).unwrap_or_default();
        while let Some(rest) = query.strip_prefix('&').or_else(|| query.strip_suffix('&')) {
            query = rest;
        }
        let (authority, path) = split_at_byte(before, b'/');
        let host = without_user(authority);
        if host.is_empty() || host.starts_with(':') {
            return Err(UrlError::Host);
        }
        let mark = if query.is_empty() { "" } else { "?" };
        let path_start = scheme.len() + authority.len();
        Ok(Self {
            text: [scheme, authority, path, mark, query].concat(),
            authority_start: scheme.len(),
            path_start,
            path_end: path_start + path.len(),
        })
    }

    fn part(&self, from: usize, to: usize) -> &str {
        self.text.get(from..to).unwrap_or_default()
    }

    /// Whether the scheme is `https`.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.authority_start == HTTPS.len()
    }

    /// Host and port. User information in an authority may be a password, and stays out.
    fn shown_authority(&self) -> &str {
        without_user(self.part(self.authority_start, self.path_start))
    }

    /// The host, without port and user information; an IPv6 address keeps its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        let host = self.shown_authority();
        if host.starts_with('[') {
            let (address, _port) = split_at_byte(host, b']');
            host.get(..=address.len()).unwrap_or(host)
        } else {
            split_at_byte(host, b':').0
        }
    }

    /// Whether scheme, host and port are the same: what is meant for one of the two may go to the other.
    #[must_use]
    pub fn has_same_origin(&self, other: &Self) -> bool {
        let origin = |url: &Self| {
            let port = if url.is_https() { ":443" } else { ":80" };
            let authority = url.shown_authority();
            authority.strip_suffix(port).unwrap_or(authority).to_ascii_lowercase()
        };
        self.is_https() == other.is_https() && origin(self) == origin(other)
    }

    /// Whether the host is this machine, where plain `http` is safe.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_loopback_host(self.host())
    }

    /// The path, as it was given: it may be empty or end in a slash.
    #[must_use]
    pub fn path(&self) -> &str {
        self.part(self.path_start, self.path_end)
    }

    /// The query without its `?`; empty when there is none.
    #[must_use]
    pub fn query(&self) -> &str {
        self.part(self.path_end + 1, self.text.len())
    }

    /// The value of the first query parameter of exactly this name, still percent-encoded.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let mut rest = self.query();
        while !rest.is_empty() {
            let (pair, after) = split_at_byte(rest, b'&');
            let (key, value) = split_at_byte(pair, b'=');
            if key == name {
                return Some(value.get(1..).unwrap_or_default());
            }
            rest = after.get(1..).unwrap_or_default();
        }
        None
    }

    /// This URL with one more path segment, joined by exactly one slash. The query stays.
    #[must_use]
    pub fn join(&self, segment: &str) -> Self {
        let slash = if self.path().ends_with('/') { "" } else { "/" };
        let before = self.part(0, self.path_end);
        let query = self.part(self.path_end, self.text.len());
        let path_end = self.path_end + slash.len() + segment.len();
        Self { text: [before, slash, segment, query].concat(), path_end, ..*self }
    }

    /// This URL with a parameter added at the end of its query. The value has to be encoded already.
    #[must_use]
    pub fn with_parameter(&self, name: &str, encoded: &str) -> Self {
        let mark = if self.query().is_empty() { "?" } else { "&" };
        Self { text: [&self.text, mark, name, "=", encoded].concat(), ..*self }
    }

    /// The whole URL, query and all, with its `http` or `https` scheme.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.text.clone()
    }

    /// The same address for a WebSocket: `ws` or `wss`.
    #[must_use]
    pub fn to_web_socket_text(&self) -> String {
        let scheme = if self.is_https() { "wss://" } else { "ws://" };
        [scheme, self.part(self.authority_start, self.text.len())].concat()
    }
}

/// Whether a URL's host, an IPv6 address with its brackets, is this machine.
#[must_use]
pub fn is_loopback_host(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host == "[::1]"
        // All of 127.0.0.0/8. What has nothing but digits and dots cannot be a name.
        || (host.starts_with("127.") && host.bytes().all(|b| b == b'.' || b.is_ascii_digit()))
}

/// The text before the first of an ASCII character, and the rest with it.
fn split_at_byte(text: &str, byte: u8) -> (&str, &str) {
    let at = text.bytes().position(|b| b == byte);
    at.and_then(|at| text.split_at_checked(at)).unwrap_or((text, ""))
}

fn without_user(authority: &str) -> &str {
    let host = authority.bytes().rposition(|b| b == b'@').map_or(0, |at| at + 1);
    authority.get(host..).unwrap_or_default()
}

impl fmt::Display for HubUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [self.part(0, self.authority_start), self.shown_authority(), self.path()] {
            f.write_str(part)?;
        }
        Ok(())
    }
}

impl fmt::Debug for HubUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HubUrl({self})")
    }
}

/// Percent-encodes a text as one component of a URL, as JavaScript's `encodeURIComponent` does.
#[must_use]
pub fn encode_component(text: &str) -> String {
    encode(text, |b| b.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&b))
}

/// Percent-encodes everything but RFC 3986's unreserved characters, as .NET's `Uri.EscapeDataString` does.
#[must_use]
pub fn encode_data(text: &str) -> String {
    encode(text, |b| b.is_ascii_alphanumeric() || b"-_.~".contains(&b))
}

/// Encodes what cannot stand in a query value. The official clients put connection tokens into the query as they
/// are; here only the characters that would break the query are encoded.
pub(crate) fn encode_query_value(text: &str) -> String {
    encode(text, |b| b.is_ascii_graphic() && !b"\"#%&+<>".contains(&b))
}

fn encode(text: &str, keep: impl Fn(u8) -> bool) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if keep(byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for nibble in [byte >> 4, byte & 15] {
                out.push(HEX.get(usize::from(nibble)).map_or('0', |&h| char::from(h)));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins() {
        for (one, other, same) in [
            ("https://h/a", "https://H:443/b?c=d", true),
            ("http://h", "http://u:p@h:80/", true),
            ("http://h:8080/", "http://h:8080/x", true),
            ("http://h:8080/", "http://h/", false),
            ("http://h:443/", "https://h/", false),
            ("http://h/", "https://h/", false),
            ("https://a.h/", "https://h/", false),
            ("http://[::1]:80/", "http://[::1]/", true),
        ] {
            let (one, other) = (HubUrl::parse(one).unwrap(), HubUrl::parse(other).unwrap());
            assert_eq!(one.has_same_origin(&other), same, "{one} {other}");
        }
    }

    #[test]
    fn addresses_are_kept_as_given() {
        for text in [
            "http://a",
            "https://example.com/chat/",
            "https://h:8443/a%20b?x=1/0&y=",
            "http://[::1]:5000/hub?q",
            "https://h?value=null",
        ] {
            assert_eq!(HubUrl::parse(text).map(|u| u.to_text()), Ok(text.to_owned()));
        }
        assert_eq!(HubUrl::parse("HTTPS://h/a?#top").map(|u| u.to_text()), Ok("https://h/a".to_owned()));
    }

    #[test]
    fn what_is_no_address_says_why() {
        for (text, error) in [
            ("/chat", UrlError::Scheme),
            ("ftp://h/", UrlError::Scheme),
            ("localhost:5000/hub", UrlError::Scheme),
            ("http:///x", UrlError::Host),
            ("http://:80/x", UrlError::Host),
            ("http://h/a b", UrlError::Character),
            ("http://h/a\nb", UrlError::Character),
        ] {
            assert_eq!(HubUrl::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn loopback_hosts() {
        for (text, is) in [
            ("http://localhost:1", true),
            ("http://127.8.9.1/x", true),
            ("http://[::1]:80", true),
            ("http://localhost.example.com", false),
            ("http://user@127.0.0.1", true),
            ("http://127.0.0.1@example.com", false),
            ("http://10.0.0.1", false),
        ] {
            assert_eq!(HubUrl::parse(text).map(|u| u.is_loopback()), Ok(is), "{text}");
        }
    }

    #[test]
    fn shown_without_query_and_user() {
        let url = HubUrl::parse("https://u:secret@h/hub?access_token=secret");
        assert_eq!(url.map(|u| format!("{u} {u:?}")), Ok("https://h/hub HubUrl(https://h/hub)".to_owned()));
    }

    #[test]
    fn encoding() {
        assert_eq!(encode_component("a b/ü&=+~"), "a%20b%2F%C3%BC%26%3D%2B~");
        assert_eq!(encode_data("a b/ü!~*'()-_."), "a%20b%2F%C3%BC%21~%2A%27%28%29-_.");
        assert_eq!(encode_query_value("ab-_/==:+&# \u{e9}"), "ab-_/==:%2B%26%23%20%C3%A9");
    }
}
