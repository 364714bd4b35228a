//! What cargo-deny checks by `deny.toml`: the dependencies' licences and sources, what is banned, what is known to be
//! vulnerable.

use anyhow::Result;

use crate::{
    command::{command, run},
    report::Report,
    tools,
};

/// All of it.
pub(crate) fn check(report: &mut Report) {
    report.check("licences, bans, sources of the dependencies", rules);
    report.check("known vulnerabilities of the dependencies", advisories);
}

/// The rules that need nothing but the packages.
pub(crate) fn rules() -> Result<()> {
    ask(&["bans", "licenses", "sources"])
}

/// What the advisory database says, which is fetched from its repository.
fn advisories() -> Result<()> {
    ask(&["advisories"])
}

fn ask(what: &[&str]) -> Result<()> {
    run(command(tools::cargo_deny()?).args(["--all-features", "check"]).args(what))
}
