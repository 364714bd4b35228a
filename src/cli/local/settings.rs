//! What a local service is started with, and how a settings file says it.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use clap::ValueEnum;

use crate::{
    cli::{
        failure::Failure,
        local::document::{Document, Item, Members},
        secret::SecretSource,
    },
    local::{Role, ServiceMode, UpstreamRule},
    service::secret::Secret,
};

/// Everything that can be set. What is not there has the default of the local service.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) address: Option<IpAddr>,
    pub(super) port: Option<u16>,
    pub(super) public_endpoint: Option<String>,
    pub(super) allowed_origins: Vec<String>,
    pub(super) allowed_hosts: Vec<String>,
    pub(super) mode: Option<Mode>,
    pub(super) access_key: Option<GivenSecret>,
    pub(super) secondary_access_key: Option<GivenSecret>,
    pub(super) local_auth: Option<bool>,
    pub(super) upstream: Vec<Rule>,
    pub(super) applications: Vec<Application>,
    pub(super) identities: Vec<Identity>,
    /// By which the service calls upstreams.
    pub(super) service_identity: Option<Identity>,
    pub(super) entra: Option<bool>,
    pub(super) https: Option<Https>,
    /// Whether the service's own port speaks TLS, in place of another.
    pub(super) tls: Option<bool>,
    pub(super) dashboard: Option<bool>,
    pub(super) token_lifetime: Option<Duration>,
    pub(super) max_connections: Option<usize>,
    pub(super) handshake_timeout: Option<Duration>,
    pub(super) keep_alive_interval: Option<Duration>,
    pub(super) client_timeout: Option<Duration>,
}

/// Who answers clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Mode {
    /// An upstream or nobody, as with Azure Functions
    Serverless,
    /// App servers, made with Microsoft.Azure.SignalR or with hubwire
    Default,
}

impl From<Mode> for ServiceMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Serverless => Self::Serverless,
            Mode::Default => Self::Default,
        }
    }
}

/// A secret, or where it stands.
#[derive(Debug, Clone)]
pub(super) enum GivenSecret {
    Text(Secret),
    From(SecretSource),
}

impl GivenSecret {
    pub(super) fn read(&self) -> Result<Secret, Failure> {
        match self {
            Self::Text(secret) => Ok(secret.clone()),
            Self::From(source) => source.read(),
        }
    }

    pub(super) fn reads_standard_input(&self) -> bool {
        matches!(self, Self::From(SecretSource::StandardInput))
    }
}

/// Where to tell what clients do, and what of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) url: String,
    pub(super) hubs: String,
    pub(super) categories: String,
    pub(super) events: String,
    pub(super) managed_identity: Option<String>,
}

impl Rule {
    pub(super) fn everything(url: String) -> Self {
        Self { url, hubs: "*".into(), categories: "*".into(), events: "*".into(), managed_identity: None }
    }

    /// As the service takes it.
    pub(super) fn read(&self) -> Result<UpstreamRule, Failure> {
        let Self { url, hubs, categories, events, managed_identity } = self;
        let rule = UpstreamRule::new(url)?.hubs(hubs).categories(categories).events(events);
        Ok(managed_identity.iter().fold(rule, UpstreamRule::managed_identity))
    }
}

/// An application that the authority knows.
#[derive(Debug, Clone)]
pub(super) struct Application {
    pub(super) tenant: String,
    pub(super) client: String,
    pub(super) secret: Option<GivenSecret>,
    pub(super) certificates: Vec<PathBuf>,
    pub(super) trusted_identities: Vec<String>,
    pub(super) roles: Vec<Role>,
}

impl Application {
    pub(super) fn is(&self, other: &Self) -> bool {
        self.tenant.eq_ignore_ascii_case(&other.tenant) && self.client.eq_ignore_ascii_case(&other.client)
    }
}

