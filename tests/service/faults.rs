//! What the REST API does when the network or the service fails: what is repeated, and that nothing leaks.
#![cfg(feature = "service")]

use std::{
    error::Error,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::capture::Capture;
use crate::fakes::{ACCESS_KEY, CLIENT_SECRET, Fake, Seen, TOKEN, all_well, reply};
use hubwire::{
    Proxy,
    service::{
        HubClient, RetryOptions, ServiceClient, ServiceClientBuilder, ServiceEndpoint, ServiceError,
        credentials::AccessKey,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const QUICK: Duration = Duration::from_millis(10);

fn builder(url: &str) -> ServiceClientBuilder {
    let endpoint = ServiceEndpoint::new(url, AccessKey::new(ACCESS_KEY)).unwrap();
    ServiceClient::builder().endpoint(endpoint).retry(RetryOptions::default().delay(QUICK))
}

fn hub(url: &str) -> HubClient {
    builder(url).build().unwrap().hub("chat").unwrap()
}

#[tokio::test]
async fn a_401_is_answered_with_a_new_token_and_the_message_goes_through_once() {
    let fake = Fake::start(|seen: &Seen| match (seen.path(), seen.nth) {
        ("/api/hubs/chat/:send", 1) => reply(401, ""),
        _ => all_well(seen),
    })
    .await;
    let hub = fake.entra_client().hub("chat").unwrap();
    hub.all().send("m", ("x",)).await.unwrap();
    let sent = fake.seen("/api/hubs/chat/:send");
    assert_eq!(sent.iter().map(Seen::bearer).collect::<Vec<_>>(), ["entra-token-1", "entra-token-2"]);
    hub.all().send("m", ("x",)).await.unwrap();
    assert_eq!((fake.count("/api/hubs/chat/:send"), fake.count(TOKEN)), (3, 2));
}

#[tokio::test]
async fn throttled_sends_wait_as_long_as_the_service_asks() {
    for (status, header, at_least) in [
        (429, Some("1"), Duration::from_secs(1)),
        (503, Some("1"), Duration::from_secs(1)),
        (503, Some("Thu, 01 Jan 2015 00:00:00 GMT"), Duration::ZERO),
        (429, None, QUICK / 2),
    ] {
        let fake = Fake::start(move |seen: &Seen| match (seen.nth, header) {
            (1, Some(text)) => reply(status, "").with("retry-after", text),
            (1, None) => reply(status, ""),
            _ => reply(202, ""),
        })
        .await;
        let started = std::time::Instant::now();
        hub(&fake.url).all().send("m", ()).await.unwrap();
        assert!(started.elapsed() >= at_least, "{status} {header:?}: {:?}", started.elapsed());
        assert_eq!(fake.all().len(), 2);
    }
    // Longer than the caller wants to wait: the error comes at once and has the time.
    let fake = Fake::start(|_: &Seen| reply(429, "").with("retry-after", "3600")).await;
    let error = hub(&fake.url).all().send("m", ()).await.expect_err("throttled");
    let retry_after = error.refusal().and_then(|refusal| refusal.retry_after());
    assert_eq!((retry_after, fake.all().len()), (Some(Duration::from_secs(3600)), 1));
    // A limit on the number.
    let fake = Fake::start(|_: &Seen| reply(503, "")).await;
    let error = hub(&fake.url).all().send("m", ()).await.expect_err("unavailable");
    assert_eq!((error.status(), fake.all().len()), (Some(503), 4));
}

#[tokio::test]
async fn what_may_have_been_carried_out_is_repeated_only_if_that_does_no_harm() {
    let fake = Fake::start(|seen: &Seen| match seen.nth {
        1..=2 => reply([500, 504][seen.nth - 1], ""),
        _ => reply(202, ""),
    })
    .await;
    let hub = hub(&fake.url);
    assert_eq!(hub.all().send("m", ()).await.expect_err("failed").status(), Some(500));
    assert_eq!(hub.all().close_connections(None).await.expect_err("failed").status(), Some(500));
    assert_eq!(fake.all().len(), 2);
    hub.group("g").add_connection("c").await.unwrap();
    assert_eq!(fake.all().len(), 5, "to change a group twice is to change it once");
}

/// A server that reads each request and cuts its connection, after some bytes of an answer, until it has done so
/// that many times.
async fn cutting(times: usize, answer: &'static str) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (url, count) = (format!("http://{}", listener.local_addr().unwrap()), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            read_head(&mut stream).await;
            let answer = if seen.fetch_add(1, Ordering::SeqCst) < times {
                answer
            } else {
                "HTTP/1.1 200 OK\r\nContent-Length: 12\r\nConnection: close\r\n\r\n{\"value\":[]}"
            };
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    (url, count)
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.unwrap() == 0 {
            break;
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

#[tokio::test]
async fn a_connection_that_breaks_off() {
    use futures_util::TryStreamExt;

    for answer in ["", "HTTP/1.1 200 OK\r\nContent-Le"] {
        let (url, count) = cutting(1, answer).await;
        let error = hub(&url).all().send("m", ()).await.expect_err("cut");
        assert!(matches!(error, ServiceError::Connection { .. }), "{error:?}");
        assert_eq!(count.load(Ordering::SeqCst), 1, "a message that may have arrived is not sent again");

        let (url, count) = cutting(2, answer).await;
        hub(&url).group("g").remove_connection("c").await.unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 3);
    }
    // In the middle of the body: a question is asked again, what was accepted is accepted.
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"value\":[";
    let (url, count) = cutting(1, half).await;
    let connections: Vec<_> = hub(&url).group("g").connections().try_collect().await.unwrap();
    assert_eq!((connections.len(), count.load(Ordering::SeqCst)), (0, 2));
    let (url, count) = cutting(1, half).await;
    hub(&url).all().send("m", ()).await.unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_send_is_repeated_when_nobody_could_have_got_it() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let hub = builder(&format!("http://{address}"))
        .retry(RetryOptions::default().max_retries(50).delay(QUICK).max_delay(QUICK))
        .build()
        .unwrap()
        .hub("chat")
        .unwrap();
    let sending = tokio::spawn(async move { hub.all().send("m", ()).await });
    let listener = TcpListener::bind(address).await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    read_head(&mut stream).await;
    stream.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    sending.await.unwrap().unwrap();
}

#[tokio::test]
async fn requests_under_way_are_limited_and_share_connections() {
    let open = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let counts = Arc::clone(&open);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let counts = Arc::clone(&counts);
            counts.2.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                while read_head(&mut stream).await.starts_with("PUT") {
                    let now = counts.0.fetch_add(1, Ordering::SeqCst) + 1;
                    counts.1.fetch_max(now, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    counts.0.fetch_sub(1, Ordering::SeqCst);
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
                }
            });
        }
    });
    let hub = builder(&url).max_concurrent_requests(2).build().unwrap().hub("chat").unwrap();
    let mut adding = tokio::task::JoinSet::new();
    for n in 0..50 {
        let hub = hub.clone();
        adding.spawn(async move { hub.group("g").add_connection(&n.to_string()).await });
    }
    for result in adding.join_all().await {
        result.unwrap();
    }
    assert!(open.1.load(Ordering::SeqCst) <= 2);
    let connections = open.2.load(Ordering::SeqCst);
    assert!(connections <= 10, "{connections} connections for 50 requests");
}

