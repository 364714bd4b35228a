//! This client and others, side by side, in one run: `cargo xtask bench`.
//!
//! All against the same server and by the client's own CPU time. The official .NET client is in the reference folder,
//! which `HUBWIRE_REFERENCE_DIR` names; the crate signalr-client is a program of its own, in `benches/peer`.

mod connections;
#[path = "../order/mod.rs"]
mod order;
mod peers;
#[path = "../../tests/support/http.rs"]
mod plain_http;
#[path = "../../tests/support/mod.rs"]
mod support;
#[path = "../table/mod.rs"]
mod table;

use std::hint::black_box;
use std::time::Instant;

use futures_channel::mpsc;
use futures_util::StreamExt;
use hubwire::{HubConnection, HubProtocol};
use order::Order;
use table::Clock;

use crate::peers::Peers;

fn main() {
    if connections::is_child() {
        return connections::child();
    }
    if !table::is_wanted() {
        return;
    }
    table::heading();
    let Some(base) = support::reference_hub("the .NET client") else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for protocol in [HubProtocol::Json, HubProtocol::MessagePack] {
        let peers = runtime.block_on(Peers::find(base, protocol));
        runtime.block_on(clients(base, protocol, &peers));
        runtime.block_on(connections::all(base, protocol, &peers));
    }
}

/// This client and its peers, speaking the same protocol.
async fn clients(base: &str, protocol: HubProtocol, peers: &Peers) {
    let name = protocol.name();
    for (payload, count) in [("small", 200_000), ("object", 200_000), ("text10k", 20_000)] {
        let title = format!("{name}: receive {payload}, per CPU second");
        if table::has_row(&title) {
            let ours = receive(base, protocol, payload, count).await;
            peers.rows(&title, ours, "per_cpu_s", "receive", count, &["--payload", payload]);
        }
    }
    for (payload, count) in [("small", 200_000), ("object", 200_000)] {
        let title = format!("{name}: send {payload}, per CPU second");
        if table::has_row(&title) {
            let ours = send(base, protocol, payload, count).await;
            peers.rows(&title, ours, "per_cpu_s", "send", count, &["--payload", payload]);
        }
    }
    for in_flight in [1, 64] {
        let count = 20_000;
        let title = format!("{name}: invoke, {in_flight} in flight");
        if !table::has_row(&title) {
            continue;
        }
        let (rate, p50, p99) = invoke(base, protocol, count, in_flight).await;
        let theirs = peers.figures("invoke", count, &["--in-flight", &in_flight.to_string()]);
        let figures =
            [("per CPU second", "per_cpu_s", rate), ("p50_us", "p50_us", p50), ("p99_us", "p99_us", p99)];
        for (unit, figure, ours) in figures {
            theirs.rows(&format!("{title}, {unit}"), ours, figure);
        }
    }
}

/// Connects to one of the reference hub's counterparts without a hub; both take the protocol by name.
async fn connect(
    path: String,
    protocol: HubProtocol,
    done: mpsc::UnboundedSender<()>,
    payload: &str,
) -> HubConnection {
    let builder = HubConnection::builder(format!("{path}&protocol={}", protocol.name()))
        .with_protocol(protocol)
        .with_skip_negotiation(true)
        .on("Done", move || {
            let _ = done.unbounded_send(());
        });
    match payload {
        "small" => builder.on("Message", |user: String, text: String| drop(black_box((user, text)))),
        "object" => builder.on("Message", |order: Order| drop(black_box(order))),
        _ => builder.on("Message", |text: String| drop(black_box(text))),
    }
    .connect()
    .await
    .unwrap()
}

async fn receive(base: &str, protocol: HubProtocol, payload: &str, count: u32) -> f64 {
    let mut rate = 0.0;
    for count in [count / 4, count] {
        let (sender, mut done) = mpsc::unbounded();
        let url = format!("{base}/firehose?payload={payload}&count={count}&batch=16");
        let clock = Clock::start();
        let hub = connect(url, protocol, sender, payload).await;
        done.next().await;
        rate = clock.rate(count);
        hub.stop().await;
    }
    rate
}

async fn send(base: &str, protocol: HubProtocol, payload: &str, count: u32) -> f64 {
    let order = Order::sample();
    let mut rate = 0.0;
    for count in [count / 4, count] {
        let (sender, mut done) = mpsc::unbounded();
        let hub = connect(format!("{base}/drain?count={count}"), protocol, sender, "none").await;
        let clock = Clock::start();
        for _ in 0..count {
            match payload {
                "small" => hub.send("Message", ("alice", "hello")).await.unwrap(),
                _ => hub.send("Message", (&order,)).await.unwrap(),
            }
        }
        done.next().await;
        rate = clock.rate(count);
        hub.stop().await;
    }
    rate
}

async fn invoke(base: &str, protocol: HubProtocol, count: u32, in_flight: u32) -> (f64, f64, f64) {
    let hub = HubConnection::builder(format!("{base}/parallel"));
    let hub = hub.with_protocol(protocol).connect().await.unwrap();
    let (mut rate, mut times) = (0.0, Vec::new());
    for count in [count / 4, count] {
        times.clear();
        let clock = Clock::start();
        let callers = (0..in_flight).map(|_| {
            let hub = hub.clone();
            tokio::spawn(async move {
                let mut times = Vec::new();
                for n in 0..count / in_flight {
                    let start = Instant::now();
                    assert_eq!(hub.invoke::<u32>("Add", (n, 1)).await.unwrap(), n + 1);
                    times.push(start.elapsed());
                }
                times
            })
        });
        for caller in callers.collect::<Vec<_>>() {
            times.extend(caller.await.unwrap());
        }
        rate = clock.rate(count / in_flight * in_flight);
    }
    hub.stop().await;
    times.sort_unstable();
    let at = |part: f64| times[(times.len() as f64 * part) as usize].as_secs_f64() * 1e6;
    (rate, at(0.5), at(0.99))
}