/// A managed identity of the machine.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) tenant: String,
    pub(super) client: String,
    pub(super) object_id: Option<String>,
    pub(super) resource_id: Option<String>,
    pub(super) is_user_assigned: bool,
    pub(super) roles: Vec<Role>,
}

/// Whether and with which certificate there is an https address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Https {
    Off,
    /// A certificate is made when the service starts, and trusted by nobody.
    ThrowAway,
    Files {
        certificate: PathBuf,
        key: PathBuf,
    },
}

impl Settings {
    pub(super) fn of(document: &Document) -> Result<Self, Failure> {
        document.read(Self::read)
    }

    fn read(members: &Members<'_>) -> Result<Self, Failure> {
        // What editors offer names for, and the file of the official emulator.
        members.get("$schema");
        let mut upstream = list(&members.items("upstream"), rule)?;
        if let Some(emulator) = members.get("UpstreamSettings") {
            if let Some(own) = members.get("upstream") {
                return Err(own.fault("the file has UpstreamSettings as well; keep one of them"));
            }
            upstream = emulator.members(|members| list(&members.items("Templates"), emulator_rule))?;
        }
        let port = members.integer("port", u16::MAX.into())?;
        let mode = members.get("mode").map(|item| choice(&item)).transpose()?;
        Ok(Self {
            address: members.get("address").map(|item| address(&item)).transpose()?,
            port: port.and_then(|port| port.try_into().ok()),
            public_endpoint: members.text("publicEndpoint")?,
            allowed_origins: members.texts("allowedOrigins")?,
            allowed_hosts: members.texts("allowedHosts")?,
            mode,
            access_key: members.get("accessKey").map(|item| secret(&item)).transpose()?,
            secondary_access_key: members.get("secondaryAccessKey").map(|item| secret(&item)).transpose()?,
            local_auth: members.flag("localAuth")?,
            service_identity: members.get("serviceIdentity").map(|item| identity(&item)).transpose()?,
            upstream,
            applications: list(&members.items("applications"), application)?,
            identities: list(&members.items("managedIdentities"), identity)?,
            entra: members.flag("entra")?,
            https: members.get("https").map(|item| https(&item)).transpose()?,
            tls: members.flag("tls")?,
            dashboard: members.flag("dashboard")?,
            token_lifetime: members.time("tokenLifetime")?,
            max_connections: members
                .integer("maxConnections", u32::MAX.into())?
                .and_then(|limit| limit.try_into().ok()),
            handshake_timeout: members.time("handshakeTimeout")?,
            keep_alive_interval: members.time("keepAliveInterval")?,
            client_timeout: members.time("clientTimeout")?,
        })
    }

    /// How many secrets are to come from standard input, which can be read once.
    pub(super) fn secrets_from_standard_input(&self) -> usize {
        let applications = self.applications.iter().filter_map(|application| application.secret.as_ref());
        let keys = self.access_key.iter().chain(&self.secondary_access_key);
        keys.chain(applications).filter(|secret| secret.reads_standard_input()).count()
    }
}

fn list<'a, T>(items: &[Item<'a>], read: fn(&Item<'a>) -> Result<T, Failure>) -> Result<Vec<T>, Failure> {
    items.iter().map(read).collect()
}

/// A member that has to be there.
fn needed(item: &Item<'_>, members: &Members<'_>, name: &'static str) -> Result<String, Failure> {
    members.text(name)?.ok_or_else(|| {
        members.slip(name).unwrap_or_else(|| item.fault(format_args!("\"{name}\" is missing")))
    })
}

fn address(item: &Item<'_>) -> Result<IpAddr, Failure> {
    item.text()?.parse().map_err(|_| item.fault("an IP address is expected, such as \"0.0.0.0\""))
}

fn choice<T: ValueEnum>(item: &Item<'_>) -> Result<T, Failure> {
    T::from_str(&item.text()?, true).map_err(|_| {
        let names: Vec<_> = T::value_variants().iter().filter_map(ValueEnum::to_possible_value).collect();
        let names: Vec<_> = names.iter().map(|value| format!("\"{}\"", value.get_name())).collect();
        item.fault(format_args!("{} is expected", names.join(" or ")))
    })
}

