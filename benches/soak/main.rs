//! The client and the local service for as long as one likes on a network that cuts, truncates, holds and loses, and
//! then under restarts of the server: `cargo xtask soak`.
//!
//! The reference folder, which `HUBWIRE_REFERENCE_DIR` names, has the server. Every fault is told as it happens; the
//! exit code is 1 if there was one.

mod local;
mod proxy;
mod random;
mod restarts;
mod server;
#[path = "../../tests/support/mod.rs"]
mod support;
mod tally;
mod worker;

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hubwire::{HubConnection, HubProtocol, Transport};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time;

use self::local::Local;
use self::proxy::Proxy;
use self::random::Random;
use self::restarts::Restarts;
use self::server::Server;
use self::tally::{Fault, Tally};
use self::worker::{HANG, Series, Worker};

const USAGE: &str = "\
  --minutes N, --seconds N   how long the faults last (20 minutes)
  --restarts N               restarts of the server after that (10; 2 when the faults last less than a minute)
  --connections N            connections under the restarts (1000; 50 when the faults last less than a minute)
  --seed N                   what the faults are decided by (the time)";

/// More memory than this in the course of a run is a leak.
const MEMORY: u64 = 1 << 30;

/// A kind of connection: name, path, transport, protocol, and whether it is stateful.
type Way = (&'static str, &'static str, Transport, HubProtocol, bool);

const WAYS: [Way; 7] = [
    ("WebSockets JSON", "ws", Transport::WebSockets, HubProtocol::Json, false),
    ("WebSockets MessagePack", "ws", Transport::WebSockets, HubProtocol::MessagePack, false),
    ("Server-Sent Events JSON", "sse", Transport::ServerSentEvents, HubProtocol::Json, false),
    ("long polling JSON", "lp", Transport::LongPolling, HubProtocol::Json, false),
    ("long polling MessagePack", "lp", Transport::LongPolling, HubProtocol::MessagePack, false),
    ("stateful JSON", "stateful", Transport::WebSockets, HubProtocol::Json, true),
    ("stateful MessagePack", "stateful", Transport::WebSockets, HubProtocol::MessagePack, true),
];

struct Options {
    faults: Duration,
    restarts: u32,
    connections: usize,
    seed: u64,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(1, |now| now.as_secs());
        let (mut seconds, mut restarts, mut connections, mut seed) = (20 * 60, None, None, now);
        while let Some(argument) = arguments.next() {
            if argument == "--bench" {
                continue;
            }
            let mut number = || -> Result<u64, String> {
                let number = arguments.next().and_then(|number| number.parse().ok());
                number.ok_or_else(|| format!("{argument} wants a number\n{USAGE}"))
            };
            match argument.as_str() {
                "--minutes" => seconds = number()? * 60,
                "--seconds" => seconds = number()?,
                "--restarts" => restarts = Some(number()? as u32),
                "--connections" => connections = Some(number()? as usize),
                "--seed" => seed = number()?,
                _ => return Err(format!("there is no option {argument}\n{USAGE}")),
            }
        }
        let is_short = seconds < 60;
        Ok(Self {
            faults: Duration::from_secs(seconds),
            restarts: restarts.unwrap_or(if is_short { 2 } else { 10 }),
            connections: connections.unwrap_or(if is_short { 50 } else { 1000 }),
            seed,
        })
    }

    /// Nothing that hangs may hold the program up for longer than this.
    fn limit(&self) -> Duration {
        self.faults + Duration::from_secs(300) + self.restarts * Duration::from_secs(300)
    }
}

