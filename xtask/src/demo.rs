//! `cargo xtask demo`: the chat page on the npm package or an app in a front-end framework, and the server behind it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, bail};

use crate::{
    command::{cargo, command, root, run, target_dir},
    framework::{FRAMEWORKS, Framework},
    package::package,
    step::step,
    tools::ensure_wasm_target,
};

const PORT: &str = "5080";

/// Who takes what clients call: an upstream of the local service, a hub behind it, or a hub of its own.
const MODES: [&str; 3] = ["serverless", "app-server", "self-hosted"];

/// Builds everything and runs the demo until it is interrupted.
pub(crate) fn demo(arguments: &[String]) -> Result<()> {
    let framework = FRAMEWORKS.iter().find(|framework| {
        arguments.first().and_then(|option| option.strip_prefix("--")) == Some(framework.path)
    });
    let options = arguments.get(usize::from(framework.is_some())..).unwrap_or_default();
    let (mut port, mut mode) = (PORT, MODES[0]);
    for option in options.chunks(2) {
        match option {
            [name, value] if name == "--port" => port = value,
            [name, value] if name == "--mode" && MODES.contains(&value.as_str()) => mode = value,
            _ => bail!("usage: cargo xtask demo [--yew | --leptos] [--mode {}] [--port N]", MODES.join("|")),
        }
    }
    match framework {
        Some(framework) => build_app(framework)?,
        None => build_page(&package()?)?,
    }
    step("build the demo server", || run(&mut build_server()))?;
    println!("\n== the demo runs until you press Ctrl-C");
    if let Some(Framework { name, path }) = framework {
        println!("the app in {name}: http://127.0.0.1:{port}/{path}/");
    }
    run(command(server()).args(["--port", port, "--mode", mode]))
}

/// Builds `www-demo/page` on the packed package.
pub(crate) fn build_page(tarball: &Path) -> Result<()> {
    step("build the demo page", || {
        run(command("node").arg(root().join("www-demo/page/build.mjs")).arg(tarball))
    })
}

fn build_app(framework: &Framework) -> Result<()> {
    step("set up: wasm target", ensure_wasm_target)?;
    step(&format!("build the app in {}", framework.name), || framework.build())
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
