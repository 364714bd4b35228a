//! Settings of the environment, of `local.settings.json` and of `appsettings.json`, by the keys of the official SDKs.

use std::{cmp::Ordering, fmt, path::Path, time::Duration};

use crate::service::{
    configuration::{
        error::ConfigurationError,
        json,
        keys::{RETRY_SECTIONS, TRANSPORT_TYPES, is_below},
    },
    rest::retry::RetryOptions,
    secret::Secret,
};

/// What App Service puts before the names of connection strings, by their kind.
const CONNECTION_STRING_PREFIXES: [&str; 11] = [
    "CUSTOMCONNSTR_",
    "SQLCONNSTR_",
    "SQLAZURECONNSTR_",
    "MYSQLCONNSTR_",
    "POSTGRESQLCONNSTR_",
    "APIHUBCONNSTR_",
    "DOCDBCONNSTR_",
    "EVENTHUBCONNSTR_",
    "NOTIFICATIONHUBCONNSTR_",
    "REDISCACHECONNSTR_",
    "SERVICEBUSCONNSTR_",
];

/// Settings by key, from one or several sources. What is added later wins.
///
/// Keys are those of the .NET SDK and of Azure Functions; case does not matter, and `:` and `__` are the same. A
/// client is built from them by [`ServiceClient::from_configuration`]:
///
/// ```
/// use hubwire::service::{ServiceClient, configuration::Configuration};
///
/// let configuration = Configuration::new()
///     .set("Azure:SignalR:ConnectionString", "Endpoint=https://contoso.service.signalr.net;AccessKey=abc;Version=1.0;")
///     .set("Azure:SignalR:Endpoints:backup:secondary", "Endpoint=https://backup.service.signalr.net;AccessKey=def;")
///     .set("Azure:SignalR:ApplicationName", "shop");
/// let service = ServiceClient::from_configuration(&configuration)?;
/// assert_eq!(service.endpoints().len(), 2);
/// # Ok::<(), hubwire::service::configuration::ConfigurationError>(())
/// ```
///
/// # Keys
///
/// | key | meaning |
/// | --- | --- |
/// | `Azure:SignalR:ConnectionString` | a connection string; else `ConnectionStrings:Azure:SignalR:ConnectionString` |
/// | `Azure:SignalR:ConnectionString:{name}`, `…:{name}:primary`, `…:{name}:secondary` | further endpoints, by name |
/// | `ConnectionStrings:{connection}`, else `{connection}` | a connection string |
/// | `{connection}:serviceUri` | the address, without a connection string; the credential is made of the keys below |
/// | `Azure:SignalR:Endpoints:{name}`, `…:{name}:primary`, `…:{name}:secondary`, `…:{name}:serviceUri` | further endpoints |
/// | `Hubwire:DevelopmentPlainHttpHosts` | hosts that plain http may go to, by comma, such as `signalr-emulator,host.docker.internal`: for development only, see [`ServiceEndpoint::for_development_over_plain_http`] |
/// | `Azure:SignalR:ApplicationName` | see [`ServiceClientBuilder::application_name`] |
/// | `Azure:SignalR:HttpClientTimeout`, `AzureSignalRHttpClientTimeout` | see [`ServiceClientBuilder::timeout`]; `00:01:40` is 100 seconds |
/// | `Azure:SignalR:RetryOptions:MaxRetries`, `…:Delay`, `…:MaxDelay`, `…:Mode` (`Exponential`, `Fixed`), or each below `AzureSignalRRetry` | see [`RetryOptions`] |
///
/// `{connection}` is `AzureSignalRConnectionString`, and is read only if the first row gives nothing; or another name,
/// given by [`connection`](Self::connection), instead of the first two rows; if it is not there, what
/// `Azure:SignalR:{connection}:ConnectionString` and the keys below it say. Beside a `serviceUri` may stand:
///
/// | key | meaning |
/// | --- | --- |
/// | `type` | `primary` or `secondary` |
/// | `clientEndpoint`, `serverEndpoint` | see [`ServiceEndpoint::client_endpoint`] and [`server_endpoint`] |
/// | `tenantId`, `clientId`, `clientSecret` | an Entra application with a client secret |
/// | `credential` = `managedidentity` | with `clientId`, `managedIdentityResourceId` or `managedIdentityObjectId`, or none of them |
/// | `credential` = `workloadidentity` | with `tenantId`, `clientId`, `tokenFilePath`, else `AZURE_TENANT_ID`, `AZURE_CLIENT_ID`, `AZURE_FEDERATED_TOKEN_FILE` |
/// | `credential` = `managedidentityasfederatedidentity` | with `tenantId`, `clientId`, `azureCloud` (`public`, `usgov`, `china`), and one of `managedIdentityClientId`, `managedIdentityResourceId`, `managedIdentityObjectId` |
/// | none of the above | `AZURE_TENANT_ID`, `AZURE_CLIENT_ID`, `AZURE_CLIENT_SECRET`; else whatever the machine offers. `AZURE_TOKEN_CREDENTIALS` narrows that down |
///
/// `credential` = `azurepipelines` and a `clientCertificate` in the store of Windows are read but not supported: the error
/// is [`InvalidCredential::Unsupported`](crate::service::credentials::InvalidCredential::Unsupported).
///
/// With `AZURE_AUTHORITY_HOST` the tokens come from another authority, such as that of another cloud, also where a connection
/// string asks for Entra. If it is not among the settings, the variable of this process counts. It is a host, or an https
/// address without a path.
///
/// Of several endpoints with one address the first primary one counts: a connection string, then named endpoints, then an
/// endpoint by `{connection}:serviceUri`. White space around a value does not count. What is set and not used, and names that
/// are nearly right, are in [`warnings`](Self::warnings).
///
/// [`ServiceClient::from_configuration`]: crate::service::ServiceClient::from_configuration
/// [`ServiceClientBuilder::application_name`]: crate::service::ServiceClientBuilder::application_name
/// [`ServiceClientBuilder::timeout`]: crate::service::ServiceClientBuilder::timeout
/// [`ServiceEndpoint::for_development_over_plain_http`]: crate::service::ServiceEndpoint::for_development_over_plain_http
/// [`ServiceEndpoint::client_endpoint`]: crate::service::ServiceEndpoint::client_endpoint
/// [`server_endpoint`]: crate::service::ServiceEndpoint::server_endpoint
///
/// Azure Functions set all of this as environment variables, in the portal and, from `local.settings.json`, on the
/// developer's machine:
///
/// ```
/// use hubwire::service::configuration::Configuration;
///
/// let local = r#"{
///     "Values": {
///         "AzureSignalRConnectionString:serviceUri": "https://contoso.service.signalr.net",
///         "AZURE_CLIENT_ID": "11111111-2222-3333-4444-555555555555",
///         "AZURE_CLIENT_SECRET": "from a key vault",
///         "AZURE_TENANT_ID": "contoso.onmicrosoft.com"
///     }
/// }"#;
/// let portal = [
///     ("AzureSignalRConnectionString__serviceUri", "https://contoso.service.signalr.net"),
///     ("AzureSignalRConnectionString__clientId", "11111111-2222-3333-4444-555555555555"),
///     ("AzureSignalRConnectionString__clientSecret", "from a key vault"),
///     ("AzureSignalRConnectionString__tenantId", "contoso.onmicrosoft.com"),
/// ];
/// for configuration in [Configuration::new().json(local)?, Configuration::new().variables(portal)] {
///     let [endpoint] = &configuration.endpoints()?[..] else { unreachable!("one endpoint") };
///     assert_eq!(endpoint.endpoint(), "https://contoso.service.signalr.net");
/// }
/// # Ok::<(), hubwire::service::configuration::ConfigurationError>(())
/// ```
///
/// Source: [Authorize requests with Microsoft Entra applications](https://learn.microsoft.com/azure/azure-signalr/signalr-howto-authorize-application#azure-signalr-service-bindings-in-azure-functions).
#[derive(Clone, Default)]
pub struct Configuration {
    /// With `:` between the parts of a key.
    pub(super) entries: Vec<(String, Secret)>,
    pub(super) connection: Option<String>,
}

