//! HTTP requests by `fetch`, whose answers are read as they come.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use gloo_net::http::Response;
use js_sys::Promise;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    AbortController, AbortSignal, ReadableStreamDefaultReader, RequestCache, RequestCredentials, RequestInit,
    RequestMode, RequestRedirect,
};

use crate::core::TransportError;
use crate::core::http::Head;
use crate::core::text::clip;
use crate::core::token::AccessToken;
use crate::core::url::{HubUrl, UrlError};
use crate::platform::{HttpRequest, Method, Network};

/// Cookies are the browser's own work. It only has to be told whether they go to another origin than the page's.
#[derive(Clone)]
pub(crate) struct Cookies(RequestCredentials);

impl Cookies {
    pub(crate) fn new(with_credentials: bool) -> Self {
        Self(if with_credentials { RequestCredentials::Include } else { RequestCredentials::SameOrigin })
    }
}

#[wasm_bindgen]
extern "C" {
    /// That of the page, the worker or Node.js. gloo-net's own call keeps only the text of an error, and Node.js tells in
    /// its `cause` what has happened.
    fn fetch(request: &web_sys::Request) -> Promise;
}

#[derive(Clone)]
pub(crate) struct HttpClient {
    cookies: Cookies,
}

impl HttpClient {
    #[allow(clippy::unnecessary_wraps, reason = "natively TLS may not be there")]
    pub(crate) fn new(cookies: Cookies, _network: &Network) -> Result<Self, TransportError> {
        Ok(Self { cookies })
    }

    /// The head of the answer to a request, and its body, which aborts the request when it is dropped.
    pub(in crate::platform) async fn open(
        &self,
        request: &HttpRequest,
        token: Option<&AccessToken>,
    ) -> Result<(Head, HttpBody), TransportError> {
        let abort = AbortOnDrop(AbortController::new().map_err(|e| describe(&e))?);
        let request = self.request(request, token, &abort.0.signal()).map_err(|_| impossible_request())?;
        let response = JsFuture::from(fetch(&request)).await.map_err(|error| unreachable_server(&error))?;
        let response = Response::from(response.unchecked_into::<web_sys::Response>());
        let headers = response.headers();
        let head = Head::new(response.status(), |name| headers.get(name));
        let reader = response.body().map(|stream| stream.get_reader().unchecked_into());
        Ok((head, HttpBody { reader, piece: None, _abort: abort }))
    }

    fn request(
        &self,
        request: &HttpRequest,
        token: Option<&AccessToken>,
        signal: &AbortSignal,
    ) -> Result<web_sys::Request, JsValue> {
        let headers = web_sys::Headers::new()?;
        for (name, value) in &*request.headers {
            headers.set(name, value)?;
        }
        if let Some(token) = token {
            headers.set("Authorization", &["Bearer ", token.secret()].concat())?;
        }
        if let Some(accept) = request.accept {
            headers.set("Accept", accept)?;
        }
        let options = RequestInit::new();
        if let Some(frame) = &request.body {
            headers.set("Content-Type", frame.content_type())?;
            options.set_body(frame.as_ref());
        }
        options.set_method(match request.method {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Delete => "DELETE",
        });
        options.set_headers(&headers);
        options.set_mode(RequestMode::Cors);
        options.set_credentials(self.cookies.0);
        // The browser would take headers along to wherever it is sent.
        options.set_redirect(RequestRedirect::Manual);
        options.set_cache(RequestCache::NoStore);
        options.set_signal(Some(signal));
        if request.outlives_page {
            // web-sys has no setter for it.
            js_sys::Reflect::set(&options, &JsValue::from_str("keepalive"), &JsValue::TRUE)?;
        }
        web_sys::Request::new_with_str_and_init(&request.url.to_text(), &options)
    }
}

/// The body of an answer, as it comes.
pub(crate) struct HttpBody {
    /// `None` once the body has ended.
    reader: Option<ReadableStreamDefaultReader>,
    piece: Option<JsFuture>,
    _abort: AbortOnDrop,
}

impl HttpBody {
    /// The next piece; `None` at the end.
    pub(crate) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Vec<u8>, TransportError>>> {
        let Some(reader) = &self.reader else { return Poll::Ready(None) };
        let piece = self.piece.get_or_insert_with(|| JsFuture::from(reader.read()));
        let piece = ready!(Pin::new(piece).poll(cx));
        self.piece = None;
        let value = piece.and_then(|piece| js_sys::Reflect::get(&piece, &JsValue::from_str("value")));
        Poll::Ready(match value.map(JsCast::dyn_into::<js_sys::Uint8Array>) {
            Ok(Ok(bytes)) => Some(Ok(bytes.to_vec())),
            Ok(Err(_no_value)) => {
                self.reader = None;
                None
            }
            Err(error) => Some(Err(describe(&error))),
        })
    }
}

