//! The official app server behind the program, in default mode: with the connection string, and with Entra.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::{sleep, timeout},
};

use crate::{
    plain_http::plain_http,
    program::Local,
    support::{dotnet::Dotnet, reference_dir, skipped},
};

/// How long its server connections may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// It ends when its standard input does.
struct AppServer {
    _child: Child,
    url: String,
}

impl AppServer {
    async fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(reference_dir().expect("it is there").join("run"));
        command.arg("appserver").args(arguments).args(["--servers", "1"]);
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let line = lines.next_line().await.expect("a pipe").expect("it says where it is");
        let said: Value = serde_json::from_str(&line).expect("a line of JSON");
        let server = Self { _child: child, url: said["url"].as_str().expect("an address").to_owned() };
        // Its server connections need a moment more, until which it refuses clients.
        let negotiate = format!("{}/hub/negotiate?negotiateVersion=1", server.url);
        let client = plain_http().build().expect("a client");
        let ready = async {
            while !client.post(&negotiate).send().await.is_ok_and(|answer| answer.status().is_success()) {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, ready).await.expect("it connects to the service");
        server
    }
}

async fn calls(server: &AppServer) {
    let mut client = Dotnet::spawn();
    for (transport, protocol) in
        [("webSockets", "messagepack"), ("serverSentEvents", "json"), ("longPolling", "json")]
    {
        let url = format!("{}/hub", server.url);
        client.command("build", json!({ "url": url, "transport": transport, "protocol": protocol })).await;
        client.command("on", json!({ "target": "Message" })).await;
        client.command("start", json!({})).await;
        let sum = client.command("invoke", json!({ "target": "Add", "arguments": [1, 2] })).await;
        assert_eq!(sum, 3, "{transport}");
        client.command("invoke", json!({ "target": "ToAll", "arguments": ["Message", transport] })).await;
        while client.message("Message").await[0] != transport {}
        let stream = client.outcome("stream", json!({ "target": "Counter", "arguments": [3, 0] })).await;
        assert_eq!(stream["items"], json!([0, 1, 2]), "{transport}");
        client.command("dispose", json!({})).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_app_server_hosts_its_hubs() {
    if reference_dir().is_none() {
        return skipped("the official app server behind `hubwire local`", "HUBWIRE_REFERENCE_DIR is not set");
    }
    let local = Local::start(&["--mode", "default", "--entra"]);
    let setting = |name: &str| local.started["settings"][name].as_str().expect("it is printed").to_owned();
    calls(&AppServer::start(&["--connection", local.connection_string()]).await).await;

    let endpoint = local.started["endpoint"].as_str().expect("it is printed");
    let entra = [
        ("--entra", endpoint.to_owned()),
        ("--authority", setting("AZURE_AUTHORITY_HOST")),
        ("--tenant", setting("AZURE_TENANT_ID")),
        ("--client", setting("AZURE_CLIENT_ID")),
        ("--secret", setting("AZURE_CLIENT_SECRET")),
    ];
    let arguments: Vec<&str> = entra.iter().flat_map(|(name, value)| [*name, value]).collect();
    calls(&AppServer::start(&arguments).await).await;
}
