//! What connections cost, rather than messages: memory while they are idle, connecting, and coming back.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures_channel::mpsc;
use futures_util::StreamExt;
use hubwire::{ConnectionEvent, HubConnection, HubConnectionBuilder, HubProtocol, RetryPolicy, Transport};

use crate::peers::Peers;
use crate::table::{Clock, has_row, row};

/// How many connections are idle, or come back.
const MANY: u32 = 1000;

/// How many are connected one after the other.
const CONNECTS: u32 = 300;

/// The first argument of the process whose memory is measured.
const CHILD: &str = "--idle-connections";

/// How long one wait may take.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn all(base: &str, protocol: HubProtocol, peers: &Peers) {
    let name = protocol.name();
    let title = format!("{name}: {MANY} idle connections, bytes each");
    if has_row(&title) {
        let ours = idle_child(base, protocol);
        let more = ["--connections", &MANY.to_string()];
        peers.dotnet("idle", &more).rows(&title, ours, "bytes_per_connection");
    }
    let title = format!("{name}: connect and stop");
    if has_row(&title) {
        let (per_cpu_second, per_second) = connect(base, protocol).await;
        let theirs = peers.dotnet("connect", &["--count", &CONNECTS.to_string()]);
        theirs.rows(&format!("{title}, per CPU second"), per_cpu_second, "per_cpu_s");
        theirs.rows(&format!("{title}, per second"), per_second, "per_s");
    }
    let title = format!("{name}: {MANY} connections reconnect");
    if has_row(&title) {
        let (cpu, wall) = reconnect(base, protocol).await;
        // The .NET program has no such workload.
        row(&format!("{title}, CPU ms"), cpu.as_secs_f64() * 1e3, None);
        row(&format!("{title}, ms"), wall.as_secs_f64() * 1e3, None);
    }
}

fn builder(base: &str, protocol: HubProtocol) -> HubConnectionBuilder {
    HubConnection::builder(format!("{base}/hub"))
        .with_transports(Transport::WebSockets)
        .with_protocol(protocol)
}

/// Starts and stops with negotiate, one after another: per CPU second, and per second.
async fn connect(base: &str, protocol: HubProtocol) -> (f64, f64) {
    let once = async || {
        let hub = builder(base, protocol).connect().await.unwrap();
        hub.stop().await;
    };
    for _ in 0..10 {
        once().await;
    }
    let (clock, begun) = (Clock::start(), Instant::now());
    for _ in 0..CONNECTS {
        once().await;
    }
    (clock.rate(CONNECTS), f64::from(CONNECTS) / begun.elapsed().as_secs_f64())
}

/// The server cuts all connections at once: how long until the last is back, by this client's CPU time and by the
/// clock. The server's work is in the latter.
async fn reconnect(base: &str, protocol: HubProtocol) -> (Duration, Duration) {
    let (sender, mut back) = mpsc::unbounded();
    let mut hubs = Vec::new();
    for _ in 0..MANY {
        let sender = sender.clone();
        let hub = builder(base, protocol)
            .with_automatic_reconnect(RetryPolicy::delays([Duration::ZERO, Duration::from_secs(1)]))
            .on_event(move |event| match event {
                ConnectionEvent::Reconnected { .. } => drop(sender.unbounded_send(())),
                ConnectionEvent::Disconnected { error } => {
                    assert_eq!(error, hubwire::ConnectionError::Stopped)
                }
                _ => {}
            });
        hubs.push(hub.connect().await.unwrap());
    }
    let http = crate::plain_http::plain_http().build().unwrap();
    let (clock, begun) = (Clock::start(), Instant::now());
    let cut = http.post(format!("{base}/cut?path=/hub")).send().await.unwrap().text().await.unwrap();
    assert_eq!(cut, MANY.to_string(), "as many as there are");
    for _ in 0..MANY {
        tokio::time::timeout(PATIENCE, back.next()).await.expect("all come back");
    }
    let figures = (clock.cpu(), begun.elapsed());
    for hub in hubs {
        hub.stop().await;
    }
    figures
}

/// Resident memory that each open and silent connection adds, in a process that has nothing else.
fn idle_child(base: &str, protocol: HubProtocol) -> f64 {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([CHILD, base, protocol.name(), &MANY.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().expect("a number of bytes")
}

/// Whether this process is the one with the idle connections.
pub(crate) fn is_child() -> bool {
    std::env::args().nth(1).is_some_and(|argument| argument == CHILD)
}

/// Opens the connections one after the other, as the .NET program does, and prints what each takes.
pub(crate) fn child() {
    let arguments: Vec<String> = std::env::args().skip(2).collect();
    let [base, protocol, count] = arguments.as_slice() else { panic!("{arguments:?}") };
    let protocol =
        if protocol == HubProtocol::Json.name() { HubProtocol::Json } else { HubProtocol::MessagePack };
    let count: u32 = count.parse().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut hubs = Vec::new();
        let mut open = async |count: u32| {
            for _ in 0..count {
                hubs.push(builder(base, protocol).connect().await.unwrap());
            }
        };
        open(10).await;
        let before = resident();
        open(count).await;
        // As the .NET program waits, for what connecting leaves behind to be freed.
        tokio::time::sleep(Duration::from_secs(2)).await;
        println!("{}", (resident() - before) / f64::from(count));
        for hub in &hubs {
            hub.stop().await;
        }
    });
}

/// Resident bytes of this process.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux, which tells what is resident");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the resident set");
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1024.0
}
