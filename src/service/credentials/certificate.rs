//! Certificates with their private keys, and the client assertions that they sign.
//!
//! Source: [Certificate credentials](https://learn.microsoft.com/entra/identity-platform/certificate-credentials).

use std::{fmt, io, path::PathBuf, sync::Arc};

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD as BASE64},
};
use p12_keystore::{Pkcs12Archive, error::Error as PfxError};
use ring::{
    digest,
    rand::{SecureRandom, SystemRandom},
    rsa::KeyPair,
    signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding},
};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject},
};
use serde_json::json;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::service::secret::Secret;

/// Entra takes assertions that live for up to ten minutes.
const LIFETIME: u64 = 600;

/// How a client assertion is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SigningAlgorithm {
    /// RSASSA-PSS with SHA-256, which Microsoft recommends. The default.
    #[default]
    Ps256,
    /// RSASSA-PKCS1-v1_5 with SHA-256, for authorities that take nothing newer, such as AD FS.
    Rs256,
}

impl SigningAlgorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Ps256 => "PS256",
            Self::Rs256 => "RS256",
        }
    }

    fn encoding(self) -> &'static dyn RsaEncoding {
        match self {
            Self::Ps256 => &RSA_PSS_SHA256,
            Self::Rs256 => &RSA_PKCS1_SHA256,
        }
    }
}

/// Why a certificate cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The file cannot be read. Check its path and who may read it.
    #[error("the certificate file {} cannot be read; check the path and the permissions", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        source: Arc<io::Error>,
    },
    /// The text is not PEM, or the bytes are not a PKCS#12 archive.
    #[error("the certificate is neither PEM nor PKCS#12 (PFX)")]
    Malformed,
    /// The PKCS#12 archive does not open with this password.
    #[error("the password of the PKCS#12 archive is wrong")]
    WrongPassword,
    /// The private key in the PEM is encrypted. Store it without a password, or use a PKCS#12 archive, whose
    /// password can be given.
    #[error(
        "the private key in the PEM is encrypted; store it without a password or use a PKCS#12 (PFX) archive"
    )]
    EncryptedKey,
    /// There is no private key. A certificate alone cannot sign; add the key to the file.
    #[error("there is no private key with the certificate; put both into one PEM or PKCS#12 (PFX) file")]
    NoPrivateKey,
    /// Microsoft Entra ID takes RSA keys of at least 2048 bits.
    #[error("the private key is not an RSA key of 2048 to 4096 bits")]
    UnsupportedKey,
    /// None of the certificates belongs to the private key.
    #[error(
        "no certificate belongs to the private key; put the certificate that was made for it into the file"
    )]
    NoCertificate,
}

/// A certificate that can sign: the private key, and the certificates from its own to the last before the root.
pub(in crate::service) struct SigningCertificate {
    key: KeyPair,
    chain: Vec<Vec<u8>>,
    /// In seconds since the Unix epoch.
    expires_at: i64,
}

impl SigningCertificate {
    pub(in crate::service) fn parse(bytes: &[u8], password: &str) -> Result<Self, CertificateError> {
        if bytes.windows(11).any(|window| window == b"-----BEGIN ") {
            Self::from_pem(bytes)
        } else {
            Self::from_pfx(bytes, password)
        }
    }

    pub(in crate::service) fn from_pem(text: &[u8]) -> Result<Self, CertificateError> {
        let key = match PrivateKeyDer::from_pem_slice(text) {
            Ok(PrivateKeyDer::Pkcs8(key)) => KeyPair::from_pkcs8(key.secret_pkcs8_der()),
            Ok(PrivateKeyDer::Pkcs1(key)) => KeyPair::from_der(key.secret_pkcs1_der()),
            Ok(_) => return Err(CertificateError::UnsupportedKey),
            Err(pem::Error::NoItemsFound) => {
                let encrypted = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";
                return Err(match text.windows(encrypted.len()).any(|window| window == encrypted) {
                    true => CertificateError::EncryptedKey,
                    false => CertificateError::NoPrivateKey,
                });
            }
            Err(_) => return Err(CertificateError::Malformed),
        };
        let certificates = CertificateDer::pem_slice_iter(text).map(|item| item.map(|der| der.to_vec()));
        let certificates = certificates.collect::<Result<Vec<_>, _>>();
        let key = key.map_err(|_| CertificateError::UnsupportedKey)?;
        Self::new(key, &certificates.map_err(|_| CertificateError::Malformed)?)
    }

