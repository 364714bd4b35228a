//! The addresses of a service.

use reqwest::Url;

/// Where a service is, and where requests to it go.
#[derive(Debug, Clone)]
pub(in crate::service) struct Addresses {
    /// The service itself, for which tokens are made.
    pub(in crate::service) endpoint: Url,
    /// Where clients are sent instead, such as a reverse proxy.
    pub(in crate::service) client_endpoint: Option<Url>,
    /// Where this program sends its requests instead.
    pub(in crate::service) server_endpoint: Option<Url>,
}

impl Addresses {
    pub(in crate::service) fn new(endpoint: Url) -> Self {
        Self { endpoint, client_endpoint: None, server_endpoint: None }
    }

    /// Scheme, host and port of the service; the scheme's own port is left out.
    pub(in crate::service) fn endpoint(&self) -> String {
        self.endpoint.origin().ascii_serialization()
    }

    pub(in crate::service) fn client_endpoint(&self) -> Option<&str> {
        self.client_endpoint.as_ref().map(without_bare_slash)
    }

    pub(in crate::service) fn server_endpoint(&self) -> Option<&str> {
        self.server_endpoint.as_ref().map(without_bare_slash)
    }
}

/// The text of a URL, without the slash that stands for no path.
pub(in crate::service) fn without_bare_slash(url: &Url) -> &str {
    match url.path() {
        "/" => url.as_str().trim_end_matches('/'),
        _ => url.as_str(),
    }
}
