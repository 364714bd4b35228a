//! What the program says instead of running a command: its help, its version, or what is wrong with the arguments.

use std::{
    any::TypeId,
    env,
    ffi::OsString,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{
    Arg,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::cli::{
    duration::Span,
    failure::Failure,
    output::{Color, Output},
};

/// What stands for arguments whose values may be secrets: a source in which the secret itself was written, or a URL with a
/// secret in its query.
const SECRETS: [&str; 6] =
    ["SOURCE", "NAME: VALUE", "NAME=VALUE", "ADDRESS", "--upstream <URL>", "--forward <URL>"];

/// Tells the user, and gives the exit code.
pub(super) fn tell(told: clap::Error, command: clap::Command) -> ExitCode {
    let told = without_secrets(told);
    let output = Output::new(wants_json(), Color::default());
    if !told.use_stderr() {
        output.check_written(told.print().and_then(|()| io::stdout().flush()));
        return ExitCode::SUCCESS;
    }
    let failure = Given::new(command).explain(&told);
    // What clap says itself has colours.
    let is_plain = failure.is_none() && !output.is_json();
    let failure = failure.unwrap_or_else(|| self::failure(&told)).of_usage();
    if is_plain {
        // Where standard error cannot be written, the exit code says it.
        let _ = told.print();
        return failure.exit_code();
    }
    failure.print(&output)
}

/// How a value was given that may come by a flag or by an environment variable: the name of the one or the other.
pub(super) fn given(flag: &'static str, variable: &'static str) -> &'static str {
    if has_flag(&words(), flag) { flag } else { variable }
}

/// The arguments that are not for another program.
fn words() -> Vec<OsString> {
    env::args_os().skip(1).take_while(|argument| argument != "--").collect()
}

fn has_flag(words: &[OsString], flag: &str) -> bool {
    words
        .iter()
        .filter_map(|word| word.to_str())
        .any(|word| word.strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('=')))
}

/// The arguments were not understood as a whole, but whether they have this one can be seen.
fn wants_json() -> bool {
    words().iter().any(|argument| argument == "--json")
}

/// What the user has given, as far as it can be seen without understanding all of it.
struct Given {
    words: Vec<OsString>,
    /// The options of the command, and those of every command.
    options: Vec<Arg>,
}

impl Given {
    fn new(mut command: clap::Command) -> Self {
        command.build();
        let words = words();
        let mut command = &command;
        for word in &words {
            command = command.find_subcommand(word).unwrap_or(command);
        }
        let options = command.get_arguments().filter(|option| !option.is_positional());
        Self { options: options.cloned().collect(), words }
    }

    /// What is wrong, where that can be told better than by clap.
    fn explain(&self, told: &clap::Error) -> Option<Failure> {
        match told.kind() {
            ErrorKind::InvalidUtf8 => {
                let variable = self.variables().find(|(option, _, value)| {
                    let takes_any = option.get_value_parser().type_id() == TypeId::of::<PathBuf>();
                    !takes_any && value.to_str().is_none()
                });
                variable.map(|(option, name, _)| {
                    wrong_variable(format!("the environment variable {name} is not UTF-8"), option)
                })
            }
            ErrorKind::UnknownArgument => self.negative(),
            _ => {
                let Some(ContextValue::String(shown)) = told.get(ContextKind::InvalidArg) else {
                    return None;
                };
                let option = self.options.iter().find(|option| option.to_string() == *shown)?;
                if let Some((option, name, _)) =
                    self.variables().find(|(other, ..)| other.get_id() == option.get_id())
                {
                    let message = failure(told).message().replace(&format!("'{shown}'"), name);
                    return Some(wrong_variable(message, option));
                }
                match told.get(ContextKind::InvalidValue) {
                    Some(ContextValue::String(value)) if is_negative(value) && wants_number(option) => {
                        Some(negative(option, value))
                    }
                    _ => None,
                }
            }
        }
    }

    /// The options that have their values from the environment, with the names of the variables.
    fn variables(&self) -> impl Iterator<Item = (&Arg, &str, OsString)> {
        self.options.iter().filter_map(|option| {
            let name = option.get_env()?;
            let is_flag = option.get_long().is_some_and(|long| has_flag(&self.words, &format!("--{long}")));
            let value = env::var_os(name).filter(|_| !is_flag)?;
            Some((option, name.to_str()?, value))
        })
    }

    /// A negative number looks like an option.
    fn negative(&self) -> Option<Failure> {
        let found = self.words.windows(2).find_map(|pair| {
            let (name, value) = (pair[0].to_str()?, pair[1].to_str()?);
            let is_named = |option: &&Arg| {
                let long = name.strip_prefix("--").is_some_and(|name| option.get_long() == Some(name));
                let short = name.strip_prefix('-').is_some_and(|name| {
                    let mut short = name.chars();
                    option.get_short() == short.next()
                        && short.next().is_none()
                        && option.get_short().is_some()
                });
                long || short
            };
            let option = self.options.iter().find(is_named)?;
            (is_negative(value) && option.get_action().takes_values()).then_some((option, value))
        });
        let (option, value) = found?;
        Some(if wants_number(option) {
            negative(option, value)
        } else {
            let name = long(option);
            Failure::usage(format!("`{value}` after {name} is taken for an option"))
                .advise(format!("write {name}={value}"))
        })
    }
}

/// A wrong value of an environment variable.
fn wrong_variable(message: String, option: &Arg) -> Failure {
    Failure::usage(message).advise(format!(
        "correct or unset the environment variable, or give {}, which wins over it",
        long(option)
    ))
}

fn negative(option: &Arg, value: &str) -> Failure {
    Failure::usage(format!("{} is {value}, and cannot be negative", long(option)))
        .advise("give a number from 0 on; the option's text in `--help` says which ones")
}

fn long(option: &Arg) -> String {
    option.get_long().map_or_else(|| option.to_string(), |long| format!("--{long}"))
}

/// Whether a text is a negative number or time.
fn is_negative(text: &str) -> bool {
    text.strip_prefix('-')
        .is_some_and(|rest| rest.trim_start_matches('.').starts_with(|c: char| c.is_ascii_digit()))
}

fn wants_number(option: &Arg) -> bool {
    let numbers = [
        TypeId::of::<u16>(),
        TypeId::of::<u32>(),
        TypeId::of::<u64>(),
        TypeId::of::<usize>(),
        TypeId::of::<f64>(),
        TypeId::of::<Duration>(),
        TypeId::of::<Span>(),
    ];
    numbers.iter().any(|number| option.get_value_parser().type_id() == *number)
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
