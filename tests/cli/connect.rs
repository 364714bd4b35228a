//! `hubwire connect`.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    hub::hub,
    program::{Local, hubwire, run, run_with, text},
};

/// What it printed, line by line.
fn lines(bytes: &[u8]) -> Vec<Value> {
    text(bytes).lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

/// The events of a kind, without what differs each time.
fn of_kind(all: &[Value], kind: &str) -> Vec<Value> {
    let mut events: Vec<_> = all.iter().filter(|event| event["type"] == kind).cloned().collect();
    for event in events.iter_mut().filter_map(Value::as_object_mut) {
        assert!(event.remove("time").is_some_and(|time| time.is_string()));
        event.remove("type");
        event.remove("milliseconds");
    }
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_standard_input_are_commands() {
    let url = hub().await;
    for protocol in ["json", "messagepack"] {
        let input = "# a remark\ninvoke Add 1 2\ninvoke Echo {\"a\": [1, \"x y\"]}\nsend Push News [\"a\", null]\n\
                     stream Counter 3 0\nupload UploadSum\n4\n5\n.\ninvoke HubError no\ninvoke Bytes 3\n";
        let output = run_with(hubwire(["connect", &url, "--json", "--protocol", protocol]), input);
        let all = lines(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{all:?}");
        assert_eq!(of_kind(&all, "connected")[0]["protocol"], protocol);
        let mut results = of_kind(&all, "result");
        results.sort_by_key(|result| result["call"].as_u64());
        assert_eq!(
            results,
            [
                json!({"call": 1, "target": "Add", "result": 3}),
                json!({"call": 2, "target": "Echo", "result": {"a": [1, "x y"]}}),
                json!({"call": 5, "target": "UploadSum", "result": 9}),
                json!({"call": 7, "target": "Bytes", "result": "AAEC"}),
            ]
        );
        assert_eq!(of_kind(&all, "message"), [json!({"target": "News", "arguments": ["a", null]})]);
        let items: Vec<_> = of_kind(&all, "item").iter().map(|item| item["item"].clone()).collect();
        assert_eq!(items, [0, 1, 2]);
        assert_eq!(of_kind(&all, "end"), [json!({"call": 4, "target": "Counter", "items": 3})]);
        let failed = of_kind(&all, "failed");
        assert!(failed.len() == 1 && failed[0]["error"].as_str().is_some_and(|error| error.contains("no")));
        assert_eq!(all.last().expect("there are lines")["type"], "disconnected");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_made_at_once_and_questions_are_answered() {
    let url = hub().await;
    let output = run([
        "connect", &url, "--json", "--invoke", "Add", "1", "-2", "--send", "AskLater", "Name", "who",
        "--stream", "Counter", "2", "0", "--answer", "Name=Bob", "--invoke", "Slow", "200", "--exit",
    ]);
    let all = lines(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{all:?}");
    // In the order of the options.
    let calls = of_kind(&all, "result");
    assert!(calls.contains(&json!({"call": 1, "target": "Add", "result": -1})), "{all:?}");
    assert_eq!(of_kind(&all, "sent"), [json!({"call": 2, "target": "AskLater"})]);
    assert_eq!(of_kind(&all, "end"), [json!({"call": 3, "target": "Counter", "items": 2})]);
    let question = json!({"target": "Name", "arguments": ["who"], "answer": "Bob"});
    assert_eq!(of_kind(&all, "question"), [question]);
    assert_eq!(of_kind(&all, "message"), [json!({"target": "Answered", "arguments": ["Bob"]})]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_wanted_is_shown() {
    let url = hub().await;
    let input = "invoke Push News [1]\ninvoke Push Other [2]\non Other\noff news\ninvoke Push News [3]\ninvoke Push Other [4]\n";
    let output = run_with(hubwire(["connect", &url, "--json", "--on", "News"]), input);
    // Commands do not wait for results, so what they show and hide comes first.
    let all = lines(&output.stdout);
    assert_eq!(of_kind(&all, "result").len(), 4);
    assert!(of_kind(&all, "message").iter().any(|message| message["arguments"] == json!([4])), "{all:?}");
    assert!(!of_kind(&all, "message").iter().any(|message| message["arguments"] == json!([3])), "{all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_before_the_last_result_is_shown() {
    let url = hub().await;
    let output = run(["connect", &url, "--json", "--invoke", "PushNumbers", "News", "700", "--exit"]);
    let numbers: Vec<_> = of_kind(&lines(&output.stdout), "message")
        .iter()
        .map(|message| message["arguments"][0].as_u64().expect("a number"))
        .collect();
    assert_eq!(numbers, (0..700).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_connection_is_told() {
    let url = hub().await;
    let output = run(["connect", &url, "--json", "--send", "Close", "--stay"]);
    let all = lines(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{all:?}");
    let ended = of_kind(&all, "disconnected");
    assert!(ended.len() == 1 && ended[0]["error"].is_string(), "{all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_of_the_service_is_reached_by_its_connection_string() {
    let local = Local::start(&[]);
    let mut command = hubwire(["connect", "--hub", "chat", "--user", "alice", "--json"]);
    command.env("AzureSignalRConnectionString", local.connection_string());
    let output = run_with(command, "state\n");
    let all = lines(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{all:?} {}", text(&output.stderr));
    assert_eq!(of_kind(&all, "state"), [json!({"text": "connected"})]);
}

#[test]
fn a_hub_that_is_not_there_is_a_failure() {
    let output = run(["connect", "http://127.0.0.1:9/hub", "--exit"]);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains("http://127.0.0.1:9/hub") && error.contains("hubwire negotiate"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_cancelled() {
    let url = hub().await;
    let input = "invoke Slow 600000\nstream Counter 1000000 600000\ncancel #1\ncancel\ncancel 7\n";
    let command = hubwire(["connect", &url, "--json"]);
    let ended = tokio::task::spawn_blocking(move || run_with(command, input));
    let output =
        tokio::time::timeout(Duration::from_secs(60), ended).await.expect("it ends").expect("it runs");
    let all = lines(&output.stdout);
    let cancelled = [json!({"call": 1, "target": "Slow"}), json!({"call": 2, "target": "Counter"})];
    assert_eq!(of_kind(&all, "cancelled"), cancelled, "{all:?}");
    assert_eq!(of_kind(&all, "mistake"), [json!({"error": "the call #7 is not under way"})]);
    // A mistake is one, but a call that was given up is no failure.
    assert_eq!((of_kind(&all, "failed"), output.status.code()), (Vec::new(), Some(1)));
}

/// The program in a terminal, which `script` of util-linux has.
struct Terminal {
    child: std::process::Child,
    input: std::process::ChildStdin,
    shown: BufReader<std::process::ChildStdout>,
    screen: String,
}

impl Terminal {
    /// `None`, and a loud line, where there is no `script`.
    fn start(arguments: &str, state: &std::path::Path) -> Option<Self> {
        let version = Command::new("script").arg("--version").output();
        if !version.is_ok_and(|output| text(&output.stdout).contains("util-linux")) {
            eprintln!("SKIPPED: there is no `script` of util-linux");
            return None;
        }
        let program = format!("{} {arguments}", env!("CARGO_BIN_EXE_hubwire"));
        let mut command = Command::new("timeout");
        command
            .args(["60", "script", "-qefc", &program, "/dev/null"])
            .env("TERM", "xterm")
            .env("HUBWIRE_STATE", state);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script starts");
        let input = child.stdin.take().expect("it is piped");
        let shown = BufReader::new(child.stdout.take().expect("it is piped"));
        Some(Self { child, input, shown, screen: String::new() })
    }

    /// Waits until this is shown.
    fn wait_for(&mut self, part: &str) {
        while !self.screen.contains(part) {
            let mut byte = [0];
            self.shown.read_exact(&mut byte).unwrap_or_else(|_| panic!("{part} in {}", self.screen));
            self.screen.push(char::from(byte[0]));
        }
        self.screen.clear();
    }

    fn press(&mut self, key: &str) {
        self.input.write_all(key.as_bytes()).expect("it reads");
        self.input.flush().expect("it reads");
    }

    /// As a person types: each key is seen before the next one.
    fn type_keys(&mut self, keys: impl IntoIterator<Item = String>) {
        let mut seen = "> ".to_owned();
        for key in keys {
            self.wait_for(&seen);
            self.press(&key);
            seen = match &*key {
                "\t" => "invoke ".to_owned(),
                "\x7f" => "\x1b[K".to_owned(),
                "\x1b[A" => "Add 40 2".to_owned(),
                _ => key,
            };
        }
    }

    fn exit_code(mut self) -> Option<i32> {
        self.child.wait().expect("it ends").code()
    }
}

fn keys(text: &str) -> impl Iterator<Item = String> {
    text.chars().map(String::from)
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_terminal_lines_are_edited_and_kept() {
    let state = std::env::temp_dir().join(format!("hubwire-state-{}", std::process::id()));
    let Some(mut terminal) = Terminal::start(&format!("connect {}", hub().await), &state) else { return };
    terminal.wait_for("lists the commands");
    // Tab completes a command, the backspace takes a digit away, and the line before, by the arrow, is not the one with a
    // secret.
    terminal.type_keys(keys("inv\tAdd 40 23\x7f\r"));
    terminal.wait_for(" ms");
    terminal.type_keys(keys("send Login {\"password\": 1}\r"));
    terminal.wait_for("sent");
    terminal.type_keys(["\x1b[A", "\r"].map(str::to_owned));
    terminal.wait_for(" ms");
    terminal.type_keys(["\x04".to_owned()]);
    terminal.wait_for("disconnected");
    assert_eq!(terminal.exit_code(), Some(0));
    let history = std::fs::read_to_string(state.join("history")).expect("there is a history");
    assert_eq!(history, "invoke Add 40 2\n");
    std::fs::remove_dir_all(&state).expect("it is removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_drops_a_line_before_it_ends() {
    let state = std::env::temp_dir().join(format!("hubwire-state-of-ctrl-c-{}", std::process::id()));
    let Some(mut terminal) = Terminal::start(&format!("connect {}", hub().await), &state) else { return };
    terminal.wait_for("lists the commands");
    terminal.type_keys(keys("invo\x03"));
    // What was typed is gone: otherwise this would be no command.
    terminal.type_keys(keys("invoke Add 1 2\r"));
    terminal.wait_for(" ms");
    terminal.type_keys(["\x03".to_owned()]);
    terminal.wait_for("disconnected");
    assert_eq!(terminal.exit_code(), Some(0));
    std::fs::remove_dir_all(&state).expect("it is removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stays_until_it_is_interrupted() {
    let url = hub().await;
    let mut command = hubwire(["connect", &url, "--stay", "--json"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut shown = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut line = String::new();
    while !line.contains("\"connected\"") {
        line.clear();
        assert_ne!(shown.read_line(&mut line).expect("it prints lines"), 0);
    }
    let killed =
        Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill is there");
    assert!(killed.success());
    let ended = tokio::task::spawn_blocking(move || child.wait());
    let ended = tokio::time::timeout(Duration::from_secs(30), ended).await.expect("it ends in time");
    assert_eq!(ended.expect("it is awaited").expect("it ends").code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_ends_where_nothing_is_awaited() {
    let url = hub().await;
    for calls in [&["--send", "Void"][..], &[]] {
        let arguments = [&["connect", &url, "--json", "--exit"], calls].concat();
        let command = hubwire(arguments);
        let ended = tokio::task::spawn_blocking(move || run_with(command, ""));
        let output = tokio::time::timeout(Duration::from_secs(20), ended).await.expect("it ends");
        let output = output.expect("it runs");
        assert!(output.status.success(), "{calls:?}: {}", text(&output.stdout));
    }
}
