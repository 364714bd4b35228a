//! Connections of the official .NET clients to a hub hosted in Rust, from the token to the end.

use std::time::{Duration, SystemTime};

use futures_util::stream;
use hubwire::server::{Caller, HubError, HubServer, Identity};
use serde_json::{Value, json};

use crate::conformance_hub::{conformance_hub, serve};
use crate::support::{dotnet::Dotnet, reference_dir};

fn may_run(test: &str) -> bool {
    let found = reference_dir().is_some();
    if !found {
        crate::support::skipped(test, "no reference folder; HUBWIRE_REFERENCE_DIR names it");
    }
    found
}

async fn connect(client: &mut Dotnet, url: &str, options: Value) -> Value {
    let mut build = json!({"url": url, "transport": "webSockets", "protocol": "json"});
    for (name, value) in options.as_object().expect("options") {
        build[name] = value.clone();
    }
    client.command("build", build).await;
    client.outcome("start", json!({})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_decide_who_a_client_is() {
    if !may_run("tokens of the .NET client") {
        return;
    }
    let url = serve([("/hub", conformance_hub().build())]).await + "/hub";
    let (mut ann, mut bob) = (Dotnet::spawn(), Dotnet::spawn_11());
    for (transport, protocol) in
        [("webSockets", "messagepack"), ("serverSentEvents", "json"), ("longPolling", "messagepack")]
    {
        let options = |token: &str| json!({"token": token, "transport": transport, "protocol": protocol});
        let refused = connect(&mut ann, &url, options("refused")).await;
        assert_eq!(refused["error"]["status"], 401, "{refused}");
        assert!(connect(&mut ann, &url, options("ann")).await.get("ok").is_some());
        assert!(connect(&mut bob, &format!("{url}?access_token=bob"), options("")).await.get("ok").is_some());
        for (client, user) in [(&mut ann, "ann"), (&mut bob, "bob")] {
            let who = client.command("invoke", json!({"target": "WhoAmI"})).await;
            assert_eq!(who["user"], user);
            client.command("on", json!({"target": "News"})).await;
        }
        ann.command("invoke", json!({"target": "ToUser", "arguments": ["bob", "News", 1]})).await;
        ann.command("send", json!({"target": "ToOthers", "arguments": ["News", 2]})).await;
        for number in 1..=2 {
            assert_eq!(bob.message("News").await, json!([number]));
        }
        bob.command("invoke", json!({"target": "ToOthers", "arguments": ["News", 3]})).await;
        assert_eq!(ann.message("News").await, json!([3]));
        ann.command("stop", json!({})).await;
        bob.command("stop", json!({})).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_wait_for_each_other_only_where_they_must() {
    if !may_run("calls of the .NET client side by side") {
        return;
    }
    let url = serve([("/hub", conformance_hub().build())]).await + "/hub";
    let mut client = Dotnet::spawn_11();
    for (transport, protocol) in
        [("webSockets", "json"), ("serverSentEvents", "json"), ("longPolling", "messagepack")]
    {
        let options = json!({"transport": transport, "protocol": protocol});
        assert!(connect(&mut client, &url, options).await.get("ok").is_some());
        client.command("answer", json!({"target": "Question", "result": "because"})).await;
        let asked =
            client.command("invoke", json!({"target": "Ask", "arguments": ["Question", "why"]})).await;
        assert_eq!(asked, "because");

        let numbers: Vec<u32> = (0..300).collect();
        let upload = json!({"target": "UploadSum", "uploads": [numbers]});
        let (one, other) =
            (client.begin("invoke", upload.clone()).await, client.begin("invoke", upload).await);
        assert_eq!(client.outcome_of(one).await["ok"], 44_850);
        assert_eq!(client.outcome_of(other).await["ok"], 44_850);

        let counted = client.begin("stream", json!({"target": "Counter", "arguments": [1_000_000, 1]})).await;
        assert_eq!(client.command("invoke", json!({"target": "Add", "arguments": [1, 2]})).await, 3);
        client.command("cancel", json!({"of": counted})).await;
        let cancelled = client.outcome_of(counted).await;
        assert!(
            cancelled["error"]["type"].as_str().is_some_and(|name| name.ends_with("CanceledException")),
            "{cancelled}"
        );

        let slow =
            client.begin("invoke", json!({"target": "SlowCancellable", "arguments": [3_600_000]})).await;
        client.command("cancel", json!({"of": slow})).await;
        let cancelled = client.outcome_of(slow).await;
        assert!(
            cancelled["error"]["type"].as_str().is_some_and(|name| name.ends_with("CanceledException")),
            "{cancelled}"
        );
        // The hub performs one call at a time, so the one before has ended.
        assert_eq!(client.command("invoke", json!({"target": "Add", "arguments": [1, 2]})).await, 3);
        client.command("stop", json!({})).await;
    }
}

/// What the client is told of the end, in each kind of end.
#[tokio::test(flavor = "multi_thread")]
async fn connections_end_as_in_asp_net_core() {
    if !may_run("ends of connections of the .NET client") {
        return;
    }
    let mut client = Dotnet::spawn();
    let closed = async |client: &mut Dotnet, url: &str, transport: &str| {
        let started = connect(client, url, json!({"transport": transport, "keepAlive": 3_600_000})).await;
        assert!(started.get("ok").is_some(), "{started}");
    };
    for transport in ["webSockets", "serverSentEvents", "longPolling"] {
        let (ended, mut has_ended) = tokio::sync::mpsc::unbounded_channel();
        let guarded = HubServer::builder()
            .on_connected(|_| async { Err(HubError::new("not today")) })
            .on_disconnected(move |_| {
                let ended = ended.clone();
                async move { ended.send(()).unwrap_or_default() }
            })
            .build();
        let expiring = HubServer::builder()
            .authenticate(|_| async {
                Ok(Identity::user("ann").expires(SystemTime::now() + Duration::from_secs(1)))
            })
            .close_on_authentication_expiration()
            .build();
        let impatient = conformance_hub().client_timeout_interval(Duration::from_millis(700)).build();
        let hub = conformance_hub().build();
        let base = serve([
            ("/guarded", guarded),
            ("/expiring", expiring),
            ("/impatient", impatient),
            ("/hub", hub.clone()),
        ])
        .await;

        closed(&mut client, &format!("{base}/guarded"), transport).await;
        let told = client.event("closed").await["error"]["message"].clone();
        let told = told.as_str().unwrap_or_default();
        assert!(
            told.contains("Connection closed with an error. HubException: not today"),
            "{transport}: {told}"
        );
        assert!(has_ended.try_recv().is_err());

        closed(&mut client, &format!("{base}/expiring"), transport).await;
        assert_eq!(client.event("closed").await["error"], Value::Null, "{transport}");

        if transport != "longPolling" {
            closed(&mut client, &format!("{base}/impatient"), transport).await;
            client.event("closed").await;
        }

        closed(&mut client, &format!("{base}/hub"), transport).await;
        let long = json!({"target": "Echo", "arguments": ["x".repeat(33_000)]});
        let refused = client.begin("invoke", long).await;
        let ours = client.event("closed").await;
        client.outcome_of(refused).await;
        let told = ours["error"]["message"].as_str().unwrap_or_default();
        assert!(told.contains("32768 bytes"), "{transport}: {told}");

        closed(&mut client, &format!("{base}/hub"), transport).await;
        let running = client.begin("invoke", json!({"target": "Slow", "arguments": [3_600_000]})).await;
        client.command("send", json!({"target": "Void"})).await;
        tokio::spawn(async move { hub.shut_down().await });
        assert_eq!(client.event("closed").await["error"], Value::Null, "{transport}");
        assert!(client.outcome_of(running).await.get("error").is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_connection() {
    if !may_run("a stream that ends with its connection") {
        return;
    }
    struct Told(tokio::sync::mpsc::UnboundedSender<()>);
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.send(()).unwrap_or_default();
        }
    }
    let (dropped, mut was_dropped) = tokio::sync::mpsc::unbounded_channel();
    let hub = HubServer::builder()
        .stream("Forever", move |_: Caller| {
            stream::unfold(Told(dropped.clone()), |told| async move {
                tokio::time::sleep(Duration::from_millis(1)).await;
                Some((Ok(1), told))
            })
        })
        .build();
    let url = serve([("/hub", hub)]).await + "/hub";
    let mut client = Dotnet::spawn();
    for transport in ["webSockets", "serverSentEvents", "longPolling"] {
        assert!(connect(&mut client, &url, json!({"transport": transport})).await.get("ok").is_some());
        let running = client.begin("stream", json!({"target": "Forever"})).await;
        client.item_of(running).await;
        client.command("cancel", json!({"of": running})).await;
        client.outcome_of(running).await;
        let wait = tokio::time::timeout(Duration::from_secs(10), was_dropped.recv());
        assert_eq!(wait.await.expect("the stream that was cancelled is dropped"), Some(()), "{transport}");
        let running = client.begin("stream", json!({"target": "Forever"})).await;
        client.item_of(running).await;
        client.command("stop", json!({})).await;
        let wait = tokio::time::timeout(Duration::from_secs(10), was_dropped.recv());
        assert_eq!(wait.await.expect("the stream is dropped"), Some(()), "{transport}");
    }
}
