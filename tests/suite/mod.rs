//! What a client has to do against an ASP.NET Core hub, the same lines on tokio and in a browser.

#![allow(dead_code, unused_imports, reason = "each test binary uses a part")]

mod answers;
mod faults;
mod lifecycle;
mod names;
mod order;
mod readings;
mod streams;
mod trace;
mod transports;
mod typed;
pub(crate) mod values;
mod version_11;

use std::time::Duration;

use futures_channel::mpsc;
use futures_util::StreamExt;
use hubwire::{
    CallError, ConnectionError, ConnectionState, HubConnection, HubConnectionBuilder, HubProtocol,
    PropertyNames, Transport,
};
use serde::{Deserialize, Serialize};

pub(crate) use self::answers::*;
pub(crate) use self::faults::{broken_handshakes, broken_messages, broken_negotiate};
pub(crate) use self::lifecycle::*;
pub(crate) use self::names::property_names;
pub(crate) use self::order::one_order;
pub(crate) use self::readings::*;
pub(crate) use self::streams::*;
pub(crate) use self::trace::trace_context;
pub(crate) use self::transports::*;
pub(crate) use self::typed::{typed_chat, typed_hubs};
pub(crate) use self::values::{large_values, own_types, packed_pieces, values};
pub(crate) use self::version_11::*;

/// In a browser: the reference hubs on both versions of ASP.NET Core. They have to be named when the tests are compiled,
/// since a page has no environment. The tests that need them are ignored; `cargo xtask test` includes them where the hubs
/// run.
#[cfg(browser)]
pub(crate) fn reference_hubs() -> impl Iterator<Item = &'static str> {
    [named(option_env!("HUBWIRE_TEST_HUB_URL")), reference_hub_11()].into_iter()
}

#[cfg(browser)]
pub(crate) fn reference_hub_11() -> &'static str {
    named(option_env!("HUBWIRE_TEST_HUB_11_URL"))
}

#[cfg(browser)]
fn named(hub: Option<&'static str>) -> &'static str {
    hub.expect("HUBWIRE_TEST_HUB_URL and HUBWIRE_TEST_HUB_11_URL name the reference hubs")
}

/// What a connection is made of, where the same has to hold for each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) transport: Transport,
    pub(crate) protocol: HubProtocol,
}

impl Setup {
    pub(crate) const fn json(transport: Transport) -> Self {
        Self { transport, protocol: HubProtocol::Json }
    }

    fn builder(self, url: String) -> HubConnectionBuilder {
        HubConnection::builder(url)
            .with_transports(self.transport)
            .with_protocol(self.protocol)
            .with_property_names(PropertyNames::DotNet)
    }

    async fn connect(self, url: String) -> HubConnection {
        let hub = self.builder(url).connect().await.expect("connects");
        assert_eq!(hub.connection_info().unwrap().transport, self.transport);
        hub
    }

    /// A path of the reference hub with this transport alone. Its long polls take two seconds.
    fn path(self) -> &'static str {
        match self.transport {
            Transport::WebSockets => "/ws",
            Transport::ServerSentEvents => "/sse",
            _ => "/lp",
        }
    }
}

/// Every transport, with every protocol that it carries.
pub(crate) const SETUPS: &[Setup] = &[
    Setup::json(Transport::WebSockets),
    Setup::json(Transport::ServerSentEvents),
    Setup::json(Transport::LongPolling),
    #[cfg(feature = "msgpack")]
    Setup { transport: Transport::WebSockets, protocol: HubProtocol::MessagePack },
    #[cfg(feature = "msgpack")]
    Setup { transport: Transport::LongPolling, protocol: HubProtocol::MessagePack },
];

async fn connect(url: String) -> HubConnection {
    HubConnection::builder(url).connect().await.expect("connects")
}

/// .NET names its properties otherwise, and otherwise in each protocol.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Point {
    x: i32,
    y: f64,
    label: Option<String>,
}

/// What no protocol can write.
struct Unwritable;

impl Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("on purpose"))
    }
}

