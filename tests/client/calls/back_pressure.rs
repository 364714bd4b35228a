//! Back-pressure: a client that is slower than its server, and a server that is slower than its client.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt, poll, stream};
use hubwire::{CallError, ConnectionError, Upload};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};

use super::{plain, soon};
use crate::peer;

/// What a server pushes as fast as it can, until the connection is closed.
struct Pushed {
    count: AtomicUsize,
    more: Notify,
}

impl Pushed {
    fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Waits until nothing more gets through, which takes time to see.
    async fn stalls(&self) -> usize {
        loop {
            let more = self.more.notified();
            if tokio::time::timeout(Duration::from_millis(500), more).await.is_err() {
                return self.count();
            }
        }
    }
}

/// Pushes `count` messages, and answers calls in between.
fn push(
    mut hear: peer::Hear,
    mut speak: peer::Speak,
    count: usize,
    message: impl Fn(usize) -> String + Send + 'static,
) -> Arc<Pushed> {
    let pushed = Arc::new(Pushed { count: AtomicUsize::new(0), more: Notify::new() });
    let counter = Arc::clone(&pushed);
    let (tell, mut calls) = mpsc::unbounded_channel::<Value>();
    tokio::spawn(async move {
        while let Some(message) = hear.try_next().await {
            if message["target"] == "Answer" {
                tell.send(message["invocationId"].clone()).unwrap();
            }
        }
    });
    tokio::spawn(async move {
        let text = |message: String| tokio_tungstenite::tungstenite::Message::text(message + "\u{1e}");
        for n in 0..count {
            while let Ok(id) = calls.try_recv() {
                let answer = format!(r#"{{"type":3,"invocationId":{id},"result":"answered"}}"#);
                if speak.0.send(text(answer)).await.is_err() {
                    return;
                }
            }
            if speak.0.send(text(message(n))).await.is_err() {
                return;
            }
            counter.count.fetch_add(1, Ordering::SeqCst);
            counter.more.notify_one();
        }
        while let Some(id) = calls.recv().await {
            let answer = format!(r#"{{"type":3,"invocationId":{id},"result":"answered"}}"#);
            if speak.0.send(text(answer)).await.is_err() {
                return;
            }
        }
    });
    pushed
}

/// Items of 4 KiB: what the sockets' buffers hold of them is a small part of all.
fn large_item(n: usize) -> String {
    format!(r#"{{"type":2,"invocationId":"0","item":[{n},"{}"]}}"#, "x".repeat(4096))
}

const MANY: usize = 30_000;

/// `signalr-client` has an unbounded queue, `signalrs-client` blocks the runtime. Here the server has to wait; a call
/// that is made meanwhile gets its result; and nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_stream_holds_the_server_back_and_no_call_up() {
    let (hub, mut hear, speak) = plain().await;
    let mut numbers = hub.stream::<(usize, String)>("Numbers", ()).await.unwrap();
    hear.next().await;
    let pushed = push(hear, speak, MANY, large_item);
    let held_back = pushed.stalls().await;
    assert!((1024..MANY / 2).contains(&held_back), "{held_back} items went out");

    // The result is behind all of them.
    assert_eq!(soon(hub.invoke::<String>("Answer", ())).await.unwrap(), "answered");
    assert!(pushed.stalls().await < MANY, "with the result, the reading has stopped again");

    for n in 0..MANY {
        assert_eq!(soon(numbers.next()).await.unwrap().unwrap().0, n);
    }
    assert_eq!(pushed.count(), MANY);
}

/// While a call waits for its result, no more is held than this client can bear.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_nobody_reads_ends_the_connection() {
    let (hub, mut hear, speak) = plain().await;
    let mut numbers = hub.stream::<(usize, String)>("Numbers", ()).await.unwrap();
    hear.next().await;
    let pushed = push(hear, speak, MANY, large_item);
    let (call, closed) = soon(futures_util::future::join(hub.invoke::<()>("Never", ()), hub.closed())).await;
    assert_eq!(closed, ConnectionError::SlowConsumer);
    assert!(matches!(call, Err(CallError::Connection(ConnectionError::SlowConsumer))), "{call:?}");
    // 64 MiB of 4 KiB, and what was in the sockets' buffers.
    assert!(pushed.count() > 16_000, "{}", pushed.count());
    let (mut taken, mut last) = (0, None);
    while let Some(item) = numbers.next().await {
        match item {
            Ok((n, _)) => {
                assert_eq!(n, taken);
                taken += 1;
            }
            Err(error) => last = Some(error),
        }
    }
    assert!((16_000..17_000).contains(&taken), "{taken}");
    assert!(matches!(last, Some(CallError::Connection(ConnectionError::SlowConsumer))), "{last:?}");
}

/// A handler that waits for a result while far more messages wait for it than are read ahead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_gets_its_result_however_many_messages_wait_for_it() {
    let (hub, hear, speak) = plain().await;
    let (tell, mut told) = mpsc::unbounded_channel();
    let caller = hub.clone();
    hub.on("Work", move |n: usize| {
        let (hub, tell) = (caller.clone(), tell.clone());
        async move {
            let answer = hub.invoke::<String>("Answer", ()).await;
            tell.send((n, answer.unwrap())).unwrap();
        }
    });
    push(hear, speak, 5000, |n| format!(r#"{{"type":1,"target":"Work","arguments":[{n}]}}"#));
    for n in 0..5000 {
        assert_eq!(soon(told.recv()).await.unwrap(), (n, "answered".to_owned()));
    }
}

/// A handler that takes nothing holds the server back too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_handler_holds_the_server_back() {
    let (hub, hear, speak) = plain().await;
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let (tell, mut told) = mpsc::unbounded_channel();
    let opened = Arc::clone(&gate);
    hub.on("Work", move |n: usize, _text: String| {
        let (gate, tell) = (Arc::clone(&opened), tell.clone());
        async move {
            gate.acquire().await.unwrap().forget();
            tell.send(n).unwrap();
        }
    });
    let text = "x".repeat(4096);
    let pushed = push(hear, speak, MANY, move |n| {
        format!(r#"{{"type":1,"target":"Work","arguments":[{n},"{text}"]}}"#)
    });
    let held_back = pushed.stalls().await;
    assert!((1024..MANY / 2).contains(&held_back), "{held_back} messages went out");
    gate.add_permits(MANY);
    for n in 0..MANY {
        assert_eq!(soon(told.recv()).await, Some(n));
    }
}

/// An upload waits while the socket is full, and takes no more of its stream than is sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_waits_for_the_socket() {
    let (hub, mut hear, mut speak) = plain().await;
    let made = Arc::new(Pushed { count: AtomicUsize::new(0), more: Notify::new() });
    let counter = Arc::clone(&made);
    let text = "x".repeat(4096);
    let items = stream::iter(0..MANY).map(move |n| {
        counter.count.fetch_add(1, Ordering::SeqCst);
        counter.more.notify_one();
        (n, text.clone())
    });
    let mut call = Box::pin(hub.invoke::<()>("Take", (Upload::new(items),)));
    assert!(poll!(&mut call).is_pending());
    // Nobody reads yet.
    let held_back = made.stalls().await;
    assert!(held_back < MANY / 2, "{held_back} items were made");
    assert_eq!(hear.next().await["target"], "Take");
    for n in 0..MANY {
        assert_eq!(hear.next().await["item"][0], n);
    }
    assert_eq!(hear.next().await, json!({"type":3,"invocationId":"1"}));
    speak.say(&[r#"{"type":3,"invocationId":"0"}"#]).await;
    soon(call).await.unwrap();
}
