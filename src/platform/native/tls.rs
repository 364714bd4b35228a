//! The HTTP client that everything native uses: rustls with ring and the operating system's roots.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use rustls_platform_verifier::BuilderVerifierExt;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// A client builder with TLS set up, a limit on connecting, and no redirects followed.
///
/// The crypto provider is passed in explicitly: which one is the process-wide default is the application's choice.
pub(crate) fn http_client_builder() -> Result<reqwest::ClientBuilder, rustls::Error> {
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(config()?)
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none()))
}

/// Reads the roots once: they take milliseconds to load and some hundred kilobytes to keep.
fn config() -> Result<rustls::ClientConfig, rustls::Error> {
    static CONFIG: OnceLock<Result<rustls::ClientConfig, rustls::Error>> = OnceLock::new();
    CONFIG.get_or_init(load).clone()
}

fn load() -> Result<rustls::ClientConfig, rustls::Error> {
    Ok(rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_platform_verifier()?
        .with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_built_without_a_process_wide_provider() {
        let client = http_client_builder().map(reqwest::ClientBuilder::build);
        assert!(matches!(client, Ok(Ok(_))), "{client:?}");
        assert!(rustls::crypto::CryptoProvider::get_default().is_none());
    }
}
