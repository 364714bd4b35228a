//! What went wrong, and what to do about it.

use std::{error::Error, fmt, process::ExitCode};

use serde_json::json;

use crate::{cli::output::Output, core::ErrorChain};

/// Why a command has failed.
#[derive(Debug)]
pub(super) struct Failure {
    message: String,
    advice: Option<String>,
}

impl Failure {
    /// What did not work.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), advice: None }
    }

    /// Adds why, with every cause behind it.
    pub(super) fn because(mut self, error: impl Error + 'static) -> Self {
        self.message = format!("{}: {}", self.message, ErrorChain::new(&error));
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
        if output.is_json() {
            output.json(&json!({ "error": self.message, "advice": self.advice }));
        } else {
            output.error(self);
        }
        ExitCode::FAILURE
    }
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
        Self { message: ErrorChain::new(&error).to_string(), advice: None }
    }
}
