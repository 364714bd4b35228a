//! What went wrong, and what to do about it: for people, or with `--json` as one JSON object on standard error:
//! `{code, message, advice}`, and what else a program may want to know of it. The codes:
//!
//! | code | exit code | meaning |
//! | --- | --- | --- |
//! | `usage` | 2 | the arguments are wrong |
//! | `output` | 1 | standard output cannot be written |
//! | `failed` | 1 | anything else |

use std::{error::Error, fmt, process::ExitCode};

use serde_json::{Map, Value};

use crate::{cli::output::Output, core::ErrorChain};

/// Why a command has failed.
#[derive(Debug)]
pub(super) struct Failure {
    code: &'static str,
    message: String,
    advice: Option<String>,
    /// More members of the JSON object.
    details: Map<String, Value>,
}

const FAILED: &str = "failed";
const USAGE: &str = "usage";
/// The exit code for wrong usage.
const USAGE_EXIT: u8 = 2;

impl Failure {
    /// What did not work.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { code: FAILED, message: message.into(), advice: None, details: Map::new() }
    }

    /// What is wrong with the arguments, or with environment variables that stand for them.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(message).of_usage()
    }

    /// The same, of the arguments.
    pub(super) fn of_usage(mut self) -> Self {
        self.code = USAGE;
        self
    }

    /// Adds a member for programs that read it as JSON.
    pub(super) fn detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// Adds why, with every cause behind it.
    pub(super) fn because(mut self, error: impl Error + 'static) -> Self {
        self.message = format!("{}: {}", self.message, in_flags(&ErrorChain::new(&error).to_string()));
        self
    }

    /// Adds what had been done before.
    pub(super) fn after(mut self, done: impl fmt::Display) -> Self {
        self.message = format!("{} ({done})", self.message);
        self
    }

    /// Adds what the user can do: a sentence without a full stop.
    pub(super) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// Tells the user, and gives the exit code.
    pub(super) fn print(&self, output: &Output) -> ExitCode {
        output.error(self.code, &self.message, self.advice.as_deref(), &self.details);
        self.exit_code()
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        if self.code == USAGE { ExitCode::from(USAGE_EXIT) } else { ExitCode::FAILURE }
    }

    /// What did not work, without the advice.
    pub(super) fn message(&self) -> &str {
        &self.message
    }
}

/// What errors of the library say of its options, and what says it of flags.
const FLAGS: [(&str, &str); 3] = [
    ("to `with_root_certificate` (PEM)", "with --root-certificate FILE"),
    ("call allow_origin for each, or decide in allow_origin_if", "give --allow-origin for each"),
    ("cannot be a pattern; decide in allow_origin_if", "cannot be a pattern; give --allow-origin for each"),
];

/// An error of the library names its options, which here are flags.
pub(super) fn in_flags(text: &str) -> String {
    FLAGS.iter().fold(text.to_owned(), |text, (option, flag)| text.replace(option, flag))
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(advice) = &self.advice {
            write!(f, "\n{advice}")?;
        }
        Ok(())
    }
}

/// An error whose text says enough.
impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(in_flags(&ErrorChain::new(&error).to_string()))
    }
}
