//! An application that proves itself with a certificate.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use azure_core::credentials::AccessToken;
use sha2::{Digest, Sha256};
use tokio::{runtime::Handle, task::JoinError};
use zeroize::Zeroizing;

use crate::{
    core::ErrorChain,
    lock::lock,
    service::{
        clock::unix_now,
        credentials::{
            certificate::{SigningAlgorithm, SigningCertificate},
            certificate_error::CertificateError,
            entra::application::{Application, Proof, authority_methods},
            error::{CredentialError, InvalidCredential},
            file::read_file,
            source::{TokenSource, blocking},
        },
        http::clients::HttpClients,
        secret::Secret,
    },
};

/// With the chains of several certificates, a file has some ten kilobytes.
const LONGEST_FILE: usize = 1024 * 1024;

/// The credential of an Entra application: its tenant, its client id and a certificate with its private key.
///
/// The key is an RSA key of 2048 to 4096 bits. The certificate is a PEM text (the key as PKCS#8 or PKCS#1, encrypted or
/// not, the certificates in any order), a PKCS#12 archive (PFX), or the base64 of one, as Azure Key Vault has it in the
/// secret of a certificate. Of several pairs of a key and its certificate, the one that is valid longest is used.
///
/// It comes from memory or from a file of up to a megabyte. A file is read again for every token, about once an hour, so
/// a renewed certificate comes into use by itself; while the file cannot be read, the last one stays in use. Nothing
/// here holds up the runtime: files are read, and what a password protects is opened, on threads for blocking work.
///
/// ```no_run
/// use hubwire::service::{ServiceEndpoint, credentials::ClientCertificate};
///
/// let credential = ClientCertificate::from_file(
///     "contoso.onmicrosoft.com",
///     "11111111-2222-3333-4444-555555555555",
///     "/var/run/secrets/application.pem",
/// );
/// let endpoint = ServiceEndpoint::new("https://contoso.service.signalr.net", credential)?;
/// # Ok::<(), hubwire::service::endpoints::EndpointError>(())
/// ```
///
/// Source: [Certificate credentials](https://learn.microsoft.com/entra/identity-platform/certificate-credentials).
#[derive(Clone)]
pub struct ClientCertificate {
    application: Application,
    certificate: Certificate,
    algorithm: SigningAlgorithm,
    with_chain: bool,
}

#[derive(Clone)]
enum Certificate {
    Memory(Arc<SigningCertificate>),
    File(Arc<CertificateFile>),
}

impl ClientCertificate {
    /// Takes the directory (tenant) id, the application (client) id, and a PEM text with the private key, which is not
    /// encrypted, and its certificate.
    ///
    /// # Errors
    /// See [`CertificateError`].
    pub fn from_pem(
        tenant_id: impl Into<String>,
        client_id: impl Into<String>,
        pem: impl AsRef<[u8]>,
    ) -> Result<Self, CertificateError> {
        let certificate = Arc::new(SigningCertificate::from_pem(pem.as_ref(), "")?);
        Ok(Self::new(tenant_id, client_id, Certificate::Memory(certificate)))
    }

    /// Like [`from_pem`](Self::from_pem), with the password of the private key. The key is in PKCS#8 (`BEGIN ENCRYPTED
    /// PRIVATE KEY`) or in the traditional form (`Proc-Type: 4,ENCRYPTED`), encrypted with AES or Triple DES.
    ///
    /// # Errors
    /// See [`CertificateError`].
    pub async fn from_pem_with_password(
        tenant_id: impl Into<String>,
        client_id: impl Into<String>,
        pem: impl AsRef<[u8]>,
        password: &str,
    ) -> Result<Self, CertificateError> {
        let certificate = opened(pem.as_ref(), password, SigningCertificate::from_pem).await?;
        Ok(Self::new(tenant_id, client_id, certificate))
    }

    /// Takes the directory (tenant) id, the application (client) id, a PKCS#12 archive (or its base64) and its password,
    /// which may be empty. A password may be turned into a key in up to a million rounds, which takes half a second.
    ///
    /// ```
    /// # async fn example(secret_of_key_vault: &str) -> Result<(), Box<dyn std::error::Error>> {
    /// use hubwire::service::credentials::ClientCertificate;
    ///
    /// let client_id = "11111111-2222-3333-4444-555555555555";
    /// let credential =
    ///     ClientCertificate::from_pfx("contoso.onmicrosoft.com", client_id, secret_of_key_vault, "").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`CertificateError`].
    pub async fn from_pfx(
        tenant_id: impl Into<String>,
        client_id: impl Into<String>,
        pfx: impl AsRef<[u8]>,
        password: &str,
    ) -> Result<Self, CertificateError> {
        let certificate = opened(pfx.as_ref(), password, SigningCertificate::from_pfx).await?;
        Ok(Self::new(tenant_id, client_id, certificate))
    }

    /// Takes the directory (tenant) id, the application (client) id, and the path of a PEM file, or of a PKCS#12
    /// archive (or its base64), without a password. The first token reads it. It has to be a regular file, or a symbolic
    /// link to one.
    #[must_use]
    pub fn from_file(
        tenant_id: impl Into<String>,
        client_id: impl Into<String>,
        path: impl Into<PathBuf>,
    ) -> Self {
        Self::from_file_with_password(tenant_id, client_id, path, "")
    }

