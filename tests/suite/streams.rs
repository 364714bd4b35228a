//! Streams, both ways.

use futures_channel::oneshot;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use hubwire::{CallError, ConnectionError, HubStream, Transport, Upload};

use super::{Point, Setup, Unwritable};

/// Everything up to the end, which is an error if it is an `Err`.
async fn all<T>(mut stream: HubStream<T>) -> (Vec<T>, Option<CallError>) {
    let mut items = Vec::new();
    let mut error = None;
    while let Some(item) = stream.next().await {
        assert!(error.is_none(), "an error is the last item");
        match item {
            Ok(item) => items.push(item),
            Err(last) => error = Some(last),
        }
    }
    assert!(stream.next().await.is_none(), "the end stays the end");
    (items, error)
}

/// Streams of every shape, and every way that one ends.
pub(crate) async fn streams(base: &str, setup: Setup) {
    let hub = setup.connect(format!("{base}{}", setup.path())).await;
    for (target, arguments) in [("Counter", vec![5, 0]), ("CounterChannel", vec![5]), ("Counter", vec![0, 0])]
    {
        let (items, error) = all(hub.stream::<i32>(target, arguments.clone()).await.unwrap()).await;
        assert_eq!(items, (0..arguments[0]).collect::<Vec<_>>());
        assert!(error.is_none(), "{target}: {error:?}");
    }
    let (items, error) = all(hub.stream::<u32>("CounterThenError", (3, "bad luck")).await.unwrap()).await;
    assert_eq!(items, [0, 1, 2]);
    assert!(matches!(&error, Some(CallError::Server(text)) if text.contains("bad luck")), "{error:?}");
    let (items, error) = all(hub.stream::<u32>("RefusesToStream", ()).await.unwrap()).await;
    assert!(items.is_empty());
    assert!(matches!(&error, Some(CallError::Server(text)) if text.contains("does not start")), "{error:?}");
    let (points, _) = all(hub.stream::<Point>("Points", (2,)).await.unwrap()).await;
    assert_eq!((points[1].x, points[1].y, points[1].label.as_deref()), (1, 0.5, Some("p1")));
    let (texts, _) = all(hub.stream::<String>("LargeItems", (20, 100_000)).await.unwrap()).await;
    assert!(texts.len() == 20 && texts.iter().all(|text| text.len() == 100_000));

    // What is called as something else than it is.
    for target in ["Add", "NoSuchMethod"] {
        let (_, error) = all(hub.stream::<i32>(target, (1, 2)).await.unwrap()).await;
        assert!(matches!(error, Some(CallError::Server(_))), "{target}: {error:?}");
    }
    let error = hub.invoke::<i32>("Counter", (3, 0)).await.unwrap_err();
    assert!(matches!(error, CallError::Server(_) | CallError::NotAStream), "{error:?}");

    // Several at once, beside a call.
    let (first, second, sum) = futures_util::join!(
        hub.stream::<i32>("Counter", (100, 1)).then(|stream| all(stream.unwrap())),
        hub.stream::<i32>("CounterChannel", (1000,)).then(|stream| all(stream.unwrap())),
        hub.invoke::<i32>("Add", (1, 2)),
    );
    assert_eq!((first.0.len(), second.0.len(), sum.unwrap()), (100, 1000, 3));

    // The end of the connection is the last item.
    let mut stopped = hub.stream::<i32>("Counter", (1_000_000, 1)).await.unwrap();
    assert_eq!(stopped.next().await.unwrap().unwrap(), 0);
    let (rest, ()) = futures_util::join!(all(stopped), hub.stop());
    assert!(matches!(rest.1, Some(CallError::Connection(ConnectionError::Stopped))), "{:?}", rest.1);
    let after = hub.stream::<i32>("Counter", (1, 0)).await.err();
    assert!(matches!(after, Some(CallError::Connection(ConnectionError::NotConnected))), "{after:?}");
    hub.start().await.unwrap();
    let cut = hub.stream::<i32>("Counter", (1_000_000, 1)).await.unwrap();
    // Browsers ask again by themselves when a poll is cut, and the server goes on with that.
    let end = if setup.transport == Transport::LongPolling { "Close" } else { "Drop" };
    let ((_, error), sent) = futures_util::join!(all(cut), hub.send(end, ()));
    sent.unwrap();
    let Some(CallError::Connection(error)) = error else { panic!("{error:?}") };
    assert_eq!(error, hub.closed().await);
}

