//! Servers that the tests talk to. They end with this program.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::command::{command, show};

const START: Duration = Duration::from_secs(60);

/// A running server.
pub(crate) struct Program {
    child: Child,
    /// Where it listens, without a slash at the end.
    pub(crate) url: String,
}

impl Program {
    /// The reference hub: ASP.NET Core SignalR, where `HUBWIRE_REFERENCE_DIR` names it. It ends with its standard input.
    pub(crate) fn reference_hub() -> Result<Option<Self>> {
        Self::reference("hub")
    }

    /// The same on ASP.NET Core 11.
    pub(crate) fn reference_hub_11() -> Result<Option<Self>> {
        Self::reference("hub11")
    }

    fn reference(program: &str) -> Result<Option<Self>> {
        let Some(dir) = std::env::var_os("HUBWIRE_REFERENCE_DIR").filter(|dir| !dir.is_empty()) else {
            return Ok(None);
        };
        let mut hub = command(std::path::Path::new(&dir).join("run"));
        Self::start(hub.arg(program)).map(Some)
    }

    /// Starts a server that prints the URL it listens on, and waits until it did.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start: {}", show(command)))?;
        let (found, url) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            // Reads on to the end, or the server would block on a full pipe.
            thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if let Some(url) = url_in(&line) {
                        let _ = found.send(url);
                    }
                }
            });
        }
        let mut program = Self { child, url: String::new() };
        match url.recv_timeout(START) {
            Ok(url) => program.url = url,
            Err(_) => bail!("printed no URL to listen on: {}", show(command)),
        }
        println!("{} listens on {}", show(command), program.url);
        Ok(program)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first loopback URL in a line, without path.
fn url_in(line: &str) -> Option<String> {
    let start = line.find("http://")?;
    let rest = line.get(start..)?;
    let authority = rest.get(7..)?.split(['/', '"', ' ', ',', ')', '\u{1b}']).next()?;
    authority.contains(':').then(|| format!("http://{authority}"))
}
