//! `hubwire local`: an Azure SignalR Service on this machine.

use std::process::ExitCode;

use clap::ValueEnum;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, stdin};

use crate::{
    cli::{
        failure::Failure,
        machine::raise_file_limit,
        output::{FAINT, NAME, Output},
    },
    local::{EntraApplication, LocalManagedIdentity, LocalService, Role, ServiceMode},
};

/// Run an Azure SignalR Service on this machine, for development and tests
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The port to listen on; 0 takes any free one
    #[arg(long, default_value_t = LocalService::EMULATOR_PORT)]
    port: u16,
    /// Who answers clients
    #[arg(long, value_enum, default_value_t)]
    mode: Mode,
    /// Where to tell what clients do, in serverless mode; {hub}, {category} and {event} may stand in it
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// Gives the machine a managed identity with this client id, which may do everything
    #[arg(long, value_name = "CLIENT")]
    identity: Option<String>,
    /// Registers an application that may do everything, and serves its authority over https
    #[arg(long, value_name = "TENANT/CLIENT/SECRET", value_parser = application)]
    application: Option<EntraApplication>,
    /// Stops when standard input ends
    #[arg(long)]
    until_input_ends: bool,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Mode {
    #[default]
    Serverless,
    Default,
}

fn application(text: &str) -> Result<EntraApplication, &'static str> {
    let parts: Vec<_> = text.splitn(3, '/').collect();
    let [tenant, client, secret] = parts[..] else { return Err("it has the form TENANT/CLIENT/SECRET") };
    Ok(EntraApplication::new(tenant, client, secret).role(Role::ServiceOwner))
}

pub(super) async fn run(arguments: Arguments, output: &Output) -> Result<ExitCode, Failure> {
    // Each connection is an open file.
    raise_file_limit();
    let Arguments { port, mode, upstream, identity, application, until_input_ends } = arguments;
    let (has_identity, has_application) = (identity.is_some(), application.is_some());
    let mut builder = LocalService::builder().port(port).service_mode(match mode {
        Mode::Serverless => ServiceMode::Serverless,
        Mode::Default => ServiceMode::Default,
    });
    if let Some(url) = upstream {
        builder = builder.upstream(url);
    }
    if let Some(client) = identity {
        let identity = LocalManagedIdentity::system_assigned("tenant", client);
        builder = builder.managed_identity(identity.role(Role::ServiceOwner));
    }
    if let Some(application) = application {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".into(), "localhost".into()])?;
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        builder = builder.application(application).https(certificate, key);
    }
    let service = builder.start().await?;

    let mut settings = vec![("AzureSignalRConnectionString", service.connection_string())];
    if has_identity {
        settings.push(("IDENTITY_ENDPOINT", service.identity_endpoint()));
        settings.push(("IDENTITY_HEADER", service.identity_header().to_owned()));
    }
    if has_application {
        settings.push(("AZURE_AUTHORITY_HOST", service.authority().to_owned()));
    }
    if output.is_json() {
        let settings: serde_json::Map<_, _> =
            settings.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        output.json(&json!({ "endpoint": service.endpoint(), "settings": settings }));
    } else {
        output.line(format_args!("Azure SignalR Service, local: {NAME}{}{NAME:#}", service.endpoint()));
        for (name, value) in settings {
            output.line(format_args!("{FAINT}{name}={FAINT:#}{value}"));
        }
    }
    stop_asked(until_input_ends).await;
    service.stop().await;
    Ok(ExitCode::SUCCESS)
}

async fn stop_asked(until_input_ends: bool) {
    let interrupted = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let input_ends = async {
        if !until_input_ends {
            return std::future::pending().await;
        }
        let _ = stdin().read_to_end(&mut Vec::new()).await;
    };
    tokio::select! {
        () = interrupted => {}
        () = input_ends => {}
    }
}
