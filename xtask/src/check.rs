//! `cargo xtask check`: everything that has to hold, and that no test runs: format, rules, lints, documentation, features.

use std::path::Path;

use anyhow::{Result, bail};

use crate::{
    checks,
    command::{cargo, run},
    dashboard, deny, features, format, imports,
    report::Report,
    sources,
    tools::{self, WASM},
    workflows,
};

/// What the tests that run as wasm are built with: one build of the crate for all of them.
pub(crate) const BROWSER_TEST_FEATURES: &str = "leptos,msgpack,yew";

/// What the checks need, and what brings it.
pub(crate) const NEEDS: &str = "wasm target, JavaScript tools";

pub(crate) fn set_up() -> Result<()> {
    tools::ensure_wasm_target()?;
    tools::ensure_node_modules()
}

/// Runs the checks. Later ones run even when earlier ones failed.
pub(crate) fn check(report: &mut Report) {
    report.check("format", format::check);
    report.check("conditions on the target are the aliases of build.rs", sources::target_conditions);
    report.check("every file says what it is", sources::headings);
    report.check("no file is too long", sources::lengths);
    report.check("no files import each other in a circle", imports::circles);
    report.check("rooms use those below them only", imports::rooms);
    report.check("the wasm build has none of the server's crates", checks::wasm_dependencies);
    report.check("the core alone has no HTTP client, TLS or runtime", checks::core_dependencies);
    report.check("the package of the crate", checks::crate_package);
    report.check("the README's links", checks::readme_links);
    report.check("what workflows and the container file name exists", workflows::names_exist);
    report.check("what scripts import is there", checks::script_imports);
    report.check("the dashboard's bundle is of its sources", dashboard::is_current);
    dependencies(report);
    lints(report);
    report.check("the wasm build has none of the server's code", checks::wasm_code);
    every_feature(report);
}

/// Every feature, and the oldest Rust.
pub(crate) fn every_feature(report: &mut Report) {
    report
        .check("every feature compiles alone and with its neighbours, native", || features::check_each(None));
    report.check("every feature compiles alone and with its neighbours, wasm", || {
        features::check_each(Some(WASM))
    });
    let Some(version) = report.check("the oldest Rust is named", features::oldest_rust) else { return };
    match features::ensure_toolchain(&version) {
        Ok(()) => drop(
            report.check(&format!("the crate compiles with Rust {version}"), || features::oldest(&version)),
        ),
        Err(error) => report.missing(&format!("the check with Rust {version}"), &error),
    }
}

/// The integration tests that run as wasm: in a browser, in its workers, in Node. Each file says where.
pub(crate) fn browser_test_names() -> Result<Vec<String>> {
    let files = format::tracked(&["tests/*_browser.rs", "tests/*_node.rs"])?;
    let names: Vec<String> =
        files.iter().filter_map(|file| Path::new(file).file_stem()?.to_str().map(str::to_owned)).collect();
    if names.is_empty() {
        bail!("there is no tests/*_browser.rs");
    }
    Ok(names)
}

/// The arguments of cargo for tests of these names.
pub(crate) fn test_arguments(names: &[String]) -> Vec<&str> {
    names.iter().flat_map(|name| ["--test", name]).collect()
}

/// An extra, not a skipped test: cargo-deny takes longer to install than most of the tests to run. The workflow of a host
/// has a job of its own for `cargo xtask deny`.
fn dependencies(report: &mut Report) {
    match tools::installed_cargo_deny() {
        Some(_) => drop(report.check("licences, bans, sources of the dependencies", deny::rules)),
        None => report.extra("licences, bans, sources and advisories", "cargo xtask deny"),
    }
}

fn lints(report: &mut Report) {
    let clippy =
        |arguments: &[&str]| run(cargo().arg("clippy").args(arguments).args(["--", "-D", "warnings"]));
    report.check("clippy, native, every feature", || {
        clippy(&["--workspace", "--all-features", "--all-targets"])
    });
    report.check("clippy, wasm, client and its tests", || {
        let tests = browser_test_names()?;
        let library = ["--target", WASM, "--features", BROWSER_TEST_FEATURES, "--lib"];
        clippy(&[&library[..], &test_arguments(&tests)].concat())
    });
    report.check("clippy, wasm, client without MessagePack", || clippy(&["--target", WASM, "--lib"]));
    report.check("clippy, wasm, front-end frameworks and their apps", || {
        clippy(&["--target", WASM, "--features", "leptos,yew", "--lib"])?;
        let apps = ["hubwire-board-page", "hubwire-demo-leptos", "hubwire-demo-yew"];
        let packages: Vec<&str> = apps.iter().flat_map(|app| ["--package", app]).collect();
        clippy(&[&["--target", WASM][..], &packages].concat())
    });
    report.check("clippy, wasm, npm exports", || {
        clippy(&["--target", WASM, "--lib", "--no-default-features", "--features", "js"])
    });
    report.check("documentation", || {
        let mut doc = cargo();
        doc.args(["doc", "--workspace", "--all-features", "--no-deps", "--document-private-items"]);
        run(doc.env("RUSTDOCFLAGS", "-D warnings"))
    });
}
