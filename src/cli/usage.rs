//! What the program says instead of running a command: its help, its version, or what is wrong with the arguments.

use std::{
    env,
    io::{self, Write as _},
    process::ExitCode,
};

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::cli::{
    failure::Failure,
    output::{Color, Output},
};

/// The exit code for wrong usage.
const USAGE: u8 = 2;
/// What stands for arguments whose values may be secrets.
const SECRETS: [&str; 4] = ["SOURCE", "NAME: VALUE", "NAME=VALUE", "ADDRESS"];

/// Tells the user, and gives the exit code.
pub(super) fn tell(told: clap::Error) -> ExitCode {
    let told = without_secrets(told);
    let output = Output::new(wants_json(), Color::default());
    if !told.use_stderr() {
        output.check_written(told.print().and_then(|()| io::stdout().flush()));
        return ExitCode::SUCCESS;
    }
    if output.is_json() {
        failure(&told).coded("usage").show(&output);
    } else {
        // Where standard error cannot be written, the exit code says it.
        let _ = told.print();
    }
    ExitCode::from(USAGE)
}

/// The arguments were not understood as a whole, but whether they have this one can be seen.
fn wants_json() -> bool {
    env::args_os().skip(1).take_while(|argument| argument != "--").any(|argument| argument == "--json")
}

/// What clap says in paragraphs: first what is wrong, then hints and the usage.
fn failure(told: &clap::Error) -> Failure {
    if matches!(
        told.kind(),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand
    ) {
        return Failure::new("a command is missing").advise("add `--help` to see the commands");
    }
    let text = told.render().to_string();
    let mut paragraphs = text.split("\n\n").map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
    let message = paragraphs.next().unwrap_or_default();
    let advice: Vec<_> = paragraphs.filter(|text| !text.is_empty()).collect();
    let failure = Failure::new(message.strip_prefix("error: ").unwrap_or(&message));
    if advice.is_empty() { failure } else { failure.advise(advice.join("; ")) }
}

/// An error quotes a value that is wrong: one in the place of a secret's source is most likely the secret.
fn without_secrets(mut error: clap::Error) -> clap::Error {
    let is_secret = matches!(
        error.get(ContextKind::InvalidArg),
        Some(ContextValue::String(argument)) if SECRETS.iter().any(|name| argument.contains(name))
    );
    if is_secret {
        error.insert(ContextKind::InvalidValue, ContextValue::String("…".to_owned()));
    }
    error
}
