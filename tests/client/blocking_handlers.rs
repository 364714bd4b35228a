//! Handlers that block their thread, on every kind of runtime: what waits for them waits, and nothing else does.
//!
//! Here, and only here, a handler sleeps as a program does that calls a database or writes a file without `async`.

use std::future::Future;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hubwire::{ConnectionEvent, ConnectionState, HubConnection, HubConnectionBuilder};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::LocalSet;

use crate::support::reference_hub;

/// Twice as long as the server waits for a ping of its client.
const BLOCKED: Duration = Duration::from_secs(4);
/// What takes longer than this hangs, or waits for the handler that blocks.
const AT_ONCE: Duration = Duration::from_secs(2);
const LIMIT: Duration = Duration::from_secs(20);

/// The kinds of runtimes that there are.
fn on_each_runtime<F: Future<Output = ()>>(body: impl Fn() -> F) {
    let run = |name: &str, runtime: Runtime, local: bool| {
        eprintln!("on {name}");
        let body = async { tokio::time::timeout(LIMIT, body()).await.expect("nothing hangs") };
        match local {
            true => LocalSet::new().block_on(&runtime, body),
            false => runtime.block_on(body),
        }
    };
    let threads = |n| Builder::new_multi_thread().worker_threads(n).enable_all().build().unwrap();
    let single = || Builder::new_current_thread().enable_all().build().unwrap();
    run("two threads", threads(2), false);
    run("one worker", threads(1), false);
    run("the current thread", single(), false);
    run("a LocalSet", single(), true);
}

/// A server that gives up a client after two seconds without a ping.
fn impatient(base: &str) -> HubConnectionBuilder {
    HubConnection::builder(format!("{base}/impatient")).with_keep_alive_interval(Duration::from_millis(500))
}

/// What a handler and a test tell each other.
fn line<T>() -> (mpsc::Sender<T>, Arc<Mutex<Receiver<T>>>) {
    let (sender, receiver) = mpsc::channel();
    (sender, Arc::new(Mutex::new(receiver)))
}

/// Waits for something without holding up the runtime.
async fn hear<T: Send + 'static>(receiver: &Arc<Mutex<Receiver<T>>>) -> T {
    let receiver = Arc::clone(receiver);
    let heard = tokio::task::spawn_blocking(move || receiver.lock().unwrap().recv_timeout(LIMIT));
    heard.await.unwrap().expect("it happens")
}

async fn at_once<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(AT_ONCE, future).await.unwrap_or_else(|_| panic!("{what} waits for the handler"))
}

