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
async fn lines_that_cannot_be_read_whole_are_left_out() {
    let url = hub().await;
    let mut input = b"upload UploadSum\n4\n\"\xff\"\n5\n.\ninvoke Echo \"\xe9\"\ninvoke Echo ".to_vec();
    input.resize(input.len() + (16 << 20), b'x');
    input.extend_from_slice(b"\ninvoke Add 1 2\n");
    let output = run_with(hubwire(["connect", &url, "--json"]), input);
    let all = lines(&output.stdout);
    let mistakes = of_kind(&all, "mistake");
    let told: Vec<_> = mistakes.iter().filter_map(|mistake| mistake["error"].as_str()).collect();
    let [item, call, long] = told[..] else { panic!("{mistakes:?}") };
    assert!(item.contains("is not UTF-8") && item.contains("goes on"), "{item}");
    assert!(call.contains("is not UTF-8") && long.contains("longer than 16 MiB"), "{call} {long}");
    let mut results = of_kind(&all, "result");
    results.sort_by_key(|result| result["call"].as_u64());
    assert_eq!(
        results,
        [
            json!({"call": 1, "target": "UploadSum", "result": 9}),
            json!({"call": 2, "target": "Add", "result": 3}),
        ]
    );
    assert_eq!(output.status.code(), Some(1));
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

#[tokio::test(flavor = "multi_thread")]
async fn items_of_an_upload_that_has_ended_are_no_commands() {
    let url = hub().await;
    // The second item is no number: the call fails while others are still to come.
    let mut command = hubwire(["connect", &url, "--json"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program starts");
    let mut input = child.stdin.take().expect("it is piped");
    let mut shown = BufReader::new(child.stdout.take().expect("it is piped"));
    input.write_all(b"upload UploadSum\n{\n[1]\n").expect("it reads");
    let mut all = Vec::new();
    while all.last().is_none_or(|event: &Value| event["type"] != "uploadEnded") {
        let mut line = String::new();
        assert_ne!(shown.read_line(&mut line).expect("it prints lines"), 0, "{all:?}");
        all.push(serde_json::from_str(&line).expect("each line is JSON"));
    }
    input.write_all(b"invoke Add 1 2\n.\ninvoke Add 3 4\n").expect("it reads");
    drop(input);
    let mut rest = String::new();
    shown.read_to_string(&mut rest).expect("it prints text");
    all.extend(lines(rest.as_bytes()));
    assert_eq!(of_kind(&all, "uploadEnded"), [json!({"call": 1, "target": "UploadSum"})]);
    let mistakes = of_kind(&all, "mistake");
    assert!(
        mistakes.len() == 1 && mistakes[0]["error"].as_str().is_some_and(|text| text.contains("goes on"))
    );
    assert_eq!(of_kind(&all, "result"), [json!({"call": 2, "target": "Add", "result": 7})], "{all:?}");
    assert_eq!(child.wait().expect("it ends").code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_follows_the_end_of_the_connection() {
    let url = hub().await;
    for _ in 0..20 {
        for input in ["invoke Close\n", "send Close\ninvoke Slow 60000\n", "invoke Slow 1\nsend Close\n"] {
            let output = run_with(hubwire(["connect", &url, "--json"]), input);
            let all = lines(&output.stdout);
            assert_eq!(all.last().expect("there are lines")["type"], "disconnected", "{all:?}");
        }
    }
}
