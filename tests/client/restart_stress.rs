//! Thousands of restarts on a runtime of several threads: nothing hangs, whatever a start comes right after or
//! races with.

#![cfg(native)]

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use crate::fake_hub::FakeHub;
use futures_channel::mpsc;
use futures_util::StreamExt;
use futures_util::future::join_all;
use hubwire::{
    CallError, ConnectionError, ConnectionEvent, ConnectionState, HubConnection, HubConnectionBuilder,
};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// How long one step may take on a busy machine. What hangs, hangs for good.
const LIMIT: Duration = Duration::from_secs(10);
const CONNECTIONS: usize = 8;
const ROUNDS: usize = 150;

/// A step that has to end in time.
async fn in_time<T>(what: &str, round: usize, step: impl Future<Output = T>) -> T {
    let Ok(value) = tokio::time::timeout(LIMIT, step).await else {
        panic!("round {round}: {what} hangs");
    };
    value
}

/// Runs a body on each of several connections at once: half of them in tasks of the runtime, the others in threads
/// that block on the body, as `main` does. Those are woken in the middle of whatever the connection's task does,
/// where a task of the same runtime often has to wait for its turn.
async fn on_each<F: Future<Output = ()> + Send + 'static>(
    fake: &FakeHub,
    configure: impl Fn(HubConnectionBuilder) -> HubConnectionBuilder,
    body: impl Fn(HubConnection) -> F,
) {
    let bodies = (0..CONNECTIONS).map(|n| {
        let body = body(configure(HubConnection::builder(&fake.url)).build().unwrap());
        if n % 2 == 0 {
            tokio::spawn(body)
        } else {
            let runtime = Handle::current();
            tokio::task::spawn_blocking(move || runtime.block_on(body))
        }
    });
    // All of them end before one that failed ends the test, and with it the runtime that the others need.
    for ended in join_all(bodies.collect::<Vec<_>>()).await {
        if let Err(error) = ended {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

fn without_negotiation(builder: HubConnectionBuilder) -> HubConnectionBuilder {
    builder.with_skip_negotiation(true)
}

async fn start(hub: &HubConnection, round: usize) {
    in_time("start", round, hub.start()).await.unwrap_or_else(|error| panic!("round {round}: {error}"));
}

async fn works(hub: &HubConnection, round: usize) {
    let echoed = in_time("a call", round, hub.invoke::<usize>("Echo", (round,))).await;
    assert_eq!(echoed.unwrap_or_else(|error| panic!("round {round}: {error}")), round);
}

/// Many who wait for the end of the connection. They take the client a moment to wake, in which a restart may come.
fn crowd(hub: &HubConnection) -> JoinHandle<Vec<ConnectionError>> {
    let waiting = (0..100).map(|_| {
        let hub = hub.clone();
        async move { hub.closed().await }
    });
    let mut waiting = Box::pin(join_all(waiting));
    // From here on each is known to the connection.
    assert!(
        waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending(),
        "the connection is up"
    );
    tokio::spawn(waiting)
}

/// Each of a crowd has heard of the same end.
async fn all_hear(crowds: Vec<JoinHandle<Vec<ConnectionError>>>) {
    for (round, crowd) in crowds.into_iter().enumerate() {
        let errors = in_time("one of many who wait", round, crowd).await.unwrap();
        assert!(errors.iter().all(|error| *error == errors[0]), "round {round}: {errors:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn start_and_stop() {
    let fake = FakeHub::start().await;
    on_each(&fake, without_negotiation, async |hub| {
        for round in 0..2 * ROUNDS {
            start(&hub, round).await;
            in_time("stop", round, hub.stop()).await;
            assert_eq!(hub.state(), ConnectionState::Disconnected, "round {round}");
        }
    })
    .await;
    assert_eq!(fake.connections(), CONNECTIONS * 2 * ROUNDS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn start_call_and_stop_with_negotiate() {
    let fake = FakeHub::start().await;
    on_each(
        &fake,
        |builder| builder,
        async |hub| {
            for round in 0..ROUNDS / 2 {
                start(&hub, round).await;
                works(&hub, round).await;
                in_time("stop", round, hub.stop()).await;
            }
        },
    )
    .await;
    assert_eq!(fake.connections(), CONNECTIONS * (ROUNDS / 2));
}

/// How the server ends a connection, in turn.
fn end_of(round: usize) -> &'static str {
    if round.is_multiple_of(2) { "Close" } else { "Drop" }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn restart_once_closed_returns() {
    let fake = FakeHub::start().await;
    on_each(&fake, without_negotiation, async |hub| {
        let mut crowds = Vec::new();
        for round in 0..ROUNDS {
            start(&hub, round).await;
            let mut closed = Box::pin(hub.closed());
            assert!(futures_util::poll!(&mut closed).is_pending(), "round {round}");
            let crowd = crowd(&hub);
            if round % 3 == 0 {
                let stopping = hub.clone();
                tokio::spawn(async move { stopping.stop().await });
            } else {
                let _ = hub.send(end_of(round), ()).await;
            }
            let error = in_time("closed", round, closed).await;
            assert_eq!(error == ConnectionError::Stopped, round % 3 == 0, "round {round}: {error}");
            crowds.push(crowd);
        }
        start(&hub, ROUNDS).await;
        works(&hub, ROUNDS).await;
        all_hear(crowds).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn restart_once_the_state_is_disconnected() {
    let fake = FakeHub::start().await;
    on_each(&fake, without_negotiation, async |hub| {
        let mut crowds = Vec::new();
        for round in 0..ROUNDS {
            start(&hub, round).await;
            crowds.push(crowd(&hub));
            let _ = hub.send(end_of(round), ()).await;
            in_time("the end", round, async {
                while hub.state() != ConnectionState::Disconnected {
                    tokio::task::yield_now().await;
                }
            })
            .await;
        }
        start(&hub, ROUNDS).await;
        works(&hub, ROUNDS).await;
        all_hear(crowds).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn restart_on_the_event_of_the_stream() {
    let fake = FakeHub::start().await;
    on_each(&fake, without_negotiation, async |hub| {
        let mut events = hub.events();
        let mut crowds = Vec::new();
        for round in 0..ROUNDS {
            start(&hub, round).await;
            crowds.push(crowd(&hub));
            let stopping = hub.clone();
            // The one who stops is still waiting when the event arrives.
            let stop = tokio::spawn(async move {
                match round % 3 {
                    0 => stopping.stop().await,
                    _ => drop(stopping.send(end_of(round), ()).await),
                }
            });
            in_time("the event", round, async {
                while !matches!(events.next().await, Some(ConnectionEvent::Disconnected { .. })) {}
            })
            .await;
            if round % 3 != 0 {
                in_time("the message", round, stop).await.unwrap();
            }
        }
        start(&hub, ROUNDS).await;
        works(&hub, ROUNDS).await;
        all_hear(crowds).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn restart_inside_the_event_callback() {
    let fake = FakeHub::start().await;
    on_each(&fake, without_negotiation, async |hub| {
        let (sender, mut started) = mpsc::unbounded();
        let weak = hub.downgrade();
        hub.on_event(move |event| {
            let ConnectionEvent::Disconnected { .. } = event else { return };
            let Some(hub) = weak.upgrade() else { return };
            let sender = sender.clone();
            // A callback cannot wait, so it starts in a task, at once.
            tokio::spawn(async move {
                let result = tokio::time::timeout(LIMIT, hub.start()).await;
                let _ = sender.unbounded_send(result);
            });
        });
        let mut crowds = Vec::new();
        start(&hub, 0).await;
        for round in 0..ROUNDS {
            crowds.push(crowd(&hub));
            let _ = hub.send(end_of(round), ()).await;
            match in_time("the event", round, started.next()).await {
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(error))) => panic!("round {round}: {error}"),
                Some(Err(_)) => panic!("round {round}: start hangs"),
                None => panic!("round {round}: the callback is gone"),
            }
        }
        works(&hub, ROUNDS).await;
        all_hear(crowds).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn starts_race_with_stops() {
    let fake = FakeHub::start().await;
    on_each(&fake, without_negotiation, async |hub| {
        let stopping = hub.clone();
        let stops = tokio::spawn(async move {
            for round in 0..2 * ROUNDS {
                in_time("stop", round, stopping.stop()).await;
                for _ in 0..round % 40 {
                    tokio::task::yield_now().await;
                }
            }
        });
        for round in 0..2 * ROUNDS {
            match in_time("start", round, hub.start()).await {
                Ok(()) | Err(ConnectionError::Stopped | ConnectionError::AlreadyStarted) => {}
                Err(error) => panic!("round {round}: {error}"),
            }
            // Calls in whatever state end as well.
            let call = hub.invoke::<usize>("Echo", (round,));
            match in_time("a call", round, call).await {
                Ok(echoed) => assert_eq!(echoed, round),
                Err(CallError::Connection(ConnectionError::Stopped | ConnectionError::NotConnected)) => {}
                Err(error) => panic!("round {round}: {error}"),
            }
        }
        if let Err(error) = stops.await {
            std::panic::resume_unwind(error.into_panic());
        }
        in_time("the last stop", 0, hub.stop()).await;
        start(&hub, ROUNDS).await;
        works(&hub, ROUNDS).await;
    })
    .await;
}

/// Calls of every kind are in flight when the connection stops or the server ends it: each ends, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_in_flight_end_once() {
    const CALLS: usize = 12;
    let fake = FakeHub::start().await;
    let ended = Arc::new(AtomicUsize::new(0));
    on_each(&fake, without_negotiation, |hub| {
        let ended = Arc::clone(&ended);
        async move {
            for round in 0..ROUNDS / 3 {
                start(&hub, round).await;
                let calls = (0..CALLS).map(|n| {
                    let (hub, ended) = (hub.clone(), Arc::clone(&ended));
                    tokio::spawn(async move {
                        match n % 3 {
                            0 => assert!(hub.invoke::<usize>("Never", ()).await.is_err(), "nobody answers"),
                            1 => {
                                if let Ok(echoed) = hub.invoke::<usize>("Echo", (n,)).await {
                                    assert_eq!(echoed, n);
                                }
                            }
                            _ => stream_to_its_end(&hub).await,
                        }
                        ended.fetch_add(1, Ordering::SeqCst);
                    })
                });
                let calls: Vec<_> = calls.collect();
                for _ in 0..round % 30 {
                    tokio::task::yield_now().await;
                }
                if round % 3 == 0 {
                    let _ = hub.send(end_of(round), ()).await;
                    in_time("closed", round, hub.closed()).await;
                }
                // A call that begins after the end fails at once.
                in_time("stop", round, hub.stop()).await;
                for call in in_time("a call", round, join_all(calls)).await {
                    if let Err(error) = call {
                        std::panic::resume_unwind(error.into_panic());
                    }
                }
            }
        }
    })
    .await;
    assert_eq!(ended.load(Ordering::SeqCst), CONNECTIONS * (ROUNDS / 3) * CALLS);
    assert_eq!(fake.repeated_ids(), 0);
}

/// Items in order from 0, one error, and nothing after it.
async fn stream_to_its_end(hub: &HubConnection) {
    let Ok(mut items) = hub.stream::<u64>("Count", ()).await else { return };
    let mut wanted = 0;
    while let Some(item) = items.next().await {
        match item {
            Ok(item) => assert_eq!(item, wanted, "an item is lost, doubled or out of order"),
            Err(_) => {
                assert!(items.next().await.is_none(), "a stream ends once");
                return;
            }
        }
        wanted += 1;
    }
    panic!("a stream without end ended without an error");
}
