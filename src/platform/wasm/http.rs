use std::time::Duration;

use gloo_net::http::{RequestBuilder, Response};
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, ReadableStreamDefaultReader, RequestCredentials, RequestMode};

use crate::core::session::TransportError;
use crate::core::token::AccessToken;
use crate::core::url::{HubUrl, UrlError};
use crate::platform::HttpResponse;

#[derive(Clone)]
pub(crate) struct HttpClient {
    credentials: RequestCredentials,
}

impl HttpClient {
    #[allow(clippy::unnecessary_wraps, reason = "natively TLS may not be there")]
    pub(crate) fn new(with_credentials: bool) -> Result<Self, TransportError> {
        let credentials =
            if with_credentials { RequestCredentials::Include } else { RequestCredentials::SameOrigin };
        Ok(Self { credentials })
    }

    /// POSTs without a body and reads at most `limit` bytes of the answer, and one more if there are more. A
    /// request that is dropped is aborted.
    pub(crate) async fn post(
        self,
        url: HubUrl,
        token: Option<AccessToken>,
        headers: Vec<(String, String)>,
        limit: usize,
    ) -> Result<HttpResponse, TransportError> {
        let abort = AbortOnDrop(AbortController::new().map_err(|e| describe(&e))?);
        let mut request = RequestBuilder::new(&url.to_text())
            .method(gloo_net::http::Method::POST)
            .mode(RequestMode::Cors)
            .credentials(self.credentials)
            .abort_signal(Some(&abort.0.signal()));
        for (name, value) in &headers {
            request = request.header(name, value);
        }
        if let Some(token) = token {
            request = request.header("Authorization", &format!("Bearer {}", token.secret()));
        }
        let response = request.send().await.map_err(|_| unreachable_server())?;
        let retry_after = response.headers().get("Retry-After").and_then(|value| value.parse().ok());
        let body = read(&response, limit).await.map_err(|e| describe(&e))?;
        Ok(HttpResponse {
            status: response.status(),
            retry_after: retry_after.map(Duration::from_secs),
            body,
        })
    }
}

/// Reads the body piece by piece, since `text()` has no limit.
async fn read(response: &Response, limit: usize) -> Result<Vec<u8>, JsValue> {
    let mut body = Vec::new();
    let Some(stream) = response.body() else { return Ok(body) };
    let reader: ReadableStreamDefaultReader = stream.get_reader().unchecked_into();
    while body.len() <= limit {
        let piece = JsFuture::from(reader.read()).await?;
        let value = js_sys::Reflect::get(&piece, &JsValue::from_str("value"))?;
        let Ok(bytes) = value.dyn_into::<js_sys::Uint8Array>() else { return Ok(body) };
        let left = u32::try_from(limit + 1 - body.len()).unwrap_or(u32::MAX);
        body.extend_from_slice(&bytes.subarray(0, bytes.length().min(left)).to_vec());
    }
    Ok(body)
}

struct AbortOnDrop(AbortController);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Browsers keep the reason from the page.
fn unreachable_server() -> TransportError {
    TransportError::new(
        "the server can't be reached, or its CORS rules do not allow this page's origin with credentials; the browser's console knows which",
    )
}

pub(super) fn describe(error: &JsValue) -> TransportError {
    match error.dyn_ref::<js_sys::Error>() {
        Some(error) => TransportError::new(String::from(error.message())),
        None => TransportError::new("the browser gives no reason"),
    }
}

/// Relative URLs are relative to the page or the worker's script.
pub(crate) fn absolute_url(url: &str) -> Result<HubUrl, UrlError> {
    match HubUrl::parse(url) {
        Err(UrlError::Scheme) => {
            let location = js_sys::Reflect::get(&js_sys::global(), &JsValue::from_str("location"));
            let href = location.and_then(|l| js_sys::Reflect::get(&l, &JsValue::from_str("href")));
            let base = href.ok().and_then(|href| href.as_string()).ok_or(UrlError::Scheme)?;
            let resolved = web_sys::Url::new_with_base(url, &base).map_err(|_| UrlError::Scheme)?;
            HubUrl::parse(&resolved.href())
        }
        parsed => parsed,
    }
}
