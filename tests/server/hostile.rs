//! Requests that no good client makes, and clients that take or give more than they should.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use hubwire::server::{
    Caller, HubError, HubServer, HubServerBuilder, Identity, Incoming, error::UploadError,
};
use hubwire::{HubConnection, Upload};
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

use crate::conformance_hub::{conformance_hub, in_time, serve};

const HANDSHAKE: &str = "{\"protocol\":\"json\",\"version\":1}\u{1e}";

pub(crate) fn http_client() -> Client {
    // An error means that another test has done it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::new()
}

/// A client of long polling that is written by hand.
struct Poller {
    http: Client,
    url: String,
}

impl Poller {
    /// A connection that has negotiated and polled once, which opens it.
    async fn open(url: &str) -> Self {
        let poller = Self::negotiate(url).await;
        assert_eq!(poller.request(Method::GET, "").await.status(), 200);
        poller
    }

    async fn negotiate(url: &str) -> Self {
        let http = http_client();
        let negotiated =
            http.post(format!("{url}/negotiate?negotiateVersion=1")).send().await.expect("an answer");
        let negotiated: Value = negotiated.json().await.expect("JSON");
        let token = negotiated["connectionToken"].as_str().expect("a token");
        Self { http, url: format!("{url}?id={token}") }
    }

    async fn request(&self, method: Method, body: impl Into<reqwest::Body>) -> Response {
        self.http.request(method, &self.url).body(body).send().await.expect("an answer")
    }

    async fn send(&self, body: impl Into<reqwest::Body>) {
        assert_eq!(self.request(Method::POST, body).await.status(), 200);
    }

    /// The messages of the next poll; `None` at the end.
    async fn poll(&self) -> Option<Vec<Value>> {
        let polled = self.request(Method::GET, "").await;
        if polled.status() != 200 {
            return None;
        }
        let text = polled.text().await.expect("text");
        let messages = text.split_terminator('\u{1e}');
        Some(messages.map(|message| serde_json::from_str(message).expect("JSON")).collect())
    }

    /// Polls until there is the completion of a call.
    async fn completion(&self, id: &str) -> Value {
        let is_wanted = |message: &Value| message["type"] == 3 && message["invocationId"] == id;
        in_time(async {
            loop {
                let messages = self.poll().await.expect("the connection is open");
                if let Some(completion) = messages.into_iter().find(is_wanted) {
                    return completion;
                }
            }
        })
        .await
    }
}

fn call(id: impl std::fmt::Display, target: &str, arguments: Value) -> String {
    format!(
        "{}\u{1e}",
        json!({"type": 1, "invocationId": id.to_string(), "target": target, "arguments": arguments})
    )
}

async fn hub_at(hub: HubServerBuilder) -> String {
    serve([("/hub", hub.build())]).await + "/hub"
}

/// The .NET client pings as soon as it is connected. A client that is refused tells its user of that, and not of the last
/// messages, which are on their way: why the hub does not want it, or what was wrong with what it has sent.
#[tokio::test]
async fn what_is_sent_is_taken_until_the_last_messages_are_read() {
    const PING: &str = "{\"type\":6}\u{1e}";
    let refusing = HubServer::builder().on_connected(|_| async { Err(HubError::new("not today")) });
    let too_long = call(1, "Echo", json!(["x".repeat(33_000)]));
    for (hub, says) in [
        (refusing, &[HANDSHAKE][..]),
        (conformance_hub(), &[HANDSHAKE, "not JSON\u{1e}"]),
        (conformance_hub(), &[HANDSHAKE, &too_long]),
    ] {
        let url = hub_at(hub).await;

        let client = Poller::negotiate(&url).await;
        let opened = client.http.get(&client.url).header("accept", "text/event-stream").send();
        let mut events = opened.await.expect("an answer");
        let saying = async |client: &Poller| {
            for &said in says {
                client.send(said.to_owned()).await;
            }
        };
        saying(&client).await;
        let mut read = Vec::new();
        while !String::from_utf8_lossy(&read).contains("\"type\":7") {
            let chunk = in_time(events.chunk()).await.expect("bytes");
            read.extend(chunk.expect("it does not end before it has said why"));
        }
        for _ in 0..3 {
            client.send(PING).await;
        }
        drop(events);
        in_time(async { while client.request(Method::POST, PING).await.status() != 404 {} }).await;

        let client = Poller::open(&url).await;
        let reading = async {
            while !client.poll().await.expect("messages").iter().any(|message| message["type"] == 7) {}
        };
        in_time(async { tokio::join!(reading, saying(&client)) }).await;
        let leaving = async {
            for _ in 0..3 {
                client.send(PING).await;
            }
            client.request(Method::DELETE, "").await.status()
        };
        let (polled, left) = tokio::join!(client.poll(), leaving);
        assert_eq!((polled, left.as_u16()), (None, 202));
    }
}