impl Configuration {
    /// No settings.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The environment variables of this process.
    #[must_use]
    pub fn from_environment() -> Self {
        Self::new().environment()
    }

    /// Adds the environment variables of this process.
    #[must_use]
    pub fn environment(self) -> Self {
        let text = |(key, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((key.into_string().ok()?, value.into_string().ok()?))
        };
        self.variables(std::env::vars_os().filter_map(text))
    }

    /// Adds settings as environment variables have them. App Service puts its connection strings under names such as
    /// `CUSTOMCONNSTR_AzureSignalRConnectionString`; those are read as `ConnectionStrings:AzureSignalRConnectionString`.
    #[must_use]
    pub fn variables<K: AsRef<str>, V: Into<String>>(
        self,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        variables.into_iter().fold(self, |configuration, (key, value)| {
            let key = key.as_ref();
            let connection_string = CONNECTION_STRING_PREFIXES.iter().find_map(|prefix| {
                let (start, name) = key.split_at_checked(prefix.len())?;
                start.eq_ignore_ascii_case(prefix).then(|| format!("ConnectionStrings:{name}"))
            });
            configuration.set(connection_string.as_deref().unwrap_or(key), value)
        })
    }

    /// Adds the settings of a file, such as the `local.settings.json` of Azure Functions, as
    /// [`json`](Self::json) does. It may be in UTF-8 or, with a byte order mark, in UTF-16.
    ///
    /// # Errors
    /// When the file cannot be read, has more than a megabyte, or is not a JSON object.
    pub fn file(self, path: impl AsRef<Path>) -> Result<Self, ConfigurationError> {
        let path = path.as_ref();
        let text = json::read(path)
            .map_err(|source| ConfigurationError::Unreadable { path: path.display().to_string(), source })?;
        self.json(&text)
    }

