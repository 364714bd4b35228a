//! What the benchmarks share: the table they print, and the CPU time they count by.

use std::{collections::HashMap, ffi::OsString, time::Duration};

/// Whether this is a benchmark. `cargo test` runs benches as well; there they need only compile.
pub(crate) fn is_wanted() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// Whether a row is to be measured: all, or those whose names contain one of the arguments.
pub(crate) fn has_row(name: &str) -> bool {
    let mut wanted = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).peekable();
    wanted.peek().is_none() || wanted.any(|wanted| name.contains(&wanted))
}

pub(crate) fn heading() {
    println!("{:<52} {:>14} {:>14} {:>8}", "", "hubwire", "theirs", "ratio");
}

/// A row of the table. There is a dash where the peer has no such figure.
pub(crate) fn row(name: &str, ours: f64, theirs: Option<f64>) {
    match theirs {
        Some(theirs) => println!("{name:<52} {ours:>14.0} {theirs:>14.0} {:>7.2}x", ours / theirs),
        None => println!("{name:<52} {ours:>14.0} {:>14} {:>8}", "-", "-"),
    }
}

/// Counts the CPU time of a process, this one or another.
pub(crate) struct Clock {
    process: String,
    start: HashMap<OsString, u64>,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self::of("self".to_owned())
    }

    pub(crate) fn of(process: String) -> Self {
        let start = threads(&process);
        Self { process, start }
    }

    /// How many per CPU second since the start.
    pub(crate) fn rate(&self, count: u32) -> f64 {
        f64::from(count) / self.cpu().as_secs_f64()
    }

    /// The CPU time since the start. A thread that has ended since is not counted.
    pub(crate) fn cpu(&self) -> Duration {
        let now = threads(&self.process);
        let spent = |(thread, time): (&OsString, &u64)| {
            time.saturating_sub(self.start.get(thread).copied().unwrap_or(0))
        };
        Duration::from_nanos(now.iter().map(spent).sum())
    }
}

/// The CPU time of each thread, in nanoseconds: the first number of its `schedstat`.
fn threads(process: &str) -> HashMap<OsString, u64> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task"));
    let threads = threads.expect("Linux, which counts CPU time by thread");
    let times = threads.filter_map(|thread| {
        let thread = thread.ok()?;
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        Some((thread.file_name(), text.split(' ').next()?.parse().ok()?))
    });
    times.collect()
}
