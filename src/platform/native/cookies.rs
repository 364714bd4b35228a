//! Cookies: what the server sets, kept for the later requests of a connection. In a browser this is the browser's own work.

use std::fmt;
use std::sync::{Arc, Mutex};

use cookie_store::{Cookie, CookieDomain};
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderValue, SET_COOKIE};

use crate::core::url::{HubUrl, UrlError};
use crate::lock::lock;

/// The longest `Set-Cookie` that is kept, in bytes. RFC 6265 (6.1) asks for as much.
const LENGTH_LIMIT: usize = 4096;

/// How many cookies of one domain are kept, and how many altogether: the figures of .NET's `CookieContainer`.
const DOMAIN_LIMIT: usize = 20;
const LIMIT: usize = 300;

/// Cookies (RFC 6265) that the connections of a native program get and send.
///
/// Without one, every start of a connection has a jar of its own, which serves all its requests and those of its
/// reconnects: that is what sticky sessions of load balancers need. A jar of yours can be filled before, such as with
/// the cookie of a login, and be shared by several connections. Its clones are the same jar.
///
/// A cookie goes back to where it came from only: to the host and port that set it, or with the attribute `Domain` to
/// that domain and its subdomains, below its `Path` and until its `Max-Age` or `Expires`; one that is `Secure` by https,
/// or to this machine. A `Domain` without a dot in it, such as `com`, is refused. There is no list of public suffixes, so
/// that a server can share cookies with its neighbours under a suffix such as `co.uk`.
///
/// At most 300 cookies are kept, 20 of one domain, each of at most 4096 bytes; the oldest make room for new ones. `Debug`
/// shows none of them.
///
/// ```
/// use hubwire::{CookieJar, HubConnection};
///
/// let jar = CookieJar::new();
/// jar.set("https://example.com/", "session=31d4d96e; Secure; HttpOnly")?;
/// let hub = HubConnection::builder("https://example.com/chat").with_cookie_jar(jar.clone()).build()?;
/// assert_eq!(jar.header("https://example.com/chat").as_deref(), Some("session=31d4d96e"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct CookieJar(Arc<Mutex<Vec<Kept>>>);

struct Kept {
    cookie: Cookie<'static>,
    /// Where a cookie without `Domain` came from: another port is another server. Browsers begin to think so too
    /// (origin-bound cookies), RFC 6265 did not.
    port: Option<u16>,
}

/// Why a cookie is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CookieError {
    /// The URL that sets it is invalid.
    #[error("{0}")]
    InvalidUrl(UrlError),
    /// The text is not that of a `Set-Cookie` header: `name=value; Path=/; …`.
    #[error("the text is not a cookie; it has to be of the form `name=value; Path=/`")]
    Malformed,
    /// It is longer than 4096 bytes.
    #[error("the cookie is longer than {LENGTH_LIMIT} bytes")]
    TooLong,
    /// The attribute `Domain` names another domain, or one without a dot.
    #[error("the cookie's `Domain` does not contain the host of the URL, or has no dot")]
    Domain,
    /// A `Secure` cookie from a URL that is not https and not this machine, or the name begins with `__Secure-` or
    /// `__Host-` and the cookie is not what that says.
    #[error(
        "the cookie has to be `Secure` and come by https, and one named `__Host-` needs `Path=/` and no `Domain`"
    )]
    Insecure,
}

impl CookieJar {
    /// An empty jar.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps a cookie as if the server at this URL had sent it in a `Set-Cookie` header. One of the same name, domain and
    /// path is replaced, and one that has expired removed.
    ///
    /// # Errors
    /// See [`CookieError`].
    pub fn set(&self, url: &str, cookie: &str) -> Result<(), CookieError> {
        let url = HubUrl::parse(url).map_err(CookieError::InvalidUrl)?;
        self.keep(&location(&url).ok_or(CookieError::InvalidUrl(UrlError::Host))?, url.is_loopback(), cookie)
    }

    /// What the header `Cookie` of a request to this URL says, if any cookie belongs there.
    #[must_use]
    pub fn header(&self, url: &str) -> Option<String> {
        self.header_with(&HubUrl::parse(url).ok()?, "")
    }

    /// Removes all cookies.
    pub fn clear(&self) {
        lock(&self.0).clear();
    }

