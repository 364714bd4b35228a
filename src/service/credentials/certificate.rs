//! Certificates with their private keys, and the client assertions that they sign.
//!
//! Source: [Certificate credentials](https://learn.microsoft.com/entra/identity-platform/certificate-credentials).

use std::fmt;

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
use serde_json::json;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::service::{
    credentials::{
        certificate_error::CertificateError,
        encrypted_key,
        pem::{self, Block},
    },
    secret::Secret,
};

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

/// A certificate that can sign: the private key, and the certificates from its own to the last before the root.
pub(in crate::service) struct SigningCertificate {
    key: KeyPair,
    chain: Vec<Vec<u8>>,
    /// In seconds since the Unix epoch.
    expires_at: i64,
}

impl SigningCertificate {
    pub(in crate::service) fn parse(bytes: &[u8], password: &str) -> Result<Self, CertificateError> {
        if pem::is_pem(&pem::text(bytes)) {
            Self::from_pem(bytes, password)
        } else {
            Self::from_pfx(bytes, password)
        }
    }

    pub(in crate::service) fn from_pem(bytes: &[u8], password: &str) -> Result<Self, CertificateError> {
        let text = pem::text(bytes);
        let (mut keys, mut certificates, mut refused) = (Vec::new(), Vec::new(), None);
        for block in pem::blocks(&text) {
            if block.label == "CERTIFICATE" {
                certificates.push(block.bytes().ok_or(CertificateError::Malformed)?.to_vec());
            } else if block.label.ends_with("PRIVATE KEY") {
                match key_of(&block, password) {
                    Ok(key) => keys.push(key),
                    Err(error) => refused = refused.or(Some(error)),
                }
            }
        }
        if keys.is_empty() {
            return Err(refused.unwrap_or(CertificateError::NoPrivateKey));
        }
        Self::choose(keys, &certificates)
    }

    /// Opens an archive, or the base64 of one, as Azure Key Vault has it in the secret of a certificate.
    pub(in crate::service) fn from_pfx(bytes: &[u8], password: &str) -> Result<Self, CertificateError> {
        // An archive is an ASN.1 sequence whose length takes more than one byte.
        let decoded = match bytes {
            [0x30, 0x80..=0xff, ..] => None,
            _ => pem::whole_base64(&pem::text(bytes)),
        };
        let bytes = decoded.as_ref().map_or(bytes, |decoded| decoded.as_slice());
        let archive = Pkcs12Archive::from_pkcs12(bytes, password).map_err(|error| match error {
            // Without a MAC, it is the decryption that finds out.
            PfxError::MacError(_) | PfxError::UnpadError | PfxError::Pkcs5Error(_) => {
                CertificateError::WrongPassword
            }
            PfxError::InvalidParameters
            | PfxError::UnsupportedEncryptionScheme
            | PfxError::UnsupportedMacAlgorithm => CertificateError::UnsupportedEncryption,
            _ => CertificateError::Malformed,
        })?;
        if archive.keys.is_empty() {
            return Err(CertificateError::NoPrivateKey);
        }
        let keys = archive.keys.iter().filter_map(|bag| KeyPair::from_pkcs8(bag.key.as_der()).ok());
        let certificates: Vec<_> = archive.certs.iter().map(|bag| bag.cert.as_der().to_vec()).collect();
        Self::choose(keys.collect(), &certificates)
    }

    /// Of the pairs of an RSA key and its certificate, the one that is valid longest: a renewed one may stand beside the
    /// old one, and a file may have the pairs of other programs too.
    fn choose(keys: Vec<KeyPair>, certificates: &[Vec<u8>]) -> Result<Self, CertificateError> {
        if keys.is_empty() {
            return Err(CertificateError::UnsupportedKey);
        }
        let parsed: Vec<_> = certificates
            .iter()
            .filter_map(|der| X509Certificate::from_der(der).ok().map(|(_, parsed)| (der, parsed)))
            .collect();
        if parsed.is_empty() && !certificates.is_empty() {
            return Err(CertificateError::Malformed);
        }
        let pairs = keys.into_iter().filter_map(|key| Self::new(key, &parsed));
        pairs.max_by_key(|pair| pair.expires_at).ok_or(CertificateError::NoCertificate)
    }

    /// Finds the key's certificate among all, and those of its issuers. The order in files is not relied on.
    fn new(key: KeyPair, parsed: &[(&Vec<u8>, X509Certificate<'_>)]) -> Option<Self> {
        let of_key = |(_, parsed): &&(&Vec<u8>, X509Certificate<'_>)| {
            *parsed.public_key().subject_public_key.data == *key.public().as_ref()
        };
        let expiry = |(_, parsed): &&(&Vec<u8>, X509Certificate<'_>)| parsed.validity().not_after.timestamp();
        let leaf = parsed.iter().filter(of_key).max_by_key(expiry)?;
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
        Some(Self { chain, expires_at: leaf.1.validity().not_after.timestamp(), key })
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

/// The RSA key of a block.
fn key_of(block: &Block<'_>, password: &str) -> Result<KeyPair, CertificateError> {
    let bytes = block.bytes().ok_or(CertificateError::Malformed)?;
    let is_encrypted = block.header("Proc-Type").is_some_and(|value| value.ends_with("ENCRYPTED"));
    if (is_encrypted || block.label == "ENCRYPTED PRIVATE KEY") && password.is_empty() {
        return Err(CertificateError::EncryptedKey);
    }
    let key = match block.label {
        "ENCRYPTED PRIVATE KEY" => KeyPair::from_pkcs8(&encrypted_key::pkcs8(&bytes, password)?),
        "PRIVATE KEY" => KeyPair::from_pkcs8(&bytes),
        "RSA PRIVATE KEY" if is_encrypted => {
            let dek_info = block.header("DEK-Info").ok_or(CertificateError::Malformed)?;
            KeyPair::from_der(&encrypted_key::traditional(dek_info, &bytes, password)?)
        }
        "RSA PRIVATE KEY" => KeyPair::from_der(&bytes),
        _ => return Err(CertificateError::UnsupportedKey),
    };
    key.map_err(|_| CertificateError::UnsupportedKey)
}
