//! What the server calls: handlers, results that go back, messages that come early. And limits of time.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_channel::mpsc;
use futures_util::StreamExt;
use hubwire::{CallError, ServerCall};

use super::{Setup, Unwritable};

/// Every way in which a client answers its server.
pub(crate) async fn client_results(base: &str, setup: Setup, panics: bool) {
    let hub = setup
        .builder(format!("{base}/parallel"))
        .on_invoke("Shout", |text: String| Ok::<_, Infallible>(text.to_uppercase()))
        .connect()
        .await
        .unwrap();
    let ask = async |target: &str, question: &str| {
        hub.invoke::<String>("Ask", (target, question)).await.expect("an answer, or why there is none")
    };
    assert_eq!(ask("shout", "hello").await, "HELLO");

    // Asynchronous, and calling the server in the meantime.
    let caller = hub.clone();
    hub.on_invoke("Sum", move |text: String| {
        let hub = caller.clone();
        async move {
            let numbers: Vec<i32> = text.split('+').map_while(|n| n.parse().ok()).collect();
            let sum = hub.invoke::<i32>("Add", (numbers[0], numbers[1])).await;
            sum.map(|sum| sum.to_string())
        }
    });
    assert_eq!(ask("Sum", "20+22").await, "42");

    // Errors.
    hub.on_invoke("Parse", |text: String| text.parse::<u32>().map(|n| n.to_string()));
    assert_eq!(ask("Parse", "7").await, "7");
    assert!(ask("Parse", "seven").await.contains("invalid digit"));
    hub.on_invoke("Map", |_: String| Ok::<_, Infallible>(Unwritable));
    assert!(ask("Map", "").await.contains("Client failed to serialize the result"));
    hub.on_invoke("Number", |n: u32| Ok::<_, Infallible>(n.to_string()));
    assert!(ask("Number", "no number").await.contains("Client failed to parse argument(s)."));
    assert!(ask("Nobody", "").await.contains("Client didn't provide a result."));
    if panics {
        hub.on_invoke("Panic", |text: String| -> Result<String, Infallible> { panic!("{text}") });
        hub.on_invoke("PanicLater", |text: String| async move {
            let number: u32 = text.parse().expect("a number");
            Ok::<_, Infallible>(number.to_string())
        });
        for target in ["Panic", "PanicLater", "Panic"] {
            let answer = ask(target, "on purpose").await;
            assert!(answer.contains("panicked") && !answer.contains("on purpose"), "{target}: {answer}");
        }
    }

    // Who only listens does not answer, but listens beside the one who does. The last one who answers does.
    let (log, heard) = mpsc::unbounded();
    hub.on("Both", move |text: String| log.unbounded_send(text).unwrap());
    assert!(ask("Both", "1").await.contains("Client didn't provide a result."));
    let first = hub.on_invoke("Both", |text: String| Ok::<_, Infallible>(format!("first {text}")));
    assert_eq!(ask("Both", "2").await, "first 2");
    let second = hub.on_invoke("Both", |text: String| Ok::<_, Infallible>(format!("second {text}")));
    assert_eq!(ask("Both", "3").await, "second 3");
    first.unsubscribe();
    assert_eq!(ask("Both", "4").await, "second 4");
    second.unsubscribe();
    assert!(ask("Both", "5").await.contains("Client didn't provide a result."));
    assert_eq!(heard.take(5).collect::<Vec<_>>().await, ["1", "2", "3", "4", "5"]);

    // Several questions at once are answered one after the other, each with its own answer.
    let answers =
        futures_util::join!(ask("Shout", "a"), ask("Sum", "1+1"), ask("Shout", "b"), ask("Sum", "2+2"));
    assert_eq!(answers, ("A".to_owned(), "2".to_owned(), "B".to_owned(), "4".to_owned()));

    // Called without a wish for an answer.
    let (tell, mut told) = mpsc::unbounded();
    hub.on_invoke("Told", move |text: String| tell.unbounded_send(text).map(|()| "nobody asked"));
    hub.invoke::<()>("Push", ("Told", ("quietly",))).await.unwrap();
    assert_eq!(told.next().await.as_deref(), Some("quietly"));

    // Outside of a call, where a hub that runs one call after the other can ask as well.
    let hub = setup.connect(format!("{base}{}", setup.path())).await;
    let (tell, mut answered) = mpsc::unbounded();
    hub.on("Answered", move |text: String| tell.unbounded_send(text).unwrap());
    hub.on_invoke("Name", |question: String| async move { Ok::<_, Infallible>(format!("{question} Alice")) });
    hub.send("AskLater", ("Name", "I am")).await.unwrap();
    assert_eq!(answered.next().await.as_deref(), Some("I am Alice"));
    hub.on_invoke("Done", || Ok::<(), Infallible>(()));
    hub.send("AskVoidLater", ("Done",)).await.unwrap();
    assert_eq!(answered.next().await.as_deref(), Some("result "));
    // The server gives up on an answer when the connection ends; one that comes later is dropped.
    let (tell, mut asked) = mpsc::unbounded();
    hub.on_invoke("Never", move |_: String| {
        tell.unbounded_send(()).unwrap();
        std::future::pending::<Result<String, Infallible>>()
    });
    hub.send("AskLater", ("Never", "")).await.unwrap();
    asked.next().await.unwrap();
    hub.stop().await;
    // What waited for the answer is gone, so the handler has taken the next message.
    hub.start().await.unwrap();
    hub.send("AskLater", ("Never", "")).await.unwrap();
    asked.next().await.unwrap();
}