    /// Adds settings in JSON: what is in `Values` and `ConnectionStrings` of a `local.settings.json`, or else the
    /// whole object, as in `appsettings.json`, where `{"Azure":{"SignalR":{"ApplicationName":"a"}}}` is the key
    /// `Azure:SignalR:ApplicationName`.
    ///
    /// As in .NET and the tools of Azure Functions, comments and trailing commas are skipped, names may be in any case,
    /// numbers and truth values count as their text, and of two settings of one key the last one counts. A connection
    /// string may be an object: `{"Name": {"ConnectionString": "…", "ProviderName": "Custom"}}`.
    ///
    /// ```
    /// use hubwire::service::configuration::Configuration;
    ///
    /// let configuration = Configuration::new().json(
    ///     r#"{
    ///         "IsEncrypted": false, // as `func init` writes it
    ///         "Values": { "AzureSignalRConnectionString": "Endpoint=https://contoso.service.signalr.net;AccessKey=abc;", },
    ///     }"#,
    /// )?;
    /// assert_eq!(configuration.endpoints()?.len(), 1);
    /// # Ok::<(), hubwire::service::configuration::ConfigurationError>(())
    /// ```
    ///
    /// # Errors
    /// [`ConfigurationError::InvalidJson`] when the text is not a JSON object or is nested more than 200 levels deep, with the
    /// place of the fault; [`ConfigurationError::Encrypted`] when the file says that its values are encrypted.
    pub fn json(mut self, text: &str) -> Result<Self, ConfigurationError> {
        for (key, value) in json::settings(text)? {
            self.insert(&key, value);
        }
        Ok(self)
    }

    /// Adds a setting. It replaces one of the same key.
    #[must_use]
    pub fn set(mut self, key: impl AsRef<str>, value: impl Into<String>) -> Self {
        self.insert(key.as_ref(), value);
        self
    }

