//! TLS for everything native: rustls with ring, the operating system's roots, and the caller's own certificates.

mod no_roots;

#[cfg(feature = "client")]
use std::error::Error;
use std::fmt;
#[cfg(feature = "client")]
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
#[cfg(feature = "client")]
use rustls::{AlertDescription, CertificateError, InvalidMessage};
use rustls_platform_verifier::Verifier;

use self::no_roots::NoRoots;

use super::proxy::Proxy;
#[cfg(feature = "client")]
use crate::core::TransportErrorKind;

pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// How connections are made: through which proxy, and with which certificates.
#[derive(Debug, Clone, Default)]
pub(crate) struct Network {
    pub(crate) proxy: Proxy,
    pub(crate) certificates: Certificates,
}

impl Network {
    /// A client builder with TLS and proxy set up, a limit on connecting, and no redirects followed.
    ///
    /// The crypto provider is passed in explicitly: which one is the process-wide default is the application's choice.
    pub(crate) fn http_client_builder(&self) -> Result<reqwest::ClientBuilder, rustls::Error> {
        Ok(self.proxy.apply(client_builder(self.certificates.config()?)))
    }

    /// Fails where no server can be trusted, which otherwise is found out when one is connected to.
    #[cfg(feature = "service")]
    pub(crate) fn require_roots(&self) -> Result<(), rustls::Error> {
        match &self.certificates.config {
            Some(_) => Ok(()),
            None => shared()?.missing.clone().map_or(Ok(()), Err),
        }
    }

    /// The same for plain http alone: without a proxy, which would see tokens in clear text, and without the system's roots,
    /// which a container need not have.
    #[cfg(feature = "service")]
    pub(crate) fn plain_http_client_builder() -> Result<reqwest::ClientBuilder, rustls::Error> {
        let config = builder()?.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
        Ok(client_builder(config).no_proxy())
    }
}

fn client_builder(config: ClientConfig) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .tls_backend_preconfigured(config)
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
}

/// Certificates of the caller's own, besides the operating system's roots.
#[derive(Clone, Default)]
pub(crate) struct Certificates {
    /// PEM texts, until they are checked.
    roots: Vec<Vec<u8>>,
    client: Option<(Vec<u8>, Vec<u8>)>,
    /// What has come of them.
    config: Option<Arc<ClientConfig>>,
}

/// There is a key among them.
impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").finish_non_exhaustive()
    }
}

impl Certificates {
    pub(crate) fn add_root(&mut self, pem: &[u8]) {
        self.roots.push(pem.to_vec());
    }

    #[cfg(feature = "client")]
    pub(crate) fn set_client(&mut self, certificate: &[u8], key: &[u8]) {
        self.client = Some((certificate.to_vec(), key.to_vec()));
    }

    /// Reads what was given. The error says what is wrong with it.
    pub(crate) fn check(self) -> Result<Self, String> {
        if self.roots.is_empty() && self.client.is_none() {
            return Ok(self);
        }
        let mut roots = Vec::new();
        for pem in &self.roots {
            roots.extend(certificates(pem).map_err(|e| format!("the root certificate is invalid: {e}"))?);
        }
        let builder = builder().map_err(|error| format!("{UNAVAILABLE}: {error}"))?;
        let verifier = verifier(roots, builder.crypto_provider()).map_err(|error| match error {
            rustls::Error::InvalidCertificate(_) => format!("the root certificate is invalid: {error}"),
            error => format!("{UNAVAILABLE}: {error}"),
        })?;
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        let config = match &self.client {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let invalid = |reason: &str| format!("the client certificate is invalid: {reason}");
                let chain = certificates(certificate).map_err(invalid)?;
                let key = private_key(key).map_err(invalid)?;
                builder.with_client_auth_cert(chain, key).map_err(|error| match error {
                    rustls::Error::InconsistentKeys(_) => invalid("the key belongs to another certificate"),
                    error => invalid(&error.to_string()),
                })?
            }
        };
        Ok(Self { config: Some(Arc::new(config)), ..Self::default() })
    }

    /// For all that is to be connected.
    pub(crate) fn config(&self) -> Result<ClientConfig, rustls::Error> {
        match &self.config {
            Some(config) => Ok(ClientConfig::clone(config)),
            None => shared().map(|shared| shared.config.clone()),
        }
    }
}

/// What all share who have no certificates of their own.
struct Shared {
    config: ClientConfig,
    /// Why no server is trusted, where the system has no roots.
    #[cfg_attr(
        not(feature = "service"),
        expect(dead_code, reason = "only a client of the service asks first")
    )]
    missing: Option<rustls::Error>,
}

