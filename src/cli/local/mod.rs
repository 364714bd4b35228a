//! `hubwire local`: an Azure SignalR Service on this machine.
//!
//! ```text
//! a settings file ─▶ the environment ─▶ flags ─▶ Settings ─▶ LocalServiceBuilder ─▶ Started ─▶ what it prints
//!                                                                                      └─────▶ the environment of a command
//! ```
//!
//! Requests and warnings are lines on standard error (`events`). Ctrl+C and SIGTERM let clients go first; a second one ends
//! the program at once.

mod certificate;
mod check;
mod document;
mod events;
mod flags;
mod health;
mod init;
mod once;
mod settings;
mod started;

use std::{ffi::OsString, io, path::PathBuf, process::ExitCode, time::Duration};

use clap::Subcommand;
use tokio::io::{AsyncReadExt as _, stdin};

use crate::{
    cli::{
        failure::Failure,
        machine::raise_file_limit,
        output::{FAINT, Output, WARNING},
        signals::Signals,
    },
    core::url::HubUrl,
    local::{EntraApplication, LocalError, LocalManagedIdentity, LocalService, LocalServiceBuilder, Role},
    server::random::random_text,
    service::secret::Secret,
};
use certificate::Certificate;
pub(super) use events::Events;
use flags::Flags;
use settings::{Application, GivenSecret, Https, Identity, Mode, Settings};
use started::{Credentials, Started};

/// The tenant, application and identity of `--entra`, and the tenant of identities that name none. SDKs want GUIDs.
const TENANT: &str = "00000000-0000-4000-8000-0000000000aa";
const CLIENT: &str = "00000000-0000-4000-8000-0000000000bb";
const IDENTITY: &str = "00000000-0000-4000-8000-0000000000cc";

/// How long a stop may take once a command has ended: what it leaves open, nobody reads.
const STOP_AFTER_COMMAND: Duration = Duration::from_secs(1);

/// Run an Azure SignalR Service on this machine, for development and tests
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_long_help = "\
A TIME is a number with ms, s, m, h or d, such as 90s; without a unit it is in
seconds.