    fn insert(&mut self, key: &str, value: impl Into<String>) {
        let entry = (key.replace("__", ":"), Secret::new(value));
        match self.entries.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(&entry.0)) {
            Some(known) => *known = entry,
            None => self.entries.push(entry),
        }
    }

    /// The name of the connection, as `ConnectionStringSetting` of Azure Functions gives it, instead of
    /// `Azure:SignalR:ConnectionString` and `AzureSignalRConnectionString`.
    #[must_use]
    pub fn connection(self, name: impl AsRef<str>) -> Self {
        Self { connection: Some(name.as_ref().replace("__", ":")), ..self }
    }

    pub(in crate::service) fn value(&self, key: &str) -> Option<&str> {
        self.entries
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(key))
            .map(|(_, value)| value.expose())
    }

    /// The value of a setting without the white space around it, unless it is blank.
    pub(in crate::service) fn filled(&self, key: &str) -> Option<&str> {
        self.value(key).map(str::trim).filter(|value| !value.is_empty())
    }

    /// The keys of a section and of all that is below it, in order.
    pub(in crate::service) fn below(&self, section: &str) -> Vec<String> {
        let keys = self.entries.iter().map(|(key, _)| key).filter(|key| is_below(key, section));
        let mut keys: Vec<String> = keys.cloned().collect();
        keys.sort_by_key(|key| key.to_ascii_lowercase());
        keys
    }

    /// The names right below a section, in the order of .NET: numbers first.
    pub(in crate::service) fn children(&self, section: &str) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for (key, _) in self.entries.iter().filter(|(key, _)| is_below(key, section)) {
            let name = key.get(section.len() + 1..).unwrap_or_default().split(':').next().unwrap_or_default();
            if !name.is_empty() && !names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                names.push(name.to_owned());
            }
        }
        names.sort_by(|a, b| match (a.parse::<i32>(), b.parse::<i32>()) {
            (Ok(a), Ok(b)) => a.cmp(&b),
            (Ok(_), Err(_)) => Ordering::Less,
            (Err(_), Ok(_)) => Ordering::Greater,
            (Err(_), Err(_)) => a.to_ascii_lowercase().cmp(&b.to_ascii_lowercase()),
        });
        names
    }

    /// What a setting means, if it is there.
    fn parsed<T>(
        &self,
        key: &str,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigurationError> {
        let Some(text) = self.value(key) else { return Ok(None) };
        let invalid = || ConfigurationError::Invalid { key: key.to_owned(), expected };
        parse(text.trim()).map(Some).ok_or_else(invalid)
    }

    fn span(&self, key: &str) -> Result<Option<Duration>, ConfigurationError> {
        let expected = "hours, minutes and seconds, such as 00:01:40 for 100 seconds, and more than zero";
        self.parsed(key, expected, time_span)
    }

    /// The limit for one request, if it is set.
    pub(in crate::service) fn timeout(&self) -> Result<Option<Duration>, ConfigurationError> {
        match self.span("Azure:SignalR:HttpClientTimeout")? {
            None => self.span("AzureSignalRHttpClientTimeout"),
            timeout => Ok(timeout),
        }
    }

    /// When requests are made again, with what is set on top of what the builder has.
    pub(in crate::service) fn retry(
        &self,
        mut retry: RetryOptions,
    ) -> Result<RetryOptions, ConfigurationError> {
        // The name of the Management SDK, else that of Azure Functions.
        let key = |name: &str| {
            let [sdk, functions] = RETRY_SECTIONS.map(|section| format!("{section}:{name}"));
            if self.value(&sdk).is_some() { sdk } else { functions }
        };
        let retries = self.parsed(&key("MaxRetries"), "a number from 0 on", |text| text.parse().ok())?;
        if let Some(retries) = retries {
            retry = retry.max_retries(retries);
        }
        if let Some(delay) = self.span(&key("Delay"))? {
            retry = retry.delay(delay);
        }
        if let Some(delay) = self.span(&key("MaxDelay"))? {
            retry = retry.max_delay(delay);
        }
        let fixed = |mode: &str| {
            let is = |name: &str| mode.eq_ignore_ascii_case(name);
            (is("Fixed") || is("Exponential")).then(|| is("Fixed"))
        };
        let mode = self.parsed(&key("Mode"), "Exponential or Fixed", fixed)?;
        Ok(mode.map_or(retry, |fixed| retry.fixed(fixed)))
    }

    /// Persistent connections are for .NET; messages go by REST here, to several endpoints too.
    pub(in crate::service) fn check_transport(&self) -> Result<(), ConfigurationError> {
        for key in TRANSPORT_TYPES {
            let known = |name: &str| matches!(name, "Transient" | "Persistent").then_some(());
            self.parsed(key, "Transient or Persistent, which are the same here", known)?;
        }
        Ok(())
    }
}

/// `[d.]hh:mm:ss[.fraction]`, more than zero. .NET reads a number alone as days, which is never meant.
fn time_span(text: &str) -> Option<Duration> {
    let (hours, rest) = text.split_once(':')?;
    let (minutes, seconds) = rest.split_once(':')?;
    let (days, hours) = hours.split_once('.').unwrap_or(("0", hours));
    let whole = |text: &str, limit: u64| text.parse::<u64>().ok().filter(|&n| n < limit);
    if !seconds.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    let seconds: f64 = seconds.parse().ok().filter(|&s| (0.0..60.0).contains(&s))?;
    let minutes = (whole(days, 100_000)? * 24 + whole(hours, 24)?) * 60 + whole(minutes, 60)?;
    let span = Duration::from_secs(minutes * 60) + Duration::try_from_secs_f64(seconds).ok()?;
    (!span.is_zero()).then_some(span)
}

impl fmt::Debug for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Configuration")
            .field("settings", &self.entries.len())
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}
