//! `hubwire bench`: load on a hub, and how it takes it.
//!
//! ```text
//! flags, file ─▶ plan ─▶ Scenario ─▶ load, broadcast (connections, at a pace) ─▶ Figures ─▶ report
//! ```

mod broadcast;
mod figures;
mod load;
mod pace;
mod plan;
mod report;

use std::{
    fs::{self, OpenOptions},
    io::ErrorKind,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use serde_json::json;

use crate::cli::{
    bench::{
        figures::Figures,
        load::Run,
        pace::Stop,
        plan::{Kind, Length, Options, plan},
        report::{Progress, Report},
    },
    context::{Contexts, TargetOptions},
    failure::Failure,
    machine::raise_file_limit,
    output::{Output, WARNING},
    signals::Signals,
};

/// Files that a process has open besides its connections.
const OTHER_FILES: u64 = 64;

/// Put load on a hub, and measure rates, latencies and errors
///
/// A closed loop, the default, measures how much the hub does at most: each answer brings the next call. An open loop
/// (--rate) measures how long answers take at that rate: calls begin by the clock, and a call that had to wait for its turn
/// is measured from when it was due.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hubwire bench http://localhost:5000/hub --connections 10 --in-flight 4
  hubwire bench http://localhost:5000/hub --rate 5000 --duration 30s
  hubwire bench --hub chat --scenario broadcast --connections 1000
  hubwire bench --file plan.jsonc --report figures.json")]
pub(super) struct Arguments {
    /// The hub's URL, such as https://example.com/chat; {count} in it is the number of --count
    #[arg(value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    options: Options,
    /// Take scenarios from this file: JSON with comments, {"scenarios": [{"scenario": "echo", "inFlight": 16, "warmUp": "1s"}]}: the names of these options in camelCase
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Write the report to this file, as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    #[command(flatten)]
    target: TargetOptions,
}

pub(super) async fn run(
    arguments: Arguments,
    contexts: &Contexts,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let Arguments { url, options, file, report: path, target } = arguments;
    let flags = match (&file, &url) {
        // The targets are in the file.
        (Some(_), None) => target,
        _ => contexts.options(url, target)?,
    };
    let scenarios = plan(file.as_deref(), options, flags)?;
    let most = scenarios.iter().map(|scenario| scenario.connections).max().unwrap_or_default() as u64;
    if let Some(limit) = raise_file_limit().filter(|&limit| limit < most + OTHER_FILES) {
        return Err(Failure::new(format!(
            "{most} connections want as many open files, and the system allows this process {limit}"
        ))
        .advise("raise the hard limit (`ulimit -Hn`, LimitNOFILE of a service), or take fewer connections"));
    }
    if let Some(path) = &path {
        check_report(path)?;
    }
    let (stop, mut signals) = (Arc::<Stop>::default(), Signals::new()?);
    let asked = Arc::clone(&stop);
    tokio::spawn(async move {
        signals.next().await;
        asked.set();
        // The second time at once.
        signals.next().await;
        std::process::exit(130);
    });
    let progress = Progress::new(output);
    let (mut report, mut failed, mut broken) = (Report::default(), false, None);
    for scenario in &scenarios {
        let mut options = scenario.target.clone();
        if let (Some(url), Length::Count(count)) = (&mut options.url, scenario.length) {
            *url = url.replace("{count}", &count.to_string());
        }
        let target = contexts.target(None, options)?;
        let run = Run { scenario, target: &target, stop: &stop, on_pace: &progress };
        let figures = match measure(&run).await {
            Ok(figures) => figures,
            Err(failure) => {
                broken = Some(failure);
                break;
            }
        };
        failed |= figures.error_count() > 0;
        report.add(scenario, &target, &figures, output);
        if stop.is_set() {
            output.note(format_args!(
                "{WARNING}stopped early{WARNING:#}: the figures are of what was done until then"
            ));
            break;
        }
    }
    report.summary(output);
    // What was measured before something went wrong is not lost.
    if let Some(path) = path.filter(|_| !report.is_empty()) {
        let text = json!({ "program": format!("hubwire {}", env!("CARGO_PKG_VERSION")), "scenarios": report.into_json() });
        fs::write(&path, format!("{text:#}\n")).map_err(|error| not_written(&path, error))?;
    }
    match broken {
        Some(failure) => Err(failure),
        None => Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }),
    }
}

/// Whether the report can be written: better known before than after a measurement. Nothing is left behind.
fn check_report(path: &Path) -> Result<(), Failure> {
    let created = OpenOptions::new().write(true).create_new(true).open(path);
    let checked = match created {
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            OpenOptions::new().append(true).open(path).map(drop)
        }
        Err(error) => Err(error),
    };
    checked.map_err(|error| not_written(path, error))
}

fn not_written(path: &Path, error: std::io::Error) -> Failure {
    Failure::new(format!("the report cannot be written to {}", path.display()))
        .because(error)
        .advise("give another file with --report")
}

/// Warms up, measures, and disconnects.
async fn measure(run: &Run<'_>) -> Result<Figures, Failure> {
    match run.scenario.kind {
        Kind::Connect => run.connect().await,
        Kind::Receive => run.receive().await,
        Kind::Idle => run.idle().await,
        Kind::Broadcast => broadcast::measure(run).await,
        Kind::Echo | Kind::Send | Kind::Stream => run.call().await,
    }
}
