//! What a hub does with messages for its clients: filters, clients that do not keep up, presence, traces.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::stream;
use hubwire::server::{
    Caller, HubError, HubServer, HubServerBuilder, Identity, Recipients, Rejection, SlowConsumers,
    error::ClientResultError,
    filter::{Deliver, OutgoingMessage},
};
use hubwire::{HubConnection, HubProtocol, TraceContext, Transport};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::conformance_hub::serve;
use crate::plain_http::plain_http;

/// A hub whose clients are who they say in the query.
fn hub() -> HubServerBuilder {
    HubServer::builder().authenticate(|request| {
        let user = request.query("user").map(str::to_owned);
        let role = request.query("role").unwrap_or_default().to_owned();
        async move {
            Ok::<_, Rejection>(user.map_or_else(Identity::anonymous, Identity::user).claim("role", role))
        }
    })
}

async fn connect(url: &str, protocol: HubProtocol) -> (HubConnection, UnboundedReceiver<Value>) {
    let connection = HubConnection::builder(url).with_protocol(protocol).build().expect("a connection");
    let (told, heard) = unbounded_channel();
    let _heard = connection.on("News", move |news: Value| told.send(news).unwrap_or_default());
    connection.start().await.expect("it starts");
    (connection, heard)
}

async fn next<T>(events: &mut UnboundedReceiver<T>) -> T {
    let wait = tokio::time::timeout(Duration::from_secs(20), events.recv());
    wait.await.expect("in time").expect("an event")
}

#[tokio::test]
async fn messages_are_seen_changed_and_dropped_once_for_all() {
    for &protocol in HubProtocol::ALL {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sees = seen.clone();
        let hub = hub()
            .filter_outgoing(move |message, to| {
                sees.lock().expect("it is whole").push((message.method().to_owned(), to.clone()));
                message.method() != "Never"
            })
            .filter_outgoing(|message, _| match message.arguments::<(String,)>() {
                Ok((text,)) if text == "quiet" => false,
                Ok((text,)) => message.set_arguments((format!("{text}!"),)).is_ok(),
                Err(_) => true,
            })
            .build();
        let url = serve([("/hub", hub.clone())]).await + "/hub?user=ann";
        let (ann, mut heard) = connect(&url, protocol).await;
        let _answer = ann.on_invoke("Ask", |text: String| Ok::<_, String>(text));
        let all = hub.clients();
        for text in ["one", "quiet", "two"] {
            all.user("ann").send("News", (text,)).await.expect("it is sent");
        }
        all.all().send("Never", ("three",)).await.expect("it is dropped");
        all.all().send("News", (4,)).await.expect("it is sent");
        for expected in [json!("one!"), json!("two!"), json!(4)] {
            assert_eq!(next(&mut heard).await, expected);
        }
        let client = all.client(ann.connection_id().expect("an id"));
        assert_eq!(client.invoke::<String>("Ask", ("why",)).await.as_deref(), Ok("why!"));
        assert_eq!(client.invoke::<String>("Never", ()).await, Err(ClientResultError::Dropped));
        let seen = seen.lock().expect("it is whole").clone();
        let news = ("News".to_owned(), Recipients::Users(vec!["ann".to_owned()]));
        assert_eq!(seen.len(), 7);
        assert!(seen[..3].iter().all(|seen| *seen == news), "{seen:?}");
        assert_eq!(seen[3], ("Never".to_owned(), Recipients::All));
        ann.stop().await;
    }
}

