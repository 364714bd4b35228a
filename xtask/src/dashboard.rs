//! `cargo xtask dashboard`: bundles the dashboard's page, whose bundle is checked in.

use std::{path::PathBuf, process::Command};

use anyhow::Result;

use crate::{
    command::{cargo, command, root, run, target_dir},
    package::package,
    step::step,
};

/// Builds the npm package, and bundles the page on it.
pub(crate) fn dashboard() -> Result<()> {
    let tarball = package()?;
    step("bundle the dashboard's page", || run(bundler().arg(tarball)))
}

/// The bundle is of the sources that are there.
pub(crate) fn is_current() -> Result<()> {
    run(bundler().arg("--check"))
}

fn bundler() -> Command {
    let mut node = command("node");
    node.arg(root().join("src/dashboard/page/build.mjs"));
    node
}

/// The program that serves it, as the native tests have built it.
pub(crate) fn program() -> Result<PathBuf> {
    run(cargo().args(["build", "--workspace", "--all-features", "--bin", "hubwire"]))?;
    Ok(target_dir().join("debug/hubwire").with_extension(std::env::consts::EXE_EXTENSION))
}
