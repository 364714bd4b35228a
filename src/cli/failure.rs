//! What went wrong, and what to do about it: for people, or with `--json` as one JSON object on standard error:
//! `{code, message, advice}`. The codes:
//!
//! | code | exit code | meaning |
//! | --- | --- | --- |
//! | `usage` | 2 | the arguments are wrong |
//! | `output` | 1 | standard output cannot be written |
//! | `failed` | 1 | anything else |

use std::{error::Error, fmt, process::ExitCode};

use crate::{cli::output::Output, core::ErrorChain};

/// Why a command has failed.
#[derive(Debug)]
pub(super) struct Failure {
    code: &'static str,
    message: String,
    advice: Option<String>,
}

const FAILED: &str = "failed";

impl Failure {
    /// What did not work.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { code: FAILED, message: message.into(), advice: None }
    }

    /// Says which kind of failure it is, for programs that read it.
    pub(super) fn coded(mut self, code: &'static str) -> Self {
        self.code = code;
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
        self.show(output);
        ExitCode::FAILURE
    }

    /// Tells the user.
    pub(super) fn show(&self, output: &Output) {
        output.error(self.code, &self.message, self.advice.as_deref());
    }
}

/// An error of the library names its options, which here are flags.
pub(super) fn in_flags(text: &str) -> String {
    text.replace("to `with_root_certificate` (PEM)", "with --root-certificate FILE")
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
