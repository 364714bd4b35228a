//! What a hub behind Azure SignalR Service needs of the settings and rules here.

use crate::{
    platform::Network,
    service::{
        client,
        configuration::{error::ConfigurationError, settings::Configuration},
        endpoints::{endpoint::ServiceEndpoint, list},
        error::{BuildError, ServiceError},
        negotiate::{options::NegotiateOptions, refresh::ConnectionClaims},
        random,
    },
};

/// A random number.
pub(crate) fn random() -> u64 {
    random::number()
}

/// The claims that a token with these options has, one by one.
pub(crate) fn claims_of(options: &NegotiateOptions) -> Result<Vec<(String, String)>, ServiceError> {
    ConnectionClaims::of(options).map(ConnectionClaims::into_pairs)
}

/// Whether another endpoint may do what has failed at one.
pub(crate) fn is_of_endpoint(error: &ServiceError) -> bool {
    error.is_of_endpoint()
}

/// The endpoints that are configured, and the application name, if there is one. Likely mistakes are logged.
pub(crate) fn configured(
    configuration: &Configuration,
) -> Result<(Vec<ServiceEndpoint>, Option<String>), ConfigurationError> {
    let endpoints = configuration.service_endpoints()?;
    for warning in configuration.warnings()? {
        let warning = crate::core::ErrorChain::new(&warning);
        tracing::warn!(%warning, "the settings have most likely a mistake");
    }
    Ok((endpoints, configuration.filled("Azure:SignalR:ApplicationName").map(str::to_owned)))
}

/// Of several endpoints with one address the first primary one counts, or else the first.
pub(crate) fn distinct(endpoints: Vec<ServiceEndpoint>) -> Vec<ServiceEndpoint> {
    list::distinct(endpoints, |endpoint| (endpoint.endpoint(), endpoint.role()))
}

pub(crate) fn is_application_name(name: &str) -> bool {
    client::is_application_name(name)
}

/// Checks the certificates that were given, once.
pub(crate) fn check_certificates(network: &mut Network) -> Result<(), BuildError> {
    let certificates = std::mem::take(&mut network.certificates).check();
    network.certificates = certificates.map_err(|reason| BuildError::InvalidCertificate { reason })?;
    Ok(())
}
