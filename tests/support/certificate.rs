//! The certificates in `tests/certificates`, as another library reads them.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::path::PathBuf;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::Value;
use x509_parser::prelude::{FromDer, X509Certificate};

pub(crate) const PASSWORD: &str = "pfx-password";

pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/certificates").join(name)
}

pub(crate) fn file(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap()
}

/// The certificates of a PEM file, in their order.
pub(crate) fn certificates(name: &str) -> Vec<Vec<u8>> {
    CertificateDer::pem_slice_iter(&file(name)).map(|der| der.unwrap().to_vec()).collect()
}

/// The header and the claims of a token that the key of this certificate has signed.
pub(crate) fn verified(token: &str, certificate: &str, algorithm: Algorithm) -> (Header, Value) {
    let der = certificates(certificate).remove(0);
    let (_, parsed) = X509Certificate::from_der(&der).unwrap();
    let key = DecodingKey::from_rsa_der(&parsed.public_key().subject_public_key.data);
    let mut validation = Validation::new(algorithm);
    validation.validate_aud = false;
    let decoded = jsonwebtoken::decode::<Value>(token, &key, &validation).expect("a token of this key");
    (decoded.header, decoded.claims)
}

/// Signs a token with the key of `application.pem`.
pub(crate) fn sign(header: &Header, claims: &Value) -> String {
    let key = PrivateKeyDer::from_pem_slice(&file("application-pkcs1.pem")).unwrap();
    jsonwebtoken::encode(header, claims, &EncodingKey::from_rsa_der(key.secret_der())).unwrap()
}