/// A handler for methods that have none: early messages, names as written, results that nobody gives.
pub(crate) async fn calls_without_a_handler(base: &str, setup: Setup) {
    let hub = setup.connect(format!("{base}/parallel")).await;
    let (tell, mut told) = mpsc::unbounded();
    hub.invoke::<()>("Push", ("Early", ("kept", 1))).await.unwrap();
    let fallback = hub.on_unhandled(move |call: ServerCall| {
        let (arguments, wrong) = (call.arguments::<(String, u32)>(), call.arguments::<(u32,)>());
        assert!(wrong.is_err());
        tell.unbounded_send((call.method().to_owned(), arguments.ok(), call.is_awaited())).unwrap();
    });
    assert_eq!(told.next().await, Some(("Early".into(), Some(("kept".into(), 1)), false)));

    // In order, and not what has a handler, in whatever case; until that is gone.
    let (hear, mut heard) = mpsc::unbounded();
    let own = hub.on("OWN", move |text: String| hear.unbounded_send(text).unwrap());
    for (method, text) in [("Some", "a"), ("own", "b"), ("Other", "c"), ("some", "d")] {
        hub.invoke::<()>("Push", (method, (text, 2))).await.unwrap();
    }
    assert_eq!(heard.next().await.as_deref(), Some("b"));
    own.unsubscribe();
    hub.invoke::<()>("Push", ("Own", ("e", 2))).await.unwrap();
    for (method, text) in [("Some", "a"), ("Other", "c"), ("some", "d"), ("Own", "e")] {
        assert_eq!(told.next().await, Some((method.into(), Some((text.into(), 2)), false)));
    }

    // Who asks is told that there is no result.
    let answer: String = hub.invoke("Ask", ("Name", "who")).await.unwrap();
    assert!(answer.contains("Client didn't provide a result."), "{answer}");
    assert_eq!(told.next().await, Some(("Name".into(), None, true)));

    // Without it, messages are kept again.
    fallback.unsubscribe();
    hub.invoke::<()>("Push", ("Again", ("kept",))).await.unwrap();
    let (hear, mut heard) = mpsc::unbounded();
    hub.on("Again", move |text: String| hear.unbounded_send(text).unwrap());
    assert_eq!(heard.next().await.as_deref(), Some("kept"));
    assert_eq!(told.next().await, None);
}