#[tokio::test]
async fn a_proxy_is_used_and_its_password_kept() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!("http://user:marked-password@{}", listener.local_addr().unwrap());
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        head
    });
    let builder = builder("https://contoso.service.signalr.net")
        .retry(RetryOptions::none())
        .proxy(Proxy::url(&proxy).unwrap());
    let mut output = format!("{builder:?}");
    let client = builder.build().unwrap();
    let error = client.hub("chat").unwrap().all().send("m", ()).await.expect_err("no way through");
    let asked = asked.await.unwrap();
    assert!(asked.starts_with("CONNECT contoso.service.signalr.net:443 "), "{asked}");
    // "user:marked-password" in base64.
    assert!(
        asked.to_ascii_lowercase().contains("proxy-authorization: basic dxnlcjptyxjrzwqtcgfzc3dvcmq="),
        "{asked}"
    );
    output.push_str(&format!("{client:?} {error} {error:?} {:?}", error.source()));
    assert!(!output.contains("marked-password") && !output.contains("dXNlcjptYXJrZWQ"), "{output}");
}

#[tokio::test]
async fn no_fault_gives_a_secret_away() {
    let capture = Capture::of_the_process();
    let tokens: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen_tokens = Arc::clone(&tokens);
    let fake = Fake::start(move |seen: &Seen| {
        if !seen.bearer().is_empty() {
            seen_tokens.lock().unwrap().push(seen.bearer().to_owned());
        }
        match seen.path() {
            TOKEN => all_well(seen),
            path if path.contains("connections") => reply(200, "not what was asked for"),
            // A server that echoes what it got.
            _ => reply([429, 500, 401, 503][seen.nth % 4], format!("{{\"message\":\"{}\"}}", seen.bearer())),
        }
    })
    .await;
    let endpoint = ServiceEndpoint::new(&fake.url, fake.client_secret()).unwrap();
    let quick = RetryOptions::default().delay(QUICK);
    let entra = ServiceClient::builder().endpoint(endpoint).retry(quick).build().unwrap();
    let mut output = String::new();
    for client in [entra, builder(&fake.url).build().unwrap()] {
        let hub = client.hub("chat").unwrap();
        let mut note = |error: ServiceError| {
            output.push_str(&format!("{error} {error:?} {:?}", error.source()));
        };
        for _ in 0..4 {
            note(hub.all().send("m", ("x",)).await.expect_err("a fault"));
            note(hub.user("u").exists().await.expect_err("a fault"));
        }
        note(hub.connection("c").invoke::<u8>("m", ()).await.expect_err("no JSON"));
        output.push_str(&format!(
            "{:?} {:?} {:?}",
            hub.all(),
            hub.connection("c"),
            hub.group("g").connections()
        ));
    }
    output.push_str(&String::from_utf8_lossy(&capture.0.lock().unwrap()));
    assert!(output.contains("the request is made again"));
    let tokens = tokens.lock().unwrap();
    assert!(tokens.len() > 20);
    for secret in tokens.iter().map(String::as_str).chain([ACCESS_KEY, CLIENT_SECRET]) {
        assert!(!output.contains(secret), "{secret}");
    }
}
