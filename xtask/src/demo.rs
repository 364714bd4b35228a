//! `cargo xtask demo`: the chat page on the npm package or an app in a front-end framework, and the server behind it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, bail};

use crate::{
    command::{cargo, command, root, run, target_dir},
    framework::{BOARD, FRAMEWORKS, Framework},
    package::package,
    step::step,
    tools::ensure_wasm_target,
};

const PORT: &str = "5080";

/// Who takes what clients call: an upstream of the local service, a hub behind it, or a hub of its own.
const MODES: [&str; 3] = ["serverless", "app-server", "self-hosted"];

/// Builds everything and runs the demo until it is interrupted.
pub(crate) fn demo(arguments: &[String]) -> Result<()> {
    let is_board = arguments.first().is_some_and(|option| option == "--board");
    let framework = FRAMEWORKS.iter().chain([&BOARD]).find(|framework| {
        arguments.first().and_then(|option| option.strip_prefix("--")) == Some(framework.path)
    });
    let options = arguments.get(usize::from(framework.is_some())..).unwrap_or_default();
    let (mut port, mut mode) = (PORT, MODES[0]);
    for option in options.chunks(2) {
        match option {
            [name, value] if name == "--port" => port = value,
            [name, value] if name == "--mode" && MODES.contains(&value.as_str()) => mode = value,
            _ => bail!(
                "usage: cargo xtask demo [--yew | --leptos | --board] [--mode {}] [--port N]",
                MODES.join("|")
            ),
        }
    }
    match framework {
        Some(framework) => build_app(framework)?,
        None => build_page(&package()?)?,
    }
    step("build the demo server", || run(&mut build_servers()))?;
    println!("\n== the demo runs until you press Ctrl-C");
    if is_board {
        return run(command(board_server()).args(["--port", port]));
    }
    if let Some(Framework { name, path, .. }) = framework {
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

/// The build of the demo's server and of the board's: together, so that they share one build of the crate.
pub(crate) fn build_servers() -> Command {
    let mut build = cargo();
    build.args(["build", "--package", "hubwire-demo", "--package", "hubwire-board-server"]);
    build
}

/// The demo server's program. It is run without cargo in between, so that it can be ended.
pub(crate) fn server() -> PathBuf {
    program("hubwire-demo")
}

/// The same of the board.
pub(crate) fn board_server() -> PathBuf {
    program("hubwire-board-server")
}

fn program(name: &str) -> PathBuf {
    target_dir().join("debug").join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}
