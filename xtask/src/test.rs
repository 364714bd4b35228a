//! `cargo xtask test`: everything that has to hold, in one run. Later steps run even when earlier ones failed.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, bail};

use crate::{
    browser::Browser,
    checks,
    command::{cargo, command, root, run, target_dir},
    dashboard, demo, deny, features, format,
    framework::{BOARD, FRAMEWORKS},
    package::package,
    program::Program,
    report::Report,
    sources,
    tools::{self, WASM},
};

/// Runs all checks and tests, and prints the sums.
pub(crate) fn test() -> Result<()> {
    let mut report = Report::default();
    let browser = browser(&mut report);
    if let Err(error) = tools::ensure_redis() {
        missing(&mut report, "everything on Redis", &error);
    }
    report.check("set up: wasm target, JavaScript tools", || {
        tools::ensure_wasm_target()?;
        tools::ensure_node_modules()
    });

    report.check("format", format::check);
    report.check("conditions on the target are the aliases of build.rs", sources::target_conditions);
    report.check("every file says what it is", sources::headings);
    report.check("no file is too long", sources::lengths);
    report.check("the wasm build has none of the server's crates", checks::wasm_dependencies);
    report.check("the wasm build has none of the server's code", checks::wasm_code);
    report.check("the core alone has no HTTP client, TLS or runtime", checks::core_dependencies);
    report.check("the package of the crate", checks::crate_package);
    report.check("the README's links", checks::readme_links);
    report.check("the dashboard's bundle is of its sources", dashboard::is_current);
    every_feature(&mut report);
    dependencies(&mut report);
    lints(&mut report);

    report.tests("native tests", || {
        let mut tests = cargo();
        tests.args(["test", "--workspace", "--all-features", "--no-fail-fast"]);
        // They wait more than they work.
        if std::env::var_os(TEST_THREADS).is_none() {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            tests.env(TEST_THREADS, (2 * cores).to_string());
        }
        Ok(tests)
    });
    let hubs = hubs(&mut report);
    if let Some(browser) = &browser {
        report.tests("browser tests", || browser_tests(browser, &hubs));
    }
    if let Some(browser) = &browser {
        dashboard_page(&mut report, browser);
    }
    npm(&mut report, browser.as_ref(), &hubs);

    finish(report)
}

/// Runs the checks of features, and prints the sums.
pub(crate) fn features() -> Result<()> {
    let mut report = Report::default();
    report.check("set up: wasm target", tools::ensure_wasm_target);
    every_feature(&mut report);
    finish(report)
}

/// Runs what cargo-deny checks, the known vulnerabilities as well, and prints the sums.
pub(crate) fn deny() -> Result<()> {
    let mut report = Report::default();
    report.check("set up: cargo-deny", tools::cargo_deny);
    report.check("licences, bans, sources of the dependencies", deny::rules);
    report.check("known vulnerabilities of the dependencies", deny::advisories);
    finish(report)
}

fn finish(report: Report) -> Result<()> {
    if !report.finish(no_skip()) {
        std::process::exit(1);
    }
    Ok(())
}

/// A reference hub that runs.
struct ReferenceHub {
    program: Program,
    /// Where the version is a part of a title.
    version: &'static str,
    /// How its address is given to tests that are compiled for a browser.
    variable: &'static str,
}

fn hubs(report: &mut Report) -> Vec<ReferenceHub> {
    let start = [
        (Program::reference_hub as fn() -> _, "ASP.NET Core 10", "HUBWIRE_TEST_HUB_URL"),
        (Program::reference_hub_11, "ASP.NET Core 11", "HUBWIRE_TEST_HUB_11_URL"),
    ];
    let mut hubs = Vec::new();
    for (start, version, variable) in start {
        match start() {
            Ok(Some(program)) => hubs.push(ReferenceHub { program, version, variable }),
            Ok(None) => {
                let title = format!("everything against the reference hub on {version}");
                report.skip(&title, "HUBWIRE_REFERENCE_DIR is not set");
            }
            Err(error) => {
                report.fail(&format!("the reference hub on {version} does not start: {error:#}"));
            }
        }
    }
    hubs
}

/// Whether a missing tool is a failure, as it is in continuous integration.
fn no_skip() -> bool {
    ["CI", "HUBWIRE_NO_SKIP"]
        .iter()
        .any(|name| std::env::var(name).is_ok_and(|value| !["", "0", "false"].contains(&value.as_str())))
}

/// What cannot run since a tool is missing.
fn missing(report: &mut Report, what: &str, why: &anyhow::Error) {
    if no_skip() {
        report.fail(&format!("{what}: {why:#}"));
    } else {
        report.skip(what, &format!("{why:#}"));
    }
}

