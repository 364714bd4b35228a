//! What every request of this module shares.

use std::{error::Error, sync::Arc};

use crate::platform::tls::http_client_builder;

/// The two HTTP clients. Plain http goes to this machine or, for a managed identity, to its host only, so never
/// through a proxy: it would see tokens in clear text.
#[derive(Debug, Clone)]
pub(super) struct HttpClients {
    secure: reqwest::Client,
    plain: reqwest::Client,
}

impl HttpClients {
    pub(super) fn new() -> Result<Self, Arc<dyn Error + Send + Sync>> {
        fn builder() -> Result<reqwest::ClientBuilder, Arc<dyn Error + Send + Sync>> {
            let builder = http_client_builder().map_err(shared)?;
            Ok(builder.user_agent(concat!("hubwire/", env!("CARGO_PKG_VERSION"))))
        }
        fn shared(error: impl Error + Send + Sync + 'static) -> Arc<dyn Error + Send + Sync> {
            Arc::new(error)
        }
        let secure = builder()?.build().map_err(shared)?;
        let plain = builder()?.no_proxy().build().map_err(shared)?;
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