/// Calls, results of every shape, an error of the server, and a clean stop.
pub(crate) async fn calls(base: &str, setup: Setup) {
    let hub = setup.connect(format!("{base}{}", setup.path())).await;
    assert_eq!(hub.state(), ConnectionState::Connected);
    assert!(hub.connection_id().is_some_and(|id| !id.is_empty()));

    assert_eq!(hub.invoke::<i32>("Add", (1, 2)).await.unwrap(), 3);
    hub.invoke::<()>("Void", ()).await.unwrap();
    hub.invoke::<()>("TaskVoid", ()).await.unwrap();
    assert_eq!(hub.invoke::<Option<String>>("NullResult", ()).await.unwrap(), None);
    assert_eq!(hub.invoke::<String>("named.otherwise", ()).await.unwrap(), "renamed");
    assert_eq!(hub.invoke::<u64>("EchoULong", (u64::MAX,)).await.unwrap(), u64::MAX);
    let text = "\u{1e}\"\\\u{1f600}\n";
    assert_eq!(hub.invoke::<String>("EchoString", (text,)).await.unwrap(), text);
    let point = Point { x: -1, y: 0.5, label: None };
    assert_eq!(hub.invoke::<Point>("EchoPoint", (&point,)).await.unwrap(), point);
    assert_eq!(hub.invoke::<String>("LargeString", (1_000_000,)).await.unwrap().len(), 1_000_000);

    let error = hub.invoke::<()>("HubError", ("not today",)).await.unwrap_err();
    assert!(matches!(&error, CallError::Server(text) if text.contains("not today")), "{error}");
    assert!(matches!(hub.invoke::<()>("Throw", ()).await, Err(CallError::Server(_))));
    assert!(matches!(hub.invoke::<()>("NoSuchMethod", ()).await, Err(CallError::Server(_))));
    assert!(matches!(hub.invoke::<u8>("EchoString", ("text",)).await, Err(CallError::Result(_))));
    // None of them did the connection any harm.
    assert_eq!(hub.invoke::<i32>("Add", (20, 22)).await.unwrap(), 42);

    hub.stop().await;
    assert_eq!(hub.state(), ConnectionState::Disconnected);
    let after = hub.invoke::<i32>("Add", (1, 2)).await;
    assert!(matches!(after, Err(CallError::Connection(ConnectionError::NotConnected))), "{after:?}");
    assert_eq!(hub.closed().await, ConnectionError::Stopped);
}

/// Handlers before and after connecting, several for one method, in order, and removed again.
pub(crate) async fn pushes(base: &str, setup: Setup) {
    let (sender, mut received) = mpsc::unbounded();
    let (early, late, doubled) = (sender.clone(), sender.clone(), sender);
    let hub = setup
        .builder(format!("{base}{}", setup.path()))
        .on("numbers", move |n: u32| early.unbounded_send(n).unwrap())
        .connect()
        .await
        .expect("connects");
    hub.send("PushNumbers", ("Numbers", 1000)).await.unwrap();
    for n in 0..1000 {
        assert_eq!(received.next().await, Some(n));
    }

    let (late_sender, mut lately) = mpsc::unbounded();
    hub.on("Later", move |text: String, count: u8| late_sender.unbounded_send((text, count)).unwrap());
    // One argument more than the handler takes.
    hub.invoke::<()>("Push", ("Later", ("hello", 7, true))).await.unwrap();
    assert_eq!(lately.next().await, Some(("hello".to_owned(), 7)));

    let second = hub.on("NUMBERS", move |n: u32| doubled.unbounded_send(n + 100).unwrap());
    hub.send("PushNumbers", ("Numbers", 1)).await.unwrap();
    let mut both = [received.next().await, received.next().await];
    both.sort_unstable();
    assert_eq!(both, [Some(0), Some(100)]);
    second.unsubscribe();

    // An argument of the wrong type loses that one call, and nothing else.
    hub.on("Numbers", move |n: u32| late.unbounded_send(n + 200).unwrap());
    hub.invoke::<()>("Push", ("Numbers", ("text",))).await.unwrap();
    hub.send("PushNumbers", ("Numbers", 1)).await.unwrap();
    let mut both = [received.next().await, received.next().await];
    both.sort_unstable();
    assert_eq!(both, [Some(0), Some(200)]);
    hub.stop().await;
}

/// A handler that panics or takes its time holds nothing up. (Browsers cannot catch a panic.)
pub(crate) async fn handlers_are_on_their_own(base: &str, setup: Setup, panics: bool) {
    let (sender, mut received) = mpsc::unbounded();
    let hub = setup
        .builder(format!("{base}{}", setup.path()))
        .on("Numbers", move |n: u32| {
            assert!(!panics || n != 1, "a panic on purpose");
            sender.unbounded_send(n).unwrap();
        })
        .connect()
        .await
        .expect("connects");
    hub.send("PushNumbers", ("Numbers", 3)).await.unwrap();
    let wanted: &[u32] = if panics { &[0, 2] } else { &[0, 1, 2] };
    for n in wanted {
        assert_eq!(received.next().await, Some(*n));
    }
    assert_eq!(hub.invoke::<i32>("Add", (1, 1)).await.unwrap(), 2);
}