/// In `signalr-client`, handlers can only be registered once connected, and what came before is lost.
pub(crate) async fn messages_before_their_handler_are_kept(base: &str, setup: Setup) {
    let hub = setup.connect(format!("{base}{}", setup.path())).await;
    let (tell, mut told) = mpsc::unbounded();
    let teller = |of: u32| {
        let tell = tell.clone();
        move |n: u32| tell.unbounded_send((of, n)).unwrap()
    };
    // An answer comes after what was sent before.
    hub.invoke::<()>("PushNumbers", ("Late", 100)).await.unwrap();
    hub.invoke::<()>("PushNumbers", ("Later", 2)).await.unwrap();
    let first = hub.on("late", teller(1));
    let second = hub.on("LATE", teller(2));
    // Once there was a handler, nothing is kept any more.
    hub.invoke::<()>("PushNumbers", ("Late", 1)).await.unwrap();
    let mut all = Vec::new();
    while all.len() < 102 {
        all.push(told.next().await.unwrap());
    }
    let of = |who| all.iter().filter(|(of, _)| *of == who).map(|(_, n)| *n).collect::<Vec<_>>();
    assert_eq!(of(1), (0..100).chain([0]).collect::<Vec<_>>());
    assert_eq!(of(2), [0]);
    first.unsubscribe();
    second.unsubscribe();
    hub.invoke::<()>("PushNumbers", ("Late", 3)).await.unwrap();
    hub.on("Late", teller(3));
    hub.on("Later", teller(4));
    for n in 0..2 {
        assert_eq!(told.next().await, Some((4, n)));
    }

    // No more than so many: the oldest go.
    hub.invoke::<()>("PushNumbers", ("Many", 300)).await.unwrap();
    hub.on("Many", teller(5));
    for n in 44..300 {
        assert_eq!(told.next().await, Some((5, n)));
    }
    // Nor more than so much.
    for length in [700_000, 700_001] {
        hub.invoke::<()>("PushString", ("Large", length)).await.unwrap();
    }
    let (tell_length, mut lengths) = mpsc::unbounded();
    hub.on("Large", move |text: String| tell_length.unbounded_send(text.len()).unwrap());
    assert_eq!(lengths.next().await, Some(700_001));

    // A new start is a new beginning.
    hub.invoke::<()>("PushNumbers", ("Old", 1)).await.unwrap();
    hub.stop().await;
    hub.start().await.unwrap();
    hub.on("Old", teller(6));
    hub.invoke::<()>("PushNumbers", ("Old", 2)).await.unwrap();
    for n in 0..2 {
        assert_eq!(told.next().await, Some((6, n)));
    }
}

/// In `signalr-client`, handlers run under a lock: one that calls the connection waits for ever.
pub(crate) async fn handlers_call_the_connection(base: &str, setup: Setup) {
    let hub = setup.connect(format!("{base}{}", setup.path())).await;
    let (tell, mut told) = mpsc::unbounded();
    let caller = hub.clone();
    hub.on("Number", move |n: i32| {
        let (hub, tell) = (caller.clone(), tell.clone());
        async move {
            let sum = hub.invoke::<i32>("Add", (n, 1)).await.unwrap();
            // Registers and removes handlers, of its own method too.
            hub.on("Number", |_: i32| {}).unsubscribe();
            hub.on("Sum", |_: i32| {});
            hub.send("Push", ("Sum", (sum,))).await.unwrap();
            tell.unbounded_send(sum).unwrap();
        }
    });
    hub.send("PushNumbers", ("Number", 20)).await.unwrap();
    for n in 1..=20 {
        assert_eq!(told.next().await, Some(n));
    }
    let caller = hub.clone();
    hub.on("Stop", move || {
        let hub = caller.clone();
        async move { hub.stop().await }
    });
    hub.send("Push", ("Stop", [(); 0])).await.unwrap();
    assert_eq!(hub.closed().await, hubwire::ConnectionError::Stopped);
}

