//! What is most likely a mistake in settings.

use std::fmt;

use crate::service::{
    configuration::{
        endpoints::{EndpointSettings, distinct_endpoints},
        error::ConfigurationError,
        identity::of_use,
        keys::{
            AUTHORITY, DEFAULT_CONNECTION, PLAIN_HTTP, RETRY_SECTIONS, SDK_CONNECTION, SDK_ENDPOINTS,
            TRANSPORT_TYPES, VARIABLES, is_below, named_section,
        },
        names::near,
        settings::Configuration,
    },
    connection_string::{ConnectionStringWarning, is_quoted},
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
        "the setting {key} is not used; check its name{}, or set the option of the builder that corresponds to it",
        Meant(.meant)
    )]
    Unused {
        /// Its key.
        key: String,
        /// The key that was most likely meant.
        meant: Option<String>,
    },
    /// A setting beside a connection string or a `serviceUri` that is not used. Its name is mistyped, or another one that it needs
    /// is missing, or it is of another credential than the one that is used.
    #[error(
        "the setting {key} is not used, since the settings beside it give {used}; check its name{} and what it needs",
        Meant(.meant)
    )]
    UnusedIdentity {
        /// Its key.
        key: String,
        /// The credential that is used.
        used: AuthKind,
        /// The key that was most likely meant.
        meant: Option<String>,
    },
    /// There is white space around an id or a secret. It is left out, where .NET takes it for a part of the value.
    #[error("the setting {key} has white space around its value, which is left out; remove it")]
    WhiteSpace {
        /// Its key.
        key: String,
    },
    /// An id or a secret is in quotation marks, which count as a part of it.
    #[error("the setting {key} is in quotation marks, which are a part of its value; remove them")]
    Quoted {
        /// Its key.
        key: String,
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

struct Meant<'a>(&'a Option<String>);

impl fmt::Display for Meant<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|meant| write!(f, " (was {meant} meant?)"))
    }
}

/// What may stand beside a `serviceUri`.
const BESIDE: [&str; 18] = [
    "serviceUri",
    "type",
    "clientEndpoint",
    "serverEndpoint",
    "credential",
    "tenantId",
    "clientId",
    "clientSecret",
    "clientCertificate",
    "clientCertificateStoreName",
    "clientCertificateStoreLocation",
    "managedIdentityClientId",
    "managedIdentityResourceId",
    "managedIdentityObjectId",
    "tokenFilePath",
    "azureCloud",
    "serviceConnectionId",
    "systemAccessToken",
];
/// Those of them that every credential goes with.
const ALWAYS: usize = 5;

impl Configuration {
    /// What is most likely a mistake: in connection strings, settings that are set and not used, names that are nearly right,
    /// white space and quotation marks around values.
    ///
    /// # Errors
    /// As [`endpoints`](Self::endpoints).
    pub fn warnings(&self) -> Result<Vec<ConfigurationWarning>, ConfigurationError> {
        let mut warnings = Vec::new();
        let all = self.every_endpoint()?;
        let sections: Vec<_> = all.iter().filter_map(|e| Some((section_of(e)?, e))).collect();
        for endpoint in &all {
            warnings.extend(endpoint.warnings.iter().map(|warning| ConfigurationWarning::ConnectionString {
                key: endpoint.key.clone(),
                warning: warning.clone(),
            }));
        }
        for (section, endpoint) in &sections {
            warnings.extend(self.unused_beside(section, endpoint, &all));
            if endpoint.is_identity() {
                let keys = of_use(&endpoint.credential).iter().map(|name| format!("{section}:{name}"));
                warnings.extend(keys.flat_map(|key| self.untidy(key)));
            }
        }
        if all.iter().any(|e| matches!(e.credential, CredentialSettings::Chain(_))) {
            warnings.extend(VARIABLES.iter().flat_map(|key| self.untidy((*key).to_owned())));
        }
        warnings.extend(self.shadowed());
        let kept = distinct_endpoints(all.clone());
        for endpoint in &all {
            let by = kept.iter().find(|other| other.endpoint() == endpoint.endpoint());
            if let Some(by) = by.filter(|by| by.key != endpoint.key) {
                let (key, by) = (endpoint.key.clone(), by.key.clone());
                warnings.push(ConfigurationWarning::Shadowed { key, by });
            }
        }
        let unused = self.entries.iter().map(|(key, _)| key);
        warnings.extend(unused.filter_map(|key| self.unused(key, &sections)));
        let mut seen = Vec::new();
        warnings.retain(|warning| {
            !seen.contains(warning) && {
                seen.push(warning.clone());
                true
            }
        });
        Ok(warnings)
    }

