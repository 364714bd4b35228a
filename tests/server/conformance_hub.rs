//! The hub that the reference software hosts in ASP.NET Core, hosted in Rust: the same methods with the same answers.

use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};
use hubwire::server::{
    Caller, ClientResultError, HubError, HubServer, HubServerBuilder, Identity, Incoming, Rejection,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

type Items<T> = std::pin::Pin<Box<dyn Stream<Item = Result<T, HubError>> + Send>>;

/// The hub at `/hub`: all defaults.
pub(crate) fn conformance_hub() -> HubServerBuilder {
    let hub = HubServer::builder().authenticate(|request| {
        let token = request.access_token().map(str::to_owned);
        async move {
            match token.as_deref() {
                Some("refused") => Err(Rejection::unauthorized()),
                Some(user) => Ok(Identity::user(user)),
                None => Ok(Identity::anonymous()),
            }
        }
    });
    connection(told(uploads(streams(calls(hub)))))
}

fn calls(hub: HubServerBuilder) -> HubServerBuilder {
    hub.on("Echo", |_: Caller, value: Value| async move { Ok(value) })
        .on("EchoInt", |_: Caller, value: i32| async move { Ok(value) })
        .on("Add", |_: Caller, a: i32, b: i32| async move { Ok(a + b) })
        .on("Void", |_: Caller| async move { Ok(()) })
        .on("NullResult", |_: Caller| async move { Ok(None::<String>) })
        .on("LargeString", |_: Caller, length: usize| async move { Ok("x".repeat(length)) })
        .on("Throw", |_: Caller| async move { Ok("a plain exception".parse::<i32>()?) })
        .on("HubError", |_: Caller, text: String| async move { Err::<(), _>(HubError::new(text)) })
        .on("Slow", |_: Caller, milliseconds: u64| async move {
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            Ok("slept")
        })
        .on("SlowCancellable", |caller: Caller, milliseconds: u64| async move {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(milliseconds)) => Ok("slept"),
                () = caller.cancelled() => Err(std::io::Error::other("cancelled").into()),
            }
        })
        .on("named.otherwise", |_: Caller| async move { Ok("renamed") })
}

fn told(hub: HubServerBuilder) -> HubServerBuilder {
    hub.on("PushNumbers", |caller: Caller, target: String, count: u32| async move {
        for number in 0..count {
            caller.clients().caller().send(&target, (number,)).await?;
        }
        Ok(())
    })
    .on("ToAll", |caller: Caller, target: String, argument: Value| async move {
        Ok(caller.clients().all().send(&target, (argument,)).await?)
    })
    .on("ToOthers", |caller: Caller, target: String, argument: Value| async move {
        Ok(caller.clients().others().send(&target, (argument,)).await?)
    })
    .on("ToGroup", |caller: Caller, group: String, target: String, argument: Value| async move {
        Ok(caller.clients().group(group).send(&target, (argument,)).await?)
    })
    .on("ToUser", |caller: Caller, user: String, target: String, argument: Value| async move {
        Ok(caller.clients().user(user).send(&target, (argument,)).await?)
    })
    .on("ToConnection", |caller: Caller, id: String, target: String, argument: Value| async move {
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
    .on("Ask", |caller: Caller, target: String, question: String| async move {
        let client = caller.clients().client(caller.connection_id());
        Ok(answer(client.invoke(&target, (question,)).await))
    })
    .on("AskLater", |caller: Caller, target: String, question: String| async move {
        tokio::spawn(async move {
            let client = caller.clients().client(caller.connection_id());
            let answer = answer(client.invoke(&target, (question,)).await);
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

fn streams(hub: HubServerBuilder) -> HubServerBuilder {
    hub.stream("Counter", |_: Caller, count: u32, milliseconds: u64| {
        stream::iter(0..count).then(move |number| async move {
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            Ok(number)
        })
    })
    .stream("CounterChannel", |_: Caller, count: u32| stream::iter((0..count).map(Ok)))
    .stream("CounterThenError", |_: Caller, count: u32, text: String| {
        stream::iter((0..count).map(Ok).chain([Err(HubError::new(text))]))
    })
    .stream("LargeItems", |_: Caller, count: usize, length: usize| {
        stream::iter((0..count).map(move |_| Ok("x".repeat(length))))
    })
    .stream("EchoStream", |_: Caller, values: Incoming<Value>| -> Items<Value> {
        Box::pin(values.map(|value| Ok(value?)))
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
            if let Err(hubwire::server::UploadError::Failed(text)) = number {
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
        Ok(json!({ "connectionId": caller.connection_id(), "user": caller.user_id() }))
    })
    .on("Header", |caller: Caller, name: String| async move {
        Ok(caller.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned())
    })
    .on("Query", |caller: Caller, name: String| async move {
        Ok(caller.query(&name).unwrap_or_default().to_owned())
    })
    .on("Close", |caller: Caller| async move {
        caller.abort();
        Ok(())
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
