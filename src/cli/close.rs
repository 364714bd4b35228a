//! `hubwire close`: ends connections of clients of the service.

use std::process::ExitCode;

use serde_json::json;

use crate::cli::{
    context::Contexts,
    failure::Failure,
    output::{GOOD, NAME, Output},
    publish::{ServiceArguments, asked, check_connection},
    recipient::Recipient,
};

/// Close connections of clients of the service
///
/// A connection, a user and a group are looked for first: the exit code is 1 when nobody is there. Whether anybody was there
/// to be closed by `all`, and who was, the service does not say.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  hubwire close user:alice --reason 'signed out' --hub chat
  hubwire close all --except 7auMgcO_7jJsZG7cDGrpLA --hub chat")]
pub(super) struct Arguments {
    /// Which ones: all, user:ID, group:NAME or connection:ID
    #[arg(value_name = "WHOSE")]
    to: Recipient,
    /// The reason that the clients are told
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Leave a connection open, by its id; not with connection:ID; repeatable
    #[arg(long = "except", value_name = "ID")]
    except: Vec<String>,
    #[command(flatten)]
    service: ServiceArguments,
}

pub(super) async fn run(
    arguments: Arguments,
    contexts: &Contexts,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let Arguments { to, reason, except, service } = arguments;
    if matches!(to, Recipient::Connection(_)) && !except.is_empty() {
        return Err(Failure::usage("--except is not for a single connection").advise("leave it out"));
    }
    let (hub, limit) = service.hub(contexts)?;
    let reason = reason.as_deref();
    let nobody = |who: String| {
        Failure::new(format!("{who} has no connection in this hub"))
            .advise("there was nothing to close; names have upper and lower case")
    };
    // The service accepts to close what is not there.
    match &to {
        Recipient::All => {}
        Recipient::User(id) if asked(limit, hub.user(id).exists()).await? => {}
        Recipient::User(id) => return Err(nobody(format!("the user {id}"))),
        Recipient::Group(name) if asked(limit, hub.group(name).exists()).await? => {}
        Recipient::Group(name) => return Err(nobody(format!("the group {name}"))),
        Recipient::Connection(id) => check_connection(&hub, id, limit).await?,
    }
    let closed = async {
        match &to {
            Recipient::All => hub.all().excluding(except).close_connections(reason).await,
            Recipient::User(id) => hub.user(id).excluding(except).close_connections(reason).await,
            Recipient::Group(name) => hub.group(name).excluding(except).close_connections(reason).await,
            Recipient::Connection(id) => hub.connection(id).close(reason).await,
        }
    };
    asked(limit, closed).await?;
    if output.is_json() {
        // Of `all` nobody knows whether there was one.
        let existed = (to != Recipient::All).then_some(true);
        output.json(&json!({ "accepted": to.to_string(), "existed": existed }));
    } else if to == Recipient::All {
        output.line(format_args!(
            "{GOOD}accepted{GOOD:#}: {NAME}all{NAME:#} connections are closed; the service does not say whether there were any"
        ));
    } else {
        output
            .line(format_args!("{GOOD}accepted{GOOD:#}: what is connected of {NAME}{to}{NAME:#} is closed"));
    }
    Ok(ExitCode::SUCCESS)
}
