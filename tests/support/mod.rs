//! The reference hub: an ASP.NET Core SignalR server to test against.
//!
//! It is found in the folder that `HUBWIRE_REFERENCE_DIR` names, else beside the project. A folder that is named
//! but does not work is an error; where there is none, tests say loudly that they are skipped.

#![allow(dead_code, reason = "each test binary uses a part")]

pub(crate) mod cutter;
pub(crate) mod dotnet;
pub(crate) mod random;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// The reference folder, if there is one.
pub(crate) fn reference_dir() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("HUBWIRE_REFERENCE_DIR") {
        let dir = PathBuf::from(named);
        assert!(dir.is_dir(), "HUBWIRE_REFERENCE_DIR names {}, which is no folder", dir.display());
        return Some(dir);
    }
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/reference");
    beside.is_dir().then_some(beside)
}

/// The address of the reference hub on ASP.NET Core 10, started once for a test binary. `None`, and a loud line, where
/// there is no reference folder.
pub(crate) fn reference_hub(test: &str) -> Option<&'static str> {
    static HUB: OnceLock<Option<(Child, String)>> = OnceLock::new();
    found(test, HUB.get_or_init(|| start("hub")))
}

/// The same on ASP.NET Core 11.
pub(crate) fn reference_hub_11(test: &str) -> Option<&'static str> {
    static HUB: OnceLock<Option<(Child, String)>> = OnceLock::new();
    found(test, HUB.get_or_init(|| start("hub11")))
}

/// The addresses of both.
pub(crate) fn reference_hubs(test: &str) -> impl Iterator<Item = &'static str> {
    [reference_hub, reference_hub_11].into_iter().filter_map(move |hub| hub(test))
}

fn start(program: &str) -> Option<(Child, String)> {
    let (child, said) = start_reference_hub(&reference_dir()?, &[program]);
    let url = said["url"].as_str().expect("an address").to_owned();
    Some((child, url))
}

fn found(test: &str, hub: &'static Option<(Child, String)>) -> Option<&'static str> {
    if hub.is_none() {
        skipped(test, "no reference hub; HUBWIRE_REFERENCE_DIR names its folder");
    }
    hub.as_ref().map(|(_, url)| url.as_str())
}

/// Starts a reference hub, `hub` or `hub11`. It ends when its standard input does. What it says has its addresses.
pub(crate) fn start_reference_hub(dir: &Path, arguments: &[&str]) -> (Child, serde_json::Value) {
    let mut child = Command::new(dir.join("run"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the reference hub starts");
    let stdout = child.stdout.take().expect("a pipe");
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).expect("the reference hub says where it is");
    let said = serde_json::from_str(&line).expect("a line of JSON");
    (child, said)
}

/// Says loudly that a test did not run. Written past the capture of the test runner, which shows nothing of a test
/// that passes.
pub(crate) fn skipped(test: &str, reason: &str) {
    let _ = std::io::stderr().write_all(format!("SKIPPED: {test}: {reason}\n").as_bytes());
}