/// The official JavaScript client's stream has no buffer: items that come before it is subscribed to are lost.
pub(crate) async fn items_before_the_first_poll_are_kept(base: &str, setup: Setup) {
    let hub = setup.connect(format!("{base}{}", setup.path())).await;
    let stream = hub.stream::<i32>("Counter", (10, 0)).await.unwrap();
    // The server answers in order, so everything is here when the answer is.
    assert_eq!(hub.invoke::<i32>("Add", (1, 2)).await.unwrap(), 3);
    hub.invoke::<String>("Slow", (100,)).await.unwrap();
    assert_eq!(all(stream).await.0, (0..10).collect::<Vec<_>>());
}

/// The server hears of streams that nobody wants any more: those that are dropped, and those of another type.
pub(crate) async fn cancelled_streams(base: &str, setup: Setup) {
    let hub = setup.connect(format!("{base}{}", setup.path())).await;
    let cancelled = async |more_than: i64| {
        loop {
            let count = hub.invoke::<i64>("CancelledStreams", ()).await.unwrap();
            if count > more_than {
                return count;
            }
        }
    };
    let before = hub.invoke::<i64>("CancelledStreams", ()).await.unwrap();
    let mut dropped = hub.stream::<i32>("Counter", (1_000_000, 1)).await.unwrap();
    assert_eq!(dropped.next().await.unwrap().unwrap(), 0);
    drop(dropped);
    let count = cancelled(before).await;

    let (items, error) = all(hub.stream::<String>("Counter", (1_000_000, 1)).await.unwrap()).await;
    assert!(items.is_empty() && matches!(error, Some(CallError::Result(_))), "{error:?}");
    cancelled(count).await;
}

/// A stream, and the news that it is no longer held by anyone.
fn watched<S: Stream>(stream: S) -> (impl Stream<Item = S::Item>, oneshot::Receiver<()>) {
    let (held, gone) = oneshot::channel::<()>();
    let stream = stream.map(move |item| {
        let _ = &held;
        item
    });
    (stream, gone)
}

/// Uploads of every shape, and every way that one ends.
pub(crate) async fn uploads(base: &str, setup: Setup) {
    let hub = setup.connect(format!("{base}{}", setup.path())).await;
    let numbers = |count: i32| Upload::new(stream::iter(0..count));
    assert_eq!(hub.invoke::<i64>("UploadSum", (numbers(0),)).await.unwrap(), 0);
    assert_eq!(hub.invoke::<i64>("UploadSum", (numbers(50_000),)).await.unwrap(), 1_249_975_000);
    let texts = Upload::new(stream::iter(["a", "b", "c"]));
    assert_eq!(hub.invoke::<String>("UploadConcat", (texts, "-")).await.unwrap(), "a-b-c");

    let (tell, mut told) = futures_channel::mpsc::unbounded();
    hub.on("Uploaded", move |sum: i64| tell.unbounded_send(sum).unwrap());
    hub.send("UploadQuietly", (numbers(4),)).await.unwrap();
    assert_eq!(told.next().await, Some(6));

    // How the server sees the end.
    let outcome = async |upload| hub.invoke::<String>("UploadOutcome", (upload,)).await.unwrap();
    assert_eq!(outcome(numbers(3)).await, "complete");
    let failing = stream::iter([Ok(1), Err("the sensor is gone"), Ok(2)]);
    assert!(outcome(Upload::try_new(failing)).await.contains("the sensor is gone"));
    let unwritable = Upload::new(stream::iter([Unwritable]));
    let outcome: String = hub.invoke("UploadOutcome", (unwritable,)).await.unwrap();
    assert!(outcome.contains("serialize"), "{outcome}");

    // Both ways at once.
    let doubled = hub.stream::<i32>("Double", (numbers(1000),)).await.unwrap();
    assert_eq!(all(doubled).await.0, (0..1000).map(|n| n * 2).collect::<Vec<_>>());
    let echoed = hub.stream::<String>("EchoStream", (Upload::new(stream::iter(["x", "y"])),)).await.unwrap();
    assert_eq!(all(echoed).await.0, ["x", "y"]);
}

