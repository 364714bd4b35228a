//! What a hub puts around its calls: filters, a fallback, policies and rate limits.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use hubwire::server::{
    Caller, HubError, HubInvocation, HubServer, HubServerBuilder, Identity, Incoming, RateLimit, Rejection,
    Reply,
    filter::{HubFilter, Next, NextConnected, NextDisconnected},
};
use hubwire::{ConnectionEvent, ConnectionEvents, HubConnection, HubProtocol, Upload};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::conformance_hub::serve;

/// A hub with some methods, whose clients are who they say in the query.
fn hub() -> HubServerBuilder {
    HubServer::builder()
        .authenticate(|request| {
            let user = request.query("user").map(str::to_owned);
            let role = request.query("role").map(str::to_owned);
            async move {
                let identity = user.map_or_else(Identity::anonymous, Identity::user);
                Ok::<_, Rejection>(match role {
                    Some(role) => identity.claim("role", role),
                    None => identity,
                })
            }
        })
        .on("Add", |_: Caller, a: i32, b: i32| async move { Ok(a + b) })
        .on("Say", |_: Caller, text: String| async move { Ok(text) })
        .on("Fail", |_: Caller| async move { Err::<(), _>(HubError::new("no")) })
        .on("Sum", |_: Caller, mut numbers: Incoming<i64>| async move {
            let mut sum = 0;
            while let Some(number) = numbers.next().await {
                sum += number?;
            }
            Ok(sum)
        })
        .stream("Count", |_: Caller, to: u32| stream::iter((0..to).map(Ok)))
}

async fn connect(url: &str, protocol: HubProtocol) -> HubConnection {
    let connection = HubConnection::builder(url).with_protocol(protocol).build().expect("a connection");
    connection.start().await.expect("it starts");
    connection
}

/// The test for a client of each protocol. Each has a hub to itself.
async fn each(hub: impl Fn() -> HubServer, query: &str, test: impl AsyncFn(&HubConnection)) {
    for &protocol in HubProtocol::ALL {
        let url = serve([("/hub", hub())]).await + "/hub" + query;
        let connection = connect(&url, protocol).await;
        let wait = tokio::time::timeout(Duration::from_secs(20), test(&connection));
        wait.await.expect("in time");
        connection.stop().await;
    }
}

async fn error(hub: &HubConnection, method: &'static str, arguments: &[Value]) -> String {
    hub.invoke::<Value>(method, arguments).await.expect_err("an error").to_string()
}

