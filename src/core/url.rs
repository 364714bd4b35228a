//! A hub's address, and the few operations on it that SignalR needs.
//!
//! The text is kept as it was given: percent-encoding, the order of parameters and a trailing slash all mean
//! something to some server. The `url` crate would normalise them, and costs a browser build 76 kB (gzip).

use std::fmt;

/// Why a text can't be the address of a hub.
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
    https: bool,
    authority: String,
    path: String,
    query: String,
}

impl HubUrl {
    /// Reads an absolute URL. A fragment is dropped: it never goes over the wire.
    ///
    /// # Errors
    /// See [`UrlError`].
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        let https = match scheme {
            s if s.eq_ignore_ascii_case("https") => true,
            s if s.eq_ignore_ascii_case("http") => false,
            _ => return Err(UrlError::Scheme),
        };
        if text.bytes().any(|b| b <= b' ' || b == 0x7f) {
            return Err(UrlError::Character);
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = match before.find('/') {
            Some(at) => before.split_at(at),
            None => (before, ""),
        };
        let host = authority.rsplit('@').next().unwrap_or_default();
        if host.is_empty() || host.starts_with(':') {
            return Err(UrlError::Host);
        }
        Ok(Self {
            https,
            authority: authority.to_owned(),
            path: path.to_owned(),
            query: query.trim_matches('&').to_owned(),
        })
    }

    /// Whether the scheme is `https`.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// The host, without port and user information; an IPv6 address keeps its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        let host = self.authority.rsplit('@').next().unwrap_or_default();
        let end = if host.starts_with('[') { host.find(']').map(|at| at + 1) } else { host.find(':') };
        end.and_then(|end| host.get(..end)).unwrap_or(host)
    }

    /// Whether the host is this machine, where plain `http` is no danger.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = self.host();
        host.eq_ignore_ascii_case("localhost")
            || host == "[::1]"
            || host.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// The path, as it was given: it may be empty or end in a slash.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The query without its `?`; empty when there is none.
    #[must_use]
    pub fn query(&self) -> &str {
        &self.query
    }

    /// The value of the first query parameter of exactly this name, still percent-encoded.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then_some(value)
        })
    }

    /// This URL with one more path segment, joined by exactly one slash. The query stays.
    #[must_use]
    pub fn join(&self, segment: &str) -> Self {
        let slash = if self.path.ends_with('/') { "" } else { "/" };
        Self { path: format!("{}{slash}{segment}", self.path), ..self.clone() }
    }

    /// This URL with a parameter added at the end of its query. The value has to be encoded already.
    #[must_use]
    pub fn with_parameter(&self, name: &str, encoded: &str) -> Self {
        let and = if self.query.is_empty() { "" } else { "&" };
        Self { query: format!("{}{and}{name}={encoded}", self.query), ..self.clone() }
    }

    /// The whole URL, query and all, with its `http` or `https` scheme.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.text_with(if self.https { "https" } else { "http" })
    }

    /// The same address for a WebSocket: `ws` or `wss`.
    #[must_use]
    pub fn to_web_socket_text(&self) -> String {
        self.text_with(if self.https { "wss" } else { "ws" })
    }

    fn text_with(&self, scheme: &str) -> String {
        let mark = if self.query.is_empty() { "" } else { "?" };
        format!("{scheme}://{}{}{mark}{}", self.authority, self.path, self.query)
    }
}

impl fmt::Display for HubUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        // User information in an authority may be a password.
        let host = self.authority.rsplit('@').next().unwrap_or_default();
        write!(f, "{scheme}://{host}{}", self.path)
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

/// Encodes what can't stand in a query value. The official clients put connection tokens into the query as they
/// are; whatever a server can mean by that survives here, and what would break the query does not.
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
