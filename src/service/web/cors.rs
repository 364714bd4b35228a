//! Cross-origin requests to the negotiate endpoint, with cookies.
//!
//! Source: [CORS protocol and credentials](https://fetch.spec.whatwg.org/#cors-protocol-and-credentials).

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use reqwest::Url;

/// The origins that may negotiate. Without any, CORS is left to another layer.
#[derive(Debug, Clone, Default)]
pub(super) struct Cors(Vec<String>);

impl Cors {
    /// Browsers write an origin in lower case and without the scheme's own port. The schemes of apps have no origins in
    /// the sense of the URL standard; theirs are the text itself.
    pub(super) fn allow(&mut self, origin: &str) {
        let url = Url::parse(origin).map(|url| url.origin()).ok().filter(|origin| origin.is_tuple());
        let text = || origin.trim_end_matches('/').to_owned();
        self.0.push(url.map_or_else(text, |origin| origin.ascii_serialization()));
    }

    pub(super) fn is_on(&self) -> bool {
        !self.0.is_empty()
    }

    /// The request's origin, if it is one of those allowed.
    fn origin<'a>(&self, request: &'a HeaderMap) -> Option<&'a HeaderValue> {
        let origin = request.get(header::ORIGIN)?;
        self.0.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()).then_some(origin)
    }

    /// Adds to any answer what lets the page read it. A wildcard would not do, since cookies are sent.
    pub(super) fn apply(&self, request: &HeaderMap, response: &mut HeaderMap) {
        if self.is_on() {
            response.insert(header::VARY, HeaderValue::from_static("Origin"));
        }
        if let Some(origin) = self.origin(request) {
            response.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            response.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }

    /// The answer to the question before the request; none for an origin that is not allowed.
    pub(super) fn preflight(&self, request: &HeaderMap) -> Option<Response<String>> {
        self.origin(request)?;
        let mut response = Response::new(String::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        // SignalR clients send `x-signalr-user-agent` and whatever headers the page sets.
        if let Some(wanted) = request.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
        }
        Some(response)
    }
}
