//! What is counted, and how it is told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use hubwire::{CallError, ConnectionError};

/// A number that many tasks raise.
#[derive(Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What must not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Hung,
    Lost,
    Doubled,
    Reordered,
    /// An answer, or an error, that nothing accounts for.
    Wrong,
}

/// How many faults are told in full.
const TOLD: usize = 100;

/// The figures of one kind of connection.
pub(crate) struct Kind {
    pub(crate) name: String,
    pub(crate) made: Count,
    pub(crate) ended: Count,
    pub(crate) failed: Count,
    pub(crate) messages: Count,
    pub(crate) reconnects: Count,
    pub(crate) restarts: Count,
    pub(crate) silent: Count,
}

/// All figures of a run.
pub(crate) struct Tally {
    start: Instant,
    kinds: Mutex<Vec<Arc<Kind>>>,
    pub(crate) proxied: Count,
    pub(crate) cuts: Count,
    pub(crate) truncations: Count,
    pub(crate) stalls: Count,
    pub(crate) half_opens: Count,
    pub(crate) resumes: Count,
    faults: Mutex<Vec<Fault>>,
    reasons: Mutex<BTreeMap<String, u64>>,
    resident: Mutex<(u64, u64)>,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            kinds: Mutex::default(),
            proxied: Count::default(),
            cuts: Count::default(),
            truncations: Count::default(),
            stalls: Count::default(),
            half_opens: Count::default(),
            resumes: Count::default(),
            faults: Mutex::default(),
            reasons: Mutex::default(),
            resident: Mutex::new((resident(), 0)),
        }
    }

    pub(crate) fn kind(&self, name: &str) -> Arc<Kind> {
        let kind = Arc::new(Kind {
            name: name.to_owned(),
            made: Count::default(),
            ended: Count::default(),
            failed: Count::default(),
            messages: Count::default(),
            reconnects: Count::default(),
            restarts: Count::default(),
            silent: Count::default(),
        });
        lock(&self.kinds).push(Arc::clone(&kind));
        kind
    }

    /// Counts a fault, and tells it at once.
    pub(crate) fn fault(&self, fault: Fault, who: &str, what: &str) {
        let mut faults = lock(&self.faults);
        faults.push(fault);
        if faults.len() <= TOLD {
            println!("{:>7.1} s  FAULT {fault:?}: {who}: {what}", self.start.elapsed().as_secs_f64());
        }
    }

    /// Counts why a connection was lost or has ended.
    pub(crate) fn reason(&self, who: &str, what: &str, error: &ConnectionError) {
        let mut reasons = lock(&self.reasons);
        let reason = format!("{who}: {what}: {error}");
        if reasons.len() < TOLD || reasons.contains_key(&reason) {
            *reasons.entry(reason).or_default() += 1;
        }
    }

    pub(crate) fn faults(&self, wanted: Fault) -> usize {
        self.faults
            .lock()
            .expect("no panic while it is locked")
            .iter()
            .filter(|fault| **fault == wanted)
            .count()
    }

    pub(crate) fn is_clean(&self) -> bool {
        lock(&self.faults).is_empty()
    }

    fn sum(&self, count: impl Fn(&Kind) -> &Count) -> u64 {
        lock(&self.kinds).iter().map(|kind| count(kind).get()).sum()
    }

    /// Bytes that are resident now; the most is kept.
    fn sample(&self) -> u64 {
        let now = resident();
        let mut resident = lock(&self.resident);
        resident.1 = resident.1.max(now);
        now
    }

    /// How much memory the run has added at most.
    pub(crate) fn growth(&self) -> u64 {
        self.sample();
        let (start, most) = *lock(&self.resident);
        most.saturating_sub(start)
    }

    pub(crate) fn print_line(&self) {
        let made = self.sum(|kind| &kind.made);
        println!(
            "{:>7.1} s  calls {made} ({} under way), pushes {}, reconnects {}, resumes {}, cuts {}+{}+{}+{}, faults {}, {} MiB",
            self.start.elapsed().as_secs_f64(),
            made - self.sum(|kind| &kind.ended).min(made),
            self.sum(|kind| &kind.messages),
            self.sum(|kind| &kind.reconnects),
            self.resumes.get(),
            self.cuts.get(),
            self.truncations.get(),
            self.stalls.get(),
            self.half_opens.get(),
            lock(&self.faults).len(),
            self.sample() >> 20,
        );
    }

    pub(crate) fn print_table(&self) {
        println!(
            "\n{:<28} {:>9} {:>9} {:>8} {:>9} {:>10} {:>8} {:>8}",
            "", "calls", "ended", "failed", "pushes", "reconnects", "restarts", "silent"
        );
        for kind in lock(&self.kinds).iter() {
            println!(
                "{:<28} {:>9} {:>9} {:>8} {:>9} {:>10} {:>8} {:>8}",
                kind.name,
                kind.made.get(),
                kind.ended.get(),
                kind.failed.get(),
                kind.messages.get(),
                kind.reconnects.get(),
                kind.restarts.get(),
                kind.silent.get(),
            );
        }
        println!();
        for (reason, count) in &*lock(&self.reasons) {
            println!("{count:>6} {reason}");
        }
        println!(
            "\nproxied connections {}: cut {}, truncated {}, stalled {}, half open {}; stateful resumes {}",
            self.proxied.get(),
            self.cuts.get(),
            self.truncations.get(),
            self.stalls.get(),
            self.half_opens.get(),
            self.resumes.get(),
        );
        println!("server silent, replaced: {}", self.sum(|kind| &kind.silent));
        println!("memory: {} MiB more at most than in the beginning", self.growth() >> 20);
        println!(
            "hung {}, lost {}, doubled {}, reordered {}, wrong {}",
            self.faults(Fault::Hung),
            self.faults(Fault::Lost),
            self.faults(Fault::Doubled),
            self.faults(Fault::Reordered),
            self.faults(Fault::Wrong),
        );
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no panic while it is locked")
}

/// Whether a call may fail like this when the network is as bad as the proxy makes it.
pub(crate) fn is_expected(error: &CallError) -> bool {
    matches!(error, CallError::Connection(_) | CallError::Timeout { .. })
}

/// Whether a connection ended because nothing came any more.
pub(crate) fn is_silence(error: &ConnectionError) -> bool {
    matches!(error, ConnectionError::ServerTimeout { .. })
}

/// Resident bytes of this process.
pub(crate) fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kibibytes.unwrap_or_default() * 1024
}
