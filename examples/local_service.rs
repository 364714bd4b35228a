//! An Azure SignalR Service on this machine, in either service mode.
//!
//!     cargo run --example local_service --features local -- --mode default --port 8888
//!
//! It prints its connection string, which goes where Azure's would stand, and runs until its standard input ends. Options:
//! `--mode default|serverless`, `--port N`, `--key TEXT`, `--upstream URL`, `--log LEVEL`; `--identity CLIENT`: a managed identity
//! that may do everything, with what App Service puts into `IDENTITY_ENDPOINT` and `IDENTITY_HEADER`; and
//! `--application TENANT/CLIENT/SECRET`: an application that may do everything, with an https authority, whose certificate is made
//! for it.

use std::error::Error;
use std::process::ExitCode;

use hubwire::{
    ErrorChain,
    local::{EntraApplication, LocalManagedIdentity, LocalService, Role, ServiceMode},
};
use tokio::io::AsyncReadExt;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", ErrorChain::new(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let mut builder = LocalService::builder();
    let (mut has_identity, mut has_application) = (false, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        builder = match name.as_str() {
            "--mode" => builder.service_mode(match value.as_str() {
                "default" => ServiceMode::Default,
                "serverless" => ServiceMode::Serverless,
                other => return Err(format!("no mode {other}: default or serverless").into()),
            }),
            "--log" => {
                let level: tracing::Level = value.parse()?;
                tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).init();
                builder
            }
            "--port" => builder.port(value.parse()?),
            "--key" => builder.access_key(value),
            "--upstream" => builder.upstream(value),
            "--identity" => {
                has_identity = true;
                let identity = LocalManagedIdentity::system_assigned("tenant", value);
                builder.managed_identity(identity.role(Role::ServiceOwner))
            }
            "--application" => {
                let parts: Vec<_> = value.splitn(3, '/').collect();
                let [tenant, client, secret] = parts[..] else {
                    return Err("--application needs TENANT/CLIENT/SECRET".into());
                };
                let application = EntraApplication::new(tenant, client, secret).role(Role::ServiceOwner);
                let made = rcgen::generate_simple_self_signed(["127.0.0.1".into(), "localhost".into()])?;
                let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
                has_application = true;
                builder.application(application).https(certificate, key)
            }
            other => return Err(format!("no option {other}").into()),
        };
    }
    let service = builder.start().await?;
    println!("{}", service.connection_string());
    if has_identity {
        println!("IDENTITY_ENDPOINT={}", service.identity_endpoint());
        println!("IDENTITY_HEADER={}", service.identity_header());
    }
    if has_application {
        println!("AZURE_AUTHORITY_HOST={}", service.authority());
    }
    let mut rest = Vec::new();
    tokio::io::stdin().read_to_end(&mut rest).await?;
    service.stop().await;
    Ok(())
}
