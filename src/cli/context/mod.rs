//! What a command is about: a hub by its URL, or a hub of Azure SignalR Service; from flags, the environment and saved contexts.
//!
//! ```text
//! flags (TargetOptions) ─┐
//! saved context ─────────┴▶ Contexts::options ─▶ Target (where to connect, with what) ─▶ HubConnectionBuilder
//!                                         └────▶ Services (to publish, to check)
//! ```
//!
//! A flag wins over the context. What a context says about its own target, its token and headers above all, does not go to
//! another one that the flags name.

mod command;
mod named;
mod options;
mod store;
mod target;

use std::sync::atomic::{AtomicBool, Ordering};

use clap_complete::CompletionCandidate;

use crate::cli::{
    failure::Failure,
    output::{Output, WARNING},
    usage,
};

use options::Chosen;
use store::{Saved, Store};

pub(super) use command::{Arguments, run};
pub(super) use named::Pair;
pub(super) use options::{RedisAddress, TargetOptions, Timeout};
pub(super) use target::{Place, Target, endpoint_and_key, named_hub, service};

/// What names a context where no flag does.
pub(super) const VARIABLE: &str = "HUBWIRE_CONTEXT";

/// The saved contexts, and which one the user wants.
#[derive(Debug)]
pub(super) struct Contexts {
    name: Option<String>,
    output: Output,
    has_warned: AtomicBool,
}

impl Contexts {
    /// The context of `--context`, else the current one.
    pub(super) fn new(name: Option<String>, output: Output) -> Self {
        Self { name: name.filter(|name| !name.is_empty()), output, has_warned: AtomicBool::new(false) }
    }

    /// Whether the user has named a context for this command.
    pub(super) fn is_named(&self) -> bool {
        self.name.is_some()
    }

    /// The flags of a command, with what they leave out filled in. `url` is the hub's URL, if the command was given one.
    pub(super) fn options(
        &self,
        url: Option<String>,
        flags: TargetOptions,
    ) -> Result<TargetOptions, Failure> {
        let flags = TargetOptions { url: url.or(flags.url), ..flags };
        match self.saved() {
            Ok(Some((saved, chosen))) => Ok(flags.or(saved, chosen)),
            Ok(None) => Ok(flags),
            // Who says where to go, and has asked for no context, gets there without one.
            Err(failure) if self.name.is_none() && flags.names_target() => {
                if !self.has_warned.swap(true, Ordering::Relaxed) {
                    let failure = failure.to_string().replace('\n', "; ");
                    self.output
                        .note(format_args!("{WARNING}warning:{WARNING:#} no context is used: {failure}"));
                }
                Ok(flags)
            }
            Err(failure) => Err(failure),
        }
    }

    /// The target of a command.
    pub(super) fn target(&self, url: Option<String>, flags: TargetOptions) -> Result<Target, Failure> {
        Target::new(self.options(url, flags)?)
    }

    fn saved(&self) -> Result<Option<(TargetOptions, Chosen)>, Failure> {
        if let Some(name) = &self.name {
            let mut saved = Store::of_user()?.read()?;
            let missing = |saved: &Saved| {
                let failure = unknown(name, saved);
                let given = usage::given("--context", VARIABLE);
                if given == VARIABLE { failure.after(format_args!("{VARIABLE} names it")) } else { failure }
            };
            let target = saved.contexts.remove(name).ok_or_else(|| missing(&saved))?;
            return Ok(Some((target, Chosen::Named)));
        }
        // A user without a folder for settings has no current context.
        let Ok(store) = Store::of_user() else { return Ok(None) };
        let mut saved = store.read()?;
        let Some(current) = saved.current.take() else { return Ok(None) };
        let target = saved.contexts.remove(&current).ok_or_else(|| unknown(&current, &saved))?;
        Ok(Some((target, Chosen::Current)))
    }
}

/// The saved contexts, for the completion of a shell.
pub(super) fn candidates() -> Vec<CompletionCandidate> {
    let saved = Store::of_user().and_then(|store| store.read()).unwrap_or_default();
    let described = |(name, target): (String, TargetOptions)| {
        CompletionCandidate::new(name).help(Some(command::place(&target).into()))
    };
    saved.contexts.into_iter().map(described).collect()
}

fn unknown(name: &str, saved: &Saved) -> Failure {
    let names: Vec<_> = saved.contexts.keys().map(String::as_str).collect();
    let failure = Failure::new(format!("there is no context `{name}`"));
    if names.is_empty() {
        failure.advise("no context is saved; `hubwire context add NAME URL` saves one")
    } else {
        failure.advise(format!("there are: {}", names.join(", ")))
    }
}
