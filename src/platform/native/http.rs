//! HTTP requests by reqwest, whose answers are read as they come.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body::Body as _;
use tokio_tungstenite::tungstenite::Bytes;

use crate::core::TransportError;
use crate::core::http::Head;
use crate::core::token::AccessToken;
use crate::core::url::{HubUrl, UrlError};
use crate::platform::{Cookies, HttpAnswer, HttpRequest, Method, tls};

/// One per start of a connection, so that no connection pool outlives the runtime that it was made on.
#[derive(Clone)]
pub(crate) struct HttpClient {
    client: reqwest::Client,
    cookies: Cookies,
}

impl HttpClient {
    pub(crate) fn new(cookies: Cookies) -> Result<Self, TransportError> {
        // A WebSocket needs HTTP/1.1, which the build leaves as the only choice.
        let client = tls::http_client_builder()
            .map_err(|e| TransportError::new(format!("TLS cannot be set up: {e}")))?
            .build()
            .map_err(describe)?;
        Ok(Self { client, cookies })
    }

    /// Sends a request and waits for the head of the answer. One that is dropped is aborted.
    pub(crate) async fn send(
        &self,
        request: &HttpRequest,
        token: Option<&AccessToken>,
    ) -> Result<HttpAnswer, TransportError> {
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Delete => reqwest::Method::DELETE,
        };
        let mut builder = self.request(method, &request.url, token, &request.headers);
        if let Some(accept) = request.accept {
            builder = builder.header("Accept", accept);
        }
        if let Some(frame) = &request.body {
            builder = builder.header("Content-Type", frame.content_type()).body(frame.shared_bytes());
        } else if request.method == Method::Post {
            builder = builder.header("Content-Length", "0");
        }
        let response = builder.send().await.map_err(describe)?;
        let head = self.head(&request.url, &response);
        Ok(HttpAnswer { head, body: HttpBody(response.into()) })
    }

    /// What an answer says before its body. The cookies that it sets are kept.
    pub(super) fn head(&self, url: &HubUrl, response: &reqwest::Response) -> Head {
        let headers = response.headers();
        self.cookies.keep(url, headers);
        Head::new(response.status().as_u16(), |name| Some(headers.get(name)?.to_str().ok()?.to_owned()))
    }

    pub(super) fn request(
        &self,
        method: reqwest::Method,
        url: &HubUrl,
        token: Option<&AccessToken>,
        headers: &[(String, String)],
    ) -> reqwest::RequestBuilder {
        let mut request = self.client.request(method, url.to_text());
        let mut own_cookies = String::new();
        for (name, value) in headers {
            if name.eq_ignore_ascii_case("Cookie") {
                own_cookies.push_str(if own_cookies.is_empty() { "" } else { "; " });
                own_cookies.push_str(value);
            } else if token.is_none() || !name.eq_ignore_ascii_case("Authorization") {
                request = request.header(name, value);
            }
        }
        if let Some(cookies) = self.cookies.header(url, &own_cookies) {
            request = request.header("Cookie", cookies);
        }
        match token {
            Some(token) => request.bearer_auth(token.secret()),
            None => request,
        }
    }
}

/// The body of an answer, as it comes.
pub(crate) struct HttpBody(reqwest::Body);

impl HttpBody {
    /// The next piece; `None` at the end.
    pub(crate) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, TransportError>>> {
        loop {
            return Poll::Ready(match ready!(Pin::new(&mut self.0).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => Some(Ok(data)),
                    // Trailers are ignored.
                    Err(_) => continue,
                },
                Some(Err(error)) => Some(Err(describe(error))),
                None => None,
            });
        }
    }
}

/// A native program has no page that a relative URL could be resolved against.
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
