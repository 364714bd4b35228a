//! Client assertions: what an application proves itself with instead of a client secret.
//!
//! An application's own assertion is signed with the key of a registered certificate. Any other one is a token of an
//! identity that the application trusts.
//!
//! Sources: [certificate credentials](https://learn.microsoft.com/entra/identity-platform/certificate-credentials),
//! [workload identity federation](https://learn.microsoft.com/entra/workload-id/workload-identity-federation).

use std::fmt;

use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use ring::{
    digest,
    signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey},
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde_json::{Map, Value};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::service::{
    Cloud,
    jwt::verify::{self, TokenError},
};

/// The only type of assertion there is.
pub(crate) const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// What clocks may differ by.
const SKEW: u64 = 300;
/// The longest life of an application's own assertion.
const MAX_LIFETIME: u64 = 600;

/// Why an assertion is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AssertionError {
    #[error("JWT token is invalid or malformed: {0}.")]
    Malformed(&'static str),
    #[error(
        "The certificate with the identifier in the assertion's header is not registered on the application."
    )]
    UnknownCertificate,
    #[error("Client assertion contains an invalid signature.")]
    Signature,
    #[error("Client assertion audience does not match the token endpoint.")]
    Audience,
    #[error("Client assertion application identifier doesn't match 'client_id' parameter.")]
    Application,
    #[error("Client assertion is not within its valid time range.")]
    Time,
    #[error("No matching federated identity record found for presented assertion issuer.")]
    Issuer,
    #[error("No matching federated identity record found for presented assertion audience.")]
    ExchangeAudience,
    #[error("No matching federated identity record found for presented assertion subject.")]
    Subject,
}

impl AssertionError {
    /// The number after `AADSTS`.
    pub(crate) fn code(self) -> u32 {
        match self {
            Self::Malformed(_) => 50_027,
            Self::UnknownCertificate | Self::Signature => 700_027,
            Self::Audience => 700_023,
            Self::Application => 700_021,
            Self::Time => 700_024,
            Self::Issuer => 700_211,
            Self::ExchangeAudience => 700_212,
            Self::Subject => 700_213,
        }
    }
}

impl From<TokenError> for AssertionError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Malformed => Self::Malformed("it is no JSON Web Token"),
            TokenError::Algorithm => Self::Malformed("its algorithm is not supported"),
            TokenError::Signature => Self::Signature,
            TokenError::NoExpiry | TokenError::Expired | TokenError::NotYetValid => Self::Time,
            TokenError::Audience => Self::ExchangeAudience,
        }
    }
}

/// A certificate without its private key.
#[derive(Clone)]
pub(crate) struct PublicCertificate {
    der: Vec<u8>,
    /// As PKCS#1.
    key: Vec<u8>,
}

impl PublicCertificate {
    /// The first certificate of a PEM text, if it has an RSA key.
    pub(crate) fn from_pem(text: &[u8]) -> Option<Self> {
        let der = CertificateDer::from_pem_slice(text).ok()?.to_vec();
        let (_, parsed) = X509Certificate::from_der(&der).ok()?;
        let key = parsed.public_key();
        key.parsed().ok().filter(|key| matches!(key, x509_parser::public_key::PublicKey::RSA(_)))?;
        let key = key.subject_public_key.data.to_vec();
        Some(Self { key, der })
    }

    /// Whether the header names this certificate, by a thumbprint or by carrying it.
    fn is_named_by(&self, header: &Map<String, Value>) -> bool {
        let text = |name: &str| header.get(name).and_then(Value::as_str);
        let thumbprint = |algorithm| digest::digest(algorithm, &self.der);
        let named = [("x5t#S256", &digest::SHA256), ("x5t", &digest::SHA1_FOR_LEGACY_USE_ONLY)]
            .into_iter()
            .filter_map(|(name, algorithm)| {
                let encoded = Base64UrlUnpadded::encode_string(thumbprint(algorithm).as_ref());
                text(name).map(|value| value == encoded)
            })
            .collect::<Vec<_>>();
        let first = header.get("x5c").and_then(|chain| chain.get(0)).and_then(Value::as_str);
        let carried = first.is_none_or(|first| first == Base64::encode_string(&self.der));
        !named.is_empty() && named.iter().all(|same| *same) && carried
    }

