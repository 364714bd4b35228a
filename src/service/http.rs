//! What every request of this module shares.

use std::{error::Error, sync::Arc};

use super::{client::BuildError, secret::Secret};
use crate::platform::tls::http_client_builder;

/// The two HTTP clients. Plain http goes to this machine or, for a managed identity, to its host only, so never
/// through a proxy: it would see tokens in clear text.
#[derive(Debug, Clone)]
pub(super) struct HttpClients {
    secure: reqwest::Client,
    plain: reqwest::Client,
}

impl HttpClients {
    /// `proxy` stands in place of the system's.
    pub(super) fn new(proxy: Option<&Secret>) -> Result<Self, BuildError> {
        fn builder() -> Result<reqwest::ClientBuilder, BuildError> {
            let builder = http_client_builder().map_err(failed)?;
            Ok(builder.user_agent(concat!("hubwire/", env!("CARGO_PKG_VERSION"))))
        }
        fn failed(error: impl Error + Send + Sync + 'static) -> BuildError {
            BuildError::HttpClient(Arc::new(error))
        }
        let mut secure = builder()?;
        if let Some(url) = proxy {
            // The error of a URL may quote it, with the password in it.
            let proxy = reqwest::Proxy::all(url.expose()).map_err(|_| BuildError::InvalidProxy)?;
            secure = secure.proxy(proxy.no_proxy(reqwest::NoProxy::from_env()));
        }
        let secure = secure.build().map_err(failed)?;
        let plain = builder()?.no_proxy().build().map_err(failed)?;
        Ok(Self { secure, plain })
    }

    pub(super) fn for_url(&self, url: &reqwest::Url) -> &reqwest::Client {
        if url.scheme() == "http" { &self.plain } else { &self.secure }
    }
}

/// Reads a body that must not be longer than `limit` bytes.
pub(super) async fn read_body(
    mut response: reqwest::Response,
    limit: usize,
) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(reqwest::Error::without_url)? {
        if body.len() + chunk.len() > limit {
            return Err(format!("the answer is longer than {limit} bytes").into());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
