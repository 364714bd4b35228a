//! `cargo xtask soak`: the program in `benches/soak`, in release, with as many open files as the system allows.

use anyhow::Result;

use crate::{
    command::{cargo, command, run},
    step::step,
};

/// Raises the limit of open files as far as it goes, then becomes the program that follows.
const RAISED: &str = r#"ulimit -n "$(ulimit -H -n)" 2>/dev/null; exec "$@""#;

/// Runs it; the arguments are its own.
pub(crate) fn soak(arguments: &[String]) -> Result<()> {
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
