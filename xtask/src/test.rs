//! `cargo xtask test`: everything that has to hold, in one run. Later steps run even when earlier ones failed.

use std::{path::Path, process::Command};

use anyhow::{Context, Result};

use crate::{
    beside::Beside,
    browser::Browser,
    check::{self, BROWSER_TEST_FEATURES, browser_test_names, test_arguments},
    checks,
    command::{cargo, command, root, run, target_dir},
    dashboard, demo,
    framework::{BOARD, FRAMEWORKS},
    package::package,
    program::Program,
    report::Report,
    tools::{self, WASM},
};

/// Runs all checks and tests, and prints the sums.
pub(crate) fn test() -> Result<()> {
    let mut report = Report::default();
    let browser = browser(&mut report);
    if let Err(error) = tools::ensure_redis() {
        report.missing("everything on Redis", &error);
    }
    report.check(&format!("set up: {}", check::NEEDS), check::set_up);

    let checks = Beside::begin("checks", "check");

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

    checks.join(&mut report);
    report.finish()
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

fn browser(report: &mut Report) -> Option<Browser> {
    match Browser::ensure() {
        Ok(browser) => Some(browser),
        Err(error) => {
            report.missing("everything in a browser", &error);
            None
        }
    }
}

/// How many tests of a program run at a time.
const TEST_THREADS: &str = "RUST_TEST_THREADS";

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
    report.tests_together(
        [
            ("connection when something goes wrong", "tests/npm/faults.mjs"),
            ("JavaScript", "tests/npm/run.mjs"),
            ("HTTP client and transports", "tests/npm/io.mjs"),
            ("mock hub", "tests/npm/testing.mjs"),
            ("hub protocols", "tests/npm/protocols.mjs"),
            ("frames and realms", "tests/npm/wire.mjs"),
            ("types", "tests/npm/types.mjs"),
            ("use in place of the official packages", "tests/npm/dropin.mjs"),
        ]
        .map(|(what, script)| {
            let mut tests = node(script, &[&folder]);
            if let Some(ReferenceHub { program: hub, .. }) = hubs.first() {
                tests.env("HUBWIRE_TEST_HUB_URL", &hub.url);
            }
            (format!("the npm package's {what}"), tests)
        })
        .into(),
    );
    for (title, script, needs_browser) in [
        ("the npm package", "tests/npm/hub.mjs", false),
        ("the npm package in proxies and beside other promises", "tests/npm/at_home.mjs", false),
        ("what the official client does, and the npm package", "tests/behaviours/run.mjs", false),
        ("the npm package's worker mode", "tests/worker/run.mjs", true),
    ] {
        if needs_browser && browser.is_none() {
            continue;
        }
        let on_each = hubs.iter().map(|ReferenceHub { program: hub, version, .. }| {
            let mut tests = node(script, &[&folder]);
            tests.env("HUBWIRE_TEST_HUB_URL", &hub.url);
            (format!("{title}, on {version}"), tests)
        });
        report.tests_together(on_each.collect());
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
            return report.missing(&format!("everything on Node.js {}", tools::LATER_NODE), &error);
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
