//! HTTP answers, the same on both targets.

use std::future::poll_fn;

use super::{BoxFuture, HttpBody, HttpClient, HttpRequest, Method};
use crate::core::TransportError;
use crate::core::http::Head;
use crate::core::token::AccessToken;
use crate::core::url::HubUrl;

/// An answer whose body is still coming.
pub(crate) struct HttpAnswer {
    pub(crate) head: Head,
    pub(crate) body: HttpBody,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct HttpResponse {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
}

impl HttpAnswer {
    /// Reads at most `limit` bytes of the body, and one more if there are more.
    pub(crate) fn read(mut self, limit: usize) -> BoxFuture<Result<HttpResponse, TransportError>> {
        Box::pin(async move {
            let mut body = Vec::new();
            while body.len() <= limit {
                let Some(chunk) = poll_fn(|cx| self.body.poll_chunk(cx)).await else { break };
                let chunk = chunk?;
                body.extend_from_slice(chunk.get(..limit + 1 - body.len()).unwrap_or(&chunk));
            }
            Ok(HttpResponse { head: self.head, body })
        })
    }
}

impl HttpClient {
    /// Sends a request and waits for the head of the answer. One that is dropped is aborted.
    pub(crate) async fn send(
        &self,
        request: &HttpRequest,
        token: Option<&AccessToken>,
    ) -> Result<HttpAnswer, TransportError> {
        let (head, body) = self.open(request, token).await?;
        Ok(HttpAnswer { head, body })
    }

    /// POSTs without a body and reads at most `limit` bytes of the answer, and one more if there are more.
    pub(crate) async fn post(
        self,
        url: HubUrl,
        token: Option<AccessToken>,
        headers: Vec<(String, String)>,
        limit: usize,
    ) -> Result<HttpResponse, TransportError> {
        let request = HttpRequest::new(Method::Post, url, headers.into());
        self.send(&request, token.as_ref()).await?.read(limit).await
    }
}
