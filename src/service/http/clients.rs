//! The HTTP clients that every request of the service's client shares.

use std::{error::Error, sync::Arc};

use crate::{platform::tls::http_client_builder, service::secret::Secret};

/// Why the HTTP clients could not be set up.
#[derive(Debug)]
pub(in crate::service) enum HttpClientError {
    /// The address of the proxy is not valid.
    Proxy,
    Client(Arc<dyn Error + Send + Sync>),
}

/// The two HTTP clients. Plain http goes to this machine or, for a managed identity, to its host only, so never
/// through a proxy: it would see tokens in clear text.
#[derive(Debug, Clone)]
pub(in crate::service) struct HttpClients {
    secure: reqwest::Client,
    plain: reqwest::Client,
}

impl HttpClients {
    /// `proxy` replaces the proxy of the system.
    pub(in crate::service) fn new(proxy: Option<&Secret>) -> Result<Self, HttpClientError> {
        fn builder() -> Result<reqwest::ClientBuilder, HttpClientError> {
            let builder = http_client_builder().map_err(failed)?;
            Ok(builder.user_agent(concat!("hubwire/", env!("CARGO_PKG_VERSION"))))
        }
        fn failed(error: impl Error + Send + Sync + 'static) -> HttpClientError {
            HttpClientError::Client(Arc::new(error))
        }
        let mut secure = builder()?;
        if let Some(url) = proxy {
            // The error of a URL may quote it, with the password in it.
            let proxy = reqwest::Proxy::all(url.expose()).map_err(|_| HttpClientError::Proxy)?;
            secure = secure.proxy(proxy.no_proxy(reqwest::NoProxy::from_env()));
        }
        let secure = secure.build().map_err(failed)?;
        let plain = builder()?.no_proxy().build().map_err(failed)?;
        Ok(Self { secure, plain })
    }

    pub(in crate::service) fn for_url(&self, url: &reqwest::Url) -> &reqwest::Client {
        if url.scheme() == "http" { &self.plain } else { &self.secure }
    }
}
