//! What `cargo xtask test` counts: tests by what their runners print, every other step as one check.

use std::{process::Command, sync::Mutex};

use anyhow::Result;

use crate::{command::run_lines, step::step};

/// Why a test is ignored that is the part of another one that runs in a process of its own.
const RUN_BY_OTHERS: &str = " ... ignored, others run it in a process with an environment";

/// How many tests passed, failed and were skipped.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    // Signed: what a runner counts otherwise is taken off before it has counted.
    passed: i32,
    failed: i32,
    skipped: i32,
}

impl Tally {
    /// Reads one line of a test runner. Returns whether it is worth showing: the sums of scripts are not, so that
    /// only one line in the whole output looks like the result.
    fn read(&mut self, line: &str) -> bool {
        if let Some(counts) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) {
            for part in counts.1.split("; ") {
                match part.split_once(' ') {
                    Some((n, "passed")) => self.passed += n.parse().unwrap_or(0),
                    Some((n, "failed")) => self.failed += n.parse().unwrap_or(0),
                    Some((n, "ignored")) => self.skipped += n.parse().unwrap_or(0),
                    _ => {}
                }
            }
            return true;
        }
        // A test that cannot run says so itself; its runner takes it for passed.
        if line.starts_with("SKIPPED") {
            self.skipped += 1;
            self.passed -= 1;
            return true;
        }
        // It runs after all, and its runner counts it as ignored.
        if line.ends_with(RUN_BY_OTHERS) {
            self.skipped -= 1;
            return true;
        }
        let Some(sums) = sums(line) else { return true };
        self.passed += sums.passed;
        self.failed += sums.failed;
        false
    }
}

/// Reads `3 passed, 0 failed`.
fn sums(line: &str) -> Option<Tally> {
    let (passed, failed) = line.split_once(" passed, ")?;
    Some(Tally {
        passed: passed.parse().ok()?,
        failed: failed.strip_suffix(" failed")?.parse().ok()?,
        skipped: 0,
    })
}

/// How many lines of what runners say of failures are said again in the end.
const MOST_TOLD: usize = 200;

/// What runners say of the tests that failed. In the whole output it stands far from the end.
#[derive(Debug, Default)]
struct Told {
    lines: Vec<String>,
    /// Whether a runner is about to tell how its tests failed.
    goes_on: bool,
}

impl Told {
    fn read(&mut self, line: &str) {
        let is_sum = line.starts_with("test result: ");
        self.goes_on = (self.goes_on || line == "failures:") && !is_sum;
        let names = (line.starts_with("test ") && line.contains(" ... FAIL")) || line.starts_with("FAILED");
        // A backtrace is no help without its program.
        let tells = self.goes_on && !line.starts_with("   ");
        if (names || tells) && self.lines.len() < MOST_TOLD {
            self.lines.push(line.to_owned());
        }
    }
}

/// Collects the outcome of all steps.
#[derive(Debug, Default)]
pub(crate) struct Report {
    tally: Tally,
    failures: Vec<String>,
    told: Told,
    extras: Vec<String>,
}

impl Report {
    /// A step that counts as one check. Gives its value when it went well.
    pub(crate) fn check<T>(&mut self, title: &str, work: impl FnOnce() -> Result<T>) -> Option<T> {
        match step(title, work) {
            Ok(value) => {
                self.tally.passed += 1;
                Some(value)
            }
            Err(error) => {
                self.fail(&format!("{error:#}"));
                None
            }
        }
    }

    /// A step that runs tests, each of which counts.
    pub(crate) fn tests(&mut self, title: &str, command: impl FnOnce() -> Result<Command>) {
        let read = Mutex::new((Tally::default(), &mut self.told));
        let result = step(title, || {
            run_lines(&mut command()?, |line| {
                read.lock().is_ok_and(|mut read| {
                    read.1.read(line);
                    read.0.read(line)
                })
            })
        });
        let tally = read.into_inner().map(|(tally, _)| tally).unwrap_or_default();
        self.tally.passed += tally.passed;
        self.tally.failed += tally.failed;
        self.tally.skipped += tally.skipped;
        match result {
            Ok(()) if tally == Tally::default() => self.fail(&format!("the step \"{title}\" ran no test")),
            Ok(()) => {}
            // Something other than a test went wrong, such as a compiler error.
            Err(error) if tally.failed == 0 => self.fail(&format!("{error:#}")),
            Err(error) => self.say(&format!("{error:#}")),
        }
    }

    /// Something that could not run here, and why.
    pub(crate) fn skip(&mut self, what: &str, why: &str) {
        println!("\nSKIPPED: {what}: {why}");
        self.tally.skipped += 1;
    }

    /// Something that is not part of this run, and the command that does it.
    pub(crate) fn extra(&mut self, what: &str, command: &str) {
        self.extras.push(format!("NOT PART OF THIS RUN: {what}: `{command}` checks them"));
    }

    /// Something that failed without being a step.
    pub(crate) fn fail(&mut self, what: &str) {
        self.tally.failed += 1;
        self.say(what);
    }

    fn say(&mut self, what: &str) {
        println!("FAILED: {what}");
        self.failures.push(what.to_owned());
    }

    /// Prints what failed and the sums. Returns whether all is well. Where nothing may be skipped, a skipped test is a
    /// failure.
    pub(crate) fn finish(mut self, no_skip: bool) -> bool {
        if no_skip && self.tally.skipped > 0 {
            self.failures.push(format!("{} skipped, where nothing may be skipped", self.tally.skipped));
        }
        println!();
        for extra in &self.extras {
            println!("{extra}");
        }
        self.told.lines.iter().for_each(|line| println!("  {line}"));
        for failure in &self.failures {
            println!("FAILED: {failure}");
        }
        let Tally { passed, failed, skipped } = self.tally;
        if skipped == 0 {
            println!("{passed} passed, {failed} failed");
        } else {
            println!("{passed} passed, {failed} failed, {skipped} skipped");
        }
        failed == 0 && self.failures.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runners_are_understood() {
        let mut tally = Tally::default();
        for (line, shown) in [
            ("running 4 tests", true),
            ("SKIPPED client_reference: HUBWIRE_REFERENCE_DIR is not set", true),
            ("test a ... ok", true),
            ("test b ... ignored, needs the reference hub", true),
            ("test c ... ignored, others run it in a process with an environment", true),
            (
                "test result: ok. 3 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.00s",
                true,
            ),
            (
                "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s",
                true,
            ),
            ("7 passed, 2 failed", false),
            ("all passed, none failed", true),
        ] {
            assert_eq!(tally.read(line), shown, "{line}");
        }
        assert_eq!(tally, Tally { passed: 11, failed: 3, skipped: 2 });
    }

    #[test]
    fn what_failed_is_told_again() {
        let mut told = Told::default();
        for line in [
            "test a ... ok",
            "test b ... FAILED",
            "failures:",
            "---- b stdout ----",
            "assertion failed",
            "   1: core::panicking",
            "test result: FAILED. 1 passed; 1 failed; 0 ignored",
            "test c ... ok",
            "FAILED  d",
        ] {
            told.read(line);
        }
        let expected =
            ["test b ... FAILED", "failures:", "---- b stdout ----", "assertion failed", "FAILED  d"];
        assert_eq!(told.lines, expected);
    }
}
