//! Which endpoints a configuration describes.

use crate::service::{
    configuration::{
        error::ConfigurationError,
        identity::{credential, default_chain, of_use},
        keys::{
            AUTHORITY, DEFAULT_CONNECTION, PLAIN_HTTP, SDK_CONNECTION, SDK_ENDPOINTS, VARIABLES,
            named_section,
        },
        settings::Configuration,
    },
    connection_string::{ConnectionString, ConnectionStringWarning, is_quoted, is_reference},
    credentials::{entra::variables::authority, settings::CredentialSettings},
    endpoints::{
        endpoint::{Described, EndpointError, EndpointRole, ServiceEndpoint, authority_of_process},
        list::distinct,
    },
    error::BuildError,
    http::{addresses::Addresses, url::parse_url},
};

/// One endpoint as a [`Configuration`] describes it, before a credential is made of it.
#[derive(Debug, Clone)]
pub struct EndpointSettings {
    pub(super) key: String,
    name: String,
    role: EndpointRole,
    addresses: Addresses,
    pub(super) credential: CredentialSettings,
    /// `AZURE_AUTHORITY_HOST`.
    authority: Option<String>,
    /// The hosts that plain http may go to.
    plain_http: Vec<String>,
    pub(super) warnings: Vec<ConnectionStringWarning>,
}

impl EndpointSettings {
    /// Whether it is described by a `serviceUri`.
    pub(super) fn is_identity(&self) -> bool {
        self.key.to_ascii_lowercase().ends_with(":serviceuri")
    }

    /// The key of its connection string, or of its `serviceUri`.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Its name; empty for the endpoint of the connection itself.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a primary or a secondary endpoint.
    #[must_use]
    pub fn role(&self) -> EndpointRole {
        self.role
    }

    /// Its address: scheme, host and port.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.addresses.endpoint()
    }

    /// Where clients are sent instead, if anywhere.
    #[must_use]
    pub fn client_endpoint(&self) -> Option<&str> {
        self.addresses.client_endpoint()
    }

    /// Where this program sends its requests instead, if anywhere.
    #[must_use]
    pub fn server_endpoint(&self) -> Option<&str> {
        self.addresses.server_endpoint()
    }

    /// The credential that it asks for.
    #[must_use]
    pub fn credential(&self) -> &CredentialSettings {
        &self.credential
    }
}

impl TryFrom<EndpointSettings> for ServiceEndpoint {
    type Error = EndpointError;

    fn try_from(settings: EndpointSettings) -> Result<Self, EndpointError> {
        let described = Described {
            plain_http: &|host| settings.plain_http.iter().any(|known| known.eq_ignore_ascii_case(host)),
            authority: settings.authority.as_deref(),
            credential: settings.credential,
        };
        let endpoint = described.at(settings.addresses)?;
        let endpoint = endpoint.named(settings.name).in_role(settings.role);
        Ok(endpoint.with_warnings(settings.warnings).configured())
    }
}

impl Configuration {
    /// The endpoints that are configured, as they are described. Of several with one address the first primary one
    /// counts.
    ///
    /// # Errors
    /// See [`ConfigurationError`]; it names the key that is missing or wrong.
    pub fn endpoints(&self) -> Result<Vec<EndpointSettings>, ConfigurationError> {
        Ok(distinct_endpoints(self.every_endpoint()?))
    }

    /// The endpoints themselves.
    pub(in crate::service) fn service_endpoints(&self) -> Result<Vec<ServiceEndpoint>, ConfigurationError> {
        let made = self.endpoints()?.into_iter().map(|settings| {
            let key = settings.key().to_owned();
            ServiceEndpoint::try_from(settings).map_err(|source| match source {
                EndpointError::AuthorityHost(_) => ConfigurationError::Invalid {
                    key: AUTHORITY.to_owned(),
                    expected: "a host, or an https address such as https://login.microsoftonline.com, without a path",
                },
                source => ConfigurationError::Endpoint { key, source },
            })
        });
        made.collect()
    }

