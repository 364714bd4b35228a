//! The tools a step needs, fetched when they are missing.

use std::{env::consts::EXE_EXTENSION, path::PathBuf};

use anyhow::{Context, Result, bail};

use crate::command::{cargo, command, find_program, output, root, run, target_dir};

/// The browser's target.
pub(crate) const WASM: &str = "wasm32-unknown-unknown";

/// Adds the wasm target to the toolchain, unless its standard library is there.
pub(crate) fn ensure_wasm_target() -> Result<()> {
    let sysroot = output(command("rustc").args(["--print", "sysroot"]))?;
    if PathBuf::from(sysroot.trim()).join("lib/rustlib").join(WASM).join("lib").is_dir() {
        return Ok(());
    }
    run(command("rustup").args(["target", "add", WASM])).with_context(|| {
        format!("the Rust standard library for {WASM} is missing; install it with your toolchain")
    })
}

/// Installs packages of Debian, as root; elsewhere it does nothing.
pub(crate) fn install_packages(names: &[&str]) -> Result<()> {
    let root = output(command("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    if !root || find_program("apt-get").is_none() {
        return Ok(());
    }
    let apt = || {
        let mut apt = command("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive").arg("-qq");
        apt
    };
    run(apt().arg("update"))?;
    run(apt().args(["install", "--yes", "--no-install-recommends"]).args(names))
}

/// Makes sure of Redis, on which the tests of hubs on several servers run; on Debian as root it is installed.
pub(crate) fn ensure_redis() -> Result<()> {
    let is_there = || find_program("redis-server").is_some();
    if !is_there() {
        install_packages(&["redis-server"])?;
    }
    if is_there() { Ok(()) } else { bail!("there is no Redis; install it (Debian: redis-server)") }
}

/// Installs the JavaScript tools as `package-lock.json` says, unless that was done before.
pub(crate) fn ensure_node_modules() -> Result<()> {
    let lock = std::fs::read(root().join("package-lock.json"))?;
    let stamp = root().join("node_modules/.hubwire-lock");
    if std::fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    run(command("npm").args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]))
        .context("install Node.js 20 or newer with npm")?;
    Ok(std::fs::write(stamp, lock)?)
}

/// The Node.js that tests run on as well: the one on the `PATH` may be older, without a WebSocket of its own.
pub(crate) const LATER_NODE: &str = "24.22.3";

/// That Node.js; it is installed when it is missing.
pub(crate) fn later_node() -> Result<PathBuf> {
    let system = match std::env::consts::OS {
        "macos" => "darwin",
        "windows" => "win",
        other => other,
    };
    let machine = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    };
    // The package `node` is a script that installs one of these.
    let package = format!("node-{system}-{machine}");
    let folder = target_dir().join("tools/node");
    let program =
        folder.join("node_modules").join(&package).join("bin").join("node").with_extension(EXE_EXTENSION);
    let is_it = || {
        program.is_file()
            && output(command(&program).arg("--version"))
                .is_ok_and(|text| text.trim() == format!("v{LATER_NODE}"))
    };
    if !is_it() {
        std::fs::create_dir_all(&folder)?;
        let mut install = command("npm");
        install.args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix"]).arg(&folder);
        run(install.arg(format!("{package}@{LATER_NODE}")))?;
        if !is_it() {
            bail!("{package} brought no Node.js {LATER_NODE}");
        }
    }
    Ok(program)
}

/// The version of a package in `Cargo.lock`.
pub(crate) fn locked_version(package: &str) -> Result<String> {
    let lock = std::fs::read_to_string(root().join("Cargo.lock"))?;
    lock.split("[[package]]")
        .find(|entry| entry.contains(&format!("name = \"{package}\"\n")))
        .and_then(|entry| entry.split("version = \"").nth(1)?.split('"').next())
        .map(str::to_owned)
        .with_context(|| format!("{package} is not in Cargo.lock"))
}

/// The runner of wasm tests, in the version of the wasm-bindgen crate.
pub(crate) fn wasm_test_runner() -> Result<PathBuf> {
    const RUNNER: &str = "wasm-bindgen-test-runner";
    let version = locked_version("wasm-bindgen")?;
    let tools = target_dir().join("tools");
    let own = tools.join("bin").join(RUNNER);
    for runner in
        [Some(own.clone()), find_program(RUNNER)].into_iter().flatten().filter(|file| file.is_file())
    {
        if output(command(&runner).arg("--version")).is_ok_and(|text| text.trim().ends_with(&version)) {
            return Ok(runner);
        }
    }
    // Without --locked: the lock file of that package may name versions that were yanked.
    let mut install = cargo();
    install.args(["install", "--force", "wasm-bindgen-cli", "--version", &version, "--root"]).arg(&tools);
    // It is built more often than it runs for long.
    install.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1");
    run(install.env("CARGO_TARGET_DIR", tools.join("build")))?;
    if !own.is_file() {
        bail!("wasm-bindgen-cli {version} brought no {RUNNER}");
    }
    Ok(own)
}

/// The version that `cargo xtask deny` installs.
const CARGO_DENY: &str = "0.20";

/// cargo-deny, where it is installed: by itself, or by [`cargo_deny`].
pub(crate) fn installed_cargo_deny() -> Option<PathBuf> {
    let own = target_dir().join("tools/bin/cargo-deny");
    let homes = std::env::home_dir().map(|home| home.join(".cargo/bin/cargo-deny"));
    let found = [Some(own), find_program("cargo-deny"), homes];
    found.into_iter().flatten().find(|file| file.is_file())
}

/// cargo-deny; it is installed when it is missing, which takes minutes.
pub(crate) fn cargo_deny() -> Result<PathBuf> {
    if let Some(found) = installed_cargo_deny() {
        return Ok(found);
    }
    let tools = target_dir().join("tools");
    let mut install = cargo();
    install.args(["install", "--locked", "cargo-deny", "--version", CARGO_DENY, "--root"]).arg(&tools);
    run(install.env("CARGO_TARGET_DIR", tools.join("build")))?;
    installed_cargo_deny().context("cargo-deny is not where cargo installs it")
}