/// Some clients say their handshake before they poll.
#[tokio::test]
async fn what_is_sent_before_the_first_poll_is_kept() {
    let url = serve([("/hub", conformance_hub().build())]).await + "/hub";
    let poller = Poller::negotiate(&url).await;
    poller.send("{\"protocol\":\"json\",").await;
    poller.send(format!("\"version\":0}}\u{1e}{}", call(1, "Add", json!([1, 2])))).await;
    // There is room for a handshake, and not for much more.
    assert_eq!(poller.request(Method::POST, "x".repeat(1024)).await.status(), 404);
    assert_eq!(poller.request(Method::GET, "").await.status(), 200);
    assert_eq!(poller.completion("1").await["result"], 3);
    let other = Poller { url: format!("{url}?id=unknown"), ..poller };
    assert_eq!(other.request(Method::POST, "{}").await.status(), 404);
}

#[tokio::test]
async fn requests_for_connections_of_others_find_nothing() {
    let url = hub_at(conformance_hub()).await;
    let http = http_client();
    let status = async |method: Method, query: &str, body: Vec<u8>| {
        let request = http.request(method, format!("{url}{query}")).body(body);
        request.send().await.expect("an answer").status().as_u16()
    };
    assert_eq!(status(Method::POST, "", Vec::new()).await, 400);
    assert_eq!(status(Method::GET, "", Vec::new()).await, 400);
    assert_eq!(status(Method::DELETE, "", Vec::new()).await, 400);
    assert_eq!(status(Method::PUT, "", Vec::new()).await, 405);
    assert_eq!(status(Method::GET, "/negotiate", Vec::new()).await, 405);
    assert_eq!(status(Method::POST, "/negotiate?access_token=refused", Vec::new()).await, 401);
    for method in [Method::GET, Method::POST, Method::DELETE] {
        assert_eq!(status(method, "?id=unknown", Vec::new()).await, 404);
    }

    let anns = http.post(format!("{url}/negotiate?negotiateVersion=1&access_token=ann"));
    let anns: Value = anns.send().await.expect("an answer").json().await.expect("JSON");
    let id = anns["connectionToken"].as_str().expect("a token");
    let (mine, bobs) = (format!("?id={id}&access_token=ann"), format!("?id={id}&access_token=bob"));
    // Before it is open, its own handshake is kept, as far as one may be long.
    assert_eq!(status(Method::POST, &bobs, Vec::new()).await, 404);
    assert_eq!(status(Method::POST, &mine, vec![b' '; 2048]).await, 404);
    assert_eq!(status(Method::POST, &mine, Vec::new()).await, 200);
    assert_eq!(status(Method::GET, &bobs, Vec::new()).await, 404);
    assert_eq!(status(Method::GET, &mine, Vec::new()).await, 200);
    for query in [&bobs, &format!("?id={id}")] {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            assert_eq!(status(method, query, Vec::new()).await, 404);
        }
    }
    assert_eq!(status(Method::POST, &mine, vec![b' '; 5 * 1024 * 1024]).await, 413);
    assert_eq!(status(Method::POST, &mine, HANDSHAKE.into()).await, 200);
    assert_eq!(status(Method::DELETE, &mine, Vec::new()).await, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_calls_are_answered_in_order() {
    let client = Poller::open(&hub_at(conformance_hub()).await).await;
    client.send(HANDSHAKE).await;
    let calls = |range: std::ops::Range<u32>| -> String {
        range
            .map(|id| {
                format!("{{\"type\":1,\"invocationId\":\"{id}\",\"target\":\"Void\",\"arguments\":[]}}\u{1e}")
            })
            .collect()
    };
    let sending = async {
        client.send(calls(0..50_000)).await;
        client.send(calls(50_000..100_000)).await;
    };
    let reading = async {
        let mut next = 0_u32;
        while next < 100_000 {
            for message in client.poll().await.expect("the connection is open") {
                if message["type"] == 3 {
                    assert_eq!(message["invocationId"], next.to_string(), "{message}");
                    assert!(message.get("error").is_none(), "{message}");
                    next += 1;
                }
            }
        }
    };
    in_time(async { tokio::join!(sending, reading) }).await;
}

/// More than may wait for one client is answered, as fast as the client takes it.
#[tokio::test(flavor = "multi_thread")]
async fn large_answers_wait_for_the_client() {
    let hub = HubConnection::builder(&hub_at(conformance_hub()).await).build().expect("a connection");
    hub.start().await.expect("it starts");
    let calls = (0..40).map(|_| hub.invoke::<String>("LargeString", (1_000_000,)));
    for answer in in_time(futures_util::future::join_all(calls)).await {
        assert_eq!(answer.expect("an answer").len(), 1_000_000);
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_refused_calls_nothing() {
    let called = Arc::new(AtomicUsize::new(0));
    let counter = called.clone();
    let (gate, open) = tokio::sync::watch::channel(false);
    let hub = HubServer::builder()
        .on_connected(move |_| {
            let mut open = open.clone();
            async move {
                open.wait_for(|open| *open).await?;
                Err(HubError::new("not today"))
            }
        })
        .on("Touch", move |_: Caller| {
            counter.fetch_add(1, Ordering::SeqCst);
            async { Ok(()) }
        });
    let client = Poller::open(&hub_at(hub).await).await;
    client.send(format!("{HANDSHAKE}{}", call(1, "Touch", json!([])))).await;
    client.send(call(2, "Touch", json!([]))).await;
    gate.send_replace(true);
    let mut last = Value::Null;
    in_time(async {
        while let Some(messages) = client.poll().await {
            if let Some(message) = messages.last() {
                last = message.clone();
            }
        }
    })
    .await;
    assert_eq!(last["error"], "Connection closed with an error. HubException: not today");
    assert_ne!(last["allowReconnect"], true);
    assert_eq!(called.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_uploads_are_too_many() {
    let url = hub_at(conformance_hub().maximum_receive_message_size(1024 * 1024)).await;
    let uploads = |id: u32, range: std::ops::Range<u32>| {
        let ids: Vec<String> = range.map(|id| format!("u{id}")).collect();
        let call = json!({"type": 1, "invocationId": id.to_string(), "target": "UploadSum", "arguments": [], "streamIds": ids});
        format!("{call}\u{1e}")
    };
    // In one call, which is no message that a client may send.
    let client = Poller::open(&url).await;
    client.send(format!("{HANDSHAKE}{}", uploads(1, 0..5_000))).await;
    let mut last = Value::Null;
    in_time(async {
        while let Some(messages) = client.poll().await {
            if let Some(message) = messages.last() {
                last = message.clone();
            }
        }
    })
    .await;
    assert_eq!(last["error"], "Connection closed with an error. invalid hub message: too many stream ids.");

    // In many.
    let client = Poller::open(&url).await;
    client.send(HANDSHAKE).await;
    let calls: String = (0..5_000).map(|id| uploads(id, id..id + 1)).collect();
    client.send(calls).await;
    let refused = client.completion("4999").await;
    assert_eq!(refused["error"], "Too many invocations or streams are in progress.");
    client.send("{\"type\":3,\"invocationId\":\"u0\"}\u{1e}").await;
    assert_eq!(client.completion("0").await["result"], 0);
    client.send(call("sum", "Add", json!([1, 2]))).await;
    assert_eq!(client.completion("sum").await["result"], 3);
}

/// The method sleeps on its stream, so its client is not read. It is neither given up nor left without pings, and nobody else
/// notices.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_nobody_reads_waits() {
    let (gate, open) = tokio::sync::watch::channel(false);
    let hub = conformance_hub()
        .client_timeout_interval(Duration::from_secs(1))
        .keep_alive_interval(Duration::from_millis(100))
        .on("Later", move |_: Caller, mut numbers: Incoming<u32>| {
            let mut open = open.clone();
            async move {
                open.wait_for(|open| *open).await?;
                let mut count = 0;
                while let Some(number) = numbers.next().await {
                    number?;
                    count += 1;
                }
                Ok(count)
            }
        });
    let url = hub_at(hub).await;
    let connect = || {
        let builder = HubConnection::builder(&url).with_keep_alive_interval(Duration::from_millis(100));
        builder.with_server_timeout(Duration::from_millis(2_500)).build().expect("a connection")
    };
    let (one, other) = (connect(), connect());
    one.start().await.expect("it starts");
    other.start().await.expect("it starts");
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let numbers = stream::iter(0..200_000_u32).inspect(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    let upload = tokio::spawn({
        let one = one.clone();
        async move { one.invoke::<u32>("Later", (Upload::new(numbers),)).await }
    });
    // Longer than either side waits for a sign of life of the other.
    let until = tokio::time::Instant::now() + Duration::from_millis(3_000);
    while tokio::time::Instant::now() < until {
        assert_eq!(other.invoke::<String>("Slow", (50,)).await.expect("an answer"), "slept");
    }
    assert!(!upload.is_finished());
    gate.send_replace(true);
    assert_eq!(in_time(upload).await.expect("no panic").expect("a count"), 200_000);
    one.stop().await;
    other.stop().await;
}

/// An upload that is not over when its call is ends with it, and takes nothing any more.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_ends_with_its_call() {
    let (ended, mut has_ended) = tokio::sync::mpsc::unbounded_channel();
    let hub = conformance_hub().on("Keep", move |_: Caller, mut numbers: Incoming<u32>| {
        let ended = ended.clone();
        async move {
            tokio::spawn(async move { ended.send(numbers.next().await) });
            Ok(())
        }
    });
    let client = Poller::open(&hub_at(hub).await).await;
    let keep = json!({"type": 1, "invocationId": "1", "target": "Keep", "arguments": [], "streamIds": ["s"]});
    client.send(format!("{HANDSHAKE}{keep}\u{1e}")).await;
    client.completion("1").await;
    assert_eq!(in_time(has_ended.recv()).await, Some(Some(Err(UploadError::Disconnected))));
    client.send(format!("{}\u{1e}", json!({"type": 2, "invocationId": "s", "item": 1}))).await;
    client.send(format!("{keep}\u{1e}").replace("\"1\"", "\"2\"")).await;
    assert!(client.completion("2").await.get("error").is_none());
}

/// A client that does not read a stream is not sent it.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_not_read_waits() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let hub = conformance_hub().authenticate(|_| async { Ok(Identity::anonymous()) }).stream(
        "Large",
        move |_: Caller| {
            let counter = counter.clone();
            stream::repeat_with(move || {
                counter.fetch_add(1, Ordering::SeqCst);
                Ok("x".repeat(10_000))
            })
        },
    );
    let url = hub_at(hub).await;
    let client = Poller::open(&url).await;
    let large = json!({"type": 4, "invocationId": "1", "target": "Large", "arguments": []});
    client.send(format!("{HANDSHAKE}{large}\u{1e}")).await;
    let other = HubConnection::builder(&url).build().expect("a connection");
    other.start().await.expect("it starts");
    let mut before = usize::MAX;
    in_time(async {
        while asked.load(Ordering::SeqCst) == 0 || before != asked.load(Ordering::SeqCst) {
            before = asked.load(Ordering::SeqCst);
            other.invoke::<String>("Slow", (200,)).await.expect("an answer");
        }
    })
    .await;
    assert!(before < 100, "{before} items of 10 KB were asked for");
    other.stop().await;
}
