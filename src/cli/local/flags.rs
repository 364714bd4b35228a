//! What the command line and the environment say of a local service: more than a settings file does.

use std::{
    env::VarError,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::builder::BoolishValueParser;

use crate::{
    cli::{
        duration,
        failure::{Failure, in_flags},
        local::{
            check::check_template,
            document::Document,
            settings::{Application, GivenSecret, Https, Identity, Mode, Rule, Settings},
        },
        secret::SecretSource,
    },
    local::{LocalError, Role, check_names},
    service::secret::Secret,
};

/// The settings file that is read without being asked for.
const FILE: &str = "hubwire.json";
/// That of the official emulator.
const EMULATOR_FILE: &str = "settings.json";

/// A setting that is on when its flag is there, and that `=false` turns off again where a file has it.
macro_rules! switch {
    () => {
        BoolishValueParser::new()
    };
}

#[derive(Debug, clap::Args)]
pub(super) struct Flags {
    /// A file of settings [default: hubwire.json in this folder, or the emulator's settings.json, if it is there]
    #[arg(long, env = "HUBWIRE_LOCAL_SETTINGS", value_name = "FILE")]
    settings: Option<PathBuf>,
    /// The address to listen on [default: 127.0.0.1]; 0.0.0.0 lets in who can reach this machine
    #[arg(long, env = "HUBWIRE_LOCAL_ADDRESS", value_name = "IP")]
    address: Option<IpAddr>,
    /// The port to listen on [default: 8888]; 0 takes any free one
    #[arg(long, env = "HUBWIRE_LOCAL_PORT")]
    port: Option<u16>,
    /// Who answers clients [default: serverless]
    #[arg(long, value_enum, env = "HUBWIRE_LOCAL_MODE")]
    mode: Option<Mode>,
    /// What clients call the service, where that is not its address: http://signalr:8888
    #[arg(long, env = "HUBWIRE_LOCAL_PUBLIC_ENDPOINT", value_name = "URL", value_parser = public_endpoint)]
    public_endpoint: Option<String>,
    /// Let the pages of an origin call, besides those of this machine; `null` for files, as in Electron
    #[arg(long, env = "HUBWIRE_LOCAL_ALLOWED_ORIGINS", value_name = "ORIGIN", value_delimiter = ',', value_parser = origin)]
    allow_origin: Vec<String>,
    /// Let the service be called by a name with dots
    #[arg(long, env = "HUBWIRE_LOCAL_ALLOWED_HOSTS", value_name = "NAME", value_delimiter = ',', value_parser = host)]
    allow_host: Vec<String>,
    /// Where to tell what clients do, in serverless mode; {hub}, {category} and {event} may stand in it
    #[arg(long, value_name = "URL", env = "HUBWIRE_LOCAL_UPSTREAM", hide_env_values = true, value_parser = upstream)]
    upstream: Option<Rule>,
    /// Where the access key stands: env:NAME, file:PATH or - [env: HUBWIRE_LOCAL_ACCESS_KEY is the key itself]
    #[arg(long, value_name = "SOURCE")]
    access_key: Option<SecretSource>,
    /// Where a second access key stands [env: HUBWIRE_LOCAL_SECONDARY_ACCESS_KEY is the key itself]
    #[arg(long, value_name = "SOURCE")]
    secondary_access_key: Option<SecretSource>,
    /// Whether access keys are taken; without them there is only Microsoft Entra [default: true]
    #[arg(long, value_parser = switch!(), env = "HUBWIRE_LOCAL_LOCAL_AUTH", value_name = "true|false")]
    local_auth: Option<bool>,
    /// Whether there is a dashboard at /dashboard/ [default: true, without --once]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch!(),
          env = "HUBWIRE_LOCAL_DASHBOARD", value_name = "true|false")]
    dashboard: Option<bool>,
    /// Make an application and a managed identity that may do everything, and serve their authority over https
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch!(),
          env = "HUBWIRE_LOCAL_ENTRA", value_name = "true|false", help_heading = "Microsoft Entra")]
    entra: Option<bool>,
    /// Register an application that may do everything; SOURCE is where its secret stands: env:NAME, file:PATH or -
    #[arg(long, value_name = "TENANT/CLIENT=SOURCE", value_parser = application, help_heading = "Microsoft Entra")]
    application: Vec<Application>,
    /// Give the machine a managed identity with this client id, which may do everything
    #[arg(long, value_name = "CLIENT", help_heading = "Microsoft Entra")]
    identity: Vec<String>,
    /// How long Entra tokens are valid [default: 1h]
    #[arg(long, value_name = "TIME", value_parser = duration::parse_lifetime, env = "HUBWIRE_LOCAL_TOKEN_LIFETIME",
          help_heading = "Microsoft Entra")]
    token_lifetime: Option<Duration>,
    /// Listen over https as well, on another port, with a certificate made for this run
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch!(),
          env = "HUBWIRE_LOCAL_HTTPS", value_name = "true|false", help_heading = "Https")]
    https: Option<bool>,
    /// Speak https on the port of the service, and no http
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch!(),
          env = "HUBWIRE_LOCAL_TLS", value_name = "true|false", help_heading = "Https")]
    tls: Option<bool>,
    /// A certificate of your own for https, with the chain behind it
    #[arg(
        long,
        value_name = "PEM FILE",
        requires = "key",
        env = "HUBWIRE_LOCAL_CERTIFICATE",
        help_heading = "Https"
    )]
    certificate: Option<PathBuf>,
    /// The certificate's key
    #[arg(
        long,
        value_name = "PEM FILE",
        requires = "certificate",
        env = "HUBWIRE_LOCAL_KEY",
        help_heading = "Https"
    )]
    key: Option<PathBuf>,
    /// How many clients there may be; more of them are refused with 429 [default: any number]
    #[arg(long, value_name = "NUMBER", value_parser = at_least_one, env = "HUBWIRE_LOCAL_MAX_CONNECTIONS",
          help_heading = "Clients")]
    max_connections: Option<usize>,
    /// How long a new client may take for its handshake [default: 15s]
    #[arg(long, value_name = "TIME", value_parser = duration::parse_positive, env = "HUBWIRE_LOCAL_HANDSHAKE_TIMEOUT", help_heading = "Clients")]
    handshake_timeout: Option<Duration>,
    /// After how long in silence a client gets a ping [default: 15s]
    #[arg(long, value_name = "TIME", value_parser = duration::parse_positive, env = "HUBWIRE_LOCAL_KEEP_ALIVE_INTERVAL", help_heading = "Clients")]
    keep_alive_interval: Option<Duration>,
    /// After how long in silence a client is given up [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = duration::parse_positive, env = "HUBWIRE_LOCAL_CLIENT_TIMEOUT", help_heading = "Clients")]
    client_timeout: Option<Duration>,
}

