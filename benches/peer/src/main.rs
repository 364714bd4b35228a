//! The workloads of the client's benchmarks for the crate signalr-client. The arguments, and the line of JSON with the
//! figures, are those of the official .NET client's program, as far as this client has what they need.

#[path = "../../order/mod.rs"]
mod order;

use std::collections::HashMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use futures_channel::mpsc;
use futures_util::StreamExt;
use order::Order;
use signalr_client::SignalRClient;

struct Options(HashMap<String, String>);

impl Options {
    fn text(&self, name: &str) -> &str {
        self.0.get(name).unwrap_or_else(|| panic!("{name} is missing"))
    }

    fn number(&self, name: &str) -> u32 {
        self.text(name).parse().unwrap_or_else(|_| panic!("{name} wants a number"))
    }

    fn has_messagepack(&self) -> bool {
        self.text("--protocol") == "messagepack"
    }

    /// A path of the server, with the query in it: the client can give none, and the benchmark's tunnel puts it
    /// where it belongs.
    async fn connect(&self, path: String) -> SignalRClient {
        let (host, port) = self.text("--url").trim_start_matches("http://").rsplit_once(':').expect("a port");
        let port = port.parse().expect("a port");
        let client = SignalRClient::connect_with(host, &path, |configuration| {
            configuration.with_port(port);
            configuration.unsecure();
            if self.has_messagepack() {
                configuration.with_messagepack_protocol();
            }
        });
        client.await.expect("connects")
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let workload = arguments.next().expect("a workload");
    let mut options = HashMap::new();
    while let (Some(name), Some(value)) = (arguments.next(), arguments.next()) {
        options.insert(name, value);
    }
    let (options, mut figures) = (Options(options), serde_json::Value::Null);
    let count = options.number("--count");
    // The first run warms up.
    for count in [count / 4, count] {
        figures = match workload.as_str() {
            "receive" => receive(&options, count).await,
            "send" => send(&options, count).await,
            "invoke" => invoke(&options, count).await,
            _ => panic!("there is no workload {workload}"),
        };
    }
    println!(
        "{}",
        serde_json::json!({ "client": "signalr-client", "workload": workload, "figures": figures })
    );
}

async fn receive(options: &Options, count: u32) -> serde_json::Value {
    let (payload, protocol) = (options.text("--payload").to_owned(), options.text("--protocol"));
    let path = format!("firehose&protocol={protocol}&payload={payload}&count={count}&batch=16");
    let begun = cpu();
    // The client can register handlers only once it is connected, when messages come already: those that come before
    // are lost. So the end is counted by, not all of them.
    let mut client = options.connect(path).await;
    let (sender, mut done) = mpsc::unbounded();
    client.register("Done".to_owned(), move |_| drop(sender.unbounded_send(())));
    client.register("Message".to_owned(), move |context| match payload.as_str() {
        "small" => {
            drop(black_box((context.argument::<String>(0).unwrap(), context.argument::<String>(1).unwrap())))
        }
        _ => drop(black_box(context.argument::<Order>(0).unwrap())),
    });
    within(done.next()).await;
    figures(count, cpu() - begun)
}

async fn send(options: &Options, count: u32) -> serde_json::Value {
    let protocol = options.text("--protocol");
    let mut client = options.connect(format!("drain&protocol={protocol}&count={count}")).await;
    let (sender, mut done) = mpsc::unbounded();
    client.register("Done".to_owned(), move |_| drop(sender.unbounded_send(())));
    let order = Order::sample();
    let small = options.text("--payload") == "small";
    let begun = cpu();
    for _ in 0..count {
        let sent = client.send_with_args("Message".to_owned(), |arguments| {
            if small {
                arguments.argument("alice").argument("hello");
            } else {
                arguments.argument(&order);
            }
        });
        sent.await.expect("is sent");
    }
    within(done.next()).await;
    figures(count, cpu() - begun)
}

async fn invoke(options: &Options, count: u32) -> serde_json::Value {
    let in_flight = options.number("--in-flight");
    let client = options.connect("parallel".to_owned()).await;
    let begun = cpu();
    let callers = (0..in_flight).map(|_| {
        let mut client = client.clone();
        tokio::spawn(async move {
            let mut times = Vec::new();
            for n in 0..count / in_flight {
                let start = Instant::now();
                let sum = client.invoke_with_args::<u32, _>("Add".to_owned(), |arguments| {
                    arguments.argument(n).argument(1);
                });
                assert_eq!(sum.await.expect("a sum"), n + 1);
                times.push(start.elapsed());
            }
            times
        })
    });
    let mut times = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        times.extend(caller.await.unwrap());
    }
    let cpu = cpu() - begun;
    times.sort_unstable();
    let at = |part: f64| times[(times.len() as f64 * part) as usize].as_secs_f64() * 1e6;
    let mut figures = figures(count / in_flight * in_flight, cpu);
    figures["p50_us"] = at(0.5).into();
    figures["p99_us"] = at(0.99).into();
    figures
}

/// A handler that panics, for one, takes the client's task with it, and no end comes.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("the end comes in time")
}

fn figures(count: u32, cpu: Duration) -> serde_json::Value {
    serde_json::json!({ "count": count, "cpu_s": cpu.as_secs_f64(), "per_cpu_s": f64::from(count) / cpu.as_secs_f64() })
}

/// The CPU time of all threads, in nanoseconds: the first number of each `schedstat`.
fn cpu() -> Duration {
    let threads = std::fs::read_dir("/proc/self/task").expect("Linux, which counts CPU time by thread");
    let nanoseconds = threads.filter_map(|thread| {
        let text = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanoseconds.sum())
}
