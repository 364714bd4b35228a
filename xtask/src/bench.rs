//! `cargo xtask bench`: the programs in `benches/`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use wasm_bindgen_cli_support::Bindgen;

use crate::{
    browser::Browser,
    command::{cargo, command, root, run, target_dir, with_many_files},
    compare,
    package::package,
    program::Program,
    step::step,
    tools::{self, WASM},
};

/// Runs the benchmarks; the arguments are theirs. `--browser` and `--node` run those of the npm package instead,
/// `--browser-rust` those of Rust in a browser, `--server` those of hosted hubs, `--local` those of the local service,
/// `--cli` whether `hubwire bench` says the same as the .NET client, `--against` those of two commits.
pub(crate) fn bench(arguments: &[String]) -> Result<()> {
    match arguments.split_first() {
        Some((option, rest)) if option == "--browser" => npm("browser.mjs", rest),
        Some((option, rest)) if option == "--node" => npm("node.mjs", rest),
        Some((option, rest)) if option == "--browser-rust" => browser_rust(rest),
        Some((option, rest)) if option == "--server" => many_connections("server", rest),
        Some((option, rest)) if option == "--local" => many_connections("local", rest),
        Some((option, rest)) if option == "--cli" => cli(rest),
        Some((option, rest)) if option == "--against" => {
            let (commit, parts) = rest.split_first().context("--against wants a commit")?;
            compare::against(commit, parts)
        }
        _ => {
            let peer = peer();
            step("benchmarks", || {
                let benches = ["--bench", "client", "--bench", "service", "--"];
                let mut bench = cargo();
                bench
                    .args(["bench", "--features", "axum,msgpack,unstable-machines"])
                    .args(benches)
                    .args(arguments);
                if let Some(peer) = peer {
                    bench.env("HUBWIRE_BENCH_PEER", peer);
                }
                run(&mut bench)
            })
        }
    }
}

/// The program of the crate signalr-client. It needs the headers of OpenSSL, so it may be that it cannot be built.
fn peer() -> Option<PathBuf> {
    let target = target_dir().join("peer");
    let built = step("build the crate to compare with", || {
        run(cargo()
            .args(["build", "--release", "--locked", "--manifest-path"])
            .arg(root().join("benches/peer/Cargo.toml"))
            .arg("--target-dir")
            .arg(&target))
    });
    match built {
        Ok(()) => Some(target.join("release/hubwire-bench-peer")),
        Err(error) => {
            println!("SKIPPED: the rows of signalr-client: {error:#}");
            None
        }
    }
}

/// The npm package beside the official client: in Chromium, and in Node.js without a network.
fn npm(script: &str, arguments: &[String]) -> Result<()> {
    let browser = Browser::ensure()?;
    package()?;
    step("benchmarks of the npm package", || {
        run(command("node")
            .arg(root().join("benches").join(script))
            .arg(target_dir().join("npm/hubwire"))
            .args(arguments)
            .env("HUBWIRE_CHROMIUM", &browser.chromium))
    })
}

/// Hosted hubs beside ASP.NET Core, and the local service. Ten thousand connections are as many open files.
fn many_connections(name: &str, arguments: &[String]) -> Result<()> {
    let bench = ["bench", "--features", name, "--bench", name];
    step("build", || run(cargo().args(bench).arg("--no-run")))?;
    step("benchmarks with many connections", || {
        let mut program = cargo();
        program.args(bench).arg("--").args(arguments);
        run(&mut with_many_files(program))
    })
}

/// `hubwire bench` beside the .NET client, at each kind of server. One of them is an example, which lies beside the program.
fn cli(arguments: &[String]) -> Result<()> {
    let features = ["--features", "cli"];
    step("build", || {
        run(cargo().args(["build", "--release", "--example", "conformance"]).args(features))?;
        run(cargo().args(["bench", "--bench", "cli", "--no-run"]).args(features))
    })?;
    step("the program's figures beside those of the .NET client", || {
        run(cargo().args(["bench", "--bench", "cli"]).args(features).arg("--").args(arguments))
    })
}

/// This client and the crate signalr-client, as a Rust app in Chromium.
fn browser_rust(arguments: &[String]) -> Result<()> {
    let browser = Browser::ensure()?;
    tools::ensure_wasm_target()?;
    tools::ensure_node_modules()?;
    let target = target_dir().join("peer_browser");
    step("build both clients for the browser", || {
        run(cargo()
            .args(["build", "--release", "--locked", "--target", WASM, "--manifest-path"])
            .arg(root().join("benches/peer_browser/Cargo.toml"))
            .arg("--target-dir")
            .arg(&target))
    })?;
    let out = target.join("app");
    Bindgen::new()
        .input_path(target.join(WASM).join("release/hubwire_bench_peer_browser.wasm"))
        .web(true)
        .and_then(|bindgen| bindgen.typescript(false).out_name("app").generate(&out))
        .context("wasm-bindgen refused the module")?;
    let hub = Program::reference_hub()?.context("HUBWIRE_REFERENCE_DIR has to name the reference hub")?;
    step("benchmarks of Rust in a browser", || {
        run(command("node")
            .arg(root().join("benches/browser_rust.mjs"))
            .arg(&out)
            .args(arguments)
            .env("HUBWIRE_TEST_HUB_URL", &hub.url)
            .env("HUBWIRE_CHROMIUM", &browser.chromium))
    })
}
