//! A command of this program that runs beside the tests, which wait more than they work: at the lowest priority, and with
//! a target directory of its own, since two cargos cannot share one.

use std::{
    env, iter,
    sync::Mutex,
    thread::{self, JoinHandle},
};

use anyhow::Result;

use crate::{
    command::{command, run_lines, target_dir},
    report::Report,
};

/// A command that is under way.
pub(crate) struct Beside {
    title: String,
    thread: JoinHandle<(Vec<String>, Result<()>)>,
}

impl Beside {
    /// Starts `cargo xtask NAME`. Its headings are shown as they come, everything else is kept.
    pub(crate) fn begin(title: &str, name: &'static str) -> Self {
        let thread = thread::spawn(move || {
            let kept = Mutex::new(Vec::new());
            let result = env::current_exe().map_err(Into::into).and_then(|program| {
                // Where there is no `nice`, it takes its share.
                let mut command = match cfg!(unix) {
                    true => {
                        let mut nice = command("nice");
                        nice.args(["-n", "19"]).arg(program);
                        nice
                    }
                    false => command(program),
                };
                command.arg(name).env("CARGO_TARGET_DIR", target_dir().join(name));
                // What is installed in this target directory.
                let path = env::var_os("PATH").unwrap_or_default();
                let path = iter::once(target_dir().join("tools/bin")).chain(env::split_paths(&path));
                command.env("PATH", env::join_paths(path)?);
                run_lines(&mut command, |line| {
                    if let Ok(mut kept) = kept.lock() {
                        kept.push(line.to_owned());
                    }
                    line.starts_with("== ")
                })
            });
            (kept.into_inner().unwrap_or_default(), result)
        });
        Self { title: title.to_owned(), thread }
    }

    /// Waits for its end, and counts what it has counted.
    pub(crate) fn join(self, report: &mut Report) {
        println!("\n== the end of the {}", self.title);
        match self.thread.join() {
            Ok((lines, result)) => report.add(&self.title, &lines, result),
            Err(_) => report.fail(&format!("the {} panicked", self.title)),
        }
    }
}
