//! The official .NET client: driven by lines of JSON, and by the workloads that it has itself.
//!
//! A driven client is measured from outside: a pipe and a line of JSON stand on either side of each call, together some
//! tenths of a millisecond. Workloads take calls that last much longer.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::Result;

/// Nothing takes longer than this where all is well.
const PATIENCE: Duration = Duration::from_secs(60);

/// Who has heard nothing for so long will not hear any more.
const MISSING: Duration = Duration::from_secs(10);

/// When calls begin.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// So many a second, whether answers come or not.
    Open(f64),
    /// So many are under way: each answer brings the next.
    Closed(usize),
}

/// How long calls took, and how many there were in a second.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) per_second: f64,
    latencies: Vec<Duration>,
}

impl Measured {
    pub(crate) fn milliseconds(&self, percent: usize) -> f64 {
        let at = (self.latencies.len() * percent).div_ceil(100).saturating_sub(1);
        self.latencies.get(at).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
    }
}

/// One connection of the .NET client.
pub(crate) struct Client {
    child: Child,
    input: Option<ChildStdin>,
    lines: mpsc::Receiver<(Instant, String)>,
    next: u64,
}

impl Client {
    /// A client that is connected.
    pub(crate) fn connect(reference: &Path, url: &str, protocol: &str) -> Result<Self> {
        let mut child = Command::new(reference.join("run"))
            .args(["client", "drive"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = BufReader::new(child.stdout.take().ok_or("no output")?);
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in output.lines().map_while(std::result::Result::ok) {
                let _ = sender.send((Instant::now(), line));
            }
        });
        let input = child.stdin.take();
        let mut client = Self { child, input, lines, next: 0 };
        client.ask("build", json!({ "url": url, "transport": "webSockets", "protocol": protocol }))?;
        client.ask("start", json!({}))?;
        Ok(client)
    }

    /// Does something, and waits for its end.
    pub(crate) fn ask(&mut self, what: &str, fields: Value) -> Result<Value> {
        let id = self.say(what, fields)?;
        loop {
            let (_, answered, answer) = self.answer()?;
            if answered == id {
                return Ok(answer);
            }
        }
    }

    /// Does something, and does not wait.
    pub(crate) fn say(&mut self, what: &str, mut fields: Value) -> Result<u64> {
        self.next += 1;
        fields["id"] = self.next.into();
        fields["do"] = what.into();
        self.input.as_mut().ok_or("it has ended")?.write_all(format!("{fields}\n").as_bytes())?;
        Ok(self.next)
    }

    /// The next answer: when it came, to what it is one, and what it is.
    fn answer(&mut self) -> Result<(Instant, u64, Value)> {
        loop {
            let (at, line) = self.lines.recv_timeout(PATIENCE)?;
            let mut said: Value = serde_json::from_str(&line)?;
            if let Some(error) = said.get("error") {
                return Err(format!("the .NET client: {error}").into());
            }
            if let (Some(id), Some(ok)) = (said["id"].as_u64(), said.get_mut("ok")) {
                return Ok((at, id, ok.take()));
            }
        }
    }

    /// Waits for so many messages that a handler was set for: how many came, and how many in a second.
    pub(crate) fn hear(&mut self, count: usize) -> Result<(usize, f64)> {
        let mut times = Vec::with_capacity(count);
        while times.len() < count {
            // What does not come is missing in the figures.
            let Ok((at, line)) = self.lines.recv_timeout(MISSING) else { break };
            if serde_json::from_str::<Value>(&line)?["event"] == "message" {
                times.push(at);
            }
        }
        let (Some(first), Some(last)) = (times.first(), times.last()) else { return Ok((0, f64::NAN)) };
        Ok((times.len(), (times.len() - 1) as f64 / (*last - *first).as_secs_f64()))
    }

    /// Calls a method so often. `what` is `invoke` or `send`.
    pub(crate) fn calls(
        &mut self,
        what: &str,
        target: &str,
        arguments: &Value,
        pace: Pace,
        count: usize,
    ) -> Result<Measured> {
        let (begun, mut under_way) = (Instant::now(), HashMap::new());
        let (mut latencies, mut last, mut made) = (Vec::with_capacity(count), begun, 0);
        while latencies.len() < count {
            let may_begin = made < count
                && match pace {
                    Pace::Open(rate) => {
                        let due = begun + Duration::from_secs_f64(made as f64 / rate);
                        // Answers are noted when they come: nothing is lost by reading them later.
                        thread::sleep(due.saturating_duration_since(Instant::now()));
                        true
                    }
                    Pace::Closed(in_flight) => under_way.len() < in_flight,
                };
            if may_begin {
                let fields = json!({ "target": target, "arguments": arguments });
                let at = Instant::now();
                under_way.insert(self.say(what, fields)?, at);
                made += 1;
                continue;
            }
            let (at, id, _) = self.answer()?;
            if let Some(begun) = under_way.remove(&id) {
                latencies.push(at.saturating_duration_since(begun));
                last = last.max(at);
            }
        }
        latencies.sort_unstable();
        Ok(Measured { per_second: count as f64 / (last - begun).as_secs_f64(), latencies })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It ends with its standard input, and says farewell to the hub.
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

/// A workload of the .NET client's own, at the server with this address; what it does is defined there.
pub(crate) fn bench(reference: &Path, url: &str, workload: &str, options: &[(&str, &str)]) -> Result<Value> {
    let mut command = Command::new(reference.join("run"));
    command.args(["client", "bench", workload, "--url", url]);
    for (name, value) in options {
        command.args([format!("--{name}"), (*value).to_owned()]);
    }
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("the .NET client failed: {command:?}").into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
