//! `cargo xtask demo`: the chat page on the npm package, and the server behind it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, bail};

use crate::{
    command::{cargo, command, root, run, target_dir},
    package::package,
    step::step,
};

/// Builds everything and runs the demo until it is interrupted.
pub(crate) fn demo(arguments: &[String]) -> Result<()> {
    let server_arguments = match arguments {
        [] => vec![],
        [option, port] if option == "--port" => vec!["--port", port],
        _ => bail!("usage: cargo xtask demo [--port N]"),
    };
    let tarball = package()?;
    build_page(&tarball)?;
    step("build the demo server", || run(&mut build_server()))?;
    println!("\n== the demo runs until you press Ctrl-C");
    run(command(server()).args(server_arguments))
}

/// Builds `www-demo/page` on the packed package.
pub(crate) fn build_page(tarball: &Path) -> Result<()> {
    step("build the demo page", || {
        run(command("node").arg(root().join("www-demo/page/build.mjs")).arg(tarball))
    })
}

/// The build of the demo server.
pub(crate) fn build_server() -> Command {
    let mut build = cargo();
    build.args(["build", "--package", "hubwire-demo"]);
    build
}

/// The demo server's program. It is run without cargo in between, so that it can be ended.
pub(crate) fn server() -> PathBuf {
    target_dir().join("debug").join(format!("hubwire-demo{}", std::env::consts::EXE_SUFFIX))
}