    pub(in crate::service) fn from_pfx(bytes: &[u8], password: &str) -> Result<Self, CertificateError> {
        let archive = Pkcs12Archive::from_pkcs12(bytes, password).map_err(|error| match error {
            // Without a MAC, it is the decryption that finds out.
            PfxError::MacError(_) | PfxError::UnpadError | PfxError::Pkcs5Error(_) => {
                CertificateError::WrongPassword
            }
            _ => CertificateError::Malformed,
        })?;
        let key = archive.keys.first().ok_or(CertificateError::NoPrivateKey)?;
        let key = KeyPair::from_pkcs8(key.key.as_der()).map_err(|_| CertificateError::UnsupportedKey)?;
        let certificates: Vec<_> = archive.certs.iter().map(|bag| bag.cert.as_der().to_vec()).collect();
        Self::new(key, &certificates)
    }

    /// Finds the key's certificate among all, and those of its issuers. The order in files is not relied on.
    fn new(key: KeyPair, certificates: &[Vec<u8>]) -> Result<Self, CertificateError> {
        let parsed: Vec<_> = certificates
            .iter()
            .map(|der| X509Certificate::from_der(der).map(|(_, parsed)| (der, parsed)))
            .collect::<Result<_, _>>()
            .map_err(|_| CertificateError::Malformed)?;
        let of_key = |(_, parsed): &&(_, X509Certificate<'_>)| {
            *parsed.public_key().subject_public_key.data == *key.public().as_ref()
        };
        // A renewed certificate may stand beside the old one.
        let expiry = |(_, parsed): &&(_, X509Certificate<'_>)| parsed.validity().not_after.timestamp();
        let leaf = parsed.iter().filter(of_key).max_by_key(expiry).ok_or(CertificateError::NoCertificate)?;
        let mut chain = vec![leaf.0.clone()];
        let mut last = &leaf.1;
        while last.issuer() != last.subject() && chain.len() <= parsed.len() {
            let Some((der, issuer)) = parsed.iter().find(|(_, other)| other.subject() == last.issuer())
            else {
                break;
            };
            if issuer.issuer() != issuer.subject() {
                chain.push((*der).clone());
            }
            last = issuer;
        }
        Ok(Self { chain, expires_at: leaf.1.validity().not_after.timestamp(), key })
    }

    pub(in crate::service) fn has_expired(&self, now: u64) -> bool {
        i64::try_from(now).is_ok_and(|now| now > self.expires_at)
    }

    /// Signs a client assertion. `None` when the operating system gives no random numbers.
    pub(in crate::service) fn assertion(
        &self,
        algorithm: SigningAlgorithm,
        with_chain: bool,
        client_id: &str,
        audience: &str,
        now: u64,
    ) -> Option<Secret> {
        let leaf = self.chain.first()?;
        let thumbprint = |algorithm| BASE64.encode(digest::digest(algorithm, leaf));
        let mut header = json!({
            "alg": algorithm.name(),
            "typ": "JWT",
            // AD FS and older authorities look for the first.
            "x5t": thumbprint(&digest::SHA1_FOR_LEGACY_USE_ONLY),
            "x5t#S256": thumbprint(&digest::SHA256),
        });
        if with_chain && let Some(header) = header.as_object_mut() {
            // Unlike the rest of a token, these are in the standard alphabet (RFC 7515, section 4.1.6).
            let chain: Vec<_> = self.chain.iter().map(|der| BASE64_STANDARD.encode(der)).collect();
            header.insert("x5c".to_owned(), chain.into());
        }
        let random = SystemRandom::new();
        let mut id = [0; 16];
        random.fill(&mut id).ok()?;
        let claims = json!({
            "aud": audience,
            "iss": client_id,
            "sub": client_id,
            "jti": BASE64.encode(id),
            "iat": now,
            "nbf": now,
            "exp": now + LIFETIME,
        });
        let mut token =
            format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key.sign(algorithm.encoding(), &random, token.as_bytes(), &mut signature).ok()?;
        token.push('.');
        BASE64.encode_string(signature, &mut token);
        Some(Secret::new(token))
    }
}

impl fmt::Debug for SigningCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningCertificate(…)")
    }
}