/// Why a connection has ended.
async fn ended(events: &mut ConnectionEvents) -> String {
    let end = async {
        loop {
            if let Some(ConnectionEvent::Disconnected { error }) = events.next().await {
                return error.to_string();
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), end).await.expect("in time")
}

async fn next<T>(events: &mut UnboundedReceiver<T>) -> T {
    let wait = tokio::time::timeout(Duration::from_secs(20), events.recv());
    wait.await.expect("in time").expect("an event")
}

/// Tells what it sees, with its name.
struct Told(&'static str, UnboundedSender<String>);

impl Told {
    fn tell(&self, what: String) {
        self.1.send(format!("{} {what}", self.0)).unwrap_or_default();
    }
}

impl HubFilter for Told {
    async fn invoke_method(&self, call: HubInvocation, next: Next) -> Result<Reply, HubError> {
        let what = format!("{}{:?}", call.method(), call.arguments::<Vec<Value>>()?);
        self.tell(format!("before {what}"));
        let reply = next.run(call).await;
        match &reply {
            Ok(reply) if reply.is_stream() => self.tell(format!("streams {what}")),
            Ok(reply) => self.tell(format!("after {what}: {}", reply.value::<Value>().expect("a value")?)),
            Err(error) => self.tell(format!("after {what}: {error}")),
        }
        reply
    }

    async fn on_connected(&self, caller: Caller, next: NextConnected) -> Result<(), HubError> {
        self.tell(format!("connecting {:?}", caller.user_id()));
        let connected = next.run(caller).await;
        self.tell(format!("connected {}", connected.is_ok()));
        connected
    }

    async fn on_disconnected(&self, caller: Caller, next: NextDisconnected) {
        self.tell(format!("disconnecting {:?}", caller.disconnect_error()));
        next.run(caller).await;
        self.tell("disconnected".to_owned());
    }
}

#[tokio::test]
async fn the_first_filter_is_the_outermost() {
    let (events, seen) = unbounded_channel();
    let seen = tokio::sync::Mutex::new(seen);
    let build = || {
        let (connected, disconnected) = (events.clone(), events.clone());
        hub()
            .filter(Told("outer", events.clone()))
            .filter(Told("inner", events.clone()))
            .on_connected(move |_| {
                let _ = connected.send("hub connected".to_owned());
                async { Ok(()) }
            })
            .on_disconnected(move |_| {
                let _ = disconnected.send("hub disconnected".to_owned());
                async {}
            })
            .build()
    };
    each(build, "?user=ann", async |hub| {
        let mut seen = seen.lock().await;
        let mut expect = async |expected: &[&str]| {
            for expected in expected {
                assert_eq!(next(&mut seen).await, *expected);
            }
        };
        expect(&["outer connecting Some(\"ann\")", "inner connecting Some(\"ann\")", "hub connected"]).await;
        expect(&["inner connected true", "outer connected true"]).await;
        assert_eq!(hub.invoke::<i32>("add", (1, 2)).await.expect("a sum"), 3);
        expect(&["outer before add[Number(1), Number(2)]", "inner before add[Number(1), Number(2)]"]).await;
        expect(&["inner after add[Number(1), Number(2)]: 3", "outer after add[Number(1), Number(2)]: 3"])
            .await;
        assert!(error(hub, "Fail", &[]).await.ends_with("HubException: no"));
        expect(&["outer before Fail[]", "inner before Fail[]"]).await;
        expect(&["inner after Fail[]: no", "outer after Fail[]: no"]).await;
        let unknown =
            "Failed to invoke 'Nothing' due to an error on the server. HubException: Method does not exist.";
        assert!(error(hub, "Nothing", &[]).await.ends_with(unknown));
        expect(&["outer before Nothing[]", "inner before Nothing[]"]).await;
        let after = |name| format!("{name} after Nothing[]: {unknown}");
        expect(&[&after("inner"), &after("outer")]).await;
        let counted: Vec<_> = hub.stream::<u32>("Count", (3,)).await.expect("a stream").collect().await;
        assert_eq!(counted.len(), 3);
        expect(&["outer before Count[Number(3)]", "inner before Count[Number(3)]"]).await;
        expect(&["inner streams Count[Number(3)]", "outer streams Count[Number(3)]"]).await;
        // What is called in the wrong way does not get to a filter.
        assert!(error(hub, "Count", &[json!(1)]).await.contains("with a non-streaming invocation."));
        hub.stop().await;
        expect(&["outer disconnecting None", "inner disconnecting None", "hub disconnected"]).await;
        expect(&["inner disconnected", "outer disconnected"]).await;
    })
    .await;
}

#[tokio::test]
async fn a_filter_changes_refuses_and_replaces() {
    let (ended, has_ended) = unbounded_channel();
    let has_ended = tokio::sync::Mutex::new(has_ended);
    let build = || {
        let ended = ended.clone();
        hub()
            .filter(move |mut call: HubInvocation, next: Next| {
                let ended = ended.clone();
                async move {
                    match call.method() {
                        "Say" => {
                            let (text,): (String,) = call.arguments()?;
                            if text == "refuse" {
                                return Err(HubError::new("refused"));
                            }
                            call.set_arguments((text.to_uppercase(),))?;
                            let said: String = next.run(call).await?.value().expect("a value")?;
                            Ok(Reply::new(json!({ "said": said })))
                        }
                        "Count" => {
                            let reply = next.run(call).await?;
                            Ok(reply.on_end(move || ended.send(()).unwrap_or_default()))
                        }
                        "Instead" if call.wants_stream() => Ok(Reply::stream(stream::iter([1, 2].map(Ok)))),
                        "Instead" => Ok(Reply::new("a value")),
                        "Panic" => panic!("a filter panics"),
                        // Not what is asked for.
                        "Other" => Ok(Reply::stream(stream::iter([1].map(Ok)))),
                        _ => next.run(call).await,
                    }
                }
            })
            .build()
    };
    each(build, "", async |hub| {
        assert_eq!(hub.invoke::<Value>("Say", ("hi",)).await.expect("a value"), json!({"said": "HI"}));
        assert!(error(hub, "Say", &[json!("refuse")]).await.ends_with("HubException: refused"));
        // The method's own words, though the filter reads the arguments first.
        assert!(
            error(hub, "Say", &[json!(1)])
                .await
                .ends_with("An unexpected error occurred invoking 'Say' on the server.")
        );
        assert!(
            error(hub, "Add", &[json!(1)])
                .await
                .ends_with("Failed to invoke 'Add' due to an error on the server.")
        );
        assert_eq!(hub.invoke::<String>("Instead", ()).await.expect("a value"), "a value");
        let streamed: Vec<_> =
            hub.stream::<u32>("Instead", ()).await.expect("a stream").map(Result::ok).collect().await;
        assert_eq!(streamed, [Some(1), Some(2)]);
        assert!(error(hub, "Panic", &[]).await.contains("An unexpected error occurred invoking 'Panic'"));
        assert!(error(hub, "Other", &[]).await.contains("the streaming 'Other' method with a non-streaming"));
        let numbers = Upload::new(stream::iter(1..=100_i64));
        assert_eq!(hub.invoke::<i64>("Sum", (numbers,)).await.expect("a sum"), 5_050);
        let mut counted = hub.stream::<u32>("Count", (1_000_000,)).await.expect("a stream");
        assert_eq!(counted.next().await.map(Result::ok), Some(Some(0)));
        drop(counted);
        next(&mut *has_ended.lock().await).await;
    })
    .await;
}

#[tokio::test]
async fn a_filter_refuses_a_connection() {
    struct Door(UnboundedSender<Option<String>>);

    impl HubFilter for Door {
        async fn on_connected(&self, caller: Caller, next: NextConnected) -> Result<(), HubError> {
            match caller.user_id() {
                Some("bob") => Err(HubError::new("not you")),
                _ => next.run(caller).await,
            }
        }

        async fn on_disconnected(&self, caller: Caller, next: NextDisconnected) {
            self.0.send(caller.user_id().map(str::to_owned)).unwrap_or_default();
            next.run(caller).await;
        }
    }

    let (left, mut has_left) = unbounded_channel();
    let url = serve([("/hub", hub().filter(Door(left)).build())]).await + "/hub";
    let bob = HubConnection::builder(format!("{url}?user=bob")).build().expect("a connection");
    let mut events = bob.events();
    bob.start().await.expect("the handshake is over before");
    let told = ended(&mut events).await;
    assert!(told.contains("HubException: not you"), "{told}");
    let ann = connect(&format!("{url}?user=ann"), HubProtocol::Json).await;
    ann.stop().await;
    assert_eq!(next(&mut has_left).await.as_deref(), Some("ann"));
}

#[tokio::test]
async fn a_fallback_takes_what_is_unknown() {
    let build = || {
        hub()
            .fallback(|mut call: HubInvocation| async move {
                if let Some(mut upload) = call.take_upload::<i64>() {
                    let first = upload.next().await.transpose()?;
                    return Ok(Reply::new(first));
                }
                match (call.method(), call.wants_stream()) {
                    ("No", _) => Err(HubError::new("not even here")),
                    (_, true) => {
                        let arguments: Vec<Value> = call.arguments()?;
                        Ok(Reply::stream(stream::iter(arguments.into_iter().map(Ok))))
                    }
                    (method, false) => Ok(Reply::new(json!([
                        method,
                        call.arguments::<Vec<Value>>()?,
                        call.caller().user_id()
                    ]))),
                }
            })
            .build()
    };
    each(build, "?user=ann", async |hub| {
        assert_eq!(hub.invoke::<i32>("Add", (1, 2)).await.expect("a sum"), 3);
        let taken: Value = hub.invoke("Some.Thing", (1, "two", [3])).await.expect("a value");
        assert_eq!(taken, json!(["Some.Thing", [1, "two", [3]], "ann"]));
        let items: Vec<_> =
            hub.stream::<u8>("Thing", (4, 5)).await.expect("a stream").map(Result::ok).collect().await;
        assert_eq!(items, [Some(4), Some(5)]);
        let numbers = Upload::new(stream::iter([7_i64, 8]));
        assert_eq!(hub.invoke::<i64>("Upload", (numbers,)).await.expect("the first"), 7);
        assert!(error(hub, "No", &[]).await.ends_with("HubException: not even here"));
    })
    .await;
}

#[tokio::test]
async fn policies_guard_the_hub_and_its_methods() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let build = || {
        let asked = asked.clone();
        hub()
            .policy("Users", |who| who.user_id().is_some())
            .async_policy("Admins", move |who| {
                asked.lock().expect("it is whole").push(who.method().map(str::to_owned));
                async move {
                    tokio::task::yield_now().await;
                    who.has_claim("role", "admin") && who.query("locked").is_none()
                }
            })
            .authorize_hub("Users")
            .authorize_methods(["ADD", "Count"], "Admins")
            .authorize("Fail", |caller| caller.has_claim("role", "admin"))
            .build()
    };
    each(build, "?user=ann&role=admin", async |hub| {
        assert_eq!(hub.invoke::<i32>("Add", (1, 2)).await.expect("a sum"), 3);
        assert_eq!(asked.lock().expect("it is whole").pop(), Some(Some("Add".to_owned())));
    })
    .await;
    each(build, "?user=bob", async |hub| {
        let refused = error(hub, "Add", &[json!(1), json!(2)]).await;
        assert!(refused.ends_with("Failed to invoke 'Add' because user is unauthorized"), "{refused}");
        assert!(error(hub, "Fail", &[]).await.ends_with("because user is unauthorized"));
        let mut counted = hub.stream::<u32>("Count", (1,)).await.expect("it is asked");
        let refused = counted.next().await.expect("an answer").expect_err("an error").to_string();
        assert!(refused.ends_with("because user is unauthorized"), "{refused}");
        assert_eq!(hub.invoke::<String>("Say", ("hi",)).await.expect("anybody may"), "hi");
    })
    .await;
    let url = serve([("/hub", build())]).await + "/hub";
    for (query, status) in [("", 401), ("?role=admin", 403)] {
        let connection = HubConnection::builder(format!("{url}{query}")).build().expect("a connection");
        assert_eq!(connection.start().await.expect_err("it is refused").status(), Some(status), "{query}");
    }
}

#[test]
#[should_panic(expected = "the hub has no method of the name Ad to authorize")]
fn a_misspelt_method_does_not_stay_open() {
    drop(hub().policy("Users", |_| true).authorize_methods(["Ad"], "Users").build());
}

#[test]
#[should_panic(expected = "the hub has no policy of the name User")]
fn a_misspelt_policy_does_not_stay_open() {
    drop(hub().policy("Users", |_| true).authorize_hub("User").build());
}

#[tokio::test]
async fn calls_are_limited() {
    let build = || {
        let hour = Duration::from_secs(3_600);
        hub()
            .rate_limit(RateLimit::per_user(3, hour).methods(["say"]))
            .rate_limit(RateLimit::per_connection(20, hour).closes())
            .build()
    };
    each(build, "?user=ann", async |hub| {
        for _ in 0..3 {
            assert_eq!(hub.invoke::<String>("Say", ("hi",)).await.expect("it is let through"), "hi");
        }
        let limited = error(hub, "Say", &[json!("hi")]).await;
        assert!(limited.contains("HubException: The rate limit is exceeded; try again in "), "{limited}");
        let mut events = hub.events();
        let mut calls = 0;
        while hub.invoke::<i32>("Add", (1, 2)).await.is_ok() {
            calls += 1;
        }
        assert_eq!(calls, 17, "one limit for all methods, but for what another has refused");
        let told = ended(&mut events).await;
        assert!(told.contains("The rate limit is exceeded"), "{told}");
    })
    .await;
}

#[tokio::test]
async fn a_user_is_limited_as_a_whole() {
    let limit = RateLimit::per_user(2, Duration::from_secs(3_600));
    let url = serve([("/hub", hub().rate_limit(limit).build())]).await + "/hub";
    let (one, other) = (format!("{url}?user=ann"), format!("{url}?user=bob"));
    let ann = [connect(&one, HubProtocol::Json).await, connect(&one, HubProtocol::MessagePack).await];
    for connection in &ann {
        assert_eq!(connection.invoke::<i32>("Add", (1, 2)).await.expect("it is let through"), 3);
    }
    assert!(error(&ann[0], "Add", &[json!(1), json!(2)]).await.contains("The rate limit is exceeded"));
    let bob = connect(&other, HubProtocol::Json).await;
    assert_eq!(bob.invoke::<i32>("Add", (1, 2)).await.expect("another user"), 3);
    for connection in [&ann[0], &ann[1], &bob] {
        connection.stop().await;
    }
}

/// Streams that refuse before they begin, and what a client's own error becomes.
#[tokio::test]
async fn errors_are_told_as_by_asp_net_core() {
    let build = || {
        hub()
            .stream("Ticks", |_: Caller, symbol: String| async move {
                if symbol.is_empty() {
                    return Err(HubError::new("which one?"));
                }
                Ok(stream::iter([symbol]).map(Ok))
            })
            .on("Ask", |caller: Caller| async move {
                Ok(caller.clients().client(caller.connection_id()).invoke::<i32>("Answer", ()).await?)
            })
            .on("AskNobody", |caller: Caller| async move {
                Ok(caller.clients().client("nobody").invoke::<i32>("Answer", ()).await?)
            })
            .build()
    };
    each(build, "", async |hub| {
        let ticks: Vec<_> =
            hub.stream::<String>("Ticks", ("A",)).await.expect("a stream").map(Result::ok).collect().await;
        assert_eq!(ticks, [Some("A".to_owned())]);
        let mut refused = hub.stream::<String>("Ticks", ("",)).await.expect("it is asked");
        let told = refused.next().await.expect("an answer").expect_err("an error").to_string();
        assert!(
            told.ends_with(
                "An unexpected error occurred invoking 'Ticks' on the server. HubException: which one?"
            ),
            "{told}"
        );
        let _answer = hub.on_invoke("Answer", || Err::<i32, _>("the client's words".to_owned()));
        let told = error(hub, "Ask", &[]).await;
        assert!(
            told.contains("invoking 'Ask' on the server. HubException: ")
                && told.ends_with("the client's words"),
            "{told}"
        );
        let told = error(hub, "AskNobody", &[]).await;
        assert!(told.ends_with("An unexpected error occurred invoking 'AskNobody' on the server."), "{told}");
    })
    .await;
}

#[test]
#[should_panic(expected = "the hub has two policies of the name Users")]
fn a_policy_does_not_replace_another() {
    drop(hub().policy("Users", |_| false).policy("Users", |_| true));
}

#[test]
#[should_panic(expected = "the hub has no method of the name ad to limit")]
fn a_misspelt_rate_limit_is_refused() {
    drop(hub().rate_limit(RateLimit::per_hub(1, Duration::from_secs(1)).methods(["Ad"])).build());
}

#[test]
#[should_panic(expected = "a rate limit is of at least one call in a time")]
fn a_rate_limit_without_a_time_is_refused() {
    drop(RateLimit::per_hub(1, Duration::ZERO));
}

#[tokio::test]
async fn of_several_rules_for_a_method_all_must_be_true() {
    let hub = hub().authorize("Say", |_| false).authorize("Say", |_| true).build();
    let client = hub.connect_in_memory(Identity::user("ann")).await.expect("a client");
    let refused = client.invoke::<String>("Say", ("hi",)).await.expect_err("it is refused").to_string();
    assert!(refused.ends_with("because user is unauthorized"), "{refused}");
}

#[tokio::test]
async fn an_error_of_any_kind_can_be_hidden() {
    let hub = hub()
        .on("Boxed", |caller: Caller| async move {
            assert!(caller.presence().is_online("ann"));
            let failed: Result<(), Box<dyn std::error::Error + Send + Sync>> = Err("a secret".into());
            failed.map_err(HubError::hidden)
        })
        .build();
    let client = hub.connect_in_memory(Identity::user("ann")).await.expect("a client");
    let told = client.invoke::<()>("Boxed", ()).await.expect_err("it fails").to_string();
    assert!(told.ends_with("An unexpected error occurred invoking 'Boxed' on the server."), "{told}");
}
