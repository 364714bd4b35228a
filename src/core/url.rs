//! A hub's address, and the few operations on it that SignalR needs.
//!
//! What [`HubUrl::parse`] accepts, every other parser of URLs (of `reqwest`, of a browser) has to read in the same way:
//! it decides where tokens may go, and they connect. So it takes no text that the
//! [URL Standard](https://url.spec.whatwg.org) would repair into something else than it looks like, and writes the rest
//! as the standard does. Percent-encoding, the order of parameters and a trailing slash are kept: all of them mean
//! something to some server. The `url` crate itself costs a browser build 76 kB (gzip).

mod address;

use std::fmt;

use self::address::{push_ipv6, read_ipv4, read_ipv6};
use crate::core::ascii::{decimal, is_all, is_one_of, push_decimal, split_at_byte, split_once};

/// Why a text cannot be the address of a hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// The scheme is missing or not `http`, `https`, `ws` or `wss`.
    #[error("the URL must start with http:// or https://")]
    Scheme,
    /// There is no host after the scheme.
    #[error("the URL has no host")]
    Host,
    /// The host is not a name, an IPv4 address of four decimal numbers or an IPv6 address in brackets.
    #[error(
        "the URL's host is invalid; it must be a name, an IPv4 address like 127.0.0.1 or an IPv6 address like [::1]"
    )]
    InvalidHost,
    /// The host has characters beyond ASCII.
    #[error("the URL's host has characters beyond ASCII; write it in its ASCII form (xn--…)")]
    InternationalHost,
    /// What follows the host is not a port.
    #[error("the URL's port is not a number from 0 to 65535")]
    Port,
    /// The user information before an `@` has a character in it that must be percent-encoded.
    #[error("the URL has user information before an @ that must be percent-encoded")]
    UserInformation,
    /// There is a backslash before the query. Browsers take it for a slash, others for a part of a name.
    #[error("the URL has a backslash; write / instead")]
    Backslash,
    /// A control character stands in the URL; it has to be percent-encoded.
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
    /// Reads an absolute URL. White space around it is dropped, and a fragment, which never goes over the wire. `ws://`
    /// and `wss://` are read as `http://` and `https://`, and a port that the scheme has anyway is left out. In path and
    /// query, what cannot stand there is percent-encoded, and `.` and `..` are resolved.
    ///
    /// ```
    /// use hubwire::core::url::{HubUrl, UrlError};
    ///
    /// let url = HubUrl::parse(" wss://Example.com:443/my hub?a=1 ")?;
    /// assert_eq!(url.to_text(), "https://example.com/my%20hub?a=1");
    /// assert_eq!(HubUrl::parse("http://evil.example\\@localhost/"), Err(UrlError::Backslash));
    /// # Ok::<(), UrlError>(())
    /// ```
    ///
    /// # Errors
    /// See [`UrlError`].
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let text = trim(text);
        let (scheme, rest) = split_scheme(text).ok_or(UrlError::Scheme)?;
        if !is_all(text, |b| b >= b' ' && b != 0x7f) {
            return Err(UrlError::Character);
        }
        let (rest, _fragment) = split_at_byte(rest, b'#');
        let (before, query) = split_at_byte(rest, b'?');
        if !is_all(before, |b| b != b'\\') {
            return Err(UrlError::Backslash);
        }
        let mut query = query.get(1..).unwrap_or_default();
        while let Some(rest) = query.strip_prefix('&').or_else(|| query.strip_suffix('&')) {
            query = rest;
        }
        let (authority, path) = split_at_byte(before, b'/');
        let host_and_port = without_user(authority);
        let user = authority.get(..authority.len() - host_and_port.len()).unwrap_or_default();
        if !is_all(user.strip_suffix('@').unwrap_or(user), is_user_byte) || user == "@" || user == ":@" {
            return Err(UrlError::UserInformation);
        }
        let (host, port) = split_port(host_and_port);
        let mut text = [scheme, user].concat();
        push_host(&mut text, host)?;
        push_port(&mut text, port, scheme == HTTPS)?;
        let path_start = text.len();
        push_path(&mut text, path);
        let path_end = text.len();
        if !query.is_empty() {
            text.push('?');
            push_encoded(&mut text, query, |b| b.is_ascii_graphic() && !is_one_of(b, b"\"'<>"));
        }
        Ok(Self { text, authority_start: scheme.len(), path_start, path_end })
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
        split_port(self.shown_authority()).0
    }

    /// The port, if it is not the one that the scheme has anyway.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        decimal(split_port(self.shown_authority()).1.get(1..)?)?.try_into().ok()
    }

    /// Whether scheme, host and port are the same: what is meant for one of the two may go to the other.
    #[must_use]
    pub fn has_same_origin(&self, other: &Self) -> bool {
        let port = if self.is_https() { ":443" } else { ":80" };
        let without_port = |authority| str::strip_suffix(authority, port).unwrap_or(authority);
        self.is_https() == other.is_https()
            && without_port(self.shown_authority())
                .eq_ignore_ascii_case(without_port(other.shown_authority()))
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

    /// This URL with a parameter added at the end of its query, both percent-encoded.
    ///
    /// ```
    /// use hubwire::core::url::HubUrl;
    ///
    /// let url = HubUrl::parse("https://example.com/chat?a=1")?.with_query_parameter("tenant", "R&D");
    /// assert_eq!(url.to_text(), "https://example.com/chat?a=1&tenant=R%26D");
    /// # Ok::<(), hubwire::core::url::UrlError>(())
    /// ```
    #[must_use]
    pub fn with_query_parameter(&self, name: &str, value: &str) -> Self {
        self.with_parameter(&encode_data(name), &encode_data(value))
    }

    /// This URL with a parameter added at the end of its query. Name and value have to be encoded already.
    #[must_use]
    pub(crate) fn with_parameter(&self, name: &str, encoded: &str) -> Self {
        let mark = if self.query().is_empty() { "?" } else { "&" };
        Self { text: [&self.text, mark, name, "=", encoded].concat(), ..*self }
    }

    /// The whole URL, query and all, with its `http` or `https` scheme.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.text.clone()
    }

    /// As [`to_text`](Self::to_text).
    #[cfg(all(browser, feature = "js"))]
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The same address for a WebSocket: `ws` or `wss`.
    #[must_use]
    pub fn to_web_socket_text(&self) -> String {
        let scheme = if self.is_https() { "wss://" } else { "ws://" };
        [scheme, self.part(self.authority_start, self.text.len())].concat()
    }
}

