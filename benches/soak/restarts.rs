//! Restarts of the server under many connections: each of them comes back, or ends with an error that says why.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use hubwire::{ConnectionError, ConnectionState, HubConnection, HubProtocol, RetryPolicy, Transport};
use tokio::time::{self, Instant, timeout};

use crate::random::Random;
use crate::server::Server;
use crate::tally::{Fault, Kind, Tally};

/// How long the connections try to come back.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long until each has come back or has ended.
const LIMIT: Duration = Duration::from_secs(90);

/// How many starts and calls go on at once.
const AT_ONCE: usize = 50;

pub(crate) struct Restarts {
    pub(crate) rounds: u32,
    pub(crate) connections: usize,
    pub(crate) seed: u64,
}

impl Restarts {
    pub(crate) async fn run(
        self,
        reference: &Path,
        mut server: Server,
        tally: &Arc<Tally>,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let kind = tally.kind(&format!("{} under restarts", self.connections));
        let hubs = self.build(&server.url)?;
        let begun = Instant::now();
        start_all(&hubs, tally).await;
        println!("{} connections are up after {:.1} s", hubs.len(), begun.elapsed().as_secs_f64());
        for round in 1..=self.rounds {
            let before: Vec<_> = hubs.iter().map(HubConnection::connection_id).collect();
            let port = server.port;
            let reference = reference.to_owned();
            server = tokio::task::spawn_blocking(move || {
                drop(server);
                Server::start(&reference, port)
            })
            .await??;
            let begun = Instant::now();
            let (back, ended, hung) = all_settle(&hubs, &before).await;
            println!(
                "restart {round}: {back} of {} connections are back, {} have ended, {hung} hang, {:.1} s after the start",
                hubs.len(),
                ended.values().sum::<usize>(),
                begun.elapsed().as_secs_f64(),
            );
            for (error, count) in &ended {
                println!("    {count} ended: {error}");
            }
            (0..back).for_each(|_| kind.reconnects.add());
            (0..ended.values().sum()).for_each(|_| kind.restarts.add());
            (0..hung).for_each(|_| tally.fault(Fault::Hung, &kind.name, &format!("restart {round}")));
            start_all(&hubs, tally).await;
            call_all(&hubs, &kind, tally).await;
            tally.print_line();
        }
        let stops = stream::iter(&hubs).map(|hub| timeout(Duration::from_secs(20), hub.stop()));
        let hung = stops
            .buffer_unordered(AT_ONCE)
            .filter(|stopped| std::future::ready(stopped.is_err()))
            .count()
            .await;
        (0..hung).for_each(|_| tally.fault(Fault::Hung, &kind.name, "stop"));
        Ok(())
    }

    fn build(&self, url: &str) -> Result<Vec<HubConnection>, ConnectionError> {
        let mut random = Random::new(self.seed);
        let hubs = (0..self.connections).map(|number| {
            let (path, transport, protocol) = match number % 10 {
                0..6 => ("hub", Transport::WebSockets, HubProtocol::Json),
                6..8 => ("hub", Transport::WebSockets, HubProtocol::MessagePack),
                8 => ("sse", Transport::ServerSentEvents, HubProtocol::Json),
                _ => ("lp", Transport::LongPolling, HubProtocol::Json),
            };
            let delay = random.millis(200..1500);
            HubConnection::builder(format!("{url}/{path}"))
                .with_transports(transport)
                .with_protocol(protocol)
                .with_request_timeout(Duration::from_secs(20))
                .with_automatic_reconnect(RetryPolicy::new(move |context| {
                    (context.elapsed < PATIENCE).then_some(delay)
                }))
                .build()
        });
        hubs.collect()
    }
}

/// Starts those that are not.
async fn start_all(hubs: &[HubConnection], tally: &Tally) {
    let starts =
        hubs.iter().filter(|hub| hub.state() == ConnectionState::Disconnected).map(|hub| async move {
            for attempt in 1.. {
                match timeout(LIMIT, hub.start()).await {
                    Ok(Ok(())) => return,
                    Ok(Err(error)) if attempt == 5 => {
                        return tally.fault(Fault::Wrong, "start under restarts", &error.to_string());
                    }
                    Ok(Err(_)) => time::sleep(Duration::from_millis(200)).await,
                    Err(_) => return tally.fault(Fault::Hung, "start under restarts", "a connection"),
                }
            }
        });
    stream::iter(starts).buffer_unordered(AT_ONCE).collect::<()>().await;
}

/// Waits until each connection is another one than before, or has ended: how many are back, why the others ended, and
/// how many did neither.
async fn all_settle(
    hubs: &[HubConnection],
    before: &[Option<String>],
) -> (usize, BTreeMap<String, usize>, usize) {
    let begun = Instant::now();
    let is_back = |hub: &HubConnection, old: &Option<String>| {
        hub.connection_id().is_some_and(|id| old.as_ref() != Some(&id))
    };
    let all = || hubs.iter().zip(before);
    let settled = |(hub, old): (&HubConnection, &Option<String>)| {
        hub.state() == ConnectionState::Disconnected || is_back(hub, old)
    };
    while begun.elapsed() < LIMIT && !all().all(settled) {
        time::sleep(Duration::from_millis(50)).await;
    }
    let (mut back, mut ended, mut hung) = (0, BTreeMap::new(), 0);
    for (hub, old) in all() {
        if is_back(hub, old) {
            back += 1;
        } else if hub.state() == ConnectionState::Disconnected {
            *ended.entry(hub.closed().await.to_string()).or_insert(0) += 1;
        } else {
            hung += 1;
        }
    }
    (back, ended, hung)
}

/// A connection that is back is useless unless calls work.
async fn call_all(hubs: &[HubConnection], kind: &Kind, tally: &Tally) {
    let calls = hubs.iter().map(|hub| async move {
        kind.made.add();
        match timeout(Duration::from_secs(30), hub.invoke::<i32>("Add", (1, 2))).await {
            Err(_) => return tally.fault(Fault::Hung, &kind.name, "Add"),
            Ok(Ok(3)) => {}
            Ok(other) => {
                kind.failed.add();
                tally.fault(Fault::Wrong, &kind.name, &format!("Add(1, 2) after a restart: {other:?}"));
            }
        }
        kind.ended.add();
    });
    stream::iter(calls).buffer_unordered(AT_ONCE).collect::<()>().await;
}
