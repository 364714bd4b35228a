//! The official .NET clients against a hub hosted in Rust and against the same hub in ASP.NET Core: the answers are equal.

use serde_json::{Value, json};

use crate::conformance_hub::{conformance_hub, serve};
use crate::support::{dotnet::Dotnet, reference_hub};

/// What a client sees of each call.
async fn play(client: &mut Dotnet, base: &str, transport: &str, protocol: &str) -> Vec<(Value, Value)> {
    let mut seen = Vec::new();
    for path in ["hub", "detailed"] {
        let options = json!({"url": format!("{base}/{path}?colour=blue"), "transport": transport, "protocol": protocol,
            "headers": {"X-Colour": "green"}});
        client.command("build", options).await;
        client.command("start", json!({})).await;
        for (name, fields) in script(path) {
            let outcome = outcome(client, name, &fields).await;
            seen.push((json!([path, name, fields]), outcome));
        }
        client.command("on", json!({"target": "Number"})).await;
        client.command("invoke", json!({"target": "PushNumbers", "arguments": ["Number", 100]})).await;
        for number in 0..100 {
            assert_eq!(client.message("Number").await, json!([number]));
        }
        client.command("on", json!({"target": "Uploaded"})).await;
        client.command("send", json!({"target": "UploadQuietly", "uploads": [[1, 2, 3]]})).await;
        assert_eq!(client.message("Uploaded").await, json!([6]));
        client.command("on", json!({"target": "Answered"})).await;
        client.command("answer", json!({"target": "Question", "result": "because"})).await;
        client.command("invoke", json!({"target": "AskLater", "arguments": ["Question", "why"]})).await;
        assert_eq!(client.message("Answered").await, json!(["because"]));
        client.command("answer", json!({"target": "Trouble", "error": "no idea"})).await;
        for target in ["Trouble", "Nobody"] {
            client.command("invoke", json!({"target": "AskLater", "arguments": [target, "why"]})).await;
            seen.push((json!([path, "asked", target]), client.message("Answered").await));
        }
        // The other hub's clients are those of other tests too.
        let news = format!("News{transport}{protocol}");
        client.command("on", json!({"target": news})).await;
        let room = format!("room{transport}{protocol}");
        let me = client.command("state", json!({})).await["connectionId"].clone();
        client.command("invoke", json!({"target": "Join", "arguments": [room]})).await;
        client.command("invoke", json!({"target": "ToOthers", "arguments": [news, "not to me"]})).await;
        for (target, arguments) in [
            ("ToAll", json!([news, 1])),
            ("ToGroup", json!([room, news, 2])),
            ("ToConnection", json!([me, news, 3])),
        ] {
            client.command("invoke", json!({"target": target, "arguments": arguments})).await;
        }
        client.command("invoke", json!({"target": "Leave", "arguments": [room]})).await;
        client.command("invoke", json!({"target": "ToGroup", "arguments": [room, news, "left"]})).await;
        client.command("invoke", json!({"target": "ToAll", "arguments": [news, 4]})).await;
        for number in 1..=4 {
            assert_eq!(client.message(&news).await, json!([number]));
        }
        let closing = client.outcome("invoke", json!({"target": "Close"})).await;
        let closed = client.event("closed").await;
        seen.push((json!([path, "Close"]), json!([closing.get("ok").is_some(), closed["error"]])));
    }
    seen
}

/// What a call comes to. A busy .NET client may break off an upload by itself (`ObjectDisposedException`: it disposes of what
/// cancels an upload while that begins), which a hub without details shows as any error. So a call with uploads that fails
/// is made again; where the hub is why, it fails again.
async fn outcome(client: &mut Dotnet, name: &str, fields: &Value) -> Value {
    let mut outcome = client.outcome(name, fields.clone()).await;
    for _ in 0..5 {
        if fields.get("uploads").is_none() || outcome.get("error").is_none() {
            break;
        }
        outcome = client.outcome(name, fields.clone()).await;
    }
    outcome
}

/// A method that takes three items of an upload of so many.
fn take(sent: usize) -> Value {
    json!({"target": "UploadTake", "uploads": [(0..sent).collect::<Vec<_>>()], "arguments": [3], "uploadsFirst": true})
}

/// A method may return before its upload has ended, which harms nothing. Only here: ASP.NET Core (10.0.12, 11.0.0) now and then
/// ends the connection by a `ChannelClosedException`, when it is writing an item while the method returns.
async fn take_less_than_is_sent(client: &mut Dotnet, base: &str, transport: &str, protocol: &str) {
    let options = json!({"url": format!("{base}/detailed"), "transport": transport, "protocol": protocol});
    client.command("build", options).await;
    client.command("start", json!({})).await;
    for _ in 0..20 {
        assert_eq!(outcome(client, "invoke", &take(300)).await, json!({"ok": 3}));
        assert_eq!(client.command("invoke", json!({"target": "Add", "arguments": [1, 2]})).await, json!(3));
    }
    client.command("stop", json!({})).await;
}

