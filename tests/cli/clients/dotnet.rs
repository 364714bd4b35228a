//! The official .NET clients.

use serde_json::json;

use super::app::{App, MODES};
use crate::support::{dotnet::Dotnet, reference_dir, skipped};

#[tokio::test(flavor = "multi_thread")]
async fn the_official_clients_of_dotnet() {
    if reference_dir().is_none() {
        return skipped("the official .NET clients at `hubwire local`", "HUBWIRE_REFERENCE_DIR is not set");
    }
    for mode in MODES {
        let app = App::start(mode, &[]).await;
        tokio::join!(calls(&app, "net", Dotnet::spawn()), async {
            Box::pin(calls(&app, "net11", Dotnet::spawn_11())).await
        });
    }
}

async fn calls(app: &App, name: &str, mut client: Dotnet) {
    for (transport, protocol) in [
        ("webSockets", "json"),
        ("webSockets", "messagepack"),
        ("serverSentEvents", "json"),
        ("longPolling", "json"),
        ("longPolling", "messagepack"),
    ] {
        let user = format!("{name}-{transport}-{protocol}");
        let url = format!("{}?user={user}", app.url);
        client.command("build", json!({ "url": url, "transport": transport, "protocol": protocol })).await;
        client.command("on", json!({ "target": "Message" })).await;
        client.command("answer", json!({ "target": "Question", "result": "because" })).await;
        client.command("start", json!({})).await;
        let echo = client.command("invoke", json!({ "target": "Echo", "arguments": ["ü"] })).await;
        assert_eq!(echo, "ü", "{user}");
        let failed = client.outcome("invoke", json!({ "target": "Fail", "arguments": ["told"] })).await;
        assert!(
            failed["error"]["message"].as_str().is_some_and(|text| text.contains("told")),
            "{user}: {failed}"
        );

        client.command("invoke", json!({ "target": "Join", "arguments": [name] })).await;
        for (method, receiver) in
            [("Broadcast", None), ("ToUser", Some(user.as_str())), ("ToGroup", Some(name))]
        {
            let text = format!("{user} {method}");
            let arguments: Vec<&str> = receiver.into_iter().chain([text.as_str()]).collect();
            client.command("send", json!({ "target": method, "arguments": arguments })).await;
            // Broadcasts of other clients come as well.
            while client.message("Message").await[0] != text {}
        }
        let answer = client.command("invoke", json!({ "target": "Ask", "arguments": ["why"] })).await;
        assert_eq!(answer, "because", "{user}");

        client.command("send", json!({ "target": "Bye", "arguments": [] })).await;
        client.event("closed").await;
        client.command("start", json!({})).await;
        let echo = client.command("invoke", json!({ "target": "Echo", "arguments": ["again"] })).await;
        assert_eq!(echo, "again", "{user}");
        client.command("stop", json!({})).await;
        client.event("closed").await;
        client.command("dispose", json!({})).await;
    }
}
