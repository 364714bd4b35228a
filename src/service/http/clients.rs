//! The HTTP clients that every request of the service's client shares.

use std::error::Error;

use crate::{core::Cause, platform::Network, service::error::BuildError};

/// The two HTTP clients. Plain http goes to this machine or, for a managed identity, to its host only, so never
/// through a proxy: it would see tokens in clear text.
#[derive(Debug, Clone)]
pub(in crate::service) struct HttpClients {
    secure: reqwest::Client,
    plain: reqwest::Client,
}

impl HttpClients {
    /// Where only plain http is needed, TLS is not set up, so that the system needs no root certificates.
    pub(in crate::service) fn new(network: &Network, only_plain: bool) -> Result<Self, BuildError> {
        fn failed(error: impl Error + Send + Sync + 'static) -> BuildError {
            BuildError::HttpClient(Cause::new(error))
        }
        let build = |builder: reqwest::ClientBuilder| {
            let builder = builder.user_agent(concat!("hubwire/", env!("CARGO_PKG_VERSION")));
            builder.build().map_err(failed)
        };
        let plain = build(Network::plain_http_client_builder().map_err(failed)?)?;
        let secure = match only_plain {
            true => plain.clone(),
            false => {
                network.require_roots().map_err(failed)?;
                build(network.http_client_builder().map_err(failed)?)?
            }
        };
        Ok(Self { secure, plain })
    }

    pub(in crate::service) fn for_url(&self, url: &reqwest::Url) -> &reqwest::Client {
        if url.scheme() == "http" { &self.plain } else { &self.secure }
    }
}
