//! Every kind of call, on every transport, in both protocols.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use hubwire::server::{Caller, HubError, HubServer, Identity, Incoming, Rejection};
use hubwire::{HubConnection, HubProtocol, Transport, Upload};
use tokio::net::TcpListener;

fn hub() -> HubServer {
    HubServer::builder()
        .authenticate(|request| {
            let user = request.query("user").map(str::to_owned);
            async move {
                match user.as_deref() {
                    Some("nobody") => Err(Rejection::unauthorized()),
                    Some(user) => Ok(Identity::user(user).claim("role", "tester")),
                    None => Ok(Identity::anonymous()),
                }
            }
        })
        .maximum_parallel_invocations_per_client(2)
        .on("Add", |_: Caller, a: i32, b: i32| async move { Ok(a + b) })
        .on("WhoAmI", |caller: Caller| async move {
            Ok((caller.user_id().map(str::to_owned), caller.has_claim("role", "tester")))
        })
        .on("Fail", |_: Caller, text: String| async move { Err::<(), _>(HubError::new(text)) })
        .on("Parse", |_: Caller, text: String| async move { Ok(text.parse::<i32>()?) })
        .on("Panic", |_: Caller| async move {
            if true {
                panic!("a method panics");
            }
            Ok(())
        })
        .on("Join", |caller: Caller, group: String| async move {
            caller.groups().add(caller.connection_id(), &group).await?;
            Ok(())
        })
        .on("ToGroup", |caller: Caller, group: String, text: String| async move {
            caller.clients().others_in_group(group).send("Heard", (text,)).await?;
            Ok(())
        })
        .on("Ask", |caller: Caller, question: String| async move {
            let client = caller.clients().client(caller.connection_id());
            Ok(client.invoke::<String>("Answer", (question,)).await?)
        })
        .on("Sum", |_: Caller, start: i64, mut numbers: Incoming<i64>| async move {
            let mut sum = start;
            while let Some(number) = numbers.next().await {
                sum += number?;
            }
            Ok(sum)
        })
        .stream("Count", |_: Caller, to: u32| stream::iter((0..to).map(Ok)))
        .stream("Endless", |_: Caller| stream::repeat(1_u32).map(Ok))
        .build()
}

async fn serve(hub: HubServer) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let app = axum::Router::new().nest_service("/chat", hub);
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}/chat")
}

async fn each(test: impl AsyncFn(HubConnection, &str)) {
    let url = serve(hub()).await;
    for transport in [Transport::WebSockets, Transport::ServerSentEvents, Transport::LongPolling] {
        for &protocol in HubProtocol::ALL {
            if (transport, protocol) == (Transport::ServerSentEvents, HubProtocol::MessagePack) {
                continue;
            }
            let connection = HubConnection::builder(format!("{url}?user=ann"))
                .with_transports(transport)
                .with_protocol(protocol)
                .build()
                .expect("a connection");
            connection.start().await.expect("it starts");
            tokio::time::timeout(Duration::from_secs(20), test(connection.clone(), &url))
                .await
                .expect("in time");
            connection.stop().await;
        }
    }
}

#[tokio::test]
async fn calls_have_results_and_errors() {
    each(async |hub, _| {
        assert_eq!(hub.invoke::<i32>("add", (1, 2)).await.expect("a sum"), 3);
        let who: (Option<String>, bool) = hub.invoke("WhoAmI", ()).await.expect("an answer");
        assert_eq!(who, (Some("ann".to_owned()), true));
        let error = |method: &'static str, arguments: &'static [&'static str]| {
            let hub = hub.clone();
            async move { hub.invoke::<()>(method, arguments).await.expect_err("an error").to_string() }
        };
        assert!(error("Fail", &["no"]).await.contains("invoking 'Fail' on the server. HubException: no"));
        let hidden = error("Parse", &["x"]).await;
        assert!(hidden.ends_with("An unexpected error occurred invoking 'Parse' on the server."), "{hidden}");
        assert!(error("Panic", &[]).await.contains("invoking 'Panic' on the server."));
        assert!(error("Nothing", &[]).await.ends_with("HubException: Method does not exist."));
        assert!(error("Fail", &[]).await.contains("Failed to invoke 'Fail' due to an error on the server."));
        assert!(error("Count", &["1"]).await.contains("streaming 'Count' method with a non-streaming"));
    })
    .await;
}

#[tokio::test]
async fn streams_go_both_ways_and_are_cancelled() {
    each(async |hub, _| {
        let counted = hub.stream::<u32>("Count", (1_000,)).await.expect("a stream");
        let counted: Vec<u32> = counted.map(|item| item.expect("an item")).collect().await;
        assert_eq!(counted, (0..1_000).collect::<Vec<_>>());
        let mut endless = hub.stream::<u32>("Endless", ()).await.expect("a stream");
        assert_eq!(endless.next().await.map(Result::ok), Some(Some(1)));
        drop(endless);
        let numbers = Upload::new(stream::iter(1..=1_000_i64));
        assert_eq!(hub.invoke::<i64>("Sum", (5, numbers)).await.expect("a sum"), 500_505);
    })
    .await;
}

#[tokio::test]
async fn clients_are_asked_and_told() {
    each(async |hub, url| {
        let _answer = hub.on_invoke("Answer", |question: String| Ok::<_, String>(format!("{question}!")));
        assert_eq!(hub.invoke::<String>("Ask", ("why",)).await.expect("an answer"), "why!");
        let other = HubConnection::builder(url).build().expect("a connection");
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let _heard = other.on("Heard", move |text: String| told.send(text).expect("it is waited for"));
        other.start().await.expect("it starts");
        other.invoke::<()>("Join", ("room",)).await.expect("it joins");
        hub.invoke::<()>("ToGroup", ("room", "hello")).await.expect("it is sent");
        assert_eq!(heard.recv().await.as_deref(), Some("hello"));
        other.stop().await;
    })
    .await;
}

#[tokio::test]
async fn who_is_refused_does_not_get_in() {
    let url = serve(hub()).await;
    let connection = HubConnection::builder(format!("{url}?user=nobody")).build().expect("a connection");
    assert_eq!(connection.start().await.expect_err("it is refused").status(), Some(401));
}