    /// Like [`from_file`](Self::from_file), with the password of the PKCS#12 archive or of the private key in the PEM.
    #[must_use]
    pub fn from_file_with_password(
        tenant_id: impl Into<String>,
        client_id: impl Into<String>,
        path: impl Into<PathBuf>,
        password: impl Into<String>,
    ) -> Self {
        let file =
            CertificateFile { path: path.into(), password: Secret::new(password), loaded: Mutex::default() };
        Self::new(tenant_id, client_id, Certificate::File(Arc::new(file)))
    }

    fn new(tenant_id: impl Into<String>, client_id: impl Into<String>, certificate: Certificate) -> Self {
        Self {
            application: Application::new(tenant_id, client_id),
            certificate,
            algorithm: SigningAlgorithm::default(),
            with_chain: false,
        }
    }

    /// How assertions are signed, PS256 by default.
    #[must_use]
    pub fn signing_algorithm(self, algorithm: SigningAlgorithm) -> Self {
        Self { algorithm, ..self }
    }

    /// Sends the certificate and those between it and its root along (`x5c`). Applications that trust a subject name
    /// and an issuer, rather than one certificate, need it. Off by default.
    #[must_use]
    pub fn send_certificate_chain(self, send: bool) -> Self {
        Self { with_chain: send, ..self }
    }

    authority_methods!();

    async fn certificate(&self) -> Result<Arc<SigningCertificate>, CredentialError> {
        let certificate = match &self.certificate {
            Certificate::Memory(certificate) => Arc::clone(certificate),
            Certificate::File(file) => {
                let file = Arc::clone(file);
                blocking(move || file.load().map_err(CredentialError::Certificate)).await?
            }
        };
        if certificate.has_expired(unix_now()) {
            tracing::warn!(client_id = self.application.client_id, "the certificate has expired");
        }
        Ok(certificate)
    }
}

/// Opens what a password protects on a thread for blocking work, where there is a runtime that it would hold up.
async fn opened(
    bytes: &[u8],
    password: &str,
    open: fn(&[u8], &str) -> Result<SigningCertificate, CertificateError>,
) -> Result<Certificate, CertificateError> {
    let (bytes, password) = (Zeroizing::new(bytes.to_vec()), Secret::new(password));
    let work = move || open(&bytes, password.expose());
    let opened = match Handle::try_current() {
        Ok(runtime) => match runtime.spawn_blocking(work).await.map_err(JoinError::try_into_panic) {
            Ok(opened) => opened,
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            // The runtime ends, and with it what waits here.
            Err(Err(_)) => std::future::pending().await,
        },
        Err(_) => work(),
    };
    opened.map(|certificate| Certificate::Memory(Arc::new(certificate)))
}

#[async_trait::async_trait]
impl TokenSource for ClientCertificate {
    fn name(&self) -> &'static str {
        "client certificate"
    }

    fn check(&self) -> Result<(), InvalidCredential> {
        self.application.check()
    }

    async fn fetch(&self, http: &HttpClients, scope: &str) -> Result<AccessToken, CredentialError> {
        let certificate = self.certificate().await?;
        let Application { client_id, .. } = &self.application;
        let assertion = certificate.assertion(
            self.algorithm,
            self.with_chain,
            client_id,
            &self.application.token_url(),
            unix_now(),
        );
        let assertion = assertion.ok_or(CredentialError::Signing)?;
        self.application.request(http, scope, Proof::Assertion(assertion)).await
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ClientCertificate");
        shown.field("tenant_id", &self.application.tenant_id).field("client_id", &self.application.client_id);
        if let Certificate::File(file) = &self.certificate {
            shown.field("path", &file.path);
        }
        shown.field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// A file that may be replaced.
struct CertificateFile {
    path: PathBuf,
    password: Secret,
    /// What was read last, by the hash of the file.
    loaded: Mutex<Option<([u8; 32], Arc<SigningCertificate>)>>,
}

impl CertificateFile {
    /// Reads the file. It blocks.
    fn load(&self) -> Result<Arc<SigningCertificate>, CertificateError> {
        let mut loaded = lock(&self.loaded);
        let read = read_file(&self.path, LONGEST_FILE).map_err(|source| CertificateError::Unreadable {
            path: self.path.clone(),
            source: Arc::new(source),
        });
        let parsed = read.and_then(|bytes| {
            let hash = Sha256::digest(&*bytes).into();
            match &*loaded {
                Some((known, certificate)) if *known == hash => Ok((hash, Arc::clone(certificate))),
                _ => Ok((hash, Arc::new(SigningCertificate::parse(&bytes, self.password.expose())?))),
            }
        });
        match (parsed, &*loaded) {
            (Ok((hash, certificate)), _) => {
                *loaded = Some((hash, Arc::clone(&certificate)));
                Ok(certificate)
            }
            // It may be about to be replaced.
            (Err(error), Some((_, certificate))) => {
                tracing::warn!(error = %ErrorChain::new(&error), "the last certificate stays in use");
                Ok(Arc::clone(certificate))
            }
            (Err(error), None) => Err(error),
        }
    }
}
