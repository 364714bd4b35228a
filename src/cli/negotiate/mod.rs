//! `hubwire negotiate`: every hop from a hub's URL to the server that hosts the connection, and what is offered there.

mod answer;
mod cors;
mod explain;
mod report;
mod walk;

use std::process::ExitCode;

use crate::cli::{
    context::{Contexts, TargetOptions},
    failure::Failure,
    output::Output,
};

pub(super) use answer::header_of;
pub(super) use explain::explain;
pub(super) use report::choose;
pub(super) use walk::{Walk, http_client, network, walk};

/// Negotiate with a hub and show every step of it
///
/// Shows every request with its answer, where it leads, what the client token says, which transports are offered, and which
/// one this program would take. Nothing is opened. The exit code is 1 when a client would not get in.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  hubwire negotiate https://example.com/chat
  hubwire negotiate https://example.com/chat --token env:TOKEN --timeout 5s
  hubwire negotiate https://api.example.com/chat --origin https://example.com
  hubwire negotiate --hub chat --user alice")]
pub(super) struct Arguments {
    /// The hub's URL, without /negotiate
    url: Option<String>,
    /// Check as well what a browser would say for a page of this origin (CORS)
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<String>,
    #[command(flatten)]
    target: TargetOptions,
}

pub(super) async fn run(
    arguments: Arguments,
    contexts: &Contexts,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let Arguments { url, origin, target } = arguments;
    let origin = origin.map(|origin| origin.trim_end_matches('/').to_owned());
    if origin.as_deref().is_some_and(|origin| !origin.contains("://")) {
        return Err(Failure::usage("the origin has no scheme").advise("write it as https://app.example.com"));
    }
    let target = contexts.target(url, target)?;
    let start = target.start().await?;
    target.check_scheme(&start.0)?;
    let http = http_client(&target)?;
    let walk = walk(&target, &http, start, origin.as_deref(), target.timeout()).await;
    let choice = choose(&target, &walk);
    if output.is_json() {
        output.json(&report::json(&target, &walk, &choice));
    } else {
        report::print(&target, &walk, &choice, output);
    }
    let has_cors_problem = walk.hops.iter().any(|hop| !hop.cors.is_empty());
    let gets_in = walk.is_done() && choice.chosen.is_some() && !has_cors_problem;
    Ok(if gets_in { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
