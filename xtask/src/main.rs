//! The build tool: `cargo xtask package | dashboard | demo | test | check | features | deny | bench | soak | fuzz | sizes | fmt`.

mod app_sizes;
mod bench;
mod beside;
mod browser;
mod check;
mod checks;
mod command;
mod compare;
mod dashboard;
mod demo;
mod deny;
mod features;
mod format;
mod framework;
mod fuzz;
mod imports;
mod package;
mod program;
mod report;
mod sizes;
mod soak;
mod sources;
mod step;
mod test;
mod tools;
mod wasm;
mod workflows;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask COMMAND

  package            build the npm package and its tarball in target/npm
  dashboard          build the package, and bundle the dashboard's page on it into src/dashboard/page/dist
  demo [--port N] [--mode serverless | app-server | self-hosted]
                     build the package and the chat page, then run the demo server: behind the local service with an
                     upstream, behind it with a hub, or with a hub of its own
  demo --yew | --leptos [--port N]
                     build the app in that framework, then run the demo server
  demo --board [--port N]
                     build the board, a hub and a page on one contract, then run its server
  test               everything that has to hold: format, lints, docs, tests, browser, npm package
  check              the part of it that runs no test: format, rules, lints, documentation, features
  features           the part of that which checks every feature alone and with others, and with the oldest Rust
  deny               licences, bans, sources and known vulnerabilities of the dependencies, by cargo-deny
  bench [PART]       run the benchmarks, or those whose names contain a part
  bench --browser [ROUNDS [PART]...]
                     the npm package beside the official client in Chromium, in the page and in worker mode
  bench --node [ROUNDS]
                     the npm package beside the official client in Node.js, without a network
  bench --browser-rust [ROUNDS [MESSAGES]]
                     typed receiving of Rust in a browser, beside the crate signalr-client
  bench --server [PART]
                     hosted hubs beside ASP.NET Core
  bench --against COMMIT [PART]
                     the client's benchmarks of another commit and of this one, in turn
  soak [--minutes N | --seconds N] [--seed N] [--restarts N] [--connections N]
                     every kind of connection on a network that cuts, truncates, holds and loses, for 20 minutes;
                     then ten restarts of the server under a thousand connections
  soak --npm [PART]...
                     what the npm package endures beside the official client, in Chromium and in Node.js
  fuzz [TARGET]... [--seconds N]
                     look for faults, in every target or in these, N seconds (60) in each
  sizes              what hubwire adds to an app in Yew or Leptos: release builds, with gzip
  fmt                format the Rust sources
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (name, rest) = arguments.split_first().map_or(("", &[][..]), |(name, rest)| (name.as_str(), rest));
    let result = match (name, rest) {
        ("package", []) => package::package().map(drop),
        ("dashboard", []) => dashboard::dashboard(),
        ("demo", _) => demo::demo(rest),
        ("test", []) => test::test(),
        ("check", []) => report::run(check::NEEDS, check::set_up, check::check),
        ("features", []) => report::run("wasm target", tools::ensure_wasm_target, check::every_feature),
        ("deny", []) => report::run("cargo-deny", tools::cargo_deny, deny::check),
        ("bench", _) => bench::bench(rest),
        ("soak", _) => soak::soak(rest),
        ("sizes", []) => app_sizes::sizes(),
        ("fuzz", _) => fuzz::fuzz(rest),
        ("fmt", []) => format::format(),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}
