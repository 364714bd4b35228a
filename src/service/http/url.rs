//! The rules for URLs: which ones are taken, to which ones tokens may be sent, and how their parts are decoded.

use percent_encoding::percent_decode_str;
use reqwest::Url;

use crate::core::url::is_loopback_host;

/// An absolute http or https URL. Paths would be appended behind a query, and user information is a password that
/// would end up in logs, so neither may be there. The `url` crate takes more than RFC 3986 does: a missing `//`,
/// backslashes, blanks.
pub(in crate::service) fn parse_url(text: &str) -> Option<Url> {
    let (scheme, rest) = text.split_once("://")?;
    let http = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    if !http
        || rest.starts_with('/')
        || rest.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\')
    {
        return None;
    }
    let url = Url::parse(text).ok()?;
    let plain = url.query().is_none() && url.fragment().is_none();
    let anonymous = url.username().is_empty() && url.password().is_none();
    (plain && anonymous && url.has_host()).then_some(url)
}

/// The URL with exactly one slash at its end.
pub(in crate::service) fn with_slash(url: &Url) -> String {
    format!("{}/", url.as_str().trim_end_matches('/'))
}

/// Whether tokens may be sent there: anywhere with https, with plain http to this machine only.
pub(in crate::service) fn is_secure(url: &Url) -> bool {
    url.scheme() == "https" || is_loopback_host(url.host_str().unwrap_or_default())
}

/// A parameter of a query, decoded; of several with one name the first. Names are compared without case, as in .NET.
pub(in crate::service) fn parameter(query: &str, name: &str) -> Option<String> {
    let query = query.strip_prefix('?').unwrap_or(query);
    form_urlencoded::parse(query.as_bytes())
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.into_owned())
}

/// A text without its percent-encoding.
pub(in crate::service) fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}
