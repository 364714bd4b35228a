//! The official JavaScript client against a hub hosted in Rust.

use std::{path::Path, process::Stdio, time::Duration};

use tokio::process::Command;

use crate::conformance_hub::{conformance_hub, serve};
use crate::support::skipped;

/// Runs every kind of call against the conformance hub at this address.
pub(crate) async fn run_official_client(url: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if !root.join("node_modules/@microsoft/signalr").is_dir() {
        return skipped("the official client in Node", "node_modules is missing; run npm ci");
    }
    let node = Command::new("node")
        .arg(root.join("tests/server/official_client.mjs"))
        .arg(url)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output =
        tokio::time::timeout(Duration::from_secs(60), node).await.expect("in time").expect("Node runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && output.stdout == b"done\n", "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_client_in_node_calls_the_hub() {
    let url = serve([("/hub", conformance_hub().build())]).await + "/hub";
    run_official_client(&url).await;
}