/// `"the secret"`, `{ "env": "NAME" }` or `{ "file": "PATH" }`.
fn secret(item: &Item<'_>) -> Result<GivenSecret, Failure> {
    if !item.is_object() {
        return Ok(GivenSecret::Text(Secret::new(item.text()?)));
    }
    item.members(|members| {
        let file = members.get("file").map(|file| file.path()).transpose()?;
        match (members.text("env")?, file) {
            (Some(name), None) => Ok(GivenSecret::From(SecretSource::Environment(name))),
            (None, Some(path)) => Ok(GivenSecret::From(SecretSource::File(path.to_string_lossy().into()))),
            _ => Err(item.fault("either \"env\" or \"file\" is expected")),
        }
    })
}

fn rule(item: &Item<'_>) -> Result<Rule, Failure> {
    if !item.is_object() {
        return Ok(Rule::everything(item.text()?));
    }
    item.members(|members| {
        let pattern = |name| Ok::<_, Failure>(members.text(name)?.unwrap_or_else(|| "*".into()));
        Ok(Rule {
            url: needed(item, members, "url")?,
            hubs: pattern("hubs")?,
            categories: pattern("categories")?,
            events: pattern("events")?,
            managed_identity: members.text("managedIdentity")?,
        })
    })
}

/// A template of the official emulator, whose names are those of Azure's upstream settings.
fn emulator_rule(item: &Item<'_>) -> Result<Rule, Failure> {
    item.members(|members| {
        let pattern = |name| Ok::<_, Failure>(members.text(name)?.unwrap_or_else(|| "*".into()));
        let identity = match members.get("Auth") {
            None => None,
            Some(auth) => auth.members(|members| {
                let resource = members.get("ManagedIdentity");
                let resource = resource.map(|item| item.members(|members| members.text("Resource")));
                match (members.text("Type")?.as_deref(), resource.transpose()?.flatten()) {
                    (None | Some("None"), None) => Ok(None),
                    (Some("ManagedIdentity"), Some(resource)) => Ok(Some(resource)),
                    _ => Err(auth.fault("a Type, None or ManagedIdentity, with its Resource is expected")),
                }
            })?,
        };
        Ok(Rule {
            url: needed(item, members, "UrlTemplate")?,
            hubs: pattern("HubPattern")?,
            categories: pattern("CategoryPattern")?,
            events: pattern("EventPattern")?,
            managed_identity: identity,
        })
    })
}

fn application(item: &Item<'_>) -> Result<Application, Failure> {
    item.members(|members| {
        Ok(Application {
            tenant: needed(item, members, "tenantId")?,
            client: needed(item, members, "clientId")?,
            secret: members.get("clientSecret").map(|item| secret(&item)).transpose()?,
            certificates: list(&members.items("certificates"), Item::path)?,
            trusted_identities: members.texts("trustedManagedIdentities")?,
            roles: roles(members)?,
        })
    })
}

fn identity(item: &Item<'_>) -> Result<Identity, Failure> {
    item.members(|members| {
        Ok(Identity {
            tenant: members.text("tenantId")?.unwrap_or_else(|| super::TENANT.to_owned()),
            client: needed(item, members, "clientId")?,
            object_id: members.text("objectId")?,
            resource_id: members.text("resourceId")?,
            is_user_assigned: members.flag("userAssigned")?.unwrap_or(false),
            roles: roles(members)?,
        })
    })
}

/// Without the member it is the owner.
fn roles(members: &Members<'_>) -> Result<Vec<Role>, Failure> {
    if members.get("roles").is_none() {
        return Ok(vec![Role::ServiceOwner]);
    }
    let role = |item: &Item<'_>| {
        let text = item.text()?;
        role(&text).ok_or_else(|| item.fault(format_args!("the roles are {}", role_names())))
    };
    members.items("roles").iter().map(role).collect()
}

