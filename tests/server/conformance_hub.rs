//! The hub that the reference software hosts in ASP.NET Core, hosted in Rust: the same methods with the same answers.
//! `examples/conformance` serves it, too.

#[path = "conformance_values.rs"]
mod values;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{Stream, StreamExt as _, stream};
use hubwire::{
    Binary, Timestamp,
    server::{
        Caller, HubError, HubServer, HubServerBuilder, Identity, Incoming, Rejection,
        error::ClientResultError,
    },
};
use serde_json::json;
use tokio::net::TcpListener;

use self::values::{Any, Colour, DateAndKind, Decimal, Point, SeriesReport};

type Items<T> = std::pin::Pin<Box<dyn Stream<Item = Result<T, HubError>> + Send>>;

/// What has happened, for tests to read back. All paths of a server share one.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Seen>>);

#[derive(Default)]
#[allow(dead_code, reason = "what the example tells")]
pub(crate) struct Seen {
    pub(crate) open: BTreeSet<String>,
    pub(crate) ended: BTreeSet<String>,
    pub(crate) refreshes: HashMap<String, u64>,
    series: HashMap<String, Vec<i64>>,
    cancelled_streams: u64,
    cancelled_calls: u64,
}

impl Log {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The hub at `/hub`: all defaults. Any token is the name of a user.
pub(crate) fn conformance_hub() -> HubServerBuilder {
    conformance_hub_of(&Log::default()).authenticate(|request| {
        let token = request.access_token().map(str::to_owned);
        async move {
            match token.as_deref() {
                Some("refused") => Err(Rejection::unauthorized()),
                Some(user) => Ok(Identity::user(user)),
                None => Ok(Identity::anonymous()),
            }
        }
    })
}

/// The same, which everybody may enter.
pub(crate) fn conformance_hub_of(log: &Log) -> HubServerBuilder {
    let (connected, disconnected) = (log.clone(), log.clone());
    let hub = HubServer::builder()
        .on_connected(move |caller: Caller| {
            connected.lock().open.insert(caller.connection_id().to_owned());
            async { Ok(()) }
        })
        .on_disconnected(move |caller: Caller| {
            let mut seen = disconnected.lock();
            seen.open.remove(caller.connection_id());
            seen.ended.insert(caller.connection_id().to_owned());
            async {}
        });
    recorded(connection(asked(told(uploads(streams(calls(echoes(hub)), log))))), log)
}

macro_rules! echoes {
    ($hub:ident, $($name:literal: $type:ty;)*) => {
        $hub$(.on($name, |_: Caller, value: $type| async move { Ok(value) }))*
    };
}

/// Each returns its argument.
fn echoes(hub: HubServerBuilder) -> HubServerBuilder {
    echoes! { hub,
        "Echo": Any;
        "EchoString": String;
        "EchoInt": i32;
        "EchoLong": i64;
        "EchoULong": u64;
        "EchoDouble": f64;
        "EchoDecimal": Decimal;
        "EchoBool": bool;
        "EchoNullable": Option<i32>;
        "EchoBytes": Binary;
        "EchoDateTime": Timestamp;
        "EchoDateTimeOffset": Timestamp;
        "EchoGuid": String;
        "EchoEnum": Colour;
        "EchoPoint": Point;
        "EchoPoints": Vec<Option<Point>>;
        "EchoMap": BTreeMap<String, Point>;
        "EchoInts": Vec<i32>;
    }
}

fn bytes(length: usize) -> Binary {
    Binary((0..length).map(|n| n as u8).collect())
}

fn calls(hub: HubServerBuilder) -> HubServerBuilder {
    hub.on("TypeOf", |_: Caller, time: Timestamp| async move { Ok(DateAndKind(time).to_string()) })
        .on("Add", |_: Caller, a: i32, b: i32| async move { Ok(a.wrapping_add(b)) })
        .on("Void", |_: Caller| async move { Ok(()) })
        .on("TaskVoid", |_: Caller| async move { Ok(()) })
        .on("NullResult", |_: Caller| async move { Ok(None::<String>) })
        .on("LargeString", |_: Caller, length: usize| async move { Ok("x".repeat(length)) })
        .on("Bytes", |_: Caller, length: usize| async move { Ok(bytes(length)) })
        .on("Throw", |_: Caller| async move {
            Err::<(), _>(std::io::Error::other("a plain exception of the server").into())
        })
        .on("HubError", |_: Caller, text: String| async move { Err::<(), _>(HubError::new(text)) })
        .on("Slow", |_: Caller, milliseconds: u64| async move {
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            Ok("slept")
        })
        .on("named.otherwise", |_: Caller| async move { Ok("renamed") })
}

fn told(hub: HubServerBuilder) -> HubServerBuilder {
    hub.on("Push", |caller: Caller, target: String, arguments: Vec<Any>| async move {
        Ok(caller.clients().caller().send(&target, arguments).await?)
    })
    .on("PushNumbers", |caller: Caller, target: String, count: u32| async move {
        for number in 0..count {
            caller.clients().caller().send(&target, (number,)).await?;
        }
        Ok(())
    })
    .on("PushBytes", |caller: Caller, target: String, length: usize| async move {
        Ok(caller.clients().caller().send(&target, (bytes(length),)).await?)
    })
    .on("PushString", |caller: Caller, target: String, length: usize| async move {
        Ok(caller.clients().caller().send(&target, ("x".repeat(length),)).await?)
    })
    .on("ToAll", |caller: Caller, target: String, argument: Any| async move {
        Ok(caller.clients().all().send(&target, (argument,)).await?)
    })
    .on("ToOthers", |caller: Caller, target: String, argument: Any| async move {
        Ok(caller.clients().others().send(&target, (argument,)).await?)
    })
    .on("ToGroup", |caller: Caller, group: String, target: String, argument: Any| async move {
        Ok(caller.clients().group(group).send(&target, (argument,)).await?)
    })
    .on("ToUser", |caller: Caller, user: String, target: String, argument: Any| async move {
        Ok(caller.clients().user(user).send(&target, (argument,)).await?)
    })
    .on("ToConnection", |caller: Caller, id: String, target: String, argument: Any| async move {
        Ok(caller.clients().client(id).send(&target, (argument,)).await?)
    })
    .on("Join", |caller: Caller, group: String| async move {
        caller.groups().add(caller.connection_id(), &group).await?;
        Ok(())
    })
    .on("Leave", |caller: Caller, group: String| async move {
        caller.groups().remove(caller.connection_id(), &group).await?;
        Ok(())
    })
}

/// Client results. Within a call they need no other hub than this one, unlike in ASP.NET Core.
fn asked(hub: HubServerBuilder) -> HubServerBuilder {
    hub.on("Ask", |caller: Caller, target: String, question: String| async move {
        let client = caller.clients().client(caller.connection_id());
        let result = client.invoke::<Option<String>>(&target, (question,)).await;
        Ok(answer(result.map(Option::unwrap_or_default)))
    })
    .on("AskLater", |caller: Caller, target: String, question: String| async move {
        tokio::spawn(async move {
            let client = caller.clients().client(caller.connection_id());
            let answer = answer(client.invoke(&target, (question,)).await);
            client.send("Answered", (answer,)).await
        });
        Ok(())
    })
    .on("AskVoidLater", |caller: Caller, target: String| async move {
        tokio::spawn(async move {
            let client = caller.clients().client(caller.connection_id());
            let result = client.invoke::<Any>(&target, ()).await;
            let answer = answer(result.map(|result| format!("result {}", result.text())));
            client.send("Answered", (answer,)).await
        });
        Ok(())
    })
}

/// In the words of ASP.NET Core.
fn answer(result: Result<String, ClientResultError>) -> String {
    match result {
        Ok(answer) => answer,
        Err(ClientResultError::Client(text)) => format!("HubException: {text}"),
        Err(error) => error.to_string(),
    }
}

/// Counts a stream that is dropped before its end.
struct Counting {
    log: Log,
    ended: bool,
}

impl Counting {
    fn end(mut self) {
        self.ended = true;
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        if !self.ended {
            self.log.lock().cancelled_streams += 1;
        }
    }
}

fn streams(hub: HubServerBuilder, log: &Log) -> HubServerBuilder {
    let (counted, asked) = (log.clone(), log.clone());
    hub.stream("Counter", move |_: Caller, count: u32, milliseconds: u64| {
        let counting = Counting { log: counted.clone(), ended: false };
        stream::unfold((0, counting), move |(number, counting)| async move {
            if number == count {
                counting.end();
                return None;
            }
            if milliseconds > 0 {
                tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            }
            Some((Ok(number), (number + 1, counting)))
        })
    })
    .stream("CounterChannel", |_: Caller, count: u32| stream::iter((0..count).map(Ok)))
    .stream("CounterThenError", |_: Caller, count: u32, text: String| {
        stream::iter((0..count).map(Ok).chain([Err(HubError::new(text))]))
    })
    .stream("RefusesToStream", |_: Caller| {
        stream::iter([Err::<u32, _>(HubError::new("this stream does not start"))])
    })
    .stream("Points", |_: Caller, count: i32| {
        let point = |x| Point { x, y: f64::from(x) / 2.0, label: Some(format!("p{x}")) };
        stream::iter((0..count).map(move |x| Ok(point(x))))
    })
    .stream("LargeItems", |_: Caller, count: usize, length: usize| {
        stream::iter((0..count).map(move |_| Ok("x".repeat(length))))
    })
    .on("CancelledStreams", move |_: Caller| {
        let cancelled = asked.lock().cancelled_streams;
        async move { Ok(cancelled) }
    })
    .stream("EchoStream", |_: Caller, values: Incoming<Any>| -> Items<Any> {
        Box::pin(values.map(|value| Ok(value?)))
    })
    .stream("Double", |_: Caller, numbers: Incoming<i32>| -> Items<i32> {
        Box::pin(numbers.map(|number| Ok(number?.wrapping_mul(2))))
    })
}

async fn all<T: serde::de::DeserializeOwned>(mut upload: Incoming<T>) -> Result<Vec<T>, HubError> {
    let mut all = Vec::new();
    while let Some(item) = upload.next().await {
        all.push(item?);
    }
    Ok(all)
}

fn uploads(hub: HubServerBuilder) -> HubServerBuilder {
    hub.on("UploadSum", |_: Caller, numbers: Incoming<i64>| async move {
        Ok(all(numbers).await?.iter().sum::<i64>())
    })
    .on("UploadConcat", |_: Caller, parts: Incoming<String>, separator: String| async move {
        Ok(all(parts).await?.join(&separator))
    })
    .on("UploadTwo", |_: Caller, numbers: Incoming<i64>, texts: Incoming<String>| async move {
        let (numbers, texts) = tokio::join!(all(numbers), all(texts));
        Ok(format!("{} {}", numbers?.iter().sum::<i64>(), texts?.join(",")))
    })
    .on("UploadQuietly", |caller: Caller, numbers: Incoming<i64>| async move {
        let sum: i64 = all(numbers).await?.iter().sum();
        Ok(caller.clients().caller().send("Uploaded", (sum,)).await?)
    })
    .on("UploadOutcome", |_: Caller, mut numbers: Incoming<i64>| async move {
        while let Some(number) = numbers.next().await {
            if let Err(hubwire::server::error::UploadError::Failed(text)) = number {
                return Ok(format!("HubException: {text}"));
            }
        }
        Ok("complete".to_owned())
    })
    .on("UploadTake", |_: Caller, mut numbers: Incoming<i64>, count: usize| async move {
        let mut taken = 0;
        while taken < count && numbers.next().await.is_some() {
            taken += 1;
        }
        Ok(taken)
    })
}

fn connection(hub: HubServerBuilder) -> HubServerBuilder {
    hub.on("WhoAmI", |caller: Caller| async move {
        let who = json!({
            "connectionId": caller.connection_id(),
            "user": caller.user_id(),
            "transport": caller.transport().map(|transport| transport.name()),
            "stateful": if caller.is_stateful() { "True" } else { "False" },
            "name": caller.user_id(),
        });
        Ok(who)
    })
    .on("Header", |caller: Caller, name: String| async move {
        Ok(caller.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned())
    })
    .on("Query", |caller: Caller, name: String| async move {
        Ok(caller.query(&name).unwrap_or_default().to_owned())
    })
    .on("Claims", |caller: Caller, name: String| async move {
        Ok(caller.claims(&name).map(str::to_owned).collect::<Vec<_>>())
    })
    .on("Close", |caller: Caller| async move {
        caller.abort();
        Ok(())
    })
}

/// Numbered messages, which prove that nothing is lost, doubled or reordered; and what is counted.
fn recorded(hub: HubServerBuilder, log: &Log) -> HubServerBuilder {
    let (record, report, cancel, cancelled) = (log.clone(), log.clone(), log.clone(), log.clone());
    hub.on("Record", move |_: Caller, series: String, number: i64| {
        record.lock().series.entry(series).or_default().push(number);
        async { Ok(()) }
    })
    .on("Recorded", move |_: Caller, series: String| {
        let report = SeriesReport::of(report.lock().series.get(&series).map_or(&[], Vec::as_slice));
        async { Ok(report) }
    })
    .on("PushSeries", |caller: Caller, target: String, count: u32, milliseconds: u64| async move {
        tokio::spawn(async move {
            let client = caller.clients().client(caller.connection_id());
            for number in 0..count {
                client.send(&target, (number,)).await?;
                if milliseconds > 0 {
                    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
                }
            }
            Ok::<_, HubError>(())
        });
        Ok(())
    })
    .on("SlowCancellable", move |caller: Caller, milliseconds: u64| {
        let log = cancel.clone();
        async move {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(milliseconds)) => Ok("slept"),
                () = caller.cancelled() => {
                    log.lock().cancelled_calls += 1;
                    Err(std::io::Error::other("cancelled").into())
                }
            }
        }
    })
    .on("CancelledCalls", move |_: Caller| {
        let cancelled = cancelled.lock().cancelled_calls;
        async move { Ok(cancelled) }
    })
}

/// Serves hubs at `/hub`, `/detailed`, `/parallel` and so on. The base of their addresses.
pub(crate) async fn serve<const N: usize>(hubs: [(&str, HubServer); N]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let app = hubs.into_iter().fold(axum::Router::new(), |app, (path, hub)| app.nest_service(path, hub));
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}")
}

/// Waits for what has to happen soon.
pub(crate) async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("in time")
}
