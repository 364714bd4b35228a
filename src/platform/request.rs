//! HTTP requests, the same on both targets.

use std::fmt;
use std::sync::Arc;

use super::Frame;
use crate::core::http::OCTETS;
use crate::core::url::HubUrl;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Post,
    Delete,
}

/// What to send, except the token. `Debug` shows no query, no header and no body.
pub(crate) struct HttpRequest {
    pub(crate) method: Method,
    pub(crate) url: HubUrl,
    /// A token takes the place of an `Authorization` among them.
    pub(crate) headers: Arc<[(String, String)]>,
    /// What kind of answer is wanted; any kind unless set.
    pub(crate) accept: Option<&'static str>,
    pub(crate) body: Option<Frame>,
    /// Whether a browser sends it even when the page is being left. Not for large bodies.
    #[allow(dead_code, reason = "natively there is no page")]
    pub(crate) outlives_page: bool,
}

impl HttpRequest {
    pub(crate) fn new(method: Method, url: HubUrl, headers: Arc<[(String, String)]>) -> Self {
        Self { method, url, headers, accept: None, body: None, outlives_page: false }
    }
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpRequest({:?} {})", self.method, self.url)
    }
}

impl Frame {
    /// How a body of this kind is labelled.
    pub(super) fn content_type(&self) -> &'static str {
        if self.is_text() { "text/plain;charset=UTF-8" } else { OCTETS }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_shows_no_secret() {
        let url = HubUrl::parse("https://user:secret@h/hub?id=secret").unwrap();
        let headers = [("Cookie".to_owned(), "secret".to_owned())];
        let request = HttpRequest {
            body: Some(Frame::from("secret")),
            ..HttpRequest::new(Method::Post, url, Arc::new(headers))
        };
        assert_eq!(format!("{request:?}"), "HttpRequest(Post https://h/hub)");
    }
}