    fn keep(&self, url: &Url, is_loopback: bool, text: &str) -> Result<(), CookieError> {
        if text.len() > LENGTH_LIMIT {
            return Err(CookieError::TooLong);
        }
        if text.chars().any(|c| c.is_control() && c != '\t') {
            return Err(CookieError::Malformed);
        }
        let parsed = Cookie::parse(text.to_owned(), url).map_err(|error| match error {
            cookie_store::CookieError::DomainMismatch => CookieError::Domain,
            _ => CookieError::Malformed,
        })?;
        let mut cookie = parsed.into_owned();
        let secure = cookie.secure() == Some(true);
        let begins = |prefix: &str| {
            cookie.name().get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        let is_host = begins("__Host-");
        let bare = matches!(cookie.domain, CookieDomain::HostOnly(_)) && &*cookie.path == "/";
        if (secure && url.scheme() != "https" && !is_loopback)
            || (!secure && (is_host || begins("__Secure-")))
            || (is_host && !bare)
        {
            return Err(CookieError::Insecure);
        }
        if let CookieDomain::Suffix(domain) = &cookie.domain
            && !domain.contains('.')
        {
            if Some(&**domain) != url.host_str() {
                return Err(CookieError::Domain);
            }
            cookie.domain = CookieDomain::host_only(url).map_err(|_| CookieError::Domain)?;
        }
        let is_host_only = matches!(cookie.domain, CookieDomain::HostOnly(_));
        let new = Kept { port: url.port_or_known_default().filter(|_| is_host_only), cookie };

        let mut kept = lock(&self.0);
        kept.retain(|old| !old.cookie.is_expired());
        let same = kept.iter().position(|old| old.is_same(&new));
        match same {
            Some(at) if new.cookie.is_expired() => drop(kept.remove(at)),
            // The order is that of the first time (RFC 6265, 5.3).
            Some(at) => kept[at] = new,
            None if new.cookie.is_expired() => {}
            None => {
                let neighbours = || kept.iter().enumerate().filter(|(_, old)| old.domain() == new.domain());
                if neighbours().count() >= DOMAIN_LIMIT {
                    let oldest = neighbours().next().map_or(0, |(at, _)| at);
                    kept.remove(oldest);
                } else if kept.len() >= LIMIT {
                    kept.remove(0);
                }
                kept.push(new);
            }
        }
        Ok(())
    }

    /// What belongs to this URL, after the caller's own cookies, which take the place of those of the same name.
    fn header_with(&self, url: &HubUrl, own: &str) -> Option<String> {
        let kept = lock(&self.0);
        let mut header = own.to_owned();
        if !kept.is_empty()
            && let Some(url) = location(url)
        {
            let is_own = |name: &str| {
                own.split(';').any(|pair| pair.split('=').next().is_some_and(|own| own.trim() == name))
            };
            let mut matching: Vec<_> =
                kept.iter().filter(|kept| kept.belongs_to(&url) && !is_own(kept.cookie.name())).collect();
            // Those with longer paths come first (RFC 6265, 5.4).
            matching.sort_by_key(|kept| std::cmp::Reverse(kept.cookie.path.len()));
            for Kept { cookie, .. } in matching {
                let separator = if header.is_empty() { "" } else { "; " };
                header = [&header, separator, cookie.name(), "=", cookie.value()].concat();
            }
        }
        (!header.is_empty()).then_some(header)
    }
}

impl Kept {
    fn domain(&self) -> Option<&str> {
        match &self.cookie.domain {
            CookieDomain::HostOnly(domain) | CookieDomain::Suffix(domain) => Some(domain),
            _ => None,
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        self.cookie.name() == other.cookie.name()
            && self.domain() == other.domain()
            && self.cookie.path == other.cookie.path
            && self.port == other.port
    }

    fn belongs_to(&self, url: &Url) -> bool {
        !self.cookie.is_expired()
            && self.cookie.matches(url)
            && (self.port.is_none() || self.port == url.port_or_known_default())
    }
}

impl fmt::Debug for CookieJar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CookieJar({} cookies)", lock(&self.0).len())
    }
}

fn location(url: &HubUrl) -> Option<Url> {
    Url::parse(&url.to_text()).ok()
}

/// The cookies of one start of a connection: a jar, or none.
#[derive(Clone, Default)]
pub(crate) struct Cookies(Option<CookieJar>);