/// Where the key itself may stand: in the environment, as connection strings do.
const ACCESS_KEY: &str = "HUBWIRE_LOCAL_ACCESS_KEY";
const SECONDARY_ACCESS_KEY: &str = "HUBWIRE_LOCAL_SECONDARY_ACCESS_KEY";

/// A key from where a flag says, else from the environment.
fn key(source: Option<SecretSource>, variable: &str) -> Result<Option<GivenSecret>, Failure> {
    if let Some(source) = source {
        return Ok(Some(GivenSecret::From(source)));
    }
    match std::env::var(variable) {
        Ok(key) if !key.is_empty() => Ok(Some(GivenSecret::Text(Secret::new(key)))),
        Ok(_) | Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => {
            Err(Failure::usage(format!("the environment variable {variable} is not UTF-8"))
                .advise("set it to the access key itself, or unset it"))
        }
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("no client could connect; give a number of at least 1, or leave it out".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}

fn public_endpoint(url: &str) -> Result<String, LocalError> {
    check_names(Some(url), &[], Vec::new()).map(|()| url.to_owned())
}

fn origin(text: &str) -> Result<String, String> {
    let checked = check_names(None, &[text.to_owned()], Vec::new());
    checked.map(|()| text.to_owned()).map_err(|error| in_flags(&error.to_string()))
}

fn host(text: &str) -> Result<String, LocalError> {
    check_names(None, &[], vec![text.to_owned()]).map(|()| text.to_owned())
}

/// The text may have a secret in its query.
fn upstream(url: &str) -> Result<Rule, String> {
    let rule = Rule::everything(url.to_owned());
    let one_line = |failure: Failure| failure.to_string().replace('\n', "; ");
    rule.read().map(drop).map_err(one_line)?;
    check_template(&rule).map_err(one_line)?;
    Ok(rule)
}

fn application(text: &str) -> Result<Application, String> {
    // The text may be a secret: it is not repeated.
    let parts = text.split_once('=').and_then(|(ids, secret)| Some((ids.split_once('/')?, secret)));
    let Some(((tenant, client), source)) =
        parts.filter(|((tenant, client), _)| !tenant.is_empty() && !client.is_empty())
    else {
        return Err("it has the form TENANT/CLIENT=SOURCE, such as my-tenant/my-app=env:SECRET".to_owned());
    };
    let source: SecretSource = source.parse()?;
    Ok(Application {
        tenant: tenant.to_owned(),
        client: client.to_owned(),
        secret: Some(GivenSecret::From(source)),
        certificates: Vec::new(),
        trusted_identities: Vec::new(),
        roles: vec![Role::ServiceOwner],
    })
}

/// The settings file that counts: the one that is named, or else one in this folder.
pub(super) fn document(named: Option<&Path>) -> Result<Option<Document>, Failure> {
    if let Some(path) = named {
        return Document::open(path).map(Some);
    }
    let own = Path::new(FILE);
    if own.is_file() {
        return Document::open(own).map(Some);
    }
    // Other programs have files of this name.
    Ok(Document::open(Path::new(EMULATOR_FILE)).ok().filter(|file| file.mentions("UpstreamSettings")))
}

impl Flags {
    pub(super) fn document(&self) -> Result<Option<Document>, Failure> {
        document(self.settings.as_deref())
    }

    /// Lays what the flags say over what a file says.
    pub(super) fn over(self, mut settings: Settings) -> Result<Settings, Failure> {
        fn lay<T>(over: &mut Option<T>, value: Option<T>) {
            if value.is_some() {
                *over = value;
            }
        }
        lay(&mut settings.address, self.address);
        lay(&mut settings.port, self.port);
        lay(&mut settings.public_endpoint, self.public_endpoint);
        lay(&mut settings.tls, self.tls);
        lay(&mut settings.mode, self.mode);
        lay(&mut settings.access_key, key(self.access_key, ACCESS_KEY)?);
        lay(&mut settings.secondary_access_key, key(self.secondary_access_key, SECONDARY_ACCESS_KEY)?);
        lay(&mut settings.local_auth, self.local_auth);
        lay(&mut settings.entra, self.entra);
        lay(&mut settings.dashboard, self.dashboard);
        lay(&mut settings.token_lifetime, self.token_lifetime);
        lay(&mut settings.max_connections, self.max_connections);
        lay(&mut settings.handshake_timeout, self.handshake_timeout);
        lay(&mut settings.keep_alive_interval, self.keep_alive_interval);
        lay(&mut settings.client_timeout, self.client_timeout);
        let https = match (self.certificate, self.key, self.https) {
            (_, _, Some(false)) => Some(Https::Off),
            (Some(certificate), Some(key), _) => Some(Https::Files { certificate, key }),
            // The file may name a certificate of its own.
            (_, _, Some(true)) if !matches!(settings.https, Some(Https::Files { .. })) => {
                Some(Https::ThrowAway)
            }
            _ => None,
        };
        lay(&mut settings.https, https);
        settings.allowed_origins.extend(self.allow_origin);
        settings.allowed_hosts.extend(self.allow_host);
        if let Some(rule) = self.upstream {
            settings.upstream = vec![rule];
        }
        for application in self.application {
            settings.applications.retain(|other| !other.is(&application));
            settings.applications.push(application);
        }
        for client in self.identity {
            settings.identities.retain(|other| !other.client.eq_ignore_ascii_case(&client));
            settings.identities.push(Identity {
                tenant: super::TENANT.to_owned(),
                client,
                object_id: None,
                resource_id: None,
                is_user_assigned: false,
                roles: vec![Role::ServiceOwner],
            });
        }
        Ok(settings)
    }
}
