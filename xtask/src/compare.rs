//! `cargo xtask bench --against COMMIT`: the client's benchmarks of another commit and of this one, in one run.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{
    command::{cargo, command, output, root, run, target_dir},
    step::step,
};

/// How often each is run. The median counts.
const ROUNDS: usize = 3;

/// Slower by more than this is marked.
const TOLERANCE: f64 = 0.05;

/// The figures of every row, one a round.
type Figures = BTreeMap<String, Vec<f64>>;

/// Builds both, runs them in turn, and prints what has changed. The parts are those of row names.
pub(crate) fn against(commit: &str, parts: &[String]) -> Result<()> {
    let there = Worktree::add(commit)?;
    let old = step(&format!("build {commit}"), || build(&there.folder))?;
    let new = step("build this", || build(root()))?;
    let (mut olds, mut news) = (Figures::new(), Figures::new());
    // The order in which they were printed.
    let mut names = Vec::new();
    for round in 0..ROUNDS {
        let mut programs = [(&old, &mut olds), (&new, &mut news)];
        // What warms up or cools down in the course of a round falls on either by turns.
        if round % 2 == 1 {
            programs.reverse();
        }
        step(&format!("round {} of {ROUNDS}", round + 1), || {
            programs
                .into_iter()
                .try_for_each(|(program, figures)| measure(program, parts, figures, &mut names))
        })?;
    }
    print(commit, &names, &olds, &news)
}

/// A checkout of another commit, which goes when this does.
struct Worktree {
    folder: PathBuf,
}

impl Worktree {
    fn add(commit: &str) -> Result<Self> {
        let folder = target_dir().join("against");
        let worktree = Self { folder };
        // One that a run left behind which did not come to its end.
        worktree.remove()?;
        run(command("git")
            .args(["worktree", "add", "--quiet", "--detach"])
            .arg(&worktree.folder)
            .arg(commit))?;
        Ok(worktree)
    }

    fn remove(&self) -> Result<()> {
        if self.folder.exists() {
            run(command("git").args(["worktree", "remove", "--force"]).arg(&self.folder))?;
        }
        Ok(())
    }
}

impl Drop for Worktree {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            println!("{} is left behind: {error:#}", self.folder.display());
        }
    }
}

/// Builds the client's benchmarks and says where the program is. The two share what they have in common.
fn build(folder: &Path) -> Result<PathBuf> {
    let arguments = ["bench", "--no-run", "--features", "axum,msgpack", "--bench", "client"];
    let mut build = cargo();
    build.current_dir(folder).args(arguments).arg("--message-format=json-render-diagnostics");
    let built = output(build.env("CARGO_TARGET_DIR", target_dir()))?;
    let program = built
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "client")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    let program = program.context("cargo names no program")?;
    // The next build may overwrite it.
    let copy = program.with_file_name(if folder == root() { "client-bench-new" } else { "client-bench-old" });
    fs::copy(&program, &copy)?;
    Ok(copy)
}

/// Runs the benchmarks of one, which print a table.
fn measure(program: &Path, parts: &[String], figures: &mut Figures, names: &mut Vec<String>) -> Result<()> {
    let mut bench = command(program);
    // A commit that does not know `--alone` measures the other clients as well, which takes longer and does no harm.
    bench.args(["--bench", "--alone"]).args(parts);
    if std::env::var_os("HUBWIRE_REFERENCE_DIR").is_none() {
        bench.env("HUBWIRE_REFERENCE_DIR", root().join("../shared/reference"));
    }
    let table = output(&mut bench)?;
    let rows: Vec<_> = table.lines().filter_map(figure).collect();
    if rows.is_empty() {
        bail!("{} prints no rows", program.display());
    }
    for (name, ours) in rows {
        if !names.contains(&name) {
            names.push(name.clone());
        }
        figures.entry(name).or_default().push(ours);
    }
    Ok(())
}

/// A row's name, and this client's figure in it: name, ours, theirs, ratio.
fn figure(line: &str) -> Option<(String, f64)> {
    // Rows of further peers, which are indented, repeat our own figure.
    if line.starts_with(' ') {
        return None;
    }
    let mut columns = Vec::new();
    let mut rest = line.trim_end();
    for _ in 0..3 {
        let (before, column) = rest.rsplit_once(char::is_whitespace)?;
        columns.push(column);
        rest = before.trim_end();
    }
    Some((rest.to_owned(), columns.last()?.parse().ok()?))
}

fn print(commit: &str, names: &[String], olds: &Figures, news: &Figures) -> Result<()> {
    println!("\nmedians of {ROUNDS} rounds; old is {commit}, a ratio above 1 is better");
    println!("{:<52} {:>14} {:>14} {:>8}", "", "old", "new", "ratio");
    let (mut slower, mut compared) = (0, 0);
    for name in names {
        let (Some(old), Some(new)) = (olds.get(name), news.get(name)) else {
            println!("{name:<52} is in one of the two only");
            continue;
        };
        let (old, new) = (median(old), median(new));
        let ratio = if is_rate(name) { new / old } else { old / new };
        let mark = if ratio < 1.0 - TOLERANCE { "  SLOWER" } else { "" };
        slower += usize::from(!mark.is_empty());
        compared += 1;
        println!("{name:<52} {old:>14.0} {new:>14.0} {ratio:>7.2}x{mark}");
    }
    if compared == 0 {
        bail!("the two have no row in common");
    }
    println!("\n{slower} of {compared} rows are worse by more than {:.0} %", TOLERANCE * 100.0);
    Ok(())
}

/// Whether more is better. The other rows are times and bytes.
fn is_rate(name: &str) -> bool {
    name.ends_with("second")
}

fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
