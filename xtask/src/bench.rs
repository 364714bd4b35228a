//! `cargo xtask bench`: the programs in `benches/`.

use anyhow::{Context, Result};

use crate::{
    browser::Browser,
    command::{cargo, command, root, run, target_dir},
    package::package,
    program::Program,
    step::step,
};

/// Runs the benchmarks; the arguments are theirs. `--browser` runs those of the npm package instead.
pub(crate) fn bench(arguments: &[String]) -> Result<()> {
    match arguments.split_first() {
        Some((option, rest)) if option == "--browser" => browser(rest),
        _ => step("benchmarks", || {
            let benches = ["--bench", "client", "--bench", "service", "--"];
            run(cargo().args(["bench", "--features", "axum,msgpack"]).args(benches).args(arguments))
        }),
    }
}

/// The npm package beside the official client, in Chromium.
fn browser(arguments: &[String]) -> Result<()> {
    let browser = Browser::ensure()?;
    package()?;
    let hub = Program::reference_hub()?.context("HUBWIRE_REFERENCE_DIR has to name the reference hub")?;
    step("benchmarks in a browser", || {
        run(command("node")
            .arg(root().join("benches/browser.mjs"))
            .arg(target_dir().join("npm/hubwire"))
            .args(arguments)
            .env("HUBWIRE_TEST_HUB_URL", &hub.url)
            .env("HUBWIRE_CHROMIUM", &browser.chromium))
    })
}
