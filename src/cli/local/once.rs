//! `hubwire local --once -- COMMAND`: a command with the service in its environment.

use std::{
    ffi::OsString,
    io,
    process::{ExitCode, ExitStatus, Stdio},
};

use tokio::process::{Child, Command};

use crate::cli::{
    failure::Failure,
    local::started::Started,
    output::Output,
    signals::{Signal, Signals},
};

/// What shells answer where a command is not there, or is not a program.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;
/// What shells add to the number of the signal that a command has ended by.
#[cfg(posix)]
const BY_SIGNAL: i32 = 128;

/// Runs it to its end, with the standard streams of this program. Its exit code is the result.
pub(super) async fn run(
    command: &[OsString],
    started: &Started,
    signals: &mut Signals,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(Failure::new("there is no command to run"));
    };
    let trust = started.trust()?;
    let start = |program: &OsString| {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::inherit()).stdout(Stdio::inherit()).stderr(Stdio::inherit());
        command.envs(started.environment(trust.as_ref()));
        command.spawn()
    };
    let mut child = match start(program).or_else(|error| script(program, error, start)) {
        Ok(child) => child,
        Err(error) => {
            let code = if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE };
            let shown = program.display();
            let failure = Failure::new(format!("the command `{shown}` cannot be started")).because(error);
            let advice = "give a program and its arguments behind `--`; for what only a shell understands: -- sh -c '…'";
            failure.advise(advice).print(output);
            return Ok(ExitCode::from(code));
        }
    };
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            signal = signals.next() => pass_on(signal, &child),
        }
    };
    Ok(exit_code(status))
}

/// npm, yarn and others are scripts on Windows, which are not found without their ending.
fn script(
    program: &OsString,
    error: io::Error,
    start: impl Fn(&OsString) -> io::Result<Child>,
) -> io::Result<Child> {
    if !cfg!(not(posix)) || error.kind() != io::ErrorKind::NotFound {
        return Err(error);
    }
    let mut name = program.clone();
    name.push(".cmd");
    start(&name).map_err(|_| error)
}

#[cfg(posix)]
fn exit_code(status: ExitStatus) -> ExitCode {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.code().or_else(|| status.signal().map(|signal| BY_SIGNAL + signal));
    code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}

#[cfg(not(posix))]
fn exit_code(status: ExitStatus) -> ExitCode {
    // An exit code of Windows has 32 bits, of which this one has the lowest 8: no failure becomes a success.
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}

/// The command has signals of the terminal already.
#[cfg(posix)]
fn pass_on(signal: Signal, child: &Child) {
    use nix::{
        sys::signal::{Signal as Number, kill},
        unistd::Pid,
    };
    if signal == Signal::Interrupt && is_in_foreground() {
        return;
    }
    let number = match signal {
        Signal::Interrupt => Number::SIGINT,
        Signal::Terminate => Number::SIGTERM,
        Signal::HangUp => Number::SIGHUP,
    };
    let Some(id) = child.id().and_then(|id| id.try_into().ok()) else { return };
    if let Err(error) = kill(Pid::from_raw(id), number) {
        tracing::debug!(%error, "the command did not get a signal");
    }
}

#[cfg(not(posix))]
fn pass_on(_: Signal, _: &Child) {
    // A console sends them to every process that it has.
}

/// Whether Ctrl+C in the terminal reaches this process, and with it the command.
#[cfg(posix)]
fn is_in_foreground() -> bool {
    use nix::unistd::{getpgrp, tcgetpgrp};
    let own = getpgrp();
    let terminals = [tcgetpgrp(io::stdin()), tcgetpgrp(io::stdout()), tcgetpgrp(io::stderr())];
    terminals.into_iter().any(|group| group == Ok(own))
}
