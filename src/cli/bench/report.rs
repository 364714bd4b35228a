//! How figures are shown: while they come, and as a report.

use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};

use crate::cli::{
    bench::{
        figures::Figures,
        load::{ShowPace, Shown},
        pace::Pace,
        plan::{Kind, Length, Scenario},
    },
    context::Target,
    output::{BAD, FAINT, GOOD, NAME, Output, STRONG},
    value::printable,
};

/// How often the bar is drawn.
const REDRAWN: Duration = Duration::from_millis(100);
/// The steps of the bar.
const STEPS: u64 = 1_000;

/// A bar on standard error, where a person looks at it.
#[derive(Debug)]
pub(super) struct Progress {
    is_watched: bool,
}

impl Progress {
    pub(super) fn new(output: &Output) -> Self {
        Self { is_watched: output.is_watched() }
    }

    fn show(&self, label: &str, progress: impl Fn() -> (f64, String) + Send + 'static) -> Shown {
        if !self.is_watched {
            return Shown(None, None);
        }
        let bar = ProgressBar::new(STEPS);
        if let Ok(style) = ProgressStyle::with_template("{prefix:>12} [{bar:30}] {percent:>3}% {msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(label.to_owned());
        let drawn = bar.clone();
        let task = tokio::spawn(async move {
            loop {
                let (part, text) = progress();
                drawn.set_position((part * STEPS as f64) as u64);
                drawn.set_message(text);
                tokio::time::sleep(REDRAWN).await;
            }
        });
        Shown(Some(task.abort_handle()), Some(bar))
    }
}

impl ShowPace for Progress {
    fn opening(&self, opened: &Arc<AtomicU64>, of: usize) -> Shown {
        let opened = Arc::clone(opened);
        self.show("connecting", move || {
            let opened = opened.load(Ordering::Relaxed);
            (opened as f64 / of.max(1) as f64, format!("{} of {}", grouped(opened), grouped(of as u64)))
        })
    }

    fn measuring(&self, pace: &Arc<Pace>, warm_up: bool) -> Shown {
        let pace = Arc::clone(pace);
        self.show(if warm_up { "warming up" } else { "measuring" }, move || {
            (pace.progress(), grouped(pace.done.load(Ordering::Relaxed)))
        })
    }
}

/// The figures of all scenarios.
#[derive(Debug, Default)]
pub(super) struct Report {
    all: Vec<Value>,
    rows: Vec<[String; 8]>,
}

impl Report {
    /// Takes the figures of a scenario, and shows them.
    pub(super) fn add(&mut self, scenario: &Scenario, target: &Target, figures: &Figures, output: &Output) {
        let mut json = described(scenario, target);
        json.append(&mut figures.json());
        if output.is_json() {
            output.json(&json);
        } else {
            show(scenario, target, figures, output);
        }
        self.all.push(json.into());
        let latency = |n: usize| match figures.tally.latencies.is_empty() {
            true => "-".to_owned(),
            false => milliseconds(figures.tally.latencies.milliseconds()[n].1),
        };
        self.rows.push([
            printable(&scenario.name),
            grouped(figures.connected as u64),
            rate(figures.per_second()),
            latency(0),
            latency(2),
            latency(3),
            latency(4),
            grouped(figures.error_count()),
        ]);
    }

