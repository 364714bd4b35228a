//! What `cargo xtask test` counts: tests by what their runners print, every other step as one check.

use std::{process::Command, sync::Mutex, thread, time::Instant};

use anyhow::Result;

use crate::{
    command::run_lines,
    step::{begin, end, step},
};

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
    fn add(&mut self, more: Self) {
        self.passed += more.passed;
        self.failed += more.failed;
        self.skipped += more.skipped;
    }

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
        self.add(sums);
        false
    }
}

/// Reads `3 passed, 0 failed` and `3 passed, 0 failed, 1 skipped`.
fn sums(line: &str) -> Option<Tally> {
    let (passed, rest) = line.split_once(" passed, ")?;
    let (failed, skipped) = match rest.split_once(" failed, ") {
        Some((failed, skipped)) => (failed, skipped.strip_suffix(" skipped")?),
        None => (rest.strip_suffix(" failed")?, "0"),
    };
    Some(Tally { passed: passed.parse().ok()?, failed: failed.parse().ok()?, skipped: skipped.parse().ok()? })
}

/// What a line begins with that tells of something left out.
const EXTRA: &str = "NOT PART OF THIS RUN";

/// How many steps run at the same time where that is allowed. They wait more than they work.
const AT_A_TIME: usize = 2;

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
        // A backtrace does not help without its program.
        let tells = self.goes_on && !line.starts_with("   ");
        if (names || tells) && self.lines.len() < MOST_TOLD {
            self.lines.push(line.to_owned());
        }
    }
}

/// Steps that need nothing but what `set_up` brings, by themselves.
pub(crate) fn run<T>(
    what: &str,
    set_up: impl FnOnce() -> Result<T>,
    steps: impl FnOnce(&mut Report),
) -> Result<()> {
    let mut report = Report::default();
    report.check(&format!("set up: {what}"), set_up);
    steps(&mut report);
    report.finish()
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
        self.judge(title, tally, result);
    }

    /// Such steps that do not disturb each other, some at the same time. What each prints is shown when it has ended.
    pub(crate) fn tests_together(&mut self, steps: Vec<(String, Command)>) {
        let open = Mutex::new(steps.into_iter());
        let report = Mutex::new(self);
        let run_next = || {
            while let Some((title, mut command)) = open.lock().ok().and_then(|mut open| open.next()) {
                let (lines, start) = (Mutex::new(Vec::new()), Instant::now());
                let result = run_lines(&mut command, |line| {
                    if let Ok(mut lines) = lines.lock() {
                        lines.push(line.to_owned());
                    }
                    false
                });
                let Ok(mut report) = report.lock() else { return };
                report.told_by(&title, lines.into_inner().unwrap_or_default(), start, result);
            }
        };
        thread::scope(|scope| {
            for _ in 0..AT_A_TIME {
                scope.spawn(run_next);
            }
        });
    }

    /// A step that has ended, and what it has printed.
    fn told_by(&mut self, title: &str, lines: Vec<String>, start: Instant, result: Result<()>) {
        begin(title);
        let mut tally = Tally::default();
        for line in lines {
            self.told.read(&line);
            if tally.read(&line) {
                println!("{line}");
            }
        }
        let result = end(title, start, result);
        self.judge(title, tally, result);
    }

    /// Another run of this program, by what it has printed.
    pub(crate) fn add(&mut self, title: &str, lines: &[String], result: Result<()>) {
        let mut tally = Tally::default();
        for line in lines {
            if let Some(sums) = sums(line) {
                tally.add(sums);
            }
        }
        let is_progress = |line: &str| {
            ["Compiling", "Checking", "Download", "Finished"]
                .iter()
                .any(|word| line.trim_start().starts_with(word))
        };
        let told = lines.iter().filter(|line| !is_progress(line));
        match result {
            Ok(()) => {
                told.filter(|line| line.starts_with(EXTRA)).for_each(|line| self.extras.push(line.clone()))
            }
            Err(_) => {
                let told: Vec<&String> = told.collect();
                let last = &told[told.len().saturating_sub(MOST_TOLD)..];
                self.told.lines.extend(last.iter().map(|line| (*line).clone()));
            }
        }
        self.judge(title, tally, result);
    }

    fn judge(&mut self, title: &str, tally: Tally, result: Result<()>) {
        self.tally.add(tally);
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
        self.extras.push(format!("{EXTRA}: {what}: `{command}` checks them"));
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

    /// What cannot run since a tool is missing. Where nothing may be skipped, that is a failure.
    pub(crate) fn missing(&mut self, what: &str, why: &anyhow::Error) {
        if no_skip() {
            self.fail(&format!("{what}: {why:#}"));
        } else {
            self.skip(what, &format!("{why:#}"));
        }
    }

    /// Prints what failed and the sums, and ends the program with an exit code unless all is well. Where nothing may be
    /// skipped, a skipped test is a failure.
    pub(crate) fn finish(mut self) -> Result<()> {
        if no_skip() && self.tally.skipped > 0 {
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
        if failed > 0 || !self.failures.is_empty() {
            std::process::exit(1);
        }
        Ok(())
    }
}

/// Whether a missing tool is a failure, as it is in continuous integration.
fn no_skip() -> bool {
    ["CI", "HUBWIRE_NO_SKIP"]
        .iter()
        .any(|name| std::env::var(name).is_ok_and(|value| !["", "0", "false"].contains(&value.as_str())))
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
            ("1 passed, 0 failed, 4 skipped", false),
            ("all passed, none failed", true),
        ] {
            assert_eq!(tally.read(line), shown, "{line}");
        }
        assert_eq!(tally, Tally { passed: 12, failed: 3, skipped: 6 });
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
