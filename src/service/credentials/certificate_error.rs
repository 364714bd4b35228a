//! Why a certificate or its private key cannot be used.

use std::{io, path::PathBuf, sync::Arc};

/// Why a certificate cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The file cannot be read: check its path and who may read it. Or it is not a regular file, or is longer than a
    /// megabyte.
    #[error("the certificate file {} cannot be read; check the path and the permissions", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        source: Arc<io::Error>,
    },
    /// The text is not PEM, or the bytes are not a PKCS#12 archive. Check that it is the right file, and whole.
    #[error("the certificate is neither PEM nor PKCS#12 (PFX); check that it is the right file and complete")]
    Malformed,
    /// The PKCS#12 archive or the encrypted private key does not open with this password.
    #[error("the password of the PKCS#12 archive or of the private key is wrong")]
    WrongPassword,
    /// The private key in the PEM is encrypted, and there is no password. Give it, or store the key without one.
    #[error("the private key in the PEM is encrypted; give its password, or store it without one")]
    EncryptedKey,
    /// The archive or the key is encrypted with an algorithm that is not supported, or asks for more than a million
    /// rounds of it. Export it again, with AES: `openssl pkcs8 -topk8 -v2 aes256`, `openssl pkcs12 -export`.
    #[error(
        "the private key is encrypted with an algorithm that is not supported, or in too many rounds; export it again, \
         with AES and up to a million rounds, or without a password"
    )]
    UnsupportedEncryption,
    /// There is no private key. A certificate alone cannot sign; add the key to the file.
    #[error("there is no private key with the certificate; put both into one PEM or PKCS#12 (PFX) file")]
    NoPrivateKey,
    /// Microsoft Entra ID takes RSA keys of at least 2048 bits. Make a certificate with one.
    #[error("the private key is not an RSA key of 2048 to 4096 bits; use a certificate that has one")]
    UnsupportedKey,
    /// None of the certificates belongs to the private key.
    #[error(
        "no certificate belongs to the private key; put the certificate that was made for it into the file"
    )]
    NoCertificate,
}
