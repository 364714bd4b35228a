//! Where a program runs, and how the managed identity is asked for there.
//!
//! Sources: [virtual machines](https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token),
//! [App Service](https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference),
//! [Azure Arc](https://learn.microsoft.com/azure/azure-arc/servers/managed-identity-authentication),
//! [Service Fabric](https://learn.microsoft.com/azure/service-fabric/how-to-managed-identity-service-fabric-app-code),
//! [Cloud Shell](https://learn.microsoft.com/azure/cloud-shell/msi-authorization),
//! [Azure Machine Learning](https://learn.microsoft.com/azure/machine-learning/how-to-identity-based-service-authentication).

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::RequestBuilder;
use tokio::net::TcpStream;

use super::{arc, fabric};
use crate::service::{
    credentials::{
        entra::variables::Variables,
        error::{Cause, CredentialError},
        source::cause,
    },
    http::{body::within, clients::HttpClients, url::parse_url},
    secret::Secret,
};

/// The metadata service of virtual machines, the same in every cloud.
const METADATA_SERVICE: &str = "http://169.254.169.254";
/// It is on the same host, so it accepts at once or never.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// Which identity of the host.
#[derive(Debug, Clone)]
pub(super) enum Id {
    System,
    Client(String),
    Object(String),
    Resource(String),
}

#[derive(Clone)]
pub(super) enum Host {
    VirtualMachine {
        url: String,
    },
    AppService {
        endpoint: String,
        header: Secret,
    },
    ServiceFabric {
        endpoint: String,
        header: Secret,
        thumbprint: String,
    },
    /// The agent puts a key into a file of this folder, which only those may read whom it trusts.
    AzureArc {
        endpoint: String,
        keys: PathBuf,
    },
    MachineLearning {
        endpoint: String,
        secret: Secret,
        default_client_id: Option<String>,
    },
    CloudShell {
        endpoint: String,
    },
}

impl Host {
    pub(super) fn from_variables(variables: &Variables<'_>) -> Self {
        let variable = |name| variables.filled(name);
        let header = || variable("IDENTITY_HEADER").map(Secret::new);
        if let Some(endpoint) = variable("IDENTITY_ENDPOINT") {
            if let Some(header) = header() {
                return match variable("IDENTITY_SERVER_THUMBPRINT") {
                    Some(thumbprint) => Self::ServiceFabric { endpoint, header, thumbprint },
                    None => Self::AppService { endpoint, header },
                };
            }
            if variable("IMDS_ENDPOINT").is_some() {
                return Self::AzureArc { endpoint, keys: arc::keys_folder(variables) };
            }
        } else if let Some(endpoint) = variable("MSI_ENDPOINT") {
            return match variable("MSI_SECRET") {
                Some(secret) => Self::MachineLearning {
                    endpoint,
                    secret: Secret::new(secret),
                    default_client_id: variable("DEFAULT_IDENTITY_CLIENT_ID"),
                },
                None => Self::CloudShell { endpoint },
            };
        }
        let pod = variable("AZURE_POD_IDENTITY_AUTHORITY_HOST");
        Self::VirtualMachine { url: pod.unwrap_or_else(|| METADATA_SERVICE.to_owned()) }
    }

    /// The address as it was given.
    pub(super) fn address(&self) -> &str {
        match self {
            Self::VirtualMachine { url } => url,
            Self::AppService { endpoint, .. }
            | Self::ServiceFabric { endpoint, .. }
            | Self::AzureArc { endpoint, .. }
            | Self::MachineLearning { endpoint, .. }
            | Self::CloudShell { endpoint } => endpoint,
        }
    }

    /// Whether it is an address where anything may answer, since no variable says that there is a managed identity.
    pub(super) fn is_guessed(&self) -> bool {
        matches!(self, Self::VirtualMachine { .. })
    }

    pub(super) fn keys(&self) -> Option<&Path> {
        match self {
            Self::AzureArc { keys, .. } => Some(keys),
            _ => None,
        }
    }

    /// What must not show up in an error.
    pub(super) fn secret(&self) -> Option<&Secret> {
        match self {
            Self::AppService { header, .. } | Self::ServiceFabric { header, .. } => Some(header),
            Self::MachineLearning { secret, .. } => Some(secret),
            _ => None,
        }
    }

    /// The HTTP client for it. Service Fabric has a certificate that nobody has signed and whose thumbprint it tells.
    pub(super) fn client(&self, http: &HttpClients) -> Result<reqwest::Client, CredentialError> {
        let url = parse_url(self.address()).ok_or_else(invalid_address)?;
        match self {
            Self::ServiceFabric { thumbprint, .. } if url.scheme() == "https" => fabric::client(thumbprint),
            _ => Ok(http.for_url(&url).clone()),
        }
    }

