use std::fmt;
use std::future::poll_fn;
use std::time::Duration;

use super::{Frame, HttpBody, HttpClient, Method};
use crate::core::session::TransportError;
use crate::core::token::AccessToken;
use crate::core::url::HubUrl;

/// What to send. `Debug` shows no query, no token, no header and no body.
#[derive(Clone)]
pub(crate) struct HttpRequest<'a> {
    pub(crate) method: Method,
    pub(crate) url: &'a HubUrl,
    /// The bearer token. It takes the place of an `Authorization` among the headers.
    pub(crate) token: Option<&'a AccessToken>,
    pub(crate) headers: &'a [(String, String)],
    /// What kind of answer is wanted; anything unless set.
    pub(crate) accept: Option<&'static str>,
    pub(crate) body: Option<&'a Frame>,
    /// Whether a browser sends it even when the page is being left. Not for large bodies.
    #[allow(dead_code, reason = "natively there is no page")]
    pub(crate) outlives_page: bool,
}

impl<'a> HttpRequest<'a> {
    pub(crate) fn new(method: Method, url: &'a HubUrl) -> Self {
        Self { method, url, token: None, headers: &[], accept: None, body: None, outlives_page: false }
    }
}

impl fmt::Debug for HttpRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpRequest({} {})", self.method, self.url)
    }
}

/// An answer whose body is still coming.
pub(crate) struct HttpAnswer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: HttpBody,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Vec<u8>,
}

impl HttpBody {
    /// Reads at most `limit` bytes, and one more if there are more.
    pub(crate) async fn read(&mut self, limit: usize) -> Result<Vec<u8>, TransportError> {
        let mut bytes = Vec::new();
        while bytes.len() <= limit {
            let Some(chunk) = poll_fn(|cx| self.poll_chunk(cx)).await else { break };
            let chunk = chunk?;
            bytes.extend_from_slice(chunk.get(..limit + 1 - bytes.len()).unwrap_or(&chunk));
        }
        Ok(bytes)
    }
}

impl HttpClient {
    /// POSTs without a body and reads at most `limit` bytes of the answer, and one more if there are more.
    pub(crate) async fn post(
        self,
        url: HubUrl,
        token: Option<AccessToken>,
        headers: Vec<(String, String)>,
        limit: usize,
    ) -> Result<HttpResponse, TransportError> {
        let request =
            HttpRequest { token: token.as_ref(), headers: &headers, ..HttpRequest::new(Method::POST, &url) };
        let mut answer = self.send(request).await?;
        let body = answer.body.read(limit).await?;
        Ok(HttpResponse { status: answer.status, retry_after: answer.retry_after, body })
    }
}

impl Frame {
    /// How a body of this kind is labelled.
    pub(super) fn content_type(&self) -> &'static str {
        if self.is_text() { "text/plain;charset=UTF-8" } else { "application/octet-stream" }
    }
}
