//! The program as a process.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, ExitStatus, Output, Stdio},
};

/// The program with arguments, and nothing of the environment that could change what it does.
pub(crate) fn hubwire<I: IntoIterator<Item: AsRef<std::ffi::OsStr>>>(arguments: I) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hubwire"));
    for name in ["HUBWIRE_LOG", "HUBWIRE_CONTEXT", "AzureSignalRConnectionString"] {
        command.env_remove(name);
    }
    // There is no such folder: a developer's own contexts do not count.
    command.env("HUBWIRE_CONFIG", concat!(env!("CARGO_TARGET_TMPDIR"), "/no-settings"));
    command.args(arguments).env("NO_COLOR", "1");
    command
}

/// Runs it to its end, with a text as its standard input.
pub(crate) fn run_with(mut command: Command, input: impl AsRef<[u8]>) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    // A program that does not read its input may have ended by now.
    let _ = child.stdin.take().expect("it is piped").write_all(input.as_ref());
    child.wait_with_output().expect("the program ends")
}

/// Runs it to its end.
pub(crate) fn run<I: IntoIterator<Item: AsRef<std::ffi::OsStr>>>(arguments: I) -> Output {
    run_with(hubwire(arguments), "")
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("it prints UTF-8")
}

#[cfg(unix)]
pub(crate) fn kill(signal: &str, id: u32) {
    assert!(Command::new("kill").args([signal, &id.to_string()]).status().expect("kill is there").success());
}

/// A `hubwire local` that stops when it is dropped.
#[derive(Debug)]
pub(crate) struct Local {
    child: Child,
    /// What it printed when it had started.
    pub(crate) started: serde_json::Value,
}

impl Local {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_in(Path::new(env!("CARGO_MANIFEST_DIR")), arguments, &[])
    }

    /// In a folder, which may have a settings file, and with more in the environment.
    pub(crate) fn start_in(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let all = ["local", "--json", "--until-input-ends", "--port", "0"].iter().chain(arguments);
        let mut command = hubwire(all);
        command.current_dir(folder).envs(environment.iter().copied());
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("it is piped");
        BufReader::new(out).read_line(&mut line).expect("it prints a line");
        let started = serde_json::from_str(&line).expect("the line is JSON");
        Self { child, started }
    }

    /// Of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has ended.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("it is a child")
    }

    pub(crate) fn port(&self) -> String {
        let endpoint = self.started["endpoint"].as_str().expect("it is there");
        endpoint.rsplit(':').next().expect("it has a port").to_owned()
    }

    pub(crate) fn connection_string(&self) -> &str {
        self.started["settings"]["AzureSignalRConnectionString"].as_str().expect("it is there")
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