/// A role by its name in Azure; without "SignalR" and spaces it is the same.
pub(super) fn role(text: &str) -> Option<Role> {
    let short = |text: &str| text.replace([' ', '-'], "").to_ascii_lowercase().replacen("signalr", "", 1);
    Role::ALL.into_iter().find(|role| short(role.name()) == short(text))
}

pub(super) fn role_names() -> String {
    Role::ALL.map(Role::name).join(", ")
}

fn https(item: &Item<'_>) -> Result<Https, Failure> {
    if !item.is_object() {
        return Ok(if item.flag()? { Https::ThrowAway } else { Https::Off });
    }
    item.members(|members| {
        let path = |name| members.get(name).map(|item| item.path()).transpose();
        match (path("certificate")?, path("key")?) {
            (Some(certificate), Some(key)) => Ok(Https::Files { certificate, key }),
            _ => Err(item.fault("\"certificate\" and \"key\" are expected, PEM files both")),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        Settings::of(&Document::of(text)).map_err(|failure| failure.to_string())
    }

    #[test]
    fn the_example_is_valid() {
        let settings = read(crate::cli::local::init::EXAMPLE).unwrap();
        assert_eq!(settings.port, Some(8888));
    }

    #[test]
    fn a_file_of_the_official_emulator_is_understood() {
        let settings = read(
            r#"{ "UpstreamSettings": { "Templates": [
                { "UrlTemplate": "http://localhost:7071/{hub}", "HubPattern": "chat", "EventPattern": "*", "CategoryPattern": "messages" },
                { "UrlTemplate": "http://localhost:7072", "Auth": { "Type": "ManagedIdentity", "ManagedIdentity": { "Resource": "api://it" } } }
            ] } }"#,
        );
        let [first, second] = &settings.unwrap().upstream[..] else { panic!("two rules") };
        assert_eq!((first.hubs.as_str(), first.categories.as_str()), ("chat", "messages"));
        assert_eq!((second.events.as_str(), second.managed_identity.as_deref()), ("*", Some("api://it")));
    }

    #[test]
    fn what_a_file_cannot_mean_is_refused() {
        for (text, part) in [
            (r#"{ "mode": "classic" }"#, r#""serverless" or "default" is expected"#),
            (r#"{ "applications": [{ "tenantId": "t" }] }"#, r#"applications[0]: "clientId" is missing"#),
            (
                r#"{ "applications": [{ "tenantId": "t", "clientId": "c", "roles": ["King"] }] }"#,
                "SignalR Service Owner",
            ),
            (r#"{ "applications": [{ "tenantId": "t", "clientld": "c" }] }"#, r#"is "clientId" meant?"#),
            (r#"{ "accessKey": { "env": "A", "file": "b" } }"#, "either"),
            (r#"{ "accessKey": "" }"#, "it is empty"),
            (r#"{ "https": { "certificate": "a.pem" } }"#, r#""key" are expected"#),
            (r#"{ "https": "yes" }"#, "true or false"),
            (r#"{ "tokenLifetime": -1 }"#, "such as 90s"),
            (r#"{ "upstream": "http://a", "upstreamSettings": {} }"#, "keep one of them"),
        ] {
            let fault = read(text).expect_err(text);
            assert!(fault.contains(part), "{text}: {fault}");
        }
    }

    #[test]
    fn roles_have_azure_names_or_short_ones() {
        for text in ["SignalR REST API Owner", "RestApiOwner", "rest-api-owner"] {
            assert_eq!(role(text), Some(Role::RestApiOwner), "{text}");
        }
        assert_eq!(role("Owner"), None);
    }

    #[test]
    fn secrets_do_not_show() {
        let settings = read(
            r#"{ "accessKey": "hush", "applications": [{ "tenantId": "t", "clientId": "c", "clientSecret": "hush" }] }"#,
        );
        assert!(!format!("{:?}", settings.unwrap()).contains("hush"));
    }
}
