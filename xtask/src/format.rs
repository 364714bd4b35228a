//! Formatting of every Rust file that git knows of: `cargo fmt` does not see modules inside macros.

use anyhow::Result;

use crate::command::{command, output, run};

/// Formats the sources.
pub(crate) fn format() -> Result<()> {
    rustfmt(&[])
}

/// Fails on a file that is not formatted.
pub(crate) fn check() -> Result<()> {
    rustfmt(&["--check"])
}

fn rustfmt(arguments: &[&str]) -> Result<()> {
    let files = tracked(&["*.rs"])?;
    run(command("rustfmt").args(["--edition", "2024"]).args(arguments).args(files))
}

/// The files of the repository that match, new ones too.
pub(crate) fn tracked(patterns: &[&str]) -> Result<Vec<String>> {
    let mut list = command("git");
    list.args(["ls-files", "--cached", "--others", "--exclude-standard", "--"]).args(patterns);
    let root = crate::command::root();
    Ok(output(&mut list)?.lines().filter(|file| root.join(file).is_file()).map(str::to_owned).collect())
}
