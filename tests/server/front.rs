//! What a hub bears before it knows a client, how it meets pages of other origins, and how it stops.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use hubwire::server::{Caller, Identity, Incoming};
use hubwire::{CallError, HubConnection, Transport, Upload};
use reqwest::{Client, Method, Response, header::HeaderMap};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::conformance_hub::{conformance_hub, in_time, serve};
use crate::hostile::http_client;

async fn negotiate(http: &Client, url: &str) -> Response {
    http.post(format!("{url}/negotiate?negotiateVersion=1")).send().await.unwrap()
}

async fn token(http: &Client, url: &str) -> String {
    let negotiated: Value = negotiate(http, url).await.json().await.unwrap();
    negotiated["connectionToken"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn there_are_no_more_connections_than_may_be() {
    let hub = conformance_hub().maximum_connections(2).build();
    let url = serve([("/hub", hub.clone())]).await + "/hub";
    let http = http_client();
    let waiting = token(&http, &url).await;
    let one = HubConnection::builder(&url).connect().await.unwrap();
    let two = hub.connect_in_memory(Identity::anonymous()).await.unwrap();
    for refused in
        [negotiate(&http, &url).await, http.get(format!("{url}?id={waiting}")).send().await.unwrap()]
    {
        assert_eq!(refused.status(), 503);
        assert_eq!(refused.headers()["retry-after"], "5");
        assert!(refused.text().await.unwrap().contains("as many connections as it may have"));
    }
    // Without a handshake a connection counts as well, and room is given back.
    one.stop().await;
    in_time(async {
        while http.get(format!("{url}?id={waiting}")).send().await.unwrap().status() != 200 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(negotiate(&http, &url).await.status(), 503);
    two.stop().await;
}

#[tokio::test]
async fn what_is_kept_for_a_client_is_bounded() {
    let url = serve([("/hub", conformance_hub().build())]).await + "/hub";
    let http = http_client();
    let long = http.post(format!("{url}/negotiate?x={}", "x".repeat(9_000))).send().await.unwrap();
    assert_eq!(long.status(), 414);
    let many = (0..50).fold(http.post(format!("{url}/negotiate")), |request, number| {
        request.header(format!("x-{number}"), "x".repeat(700))
    });
    assert_eq!(many.send().await.unwrap().status(), 431);
}

/// Bodies that never end, or come by drops: nobody waits for them for long, and one at a time is kept.
#[tokio::test]
async fn a_body_has_to_come() {
    let url = serve([("/hub", conformance_hub().build())]).await + "/hub";
    let (http, address) = (http_client(), url.trim_start_matches("http://").trim_end_matches("/hub"));
    let id = token(&http, &url).await;
    let post = async |id: &str, body: &[u8]| {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let head =
            format!("POST /hub?id={id} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 4000000\r\n\r\n");
        socket.write_all(head.as_bytes()).await.unwrap();
        socket.write_all(body).await.unwrap();
        socket
    };
    let status = async |mut socket: TcpStream| {
        let mut answer = [0; 12];
        socket.read_exact(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    };
    // Nothing is read for a connection that does not exist.
    assert_eq!(in_time(status(post("nobody's", b"").await)).await, "HTTP/1.1 404");
    assert_eq!(http.get(format!("{url}?id={id}")).send().await.unwrap().status(), 200);
    let begun = tokio::time::Instant::now();
    let (one, two) = (post(&id, b"{").await, post(&id, b"{").await);
    let (one, two) = in_time(async { tokio::join!(status(one), status(two)) }).await;
    assert_eq!((one.as_str(), two.as_str()), ("HTTP/1.1 408", "HTTP/1.1 408"));
    // The second was not read before the first was given up.
    assert!(begun.elapsed() >= Duration::from_secs(9), "{:?}", begun.elapsed());
}

/// Sockets that never shake hands take their places for a while only.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_without_handshakes_passes() {
    let hub =
        conformance_hub().handshake_timeout(Duration::from_millis(300)).maximum_connections(200).build();
    let url = serve([("/hub", hub)]).await + "/hub";
    let http = http_client();
    let upgrade = async || {
        let request = http.get(&url).header("Connection", "Upgrade").header("Upgrade", "websocket");
        let request = request.header("Sec-WebSocket-Version", "13");
        request.header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==").send().await.unwrap()
    };
    let mut open = Vec::new();
    for _ in 0..250 {
        open.push(upgrade().await);
    }
    assert!(open.iter().any(|answer| answer.status() == 101));
    in_time(async {
        loop {
            let honest = HubConnection::builder(&url).connect().await;
            if let Ok(honest) = honest {
                assert_eq!(honest.invoke::<i32>("Add", (1, 2)).await.unwrap(), 3);
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn pages_of_other_origins_are_let_in_or_not() {
    let hub = conformance_hub()
        .allow_origin("https://app.example.com")
        .unwrap()
        .allow_origin_if(|origin| origin.ends_with(".preview.example.com"))
        .build();
    let url = serve([("/hub", hub), ("/open", conformance_hub().build())]).await;
    let own = url.clone();
    let http = http_client();
    let ask = async |method: Method, path: &str, origin: Option<&str>| -> (u16, HeaderMap) {
        let request =
            http.request(method, format!("{url}{path}")).header("Access-Control-Request-Method", "POST");
        let request = request.header("Access-Control-Request-Headers", "x-signalr-user-agent");
        let request = origin.iter().fold(request, |request, origin| request.header("Origin", *origin));
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.headers().clone())
    };
    let negotiate = "/hub/negotiate?negotiateVersion=1";
    for origin in ["https://app.example.com", "https://a.preview.example.com"] {
        let (status, headers) = ask(Method::OPTIONS, negotiate, Some(origin)).await;
        assert_eq!(
            (status, &headers["access-control-allow-methods"]),
            (204, &"GET, POST, DELETE".parse().unwrap())
        );
        assert_eq!(headers["access-control-allow-headers"], "x-signalr-user-agent");
        for (status, headers) in [
            (status, headers),
            ask(Method::POST, negotiate, Some(origin)).await,
            ask(Method::GET, "/hub", Some(origin)).await,
        ] {
            assert!([204, 200, 400].contains(&status), "{status}");
            assert_eq!(headers["access-control-allow-origin"], origin);
            assert_eq!(headers["access-control-allow-credentials"], "true");
            assert_eq!(headers["vary"], "Origin");
        }
    }
    for origin in ["https://evil.example.com", "null", "http://app.example.com"] {
        for (method, path) in
            [(Method::OPTIONS, negotiate), (Method::POST, negotiate), (Method::GET, "/hub?id=x")]
        {
            let (status, headers) = ask(method, path, Some(origin)).await;
            assert_eq!((status, headers.get("access-control-allow-origin")), (403, None), "{origin}");
        }
    }
    assert_eq!(ask(Method::POST, negotiate, None).await.0, 200);
    assert_eq!(ask(Method::POST, negotiate, Some(&own)).await.0, 200);
    // A hub that says nothing of origins leaves them to others.
    let (status, headers) = ask(Method::POST, "/open/negotiate", Some("https://evil.example.com")).await;
    assert_eq!((status, headers.get("access-control-allow-origin"), headers.get("vary")), (200, None, None));
    assert_eq!(ask(Method::OPTIONS, "/open/negotiate", None).await.0, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_shuts_down_answers_what_is_asked() {
    let (begun, mut has_begun) = tokio::sync::mpsc::unbounded_channel();
    let told = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = told.clone();
    let hub = conformance_hub().on_disconnected(move |_| {
        let counter = counter.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    });
    let hub = hub.on("Begin", move |_: Caller, milliseconds: u64| {
        begun.send(()).unwrap();
        async move {
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            Ok("done")
        }
    });
    let hub = hub.build();
    let url = serve([("/hub", hub.clone())]).await + "/hub";
    let mut clients = Vec::new();
    for transport in [Transport::WebSockets, Transport::ServerSentEvents, Transport::LongPolling] {
        let client = HubConnection::builder(&url).with_transports(transport).connect().await.unwrap();
        let call = tokio::spawn({
            let client = client.clone();
            async move { client.invoke::<String>("Begin", (300,)).await }
        });
        in_time(has_begun.recv()).await;
        clients.push((client, call));
    }
    let idle = HubConnection::builder(&url).connect().await.unwrap();
    let uploading = hub.connect_in_memory(Identity::anonymous()).await.unwrap();
    let begun = Arc::new(tokio::sync::Notify::new());
    let begins = begun.clone();
    let numbers = stream::iter(1..=10_i64).then(move |number| {
        // The call is on its way.
        begins.notify_one();
        async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            number
        }
    });
    let upload = tokio::spawn({
        let uploading = uploading.clone();
        async move { uploading.invoke::<i64>("UploadSum", (Upload::new(numbers),)).await }
    });
    in_time(begun.notified()).await;
    uploading.invoke::<()>("Void", ()).await.unwrap();
    let stopping = tokio::spawn({
        let hub = hub.clone();
        async move { hub.shut_down_within(Duration::from_secs(20)).await }
    });
    in_time(idle.closed()).await;
    assert_eq!(negotiate(&http_client(), &url).await.status(), 503);
    for (client, call) in clients {
        assert_eq!(in_time(call).await.unwrap().unwrap(), "done");
        in_time(client.closed()).await;
    }
    assert_eq!(in_time(upload).await.unwrap().unwrap(), 55);
    in_time(stopping).await.unwrap();
    assert_eq!(told.load(std::sync::atomic::Ordering::SeqCst), 5);
    in_time(hub.shut_down()).await;
}

#[tokio::test]
async fn a_hub_does_not_wait_for_ever_when_it_shuts_down() {
    let hub = conformance_hub().build();
    let client = hub.connect_in_memory(Identity::anonymous()).await.unwrap();
    let mut endless = client.stream::<u32>("Counter", (u32::MAX, 1)).await.unwrap();
    endless.next().await.unwrap().unwrap();
    let begun = tokio::time::Instant::now();
    in_time(hub.shut_down_within(Duration::from_millis(300))).await;
    assert!(begun.elapsed() >= Duration::from_millis(300) && begun.elapsed() < Duration::from_secs(10));
    in_time(client.closed()).await;
    assert!(hub.connect_in_memory(Identity::anonymous()).await.is_err());
}

/// An upload whose method does not read it keeps nothing else of its client waiting, until there is too much of it.
#[tokio::test(flavor = "multi_thread")]
async fn an_unread_upload_keeps_nobody_waiting() {
    let (gate, open) = tokio::sync::watch::channel(false);
    let hub = conformance_hub()
        .maximum_parallel_invocations_per_client(2)
        .application_max_buffer_size(100_000)
        .on("Later", move |_: Caller, mut numbers: Incoming<u32>| {
            let mut open = open.clone();
            async move {
                open.wait_for(|open| *open).await?;
                let mut count = 0;
                while numbers.next().await.transpose()?.is_some() {
                    count += 1;
                }
                Ok(count)
            }
        })
        .build();
    let client = hub.connect_in_memory(Identity::anonymous()).await.unwrap();
    let upload = |count: u32| {
        let client = client.clone();
        let uploaded = Upload::new(stream::iter(0..count));
        tokio::spawn(async move { client.invoke::<u32>("Later", (uploaded,)).await })
    };
    let small = upload(100);
    for _ in 0..100 {
        assert_eq!(in_time(client.invoke::<i32>("Add", (1, 2))).await.unwrap(), 3);
    }
    let large = upload(100_000);
    let held = client.with_call_timeout(Duration::from_millis(500));
    in_time(async {
        loop {
            match held.invoke::<i32>("Add", (1, 2)).await {
                Ok(sum) => assert_eq!(sum, 3),
                Err(CallError::Timeout { .. }) => break,
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await;
    gate.send_replace(true);
    assert_eq!(in_time(small).await.unwrap().unwrap(), 100);
    assert_eq!(in_time(large).await.unwrap().unwrap(), 100_000);
    assert_eq!(in_time(client.invoke::<i32>("Add", (1, 2))).await.unwrap(), 3);
}