    /// The request for a token of this identity.
    pub(super) fn request(
        &self,
        client: &reqwest::Client,
        id: &Id,
        resource: &str,
    ) -> Result<RequestBuilder, CredentialError> {
        let (path, version) = match self {
            Self::VirtualMachine { .. } => ("/metadata/identity/oauth2/token", Some("2018-02-01")),
            Self::AppService { .. } => ("", Some("2019-08-01")),
            Self::ServiceFabric { .. } => ("", Some("2019-07-01-preview")),
            Self::AzureArc { .. } => ("", Some("2020-06-01")),
            Self::MachineLearning { .. } => ("", Some("2017-09-01")),
            Self::CloudShell { .. } => ("", None),
        };
        let base = match path {
            "" => self.address().to_owned(),
            path => format!("{}{path}", self.address().trim_end_matches('/')),
        };
        let mut url = parse_url(&base).ok_or_else(invalid_address)?;
        let parameters = version.map(|version| ("api-version", version)).into_iter();
        let parameters = parameters.chain([("resource", resource)]).chain(self.parameter(id)?);
        if let Self::CloudShell { .. } = self {
            let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
            let request = client.post(url).header("Content-Type", "application/x-www-form-urlencoded");
            return Ok(request.header("Metadata", "true").timeout(ATTEMPT_TIMEOUT).body(form));
        }
        url.query_pairs_mut().extend_pairs(parameters);
        let request = client.get(url).timeout(ATTEMPT_TIMEOUT);
        Ok(match self {
            Self::AppService { header, .. } => request.header("X-IDENTITY-HEADER", header.expose()),
            Self::ServiceFabric { header, .. } => request.header("Secret", header.expose()),
            Self::MachineLearning { secret, .. } => request.header("secret", secret.expose()),
            _ => request.header("Metadata", "true"),
        })
    }

    /// The parameter that names the identity.
    fn parameter<'a>(&'a self, id: &'a Id) -> Result<Option<(&'static str, &'a str)>, CredentialError> {
        let unsupported = |reason: &str| Err(CredentialError::NotConfigured { reason: reason.to_owned() });
        Ok(Some(match (self, id) {
            (Self::MachineLearning { default_client_id, .. }, Id::System) => {
                return Ok(default_client_id.as_deref().map(|id| ("clientid", id)));
            }
            (_, Id::System) => return Ok(None),
            (Self::VirtualMachine { .. } | Self::AppService { .. }, Id::Client(id)) => ("client_id", id),
            (Self::VirtualMachine { .. }, Id::Object(id)) => ("object_id", id),
            (Self::VirtualMachine { .. }, Id::Resource(id)) => ("msi_res_id", id),
            (Self::AppService { .. }, Id::Object(id)) => ("principal_id", id),
            (Self::AppService { .. }, Id::Resource(id)) => ("mi_res_id", id),
            (Self::MachineLearning { .. }, Id::Client(id)) => ("clientid", id),
            (Self::MachineLearning { .. }, _) => {
                return unsupported(
                    "Azure Machine Learning takes the client id of a user-assigned identity only",
                );
            }
            (Self::AzureArc { .. }, _) => {
                return unsupported("Azure Arc has system-assigned identities only; leave the id out");
            }
            (Self::ServiceFabric { .. }, _) => {
                return unsupported(
                    "Service Fabric decides on the identity in the application's manifest; leave the id out",
                );
            }
            (Self::CloudShell { .. }, _) => {
                return unsupported("Cloud Shell has the identity of its user only; leave the id out");
            }
        }))
    }

    /// Finds out fast that the endpoint does not exist, instead of waiting until a request ends.
    pub(super) async fn probe(&self) -> Result<(), CredentialError> {
        let Self::VirtualMachine { url } = self else { return Ok(()) };
        let url = parse_url(url).ok_or_else(invalid_address)?;
        let address = (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(80));
        let address = (address.0.trim_matches(['[', ']']), address.1);
        let elapsed = || io::Error::from(io::ErrorKind::TimedOut);
        let connected = within(CONNECT_TIMEOUT, TcpStream::connect(address), elapsed).await;
        connected.map(drop).map_err(|error| unreachable(cause(error)))
    }
}

pub(super) fn unreachable(cause: Cause) -> CredentialError {
    #[derive(Debug, thiserror::Error)]
    #[error("its endpoint cannot be reached")]
    struct Unreachable(#[source] Cause);
    CredentialError::NoManagedIdentity(Cause::new(Unreachable(cause)))
}

pub(super) fn invalid_address() -> CredentialError {
    CredentialError::NotConfigured {
        reason: "the address of the managed identity's endpoint is not an absolute URL".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_found_by_its_variables() {
        let host = |variables: &[(&str, &str)]| {
            let find = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
            let host = Host::from_variables(&Variables(&find));
            let kind = match &host {
                Host::VirtualMachine { .. } => "machine",
                Host::AppService { .. } => "app",
                Host::ServiceFabric { .. } => "fabric",
                Host::AzureArc { .. } => "arc",
                Host::MachineLearning { .. } => "ml",
                Host::CloudShell { .. } => "shell",
            };
            format!("{kind} {} {}", host.address(), host.secret().map_or("", Secret::expose))
        };
        let pod = ("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://1.2.3.4");
        let (endpoint, header) = (("IDENTITY_ENDPOINT", "http://e/t"), ("IDENTITY_HEADER", "h"));
        let thumbprint = ("IDENTITY_SERVER_THUMBPRINT", "t");
        let (imds, msi, secret) =
            (("IMDS_ENDPOINT", "http://i"), ("MSI_ENDPOINT", "http://m"), ("MSI_SECRET", "s"));
        for (variables, expected) in [
            (vec![], "machine http://169.254.169.254 "),
            (vec![pod], "machine http://1.2.3.4 "),
            (vec![endpoint, header, pod, msi, imds], "app http://e/t h"),
            (vec![endpoint, header, thumbprint], "fabric http://e/t h"),
            (vec![endpoint, imds], "arc http://e/t "),
            (vec![endpoint], "machine http://169.254.169.254 "),
            (vec![msi, secret], "ml http://m s"),
            (vec![msi], "shell http://m "),
        ] {
            assert_eq!(host(&variables), expected);
        }
    }
}