/// Whether a URL's host, as a parser writes it (an IPv6 address with its brackets), is this machine.
#[must_use]
pub fn is_loopback_host(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host == "[::1]"
        // All of 127.0.0.0/8. What has nothing but digits and dots cannot be a name.
        || (host.starts_with("127.") && is_all(host, |b| b == b'.' || b.is_ascii_digit()))
}

/// Whether a host can only be this machine: also a name that ends in `.localhost`, which leads nowhere else (RFC 6761).
/// Plain `http` is not held safe there, since not every resolver knows that.
#[cfg(all(native, any(feature = "client", feature = "service")))]
#[must_use]
pub(crate) fn is_this_machine(host: &str) -> bool {
    is_loopback_host(host)
        || host.rsplit_once('.').is_some_and(|(_, top)| top.eq_ignore_ascii_case("localhost"))
}

/// The scheme that is spoken, and what follows it.
fn split_scheme(text: &str) -> Option<(&'static str, &str)> {
    // Bytes and single characters are looked for here: a search for a text takes a kilobyte of a browser's build.
    let (scheme, rest) = split_once(text, b':')?;
    let rest = rest.strip_prefix("//")?;
    let is = |name: &&str| scheme.eq_ignore_ascii_case(name);
    if ["https", "wss"].iter().any(is) {
        Some((HTTPS, rest))
    } else {
        ["http", "ws"].iter().any(is).then_some((HTTP, rest))
    }
}

/// A host, and the port behind it with its colon.
fn split_port(authority: &str) -> (&str, &str) {
    // Behind the bracket of an IPv6 address, the next colon begins the port.
    let bracket = authority.bytes().position(|b| b == b']').unwrap_or_default();
    let colon = authority.bytes().skip(bracket).position(|b| b == b':');
    colon.and_then(|at| authority.split_at_checked(bracket + at)).unwrap_or((authority, ""))
}

