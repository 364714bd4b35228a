//! `cargo xtask soak`: the program in `benches/soak`, in release, with as many open files as the system allows; and what
//! the npm package endures.

use anyhow::Result;

use crate::{
    browser::Browser,
    command::{cargo, command, root, run, target_dir},
    package::package,
    step::step,
};

/// Raises the limit of open files as far as it goes, then becomes the program that follows.
const RAISED: &str = r#"ulimit -n "$(ulimit -H -n)" 2>/dev/null; exec "$@""#;

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
        if cfg!(not(unix)) {
            return run(&mut soak);
        }
        let mut shell = command("sh");
        shell.args(["-c", RAISED, "sh"]).arg(soak.get_program()).args(soak.get_args());
        for (name, value) in soak.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        run(&mut shell)
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