    /// The same, with those that do not count.
    pub(super) fn every_endpoint(&self) -> Result<Vec<EndpointSettings>, ConfigurationError> {
        let mut found = Vec::new();
        // Of one address the first endpoint counts. In .NET a connection string comes before the named endpoints, a
        // `serviceUri` after them.
        let mut last = None;
        let mut add = |endpoint: EndpointSettings, found: &mut Vec<_>| match endpoint.is_identity() {
            true => last = Some(endpoint),
            false => found.push(endpoint),
        };
        match &self.connection {
            Some(name) => match self.connection_named(name)? {
                Some(endpoint) => add(endpoint, &mut found),
                None => found = self.section_of_sdk(&named_section(name))?,
            },
            None => {
                let fallback = format!("ConnectionStrings:{SDK_CONNECTION}");
                let sdk = [SDK_CONNECTION, &fallback];
                if let Some(section) = sdk.into_iter().find(|key| !self.below(key).is_empty()) {
                    found = self.section_of_sdk(section)?;
                }
                if !found.iter().any(|e| e.name.is_empty())
                    && let Some(endpoint) = self.connection_named(DEFAULT_CONNECTION)?
                {
                    add(endpoint, &mut found);
                }
            }
        }
        for name in self.children(SDK_ENDPOINTS) {
            let service_uri = format!("{SDK_ENDPOINTS}:{name}:serviceUri");
            match self.value(&service_uri) {
                Some(_) => found.push(self.identity(&format!("{SDK_ENDPOINTS}:{name}"), &name)?),
                None => found.extend(self.endpoints_named(SDK_ENDPOINTS, &name)?),
            }
        }
        found.extend(last);
        if found.is_empty() {
            let keys = match self.connection.as_deref() {
                Some(name) => vec![name.to_owned(), format!("{name}:serviceUri")],
                None => vec![
                    SDK_CONNECTION.to_owned(),
                    DEFAULT_CONNECTION.to_owned(),
                    format!("{DEFAULT_CONNECTION}:serviceUri"),
                ],
            };
            return Err(ConfigurationError::NoConnection { misspelt: self.misspelt(), keys });
        }
        match found.iter().any(|e| e.role == EndpointRole::Primary) {
            true => Ok(found),
            false => Err(BuildError::NoPrimaryEndpoint.into()),
        }
    }

    /// A connection string and, below it, further ones by `name[:type]`.
    fn section_of_sdk(&self, section: &str) -> Result<Vec<EndpointSettings>, ConfigurationError> {
        let all = self.below(section).into_iter().map(|key| {
            let (name, role) = name_and_role(key.get(section.len() + 1..).unwrap_or_default());
            self.connection_string(&key, name, role)
        });
        all.collect()
    }

    /// Settings need not include the environment, and a secret must not go to the wrong cloud then.
    fn authority(&self) -> Option<String> {
        self.filled(AUTHORITY).map(authority).or_else(authority_of_process)
    }

    fn plain_http(&self) -> Vec<String> {
        let values = self.below(PLAIN_HTTP).into_iter();
        let hosts = values.filter_map(|key| self.filled(&key)).flat_map(|value| value.split([',', ';']));
        hosts.map(|host| host.trim().to_owned()).filter(|host| !host.is_empty()).collect()
    }

    /// What was to be put in the place of a reference must not be used as it is.
    fn check_resolved(&self, key: &str) -> Result<(), ConfigurationError> {
        match self.value(key).is_some_and(is_reference) {
            true => Err(ConfigurationError::UnresolvedReference { key: key.to_owned() }),
            false => Ok(()),
        }
    }

    /// A connection of Azure Functions.
    fn connection_named(&self, name: &str) -> Result<Option<EndpointSettings>, ConfigurationError> {
        for key in [format!("ConnectionStrings:{name}"), name.to_owned()] {
            if self.value(&key).is_some() {
                return self.connection_string(&key, "", EndpointRole::Primary).map(Some);
            }
        }
        match self.value(&format!("{name}:serviceUri")) {
            Some(_) => self.identity(name, "").map(Some),
            None => Ok(None),
        }
    }