fn script(path: &str) -> Vec<(&'static str, Value)> {
    let call = |target: &str, arguments: Value| json!({"target": target, "arguments": arguments});
    let mut script = vec![
        ("invoke", call("Add", json!([1, 2]))),
        ("invoke", call("aDD", json!([1, 2]))),
        ("invoke", call("Void", json!([]))),
        ("invoke", call("NullResult", json!([]))),
        ("invoke", call("LargeString", json!([100_000]))),
        ("invoke", call("named.otherwise", json!([]))),
        ("invoke", call("HubError", json!(["told"]))),
        ("invoke", call("Nothing", json!([]))),
        ("stream", call("Nothing", json!([]))),
        ("invoke", call("Counter", json!([3, 0]))),
        ("stream", call("Add", json!([1, 2]))),
        ("stream", call("Counter", json!([3, 1]))),
        ("stream", call("CounterChannel", json!([2_000]))),
        ("stream", call("CounterThenError", json!([2, "broken"]))),
        ("stream", call("LargeItems", json!([20, 20_000]))),
        ("invoke", json!({"target": "UploadSum", "uploads": [[1, 2, 3]]})),
        ("invoke", json!({"target": "UploadSum", "uploads": [(0..500).collect::<Vec<_>>()]})),
        ("invoke", json!({"target": "UploadSum", "uploads": [[]]})),
        ("invoke", json!({"target": "UploadTwo", "uploads": [[1, 2, 3], ["a", "b"]]})),
        (
            "invoke",
            json!({"target": "UploadConcat", "uploads": [["a", "b"]], "uploadsFirst": true, "arguments": ["-"]}),
        ),
        ("invoke", json!({"target": "UploadOutcome", "uploads": [[1, 2]]})),
        ("invoke", json!({"target": "UploadOutcome", "uploads": [[1, {"$error": "client broke"}]]})),
        ("invoke", take(3)),
        ("stream", json!({"target": "EchoStream", "uploads": [[1, "two", null]]})),
        ("invoke", call("Header", json!(["X-Colour"]))),
        ("invoke", call("Query", json!(["colour"]))),
        ("invoke", call("Echo", json!([{"a": [1, 2.5, null, true, "ü"]}]))),
    ];
    // With details these have texts of .NET's or of Rust's own.
    if path == "hub" {
        script.extend([
            ("invoke", call("Throw", json!([]))),
            ("invoke", call("EchoInt", json!(["text"]))),
            ("invoke", json!({"target": "UploadSum", "uploads": [["text"]]})),
        ]);
    }
    // These fail before a method is called.
    script.extend([
        ("invoke", call("Add", json!([1]))),
        ("invoke", call("Add", json!([1, 2, 3]))),
        ("invoke", call("Void", json!([1]))),
        ("invoke", call("UploadSum", json!([]))),
        ("invoke", json!({"target": "Add", "uploads": [[1]], "arguments": [1, 2]})),
        ("invoke", json!({"target": "UploadSum", "uploads": [[1], [2]]})),
        ("invoke", call("Add", json!([20, 3]))),
    ]);
    script
}

async fn compare(client: fn() -> Dotnet, transport: &str, protocol: &str) {
    let ours = serve([
        ("/hub", conformance_hub().build()),
        ("/detailed", conformance_hub().detailed_errors().build()),
    ])
    .await;
    compare_at(&ours, client, transport, protocol).await;
}

/// Plays the same with ASP.NET Core's hub and with ours at this address.
pub(crate) async fn compare_at(ours: &str, client: fn() -> Dotnet, transport: &str, protocol: &str) {
    let Some(theirs) = reference_hub("the .NET client against both hubs") else { return };
    let (mut one, mut other) = (client(), client());
    let (expected, actual) = tokio::join!(
        play(&mut one, theirs, transport, protocol),
        play(&mut other, ours, transport, protocol)
    );
    let mut differences = Vec::new();
    for ((what, expected), (_, actual)) in expected.iter().zip(&actual) {
        if expected != actual {
            differences.push(format!("{what}\n  ASP.NET Core: {expected}\n  ours:         {actual}"));
        }
    }
    assert!(differences.is_empty(), "{transport}, {protocol}:\n{}", differences.join("\n"));
    take_less_than_is_sent(&mut other, ours, transport, protocol).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_those_of_asp_net_core_over_web_sockets() {
    compare(Dotnet::spawn, "webSockets", "json").await;
    compare(Dotnet::spawn_11, "webSockets", "messagepack").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_those_of_asp_net_core_over_server_sent_events() {
    compare(Dotnet::spawn_11, "serverSentEvents", "json").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_those_of_asp_net_core_over_long_polling() {
    compare(Dotnet::spawn_11, "longPolling", "json").await;
    compare(Dotnet::spawn, "longPolling", "messagepack").await;
}