/// Two clients in one room.
pub(crate) async fn chat(base: &str) {
    let (sender, mut received) = mpsc::unbounded();
    let alice = HubConnection::builder(format!("{base}/chat"))
        .on("ReceiveMessage", move |user: String, text: String| sender.unbounded_send((user, text)).unwrap())
        .connect()
        .await
        .expect("connects");
    let bob = connect(format!("{base}/chat")).await;
    bob.send("SendMessage", ("bob", "hello, alice")).await.unwrap();
    assert_eq!(received.next().await, Some(("bob".to_owned(), "hello, alice".to_owned())));
    bob.stop().await;
    alice.stop().await;
}

/// Redirects, as Azure SignalR Service makes them.
pub(crate) async fn redirects(base: &str) {
    for (path, user) in [
        ("/redirect/secure?user=carol", Some("carol")),
        ("/redirect/query", Some("redirected")),
        ("/redirect/plain", None),
        ("/redirect/chain/20", Some("chained")),
        ("/redirect/kept", Some("kept")),
    ] {
        let hub = connect(format!("{base}{path}")).await;
        let who: std::collections::HashMap<String, Option<String>> = hub.invoke("WhoAmI", ()).await.unwrap();
        assert_eq!(who["user"].as_deref(), user, "{path}");
        assert_eq!(who["connectionId"], hub.connection_id(), "{path}");
        hub.stop().await;
    }
}

/// The same connection, started again.
pub(crate) async fn restart(base: &str, setup: Setup) {
    let hub = setup.connect(format!("{base}/redirect/secure?user=dave")).await;
    let first = hub.connection_id();
    assert_eq!(hub.start().await, Err(ConnectionError::AlreadyStarted));
    hub.stop().await;
    hub.stop().await;
    hub.start().await.expect("starts again");
    assert_ne!(hub.connection_id(), first);
    assert_eq!(hub.invoke::<i32>("Add", (1, 2)).await.unwrap(), 3);
    hub.stop().await;
}

/// The server or the network goes away while calls are pending.
pub(crate) async fn the_server_goes_away(base: &str, setup: Setup) {
    for method in ["Drop", "Close"] {
        // Browsers ask again by themselves when a poll is cut, and the server goes on with that.
        if method == "Drop" && setup.transport == Transport::LongPolling {
            continue;
        }
        let hub = setup.connect(format!("{base}/parallel")).await;
        let (slow, closed, sent) =
            futures_util::join!(hub.invoke::<String>("Slow", (60_000,)), hub.closed(), hub.send(method, ()));
        sent.unwrap();
        assert!(
            matches!(closed, ConnectionError::Transport(_) | ConnectionError::ServerClosed { .. }),
            "{closed:?}"
        );
        let Err(CallError::Connection(error)) = slow else { panic!("{method}: {slow:?}") };
        assert_eq!(error, closed);
        assert_eq!(hub.state(), ConnectionState::Disconnected);
    }
}

/// Stopping and dropping at any moment.
pub(crate) async fn stops(base: &str, setup: Setup) {
    let hub = setup.builder(format!("{base}/fault/slow/60000")).build().unwrap();
    let (started, ()) = futures_util::join!(hub.start(), hub.stop());
    assert_eq!(started, Err(ConnectionError::Stopped));

    let hub = setup.connect(format!("{base}/parallel")).await;
    let (slow, ()) = futures_util::join!(hub.invoke::<String>("Slow", (60_000,)), hub.stop());
    assert!(matches!(slow, Err(CallError::Connection(ConnectionError::Stopped))), "{slow:?}");

    // A call that is dropped does not disturb the others.
    let hub = setup.connect(format!("{base}/parallel")).await;
    let slow = Box::pin(hub.invoke::<String>("Slow", (60_000,)));
    let quick = Box::pin(hub.invoke::<i32>("Add", (2, 2)));
    let futures_util::future::Either::Right((sum, slow)) = futures_util::future::select(slow, quick).await
    else {
        panic!("the slow call was the quicker one");
    };
    assert_eq!(sum.unwrap(), 4);
    drop(slow);
    assert_eq!(hub.invoke::<i32>("Add", (3, 3)).await.unwrap(), 6);
}
