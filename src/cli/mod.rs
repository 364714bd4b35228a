//! The command line program `hubwire`: a face of the crate, above everything else in it.
//!
//! ```text
//! Arguments ─▶ a command ─▶ Output (what was asked for, to standard output)
//!                  └──────▶ Failure (what went wrong and what to do, to standard error; exit code 1 or 2)
//! ```
//!
//! What a command was asked for goes to standard output, as text for people or, with `--json`, as one JSON value a line;
//! everything else goes to standard error, a failure with `--json` as a JSON object. Exit codes: 0 done, 1 failed, 2 wrong
//! usage; 141, as after SIGPIPE, where nobody reads standard output any more.

#![allow(rustdoc::bare_urls, reason = "the help shows the texts of arguments as they are")]

mod bench;
mod close;
mod completions;
mod connect;
mod context;
mod doctor;
mod duration;
mod failure;
mod local;
mod machine;
mod negotiate;
mod output;
mod publish;
mod recipient;
mod secret;
mod signals;
mod token;
mod upstream;
mod usage;
mod value;

use std::{io, process::ExitCode};

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::ArgValueCandidates;
use tracing_subscriber::{EnvFilter, Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use context::Contexts;
use failure::Failure;
use output::{Color, Output};

/// SignalR from the command line: hubs, Azure SignalR Service, and a local service for development and tests.
#[derive(Debug, Parser)]
#[command(
    name = "hubwire",
    version,
    propagate_version = true,
    max_term_width = 100,
    after_help = "\
A TIME is a number with ms, s, m, h or d, such as 500ms or 1.5h; without a unit
it is in seconds. A SOURCE is where a secret stands: env:NAME, file:PATH, or -
for standard input.

Exit codes: 0 done, 1 failed, 2 wrong usage, 141 when nobody reads the output
any more. With --json a failure is a JSON object on standard error: code,
message and advice."
)]
struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, clap::Args)]
struct Global {
    /// Print JSON, one value a line
    #[arg(long, global = true, help_heading = "Global options")]
    json: bool,
    /// When to use colours
    #[arg(
        long,
        value_enum,
        default_value_t,
        global = true,
        value_name = "WHEN",
        help_heading = "Global options"
    )]
    color: Color,
    /// Print a log to standard error: warn, info, debug, trace, or a filter such as hubwire=debug
    #[arg(long, env = "HUBWIRE_LOG", global = true, value_name = "FILTER", help_heading = "Global options")]
    log: Option<String>,
    /// Take this saved context instead of the current one; see `hubwire context`
    #[arg(
        long,
        env = context::VARIABLE,
        global = true,
        value_name = "NAME",
        help_heading = "Global options",
        add = ArgValueCandidates::new(context::candidates)
    )]
    context: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Local(Box<local::Arguments>),
    Connect(Box<connect::Arguments>),
    Negotiate(negotiate::Arguments),
    Token(token::Arguments),
    Publish(publish::Arguments),
    Group(publish::GroupArguments),
    Close(close::Arguments),
    Doctor(doctor::Arguments),
    Bench(Box<bench::Arguments>),
    Upstream(upstream::Arguments),
    Context(context::Arguments),
    Completions(completions::Arguments),
}

/// Runs the program that the process was started as.
#[must_use]
pub fn main() -> ExitCode {
    // A shell that wants something completed asks by an environment variable, and gets no further than this.
    clap_complete::CompleteEnv::with_factory(Arguments::command).complete();
    let Arguments { global, command } = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(told) => return usage::tell(told, Arguments::command()),
    };
    let output = Output::new(global.json, global.color);
    if let Err(failure) = start_log(global.log.as_deref(), &command, output) {
        return failure.print(&output);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return Failure::new("the program cannot start its threads").because(error).print(&output);
        }
    };
    let contexts = Contexts::new(global.context, output);
    let done = runtime.block_on(async {
        match command {
            Command::Context(arguments) => context::run(arguments, &output),
            Command::Bench(arguments) => bench::run(*arguments, &contexts, &output).await,
            Command::Connect(arguments) => connect::run(*arguments, &contexts, &output).await,
            Command::Local(arguments) => local::run(*arguments, &output).await,
            Command::Publish(arguments) => publish::run(arguments, &contexts, &output).await,
            Command::Group(arguments) => publish::group(arguments, &contexts, &output).await,
            Command::Close(arguments) => close::run(arguments, &contexts, &output).await,
            Command::Doctor(arguments) => doctor::run(arguments, &contexts, &output).await,
            Command::Completions(arguments) => completions::run(&arguments, &output),
            Command::Token(arguments) => token::run(arguments, &contexts, &output).await,
            Command::Negotiate(arguments) => negotiate::run(arguments, &contexts, &output).await,
            Command::Upstream(arguments) => upstream::run(arguments, &output).await,
        }
    });
    // A thread that reads standard input cannot be ended.
    runtime.shutdown_background();
    done.unwrap_or_else(|failure| failure.print(&output))
}

/// A service that runs says what happens in it, with or without a log.
fn start_log(filter: Option<&str>, command: &Command, output: Output) -> Result<(), Failure> {
    let filter = filter.map(EnvFilter::try_new).transpose().map_err(|error| {
        let given = usage::given("--log", "HUBWIRE_LOG");
        Failure::usage(format!("the log filter of {given} is not valid"))
            .because(error)
            .advise("give a level such as `--log debug`, or a filter such as `--log hubwire=debug`")
    })?;
    let events = match command {
        Command::Local(local) if local.serves() => {
            Some(local::Events::layer(output, local.is_verbose(), filter.is_some()))
        }
        _ => None,
    };
    if filter.is_some() || events.is_some() {
        let log =
            filter.map(|filter| tracing_subscriber::fmt::layer().with_writer(io::stderr).with_filter(filter));
        tracing_subscriber::registry().with(log).with(events).init();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    /// What is written in lines, such as examples, is not wrapped well by others.
    #[test]
    fn every_help_fits_a_terminal_of_80_columns() {
        fn check(mut command: clap::Command) {
            for help in [command.render_long_help(), command.render_help()].map(|help| help.to_string()) {
                for line in help.lines() {
                    assert!(line.chars().count() <= 80, "{}: {line}", command.get_name());
                }
            }
            let own = command.get_after_long_help().or(command.get_after_help()).map(ToString::to_string);
            for line in own.unwrap_or_default().lines() {
                assert!(line.chars().count() <= 80, "{}: {line}", command.get_name());
            }
            command.get_subcommands().cloned().for_each(|command| check(command.term_width(80)));
        }
        let mut all = Arguments::command().term_width(80);
        all.build();
        check(all);
    }
}
