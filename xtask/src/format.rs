//! Formatting, and which files there are.

use anyhow::Result;

use crate::command::{cargo, command, output, run};

/// Formats the sources.
pub(crate) fn format() -> Result<()> {
    run(cargo().args(["fmt", "--all"]))
}

/// Fails on a file that is not formatted.
pub(crate) fn check() -> Result<()> {
    run(cargo().args(["fmt", "--all", "--check"]))
}

/// The files of the repository that match, new ones too.
pub(crate) fn tracked(patterns: &[&str]) -> Result<Vec<String>> {
    let mut list = command("git");
    list.args(["ls-files", "--cached", "--others", "--exclude-standard", "--"]).args(patterns);
    let root = crate::command::root();
    Ok(output(&mut list)?.lines().filter(|file| root.join(file).is_file()).map(str::to_owned).collect())
}