fn main() -> ExitCode {
    // `cargo test --benches` runs benches as well; there they need only compile.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let limit = options.limit();
    std::thread::spawn(move || {
        std::thread::sleep(limit);
        println!("hung: the program has not ended after {} s", limit.as_secs());
        std::process::exit(1);
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime.expect("a runtime").block_on(run(options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether there was no fault.
async fn run(options: Options) -> Result<bool, Box<dyn Error>> {
    let Some(reference) = support::reference_dir() else {
        return Err("the reference hub is needed; HUBWIRE_REFERENCE_DIR names its folder".into());
    };
    enough_files(options.connections)?;
    println!("seed {}", options.seed);
    let tally = Arc::new(Tally::new());
    let server = Server::start(&reference, 0)?;
    let telling = tokio::spawn(tell(Arc::clone(&tally)));
    faults(&options, &server, &tally).await?;
    telling.abort();
    tally.print_line();
    if options.restarts > 0 {
        let Options { restarts: rounds, connections, seed, .. } = options;
        Restarts { rounds, connections, seed }.run(&reference, server, &tally).await?;
    }
    if tally.growth() > MEMORY {
        tally.fault(
            Fault::Wrong,
            "memory",
            &format!("{} MiB more than in the beginning", tally.growth() >> 20),
        );
    }
    tally.print_table();
    Ok(tally.is_clean())
}

/// A line of counts every ten seconds.
async fn tell(tally: Arc<Tally>) {
    loop {
        time::sleep(Duration::from_secs(10)).await;
        tally.print_line();
    }
}

/// Connections of every kind behind proxies, in front of the reference hub and of the local service.
async fn faults(options: &Options, server: &Server, tally: &Arc<Tally>) -> Result<(), Box<dyn Error>> {
    let local = Local::start().await?;
    let mut random = Random::new(options.seed);
    let to_hub = Proxy::start(&server.url, random.next(), Arc::clone(tally)).await?;
    let to_local = Proxy::start(local.url(), random.next(), Arc::clone(tally)).await?;
    let (stop, stopped) = watch::channel(false);
    let (mut workers, mut local_workers) = (JoinSet::new(), JoinSet::new());
    for (name, path, transport, protocol, stateful) in WAYS {
        let mut builder = HubConnection::builder(format!("{}/{path}", to_hub.url))
            .with_transports(transport)
            .with_protocol(protocol);
        if stateful {
            builder = builder.with_stateful_reconnect();
        }
        let worker = Worker::new(builder, name, random.next(), Arc::clone(tally), stopped.clone())?;
        workers.spawn(worker.run(true));
        if !stateful {
            let builder = local.builder(&to_local.url).with_transports(transport).with_protocol(protocol);
            let name = format!("local {name}");
            let worker = Worker::new(builder, &name, random.next(), Arc::clone(tally), stopped.clone())?;
            local_workers.spawn(worker.run(false));
        }
    }
    time::sleep(options.faults).await;
    to_hub.end_faults();
    to_local.end_faults();
    stop.send_replace(true);
    let checks = async {
        let series = all(&mut workers, tally).await;
        check_hub(&series, &server.url, tally).await?;
        for series in all(&mut local_workers, tally).await {
            series.check(&local.report(&series.name), false, tally);
        }
        Ok::<_, Box<dyn Error>>(())
    };
    if time::timeout(2 * HANG, checks)
        .await
        .map_err(|_| "the end of the workers hangs")
        .and_then(|checked| {
            checked.map_err(|error| {
                println!("{error}");
                "what the server recorded could not be read"
            })
        })
        .is_err()
    {
        tally.fault(Fault::Hung, "the end", "a worker, or the question what has arrived");
    }
    Ok(())
}

async fn all(workers: &mut JoinSet<Vec<Series>>, tally: &Tally) -> Vec<Series> {
    let mut all = Vec::new();
    while let Some(ended) = workers.join_next().await {
        match ended {
            Ok(series) => all.extend(series),
            Err(error) => tally.fault(Fault::Wrong, "a worker", &error.to_string()),
        }
    }
    all
}

/// What has arrived in the end, asked without a proxy: messages that came late and twice show here.
async fn check_hub(series: &[Series], url: &str, tally: &Tally) -> Result<(), Box<dyn Error>> {
    let hub = HubConnection::builder(format!("{url}/ws")).connect().await?;
    for series in series {
        series.check(&hub.invoke("Recorded", (&series.name,)).await?, false, tally);
    }
    hub.stop().await;
    println!("{} series of numbers are checked", series.len());
    Ok(())
}

/// Whether this process may open as many files as there are sockets.
fn enough_files(connections: usize) -> Result<(), String> {
    // A connection of long polls has two at times.
    let wanted = 2 * connections + 300;
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap_or_default();
    match line.split_whitespace().next().and_then(|limit| limit.parse::<usize>().ok()) {
        Some(limit) if limit < wanted => Err(format!(
            "this process may open {limit} files and needs {wanted}: raise `ulimit -n`, or give --connections"
        )),
        _ => Ok(()),
    }
}