#[tokio::test]
async fn each_recipient_gets_what_is_meant_for_it() {
    for &protocol in HubProtocol::ALL {
        let hub = hub()
            .filter_delivery(|message, to| {
                assert_eq!(message.method(), "News");
                let Ok((text,)) = message.arguments::<(String,)>() else { return Deliver::AsItIs };
                match to.user_id() {
                    _ if to.has_claim("role", "admin") => Deliver::AsItIs,
                    Some(user) if text == "secret" => {
                        OutgoingMessage::new("News", (format!("not for {user}"),))
                            .map_or(Deliver::Nothing, Deliver::Instead)
                    }
                    None if text == "secret" => Deliver::Nothing,
                    _ => Deliver::AsItIs,
                }
            })
            .build();
        let url = serve([("/hub", hub.clone())]).await + "/hub";
        let (admin, mut admin_heard) = connect(&format!("{url}?user=ann&role=admin"), protocol).await;
        let (bob, mut bob_heard) = connect(&format!("{url}?user=bob"), protocol).await;
        let (nobody, mut nobody_heard) = connect(&url, protocol).await;
        for text in ["secret", "open"] {
            hub.clients().all().send("News", (text,)).await.expect("it is sent");
        }
        for expected in ["secret", "open"] {
            assert_eq!(next(&mut admin_heard).await, expected);
        }
        for expected in ["not for bob", "open"] {
            assert_eq!(next(&mut bob_heard).await, expected);
        }
        assert_eq!(next(&mut nobody_heard).await, "open");
        for connection in [admin, bob, nobody] {
            connection.stop().await;
        }
    }
}

/// A client with long polling that does not poll.
struct Idle {
    http: reqwest::Client,
    url: String,
}

impl Idle {
    async fn connect(base: &str) -> Self {
        let http = plain_http().build().expect("a client");
        let negotiated =
            http.post(format!("{base}/negotiate?negotiateVersion=1")).send().await.expect("an answer");
        let negotiated: Value = negotiated.json().await.expect("JSON");
        let token = negotiated["connectionToken"].as_str().expect("a token");
        let idle = Self { http, url: format!("{base}?id={token}") };
        // The first poll opens the transport.
        assert_eq!(idle.poll().await, "");
        idle.post("{\"protocol\":\"json\",\"version\":1}\u{1e}").await;
        assert_eq!(idle.poll().await, "{}\u{1e}");
        idle
    }

    async fn post(&self, body: &'static str) {
        let sent = self.http.post(&self.url).body(body).send().await.expect("an answer");
        assert_eq!(sent.status(), 200);
    }

    async fn poll(&self) -> String {
        let polled = self.http.get(&self.url).send().await.expect("an answer");
        polled.text().await.expect("a text")
    }
}

#[tokio::test]
async fn a_client_that_does_not_keep_up_gets_the_latest() {
    let hub = HubServer::builder()
        .slow_consumers_of("price", SlowConsumers::KeepLatest)
        .slow_consumers_of("Log", SlowConsumers::DropOldest)
        .on("Lost", |caller: Caller| async move { Ok(caller.dropped_messages()) })
        .build();
    let url = serve([("/hub", hub.clone())]).await + "/hub";
    let idle = Idle::connect(&url).await;
    let padding = "x".repeat(10_000);
    let mut sent = 0;
    for number in 0..500 {
        for target in ["Price", "Log", "Chat"] {
            hub.clients().all().send(target, (number, &padding)).await.expect("it is sent");
            sent += 1;
        }
        tokio::task::yield_now().await;
    }
    hub.clients().all().send("End", ()).await.expect("it is sent");
    let mut got: HashMap<String, Vec<u64>> = HashMap::new();
    while !got.contains_key("End") {
        let polled = idle.poll().await;
        for record in polled.split_terminator('\u{1e}') {
            let message: Value = serde_json::from_str(record).expect("JSON");
            if let Some(target) = message["target"].as_str() {
                let number = message["arguments"][0].as_u64().unwrap_or_default();
                got.entry(target.to_owned()).or_default().push(number);
            }
        }
    }
    assert_eq!(got["Chat"], (0..500).collect::<Vec<_>>(), "nothing of it may be lost");
    for target in ["Price", "Log"] {
        let got = &got[target];
        assert!(got.is_sorted() && got.last() == Some(&499) && got.len() < 100, "{target}: {got:?}");
    }
    let received = got.values().map(Vec::len).sum::<usize>() - 1;
    assert_eq!(hub.slow_consumer_counts().dropped_messages, (sent - received) as u64);
    assert_eq!(hub.slow_consumer_counts().closed_connections, 0);
}

