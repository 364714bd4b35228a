//! `hubwire doctor`: goes the whole way step by step, and says what does not work and what to do.

mod hub;

use std::{process::ExitCode, time::Duration};

use serde_json::{Value, json};

use crate::{
    cli::{
        context::{Contexts, Target, TargetOptions, service},
        duration::milliseconds,
        failure::{Failure, in_flags},
        output::{BAD, FAINT, GOOD, NAME, Output, WARNING},
    },
    core::{ErrorChain, url::HubUrl},
    platform::explain_tls,
    service::check::{CheckOutcome, CheckProblem, CheckReport},
};

/// Check a hub or a service, step by step
///
/// For a hub's URL: its address, TLS, clocks, negotiate, and each transport with its handshake. For Azure SignalR Service, by
/// the connection string in the environment or by flags: health, credential, REST API (a message to an empty group) and
/// negotiation, at each endpoint; with --hub, a client's way as well. The exit code is 1 when something does not work.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  hubwire doctor
  hubwire doctor --connection-string env:CONNECTION --hub chat
  hubwire doctor https://example.com/chat --token env:TOKEN --timeout 5s")]
pub(super) struct Arguments {
    /// The hub's URL; without it, and without a context, the service of the environment is checked
    url: Option<String>,
    #[command(flatten)]
    target: TargetOptions,
}

/// How a step went.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    /// It works; with what was found.
    Ok(String),
    /// It works, but not as it could.
    Limited(String),
    /// It does not work, and what to do.
    Problem(String),
}

#[derive(Debug)]
struct Step {
    name: String,
    outcome: Outcome,
    took: Duration,
}

/// The steps of one place.
#[derive(Debug)]
struct Section {
    place: String,
    steps: Vec<Step>,
}

impl Section {
    fn is_ok(&self) -> bool {
        !self.steps.iter().any(|step| matches!(step.outcome, Outcome::Problem(_)))
    }

    fn add(&mut self, name: impl Into<String>, took: Duration, outcome: Outcome) {
        self.steps.push(Step { name: name.into(), outcome, took });
    }
}

pub(super) async fn run(
    arguments: Arguments,
    contexts: &Contexts,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let Arguments { url, target } = arguments;
    let options = contexts.options(url, target)?;
    let mut sections = Vec::new();
    let checks_hub = options.url.is_some() || options.hub.is_some();
    if options.url.is_none() {
        let service = service(&options)?;
        let report = progress(output, "checking the service", service.check()).await;
        sections.extend(of_service(&report));
    }
    let reaches = sections.iter().all(Section::is_ok);
    if reaches && checks_hub {
        let target = Target::new(options)?;
        sections.push(progress(output, "checking the hub", Box::pin(hub::check(&target))).await?);
    }
    let ok = sections.iter().all(Section::is_ok);
    if output.is_json() {
        output.json(&as_json(&sections, ok));
    } else {
        for section in &sections {
            print(section, output);
        }
        if ok && checks_hub {
            output.line(format_args!("\n{GOOD}Everything works.{GOOD:#}"));
        } else if ok {
            output.line(format_args!(
                "\n{GOOD}The service works.{GOOD:#} Name a hub with --hub to check whether its clients can connect: in default \
                 mode they can while an app server of the hub is connected."
            ));
        } else {
            output.line(format_args!("\n{BAD}Something does not work{BAD:#}: begin with the first problem."));
        }
    }
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Says what is going on to someone who looks on, until it is done.
async fn progress<T>(output: &Output, what: &'static str, work: impl Future<Output = T>) -> T {
    if !output.is_watched() {
        return work.await;
    }
    let bar = indicatif::ProgressBar::new_spinner().with_message(what);
    bar.enable_steady_tick(Duration::from_millis(100));
    let done = work.await;
    bar.finish_and_clear();
    done
}

fn of_service(report: &CheckReport) -> impl Iterator<Item = Section> {
    report.endpoints().iter().map(|endpoint| {
        let steps = endpoint.findings().iter().map(|finding| Step {
            name: finding.step.to_string(),
            outcome: match &finding.outcome {
                CheckOutcome::Passed(found) => Outcome::Ok(found.clone()),
                CheckOutcome::Limited(problem) => {
                    Outcome::Limited(in_flags(&ErrorChain::new(problem).to_string()))
                }
                CheckOutcome::Failed(problem) => Outcome::Problem(told(problem, endpoint.endpoint())),
            },
            took: finding.took,
        });
        Section { place: endpoint.endpoint().to_owned(), steps: steps.collect() }
    })
}

/// A problem of the service's, where this program knows better what to do about it.
fn told(problem: &CheckProblem, endpoint: &str) -> String {
    if let Some((_, text)) = explain_tls(problem) {
        return in_flags(&text);
    }
    let is_here = HubUrl::parse(endpoint).is_ok_and(|url| url.is_loopback());
    match problem {
        CheckProblem::Unreachable(error) if is_here => format!(
            "nothing answers at {endpoint}: is the service running? `hubwire local` starts one; {}",
            ErrorChain::new(error)
        ),
        problem => in_flags(&ErrorChain::new(problem).to_string()),
    }
}

/// `{ok, checked: [{place, ok, steps: [{step, outcome: "ok"|"limited"|"problem", text, milliseconds}]}]}`.
fn as_json(sections: &[Section], ok: bool) -> Value {
    let step = |step: &Step| {
        let (outcome, text) = match &step.outcome {
            Outcome::Ok(text) => ("ok", text),
            Outcome::Limited(text) => ("limited", text),
            Outcome::Problem(text) => ("problem", text),
        };
        json!({ "step": step.name, "outcome": outcome, "text": text, "milliseconds": milliseconds(step.took) })
    };
    let section = |section: &Section| {
        let steps: Vec<_> = section.steps.iter().map(step).collect();
        json!({ "place": section.place, "ok": section.is_ok(), "steps": steps })
    };
    json!({ "ok": ok, "checked": sections.iter().map(section).collect::<Vec<_>>() })
}

fn print(section: &Section, output: &Output) {
    output.line(format_args!("{NAME}{}{NAME:#}", section.place));
    let widest = section.steps.iter().map(|step| step.name.len()).max().unwrap_or_default();
    for Step { name, outcome, took } in &section.steps {
        let (style, word, text) = match outcome {
            Outcome::Ok(text) => (GOOD, "ok", text),
            Outcome::Limited(text) => (WARNING, "limited", text),
            Outcome::Problem(text) => (BAD, "problem", text),
        };
        let took = milliseconds(*took);
        output.line(format_args!(
            "  {style}{word:<7}{style:#}  {name:<widest$}  {FAINT}{took:>5.0} ms{FAINT:#}  {text}"
        ));
    }
}
