use std::error::Error;
use std::time::Duration;

use crate::core::session::TransportError;
use crate::core::token::AccessToken;
use crate::core::url::{HubUrl, UrlError};
use crate::platform::{HttpResponse, tls};

/// One per start of a connection, so that no connection pool outlives the runtime that it was made on.
#[derive(Clone)]
pub(crate) struct HttpClient {
    client: reqwest::Client,
}

impl HttpClient {
    /// There are no cookies here, and so no credentials in a browser's sense.
    pub(crate) fn new(_with_credentials: bool) -> Result<Self, TransportError> {
        // A WebSocket needs HTTP/1.1, which the build leaves as the only choice.
        let client = tls::http_client_builder()
            .map_err(|e| TransportError::new(format!("TLS can't be set up: {e}")))?
            .build()
            .map_err(describe)?;
        Ok(Self { client })
    }

    /// POSTs without a body and reads at most `limit` bytes of the answer, and one more if there are more.
    pub(crate) async fn post(
        self,
        url: HubUrl,
        token: Option<AccessToken>,
        headers: Vec<(String, String)>,
        limit: usize,
    ) -> Result<HttpResponse, TransportError> {
        let request = self.request(reqwest::Method::POST, &url, token.as_ref(), &headers);
        let mut response = request.header("Content-Length", "0").send().await.map_err(describe)?;
        let retry_after =
            response.headers().get("Retry-After").and_then(|value| value.to_str().ok()?.parse().ok());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(describe)? {
            body.extend_from_slice(&chunk[..chunk.len().min(limit + 1 - body.len())]);
            if body.len() > limit {
                break;
            }
        }
        Ok(HttpResponse {
            status: response.status().as_u16(),
            retry_after: retry_after.map(Duration::from_secs),
            body,
        })
    }

    pub(super) fn request(
        &self,
        method: reqwest::Method,
        url: &HubUrl,
        token: Option<&AccessToken>,
        headers: &[(String, String)],
    ) -> reqwest::RequestBuilder {
        let mut request = self.client.request(method, url.to_text());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        match token {
            Some(token) => request.bearer_auth(token.secret()),
            None => request,
        }
    }
}

/// A relative URL has nothing to be relative to here.
pub(crate) fn absolute_url(url: &str) -> Result<HubUrl, UrlError> {
    HubUrl::parse(url)
}

/// reqwest's own text leaves the causes out, and may have the URL with its query in it.
pub(super) fn describe(error: reqwest::Error) -> TransportError {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    TransportError::new(text)
}
