//! Child processes: how they are found, shown and run.

use std::{
    fmt::Write as _,
    io::{BufRead, BufReader, IsTerminal, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context, Result, bail};

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Cargo's target directory.
pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// A command that runs in the repository's root and reads nothing.
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).stdin(Stdio::null());
    command
}

/// The cargo that runs this program, without the variables that it set for it.
pub(crate) fn cargo() -> Command {
    let mut command = command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|n| n.starts_with("CARGO_PKG_") || n.starts_with("CARGO_MANIFEST_")) {
            command.env_remove(name);
        }
    }
    if std::io::stdout().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    command
}

/// Raises the limit of open files as far as it goes, then becomes the program that follows.
const RAISED: &str = r#"ulimit -n "$(ulimit -H -n)" 2>/dev/null; exec "$@""#;

/// The same command, with as many open files as the system allows.
pub(crate) fn with_many_files(program: Command) -> Command {
    if cfg!(not(unix)) {
        return program;
    }
    let mut shell = command("sh");
    shell.args(["-c", RAISED, "sh"]).arg(program.get_program()).args(program.get_args());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

/// A command as one would type it.
pub(crate) fn show(command: &Command) -> String {
    let mut text = String::new();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            let _ = write!(text, "{}={:?} ", name.to_string_lossy(), value.to_string_lossy());
        }
    }
    text.push_str(&command.get_program().to_string_lossy());
    for argument in command.get_args() {
        let argument = argument.to_string_lossy();
        let plain =
            !argument.is_empty() && argument.chars().all(|c| c.is_alphanumeric() || "-_./=:,@+".contains(c));
        let _ = if plain { write!(text, " {argument}") } else { write!(text, " {argument:?}") };
    }
    text
}

/// Runs a command; what it prints goes to the terminal as it comes.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start: {}", show(command)))?;
    if !status.success() {
        bail!("{status}: {}", show(command));
    }
    Ok(())
}

/// Runs a command quietly and gives its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start: {}", show(command)))?;
    if !output.status.success() {
        bail!("{}: {}", output.status, show(command));
    }
    String::from_utf8(output.stdout).with_context(|| format!("not UTF-8: the output of {}", show(command)))
}

/// Runs a command and hands every line it prints to `line`, which returns whether it is to be shown.
/// The first value is the command's own verdict.
pub(crate) fn run_lines(command: &mut Command, line: impl Fn(&str) -> bool + Sync) -> Result<()> {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start: {}", show(command)))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        if let Some(stdout) = stdout {
            scope.spawn(|| {
                each_line(stdout, |text| {
                    if line(text) {
                        println!("{text}")
                    }
                })
            });
        }
        if let Some(stderr) = stderr {
            scope.spawn(|| {
                each_line(stderr, |text| {
                    if line(text) {
                        eprintln!("{text}")
                    }
                })
            });
        }
    });
    let status = child.wait()?;
    if !status.success() {
        bail!("{status}: {}", show(command));
    }
    Ok(())
}

fn each_line(stream: impl Read, mut line: impl FnMut(&str)) {
    let mut reader = BufReader::new(stream);
    let mut bytes = Vec::new();
    while matches!(reader.read_until(b'\n', &mut bytes), Ok(n) if n > 0) {
        line(String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']));
        bytes.clear();
    }
}

/// Whether a program of this name is on the `PATH`, and where.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}
