//! The official JavaScript client, of every major version, against a hub hosted in Rust.

use std::{path::Path, process::Stdio, time::Duration};

use tokio::process::Command;

use crate::conformance_hub::{conformance_hub, serve};
use crate::support::skipped;

/// The names under which `package.json` has the client and its MessagePack protocol.
const CLIENTS: [(&str, &str); 7] = [
    ("@microsoft/signalr", "@microsoft/signalr-protocol-msgpack"),
    ("signalr-9", "signalr-9-msgpack"),
    ("signalr-8", "signalr-8-msgpack"),
    ("signalr-7", "signalr-7-msgpack"),
    ("signalr-6", "signalr-6-msgpack"),
    ("signalr-5", "signalr-5-msgpack"),
    ("signalr-3", "signalr-3-msgpack"),
];

/// Runs every kind of call against the conformance hub at this address.
pub(crate) async fn run_official_client(url: &str) {
    run(url, CLIENTS[0]).await;
}

async fn run(url: &str, (client, msgpack): (&str, &str)) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if !root.join("node_modules").join(client).is_dir() {
        return skipped(&format!("{client} in Node"), "it is not in node_modules; run npm ci");
    }
    let node = Command::new("node")
        .arg(root.join("tests/server/official_client.mjs"))
        .args([url, client, msgpack])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output =
        tokio::time::timeout(Duration::from_secs(60), node).await.expect("in time").expect("Node runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && output.stdout == b"done\n", "{client}: {errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_version_of_the_official_client_in_node_calls_the_hub() {
    for client in CLIENTS {
        let url = serve([("/hub", conformance_hub().build())]).await + "/hub";
        run(&url, client).await;
    }
}
