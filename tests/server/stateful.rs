//! Connections that survive the loss of their sockets: nothing is lost, doubled or in another order, in either direction.

use std::{
    path::Path,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hubwire::server::{Caller, HubServer, HubServerBuilder, Identity};
use hubwire::{HubConnection, HubProtocol, Transport};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
};

use crate::conformance_hub::{conformance_hub, in_time, serve};
use crate::support::{cutter::Cutter, dotnet::Dotnet, reference_dir, skipped};

const COUNT: u32 = 300;

#[derive(Clone, Default)]
struct Seen {
    recorded: Arc<Mutex<Vec<u32>>>,
    connected: Arc<AtomicUsize>,
    disconnected: Arc<AtomicUsize>,
}

/// Records numbers that clients send, and sends them numbers.
fn series(seen: &Seen) -> HubServerBuilder {
    let (recording, recorded) = (seen.recorded.clone(), seen.recorded.clone());
    let (connected, disconnected) = (seen.connected.clone(), seen.disconnected.clone());
    conformance_hub()
        .allow_stateful_reconnects()
        .on_connected(move |_| {
            connected.fetch_add(1, Ordering::SeqCst);
            async { Ok(()) }
        })
        .on_disconnected(move |_| {
            disconnected.fetch_add(1, Ordering::SeqCst);
            async {}
        })
        .on("Note", move |_: Caller, number: u32| {
            recording.lock().unwrap().push(number);
            async { Ok(()) }
        })
        .on("Noted", move |_: Caller| {
            let recorded = std::mem::take(&mut *recorded.lock().unwrap());
            async { Ok(recorded) }
        })
        .on("SendNumbers", |caller: Caller, count: u32| async move {
            tokio::spawn(async move {
                for number in 0..count {
                    caller.clients().caller().send("Number", (number, "x".repeat(100))).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            });
            Ok(())
        })
}

async fn cut_hub(seen: &Seen) -> (Cutter, String) {
    let url = serve([("/hub", series(seen).build())]).await;
    let port = url.rsplit(':').next().unwrap().parse().unwrap();
    let cutter = Cutter::start(port).await;
    let url = format!("http://127.0.0.1:{}/hub", cutter.port);
    (cutter, url)
}

fn all() -> Vec<u32> {
    (0..COUNT).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_loses_nothing() {
    for &protocol in HubProtocol::ALL {
        let seen = Seen::default();
        let (cutter, url) = cut_hub(&seen).await;
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let hub = HubConnection::builder(&url).with_protocol(protocol).with_stateful_reconnect();
        let hub = hub.on("Number", move |number: u32, _: String| told.send(number).unwrap());
        let hub = hub.connect().await.unwrap();
        let id = hub.connection_id();
        hub.send("SendNumbers", (COUNT,)).await.unwrap();
        for number in 0..COUNT {
            if number % 60 == 30 {
                cutter.cut();
            }
            hub.send("Note", (number,)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        for number in 0..COUNT {
            assert_eq!(in_time(heard.recv()).await, Some(number), "{protocol:?}");
        }
        assert_eq!(in_time(hub.invoke::<Vec<u32>>("Noted", ())).await.unwrap(), all(), "{protocol:?}");
        assert_eq!(hub.connection_id(), id);
        // Negotiate has one of its own.
        assert!(cutter.opened() > 3, "{} sockets", cutter.opened());
        assert_eq!(seen.connected.load(Ordering::SeqCst), 1);
        assert_eq!(seen.disconnected.load(Ordering::SeqCst), 0);
        hub.stop().await;
        in_time(async {
            while seen.disconnected.load(Ordering::SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_net_clients_lose_nothing() {
    if reference_dir().is_none() {
        return skipped("stateful reconnect of the .NET client", "no reference folder");
    }
    for (mut client, protocol) in [(Dotnet::spawn(), "messagepack"), (Dotnet::spawn_11(), "json")] {
        let seen = Seen::default();
        let (cutter, url) = cut_hub(&seen).await;
        let options = json!({"url": url, "transport": "webSockets", "protocol": protocol, "stateful": true, "reconnect": [0]});
        client.command("build", options).await;
        client.command("on", json!({"target": "Number", "count": 2})).await;
        let started = client.command("start", json!({})).await;
        client.command("send", json!({"target": "SendNumbers", "arguments": [COUNT]})).await;
        for number in 0..COUNT {
            if number % 100 == 50 {
                cutter.cut();
            }
            client.command("send", json!({"target": "Note", "arguments": [number]})).await;
        }
        for number in 0..COUNT {
            assert_eq!(client.message("Number").await[0], number, "{protocol}");
        }
        assert_eq!(client.command("invoke", json!({"target": "Noted"})).await, json!(all()), "{protocol}");
        assert_eq!(client.command("state", json!({})).await["connectionId"], started["connectionId"]);
        assert!(cutter.opened() > 2);
        assert_eq!(seen.connected.load(Ordering::SeqCst), 1);
        client.command("stop", json!({})).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_javascript_client_loses_nothing() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if !root.join("node_modules/@microsoft/signalr").is_dir() {
        return skipped("stateful reconnect in Node", "node_modules is missing; run npm ci");
    }
    for protocol in ["json", "messagepack"] {
        let seen = Seen::default();
        let (cutter, url) = cut_hub(&seen).await;
        let mut node = Command::new("node")
            .arg(root.join("tests/server/stateful_client.mjs"))
            .args([url.as_str(), protocol, &COUNT.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(node.stdout.take().unwrap()).lines();
        let mut last = String::new();
        while let Some(line) = in_time(lines.next_line()).await.unwrap() {
            if line == "cut" {
                cutter.cut();
            }
            last = line;
        }
        assert_eq!(last, "done", "{protocol}");
        assert!(cutter.opened() > 2);
        assert_eq!(seen.connected.load(Ordering::SeqCst), 1);
    }
}

/// What is called and streamed while there is no socket waits for the next one.
#[tokio::test(flavor = "multi_thread")]
async fn calls_in_progress_survive() {
    use futures_util::{StreamExt as _, stream};
    let (cutter, url) = cut_hub(&Seen::default()).await;
    let hub = HubConnection::builder(&url).with_stateful_reconnect().connect().await.unwrap();
    let slow = hub.invoke::<String>("Slow", (300,));
    let counted = hub.stream::<u32>("Counter", (200, 2)).await.unwrap();
    let (gate, open) = tokio::sync::watch::channel(0_i64);
    let numbers = stream::iter(1..=200_i64).then(move |number| {
        gate.send_replace(number);
        async move {
            tokio::time::sleep(Duration::from_millis(2)).await;
            number
        }
    });
    let cutting = async {
        let mut open = open.clone();
        for at in [20, 100, 180] {
            open.wait_for(|number| *number >= at).await.unwrap();
            cutter.cut();
        }
    };
    let sum = hub.invoke::<i64>("UploadSum", (hubwire::Upload::new(numbers),));
    let counted = counted.map(Result::unwrap).collect::<Vec<_>>();
    let all = async { tokio::join!(slow, counted, sum, cutting) };
    let (slow, counted, sum, ()) = in_time(all).await;
    assert_eq!((slow.unwrap().as_str(), sum.unwrap()), ("slept", 20_100));
    assert_eq!(counted, (0..200).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_come_back_is_gone() {
    let seen = Seen::default();
    let hub = series(&seen).disconnect_timeout(Duration::from_millis(300)).build();
    let port = serve([("/hub", hub)]).await.rsplit(':').next().unwrap().parse().unwrap();
    let cutter = Cutter::start(port).await;
    let url = format!("http://127.0.0.1:{}/hub", cutter.port);
    let client = HubConnection::builder(&url).with_stateful_reconnect().connect().await.unwrap();
    client.invoke::<()>("Void", ()).await.unwrap();
    drop(client);
    // One that leaves is gone at once, one that is cut is waited for.
    let other = HubConnection::builder(&url).connect().await.unwrap();
    cutter.cut();
    in_time(other.closed()).await;
    in_time(async {
        while seen.disconnected.load(Ordering::SeqCst) < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// A socket for somebody else's connection is refused, and so is one for a connection that is not stateful.
#[tokio::test]
async fn connections_go_on_for_their_own_clients_only() {
    let hub = conformance_hub().allow_stateful_reconnects().build();
    let url = serve([("/hub", hub)]).await + "/hub";
    let http = crate::hostile::http_client();
    let negotiate = async |query: &str, user: &str| -> Value {
        let request = http.post(format!("{url}/negotiate?negotiateVersion=1{query}&access_token={user}"));
        request.send().await.unwrap().json().await.unwrap()
    };
    let stateful = negotiate("&useStatefulReconnect=true", "ann").await;
    assert_eq!(stateful["useStatefulReconnect"], true);
    assert!(negotiate("", "ann").await.get("useStatefulReconnect").is_none());
    let plain = serve([("/hub", conformance_hub().build())]).await;
    let answer = http.post(format!("{plain}/hub/negotiate?negotiateVersion=1&useStatefulReconnect=true"));
    let answer: Value = answer.send().await.unwrap().json().await.unwrap();
    assert!(answer.get("useStatefulReconnect").is_none());

    let token = stateful["connectionToken"].as_str().unwrap();
    let upgrade = async |user: &str| {
        let request = http.get(format!("{url}?id={token}&access_token={user}"));
        let request = request.header("Connection", "Upgrade").header("Upgrade", "websocket");
        let request = request.header("Sec-WebSocket-Version", "13");
        request.header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==").send().await.unwrap()
    };
    let open = upgrade("ann").await;
    assert_eq!(open.status(), 101);
    assert_eq!(upgrade("bob").await.status(), 404);
    // The handshake is not done, so that a second socket finds nothing to go on with.
    let second = upgrade("ann").await;
    assert_eq!(second.status(), 101);
    let mut socket = second.upgrade().await.unwrap();
    let mut ended = Vec::new();
    in_time(tokio::io::AsyncReadExt::read_to_end(&mut socket, &mut ended)).await.unwrap_or_default();
    drop(open);
}

/// Without a network there is nothing to lose but the pipe.
#[tokio::test]
async fn a_client_in_memory_may_be_stateful() {
    let hub = HubServer::builder()
        .allow_stateful_reconnects()
        .on("Add", |_: Caller, a: i32, b: i32| async move { Ok(a + b) });
    let hub = hub.transports(Transport::WebSockets).build();
    let ann = hub.in_memory(Identity::user("ann")).with_stateful_reconnect().connect().await.unwrap();
    for number in 0..1_000 {
        assert_eq!(ann.invoke::<i32>("Add", (number, 1)).await.unwrap(), number + 1);
    }
    in_time(ann.stop()).await;
}
