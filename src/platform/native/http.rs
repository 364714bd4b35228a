//! HTTP requests by reqwest, whose answers are read as they come.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http_body::Body as _;
use tokio_tungstenite::tungstenite::Bytes;

use super::proxy::ProxyServer;
use super::request_error::{describe, through};
use super::{tls, tunnel};
use crate::core::http::Head;
use crate::core::token::AccessToken;
use crate::core::url::{HubUrl, UrlError};
use crate::core::{Cause, ErrorChain, TransportError, TransportErrorKind};
use crate::platform::{Cookies, HttpRequest, Method, Network};

/// One per start of a connection, so that no connection pool outlives the runtime that it was made on.
#[derive(Clone)]
pub(crate) struct HttpClient {
    client: reqwest::Client,
    cookies: Cookies,
    network: Arc<Network>,
}

impl HttpClient {
    pub(crate) fn new(cookies: Cookies, network: &Network) -> Result<Self, TransportError> {
        let client = network
            .http_client_builder()
            .map_err(unavailable)?
            // A WebSocket needs it.
            .http1_only()
            .build()
            .map_err(describe)?;
        Ok(Self { client, cookies, network: Arc::new(network.clone()) })
    }

    /// The same for plain http alone, which goes to this machine or in development: see
    /// [`Network::plain_http_client_builder`].
    #[cfg(all(feature = "server", feature = "service"))]
    pub(crate) fn plain() -> Result<Self, TransportError> {
        let client = Network::plain_http_client_builder().map_err(unavailable)?.http1_only().build();
        let network = Network { proxy: super::proxy::Proxy::none(), ..Network::default() };
        let (client, network) = (client.map_err(describe)?, Arc::new(network));
        Ok(Self { client, cookies: Cookies::default(), network })
    }

    /// The head of the answer to a request, and its body, which aborts the request when it is dropped.
    pub(in crate::platform) async fn open(
        &self,
        request: &HttpRequest,
        token: Option<&AccessToken>,
    ) -> Result<(Head, HttpBody), TransportError> {
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
        let built = builder.build().map_err(describe)?;
        let response = self.execute(built).await?;
        let head = self.head(&request.url, &response);
        Ok((head, HttpBody(response.into())))
    }

    /// Sends a request without a body; the answer comes with all of its headers. The cookies that it sets are kept.
    #[cfg(feature = "cli")]
    pub(crate) async fn ask(
        &self,
        method: reqwest::Method,
        url: &HubUrl,
        token: Option<&AccessToken>,
        headers: &[(String, String)],
    ) -> Result<reqwest::Response, TransportError> {
        let mut builder = self.request(method.clone(), url, token, headers);
        if method == reqwest::Method::POST {
            builder = builder.header("Content-Length", "0");
        }
        let response = self.execute(builder.build().map_err(describe)?).await?;
        self.head(url, &response);
        Ok(response)
    }

    /// What an answer says before its body. The cookies that it sets are kept.
    pub(super) fn head(&self, url: &HubUrl, response: &reqwest::Response) -> Head {
        let headers = response.headers();
        self.cookies.keep(url, headers);
        Head::new(response.status().as_u16(), |name| Some(headers.get(name)?.to_str().ok()?.to_owned()))
    }

    async fn execute(&self, request: reqwest::Request) -> Result<reqwest::Response, TransportError> {
        let url = request.url().clone();
        let proxy = self.proxy(&url)?;
        let answered = self.client.execute(request).await;
        let Some(proxy) = proxy else { return answered.map_err(describe) };
        match answered {
            // The status is never a server's. Without a tunnel, the proxy's other answers look like those of the server.
            Ok(response) if response.status() == 407 && url.scheme() == "http" && proxy.is_http() => {
                Err(tunnel::refused(&proxy, 407))
            }
            Ok(response) => Ok(response),
            Err(error) => Err(self.failed_through(&proxy, &url, describe(error)).await),
        }
    }

    /// Sends the request that opens a WebSocket. An HTTP proxy passes it on by a tunnel only (RFC 6455, 4.1), whether or
    /// not there is TLS.
    pub(super) async fn upgrade(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<reqwest::Response, TransportError> {
        let request = request.build().map_err(describe)?;
        match self.proxy(request.url())? {
            Some(proxy) if proxy.is_http() => {
                let tls = self.network.certificates.config().map_err(unavailable)?;
                tunnel::send(&proxy, request, tls).await
            }
            _ => self.execute(request).await,
        }
    }

    fn proxy(&self, url: &reqwest::Url) -> Result<Option<Arc<ProxyServer>>, TransportError> {
        self.network.proxy.for_url(url).map_err(|variable| {
            TransportError::new(format!(
                "the environment variable {variable} does not hold the address of a proxy, such as http://proxy.example.com:3128"
            ))
        })
    }

    /// What went wrong on the way through a proxy. reqwest does not tell what the proxy answered instead of opening a
    /// tunnel, so that it is asked once more.
    async fn failed_through(
        &self,
        proxy: &ProxyServer,
        url: &reqwest::Url,
        error: TransportError,
    ) -> TransportError {
        let refused = |error: TransportError| TransportError {
            kind: TransportErrorKind::Proxy { status: None },
            ..TransportError::because_of(
                format!("the proxy {proxy:?} refused the connection"),
                Cause::new(error),
            )
        };
        if error.kind != TransportErrorKind::Other {
            return error;
        }
        // The types of these errors are not public.
        let chain = ErrorChain::new(&error).to_string();
        let says = |text| chain.contains(text);
        let was_reached = !says("failed to create underlying connection") && !says("io error");
        if was_reached && says("tunnel error: ") {
            let Ok(tls) = self.network.certificates.config() else { return refused(error) };
            return match tunnel::open(proxy, url, &tls).await {
                Err(answer) => answer,
                Ok(_) => refused(error),
            };
        }
        if was_reached && says("SOCKS error: ") {
            return refused(error);
        }
        through(proxy, error)
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

fn unavailable(error: rustls::Error) -> TransportError {
    TransportError::because_of(tls::UNAVAILABLE, Cause::new(error))
}

/// A native program has no page that a relative URL could be resolved against.
pub(crate) fn absolute_url(url: &str) -> Result<HubUrl, UrlError> {
    match HubUrl::parse(url) {
        // The parser that connects knows the ASCII form of hosts beyond ASCII.
        Err(error @ UrlError::InternationalHost) => {
            HubUrl::parse(reqwest::Url::parse(url).map_err(|_| error)?.as_str())
        }
        parsed => parsed,
    }
}