    /// What stands around a value.
    fn untidy(&self, key: String) -> Vec<ConfigurationWarning> {
        let Some(value) = self.value(&key).filter(|value| !value.trim().is_empty()) else {
            return Vec::new();
        };
        let blank = value.trim() != value;
        let quoted = is_quoted(value).then(|| ConfigurationWarning::Quoted { key: key.clone() });
        blank.then_some(ConfigurationWarning::WhiteSpace { key }).into_iter().chain(quoted).collect()
    }

    /// The settings of an endpoint that its credential does not use; a connection string has everything in it.
    fn unused_beside(
        &self,
        section: &str,
        endpoint: &EndpointSettings,
        all: &[EndpointSettings],
    ) -> Vec<ConfigurationWarning> {
        let is_used = |name: &str| {
            let always = &BESIDE[..ALWAYS];
            let of_identity = always.iter().chain(of_use(&endpoint.credential));
            match endpoint.is_identity() {
                true => of_identity.into_iter().any(|known| known.eq_ignore_ascii_case(name)),
                // Said to be shadowed.
                false => name.eq_ignore_ascii_case("serviceUri"),
            }
        };
        let keys = self.below(section).into_iter().filter(|key| self.filled(key).is_some());
        let named = |key: String| Some((key.get(section.len() + 1..)?.to_owned(), key));
        let unused = keys.filter_map(named).filter(|(name, key)| {
            // Those are connection strings.
            let shadowed = ["primary", "secondary"].iter().any(|kind| name.eq_ignore_ascii_case(kind));
            !is_used(name) && !shadowed && !all.iter().any(|e| e.key.eq_ignore_ascii_case(key))
        });
        let used = endpoint.credential.kind();
        let meant = |name: &str| {
            let known = BESIDE.iter().map(|known| format!("{section}:{known}"));
            let free: Vec<_> = known.filter(|key| self.value(key).is_none()).collect();
            let key = near(&format!("{section}:{name}"), free.iter().map(String::as_str));
            key.filter(|_| !BESIDE.iter().any(|known| known.eq_ignore_ascii_case(name))).map(str::to_owned)
        };
        unused
            .map(|(name, key)| ConfigurationWarning::UnusedIdentity { key, used, meant: meant(&name) })
            .collect()
    }

    /// The keys that connections are looked for under: a connection string, a `serviceUri`.
    fn connections(&self) -> Vec<String> {
        let name = self.connection.as_deref().unwrap_or(DEFAULT_CONNECTION);
        let mut keys = match self.connection {
            Some(_) => vec![named_section(name)],
            None => vec![SDK_CONNECTION.to_owned(), format!("ConnectionStrings:{SDK_CONNECTION}")],
        };
        keys.extend([format!("ConnectionStrings:{name}"), name.to_owned(), format!("{name}:serviceUri")]);
        let named = self.children(SDK_ENDPOINTS).into_iter();
        keys.extend(named.map(|name| format!("{SDK_ENDPOINTS}:{name}:serviceUri")));
        keys
    }

    /// Every key that means something here, as far as names are not free.
    fn known(&self) -> Vec<String> {
        let mut keys = self.connections();
        let sections = self.children(SDK_ENDPOINTS).into_iter().map(|name| format!("{SDK_ENDPOINTS}:{name}"));
        let connection = self.connection.as_deref().unwrap_or(DEFAULT_CONNECTION).to_owned();
        for section in sections.chain([connection]) {
            keys.extend(BESIDE.iter().map(|name| format!("{section}:{name}")));
        }
        let retries = ["MaxRetries", "Delay", "MaxDelay", "Mode"];
        keys.extend(
            RETRY_SECTIONS.iter().flat_map(|section| retries.map(|name| format!("{section}:{name}"))),
        );
        let others = [
            "Azure:SignalR:ApplicationName",
            "Azure:SignalR:HttpClientTimeout",
            "AzureSignalRHttpClientTimeout",
            "AZURE_TOKEN_CREDENTIALS",
            AUTHORITY,
            PLAIN_HTTP,
        ];
        let others = others.iter().chain(&TRANSPORT_TYPES).chain(&VARIABLES);
        keys.extend(others.map(|key| (*key).to_owned()));
        keys
    }

