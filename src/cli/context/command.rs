//! `hubwire context`: saves, shows and removes targets.

use std::process::ExitCode;

use clap::Subcommand;
use clap_complete::ArgValueCandidates;
use serde_json::{Value, json};

use crate::cli::{
    context::{
        candidates,
        options::{RedisAddress, TargetOptions},
        store::{Saved, Store, check_name},
        unknown,
    },
    failure::Failure,
    output::{FAINT, GOOD, NAME, Output, STRONG},
};

/// Save hubs and services under names, so that commands need no flags
///
/// A context has a hub's URL, or the name of a hub of Azure SignalR Service, and how to connect to it. No secret is saved, only
/// where it stands. The current context fills in what the flags of any command leave out; `--context NAME` takes another one.
///
/// Its token and headers never go to another origin than its own: scheme, host and port. Within it they go to every path, as
/// those of curl, gh and browsers do; where one path must not have them, name another context, or leave its token out.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  hubwire context add shop https://shop.example/chat --token env:SHOP_TOKEN
  hubwire context add live --hub chat --connection-string env:LIVE --timeout 5s
  hubwire context use live")]
pub(in crate::cli) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Save a context; the first one becomes the current one
    Add(Box<Add>),
    /// List the contexts
    List,
    /// Show a context: the current one, or the one of a name
    Show {
        /// Its name
        #[arg(add = ArgValueCandidates::new(candidates))]
        name: Option<String>,
    },
    /// Remove a context
    Remove {
        /// Its name
        #[arg(add = ArgValueCandidates::new(candidates))]
        name: String,
    },
    /// Make a context the current one
    Use {
        /// Its name
        #[arg(required_unless_present = "none", add = ArgValueCandidates::new(candidates))]
        name: Option<String>,
        /// No context is the current one any more
        #[arg(long, conflicts_with = "name")]
        none: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Add {
    /// Its name
    name: String,
    /// The hub's URL
    url: Option<String>,
    /// Replace a context of this name
    #[arg(long)]
    force: bool,
    /// The address of a Redis server that `publish` may use: redis://HOST, or env:NAME or file:PATH
    #[arg(long, value_name = "ADDRESS")]
    redis: Option<RedisAddress>,
    #[command(flatten)]
    target: TargetOptions,
}

pub(in crate::cli) fn run(arguments: Arguments, output: &Output) -> Result<ExitCode, Failure> {
    let store = Store::of_user()?;
    match arguments.action {
        Action::Add(add) => save(*add, &store, output)?,
        Action::List => list(&store, &store.read()?, output),
        Action::Show { name } => show(name, &store.read()?, output)?,
        Action::Remove { name } => remove(&name, &store, output)?,
        Action::Use { name, .. } => choose(name, &store, output)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn save(add: Add, store: &Store, output: &Output) -> Result<(), Failure> {
    let Add { name, url, force, redis, target } = add;
    check_name(&name)?;
    let target = TargetOptions { url, redis, ..target };
    target.check_saved()?;
    if target == TargetOptions::default() {
        return Err(Failure::usage("there is nothing to save")
            .advise("give the hub's URL, or flags such as --hub and --connection-string"));
    }
    let _lock = store.lock()?;
    let mut saved = store.read()?;
    if saved.contexts.contains_key(&name) && !force {
        return Err(Failure::new(format!("there is a context `{name}` already"))
            .advise("give --force to replace it, or take another name"));
    }
    let is_first = saved.contexts.is_empty();
    saved.contexts.insert(name.clone(), target);
    if is_first {
        saved.current = Some(name.clone());
    }
    store.write(&saved)?;
    let is_current = saved.current.as_ref() == Some(&name);
    report(output, "saved", &name, is_current);
    Ok(())
}

/// What has been done to which context.
fn report(output: &Output, done: &str, name: &str, is_current: bool) {
    if output.is_json() {
        output.json(&json!({ done: name, "current": is_current }));
        return;
    }
    let current = if is_current { ", the current context" } else { "" };
    output.line(format_args!("{GOOD}{done}{GOOD:#} {NAME}{name}{NAME:#}{current}"));
}

/// The context as the commands take it, and what it is called.
fn described(name: &str, target: &TargetOptions, is_current: bool) -> Value {
    json!({ "name": name, "current": is_current, "target": target })
}

fn list(store: &Store, saved: &Saved, output: &Output) {
    if saved.contexts.is_empty() && !output.is_json() {
        output.note(format_args!("no context is saved; `hubwire context add NAME URL` saves one"));
        return;
    }
    let widest = saved.contexts.keys().map(String::len).max().unwrap_or_default();
    for (name, target) in &saved.contexts {
        let is_current = saved.current.as_ref() == Some(name);
        if output.is_json() {
            output.json(&described(name, target, is_current));
            continue;
        }
        let mark = if is_current { "*" } else { " " };
        let place = place(target);
        output.line(format_args!("{GOOD}{mark}{GOOD:#} {NAME}{name:widest$}{NAME:#}  {place}"));
    }
    if !output.is_json() {
        output.line(format_args!("{FAINT}saved in {}{FAINT:#}", store.path().display()));
    }
}

/// What a context is for, in a few words.
pub(super) fn place(target: &TargetOptions) -> String {
    if let Some(url) = &target.url {
        return url.clone();
    }
    let service = match (&target.connection_string, &target.endpoint) {
        (Some(source), _) => format!("the service of {source}"),
        (None, Some(endpoint)) => endpoint.clone(),
        (None, None) => "the service that the environment names".to_owned(),
    };
    match &target.hub {
        Some(hub) => format!("hub {hub} of {service}"),
        None => service,
    }
}

fn show(name: Option<String>, saved: &Saved, output: &Output) -> Result<(), Failure> {
    let name = name.or_else(|| saved.current.clone()).ok_or_else(|| {
        Failure::new("no context is the current one")
            .advise("give a name, or choose one with `hubwire context use NAME`")
    })?;
    let target = saved.contexts.get(&name).ok_or_else(|| unknown(&name, saved))?;
    let is_current = saved.current.as_ref() == Some(&name);
    if output.is_json() {
        output.json(&described(&name, target, is_current));
        return Ok(());
    }
    let current = if is_current { " (current)" } else { "" };
    output.line(format_args!("{STRONG}{name}{STRONG:#}{current}"));
    let Value::Object(members) = serde_json::to_value(target)? else { return Ok(()) };
    let widest = members.keys().map(String::len).max().unwrap_or_default();
    for (member, value) in members {
        let values = match value {
            Value::Array(values) => values,
            value => vec![value],
        };
        for value in values {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            output.line(format_args!("  {FAINT}{member:widest$}{FAINT:#}  {text}"));
        }
    }
    Ok(())
}

fn remove(name: &str, store: &Store, output: &Output) -> Result<(), Failure> {
    let _lock = store.lock()?;
    let mut saved = store.read()?;
    if saved.contexts.remove(name).is_none() {
        return Err(unknown(name, &saved));
    }
    saved.current.take_if(|current| current == name);
    store.write(&saved)?;
    report(output, "removed", name, false);
    Ok(())
}

fn choose(name: Option<String>, store: &Store, output: &Output) -> Result<(), Failure> {
    let _lock = store.lock()?;
    let mut saved = store.read()?;
    if let Some(name) = name.as_ref().filter(|name| !saved.contexts.contains_key(*name)) {
        return Err(unknown(name, &saved));
    }
    saved.current.clone_from(&name);
    store.write(&saved)?;
    if output.is_json() {
        output.json(&json!({ "current": name }));
    } else if let Some(name) = name {
        output.line(format_args!("{NAME}{name}{NAME:#} is the current context"));
    } else {
        output.line("no context is the current one");
    }
    Ok(())
}