#[tokio::test]
async fn a_client_that_falls_too_far_behind_is_closed() {
    let (ended, mut has_ended) = unbounded_channel();
    let hub = HubServer::builder()
        .maximum_send_buffer_size(500_000)
        .on_disconnected(move |caller| {
            ended.send(caller.disconnect_error().map(str::to_owned)).unwrap_or_default();
            async {}
        })
        .build();
    let url = serve([("/hub", hub.clone())]).await + "/hub";
    let _idle = Idle::connect(&url).await;
    let padding = "x".repeat(10_000);
    while hub.presence().connections() > 0 {
        hub.clients().all().send("News", (&padding,)).await.expect("it is sent");
        tokio::task::yield_now().await;
    }
    assert!(next(&mut has_ended).await.is_some(), "it is an error");
    assert_eq!(hub.slow_consumer_counts().closed_connections, 1);
}

#[tokio::test]
async fn presence_is_told_once_for_each_user() {
    let (changes, mut changed) = unbounded_channel();
    let hub = hub()
        .on_connected(|caller: Caller| async move {
            match caller.user_id() {
                Some("bob") => Err(HubError::new("not you")),
                _ => Ok(()),
            }
        })
        .on_presence_changed(move |change| {
            let changes = changes.clone();
            async move {
                let sent = change.clients().all().send("News", (change.user_id(),)).await;
                sent.expect("it is sent");
                changes.send((change.user_id().to_owned(), change.is_online())).unwrap_or_default();
            }
        })
        .build();
    let url = serve([("/hub", hub.clone())]).await + "/hub";
    let (nobody, mut heard) = connect(&url, HubProtocol::Json).await;
    let (first, _) = connect(&format!("{url}?user=ann"), HubProtocol::Json).await;
    assert_eq!(next(&mut changed).await, ("ann".to_owned(), true));
    assert_eq!(next(&mut heard).await, "ann");
    let (bob, _) = connect(&format!("{url}?user=bob"), HubProtocol::Json).await;
    let (second, _) = connect(&format!("{url}?user=ann"), HubProtocol::MessagePack).await;
    let presence = hub.presence();
    assert!(presence.is_online("ann") && !presence.is_online("cid"));
    let mut connections = presence.connections_of("ann");
    connections.sort();
    let mut expected: Vec<_> = [&first, &second].map(|hub| hub.connection_id().expect("an id")).into();
    expected.sort();
    assert_eq!(connections, expected);
    second.stop().await;
    first.stop().await;
    assert_eq!(next(&mut changed).await, ("ann".to_owned(), false));
    bob.stop().await;
    nobody.stop().await;
    assert!(changed.try_recv().is_err());
}

#[tokio::test]
async fn a_hub_may_speak_one_protocol_only() {
    let hub =
        hub().supported_protocols(&[HubProtocol::Json]).on("Hi", |_: Caller| async { Ok("hi") }).build();
    let url = serve([("/hub", hub)]).await + "/hub";
    let other = HubConnection::builder(&url)
        .with_protocol(HubProtocol::MessagePack)
        .with_transports(Transport::WebSockets)
        .build()
        .expect("a connection");
    let refused = other.start().await.expect_err("it is refused").to_string();
    assert!(refused.contains("The server speaks 'json'."), "{refused}");
    let (connection, _) = connect(&url, HubProtocol::Json).await;
    assert_eq!(connection.invoke::<String>("Hi", ()).await.expect("a value"), "hi");
    connection.stop().await;
}

/// Spans as a subscriber of traces sees them.
mod spans {
    use std::collections::BTreeMap;
    use std::fmt;
    use std::sync::{Arc, Mutex};

    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
    use tracing_subscriber::registry::LookupSpan;

    pub(crate) type Fields = BTreeMap<String, String>;

    /// The fields of the spans of calls that have ended.
    #[derive(Clone, Default)]
    pub(crate) struct Ended(pub(crate) Arc<Mutex<Vec<Fields>>>);