/// One after the other, though each takes its time; another handler does not wait for it.
pub(crate) async fn slow_handlers_keep_the_order(base: &str, setup: Setup, panics: bool) {
    let hub = setup.connect(format!("{base}{}", setup.path())).await;
    let (tell, mut told) = mpsc::unbounded();
    let busy = Arc::new(AtomicBool::new(false));
    let (start, started) = futures_channel::oneshot::channel::<()>();
    let mut started = Some(started);
    hub.on("Number", move |n: u32| {
        let (tell, busy, started) = (tell.clone(), Arc::clone(&busy), started.take());
        async move {
            assert!(!busy.swap(true, Ordering::SeqCst), "two at once");
            if let Some(started) = started {
                started.await.unwrap();
            }
            busy.store(false, Ordering::SeqCst);
            assert!(!panics || n != 1, "a panic on purpose");
            tell.unbounded_send(n).unwrap();
        }
    });
    let (tell_quick, mut quick) = mpsc::unbounded();
    hub.on("Number", move |n: u32| tell_quick.unbounded_send(n).unwrap());
    hub.send("PushNumbers", ("Number", 5)).await.unwrap();
    for n in 0..5 {
        assert_eq!(quick.next().await, Some(n));
    }
    assert_eq!(hub.invoke::<i32>("Add", (1, 2)).await.unwrap(), 3);
    assert!(told.try_recv().is_err(), "the first still runs");
    start.send(()).unwrap();
    let wanted: &[u32] = if panics { &[0, 2, 3, 4] } else { &[0, 1, 2, 3, 4] };
    for n in wanted {
        assert_eq!(told.next().await, Some(*n));
    }
}

/// A call that takes too long ends, and nothing else does.
pub(crate) async fn time_limits(base: &str, setup: Setup) {
    let limit = Duration::from_millis(50);
    let hub = setup.connect(format!("{base}/parallel")).await;
    let quick = hub.with_call_timeout(limit);
    let error = quick.invoke::<String>("Slow", (60_000,)).await.unwrap_err();
    assert!(matches!(error, CallError::Timeout { limit: l } if l == limit), "{error:?}");
    assert_eq!(error.to_string(), "the call took longer than 50 ms");
    assert_eq!(hub.invoke::<String>("Slow", (200,)).await.unwrap(), "slept");

    let hub = setup.builder(format!("{base}/parallel")).with_call_timeout(limit).connect().await.unwrap();
    let error = hub.invoke::<String>("Slow", (60_000,)).await.unwrap_err();
    assert!(matches!(error, CallError::Timeout { .. }), "{error:?}");
    // A stream may take its time.
    let mut slow = hub.stream::<i32>("Counter", (1, 200)).await.unwrap();
    assert_eq!(slow.next().await.unwrap().unwrap(), 0);
}

/// A handler may hold its connection without keeping it.
pub(crate) async fn handlers_do_not_keep_the_connection(base: &str, setup: Setup) {
    let hub = setup.connect(format!("{base}{}", setup.path())).await;
    let (tell, mut told) = mpsc::unbounded();
    let caller = hub.downgrade();
    hub.on("Number", move |n: i32| {
        let (hub, tell) = (caller.upgrade(), tell.clone());
        async move {
            let sum = hub.expect("it is there").invoke::<i32>("Add", (n, 1)).await.unwrap();
            tell.unbounded_send(sum).unwrap();
        }
    });
    let mut events = hub.events();
    let weak = hub.downgrade();
    hub.send("PushNumbers", ("Number", 1)).await.unwrap();
    assert_eq!(told.next().await, Some(1));
    drop(hub);
    assert!(weak.upgrade().is_none());
    let end = hubwire::ConnectionEvent::Disconnected { error: hubwire::ConnectionError::Stopped };
    assert_eq!(events.next().await, Some(end));
    // The handler went with it.
    assert_eq!(told.next().await, None);
}
