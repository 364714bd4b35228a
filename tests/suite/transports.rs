//! Each transport by itself, wherever this runs: natively, in a page, in a worker, in Node.

use futures_channel::mpsc;
use futures_util::StreamExt;
use hubwire::core::negotiate::SkipReason;
use hubwire::{ConnectionError, HubConnection, Transport};

use super::Setup;

/// A connection over each transport that there is here. What there is not, the error says.
pub(crate) async fn each_transport(base: &str, missing: &[Transport]) {
    for (path, transport) in [
        ("/ws", Transport::WebSockets),
        ("/sse", Transport::ServerSentEvents),
        ("/lp", Transport::LongPolling),
    ] {
        let (sender, mut received) = mpsc::unbounded();
        let connecting = HubConnection::builder(format!("{base}{path}"))
            .on("Numbers", move |n: u32| sender.unbounded_send(n).unwrap())
            .connect()
            .await;
        if missing.contains(&transport) {
            let Err(ConnectionError::NoTransport { skipped }) = connecting else { panic!("{connecting:?}") };
            assert_eq!(skipped[0].reason, SkipReason::Environment);
            continue;
        }
        let hub = connecting.expect(path);
        assert_eq!(hub.connection_info().unwrap().transport, transport);
        let text = "\u{1e}\"\\\u{1f600}\n\r";
        assert_eq!(hub.invoke::<String>("EchoString", (text,)).await.expect(path), text);
        hub.send("PushNumbers", ("Numbers", 100)).await.unwrap();
        for n in 0..100 {
            assert_eq!(received.next().await, Some(n), "{path}");
        }
        assert_eq!(hub.invoke::<String>("LargeString", (200_000,)).await.expect(path).len(), 200_000);
        hub.stop().await;
    }
}

/// A poll that ends without a message is followed by the next.
pub(crate) async fn polls_that_bring_nothing(base: &str) {
    let hub = Setup::json(Transport::LongPolling).connect(format!("{base}/lp")).await;
    // A poll takes two seconds there.
    assert_eq!(hub.invoke::<String>("Slow", (2500,)).await.unwrap(), "slept");
    hub.stop().await;
}

/// Only a browser's WebSocket has its token in the query: a log may have it then.
pub(crate) async fn tokens_stay_out_of_queries(base: &str) {
    for transport in [Transport::ServerSentEvents, Transport::LongPolling] {
        let hub = Setup::json(transport).connect(format!("{base}/redirect/secure?user=erin")).await;
        assert_eq!(hub.invoke::<String>("Query", ("access_token",)).await.unwrap(), "");
        assert!(hub.invoke::<String>("Header", ("Authorization",)).await.unwrap().starts_with("Bearer "));
        hub.stop().await;
    }
}
