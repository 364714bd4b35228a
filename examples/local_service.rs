//! An Azure SignalR Service on this machine, in either service mode.
//!
//!     cargo run --example local_service --features local -- --mode default --port 8888
//!
//! It prints its connection string, which goes where Azure's would stand, and runs until its standard input ends. Options:
//! `--mode default|serverless`, `--port N`, `--key TEXT`, `--upstream URL`, `--log LEVEL`, and `--identity CLIENT`: a managed identity
//! that may do everything, with what App Service puts into `IDENTITY_ENDPOINT` and `IDENTITY_HEADER`.

use std::error::Error;
use std::process::ExitCode;

use hubwire::{
    ErrorChain,
    local::{LocalManagedIdentity, LocalService, Role, ServiceMode},
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
    let mut has_identity = false;
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
            other => return Err(format!("no option {other}").into()),
        };
    }
    let service = builder.start().await?;
    println!("{}", service.connection_string());
    if has_identity {
        println!("IDENTITY_ENDPOINT={}", service.identity_endpoint());
        println!("IDENTITY_HEADER={}", service.identity_header());
    }
    let mut rest = Vec::new();
    tokio::io::stdin().read_to_end(&mut rest).await?;
    service.stop().await;
    Ok(())
}
