//! Why a local service cannot start.

use std::{io, net::IpAddr};

use crate::{core::Cause, cors::InvalidOrigin};

/// Why a [`LocalService`](super::LocalService) cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// The port is taken or not allowed: choose another, or none for any free one.
    #[error("the local service cannot listen on port {port} of {address}; choose another port")]
    Listen {
        /// The address to listen on.
        address: IpAddr,
        /// The port that was asked for; 0 for any.
        port: u16,
        /// What the operating system says.
        source: io::Error,
    },
    /// An access key is empty or has a `;` in it: no connection string could carry it.
    #[error("an access key must not be empty and must not contain a semicolon")]
    InvalidAccessKey,
    /// Two applications have the same client id in the same tenant: register each once.
    #[error("the application {client_id} is registered twice in one tenant")]
    DuplicateApplication {
        /// The client id.
        client_id: String,
    },
    /// A certificate of an application is not the PEM text of a certificate with an RSA key.
    #[error(
        "a certificate of the application {client_id} is not the PEM text of a certificate with an RSA key"
    )]
    InvalidCertificate {
        /// The client id.
        client_id: String,
    },
    /// A certificate or a key of [`tls`](super::LocalServiceBuilder::tls) or [`https`](super::LocalServiceBuilder::https)
    /// cannot be used.
    #[error("the certificate of the service cannot be used: {reason}")]
    InvalidHttpsCertificate {
        /// What is wrong with it.
        reason: String,
    },
    /// The public endpoint is not a scheme with a host and possibly a port.
    #[error("the public endpoint must be a scheme, a host and possibly a port, such as http://signalr:8888")]
    InvalidPublicEndpoint,
    /// What was given to [`allow_origin`](super::LocalServiceBuilder::allow_origin) is not the origin of pages.
    #[error(transparent)]
    InvalidOrigin(InvalidOrigin),
    /// What was given to [`allow_host`](super::LocalServiceBuilder::allow_host) is not a host.
    #[error("{host} is not a name that a service can have; give the name alone, without scheme and port")]
    InvalidHost {
        /// What was given.
        host: String,
    },
    /// The upstream's URL is not absolute, or not http or https.
    #[error(
        "the upstream must be an absolute http or https URL; it may contain {{hub}}, {{category}} and {{event}}"
    )]
    InvalidUpstream,
    /// The upstream's URL refers to Azure Key Vault, which this service does not read: put the secret itself there.
    #[error(
        "the upstream has a Key Vault reference, which is not supported here; write its value into the URL"
    )]
    KeyVaultReference,
    /// The HTTP client that calls the upstream could not be set up; most likely the system has no root certificates.
    #[error("the HTTP client could not be set up; check that the system has root certificates")]
    HttpClient(#[source] Cause),
    /// The operating system has no random numbers to give.
    #[error("the operating system gives no random numbers")]
    Random(#[source] io::Error),
}

impl From<getrandom::Error> for LocalError {
    fn from(error: getrandom::Error) -> Self {
        Self::Random(error.into())
    }
}
