//! Cross-origin requests to a hub or to its negotiate endpoint, with cookies.
//!
//! The layer of `tower-http` is not used: it would change the type of an endpoint, which is the same for tower, axum and
//! actix-web, and it answers preflights of origins that are not allowed with 200.
//!
//! Source: [CORS protocol and credentials](https://fetch.spec.whatwg.org/#cors-protocol-and-credentials).

use std::{fmt, sync::Arc};

#[cfg(feature = "server")]
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use reqwest::Url;

/// Why `allow_origin` does not take an origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidOrigin {
    /// `*`. Browsers send cookies and headers for authentication only to servers that name the page's origin. Call
    /// `allow_origin` for each, or decide in `allow_origin_if`.
    #[error(
        "* cannot be an allowed origin, since cookies are sent; call allow_origin for each, or decide in allow_origin_if"
    )]
    Wildcard,
    /// A pattern, such as `https://*.example.com`. Decide in `allow_origin_if`.
    #[error("an allowed origin cannot be a pattern; decide in allow_origin_if")]
    Pattern,
    /// `null`, which is the origin of sandboxed frames, of files, and of whatever a foreign page makes of them.
    #[error(
        "null cannot be an allowed origin, since any page can have it; serve the page from an origin of its own"
    )]
    Null,
    /// There is no scheme.
    #[error("an allowed origin needs a scheme, such as https://app.example.com")]
    NoScheme,
    /// There is a path, a query, or a slash at the end. The text says what to write.
    #[error("an allowed origin has no path and no slash at its end; write {origin}")]
    Path {
        /// The origin without them.
        origin: String,
    },
    /// It is not an origin: scheme, host and, if it is not the scheme's own, port.
    #[error(
        "an allowed origin is a scheme, a host and possibly a port, such as https://app.example.com:8443"
    )]
    Invalid,
}

type Predicate = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// The origins whose pages may come. Without any, CORS is left to another layer.
#[derive(Clone, Default)]
pub(crate) struct Cors {
    origins: Vec<String>,
    predicates: Vec<Predicate>,
    null: bool,
}

impl Cors {
    pub(crate) fn allow(&mut self, origin: &str) -> Result<(), InvalidOrigin> {
        self.origins.push(checked(origin)?);
        Ok(())
    }

    pub(crate) fn allow_if(&mut self, predicate: impl Fn(&str) -> bool + Send + Sync + 'static) {
        self.predicates.push(Arc::new(predicate));
    }

    /// Lets pages without an origin come: files, those of Electron among them, and sandboxed frames of any page.
    #[cfg(feature = "local")]
    pub(crate) fn allow_null(&mut self) {
        self.null = true;
    }

    pub(crate) fn is_on(&self) -> bool {
        !self.origins.is_empty() || !self.predicates.is_empty()
    }

    /// The request's origin, if it is one of those allowed. A predicate is not asked about `null`, which says nothing
    /// about the page.
    fn origin<'a>(&self, request: &'a HeaderMap) -> Option<&'a HeaderValue> {
        let origin = request.get(header::ORIGIN)?;
        let text = origin.to_str().ok()?;
        if text == "null" {
            return self.null.then_some(origin);
        }
        let allowed = self.origins.iter().any(|known| known == text)
            || self.predicates.iter().any(|predicate| predicate(text));
        allowed.then_some(origin)
    }

    /// Whether a request comes from a page of an origin that is not allowed, and not of the server's own. Browsers let any
    /// page open a WebSocket, cookies and all, so the server has to check.
    #[cfg(feature = "server")]
    pub(crate) fn is_foreign(&self, request: &HeaderMap, host: Option<&str>) -> bool {
        let own = |origin: &HeaderValue| {
            let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
            origin.is_some_and(|(_, authority)| host.is_some_and(|host| host.eq_ignore_ascii_case(authority)))
        };
        self.is_on()
            && request.get(header::ORIGIN).is_some_and(|origin| !own(origin))
            && self.origin(request).is_none()
    }

    /// Adds to any answer what lets the page read it. A wildcard would not do, since cookies are sent.
    pub(crate) fn apply(&self, request: &HeaderMap, response: &mut HeaderMap) {
        if self.is_on() {
            response.insert(header::VARY, HeaderValue::from_static("Origin"));
        }
        if let Some(origin) = self.origin(request) {
            response.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            response.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }

    /// The answer to the question before the request; none for an origin that is not allowed.
    pub(crate) fn preflight(&self, request: &HeaderMap, methods: &'static str) -> Option<Response<String>> {
        self.origin(request)?;
        let mut response = Response::new(String::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        // SignalR clients send `x-signalr-user-agent` and whatever headers the page sets.
        if let Some(wanted) = request.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
        }
        Some(response)
    }
}

/// The host that a request names, by its URI or by its header.
#[cfg(feature = "server")]
pub(crate) fn host_of(request: &Parts) -> Option<&str> {
    let header = || request.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    request.uri.authority().map(http::uri::Authority::as_str).or_else(header)
}

impl fmt::Debug for Cors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cors")
            .field("origins", &self.origins)
            .field("predicates", &self.predicates.len())
            .field("null", &self.null)
            .finish()
    }
}

/// The origin as browsers write it: in lower case and without the scheme's own port. The schemes of apps have no origins in the
/// sense of the URL standard; theirs are the text itself.
fn checked(text: &str) -> Result<String, InvalidOrigin> {
    match text {
        "*" => return Err(InvalidOrigin::Wildcard),
        "null" => return Err(InvalidOrigin::Null),
        _ if text.contains('*') => return Err(InvalidOrigin::Pattern),
        _ => {}
    }
    let (scheme, rest) = text.split_once("://").ok_or(InvalidOrigin::NoScheme)?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    // The parser takes white space away and reads a backslash as a slash.
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '@' | '\\' | ',');
    if host.is_empty() || text.contains(odd) {
        return Err(InvalidOrigin::Invalid);
    }
    let url = Url::parse(&format!("{scheme}://{host}")).map_err(|_| InvalidOrigin::Invalid)?;
    let origin = match url.origin() {
        origin if origin.is_tuple() => origin.ascii_serialization(),
        _ => format!("{scheme}://{host}"),
    };
    if path.is_empty() { Ok(origin) } else { Err(InvalidOrigin::Path { origin }) }
}