impl Cookies {
    /// The caller's jar or a new one, unless credentials are switched off.
    pub(crate) fn new(with_credentials: bool, jar: Option<CookieJar>) -> Self {
        Self(with_credentials.then(|| jar.unwrap_or_default()))
    }

    /// The header `Cookie` of a request: the caller's own cookies, and what the jar has for this URL.
    pub(super) fn header(&self, url: &HubUrl, own: &str) -> Option<HeaderValue> {
        let text = match &self.0 {
            Some(jar) => jar.header_with(url, own),
            None => (!own.is_empty()).then(|| own.to_owned()),
        };
        let mut value = HeaderValue::try_from(text?).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Keeps what an answer sets. What cannot be kept is ignored, as browsers do.
    pub(super) fn keep(&self, url: &HubUrl, headers: &HeaderMap) {
        let Some(jar) = &self.0 else { return };
        let mut location_of_all = None;
        for value in headers.get_all(SET_COOKIE) {
            let Ok(text) = std::str::from_utf8(value.as_bytes()) else { continue };
            if location_of_all.is_none() {
                location_of_all = location(url);
            }
            if let Some(location) = &location_of_all {
                let _ = jar.keep(location, url.is_loopback(), text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jar(url: &str, cookies: &[&str]) -> CookieJar {
        let jar = CookieJar::new();
        for cookie in cookies {
            jar.set(url, cookie).unwrap();
        }
        jar
    }

    #[test]
    fn cookies_go_back_to_where_they_came_from() {
        for (from, cookie, to, wanted) in [
            ("https://a.example/hub/negotiate", "n=1; Path=/", "https://a.example/other?id=7", true),
            ("https://a.example/hub/negotiate", "n=1", "https://a.example/hub", true),
            ("https://a.example/hub/negotiate", "n=1", "https://a.example/other", false),
            ("https://a.example/", "n=1; path=/hub", "https://a.example/hub/x", true),
            ("https://a.example/", "n=1; path=/hub", "https://a.example/hubs", false),
            ("https://a.example/", "n=1", "https://A.Example:443/", true),
            ("https://a.example/", "n=1", "https://b.a.example/", false),
            ("https://a.example/", "n=1", "https://example/", false),
            ("https://a.example/", "n=1", "https://nota.example/", false),
            // Another port is another server.
            ("http://127.0.0.1:1/", "n=1", "http://127.0.0.1:2/", false),
            ("http://127.0.0.1:1/", "n=1", "http://localhost:1/", false),
            ("http://[::1]:1/", "n=1", "http://[::1]:1/", true),
            ("https://a.example.com/", "n=1; Domain=.Example.com", "https://b.example.com:8443/", true),
            ("https://a.example.com/", "n=1; Domain=example.com", "https://notexample.com/", false),
            ("https://a.example.com/", "n=1; Domain=a.example.com", "https://b.example.com/", false),
            ("http://localhost/", "n=1; Domain=localhost", "http://localhost/", true),
            ("http://localhost/", "n=1; Domain=localhost", "http://a.localhost/", false),
            ("http://127.0.0.1/", "n=1; Domain=127.0.0.1", "http://127.0.0.1/", true),
            ("https://a.example/", "n=1; Secure", "https://a.example/", true),
            ("https://a.example/", "n=1; Secure", "http://a.example:443/", false),
            ("http://127.0.0.1/", "n=1; Secure; HttpOnly", "http://127.0.0.1/", true),
            ("https://a.example/", "n=1; Max-Age=60", "https://a.example/", true),
            ("https://a.example/", "n=1; Expires=Fri, 31 Dec 9999 23:59:59 GMT", "https://a.example/", true),
            ("https://a.example/", "n=1; Max-Age=0", "https://a.example/", false),
            ("https://a.example/", "n=1; Max-Age=-5", "https://a.example/", false),
            ("https://a.example/", "n=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "https://a.example/", false),
            (
                "https://a.example/",
                "n=1; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
                "https://a.example/",
                true,
            ),
            ("https://a.example/", "__Host-n=1; Secure; Path=/", "https://a.example/", true),
        ] {
            let got = jar(from, &[cookie]).header(to);
            assert_eq!(got.is_some(), wanted, "{cookie} of {from} for {to}: {got:?}");
        }
    }

    #[test]
    fn what_is_not_a_cookie_of_this_server_is_refused() {
        for (url, cookie, wanted) in [
            ("https://a.example/", "", CookieError::Malformed),
            ("https://a.example/", "=1", CookieError::Malformed),
            ("https://a.example/", "n=1\r\nX: y", CookieError::Malformed),
            ("https://a.example/", &format!("n={}", "x".repeat(LENGTH_LIMIT)), CookieError::TooLong),
            ("https://a.example.com/", "n=1; Domain=com", CookieError::Domain),
            ("https://a.example.com/", "n=1; Domain=b.example.com", CookieError::Domain),
            ("https://example.com/", "n=1; Domain=a.example.com", CookieError::Domain),
            ("http://127.0.0.1/", "n=1; Domain=0.0.1", CookieError::Domain),
            ("http://a.example/", "n=1; Secure", CookieError::Insecure),
            ("https://a.example/", "__Secure-n=1", CookieError::Insecure),
            ("https://a.example/", "__Host-n=1; Secure; Path=/x", CookieError::Insecure),
            ("https://a.b.example/", "__Host-n=1; Secure; Path=/; Domain=b.example", CookieError::Insecure),
            ("a.example", "n=1", CookieError::InvalidUrl(UrlError::Scheme)),
        ] {
            let jar = CookieJar::new();
            assert_eq!(jar.set(url, cookie), Err(wanted), "{cookie:.40} of {url}");
            assert_eq!(lock(&jar.0).len(), 0);
        }
    }

    #[test]
    fn a_later_cookie_takes_the_place_of_the_same_one() {
        let url = "https://a.example/x/y";
        let jar = jar(url, &["a=1; Path=/", "b=\"two words\"; Path=/x", "c=3; Path=/", "a=2; Path=/"]);
        // Longer paths first, and otherwise in the order of the first time.
        assert_eq!(jar.header(url).as_deref(), Some("b=\"two words\"; a=2; c=3"));
        jar.set(url, "a=; Path=/; Max-Age=0").unwrap();
        jar.set(url, "c=4").unwrap();
        assert_eq!(jar.header(url).as_deref(), Some("b=\"two words\"; c=4; c=3"));
        jar.clear();
        assert_eq!(jar.header(url), None);
    }

    #[test]
    fn the_callers_own_cookies_come_first_and_take_the_place_of_others() {
        let url = HubUrl::parse("https://a.example/").unwrap();
        let cookies = Cookies::new(true, Some(jar("https://a.example/", &["mine=theirs", "node=1"])));
        let header =
            |cookies: &Cookies, own| cookies.header(&url, own).map(|v| v.to_str().unwrap().to_owned());
        assert_eq!(header(&cookies, "mine=1; other=2").as_deref(), Some("mine=1; other=2; node=1"));
        assert_eq!(header(&cookies, "").as_deref(), Some("mine=theirs; node=1"));
        let off = Cookies::new(false, None);
        assert_eq!(header(&off, "mine=1").as_deref(), Some("mine=1"));
        assert_eq!(header(&off, ""), None);
    }

    #[test]
    fn a_jar_is_bounded() {
        let jar = CookieJar::new();
        for n in 0..1000 {
            jar.set("https://a.example/", &format!("n{n}={n}")).unwrap();
        }
        assert_eq!(lock(&jar.0).len(), DOMAIN_LIMIT);
        let header = jar.header("https://a.example/").unwrap();
        assert!(header.starts_with("n980=980; ") && header.ends_with("; n999=999"), "{header}");
        for n in 0..1000 {
            jar.set(&format!("https://h{n}.example/"), "n=1").unwrap();
        }
        assert_eq!(lock(&jar.0).len(), LIMIT);
        assert_eq!(jar.header("https://h699.example/"), None);
        assert!(jar.header("https://h700.example/").is_some());
    }

    #[test]
    fn debug_shows_no_cookie() {
        let jar = jar("https://a.example/", &["name=secret"]);
        assert_eq!(format!("{jar:?}"), "CookieJar(1 cookies)");
        let header = Cookies::new(true, Some(jar)).header(&HubUrl::parse("https://a.example/").unwrap(), "");
        assert_eq!(format!("{header:?}"), "Some(Sensitive)");
    }
}