    struct Into<'f>(&'f mut Fields);

    impl Visit for Into<'_> {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            let value = format!("{value:?}");
            self.0.insert(field.name().to_owned(), value.trim_matches('"').to_owned());
        }
    }

    impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Ended {
        fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
            if attributes.metadata().target() != "hubwire::server" {
                return;
            }
            let mut fields = Fields::new();
            attributes.record(&mut Into(&mut fields));
            context.span(id).expect("a span").extensions_mut().insert(fields);
        }

        fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
            if let Some(fields) = context.span(id).expect("a span").extensions_mut().get_mut::<Fields>() {
                values.record(&mut Into(fields));
            }
        }

        fn on_close(&self, id: Id, context: Context<'_, S>) {
            if let Some(fields) = context.span(&id).expect("a span").extensions_mut().remove::<Fields>() {
                self.0.lock().expect("it is whole").push(fields);
            }
        }
    }

    impl Ended {
        /// While there is one subscriber alone, tracing asks the thread on which a span is first made for its own: one of
        /// another test, which has none, would switch the span off for good. With a second one it asks both.
        pub(crate) fn subscribe(&self) -> (tracing::subscriber::DefaultGuard, tracing::Dispatch) {
            let second = tracing::Dispatch::new(tracing_subscriber::registry());
            (tracing::subscriber::set_default(tracing_subscriber::registry().with(self.clone())), second)
        }
    }
}

/// Keeps what came with calls, and gives calls a context of its own.
#[derive(Clone, Default)]
struct Contexts(Arc<Mutex<Vec<String>>>);

impl TraceContext for Contexts {
    fn inject(&self, _: &tracing::Span, headers: &mut HashMap<String, String>) {
        headers.insert(
            "traceparent".to_owned(),
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
        );
    }

    fn extract(&self, _: &tracing::Span, headers: &HashMap<String, String>) {
        self.0.lock().expect("it is whole").push(headers["traceparent"].clone());
    }
}

#[tokio::test]
async fn calls_are_traced_by_the_official_names() {
    for &protocol in HubProtocol::ALL {
        let ended = spans::Ended::default();
        let _subscriber = ended.subscribe();
        let (server, client) = (Contexts::default(), Contexts::default());
        let hub = hub()
            .service_name("Chat")
            .trace_context(server.clone())
            .on("Tell", |caller: Caller| async move {
                Ok(caller.clients().client(caller.connection_id()).invoke::<i32>("Ask", ()).await?)
            })
            .on("Fail", |_: Caller| async move { Err::<(), _>(HubError::new("no")) })
            .stream("Count", |_: Caller, to: u32| stream::iter((0..to).map(Ok)))
            .build();
        let url = serve([("/hub", hub)]).await + "/hub";
        let connection = HubConnection::builder(&url)
            .with_protocol(protocol)
            .with_trace_context(client.clone())
            .build()
            .expect("a connection");
        let _answer = connection.on_invoke("Ask", || Ok::<_, String>(5));
        connection.start().await.expect("it starts");
        assert_eq!(connection.invoke::<i32>("Tell", ()).await.expect("a value"), 5);
        assert!(connection.invoke::<()>("Fail", ()).await.is_err());
        let mut counted = connection.stream::<u32>("Count", (2,)).await.expect("a stream");
        while counted.next().await.is_some() {}
        connection.stop().await;
        let spans = || ended.0.lock().expect("it is whole").clone();
        let wait = async {
            while !spans().iter().any(|span| span["rpc.method"] == "OnDisconnectedAsync") {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("in time");
        let names = ["OnConnectedAsync", "Tell", "Fail", "Count", "OnDisconnectedAsync"];
        let spans = spans();
        assert_eq!(spans.iter().map(|span| &*span["rpc.method"]).collect::<Vec<_>>(), names);
        for span in &spans {
            assert_eq!(span["rpc.system"], "signalr");
            assert_eq!(span["rpc.service"], "Chat");
            assert_eq!(span["otel.name"], format!("Chat/{}", span["rpc.method"]));
            assert_eq!(span.contains_key("error.type"), span["rpc.method"] == "Fail", "{span:?}");
        }
        // Three calls came with a context, and one has gone out with it.
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(*server.0.lock().expect("it is whole"), [parent; 3]);
        assert_eq!(*client.0.lock().expect("it is whole"), [parent]);
    }
}