/// Appends a host as the URL Standard writes it.
fn push_host(out: &mut String, host: &str) -> Result<(), UrlError> {
    if host.is_empty() {
        return Err(UrlError::Host);
    }
    if !host.is_ascii() {
        return Err(UrlError::InternationalHost);
    }
    if let Some(address) = host.strip_prefix('[') {
        let address = address.strip_suffix(']').and_then(read_ipv6).ok_or(UrlError::InvalidHost)?;
        push_ipv6(out, address);
        return Ok(());
    }
    if !is_all(host, |b| b.is_ascii_alphanumeric() || is_one_of(b, b"-._")) {
        return Err(UrlError::InvalidHost);
    }
    // What ends in a number is an IPv4 address to browsers: `127.1` and `0x7f.1` are 127.0.0.1 to them.
    let last = last_part(host.strip_suffix('.').unwrap_or(host), b'.');
    let is_hex = matches!(last.as_bytes(), [b'0', b'x' | b'X', digits @ ..] if digits.iter().all(u8::is_ascii_hexdigit));
    let is_number = is_hex || decimal(last).is_some();
    if (is_number && read_ipv4(host).is_none()) || (host.starts_with('.') && last.is_empty()) {
        return Err(UrlError::InvalidHost);
    }
    out.extend(host.chars().map(|c| c.to_ascii_lowercase()));
    Ok(())
}

/// Appends a port with its colon; nothing for the one that the scheme has anyway.
fn push_port(out: &mut String, port: &str, is_https: bool) -> Result<(), UrlError> {
    let digits = port.strip_prefix(':').unwrap_or(port);
    if digits.is_empty() {
        return Ok(());
    }
    match decimal(digits) {
        Some(80) if !is_https => {}
        Some(443) if is_https => {}
        Some(number @ ..=0xffff) => {
            out.push(':');
            push_decimal(out, number);
        }
        _ => return Err(UrlError::Port),
    }
    Ok(())
}

/// What user information may have in it: RFC 3986's `userinfo`, without what the URL Standard would encode.
fn is_user_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || is_one_of(byte, b"-._~%!$&()*+,:")
}

/// Appends a path, percent-encoded, without its segments `.` and `..`, in whichever way they are written.
fn push_path(out: &mut String, path: &str) {
    let start = out.len();
    let mut rest = path;
    while let Some(after) = rest.get(1..) {
        let segment;
        (segment, rest) = split_at_byte(after, b'/');
        let is = |written: &[&str]| written.iter().any(|dots| segment.eq_ignore_ascii_case(dots));
        let is_up = is(&["..", ".%2e", "%2e.", "%2e%2e"]);
        if is_up {
            let slash = out.bytes().skip(start).rposition(|b| b == b'/');
            out.truncate(start + slash.unwrap_or_default());
        }
        if is_up || is(&[".", "%2e"]) {
            if rest.is_empty() {
                out.push('/');
            }
        } else {
            out.push('/');
            push_encoded(out, segment, |b| b.is_ascii_graphic() && !is_one_of(b, b"\"<>^`{|}"));
        }
    }
}

fn without_user(authority: &str) -> &str {
    last_part(authority, b'@')
}

/// What follows the last of an ASCII character, or the whole text.
fn last_part(text: &str, byte: u8) -> &str {
    let start = text.bytes().rposition(|b| b == byte).map_or(0, |at| at + 1);
    text.get(start..).unwrap_or_default()
}

/// A text without white space and control characters around it.
fn trim(text: &str) -> &str {
    let start = text.bytes().position(|b| b > b' ').unwrap_or(text.len());
    let end = text.bytes().rposition(|b| b > b' ').map_or(start, |at| at + 1);
    text.get(start..end).unwrap_or_default()
}

impl HubUrl {
    /// What may be shown of it.
    fn shown(&self) -> [&str; 3] {
        [self.part(0, self.authority_start), self.shown_authority(), self.path()]
    }

    /// The text that `Display` shows, without the machinery for that.
    pub(crate) fn without_query(&self) -> String {
        self.shown().concat()
    }
}

impl fmt::Display for HubUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shown().into_iter().try_for_each(|part| f.write_str(part))
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
    encode(text, |b| b.is_ascii_alphanumeric() || is_one_of(b, b"-_.!~*'()"))
}

/// Percent-encodes everything but RFC 3986's unreserved characters, as .NET's `Uri.EscapeDataString` does.
#[must_use]
pub fn encode_data(text: &str) -> String {
    encode(text, |b| b.is_ascii_alphanumeric() || is_one_of(b, b"-_.~"))
}

/// Encodes what cannot stand in a query value. The official clients put connection tokens into the query as they
/// are; here only the characters that would break the query are encoded.
pub(crate) fn encode_query_value(text: &str) -> String {
    encode(text, |b| b.is_ascii_graphic() && !is_one_of(b, b"\"#%&'+<>"))
}

