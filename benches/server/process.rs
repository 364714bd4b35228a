//! Servers as processes of their own, and what they cost.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::time;

use crate::Result;

/// How often a second the kernel counts in `/proc/PID/stat`: `USER_HZ`, which is part of its interface to programs.
const TICKS: f64 = 100.0;

/// A running server.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    /// The process that serves: a script may have become it, or have started it.
    pid: u32,
}

impl Server {
    /// Starts a server that says where it listens, and ends with its standard input.
    pub(crate) fn start(program: &Path, arguments: &[&str]) -> Result<Self> {
        let mut child =
            Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().ok_or("no output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let said: serde_json::Value = serde_json::from_str(&line)?;
        let url = said["url"].as_str().or(said["endpoint"].as_str());
        let port = url.and_then(|url| url.rsplit(':').next()?.parse().ok());
        // A program that does not say so is the process itself.
        let pid = said["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).unwrap_or(child.id());
        Ok(Self { child, port: port.ok_or("an address without a port")?, pid })
    }

    /// The CPU time of all its threads so far, those included that have ended.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        // The name, in parentheses, may contain anything. From the state behind it on, time in the program and in the
        // kernel are the 12th and the 13th field.
        let (_, fields) = stat.rsplit_once(") ").ok_or("a stat without a name")?;
        let ticks: u64 =
            fields.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().unwrap_or(0)).sum();
        Ok(Duration::from_secs_f64(ticks as f64 / TICKS))
    }

    /// How much of its memory is resident, in bytes.
    pub(crate) fn resident(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kilobytes * 1024)
    }

    /// What is resident when it no longer changes much.
    pub(crate) async fn settled(&self) -> Result<u64> {
        let mut last = self.resident()?;
        loop {
            time::sleep(Duration::from_secs(2)).await;
            let now = self.resident()?;
            if now.abs_diff(last) < 256 * 1024 {
                return Ok(now);
            }
            last = now;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It ends with its standard input.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
