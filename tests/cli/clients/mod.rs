//! Clients of others, all through one list of calls, against `hubwire local` started as a program, in either mode.
//!
//! | client | transports | protocols | what it lacks |
//! | --- | --- | --- | --- |
//! | official JavaScript 3.1, 5 to 10 | all | both; Server-Sent Events with JSON | client results before 7 |
//! | official .NET 10 and 11 | all | both; Server-Sent Events with JSON | |
//! | pysignalr | WebSockets | both | |
//! | signalrcore | all | both over WebSockets, else JSON | client results |

mod app;
mod app_server;
mod dotnet;
pub(crate) mod python;

use std::{path::Path, process::Stdio, time::Duration};

use futures_util::{StreamExt as _, stream};
use tokio::process::Command;

use crate::support::skipped;
use app::{App, MODES};

/// How long one client may take for all its transports and protocols.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs a program that prints `done` when it is content.
async fn content(what: &str, mut command: Command) {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output =
        tokio::time::timeout(PATIENCE, output).await.unwrap_or_else(|_| panic!("{what} takes too long"));
    let output = output.expect("it starts");
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.trim_end().ends_with("done"), "{what}: {out}\n{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_version_of_the_official_client_in_node() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let [serverless, default] = [App::start(MODES[0], &[]).await, App::start(MODES[1], &[]).await];
    let versions = ["", "9", "8", "7", "6", "5", "3"].into_iter();
    let versions = versions.flat_map(|version| [(version, &serverless), (version, &default)]);
    let runs = versions.map(|(version, app)| {
        let (client, msgpack) = match version {
            "" => ("@microsoft/signalr".to_owned(), "@microsoft/signalr-protocol-msgpack".to_owned()),
            version => (format!("signalr-{version}"), format!("signalr-{version}-msgpack")),
        };
        let url = &app.url;
        async move {
            if !root.join("node_modules").join(&client).is_dir() {
                return skipped(&format!("{client} in Node"), "it is not in node_modules; run npm ci");
            }
            let mut node = Command::new("node");
            node.arg(root.join("tests/cli/clients/javascript.mjs")).args([url, &client, &msgpack]);
            content(&client, node).await;
        }
    });
    stream::iter(runs).for_each_concurrent(2, |run| run).await;
}
