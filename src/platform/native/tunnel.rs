//! Tunnels through HTTP proxies: `CONNECT` (RFC 9110, 9.3.6), and a request through one.
//!
//! reqwest makes them for `https` alone, and does not tell what a proxy answers instead. WebSockets need a tunnel without
//! TLS as well (RFC 6455, 4.1): a proxy that gets the upgrade as a request drops it, for it is not for the next server.

use std::sync::Arc;

use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use hyper::rt::{Read, Write};
use hyper::upgrade::Upgraded;
use hyper::{Request, Response, Uri, body::Incoming};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use reqwest::Url;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::proxy::ProxyServer;
use super::request_error::{describe, describe_any, through};
use super::tls::CONNECT_TIMEOUT;
use crate::core::{TransportError, TransportErrorKind};

/// What a proxy answers that does not open a tunnel.
pub(super) fn refused(proxy: &ProxyServer, status: u16) -> TransportError {
    let hint = match status {
        407 => "it wants a user and a password, as in http://user:password@proxy.example.com:3128",
        403 | 405 => "it does not allow connections to this host and port",
        502..=504 => "it does not reach the server",
        _ => "it may not be a proxy",
    };
    TransportError {
        kind: TransportErrorKind::Proxy { status: Some(status) },
        ..TransportError::new(format!(
            "the proxy {proxy:?} refused the connection with status {status}: {hint}"
        ))
    }
}

/// Sends a request to its URL through a tunnel of its own.
pub(super) async fn send(
    proxy: &ProxyServer,
    request: reqwest::Request,
    tls: ClientConfig,
) -> Result<reqwest::Response, TransportError> {
    let url = request.url().clone();
    let tunnel = open(proxy, &url, &tls).await?;
    let mut request = Request::<reqwest::Body>::try_from(request).map_err(describe)?;
    let host = authority(&url, url.port());
    request.headers_mut().insert(HOST, HeaderValue::try_from(host).map_err(describe_any)?);
    if let Some(path) = request.uri().path_and_query().cloned() {
        *request.uri_mut() = path.into();
    }
    let response = if url.scheme() == "https" {
        let tunnel = timely(secure(tls, &url, TokioIo::new(tunnel))).await?;
        exchange(TokioIo::new(tunnel), request).await?
    } else {
        exchange(tunnel, request).await?
    };
    Ok(response.map(reqwest::Body::wrap).into())
}

/// Has a proxy connect to a URL's host and port.
pub(super) async fn open(
    proxy: &ProxyServer,
    url: &Url,
    tls: &ClientConfig,
) -> Result<Upgraded, TransportError> {
    timely(async {
        let through = |error| through(proxy, error);
        let address = proxy.url();
        let host = bare_host(address);
        let port = address.port_or_known_default().unwrap_or_default();
        let stream = TcpStream::connect((host, port)).await.map_err(|e| through(describe_any(e)))?;
        // Not all systems can.
        let _ = stream.set_nodelay(true);
        let target = authority(url, url.port_or_known_default());
        let mut connect = Request::connect(&target).header(HOST, &target);
        if let Some(credentials) = credentials(address) {
            connect = connect.header(PROXY_AUTHORIZATION, credentials);
        }
        let connect = connect.body(reqwest::Body::default()).map_err(describe_any)?;
        let response = if address.scheme() == "https" {
            let stream = secure(tls.clone(), address, stream).await.map_err(through)?;
            exchange(TokioIo::new(stream), connect).await
        } else {
            exchange(TokioIo::new(stream), connect).await
        };
        let response = response.map_err(through)?;
        if !response.status().is_success() {
            return Err(refused(proxy, response.status().as_u16()));
        }
        hyper::upgrade::on(response).await.map_err(|e| through(describe_any(e)))
    })
    .await
}

async fn timely<T>(work: impl Future<Output = Result<T, TransportError>>) -> Result<T, TransportError> {
    let late = |_| {
        TransportError::new(format!("no connection through the proxy within {} s", CONNECT_TIMEOUT.as_secs()))
    };
    tokio::time::timeout(CONNECT_TIMEOUT, work).await.map_err(late)?
}

async fn secure<S: AsyncRead + AsyncWrite + Unpin>(
    mut tls: ClientConfig,
    url: &Url,
    stream: S,
) -> Result<TlsStream<S>, TransportError> {
    // HTTP/1.1 is spoken on it, whatever else the peer offers.
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let name = ServerName::try_from(bare_host(url).to_owned()).map_err(describe_any)?;
    TlsConnector::from(Arc::new(tls)).connect(name, stream).await.map_err(describe_any)
}

/// One request on a connection of its own, which ends with the answer unless that upgrades it.
async fn exchange(
    stream: impl Read + Write + Send + Unpin + 'static,
    request: Request<reqwest::Body>,
) -> Result<Response<Incoming>, TransportError> {
    let (mut sender, connection) = http1::handshake(stream).await.map_err(describe_any)?;
    tokio::spawn(connection.with_upgrades());
    let answer = sender.send_request(request).await;
    answer.map_err(describe_any)
}

/// An IPv6 address without its brackets.
fn bare_host(url: &Url) -> &str {
    url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

fn authority(url: &Url, port: Option<u16>) -> String {
    let host = url.host_str().unwrap_or_default();
    port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The user and the password in a proxy's address, as its `Proxy-Authorization`.
fn credentials(proxy: &Url) -> Option<HeaderValue> {
    let matcher = Matcher::builder().all(proxy.as_str()).build();
    matcher.intercept(&Uri::from_static("http://any.example"))?.basic_auth().cloned()
}
