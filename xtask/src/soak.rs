//! `cargo xtask soak`: the program in `benches/soak`, in release, with as many open files as the system allows; and what
//! the npm package endures.

use anyhow::Result;

use crate::{
    browser::Browser,
    command::{cargo, command, root, run, target_dir, with_many_files},
    package::package,
    step::step,
};

/// Runs it; the arguments are its own. `--npm` runs that of the npm package instead.
pub(crate) fn soak(arguments: &[String]) -> Result<()> {
    if let Some((option, parts)) = arguments.split_first()
        && option == "--npm"
    {
        return npm(parts);
    }
    let bench = ["bench", "--features", "local,msgpack", "--bench", "soak"];
    step("build", || run(cargo().args(bench).arg("--no-run")))?;
    step("soak", || {
        let mut soak = cargo();
        soak.args(bench).arg("--").args(arguments);
        run(&mut with_many_files(soak))
    })
}

/// The npm package beside the official client, in Chromium and in Node.js.
fn npm(parts: &[String]) -> Result<()> {
    let browser = Browser::ensure()?;
    package()?;
    step("endurance of the npm package", || {
        run(command("node")
            .arg(root().join("benches/endurance.mjs"))
            .arg(target_dir().join("npm/hubwire"))
            .args(parts)
            .env("HUBWIRE_CHROMIUM", &browser.chromium))
    })
}
