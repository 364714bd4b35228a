//! Hosted hubs beside ASP.NET Core, in one run: `cargo xtask bench --server`.
//!
//! The same clients load a hub of this crate and the reference's, which have the same methods. What counts is the server's
//! CPU time, so other work on the machine matters little; latencies are of the whole machine, with the clients on it.
//!
//! | column | server |
//! | --- | --- |
//! | hubwire | the hub of `tests/server`, in a process of its own |
//! | Core 10, Core 11 | ASP.NET Core, in the folder that `HUBWIRE_REFERENCE_DIR` names |
//! | raw | tokio-tungstenite that sends back what it gets, without a hub |

#[allow(dead_code, unreachable_pub, reason = "the tests use all of it")]
#[path = "../../tests/server/conformance_hub.rs"]
mod conformance_hub;
mod figures;
mod load;
#[path = "../../tests/support/http.rs"]
mod plain_http;
#[allow(dead_code, reason = "other benchmarks use all of it")]
mod process;
mod servers;
mod stuck;
#[path = "../../tests/support/stuck.rs"]
mod stuck_clients;

use std::{path::PathBuf, process::ExitCode};

use crate::{
    figures::{Figures, Table},
    process::Server,
};

fn main() -> Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("--serve") => return Ok(servers::hub()),
        Some("--echo") => return Ok(servers::raw_echo()),
        _ => {}
    }
    // `cargo test` runs benches as well; there they need only compile.
    if std::env::args().any(|argument| argument == "--bench") {
        measure()?;
    }
    Ok(ExitCode::SUCCESS)
}

/// An error is printed, and ends the program.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn measure() -> Result<()> {
    // reqwest wants one, though nothing here is encrypted.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let this = std::env::current_exe()?;
    let reference =
        std::env::var_os("HUBWIRE_REFERENCE_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut table = Table::default();

    let ours = Server::start(&this, &["--serve"])?;
    let mut figures = table.column("hubwire", &wanted);
    runtime.block_on(hub(&ours, reference.as_deref(), &mut figures))?;
    // ASP.NET Core would not answer who sends to them: its calls wait until a client has read enough.
    runtime.block_on(load::stuck(&ours, &mut figures))?;
    drop(ours);
    if std::env::args().any(|argument| argument == "--alone") {
        // For a comparison of this crate with itself.
    } else if let Some(reference) = &reference {
        for (name, program) in [("Core 10", "hub"), ("Core 11", "hub11")] {
            let theirs = Server::start(&reference.join("run"), &[program])?;
            runtime.block_on(hub(&theirs, Some(reference), &mut table.column(name, &wanted)))?;
        }
    } else {
        println!(
            "SKIPPED: ASP.NET Core; HUBWIRE_REFERENCE_DIR names no folder, or it is not wanted (--alone)"
        );
    }
    let raw = Server::start(&this, &["--echo"])?;
    runtime.block_on(load::raw_echo(&raw, table.column("raw", &wanted)))?;
    table.print();
    Ok(())
}

/// All that is measured of one server.
async fn hub(server: &Server, reference: Option<&std::path::Path>, figures: &mut Figures<'_>) -> Result<()> {
    // Before anything else, so that what others leave behind does not count.
    load::idle(server, figures).await?;
    load::calls(server, figures).await?;
    load::echo(server, figures).await?;
    load::broadcast(server, figures).await?;
    load::groups(server, figures).await?;
    load::client_results(server, figures).await?;
    match reference {
        Some(reference) => load::official_client(server, reference, figures),
        None => Ok(()),
    }
}