/// The official JavaScript client misses the second of two stream arguments that stand next to each other.
pub(crate) async fn uploads_next_to_each_other(base: &str, setup: Setup) {
    let hub = setup.connect(format!("{base}{}", setup.path())).await;
    let arguments = (Upload::new(stream::iter([1, 2, 3])), Upload::new(stream::iter(["a", "b"])));
    assert_eq!(hub.invoke::<String>("UploadTwo", arguments).await.unwrap(), "6 a,b");
}

/// An upload stops with what it belongs to, and its stream is dropped.
pub(crate) async fn uploads_stop_with_their_call(base: &str, setup: Setup) {
    let hub = setup.connect(format!("{base}{}", setup.path())).await;
    // The server has enough. (No item more than it takes: ASP.NET Core may end the connection over one that comes late.)
    let (endless, gone) = watched(stream::iter(0..2).chain(stream::pending()));
    assert_eq!(hub.invoke::<i32>("UploadTake", (Upload::new(endless), 2)).await.unwrap(), 2);
    assert!(gone.await.is_err());

    // The caller is gone. This hub runs one call after the other, so the next one shows that the server's method has
    // ended, though servers before .NET 11 know no cancellation of it.
    let (endless, gone) = watched(stream::pending::<i32>());
    let mut call = Box::pin(hub.invoke::<i64>("UploadSum", (Upload::new(endless),)));
    assert!(futures_util::poll!(&mut call).is_pending());
    drop(call);
    assert!(gone.await.is_err());
    assert_eq!(hub.invoke::<i32>("Add", (1, 2)).await.unwrap(), 3);

    // A stream that is dropped.
    let (endless, gone) = watched(stream::iter([1]).chain(stream::pending()));
    let mut doubled = hub.stream::<i32>("Double", (Upload::new(endless),)).await.unwrap();
    assert_eq!(doubled.next().await.unwrap().unwrap(), 2);
    drop(doubled);
    assert!(gone.await.is_err());

    // The connection ends.
    let (endless, gone) = watched(stream::pending::<i32>());
    hub.send("UploadQuietly", (Upload::new(endless),)).await.unwrap();
    hub.stop().await;
    assert!(gone.await.is_err());
    let (unsent, gone) = watched(stream::pending::<i32>());
    let error = hub.send("UploadQuietly", (Upload::new(unsent),)).await.unwrap_err();
    assert!(matches!(error, CallError::Connection(ConnectionError::NotConnected)), "{error:?}");
    assert!(gone.await.is_err());
}

/// A stream that is read slowly gets everything, and so do the calls beside it.
pub(crate) async fn a_slow_reader_loses_nothing(base: &str, setup: Setup) {
    let hub = setup.connect(format!("{base}{}", setup.path())).await;
    // 64 MB: more than is ever held back.
    let mut large = hub.stream::<String>("LargeItems", (1000, 64_000)).await.unwrap();
    for n in 0..1000 {
        assert_eq!(large.next().await.unwrap().unwrap().len(), 64_000, "{n}");
        if n % 100 == 0 {
            assert_eq!(hub.invoke::<i32>("Add", (n, 1)).await.unwrap(), n + 1);
        }
    }
    assert!(large.next().await.is_none());
}
