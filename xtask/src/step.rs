//! One step of a command: a heading before, its duration after, its name in what went wrong.

use std::time::Instant;

use anyhow::{Context, Result};

/// Runs one step.
pub(crate) fn step<T>(title: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    begin(title);
    let start = Instant::now();
    end(title, start, work())
}

/// Prints the heading of a step.
pub(crate) fn begin(title: &str) {
    println!("\n== {title}");
}

/// Prints how a step has ended.
pub(crate) fn end<T>(title: &str, start: Instant, result: Result<T>) -> Result<T> {
    let outcome = if result.is_ok() { "done" } else { "FAILED" };
    println!("== {title}: {outcome} after {:.1} s", start.elapsed().as_secs_f64());
    result.with_context(|| format!("the step \"{title}\" failed"))
}