#[test]
fn pings_and_results_go_on_while_a_closure_blocks() {
    let Some(base) = reference_hub("blocking_handlers") else { return };
    on_each_runtime(async || {
        let ((begun, begins), (ended, ends)) = (line(), line());
        let (events, happened) = line();
        let runtime = Handle::current();
        let hub = impatient(base).on_event(move |event| events.send(event).unwrap()).connect().await.unwrap();
        let caller = hub.downgrade();
        hub.on("Blocks", move |n: u32| {
            // It wakes the connection's own task first: what is woken last may stay with this thread.
            if let Some(hub) = caller.upgrade() {
                runtime.spawn(async move { hub.send("Void", ()).await });
            }
            begun.send(n).unwrap();
            std::thread::sleep(BLOCKED);
            ended.send(n).unwrap();
        });
        let (after, afterwards) = line();
        hub.on("After", move |n: u32| after.send((n, Instant::now())).unwrap());

        hub.send("Push", ("Blocks", (1,))).await.unwrap();
        assert_eq!(hear(&begins).await, 1);
        let blocks_since = Instant::now();
        hub.send("Push", ("After", (2,))).await.unwrap();
        while blocks_since.elapsed() < BLOCKED - Duration::from_secs(1) {
            let sum = at_once("a result", hub.invoke::<u32>("Add", (1, 2))).await;
            assert_eq!(sum.unwrap(), 3);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert_eq!(hear(&ends).await, 1);
        // The order stays: what came later runs later.
        let (n, at) = hear(&afterwards).await;
        assert_eq!(n, 2);
        assert!(at - blocks_since >= BLOCKED - Duration::from_millis(50));
        assert_eq!(hub.state(), ConnectionState::Connected);
        hub.stop().await;
        let mut events = Vec::new();
        while !matches!(events.last(), Some(ConnectionEvent::Disconnected { .. })) {
            events.push(hear(&happened).await);
        }
        assert!(
            matches!(
                &*events,
                [
                    ConnectionEvent::Connecting,
                    ConnectionEvent::Connected { .. },
                    ConnectionEvent::Disconnected { .. }
                ]
            ),
            "{events:?}"
        );
    });
}

#[test]
fn a_connection_stops_while_a_closure_blocks() {
    let Some(base) = reference_hub("blocking_handlers") else { return };
    on_each_runtime(async || {
        let ((begun, begins), (ended, ends)) = (line(), line());
        let hub = impatient(base).connect().await.unwrap();
        hub.on("Blocks", move |_: u32| {
            begun.send(()).unwrap();
            std::thread::sleep(BLOCKED);
            ended.send(()).unwrap();
        });
        hub.send("Push", ("Blocks", (1,))).await.unwrap();
        hear(&begins).await;
        let pending = hub.invoke::<()>("Slow", (60_000,));
        let stopped = async {
            tokio::task::yield_now().await;
            hub.stop().await;
        };
        let (pending, ()) = at_once("stop", futures_util::future::join(pending, stopped)).await;
        assert!(pending.is_err());
        // A new start does not wait either; handlers go on one after the other.
        at_once("start", hub.start()).await.unwrap();
        hub.stop().await;
        hear(&ends).await;
    });
}

#[test]
fn a_closure_may_wait_for_a_call_of_its_own_connection() {
    let Some(base) = reference_hub("blocking_handlers") else { return };
    on_each_runtime(async || {
        let (sums, sum) = line();
        let hub = impatient(base).connect().await.unwrap();
        let (caller, runtime) = (hub.downgrade(), Handle::current());
        hub.on("Ask", move |n: u32| {
            let hub = caller.upgrade().unwrap();
            sums.send(runtime.block_on(hub.invoke::<u32>("Add", (n, 1))).unwrap()).unwrap();
            runtime.block_on(hub.stop());
        });
        hub.send("Push", ("Ask", (1,))).await.unwrap();
        assert_eq!(hear(&sum).await, 2);
        at_once("the end", hub.closed()).await;
    });
}

#[test]
fn callbacks_for_events_may_block() {
    let Some(base) = reference_hub("blocking_handlers") else { return };
    on_each_runtime(async || {
        let (ended, ends) = line();
        let hub = impatient(base)
            .on_event(move |event| {
                if matches!(event, ConnectionEvent::Connected { .. }) {
                    std::thread::sleep(BLOCKED);
                    ended.send(()).unwrap();
                }
            })
            .connect()
            .await
            .unwrap();
        assert_eq!(at_once("a result", hub.invoke::<u32>("Add", (1, 2))).await.unwrap(), 3);
        hear(&ends).await;
        assert_eq!(hub.state(), ConnectionState::Connected);
        assert_eq!(hub.invoke::<u32>("Add", (1, 2)).await.unwrap(), 3);
        hub.stop().await;
    });
}

/// More of them than there are threads while nothing blocks.
#[test]
fn handlers_of_other_connections_do_not_wait_for_those_that_block() {
    let Some(base) = reference_hub("blocking_handlers") else { return };
    on_each_runtime(async || {
        let ((begun, begins), (ended, ends)) = (line(), line());
        let mut hubs = Vec::new();
        for _ in 0..24 {
            let (begun, ended) = (begun.clone(), ended.clone());
            let hub = impatient(base).connect().await.unwrap();
            hub.on("Blocks", move |_: u32| {
                begun.send(()).unwrap();
                std::thread::sleep(BLOCKED);
                ended.send(()).unwrap();
            });
            hubs.push(hub);
        }
        for hub in &hubs {
            hub.send("Push", ("Blocks", (1,))).await.unwrap();
        }
        let begin_all = async {
            for _ in &hubs {
                hear(&begins).await;
            }
        };
        at_once("a handler", begin_all).await;
        for _ in &hubs {
            hear(&ends).await;
        }
        for hub in &hubs {
            assert_eq!(hub.state(), ConnectionState::Connected);
            hub.stop().await;
        }
    });
}