    /// The connection strings under a name: itself, and as `primary` or `secondary`.
    fn endpoints_named(
        &self,
        section: &str,
        name: &str,
    ) -> Result<Vec<EndpointSettings>, ConfigurationError> {
        let keys = [
            (format!("{section}:{name}"), EndpointRole::Primary),
            (format!("{section}:{name}:primary"), EndpointRole::Primary),
            (format!("{section}:{name}:secondary"), EndpointRole::Secondary),
        ];
        let there = keys.iter().filter(|(key, _)| self.value(key).is_some());
        there.map(|(key, role)| self.connection_string(key, name, *role)).collect()
    }

    fn connection_string(
        &self,
        key: &str,
        name: &str,
        role: EndpointRole,
    ) -> Result<EndpointSettings, ConfigurationError> {
        let text = self.filled(key).ok_or_else(|| ConfigurationError::Empty { key: key.to_owned() })?;
        let parsed = ConnectionString::parse(text)
            .map_err(|source| ConfigurationError::ConnectionString { key: key.to_owned(), source })?;
        let credential = match parsed.credential {
            CredentialSettings::DefaultAzureCredential => {
                VARIABLES.iter().try_for_each(|name| self.check_resolved(name))?;
                default_chain(self, "")?
            }
            other => other,
        };
        Ok(EndpointSettings {
            key: key.to_owned(),
            name: name.to_owned(),
            role,
            addresses: parsed.addresses,
            credential,
            authority: self.authority(),
            plain_http: self.plain_http(),
            warnings: parsed.warnings,
        })
    }

    /// An endpoint by `serviceUri` and what stands beside it.
    fn identity(&self, section: &str, name: &str) -> Result<EndpointSettings, ConfigurationError> {
        let url = |part: &str| {
            let key = format!("{section}:{part}");
            let Some(text) = self.value(&key) else { return Ok(None) };
            self.check_resolved(&key)?;
            let expected = match is_quoted(text) {
                true => "without the quotation marks around it",
                false => "an absolute http or https URL without user, query and fragment",
            };
            match parse_url(text.trim().trim_end_matches('/')) {
                Some(url) => Ok(Some(url)),
                None => Err(ConfigurationError::Invalid { key, expected }),
            }
        };
        let key = format!("{section}:serviceUri");
        let needed_by = "an endpoint without a connection string";
        let endpoint =
            url("serviceUri")?.ok_or_else(|| ConfigurationError::Missing { key: key.clone(), needed_by })?;
        let type_key = format!("{section}:type");
        let role = match self.value(&type_key).map(|text| text.trim().to_ascii_lowercase()).as_deref() {
            None | Some("primary") => EndpointRole::Primary,
            Some("secondary") => EndpointRole::Secondary,
            Some(_) => {
                return Err(ConfigurationError::Invalid { key: type_key, expected: "primary or secondary" });
            }
        };
        let credential = credential(self, section)?;
        for name in of_use(&credential) {
            self.check_resolved(&format!("{section}:{name}"))?;
        }
        if let CredentialSettings::Chain(_) = &credential {
            VARIABLES.iter().try_for_each(|name| self.check_resolved(name))?;
        }
        Ok(EndpointSettings {
            key,
            name: name.to_owned(),
            role,
            addresses: Addresses {
                endpoint,
                client_endpoint: url("clientEndpoint")?,
                server_endpoint: url("serverEndpoint")?,
            },
            credential,
            authority: self.authority(),
            plain_http: self.plain_http(),
            warnings: Vec::new(),
        })
    }
}

pub(super) fn distinct_endpoints(all: Vec<EndpointSettings>) -> Vec<EndpointSettings> {
    distinct(all, |settings| (settings.endpoint(), settings.role))
}

/// `name[:type]`. A text that is not a type belongs to the name.
fn name_and_role(text: &str) -> (&str, EndpointRole) {
    match text.split_once(':') {
        Some((name, kind)) if kind.eq_ignore_ascii_case("primary") => (name, EndpointRole::Primary),
        Some((name, kind)) if kind.eq_ignore_ascii_case("secondary") => (name, EndpointRole::Secondary),
        _ => (text, EndpointRole::Primary),
    }
}
