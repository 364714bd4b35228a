//! TLS to the managed identity of Service Fabric: its certificate is known by its thumbprint.
//!
//! Source: [Service Fabric](https://learn.microsoft.com/azure/service-fabric/how-to-managed-identity-service-fabric-app-code).

use std::{sync::Arc, time::Duration};

use ring::digest;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring::default_provider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use crate::service::credentials::{error::CredentialError, source::cause};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client that talks to the server with this certificate only, and follows no redirects.
pub(super) fn client(thumbprint: &str) -> Result<reqwest::Client, CredentialError> {
    let digits = thumbprint.chars().filter(char::is_ascii_hexdigit).map(|digit| digit.to_ascii_lowercase());
    let provider = Arc::new(default_provider());
    let verifier = Pinned { thumbprint: digits.collect(), provider: Arc::clone(&provider) };
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config
        .map_err(|error| CredentialError::Other(cause(error)))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(config)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .user_agent(concat!("hubwire/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| CredentialError::Other(cause(error)))
}

/// Accepts the certificate with this SHA-1 thumbprint, as Service Fabric gives it, and checks that the server has its
/// key.
#[derive(Debug)]
struct Pinned {
    /// In lower case.
    thumbprint: String,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, end_entity);
        let found: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        match found == self.thumbprint {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