fn encode(text: &str, keep: fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    push_encoded(&mut out, text, keep);
    out
}

fn push_encoded(out: &mut String, text: &str, keep: fn(u8) -> bool) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
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
            "http://127.0.0.1:5000/chat",
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
    fn what_means_the_same_is_written_in_one_way() {
        for (text, wanted) in [
            (" https://h/a\r\n", "https://h/a"),
            ("ws://h/a", "http://h/a"),
            ("WSS://H/a", "https://h/a"),
            ("http://h:80/a", "http://h/a"),
            ("https://h:443/a", "https://h/a"),
            ("wss://h:443", "https://h"),
            ("http://h:443/a", "http://h:443/a"),
            ("http://h:/a", "http://h/a"),
            ("http://h:0080/a", "http://h/a"),
            ("http://h/my hub?q=a b", "http://h/my%20hub?q=a%20b"),
            ("http://h/\u{fc}?\u{fc}='", "http://h/%C3%BC?%C3%BC=%27"),
            ("http://h/a/./b/../c", "http://h/a/c"),
            ("http://h/a/%2E%2e/..", "http://h/"),
            ("http://h/a/.", "http://h/a/"),
            ("http://[0:0:0:0:0:0:0:1]/", "http://[::1]/"),
            ("http://[1:0:0:2::3]:80/", "http://[1:0:0:2::3]/"),
            ("http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/"),
            ("http://[FE80::]/", "http://[fe80::]/"),
        ] {
            assert_eq!(HubUrl::parse(text).map(|u| u.to_text()), Ok(wanted.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn what_is_not_an_address_says_why() {
        for (text, error) in [
            ("", UrlError::Scheme),
            ("/chat", UrlError::Scheme),
            ("ftp://h/", UrlError::Scheme),
            ("http:/h", UrlError::Scheme),
            ("http:\\\\h\\", UrlError::Scheme),
            ("ht\ttp://h", UrlError::Scheme),
            ("localhost:5000/hub", UrlError::Scheme),
            ("http:///x", UrlError::Host),
            ("http://:80/x", UrlError::Host),
            ("http://?x", UrlError::Host),
            ("http://user@/x", UrlError::Host),
            ("http://h/a\nb", UrlError::Character),
            ("http://h\t/a", UrlError::Character),
            ("http://h/a\u{7f}", UrlError::Character),
            ("http://evil.example\\@localhost/x", UrlError::Backslash),
            ("http://localhost\\.evil.example/x", UrlError::Backslash),
            ("http://h/a\\b", UrlError::Backslash),
            ("http://a b/", UrlError::InvalidHost),
            ("http://[", UrlError::InvalidHost),
            ("http://[::1", UrlError::InvalidHost),
            ("http://::1/", UrlError::Host),
            ("http://[::1]x/", UrlError::InvalidHost),
            ("http://[fe80::1%25eth0]/", UrlError::InvalidHost),
            ("http://a%2eb/", UrlError::InvalidHost),
            ("http://127.1/", UrlError::InvalidHost),
            ("http://0x7f.1/", UrlError::InvalidHost),
            ("http://2130706433/", UrlError::InvalidHost),
            ("http://0177.0.0.1/", UrlError::InvalidHost),
            ("http://127.0.0.1./", UrlError::InvalidHost),
            ("http://a.0x/", UrlError::InvalidHost),
            ("http://\u{ff11}27.0.0.1/", UrlError::InternationalHost),
            ("http://b\u{fc}cher.example/", UrlError::InternationalHost),
            ("http://h:99999/", UrlError::Port),
            ("http://h:+80/", UrlError::Port),
            ("http://a:b:c/", UrlError::Port),
            ("http://h:80:80/", UrlError::Port),
            ("http://a@b@h/", UrlError::UserInformation),
            ("http://a[@h/", UrlError::UserInformation),
            ("http://@h/", UrlError::UserInformation),
        ] {
            assert_eq!(HubUrl::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn loopback_hosts() {
        for (text, is) in [
            ("http://localhost:1", true),
            ("http://LOCALHOST", true),
            ("http://127.8.9.1/x", true),
            ("http://[::1]:80", true),
            ("http://[0:0::1]:81", true),
            ("http://[::ffff:127.0.0.1]", false),
            ("http://localhost.example.com", false),
            ("http://user@127.0.0.1", true),
            ("http://127.0.0.1@example.com", false),
            ("http://localhost:80@example.com", false),
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
