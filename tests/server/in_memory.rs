//! Clients in the hub's own program.

use std::time::{Duration, SystemTime};

use futures_util::{StreamExt as _, stream};
use hubwire::server::{Caller, HubServer, Identity};
use hubwire::{ConnectionState, HubConnection, HubProtocol, RetryPolicy, Transport, Upload};

use crate::conformance_hub::{conformance_hub, in_time};

/// What a hub's own test looks like.
#[tokio::test]
async fn a_hub_is_tested_without_a_socket() {
    let chat = HubServer::builder()
        .on("Say", |caller: Caller, text: String| async move {
            Ok(caller.clients().others().send("Said", (caller.user_id(), text)).await?)
        })
        .build();
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let bob = chat.in_memory(Identity::user("bob"));
    let bob = bob.on("Said", move |who: String, what: String| told.send((who, what)).unwrap());
    let _bob = bob.connect().await.unwrap();
    let ann = chat.connect_in_memory(Identity::user("ann")).await.unwrap();
    ann.invoke::<()>("Say", ("hello",)).await.unwrap();
    assert_eq!(heard.recv().await, Some(("ann".to_owned(), "hello".to_owned())));
}

#[tokio::test]
async fn it_speaks_the_real_protocol() {
    let hub = conformance_hub().maximum_parallel_invocations_per_client(2).build();
    for &protocol in HubProtocol::ALL {
        let ann = hub.in_memory(Identity::user("ann").claim("role", "tester")).with_protocol(protocol);
        let ann = ann.with_query_parameter("colour", "blue").with_header("X-Colour", "green");
        let ann =
            ann.on_invoke("Question", |text: String| Ok::<_, String>(format!("{text}!"))).connect().await;
        let ann = ann.unwrap();
        assert!(ann.connection_id().is_some());
        assert_eq!(ann.invoke::<i32>("Add", (1, 2)).await.unwrap(), 3);
        assert_eq!(ann.invoke::<String>("Query", ("colour",)).await.unwrap(), "blue");
        assert_eq!(ann.invoke::<String>("Header", ("X-Colour",)).await.unwrap(), "green");
        assert_eq!(ann.invoke::<String>("Ask", ("Question", "why")).await.unwrap(), "why!");
        assert_eq!(ann.invoke::<String>("LargeString", (1_000_000,)).await.unwrap().len(), 1_000_000);
        let counted = ann.stream::<u32>("CounterChannel", (1_000,)).await.unwrap();
        assert_eq!(counted.count().await, 1_000);
        let numbers = Upload::new(stream::iter(1..=1_000_i64));
        assert_eq!(ann.invoke::<i64>("UploadSum", (numbers,)).await.unwrap(), 500_500);
        ann.invoke::<()>("Echo", ("x".repeat(33_000),)).await.unwrap_err();
        let error = in_time(ann.closed()).await.to_string();
        assert!(error.contains("32768 bytes"), "{error}");
    }
}

#[tokio::test]
async fn it_ends_as_over_the_network() {
    let (ended, mut has_ended) = tokio::sync::mpsc::unbounded_channel();
    let hub = conformance_hub()
        .close_on_authentication_expiration()
        .on_disconnected(move |caller: Caller| {
            let ended = ended.clone();
            async move { ended.send(caller.user_id().map(str::to_owned)).unwrap_or_default() }
        })
        .build();
    let one = hub.connect_in_memory(Identity::user("one")).await.unwrap();
    one.stop().await;
    assert_eq!(in_time(has_ended.recv()).await, Some(Some("one".to_owned())));
    drop(hub.connect_in_memory(Identity::user("two")).await.unwrap());
    assert_eq!(in_time(has_ended.recv()).await, Some(Some("two".to_owned())));
    let brief = Identity::user("three").expires(SystemTime::now() + Duration::from_secs(1));
    in_time(hub.connect_in_memory(brief).await.unwrap().closed()).await;

    let back =
        hub.in_memory(Identity::user("four")).with_automatic_reconnect(RetryPolicy::delays([Duration::ZERO]));
    let back = back.connect().await.unwrap();
    let first = back.connection_id();
    back.send("Close", ()).await.unwrap();
    in_time(back.closed()).await;
    back.start().await.unwrap();
    assert_ne!(back.connection_id(), first);
    let (_, ()) = in_time(async { tokio::join!(back.closed(), hub.shut_down()) }).await;
    assert_eq!(back.state(), ConnectionState::Disconnected);

    let polled = HubServer::builder().transports(Transport::LongPolling).build();
    assert!(polled.connect_in_memory(Identity::anonymous()).await.is_err());
}

/// A client that falls behind is held back: what it does not read fills no memory.
#[tokio::test]
async fn a_client_that_does_not_read_waits() {
    let hub = conformance_hub().build();
    let slow: HubConnection = hub.connect_in_memory(Identity::anonymous()).await.unwrap();
    let mut items = slow.stream::<String>("LargeItems", (2_000, 20_000)).await.unwrap();
    let other = hub.connect_in_memory(Identity::anonymous()).await.unwrap();
    for _ in 0..100 {
        assert_eq!(other.invoke::<i32>("Add", (1, 2)).await.unwrap(), 3);
    }
    let mut count = 0;
    while let Some(item) = in_time(items.next()).await {
        assert_eq!(item.unwrap().len(), 20_000);
        count += 1;
    }
    assert_eq!(count, 2_000);
}