    fn verify(&self, assertion: &Assertion<'_>) -> Result<(), AssertionError> {
        let algorithm: &dyn ring::signature::VerificationAlgorithm =
            match assertion.header.get("alg").and_then(Value::as_str) {
                Some("PS256") => &RSA_PSS_2048_8192_SHA256,
                Some("RS256") => &RSA_PKCS1_2048_8192_SHA256,
                _ => return Err(TokenError::Algorithm.into()),
            };
        let key = UnparsedPublicKey::new(algorithm, &self.key);
        let verified = key.verify(assertion.signed.as_bytes(), &assertion.signature);
        verified.map_err(|_| AssertionError::Signature)
    }
}

impl fmt::Debug for PublicCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicCertificate(…)")
    }
}

/// An identity outside of Entra that an application trusts.
#[derive(Debug, Clone)]
pub(crate) struct TrustedIssuer {
    pub(crate) issuer: String,
    pub(crate) subject: String,
    pub(crate) certificate: PublicCertificate,
}

/// An assertion that is taken apart; nothing is verified yet.
pub(crate) struct Assertion<'a> {
    signed: &'a str,
    header: Map<String, Value>,
    claims: Map<String, Value>,
    signature: Vec<u8>,
}

impl<'a> Assertion<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, AssertionError> {
        let (signed, header, claims, signature) = verify::split(text)?;
        let signature = Base64UrlUnpadded::decode_vec(signature).map_err(|_| TokenError::Malformed)?;
        Ok(Self {
            signed,
            header: verify::decode_object(header)?,
            claims: verify::decode_object(claims)?,
            signature,
        })
    }

    fn claim(&self, name: &str) -> &str {
        self.claims.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn issuer(&self) -> &str {
        self.claim("iss")
    }

    pub(crate) fn subject(&self) -> &str {
        self.claim("sub")
    }

    fn time(&self, name: &str) -> Option<u64> {
        self.claims.get(name).and_then(Value::as_u64)
    }

    fn check_time(&self, now: u64) -> Result<u64, AssertionError> {
        let expires_at = self.time("exp").ok_or(AssertionError::Time)?;
        let not_before = self.time("nbf").or_else(|| self.time("iat"));
        if expires_at + SKEW <= now || not_before.is_some_and(|time| time > now + SKEW) {
            return Err(AssertionError::Time);
        }
        Ok(expires_at)
    }

    /// Checks the assertion that an application makes of itself.
    pub(crate) fn check_own(
        &self,
        client_id: &str,
        certificates: &[PublicCertificate],
        token_url: &str,
        now: u64,
    ) -> Result<(), AssertionError> {
        let certificate = certificates.iter().find(|certificate| certificate.is_named_by(&self.header));
        certificate.ok_or(AssertionError::UnknownCertificate)?.verify(self)?;
        if self.claims.get("aud").and_then(Value::as_str) != Some(token_url) {
            return Err(AssertionError::Audience);
        }
        let is_client = |id: &str| id.eq_ignore_ascii_case(client_id);
        if !is_client(self.issuer()) || !is_client(self.subject()) {
            return Err(AssertionError::Application);
        }
        if self.claim("jti").is_empty() {
            return Err(AssertionError::Malformed("its jti is missing"));
        }
        // Entra only recommends ten minutes.
        let expires_at = self.check_time(now)?;
        if self.time("nbf").is_none() || expires_at > now + MAX_LIFETIME + SKEW {
            return Err(AssertionError::Time);
        }
        Ok(())
    }

    /// Checks a token of an identity outside of Entra.
    pub(crate) fn check_federated(&self, trusted: &[TrustedIssuer], now: u64) -> Result<(), AssertionError> {
        let of_issuer: Vec<_> = trusted.iter().filter(|trust| trust.issuer == self.issuer()).collect();
        if of_issuer.is_empty() {
            return Err(AssertionError::Issuer);
        }
        let of_subject = of_issuer.iter().find(|trust| trust.subject == self.subject());
        of_subject.ok_or(AssertionError::Subject)?.certificate.verify(self)?;
        let accepted = match self.claims.get("aud") {
            Some(Value::String(audience)) => is_exchange_audience(audience),
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).any(is_exchange_audience),
            _ => false,
        };
        if !accepted {
            return Err(AssertionError::ExchangeAudience);
        }
        self.check_time(now).map(drop)
    }
}

/// Whether a token with this audience may be an assertion. This machine is in no cloud, so that of any cloud may.
pub(crate) fn is_exchange_audience(audience: &str) -> bool {
    [Cloud::Public, Cloud::UsGovernment, Cloud::China]
        .iter()
        .any(|cloud| cloud.exchange_audience() == audience)
}