struct AbortOnDrop(AbortController);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// JavaScript's own text names the whole URL with its query, or the header's value.
fn impossible_request() -> TransportError {
    TransportError::new(
        "the request cannot be made: a header has a name or a value that is not allowed, or the URL is not valid or has a user name in it",
    )
}

/// Browsers hide the reason from the page. Node.js tells it as the error's `cause`.
fn unreachable_server(error: &JsValue) -> TransportError {
    let property = |object: &JsValue, name: &str| js_sys::Reflect::get(object, &JsValue::from_str(name)).ok();
    if let Some(cause) = property(error, "cause").filter(|cause| cause.is_object()) {
        let text = |name| property(&cause, name)?.as_string().filter(|text| !text.is_empty());
        if let Some(reason) = text("message").or_else(|| text("code")) {
            return TransportError::new(["the server cannot be reached: ", &clip(reason)].concat());
        }
    }
    TransportError::new(
        "the server cannot be reached, or its CORS rules do not allow this page's origin with credentials; the browser's console knows which",
    )
}

pub(super) fn describe(error: &JsValue) -> TransportError {
    match error.dyn_ref::<js_sys::Error>() {
        Some(error) => TransportError::new(String::from(error.message())),
        None => TransportError::new("the browser gives no reason"),
    }
}

/// Relative URLs are relative to the page or the worker's script. The browser also knows the ASCII form of hosts beyond
/// ASCII.
pub(crate) fn absolute_url(url: &str) -> Result<HubUrl, UrlError> {
    match HubUrl::parse(url) {
        Err(error @ (UrlError::Scheme | UrlError::InternationalHost)) => {
            let location = js_sys::Reflect::get(&js_sys::global(), &JsValue::from_str("location"));
            let href = location.and_then(|l| js_sys::Reflect::get(&l, &JsValue::from_str("href")));
            let resolved = match href.ok().and_then(|href| href.as_string()) {
                Some(base) => web_sys::Url::new_with_base(url, &base),
                // Node.js is nowhere.
                None => web_sys::Url::new(url),
            };
            HubUrl::parse(&resolved.map_err(|_| error)?.href())
        }
        parsed => parsed,
    }
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

    use super::*;

    wasm_bindgen_test_configure!(run_in_browser);

    /// What is connected to is what the core says, which decides where tokens may go.
    #[wasm_bindgen_test]
    fn the_browser_reads_urls_in_the_same_way() {
        for text in [
            "http://localhost",
            " https://Example.com:443/my hub?q=a b' \r\n",
            "http://h:0080/a/./b/%2e%2e/c\u{fc}?\u{fc}=\"<>`{}|^~",
            "http://h/\"<>`{}|^~[]!$&'()*+,;=:@%zz#fragment",
            "https://user:pa%20ss@h:8443/",
            "http://[0:0:0:0:0:0:0:1]:5000/",
            "http://[1:0:0:2::3]/",
            "http://[::ffff:127.0.0.1]/",
            "http://b\u{fc}cher.example/",
            "http://\u{ff11}27.0.0.1/",
            "wss://h:443/",
            "/hub?a=1",
            "hub/",
            "//h/x",
        ] {
            let ours = absolute_url(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            let theirs = web_sys::Url::new(&ours.to_text()).unwrap();
            assert_eq!(theirs.protocol(), if ours.is_https() { "https:" } else { "http:" }, "{text}");
            assert_eq!(theirs.hostname(), ours.host(), "{text}");
            assert_eq!(theirs.port(), ours.port().map(|port| port.to_string()).unwrap_or_default(), "{text}");
            assert_eq!(theirs.pathname(), if ours.path().is_empty() { "/" } else { ours.path() }, "{text}");
            assert_eq!(theirs.search().trim_start_matches('?'), ours.query(), "{text}");
            assert_eq!(theirs.hash(), "", "{text}");
        }
        assert!(absolute_url("http://\u{ff11}27.0.0.1/").unwrap().is_loopback());
        for text in ["http://evil.example\\@localhost/x", "http://127.1/", "http://h:99999/", "http://[::1"] {
            assert!(absolute_url(text).is_err(), "{text}");
        }
    }
}
