//! The reference hub as a process of our own, which can be killed and started again on the same port.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    pub(crate) port: u16,
}

impl Server {
    /// Starts a hub and waits until it says where it listens. 0 is any free port.
    pub(crate) fn start(reference: &Path, port: u16) -> Result<Self, String> {
        let mut child = Command::new(reference.join("run"))
            .args(["hub", "--port", &port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("the reference hub does not start: {error}"))?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).map_err(|error| error.to_string())?;
        }
        let said: Value = serde_json::from_str(&line)
            .map_err(|error| format!("the reference hub said {line:?}: {error}"))?;
        let url = said["url"].as_str().ok_or("the reference hub names no address")?.to_owned();
        let port =
            url.rsplit(':').next().and_then(|port| port.parse().ok()).ok_or("an address without port")?;
        Ok(Self { child, url, port })
    }
}

impl Drop for Server {
    /// Kills it without a shutdown, as a crash would.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