    /// The known key that another one most likely stands for, unless that is set itself.
    fn meant(&self, key: &str, known: &[String]) -> Option<String> {
        let free = known.iter().map(String::as_str).filter(|known| self.value(known).is_none());
        near(key, free).map(str::to_owned).or_else(|| {
            // The section may be mistyped where the rest of the key is a name.
            let sections = [SDK_CONNECTION, SDK_ENDPOINTS].iter();
            sections.copied().find_map(|section| {
                let end = key.match_indices(':').nth(section.matches(':').count())?.0;
                near(key.get(..end)?, [section])?;
                Some(format!("{section}{}", key.get(end..)?))
            })
        })
    }

    /// Keys that are there and nearly those of a connection, each with that one.
    pub(super) fn misspelt(&self) -> Vec<(String, String)> {
        let known = self.connections();
        let keys = self.entries.iter().map(|(key, _)| key);
        keys.filter_map(|key| Some((key.clone(), self.meant(key, &known)?))).collect()
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

    /// The warning about a key that is among those of Azure SignalR Service, or nearly, and is not read here.
    fn unused(&self, key: &str, sections: &[(String, &EndpointSettings)]) -> Option<ConfigurationWarning> {
        let known = self.known();
        let of_connection =
            self.connection.as_deref().is_some_and(|name| is_below(key, &named_section(name)));
        let of_fallback = is_below(key, &format!("ConnectionStrings:{SDK_CONNECTION}"));
        let of_endpoint = self.children(SDK_ENDPOINTS).iter().any(|name| {
            let section = format!("{SDK_ENDPOINTS}:{name}");
            let strings = [section.clone(), format!("{section}:primary"), format!("{section}:secondary")];
            strings.iter().any(|known| known.eq_ignore_ascii_case(key))
        });
        let read = known.iter().any(|known| known.eq_ignore_ascii_case(key))
            || is_below(key, SDK_CONNECTION)
            || is_below(key, PLAIN_HTTP)
            || of_connection
            || of_fallback
            || of_endpoint;
        // What is beside an endpoint has its own warning.
        if read && !self.is_without_endpoint(key, sections) || sections.iter().any(|(s, _)| is_below(key, s))
        {
            return None;
        }
        let meant = self.meant(key, &known);
        let mut ours = ["Azure:SignalR", "Hubwire"].iter().chain(&RETRY_SECTIONS);
        let warn = meant.is_some() || ours.any(|section| is_below(key, section));
        warn.then(|| ConfigurationWarning::Unused { key: key.to_owned(), meant })
    }

    /// Whether a key stands beside a `serviceUri` that is not there.
    fn is_without_endpoint(&self, key: &str, sections: &[(String, &EndpointSettings)]) -> bool {
        let parent = key.rsplit_once(':').map(|(parent, _)| parent).filter(|p| is_below(p, SDK_ENDPOINTS));
        let is_beside = BESIDE.iter().any(|name| key.len() > name.len() && is_named(key, name));
        parent
            .is_some_and(|parent| is_beside && !sections.iter().any(|(s, _)| s.eq_ignore_ascii_case(parent)))
    }
}

/// Whether a key ends with a name.
fn is_named(key: &str, name: &str) -> bool {
    key.rsplit(':').next().is_some_and(|last| last.eq_ignore_ascii_case(name))
}

/// Where what belongs to an endpoint stands, if that is not where further endpoints do.
fn section_of(endpoint: &EndpointSettings) -> Option<String> {
    let key = &endpoint.key;
    if endpoint.is_identity() {
        return Some(key.get(..key.len() - ":serviceUri".len())?.to_owned());
    }
    if is_below(key, SDK_ENDPOINTS) {
        return Some(format!("{SDK_ENDPOINTS}:{}", endpoint.name()));
    }
    let start = "ConnectionStrings:";
    let name = key.get(start.len()..).filter(|_| is_below(key, start.trim_end_matches(':'))).unwrap_or(key);
    (!is_below(name, "Azure:SignalR")).then(|| name.to_owned())
}
