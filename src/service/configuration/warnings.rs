//! What is most likely a mistake in settings.

use crate::service::{
    configuration::{
        endpoints::{EndpointSettings, SDK_CONNECTION, SDK_ENDPOINTS, named_section},
        error::ConfigurationError,
        settings::{Configuration, DEFAULT_CONNECTION, RETRY_SECTIONS, TRANSPORT_TYPES, is_below},
    },
    connection_string::ConnectionStringWarning,
    credentials::{kind::AuthKind, settings::CredentialSettings},
};

/// What is most likely a mistake in a [`Configuration`], though it is not an error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigurationWarning {
    /// A connection string is most likely not what was meant.
    #[error("there is a likely mistake in the connection string of the setting {key}")]
    ConnectionString {
        /// Its key.
        key: String,
        /// What is most likely a mistake.
        #[source]
        warning: ConnectionStringWarning,
    },
    /// A setting of the .NET SDKs that is not used here, or one that does not exist.
    #[error(
        "the setting {key} is not used; check its name, or set the option of the builder that corresponds to it"
    )]
    Unused {
        /// Its key.
        key: String,
    },
    /// A setting beside a `serviceUri` that is not used. Its name is mistyped, or another one that it needs is missing,
    /// or it is of another credential than the one that is used.
    #[error(
        "the setting {key} is not used, since the settings beside it give {used}; check its name and what it needs"
    )]
    UnusedIdentity {
        /// Its key.
        key: String,
        /// The credential that is used.
        used: AuthKind,
    },
    /// A setting that another one takes the place of.
    #[error("the setting {key} is not used, since {by} is set too; remove one of them")]
    Shadowed {
        /// Its key.
        key: String,
        /// The key of the other one.
        by: String,
    },
}

impl Configuration {
    /// What is most likely a mistake: in connection strings, and settings that are set and not used.
    ///
    /// # Errors
    /// As [`endpoints`](Self::endpoints).
    pub fn warnings(&self) -> Result<Vec<ConfigurationWarning>, ConfigurationError> {
        let mut warnings = Vec::new();
        for endpoint in self.endpoints()? {
            warnings.extend(endpoint.warnings.iter().map(|warning| ConfigurationWarning::ConnectionString {
                key: endpoint.key.clone(),
                warning: warning.clone(),
            }));
            if let Some(section) = endpoint.key.strip_suffix(":serviceUri") {
                warnings.extend(self.unused_identity(section, &endpoint));
            }
        }
        warnings.extend(self.shadowed());
        let unused = self.entries.iter().filter(|(key, _)| self.is_unused(key));
        warnings.extend(unused.map(|(key, _)| ConfigurationWarning::Unused { key: key.clone() }));
        Ok(warnings)
    }

    fn unused_identity(&self, section: &str, endpoint: &EndpointSettings) -> Vec<ConfigurationWarning> {
        let used = of_use(&endpoint.credential);
        let is_used = |name: &str| {
            let always = ["serviceUri", "type", "clientEndpoint", "serverEndpoint", "credential"];
            always.iter().chain(used).any(|known| known.eq_ignore_ascii_case(name))
        };
        let keys = self.below(section).into_iter().filter(|key| self.filled(key).is_some());
        let named = |key: String| Some((key.get(section.len() + 1..)?.to_owned(), key));
        let unused = keys.filter_map(named).filter(|(name, _)| {
            // Those are connection strings.
            let shadowed = ["primary", "secondary"].iter().any(|kind| name.eq_ignore_ascii_case(kind));
            !is_used(name) && !shadowed
        });
        let used = endpoint.credential.kind();
        unused.map(|(_, key)| ConfigurationWarning::UnusedIdentity { key, used }).collect()
    }

    /// Where only one of several keys is used.
    fn shadowed(&self) -> Vec<ConfigurationWarning> {
        let of_connection =
            |name: &str| [format!("ConnectionStrings:{name}"), name.to_owned(), format!("{name}:serviceUri")];
        let mut groups: Vec<Vec<String>> = Vec::new();
        match &self.connection {
            Some(name) => groups.push(of_connection(name).into_iter().chain([named_section(name)]).collect()),
            None => {
                let sdk = [SDK_CONNECTION.to_owned(), format!("ConnectionStrings:{SDK_CONNECTION}")];
                groups.push(sdk.into_iter().chain(of_connection(DEFAULT_CONNECTION)).collect());
            }
        }
        for name in self.children(SDK_ENDPOINTS) {
            let key = format!("{SDK_ENDPOINTS}:{name}");
            let service_uri = format!("{key}:serviceUri");
            if self.value(&service_uri).is_some() {
                let others = [key.clone(), format!("{key}:primary"), format!("{key}:secondary")];
                groups.push([service_uri].into_iter().chain(others).collect());
            }
        }
        let mut shadowed = Vec::new();
        for group in groups {
            let mut there = group.into_iter().filter(|key| self.value(key).is_some());
            let Some(by) = there.next() else { continue };
            shadowed.extend(there.map(|key| ConfigurationWarning::Shadowed { key, by: by.clone() }));
        }
        shadowed
    }

    /// Whether a key is among those of Azure SignalR Service and is not read here.
    fn is_unused(&self, key: &str) -> bool {
        let is = |known: &str| key.eq_ignore_ascii_case(known);
        let of_retry = |section: &&str| {
            ["MaxRetries", "Delay", "MaxDelay", "Mode"].iter().any(|name| is(&format!("{section}:{name}")))
        };
        let of_connection = self
            .connection
            .as_deref()
            .is_some_and(|name| is_below(key, name) || is_below(key, &named_section(name)));
        let read = is("Azure:SignalR:ApplicationName")
            || is("Azure:SignalR:HttpClientTimeout")
            || TRANSPORT_TYPES.iter().any(|known| is(known))
            || RETRY_SECTIONS.iter().any(of_retry)
            || is_below(key, SDK_CONNECTION)
            || is_below(key, SDK_ENDPOINTS)
            || of_connection;
        let ours = ["Azure:SignalR"].iter().chain(&RETRY_SECTIONS).any(|section| is_below(key, section));
        ours && !read
    }
}

/// The keys that a credential is made of.
fn of_use(credential: &CredentialSettings) -> &'static [&'static str] {
    match credential.kind() {
        AuthKind::ClientSecret => &["tenantId", "clientId", "clientSecret"],
        AuthKind::ClientCertificate => &[
            "tenantId",
            "clientId",
            "clientCertificate",
            "clientCertificateStoreName",
            "clientCertificateStoreLocation",
        ],
        AuthKind::ManagedIdentity => {
            &["clientId", "managedIdentityClientId", "managedIdentityResourceId", "managedIdentityObjectId"]
        }
        AuthKind::WorkloadIdentity => &["tenantId", "clientId", "tokenFilePath"],
        AuthKind::FederatedIdentity => &[
            "tenantId",
            "clientId",
            "azureCloud",
            "managedIdentityClientId",
            "managedIdentityResourceId",
            "managedIdentityObjectId",
        ],
        AuthKind::AzurePipelines => &["tenantId", "clientId", "serviceConnectionId", "systemAccessToken"],
        // The default credential tries the machine's identities and what is set up for a workload.
        _ => &["tenantId", "clientId", "managedIdentityClientId", "managedIdentityResourceId"],
    }
}
