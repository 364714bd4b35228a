//! The official .NET client, driven by lines of JSON.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::reference_dir;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client that ends when this is dropped: its standard input does.
pub(crate) struct Dotnet {
    _child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
    events: Vec<Value>,
    last_id: u64,
}

impl Dotnet {
    /// A client that is not connected. The reference folder has to be there.
    pub(crate) fn spawn() -> Self {
        Self::of("client")
    }

    /// The same of .NET 11.
    pub(crate) fn spawn_11() -> Self {
        Self::of("client11")
    }

    fn of(program: &str) -> Self {
        let mut child = Command::new(reference_dir().expect("the reference folder").join("run"))
            .args([program, "drive"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the .NET client starts");
        let stdin = child.stdin.take().expect("a pipe");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        Self { _child: child, stdin, stdout, events: Vec::new(), last_id: 0 }
    }

    /// Connects over WebSockets.
    pub(crate) async fn connect(&mut self, url: &str, protocol: &str) {
        let options = json!({"url": url, "protocol": protocol, "transport": "webSockets"});
        self.command("build", options).await;
        self.command("start", json!({})).await;
    }

    /// Gives a command and waits for its result.
    pub(crate) async fn command(&mut self, name: &str, mut fields: Value) -> Value {
        self.last_id += 1;
        fields["do"] = name.into();
        fields["id"] = self.last_id.into();
        self.stdin.write_all(format!("{fields}\n").as_bytes()).await.expect("the .NET client listens");
        loop {
            let line = self.line().await;
            if line["id"] == self.last_id && line.get("item").is_none() {
                assert!(line.get("error").is_none(), "{fields}: {line}, after {:?}", self.events);
                return line["ok"].clone();
            }
            self.events.push(line);
        }
    }

    /// Gives a command and waits for its result, its error, and the items before it.
    pub(crate) async fn outcome(&mut self, name: &str, fields: Value) -> Value {
        let id = self.begin(name, fields).await;
        self.outcome_of(id).await
    }

    /// Gives a command whose [outcome](Self::outcome_of) is asked for later.
    pub(crate) async fn begin(&mut self, name: &str, mut fields: Value) -> u64 {
        self.last_id += 1;
        fields["do"] = name.into();
        fields["id"] = self.last_id.into();
        self.stdin.write_all(format!("{fields}\n").as_bytes()).await.expect("the .NET client listens");
        self.last_id
    }

    /// What came of a command.
    pub(crate) async fn outcome_of(&mut self, id: u64) -> Value {
        let mut items = Vec::new();
        loop {
            let mut line = match self.events.iter().position(|line| line["id"] == id) {
                Some(at) => self.events.remove(at),
                None => self.line().await,
            };
            if line["id"] != id {
                self.events.push(line);
            } else if line.get("item").is_some() {
                items.push(line["item"].take());
            } else {
                line.as_object_mut().expect("an object").remove("id");
                if !items.is_empty() {
                    line["items"] = items.into();
                }
                return line;
            }
        }
    }

    /// The next item of a stream.
    pub(crate) async fn item_of(&mut self, id: u64) -> Value {
        let wanted = |line: &Value| line["id"] == id && line.get("item").is_some();
        loop {
            if let Some(at) = self.events.iter().position(wanted) {
                return self.events.remove(at)["item"].take();
            }
            let line = self.line().await;
            self.events.push(line);
        }
    }

    /// The next event of this name.
    pub(crate) async fn event(&mut self, name: &str) -> Value {
        loop {
            if let Some(at) = self.events.iter().position(|line| line["event"] == name) {
                return self.events.remove(at);
            }
            let line = self.line().await;
            self.events.push(line);
        }
    }

    /// The arguments of the next message to this target.
    pub(crate) async fn message(&mut self, target: &str) -> Value {
        let wanted = |event: &Value| event["event"] == "message" && event["target"] == target;
        loop {
            if let Some(at) = self.events.iter().position(wanted) {
                return self.events.remove(at)["arguments"].take();
            }
            let line = self.line().await;
            self.events.push(line);
        }
    }

    async fn line(&mut self) -> Value {
        let line = tokio::time::timeout(PATIENCE, self.stdout.next_line()).await;
        let line = line.expect("the .NET client answers in time").expect("a pipe");
        serde_json::from_str(&line.expect("the .NET client goes on")).expect("a line of JSON")
    }
}
