//! What was measured. The report has, besides what was asked for: `connected`, `count`, `seconds`, `perSecond`,
//! `latencyMilliseconds` (p50, p90, p99, p99.9, max), `errors` by kind, `cpuSeconds` and `residentBytes` of this program.

use std::{collections::BTreeMap, fmt, time::Duration};

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use crate::{
    CallError,
    cli::{
        machine::{cpu_seconds, resident_bytes},
        value::shortened,
    },
    core::ErrorChain,
};

/// How many kinds of errors are told apart.
const ERROR_KINDS: usize = 16;
/// The longest text of a kind of error.
const ERROR_LENGTH: usize = 160;
const PERCENTILES: [(&str, f64); 5] =
    [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9), ("max", 100.0)];

/// Latencies in nanoseconds, with three digits.
#[derive(Clone)]
pub(super) struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        // Three digits are a valid precision.
        Self(Histogram::new(3).unwrap_or_else(|_| unreachable!("three digits are a valid precision")))
    }
}

impl fmt::Debug for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Latencies({})", self.0.len())
    }
}

impl Latencies {
    pub(super) fn record(&mut self, latency: Duration) {
        // It grows as far as it has to.
        let _ = self.0.record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    fn add(&mut self, other: &Self) {
        let _ = self.0.add(&other.0);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Milliseconds by the names of the percentiles.
    pub(super) fn milliseconds(&self) -> [(&'static str, f64); 5] {
        PERCENTILES.map(|(name, percentile)| (name, self.0.value_at_percentile(percentile) as f64 / 1e6))
    }
}

/// What one worker has done.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    pub(super) count: u64,
    pub(super) latencies: Latencies,
    errors: BTreeMap<String, u64>,
}

impl Tally {
    pub(super) fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.latencies.add(&other.latencies);
        other.errors.iter().for_each(|(kind, count)| self.fail_often(kind, *count));
    }

    /// Counts an error by its kind: what the server says may differ every time.
    pub(super) fn fail(&mut self, kind: &str) {
        self.fail_often(kind, 1);
    }

    pub(super) fn fail_often(&mut self, kind: &str, count: u64) {
        if count == 0 {
            return;
        }
        let kind = shortened(kind, ERROR_LENGTH);
        let known = self.errors.contains_key(&kind) || self.errors.len() < ERROR_KINDS;
        *self.errors.entry(if known { kind } else { "others".to_owned() }).or_default() += count;
    }

    pub(super) fn call(&mut self, result: Result<(), CallError>, latency: Duration) {
        match result {
            Ok(()) => {
                self.count += 1;
                self.latencies.record(latency);
            }
            Err(error) => self.fail(&ErrorChain::new(&error).to_string()),
        }
    }
}

/// What this process uses while something is measured.
#[derive(Debug)]
pub(super) struct Usage {
    begun: std::time::Instant,
    cpu: Option<f64>,
}

impl Usage {
    pub(super) fn start() -> Self {
        Self { begun: std::time::Instant::now(), cpu: cpu_seconds() }
    }

    pub(super) fn finish(self, tally: Tally) -> Figures {
        let wall = self.begun.elapsed();
        let cpu = self.cpu.and_then(|before| Some(cpu_seconds()? - before));
        Figures { tally, wall, cpu, resident: resident_bytes(), connected: 0, more: Map::new() }
    }
}

/// The result of a scenario.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) tally: Tally,
    pub(super) wall: Duration,
    pub(super) cpu: Option<f64>,
    pub(super) resident: Option<u64>,
    /// How many connections there were.
    pub(super) connected: usize,
    /// What only this kind of scenario has, by its name in the report.
    pub(super) more: Map<String, Value>,
}

impl Figures {
    pub(super) fn per_second(&self) -> f64 {
        self.tally.count as f64 / self.wall.as_secs_f64().max(1e-9)
    }

    pub(super) fn errors(&self) -> &BTreeMap<String, u64> {
        &self.tally.errors
    }

    pub(super) fn error_count(&self) -> u64 {
        self.tally.errors.values().sum()
    }

    /// The report's form.
    pub(super) fn json(&self) -> Map<String, Value> {
        let mut report = Map::new();
        let mut put = |name: &str, value: Value| report.insert(name.to_owned(), value);
        put("connected", self.connected.into());
        put("count", self.tally.count.into());
        put("seconds", self.wall.as_secs_f64().into());
        put("perSecond", self.per_second().into());
        if !self.tally.latencies.is_empty() {
            let latencies = self.tally.latencies.milliseconds();
            put(
                "latencyMilliseconds",
                latencies
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value.into()))
                    .collect::<Map<_, _>>()
                    .into(),
            );
        }
        put("errors", json!(self.tally.errors));
        put("cpuSeconds", json!(self.cpu));
        put("residentBytes", json!(self.resident));
        report.extend(self.more.clone());
        report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_add_up_and_stay_small() {
        let mut all = Tally::default();
        for n in 1..=100 {
            let mut one = Tally::default();
            one.call(Ok(()), Duration::from_millis(n));
            one.fail(&format!("kind {n}"));
            one.fail_often("kind 1", 0);
            all.add(&one);
        }
        assert_eq!((all.count, all.errors.len()), (100, ERROR_KINDS + 1));
        assert_eq!(all.errors.values().sum::<u64>(), 100);
        assert_eq!(all.errors["others"], 100 - ERROR_KINDS as u64);
        let milliseconds = all.latencies.milliseconds();
        assert!((milliseconds[0].1 - 50.0).abs() < 0.1, "{milliseconds:?}");
        assert!((milliseconds[4].1 - 100.0).abs() < 0.1, "{milliseconds:?}");
    }
}