Faults on demand, by HTTP and with an access key in the header X-Hubwire-Key:
  PUT /_hubwire/faults
    [{\"when\": {\"kind\": \"negotiate\"}, \"do\": {\"status\": 503}, \"times\": 2}]
  POST /_hubwire/cut
    {\"when\": {\"user\": \"alice\"}, \"how\": \"silently\"}
  POST /_hubwire/keys/primary
    regenerates the key
The README has all members.

Examples:
  hubwire local
  hubwire local --upstream http://localhost:7071/runtime/webhooks/signalr
  hubwire local --mode default --entra
  hubwire local --once -- npm test"
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    flags: Flags,
    /// Write the certificate of https to a file, to be trusted
    #[arg(long, value_name = "FILE", help_heading = "Https")]
    write_certificate: Option<PathBuf>,
    /// Print a line for each request, and for what clients and app servers do
    #[arg(long, short, env = "HUBWIRE_LOCAL_VERBOSE", value_parser = clap::builder::FalseyValueParser::new())]
    verbose: bool,
    /// Stop when standard input ends
    #[arg(long, conflicts_with = "once")]
    until_input_ends: bool,
    /// Run a command with the service's settings in its environment, stop the service, and end with the exit code of the
    /// command; the port is any free one unless --port says another
    #[arg(long, requires = "command")]
    once: bool,
    /// The command of --once and its arguments
    #[arg(last = true, value_name = "COMMAND", requires = "once")]
    command: Vec<OsString>,
}

#[derive(Debug, Subcommand)]
enum Action {
    Init(init::Arguments),
    Health(health::Arguments),
}

impl Arguments {
    pub(super) fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// Whether a service is started.
    pub(super) fn serves(&self) -> bool {
        self.action.is_none()
    }
}

pub(super) async fn run(arguments: Arguments, output: &Output) -> Result<ExitCode, Failure> {
    match &arguments.action {
        Some(Action::Init(arguments)) => init::run(arguments, output),
        Some(Action::Health(arguments)) => health::run(arguments, output).await,
        None => serve(arguments, output).await,
    }
}

async fn serve(arguments: Arguments, output: &Output) -> Result<ExitCode, Failure> {
    // Each connection is an open file.
    raise_file_limit();
    let Arguments { flags, write_certificate, until_input_ends, once, command, .. } = arguments;
    let document = flags.document()?;
    let mut settings = document.as_ref().map(Settings::of).transpose()?.unwrap_or_default();
    if once {
        // Tests run side by side, with one file.
        settings.port = Some(0);
        // Nobody looks.
        settings.dashboard = Some(false);
    }
    let has_file = document.is_some();
    let settings = flags.over(settings)?;
    if settings.secrets_from_standard_input() + usize::from(until_input_ends) > 1 {
        return Err(Failure::usage("standard input cannot be read twice")
            .advise("give secrets as `env:NAME` or `file:PATH`"));
    }
    // What a file says is not the fault of the arguments.
    let to_blame = |failure: Failure| if has_file { failure } else { failure.of_usage() };
    for useless in check::check(&settings).map_err(to_blame)? {
        output.note(format_args!("{WARNING}warning:{WARNING:#} {useless}"));
    }
    // Before there is something to stop.
    let mut signals = Signals::new()?;
    let file = document.map(|document| document.path().to_owned());
    let started = start(settings, file, write_certificate).await?;
    if once {
        let ended = once::run(&command, &started, &mut signals, output).await;
        // A timeout is no failure of the command.
        let _ = tokio::time::timeout(STOP_AFTER_COMMAND, started.service.stop()).await;
        return ended;
    }
    started.print(output);
    tokio::select! {
        _ = signals.next() => {}
        () = input_ends(until_input_ends) => {}
    }
    tokio::select! {
        () = started.service.stop() => {}
        () = async {
            tokio::time::sleep(STOP_AFTER_COMMAND).await;
            output.note(format_args!("{FAINT}Clients are let go; Ctrl+C again ends at once.{FAINT:#}"));
            signals.next().await;
        } => {}
    }
    Ok(ExitCode::SUCCESS)
}

async fn input_ends(is_wanted: bool) {
    if !is_wanted {
        return std::future::pending().await;
    }
    let mut bytes = [0; 1024];
    while stdin().read(&mut bytes).await.is_ok_and(|length| length > 0) {}
}

async fn start(
    mut settings: Settings,
    file: Option<PathBuf>,
    certificate_file: Option<PathBuf>,
) -> Result<Started, Failure> {
    let port = settings.port.unwrap_or(LocalService::EMULATOR_PORT);
    let mode = settings.mode.unwrap_or(Mode::Serverless);
    let mut is_new = false;
    if settings.entra == Some(true) {
        is_new = add_entra(&mut settings)?;
    }
    // Credentials of other languages insist on https.
    let has_application = !settings.applications.is_empty();
    let has_tls = settings.tls == Some(true);
    let https = settings.https.take();
    let https = https.filter(|https| !has_tls || *https != Https::Off);
    let https = https.unwrap_or(if has_application || has_tls { Https::ThrowAway } else { Https::Off });
    let certificate = Certificate::of(&https, &names(&settings))?;
    if let Some(path) = &certificate_file {
        let missing = || Failure::usage("there is no certificate to write").advise("add `--https`");
        certificate.as_ref().ok_or_else(missing)?.write(path)?;
    }

    // At other addresses it would show the key to those who reach them.
    let has_dashboard = settings.dashboard.unwrap_or(settings.address.is_none_or(|ip| ip.is_loopback()));
    let mut builder = LocalService::builder().dashboard(has_dashboard).port(port).service_mode(mode.into());
    if let Some(address) = settings.address {
        builder = builder.address(address);
    }
    if let Some(limit) = settings.max_connections {
        builder = builder.max_connections(limit);
    }
    if let Some(url) = &settings.public_endpoint {
        builder = builder.public_endpoint(url);
    }
    builder = settings.allowed_origins.iter().fold(builder, LocalServiceBuilder::allow_origin);
    builder = settings.allowed_hosts.iter().fold(builder, LocalServiceBuilder::allow_host);
    if let Some(key) = &settings.access_key {
        builder = builder.access_key(key.read()?.expose());
    }
    if let Some(key) = &settings.secondary_access_key {
        builder = builder.secondary_access_key(key.read()?.expose());
    }
    if let Some(is_enabled) = settings.local_auth {
        builder = builder.local_auth(is_enabled);
    }
    for rule in &settings.upstream {
        builder = builder.upstream_rule(rule.read()?);
    }
    if let Some(identity) = &settings.service_identity {
        builder = builder.service_identity(managed_identity(identity));
    }
    let mut credentials = None;
    for application in &settings.applications {
        let secret = application.secret.as_ref().map(GivenSecret::read).transpose()?;
        builder = builder.application(entra_application(application, secret.as_ref())?);
        if let (None, Some(secret)) = (&credentials, secret) {
            let (tenant, client) = (application.tenant.clone(), application.client.clone());
            credentials = Some(Credentials { tenant, client, secret, is_new });
        }
    }
    for identity in &settings.identities {
        builder = builder.managed_identity(managed_identity(identity));
    }
    if let Some(certificate) = &certificate {
        let (pem, key) = (certificate.pem.clone(), certificate.key.expose());
        builder = if has_tls { builder.tls(pem, key) } else { builder.https(pem, key) };
    }
    for (set, duration) in [
        (LocalServiceBuilder::token_lifetime as fn(_, _) -> _, settings.token_lifetime),
        (LocalServiceBuilder::handshake_timeout, settings.handshake_timeout),
        (LocalServiceBuilder::keep_alive_interval, settings.keep_alive_interval),
        (LocalServiceBuilder::client_timeout, settings.client_timeout),
    ] {
        if let Some(duration) = duration {
            builder = set(builder, duration);
        }
    }
    let service = match builder.start().await {
        Ok(service) => service,
        Err(error) => return Err(not_started(error).await),
    };
    Ok(Started {
        service,
        mode,
        is_open: settings.address.is_some_and(|ip| !ip.is_loopback()) && settings.access_key.is_none(),
        upstream: settings.upstream,
        file,
        has_dashboard,
        has_identity: !settings.identities.is_empty(),
        has_application,
        credentials,
        certificate,
        certificate_file,
    })
}

/// By which names the service is called.
fn names(settings: &Settings) -> Vec<String> {
    let mut names = vec!["127.0.0.1".to_owned(), "localhost".to_owned(), "::1".to_owned()];
    names.extend(settings.address.filter(|ip| !ip.is_unspecified()).map(|ip| ip.to_string()));
    let public = settings.public_endpoint.as_deref().and_then(|url| HubUrl::parse(url).ok());
    names.extend(public.map(|url| url.host().trim_matches(['[', ']']).to_owned()));
    names.extend(settings.allowed_hosts.iter().cloned());
    names.sort();
    names.dedup();
    names
}

/// Adds what `--entra` stands for, before what there is, and says whether its secret is new.
fn add_entra(settings: &mut Settings) -> Result<bool, Failure> {
    let is_new = settings.applications.is_empty();
    if is_new {
        settings.applications.push(Application {
            tenant: TENANT.to_owned(),
            client: CLIENT.to_owned(),
            secret: Some(GivenSecret::Text(Secret::new(random_text()?))),
            certificates: Vec::new(),
            trusted_identities: Vec::new(),
            roles: vec![Role::ServiceOwner],
        });
    }
    if settings.identities.is_empty() {
        settings.identities.push(Identity {
            tenant: TENANT.to_owned(),
            client: IDENTITY.to_owned(),
            object_id: None,
            resource_id: None,
            is_user_assigned: false,
            roles: vec![Role::ServiceOwner],
        });
    }
    Ok(is_new)
}

fn entra_application(
    application: &Application,
    secret: Option<&Secret>,
) -> Result<EntraApplication, Failure> {
    let Application { tenant, client, certificates, trusted_identities, roles, .. } = application;
    let mut entra = match secret {
        Some(secret) => EntraApplication::new(tenant, client, secret.expose()),
        None => EntraApplication::without_secret(tenant, client),
    };
    for path in certificates {
        let pem = std::fs::read(path)
            .map_err(|error| Failure::new(format!("{} cannot be read", path.display())).because(error))?;
        entra = entra.certificate(pem);
    }
    for identity in trusted_identities {
        entra = entra.trusted_managed_identity(identity);
    }
    Ok(roles.iter().fold(entra, |entra, &role| entra.role(role)))
}

fn managed_identity(identity: &Identity) -> LocalManagedIdentity {
    let Identity { tenant, client, object_id, resource_id, is_user_assigned, roles } = identity;
    let mut managed = match is_user_assigned {
        true => LocalManagedIdentity::user_assigned(tenant, client),
        false => LocalManagedIdentity::system_assigned(tenant, client),
    };
    if let Some(id) = object_id {
        managed = managed.object_id(id);
    }
    if let Some(id) = resource_id {
        managed = managed.resource_id(id);
    }
    roles.iter().fold(managed, |managed, &role| managed.role(role))
}

/// Says who may have the port.
async fn not_started(error: LocalError) -> Failure {
    let LocalError::Listen { address, port, ref source } = error else { return error.into() };
    let kind = source.kind();
    let failure = Failure::from(error);
    match kind {
        io::ErrorKind::AddrInUse if health::is_service(address, port).await => failure.advise(format!(
            "a SignalR service listens there already: the official emulator or another `hubwire local`; use that one, stop it, \
             or give another port with `--port`, such as `--port 0` for any that is free (not {port})"
        )),
        io::ErrorKind::AddrInUse => failure.advise("another program listens there; give another port with `--port`, such as `--port 0` for any that is free"),
        io::ErrorKind::PermissionDenied => failure.advise("ports below 1024, and on Windows some others, need rights; give another port with `--port`"),
        _ => failure,
    }
}
