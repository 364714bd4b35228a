//! What cargo-deny checks by `deny.toml`: the dependencies' licences and sources, what is banned, what is known to be
//! vulnerable.

use anyhow::Result;

use crate::{
    command::{command, run},
    tools,
};

/// The rules that need nothing but the packages.
pub(crate) fn rules() -> Result<()> {
    check(&["bans", "licenses", "sources"])
}

/// What the advisory database says, which is fetched from its repository.
pub(crate) fn advisories() -> Result<()> {
    check(&["advisories"])
}

fn check(what: &[&str]) -> Result<()> {
    run(command(tools::cargo_deny()?).args(["--all-features", "check"]).args(what))
}