    /// All scenarios in a table, if there are several.
    pub(super) fn summary(&self, output: &Output) {
        if output.is_json() || self.rows.len() < 2 {
            return;
        }
        let head =
            ["scenario", "connections", "per second", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "errors"];
        let head = head.map(str::to_owned);
        let mut widths = [0; 8];
        for row in self.rows.iter().chain([&head]) {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        for (index, row) in [&head].into_iter().chain(&self.rows).enumerate() {
            let mut line = String::new();
            for (column, (width, cell)) in widths.iter().zip(row).enumerate() {
                let _ = match column {
                    0 => write!(line, "{cell:<width$}"),
                    _ => write!(line, "  {cell:>width$}"),
                };
            }
            match index {
                0 => output.line(format_args!("{STRONG}{line}{STRONG:#}")),
                _ => output.line(line),
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn into_json(self) -> Value {
        self.all.into()
    }
}

/// What was asked for.
fn described(scenario: &Scenario, target: &Target) -> Map<String, Value> {
    let (duration, count) = match scenario.length {
        Length::Time(time) => (Some(time.as_secs_f64()), None),
        Length::Count(count) => (None, Some(count)),
    };
    let value = json!({
        "name": scenario.name,
        "scenario": scenario.kind.name(),
        "target": target.label(),
        "protocol": target.protocol().name(),
        "connections": scenario.connections,
        "inFlight": scenario.in_flight,
        "rate": scenario.rate,
        "payload": scenario.payload,
        "durationSeconds": duration,
        "wantedCount": count,
    });
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn show(scenario: &Scenario, target: &Target, figures: &Figures, output: &Output) {
    output.line(format_args!(
        "{NAME}{}{NAME:#} {STRONG}{}{STRONG:#}",
        printable(&scenario.name),
        printable(target.label())
    ));
    let mut how = vec![match figures.connected {
        1 => "1 connection".to_owned(),
        connected => format!("{} connections", grouped(connected as u64)),
    }];
    match (scenario.kind, scenario.rate) {
        (Kind::Echo | Kind::Stream, None) => how.push(format!("{} in flight each", scenario.in_flight)),
        (_, Some(wanted)) => how.push(format!("{} a second wanted", rate(wanted))),
        _ => {}
    }
    how.push(target.protocol().name().to_owned());
    if matches!(scenario.kind, Kind::Echo | Kind::Send | Kind::Broadcast) && scenario.arguments.is_none() {
        how.push(format!("{} bytes", grouped(scenario.payload as u64)));
    }
    let line = |name: &str, text: String| output.line(format_args!("  {FAINT}{name:<12}{FAINT:#} {text}"));
    line("", how.join(", "));
    line(
        scenario.kind.unit(),
        format!(
            "{} in {:.2} s, {STRONG}{}{STRONG:#} a second",
            grouped(figures.tally.count),
            figures.wall.as_secs_f64(),
            rate(figures.per_second())
        ),
    );
    if !figures.tally.latencies.is_empty() {
        let all = figures.tally.latencies.milliseconds();
        let all: Vec<_> = all
            .iter()
            .map(|(name, value)| format!("{FAINT}{name}{FAINT:#} {}", milliseconds(*value)))
            .collect();
        let what = match scenario.kind {
            Kind::Idle => "connecting",
            Kind::Stream => "a stream",
            _ => "latency ms",
        };
        line(what, all.join("   "));
    }
    if let Some(complete) = figures.more.get("completeMilliseconds") {
        let of = |name: &str| milliseconds(complete[name].as_f64().unwrap_or_default());
        line("the last", format!("{FAINT}p50{FAINT:#} {}   {FAINT}max{FAINT:#} {}", of("p50"), of("max")));
    }
    if figures.errors().is_empty() {
        line("errors", format!("{GOOD}none{GOOD:#}"));
    }
    for (kind, count) in figures.errors() {
        line("errors", format!("{BAD}{}{BAD:#} {}", grouped(*count), printable(kind)));
    }
    let mut used = Vec::new();
    if let Some(cpu) = figures.cpu {
        used.push(format!("{cpu:.2} s of CPU"));
    }
    if let Some(bytes) = figures.resident {
        used.push(format!("{} MB of memory", grouped(bytes / 1_000_000)));
    }
    if let Some(bytes) = figures.more.get("residentBytesPerConnection").and_then(Value::as_f64) {
        used.push(format!("{:.1} KB a connection", bytes / 1e3));
    }
    line("this program", used.join(", "));
}

/// A number with blanks between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

fn rate(per_second: f64) -> String {
    if per_second < 100.0 { format!("{per_second:.1}") } else { grouped(per_second.round() as u64) }
}

fn milliseconds(value: f64) -> String {
    match value {
        0.0..10.0 => format!("{value:.3}"),
        0.0..100.0 => format!("{value:.2}"),
        _ => format!("{value:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1 000", "1 234 567"]);
        assert_eq!([0.5, 99.96, 12_345.6].map(rate), ["0.5", "100.0", "12 346"]);
        assert_eq!([0.1234, 12.345, 1_234.56].map(milliseconds), ["0.123", "12.35", "1234.6"]);
    }
}