fn browser(report: &mut Report) -> Option<Browser> {
    match Browser::ensure() {
        Ok(browser) => Some(browser),
        Err(error) => {
            missing(report, "everything in a browser", &error);
            None
        }
    }
}

fn every_feature(report: &mut Report) {
    report
        .check("every feature compiles alone and with its neighbours, native", || features::check_each(None));
    report.check("every feature compiles alone and with its neighbours, wasm", || {
        features::check_each(Some(WASM))
    });
    oldest_rust(report);
}

fn oldest_rust(report: &mut Report) {
    let Some(version) = report.check("the oldest Rust is named", features::oldest_rust) else { return };
    match features::ensure_toolchain(&version) {
        Ok(()) => drop(
            report.check(&format!("the crate compiles with Rust {version}"), || features::oldest(&version)),
        ),
        Err(error) => missing(report, &format!("the check with Rust {version}"), &error),
    }
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

/// How many tests of a program run at a time.
const TEST_THREADS: &str = "RUST_TEST_THREADS";

/// What the tests that run as wasm are built with: one build of the crate for all of them.
const BROWSER_TEST_FEATURES: &str = "leptos,msgpack,yew";

/// The integration tests that run as wasm: in a browser, in its workers, in Node. Each file says where.
fn browser_test_names() -> Result<Vec<String>> {
    let files = format::tracked(&["tests/*_browser.rs", "tests/*_node.rs"])?;
    let names: Vec<String> =
        files.iter().filter_map(|file| Path::new(file).file_stem()?.to_str().map(str::to_owned)).collect();
    if names.is_empty() {
        bail!("there is no tests/*_browser.rs");
    }
    Ok(names)
}

fn test_arguments(names: &[String]) -> Vec<&str> {
    names.iter().flat_map(|name| ["--test", name]).collect()
}

fn browser_tests(browser: &Browser, hubs: &[ReferenceHub]) -> Result<Command> {
    let names = browser_test_names()?;
    let mut tests = cargo();
    tests
        .args(["test", "--target", WASM, "--features", BROWSER_TEST_FEATURES, "--no-fail-fast", "--lib"])
        .args(test_arguments(&names));
    tests
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER", tools::wasm_test_runner()?)
        .env("CHROMEDRIVER", &browser.driver)
        .env("WASM_BINDGEN_TEST_TIMEOUT", "600");
    for hub in hubs {
        // Read at compile time: a page has no environment.
        tests.env(hub.variable, &hub.program.url);
    }
    if !hubs.is_empty() {
        tests.args(["--", "--include-ignored"]);
    }
    Ok(tests)
}

/// The dashboard's page, by itself and as the program serves it.
fn dashboard_page(report: &mut Report, browser: &Browser) {
    let Some(program) = report.check("the program hubwire", dashboard::program) else { return };
    report.tests("everything the dashboard's page shows", || {
        let mut tests = command("node");
        tests.arg(root().join("tests/dashboard/run.mjs"));
        tests.env("HUBWIRE_CHROMIUM", &browser.chromium).env("HUBWIRE_DASHBOARD_PROGRAM", &program);
        Ok(tests)
    });
}

fn npm(report: &mut Report, browser: Option<&Browser>, hubs: &[ReferenceHub]) {
    let node = |script: &str, arguments: &[&Path]| {
        let mut node = command("node");
        node.arg(root().join(script)).args(arguments);
        if let Some(browser) = browser {
            node.env("HUBWIRE_CHROMIUM", &browser.chromium);
        }
        node
    };
    let Some(tarball) = report.check("npm package", package) else { return };
    let folder = target_dir().join("npm/hubwire");
    report.check("the npm package's module has none of the server's code", || {
        checks::npm_module(&folder.join("hubwire.wasm"))
    });
    report.tests("the npm package's JavaScript", || Ok(node("tests/npm/run.mjs", &[&folder])));
    report.tests("the npm package's HTTP client and transports", || {
        let mut tests = node("tests/npm/io.mjs", &[&folder]);
        if let Some(ReferenceHub { program: hub, .. }) = hubs.first() {
            tests.env("HUBWIRE_TEST_HUB_URL", &hub.url);
        }
        Ok(tests)
    });
    report.tests("the npm package's connection when something goes wrong", || {
        Ok(node("tests/npm/faults.mjs", &[&folder]))
    });
    report.tests("the npm package's mock hub", || Ok(node("tests/npm/testing.mjs", &[&folder])));
    report.tests("the npm package's hub protocols", || Ok(node("tests/npm/protocols.mjs", &[&folder])));
    report.tests("the npm package's frames and realms", || Ok(node("tests/npm/wire.mjs", &[&folder])));
    report.tests("the npm package's types", || Ok(node("tests/npm/types.mjs", &[&folder])));
    report.tests("the npm package in place of the official ones", || {
        Ok(node("tests/npm/dropin.mjs", &[&folder]))
    });
    for ReferenceHub { program: hub, version, .. } in hubs {
        for (title, script, needs_browser) in [
            ("the npm package", "tests/npm/hub.mjs", false),
            ("the npm package in proxies and beside other promises", "tests/npm/at_home.mjs", false),
            ("what the official client does, and the npm package", "tests/behaviours/run.mjs", false),
            ("the npm package's worker mode", "tests/worker/run.mjs", true),
        ] {
            if needs_browser && browser.is_none() {
                continue;
            }
            report.tests(&format!("{title}, on {version}"), || {
                let mut tests = node(script, &[&folder]);
                tests.env("HUBWIRE_TEST_HUB_URL", &hub.url);
                Ok(tests)
            });
        }
    }

    later_node(report, &folder, hubs);

    if let Some(ReferenceHub { program: hub, .. }) = hubs.first() {
        report.tests("published libraries of the official client, on the npm package", || {
            let mut tests = node("tests/libraries/run.mjs", &[&tarball, &target_dir().join("libraries")]);
            tests.env("HUBWIRE_TEST_HUB_URL", &hub.url);
            Ok(tests)
        });
    }

    let Some(server) = report.check("demo", || {
        demo::build_page(&tarball)?;
        run(&mut demo::build_servers())?;
        Program::start(command(demo::server()).args(["--port", "0"]))
            .context("the demo server does not start")
    }) else {
        return;
    };
    report.tests("npm package in projects of every kind", || {
        let mut tests = node("tests/packaging/run.mjs", &[&tarball]);
        tests.env("HUBWIRE_DEMO_URL", &server.url);
        Ok(tests)
    });
    report.tests("chat between the official client and this package", || {
        let mut tests = node("tests/interop/run.mjs", &[&tarball]);
        tests.env("HUBWIRE_DEMO_URL", &server.url);
        Ok(tests)
    });
    for framework in &FRAMEWORKS {
        let built = report.check(&format!("app in {}", framework.name), || framework.build());
        if built.is_none() || browser.is_none() {
            continue;
        }
        report.tests(&format!("chat in the app in {}", framework.name), || {
            let out = target_dir().join("e2e").join(framework.path);
            let mut tests = node("www-demo/e2e/framework.mjs", &[Path::new(framework.path), &out]);
            tests.env("HUBWIRE_DEMO_URL", &server.url);
            Ok(tests)
        });
    }
    let built = report.check("the board's page", || BOARD.build());
    if built.is_some() && browser.is_some() {
        board(report, &node);
    }
    if browser.is_some() {
        report.tests("everything the demo's page shows", || {
            let mut tests = node("www-demo/e2e/run.mjs", &[&target_dir().join("e2e")]);
            tests.env("HUBWIRE_DEMO_URL", &server.url);
            Ok(tests)
        });
    }
}

/// The page and the hub that share a contract.
fn board(report: &mut Report, node: &dyn Fn(&str, &[&Path]) -> Command) {
    let server = report.check("the board's server", || {
        Program::start(command(demo::board_server()).args(["--port", "0"])).context("it does not start")
    });
    let Some(server) = server else { return };
    report.tests("a list of things to do, on the board", || {
        let mut tests = node("www-demo/e2e/board.mjs", &[]);
        tests.env("HUBWIRE_BOARD_URL", &server.url);
        Ok(tests)
    });
}

/// What depends on Node.js itself, on a later one: its WebSocket, its fetch.
fn later_node(report: &mut Report, folder: &Path, hubs: &[ReferenceHub]) {
    let node = match tools::later_node() {
        Ok(node) => node,
        Err(error) => {
            return missing(report, &format!("everything on Node.js {}", tools::LATER_NODE), &error);
        }
    };
    let hub = hubs.first().map(|hub| &hub.program);
    for (title, script, needs_hub) in [
        ("the npm package's HTTP client and transports", "tests/npm/io.mjs", false),
        ("the npm package", "tests/npm/hub.mjs", true),
    ] {
        if needs_hub && hub.is_none() {
            continue;
        }
        report.tests(&format!("{title}, on Node.js {}", tools::LATER_NODE), || {
            let mut tests = command(&node);
            tests.arg(root().join(script)).arg(folder).env("HUBWIRE_CHROMIUM", "");
            if let Some(hub) = hub {
                tests.env("HUBWIRE_TEST_HUB_URL", &hub.url);
            }
            Ok(tests)
        });
    }
}
