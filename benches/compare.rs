//! Ours and theirs, side by side, in one run: `cargo xtask bench`.
//!
//! Against the official .NET client (in the reference folder, which `HUBWIRE_REFERENCE_DIR` names), both against the
//! same server and by the client's own CPU time; and against `jsonwebtoken`.

#[path = "../tests/support/mod.rs"]
mod support;

use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use futures_channel::mpsc;
use futures_util::StreamExt;
use hubwire::service::{AccessKey, NegotiateOptions, ServiceClient, ServiceEndpoint};
use hubwire::{HubConnection, HubProtocol};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Clone, Serialize, Deserialize)]
struct Order {
    id: u32,
    customer: String,
    total: f64,
    open: bool,
    lines: Vec<Line>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Line {
    sku: String,
    quantity: u32,
}

fn main() {
    // `cargo test` runs benches as well; there they need only compile.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    println!("{:<44} {:>14} {:>14} {:>8}", "", "hubwire", "theirs", "ratio");
    sign();
    let Some(base) = support::reference_hub("the .NET client") else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for protocol in [HubProtocol::Json, HubProtocol::MessagePack] {
        runtime.block_on(clients(base, protocol));
    }
}

/// This client and the official .NET one, speaking the same protocol.
async fn clients(base: &str, protocol: HubProtocol) {
    let name = protocol.name();
    for (payload, count) in [("small", 200_000), ("object", 200_000), ("text10k", 20_000)] {
        let ours = receive(base, protocol, payload, count).await;
        let theirs = dotnet("receive", base, protocol, count, &["--payload", payload]);
        row(&format!("{name}: receive {payload}, per CPU second"), ours, per_cpu_second(&theirs));
    }
    for (payload, count) in [("small", 200_000), ("object", 200_000)] {
        let ours = send(base, protocol, payload, count).await;
        let theirs = dotnet("send", base, protocol, count, &["--payload", payload]);
        row(&format!("{name}: send {payload}, per CPU second"), ours, per_cpu_second(&theirs));
    }
    for in_flight in [1, 64] {
        let count = 20_000;
        let (rate, p50, p99) = invoke(base, protocol, count, in_flight).await;
        let theirs = dotnet("invoke", base, protocol, count, &["--in-flight", &in_flight.to_string()]);
        let title = format!("{name}: invoke, {in_flight} in flight");
        row(&format!("{title}, per CPU second"), rate, per_cpu_second(&theirs));
        for (name, ours) in [("p50_us", p50), ("p99_us", p99)] {
            row(&format!("{title}, {name}"), ours, figure(&theirs, name));
        }
    }
}

fn row(name: &str, ours: f64, theirs: f64) {
    println!("{name:<44} {ours:>14.0} {theirs:>14.0} {:>7.2}x", ours / theirs);
}

/// Client tokens per second, on one thread: all of `negotiate` against the signature alone.
fn sign() {
    const COUNT: u32 = 100_000;
    let key = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789ABCDEFGH";
    let endpoint = ServiceEndpoint::new("https://contoso.service.signalr.net", AccessKey::new(key)).unwrap();
    let hub = ServiceClient::builder().endpoint(endpoint).build().unwrap().hub("chat").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let ours = runtime.block_on(async {
        let start = Instant::now();
        for _ in 0..COUNT {
            black_box(
                hub.negotiate(NegotiateOptions::for_user("alice").claim("role", "reader")).await.unwrap(),
            );
        }
        f64::from(COUNT) / start.elapsed().as_secs_f64()
    });
    let encoding = jsonwebtoken::EncodingKey::from_secret(key.as_bytes());
    let header = jsonwebtoken::Header::default();
    let start = Instant::now();
    for n in 0..COUNT {
        let claims = json!({
            "asrs.s.uid": "alice", "role": "reader", "nbf": n, "exp": n, "iat": n,
            "aud": "https://contoso.service.signalr.net/client/?hub=chat",
        });
        black_box(jsonwebtoken::encode(&header, &claims, &encoding).unwrap());
    }
    let theirs = f64::from(COUNT) / start.elapsed().as_secs_f64();
    row("negotiate against jsonwebtoken, tokens/s", ours, theirs);
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
    let line = |sku: &str, quantity| Line { sku: sku.to_owned(), quantity };
    let lines = vec![line("A-1", 2), line("B-2", 1)];
    let order = Order { id: 12345, customer: "Contoso Ltd".to_owned(), total: 99.95, open: true, lines };
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

/// The official client's own figures.
fn dotnet(workload: &str, base: &str, protocol: HubProtocol, count: u32, more: &[&str]) -> Value {
    let output = Command::new(support::reference_dir().expect("the reference folder").join("run"))
        .args(["client", "bench", workload, "--url", base, "--protocol", protocol.name()])
        .args(["--count", &count.to_string()])
        .args(more)
        .output()
        .expect("the .NET client runs");
    let line: Value = serde_json::from_slice(&output.stdout).expect("a line of JSON");
    line["figures"].clone()
}

fn figure(figures: &Value, name: &str) -> f64 {
    figures[name].as_f64().unwrap_or_else(|| panic!("no {name} in {figures}"))
}

fn per_cpu_second(figures: &Value) -> f64 {
    figure(figures, "per_cpu_s")
}

/// Counts this process's own CPU time.
struct Clock(Duration);

impl Clock {
    fn start() -> Self {
        Self(cpu_time())
    }

    fn rate(&self, count: u32) -> f64 {
        f64::from(count) / (cpu_time() - self.0).as_secs_f64()
    }
}

/// The CPU time of all threads, in nanoseconds: the first number of each `schedstat`.
fn cpu_time() -> Duration {
    let threads = std::fs::read_dir("/proc/self/task").expect("Linux, which counts CPU time by thread");
    let nanoseconds = threads.filter_map(|thread| {
        let text = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanoseconds.sum())
}
