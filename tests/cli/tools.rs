//! `hubwire negotiate`, `token`, `publish`, `group`, `close` and `completions`.

use std::process::Command;

use hubwire::{
    HubConnection,
    service::{NegotiateOptions, ServiceClient, ServiceEndpoint},
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{
    hub::hub,
    program::{Local, hubwire, run_with, text},
};

/// What one value it printed, or else its failure, and its exit code.
pub(crate) fn answer(command: Command, input: &str) -> (Value, Option<i32>) {
    let output = run_with(command, input);
    let printed = text(if output.stdout.is_empty() { &output.stderr } else { &output.stdout });
    let value = serde_json::from_str(printed).unwrap_or_else(|error| {
        panic!("{error}: {printed} {}", text(&output.stderr));
    });
    (value, output.status.code())
}

/// Runs it with `--json` while the runtime goes on serving.
pub(crate) async fn json_of(arguments: &[&str]) -> (Value, Option<i32>) {
    let command = hubwire(["--json"].iter().chain(arguments));
    tokio::task::spawn_blocking(move || answer(command, "")).await.expect("it does not panic")
}

/// With the connection string of a service in the environment.
pub(crate) fn with_service(local: &Local, arguments: &[&str]) -> Command {
    let mut command = hubwire(["--json"].iter().chain(arguments));
    command.env("AzureSignalRConnectionString", local.connection_string());
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn negotiate_shows_what_is_offered_and_taken() {
    let url = hub().await;
    let (shown, code) = json_of(&["negotiate", &url, "--transport", "long-polling,sse"]).await;
    assert_eq!(code, Some(0), "{shown}");
    assert_eq!(shown["chosen"], "ServerSentEvents");
    assert_eq!(shown["error"], Value::Null);
    let [hop] = &shown["hops"].as_array().expect("a list")[..] else { panic!("{shown}") };
    assert_eq!((&hop["url"], &hop["status"]), (&json!(format!("{url}/negotiate")), &json!(200)));
    assert_eq!(hop["answer"]["negotiateVersion"], 1);
    assert!(hop["answer"]["connectionTokenLength"].as_u64().is_some_and(|length| length > 10), "{hop}");
    assert_eq!(
        shown["transports"],
        json!([
            { "name": "WebSockets", "formats": ["Text", "Binary"], "reason": "it is disabled by the client's options" },
            { "name": "ServerSentEvents", "formats": ["Text"], "reason": null },
            { "name": "LongPolling", "formats": ["Text", "Binary"], "reason": null },
        ])
    );
    let only_events = ["negotiate", &url, "--transport", "sse", "--protocol", "messagepack"];
    let (shown, code) = json_of(&only_events).await;
    assert_eq!((&shown["chosen"], code), (&Value::Null, Some(1)), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn negotiate_says_what_is_wrong_and_what_to_do() {
    let url = hub().await;
    let base = url.trim_end_matches("/hub");
    for (url, error, advice) in [
        (format!("{base}/nothing"), "status 404", "MapHub"),
        (format!("{base}/nothing/negotiate"), "status 404", "leave `/negotiate` out"),
        ("http://127.0.0.1:1/hub".to_owned(), "refused", "is the server running at 127.0.0.1:1"),
    ] {
        let (shown, code) = json_of(&["negotiate", &url]).await;
        assert_eq!(code, Some(1), "{shown}");
        assert!(shown["error"].as_str().is_some_and(|text| text.contains(error)), "{shown}");
        assert!(shown["advice"].as_str().is_some_and(|text| text.contains(advice)), "{shown}");
    }
    let (shown, code) = json_of(&["negotiate", &url, "--origin", "https://app.example.com"]).await;
    assert_eq!(code, Some(1), "{shown}");
    let problems = &shown["hops"][0]["corsProblems"];
    assert!(problems[0].as_str().is_some_and(|text| text.contains("OPTIONS")), "{shown}");
}

/// A redirect's token is read, and no secret is printed.
#[test]
fn negotiate_at_the_service_shows_its_token() {
    let local = Local::start(&[]);
    let arguments = ["negotiate", "--hub", "chat", "--user", "alice", "--claim", "team=red"];
    let (shown, code) = answer(with_service(&local, &arguments), "");
    assert_eq!(code, Some(0), "{shown}");
    let token = &shown["hops"][0]["token"];
    assert_eq!((&token["hub"], &token["user"]), (&json!("chat"), &json!("alice")));
    assert!(token["expiresInSeconds"].as_u64().is_some_and(|left| (3500..=3600).contains(&left)), "{token}");
    assert!(token["claims"].as_array().is_some_and(|names| names.contains(&json!("team"))), "{token}");
    assert!(!shown.to_string().contains("eyJ"), "{shown}");
}

#[test]
fn a_token_that_is_made_is_read() {
    let local = Local::start(&[]);
    let make =
        ["token", "--make", "--hub", "Chat", "--user", "alice", "--claim", "role=admin", "--ttl", "10m"];
    let (made, code) = answer(with_service(&local, &make), "");
    assert_eq!(code, Some(0), "{made}");
    // A second may have begun since it was made.
    assert!(made["expiresInSeconds"].as_u64().is_some_and(|left| (595..=600).contains(&left)), "{made}");
    let token = made["token"].as_str().expect("a token");

    let read = ["token", "--connection-string", "env:AzureSignalRConnectionString", "--hub", "chat"];
    let (shown, code) = answer(with_service(&local, &read), &format!("Bearer {token}\n"));
    assert_eq!((code, &shown["problems"]), (Some(0), &json!([])), "{shown}");
    assert_eq!(
        (&shown["hub"], &shown["user"], &shown["signature"]),
        (&json!("chat"), &json!("alice"), &json!("valid"))
    );
    assert_eq!(shown["header"]["alg"], "HS256");
    let claims = shown["claims"].as_array().expect("a list");
    assert!(
        claims.contains(&json!({ "name": "role", "value": "admin", "meaning": "the user's roles" })),
        "{shown}"
    );
    assert!(claims.iter().any(|claim| claim["name"] == "asrs.s.uid" && claim["meaning"] == "the user's id"));

    let mut command = with_service(&local, &["token", "-", "--hub", "news", "--key", "env:OTHER_KEY"]);
    command.env("OTHER_KEY", "another key");
    let (shown, code) = answer(command, token);
    assert_eq!((code, &shown["signature"]), (Some(1), &json!("wrongKey")), "{shown}");
    let problems = shown["problems"].as_array().expect("a list");
    assert_eq!(problems[0], "it is for the hub chat, not for news");
    assert!(
        problems[1].as_str().is_some_and(|text| text.starts_with("it is signed with another key")),
        "{shown}"
    );
}

#[test]
fn what_is_not_a_client_token_is_refused() {
    // {"alg":"HS256"} . {"exp":1}
    let expired = "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9.c2ln";
    let (shown, code) = answer(hubwire(["--json", "token"]), expired);
    assert_eq!(code, Some(1), "{shown}");
    assert_eq!(
        shown["problems"].as_array().map(Vec::len),
        Some(2),
        "expired, and without an audience: {shown}"
    );
    let (shown, _) = answer(hubwire(["--json", "token", "--other"]), expired);
    assert_eq!(shown["problems"].as_array().map(Vec::len), Some(1), "{shown}");
    let (shown, code) = answer(hubwire(["--json", "token"]), "c2VjcmV0");
    assert_eq!(code, Some(1));
    assert!(shown["advice"].is_string() && !shown.to_string().contains("c2VjcmV0"), "{shown}");
}

/// A client of the service that tells what it hears.
pub(crate) async fn listener(local: &Local, user: &str) -> (HubConnection, mpsc::UnboundedReceiver<Value>) {
    let endpoint = ServiceEndpoint::from_connection_string(local.connection_string()).expect("it is valid");
    let service = ServiceClient::builder().endpoint(endpoint).build().expect("it is complete");
    let chat = service.hub("chat").expect("it is a name");
    let access = chat.negotiate(NegotiateOptions::for_user(user)).await.expect("a client gets in");
    let (heard, hears) = mpsc::unbounded_channel();
    let connection = HubConnection::builder(&access.url)
        .with_access_token(move || {
            std::future::ready(Ok::<_, std::convert::Infallible>(access.access_token.clone()))
        })
        .on("Say", move |first: Value, second: Value| {
            let _ = heard.send(json!([first, second]));
        })
        .connect()
        .await
        .expect("it connects");
    (connection, hears)
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_published_and_connections_closed() {
    let local = Local::start(&[]);
    let (alice, mut hears) = listener(&local, "alice").await;
    let id = alice.connection_id().expect("it is connected");
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("argument.json");
    std::fs::write(&file, "{\"from\": \"a file\"}\n").expect("it can be written");
    let file = format!("@{}", file.display());

    let (done, code) =
        answer(with_service(&local, &["group", "add", "red", "user:alice", "--hub", "chat"]), "");
    assert_eq!((code, &done), (Some(0), &json!({ "added": "user:alice", "group": "red" })));
    let to_connection = format!("connection:{id}");
    for (to, words, input, heard) in [
        ("all", &["1", "hello there"][..], "", json!([1, "hello there"])),
        ("user:alice", &["{\"a\": [true]}", "null"], "", json!([{ "a": [true] }, null])),
        ("group:red", &[&file, "-1"], "", json!([{ "from": "a file" }, -1])),
        (&to_connection, &["x", "-"], "[1, 2]", json!(["x", [1, 2]])),
    ] {
        let arguments = [&["publish", "--hub", "chat", "--", to, "Say"], words].concat();
        let (done, code) = answer(with_service(&local, &arguments), input);
        assert_eq!(code, Some(0), "{done}");
        assert_eq!(
            (&done["to"], &done["method"], &done["arguments"]),
            (&json!(to), &json!("Say"), &json!(2))
        );
        assert_eq!(done["acceptedBy"].as_array().map(Vec::len), Some(1), "{done}");
        assert_eq!(hears.recv().await, Some(heard));
    }
    let lines = ["publish", "all", "Say", "--lines", "--hub", "chat"];
    let (done, code) = answer(with_service(&local, &lines), "[1, \"a\"]\n\n[2, \"b\"]\n");
    assert_eq!((code, &done["sent"]), (Some(0), &json!(2)), "{done}");
    assert_eq!(hears.recv().await, Some(json!([1, "a"])));
    assert_eq!(hears.recv().await, Some(json!([2, "b"])));
    // Whom a message leaves out hears the next one only.
    for (except, text) in [(Some(&id), "not you"), (None, "you")] {
        let mut arguments = vec!["publish", "all", "Say", text, "1", "--hub", "chat"];
        if let Some(id) = except {
            arguments.extend(["--except", id]);
        }
        assert_eq!(answer(with_service(&local, &arguments), "").1, Some(0));
    }
    assert_eq!(hears.recv().await, Some(json!(["you", 1])));

    let close = ["close", "user:alice", "--reason", "enough", "--hub", "chat"];
    let (done, code) = answer(with_service(&local, &close), "");
    assert_eq!((code, &done), (Some(0), &json!({ "accepted": "user:alice", "existed": true })));
    let reason = format!("{:?}", alice.closed().await);
    assert!(reason.contains("enough"), "{reason}");
}

#[test]
fn what_cannot_be_published_says_why() {
    let local = Local::start(&[]);
    let refused = |arguments: &[&str]| {
        let (shown, code) = answer(with_service(&local, arguments), "");
        let exit = if shown["code"] == "usage" { 2 } else { 1 };
        assert_eq!(code, Some(exit), "{shown}");
        shown
    };
    let shown = refused(&["publish", "all", "Say"]);
    assert!(shown["advice"].as_str().is_some_and(|text| text.contains("--hub NAME")), "{shown}");
    let shown = refused(&["publish", "connection:nobody", "Say", "--hub", "chat", "--except", "x"]);
    assert!(shown["message"].as_str().is_some_and(|text| text.contains("--except")), "{shown}");
    let shown = refused(&["publish", "all", "Say", "{\"a\":", "--hub", "chat"]);
    assert!(shown["message"].as_str().is_some_and(|text| text.contains("is not JSON")), "{shown}");
    let shown = refused(&["publish", "all", "Say", "@/dev/zero", "--hub", "chat"]);
    assert!(shown["message"].as_str().is_some_and(|text| text.contains("more than 16 MiB")), "{shown}");
    let shown = refused(&["group", "add", "red", "connection:nobody", "--hub", "chat"]);
    assert!(shown["message"].as_str().is_some_and(|text| text.contains("no connection nobody")), "{shown}");
    let shown = refused(&["group", "add", "red", "all", "--hub", "chat"]);
    assert!(shown["advice"].as_str().is_some_and(|text| text.contains("user:ID")), "{shown}");
    let (shown, code) = answer(hubwire(["--json", "publish", "all", "Say", "--hub", "chat"]), "");
    assert_eq!(code, Some(1));
    assert!(
        shown["advice"].as_str().is_some_and(|text| text.contains("AzureSignalRConnectionString")),
        "{shown}"
    );
}

#[cfg(unix)]
#[test]
fn a_line_that_cannot_be_published_is_named() {
    use std::{io::Write as _, process::Stdio};

    let local = Local::start(&[]);
    for (input, says, line, sent) in [
        (&b"[1, 2]\n\n[broken\n[3, 4]\n"[..], "is not JSON", 3, 1),
        (b"[1, 2]\n[3, 4]\n\"\xff\"\n", "is not UTF-8", 3, 2),
        (b"{", "is not JSON", 1, 0),
    ] {
        let mut command = with_service(&local, &["publish", "all", "Say", "--lines", "--hub", "chat"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        child.stdin.take().expect("it is piped").write_all(input).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        let failure: Value = serde_json::from_slice(&output.stderr).expect("a failure");
        assert_eq!((output.status.code(), &failure["code"]), (Some(1), &json!("failed")), "{failure}");
        assert_eq!((&failure["line"], &failure["sent"]), (&json!(line), &json!(sent)), "{failure}");
        let message = failure["message"].as_str().expect("a text");
        assert!(
            message.contains(says) && message.contains(&format!("line {line}; {sent} message")),
            "{failure}"
        );
    }
}

/// What is not there is not said to be closed or removed.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_not_closed() {
    let local = Local::start(&[]);
    for (arguments, says) in [
        (&["close", "user:bob"][..], "the user bob has no connection"),
        (&["close", "group:red"], "the group red has no connection"),
        (&["close", "connection:gone"], "there is no connection gone"),
        (&["group", "remove", "red", "user:bob"], "bob is not in the group red"),
        (&["group", "remove", "red", "connection:gone"], "there is no connection gone"),
        (&["group", "remove-from-all", "connection:gone"], "there is no connection gone"),
    ] {
        let all = [arguments, &["--hub", "chat"]].concat();
        let (failure, code) = answer(with_service(&local, &all), "");
        assert_eq!(code, Some(1), "{arguments:?}: {failure}");
        assert!(failure["message"].as_str().is_some_and(|text| text.contains(says)), "{failure}");
    }
    // Who is there, the service does not say: neither does this.
    let (done, code) = answer(with_service(&local, &["close", "all", "--hub", "chat"]), "");
    assert_eq!((code, done), (Some(0), json!({ "accepted": "all", "existed": null })));

    let (bob, _) = listener(&local, "bob").await;
    for arguments in [["group", "add", "red", "user:bob"], ["group", "remove", "red", "user:bob"]] {
        let (done, code) = answer(with_service(&local, &[&arguments[..], &["--hub", "chat"]].concat()), "");
        assert_eq!(code, Some(0), "{done}");
    }
    let (_, code) = answer(with_service(&local, &["close", "user:bob", "--hub", "chat"]), "");
    assert_eq!(code, Some(0));
    bob.closed().await;
}

#[test]
fn shells_complete_commands_and_contexts() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = run_with(hubwire(["completions", shell]), "");
        assert!(output.status.success() && text(&output.stdout).contains("hubwire"), "{shell}");
    }
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli-completions");
    std::fs::create_dir_all(&folder).expect("a folder");
    let saved = r#"{"contexts": {"shop": {"url": "https://shop.example/"}, "live": {"hub": "chat"}}}"#;
    std::fs::write(folder.join("contexts.json"), saved).expect("it can be written");
    for (words, completions) in [
        (&["negotiate", "--context", ""][..], &["live", "shop"][..]),
        (&["context", "use", "s"], &["shop"]),
        (&["doc"], &["doctor"]),
    ] {
        let mut command = hubwire(["--", "hubwire"].iter().chain(words));
        let index = words.len().to_string();
        command.env("COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", index).env("HUBWIRE_CONFIG", &folder);
        command
            .env("_CLAP_COMPLETE_COMP_TYPE", "9")
            .env("_CLAP_COMPLETE_SPACE", "true")
            .env("_CLAP_IFS", "\n");
        let output = run_with(command, "");
        let found: Vec<_> = text(&output.stdout).lines().collect();
        assert_eq!(found, completions, "{words:?}: {}", text(&output.stderr));
    }
}