/// Reads the roots once: they take milliseconds to load and some hundred kilobytes to keep. Where there are none, every
/// server is refused in its handshake, so that plain http, which needs no roots, works.
fn shared() -> Result<&'static Shared, rustls::Error> {
    static SHARED: OnceLock<Result<Shared, rustls::Error>> = OnceLock::new();
    let load = || {
        let builder = builder()?;
        let provider = Arc::clone(builder.crypto_provider());
        let (verifier, missing): (Arc<dyn ServerCertVerifier>, _) = match Verifier::new(Arc::clone(&provider))
        {
            Ok(verifier) => (Arc::new(verifier), None),
            Err(reason) => (Arc::new(NoRoots::new(reason.clone(), provider)), Some(reason)),
        };
        let config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        Ok(Shared { config, missing })
    };
    SHARED.get_or_init(load).as_ref().map_err(Clone::clone)
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, rustls::Error> {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
}

/// Trusts the operating system's roots, and these.
#[cfg(not(android))]
fn verifier(
    roots: Vec<CertificateDer<'static>>,
    provider: &Arc<CryptoProvider>,
) -> Result<Verifier, rustls::Error> {
    Verifier::new_with_extra_roots(roots, Arc::clone(provider))
}

/// Android keeps its roots to itself.
#[cfg(android)]
fn verifier(
    roots: Vec<CertificateDer<'static>>,
    provider: &Arc<CryptoProvider>,
) -> Result<Verifier, rustls::Error> {
    match roots.is_empty() {
        true => Verifier::new(Arc::clone(provider)),
        false => Err(rustls::Error::General("Android takes roots from its settings alone".to_owned())),
    }
}

/// What a server shows its clients: a chain and its key, in PEM. The error says what is wrong with them.
#[cfg(feature = "local")]
pub(crate) fn server_config(chain: &[u8], key: &[u8]) -> Result<rustls::ServerConfig, String> {
    let (chain, key) = (certificates(chain)?, private_key(key)?);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => "the key belongs to another certificate".to_owned(),
            error => error.to_string(),
        })
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if all.is_empty() => {
            Err("there is no certificate in the PEM text (-----BEGIN CERTIFICATE-----)")
        }
        Ok(all) => Ok(all),
        Err(_) => Err("the PEM text is malformed"),
    }
}

/// The library's errors would quote the text.
fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, &'static str> {
    const ENCRYPTED: &[u8] = b"ENCRYPTED";
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        if pem.windows(ENCRYPTED.len()).any(|text| text == ENCRYPTED) {
            "the key is encrypted; decrypt it first, as `openssl pkey` does"
        } else {
            "there is no private key in the PEM text (-----BEGIN PRIVATE KEY-----)"
        }
    })
}

/// Most likely the system has no roots, as in a small container.
pub(super) const UNAVAILABLE: &str = "TLS cannot be set up; install the system's root certificates (`ca-certificates`), or \
                                      name a file of them in SSL_CERT_FILE";

/// What an error says about TLS, and what to do about it.
#[cfg(feature = "client")]
pub(crate) fn explain(error: &(dyn Error + 'static)) -> Option<(TransportErrorKind, String)> {
    let mut link = Some(error);
    while let Some(error) = link {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            if let rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) = error {
                let text =
                    "the server does not speak TLS at this port; is its address http:// instead of https://?";
                return Some((TransportErrorKind::Other, text.to_owned()));
            }
            return explain_certificate(error).map(|text| (TransportErrorKind::Certificate, text));
        }
        // Its `source` would leave out what it holds.
        let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        link = match held {
            Some(held) => Some(held),
            None => error.source(),
        };
    }
    None
}

#[cfg(feature = "client")]
fn explain_certificate(error: &rustls::Error) -> Option<String> {
    const OWN_ROOT: &str = "if it is one of your own, give it to `with_root_certificate` (PEM), or add it to the system's \
                            certificates or to the file that SSL_CERT_FILE names";
    Some(match error {
        rustls::Error::InvalidCertificate(error) => match error {
            CertificateError::UnknownIssuer => {
                format!("the server's certificate is from an unknown issuer; {OWN_ROOT}")
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the server's certificate has expired, or this machine's clock is wrong".to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the server's certificate is not valid yet, or this machine's clock is wrong".to_owned()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "the server's certificate is for another host name".to_owned()
            }
            CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
                "the server's certificate is one of an authority (CA:TRUE), which does not identify a server"
                    .to_owned()
            }
            _ => "the server's certificate is not accepted".to_owned(),
        },
        rustls::Error::Other(other) if other.0.is::<NoRoots>() => UNAVAILABLE.to_owned(),
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "the server requires a client certificate; give one to `with_client_certificate`".to_owned()
        }
        rustls::Error::AlertReceived(
            alert @ (AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied),
        ) => format!("the server does not accept the client certificate ({alert:?})"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_built_without_a_process_wide_provider() {
        let client = Network::default().http_client_builder().map(reqwest::ClientBuilder::build);
        assert!(matches!(client, Ok(Ok(_))), "{client:?}");
        assert!(CryptoProvider::get_default().is_none());
    }
}
