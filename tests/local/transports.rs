//! The local service's Server-Sent Events and long polling, request by request.
#![cfg(feature = "local")]

use std::time::{Duration, Instant};

use crate::wire::{KEY, Wire, client_token, now, sign, user_token};
use hubwire::local::LocalService;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

const HANDSHAKE: &str = "{\"protocol\":\"json\",\"version\":1}\u{1e}";
const EVENTS: (&str, &str) = ("accept", "text/event-stream");

async fn start() -> Wire {
    Wire::start(LocalService::builder()).await
}

/// A negotiated connection without a WebSocket.
struct Connection<'w> {
    wire: &'w Wire,
    token: String,
    path: String,
}

impl<'w> Connection<'w> {
    async fn negotiate(wire: &'w Wire, token: String) -> Self {
        let answer: Value = wire.negotiate("chat", &token).await.json().await.unwrap();
        let path = format!("/client/?hub=chat&id={}", answer["connectionToken"].as_str().unwrap());
        Self { wire, token, path }
    }

    /// A connection of long polls after its handshake.
    async fn polling(wire: &'w Wire, token: String) -> Self {
        let connection = Self::negotiate(wire, token).await;
        assert_eq!(connection.poll().await, (200, String::new()), "the first poll");
        assert_eq!(connection.post(HANDSHAKE).await, 200);
        assert_eq!(connection.poll().await, (200, "{}\u{1e}".to_owned()));
        connection
    }

    fn request(&self, method: Method) -> reqwest::RequestBuilder {
        self.wire.request(method, &self.path).bearer_auth(&self.token)
    }

    async fn poll(&self) -> (u16, String) {
        let response = self.request(Method::GET).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    async fn post(&self, body: impl Into<reqwest::Body>) -> u16 {
        self.request(Method::POST).body(body).send().await.unwrap().status().as_u16()
    }

    async fn events(&self) -> Events {
        let response = self.request(Method::GET).header(EVENTS.0, EVENTS.1).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Events { response, text: String::new() }
    }
}

struct Events {
    response: Response,
    text: String,
}

impl Events {
    /// The next event as it is written, or `None` at the end.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\r\n\r\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(event);
            }
            let chunk = self.response.chunk().await.unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

#[tokio::test]
async fn polls_bring_messages_and_the_end() {
    let wire = start().await;
    let connection = Connection::polling(&wire, user_token("alice")).await;
    let sending = wire.send("/api/hubs/chat/users/alice/:send", "m", json!([1]));
    let (polled, ()) = tokio::join!(connection.poll(), sending);
    let message = "{\"type\":1,\"target\":\"m\",\"arguments\":[1]}\u{1e}";
    assert_eq!(polled, (200, message.to_owned()));

    let call = "{\"type\":1,\"invocationId\":\"1\",\"target\":\"Add\",\"arguments\":[]}\u{1e}";
    assert_eq!(connection.post(call).await, 200);
    assert!(connection.poll().await.1.contains("no upstream"));

    let path = "/api/hubs/chat/users/alice/:closeConnections?reason=enough";
    let (polled, closed) = tokio::join!(connection.poll(), wire.status(Method::POST, path));
    assert_eq!(closed.0, 204);
    assert_eq!(polled, (200, "{\"type\":7,\"error\":\"enough\",\"allowReconnect\":true}\u{1e}".to_owned()));
    assert_eq!(connection.poll().await, (204, String::new()));
}

#[tokio::test]
async fn polls_last_as_long_as_the_token_says() {
    let wire = start().await;
    let token = client_token("chat", json!({ "asrs.s.uid": "alice", "asrs.s.ttl": "1" }));
    let connection = Connection::polling(&wire, token).await;
    let begun = Instant::now();
    assert_eq!(connection.poll().await, (200, String::new()));
    assert!((0.9..4.0).contains(&begun.elapsed().as_secs_f64()), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_client_that_leaves_is_gone() {
    let wire = start().await;
    let connection = Connection::polling(&wire, user_token("alice")).await;
    let leaving = async { connection.request(Method::DELETE).send().await.unwrap().status() };
    let (polled, left) = tokio::join!(connection.poll(), leaving);
    assert_eq!((polled.0, left.as_u16()), (204, 202));
    let gone = (404, Some("Warning.User.NotExisted".to_owned()));
    assert_eq!(wire.status(Method::HEAD, "/api/hubs/chat/users/alice").await, gone);
    for method in [Method::GET, Method::POST, Method::DELETE] {
        assert_eq!(connection.request(method.clone()).send().await.unwrap().status(), 404, "{method}");
    }
}

#[tokio::test]
async fn who_polls_needs_no_pings_and_who_does_not_poll_is_given_up() {
    let timeouts = LocalService::builder()
        .keep_alive_interval(Duration::from_millis(20))
        .client_timeout(Duration::from_millis(400));
    let wire = Wire::start(timeouts).await;
    let token = client_token("chat", json!({ "asrs.s.uid": "alice", "asrs.s.ttl": "1" }));
    let connection = Connection::polling(&wire, token).await;
    // Longer than the timeout, and without pings of either side.
    for _ in 0..2 {
        assert_eq!(connection.poll().await, (200, String::new()));
    }
    let exists = || wire.status(Method::HEAD, "/api/hubs/chat/users/alice");
    assert_eq!(exists().await.0, 200);
    let begun = Instant::now();
    while exists().await.0 == 200 {
        assert!(begun.elapsed() < Duration::from_secs(5), "it stays for ever");
    }
    assert!(begun.elapsed() > Duration::from_millis(200), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn events_carry_messages_and_end_with_the_connection() {
    let wire = start().await;
    let connection = Connection::negotiate(&wire, user_token("alice")).await;
    let mut events = connection.events().await;
    assert_eq!(connection.post(HANDSHAKE).await, 200);
    assert_eq!(events.next().await.as_deref(), Some("data: {}\u{1e}"));
    // Line breaks between the tokens of a sender's JSON end lines, and are put together again by the reader.
    let body = "{\"target\":\"m\",\"arguments\":[1,\n2]}";
    let path = "/api/hubs/chat/:send";
    let claims = json!({ "aud": format!("http://127.0.0.1{path}"), "exp": now() + 60 });
    let request = wire.request(Method::POST, &format!("{path}?api-version=2024-12-01"));
    let request = request.bearer_auth(sign(KEY, None, &claims)).header("content-type", "application/json");
    assert_eq!(request.body(body).send().await.unwrap().status(), 202);
    let event = "data: {\"type\":1,\"target\":\"m\",\"arguments\":[1,\r\ndata: 2]}\u{1e}";
    assert_eq!(events.next().await.as_deref(), Some(event));

    // One stream each, and a stream is not polled.
    let again = connection.request(Method::GET).header(EVENTS.0, EVENTS.1).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::CONFLICT);
    assert_eq!(connection.poll().await.0, 409);

    assert_eq!(wire.status(Method::POST, "/api/hubs/chat/:closeConnections").await.0, 204);
    assert_eq!(events.next().await.as_deref(), Some("data: {\"type\":7,\"allowReconnect\":true}\u{1e}"));
    // A client that is refused before it has read the last message tells its user of that.
    for _ in 0..3 {
        assert_eq!(connection.post("{\"type\":6}\u{1e}").await, 200);
    }
    drop(events);
    let begun = Instant::now();
    while connection.post("{\"type\":6}\u{1e}").await != 404 {
        assert!(begun.elapsed() < Duration::from_secs(4), "it is not seen to have gone");
    }
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_the_connection() {
    let wire = start().await;
    let connection = Connection::negotiate(&wire, user_token("alice")).await;
    let mut events = connection.events().await;
    assert_eq!(connection.post(HANDSHAKE).await, 200);
    assert!(events.next().await.is_some());
    let exists = || wire.status(Method::HEAD, "/api/hubs/chat/users/alice");
    assert_eq!(exists().await.0, 200);
    drop(events);
    let begun = Instant::now();
    while exists().await.0 == 200 {
        assert!(begun.elapsed() < Duration::from_secs(5), "it stays for ever");
    }
}

#[tokio::test]
async fn events_are_for_text() {
    let wire = start().await;
    let connection = Connection::negotiate(&wire, user_token("alice")).await;
    let mut events = connection.events().await;
    assert_eq!(connection.post("{\"protocol\":\"messagepack\",\"version\":1}\u{1e}").await, 200);
    assert!(events.next().await.unwrap().contains("needs a transport for bytes"));
    // It ends for clients as well that do not end it.
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn every_request_needs_a_good_token_of_the_same_user() {
    let wire = start().await;
    let mut connection = Connection::polling(&wire, user_token("alice")).await;
    let audience = "http://127.0.0.1/client/?hub=chat";
    let expired = json!({ "aud": audience, "exp": now() - 1, "asrs.s.uid": "alice" });
    for (token, status) in [(sign(KEY, None, &expired), 401), (user_token("bob"), 404)] {
        connection.token = token;
        for method in [Method::GET, Method::POST, Method::DELETE] {
            let refused = connection.request(method.clone()).send().await.unwrap();
            assert_eq!(refused.status().as_u16(), status, "{method}");
        }
    }
    connection.token = user_token("alice");
    assert_eq!(connection.post("{\"type\":6}\u{1e}").await, 200);

    // Without negotiation there is nothing that requests could belong to.
    let nothing =
        Connection { wire: &wire, token: user_token("alice"), path: "/client/?hub=chat".to_owned() };
    for method in [Method::GET, Method::POST, Method::DELETE] {
        assert_eq!(nothing.request(method).send().await.unwrap().status(), StatusCode::BAD_REQUEST);
    }
    let masked = client_token("chat", json!({ "asrs.s.htt": "1" }));
    let masked = Connection::negotiate(&wire, masked).await;
    assert_eq!(masked.poll().await.0, 400);
    let events = masked.request(Method::GET).header(EVENTS.0, EVENTS.1).send().await.unwrap();
    assert!(events.text().await.unwrap().contains("asrs.s.htt"));
}

#[tokio::test]
async fn what_a_client_sends_is_bounded() {
    let wire = start().await;
    let connection = Connection::polling(&wire, user_token("alice")).await;
    assert_eq!(connection.post(vec![b'x'; 1024 * 1024 + 1]).await, 413);
    assert_eq!(connection.post(vec![b'x'; 1024 * 1024]).await, 200);
    assert_eq!(connection.post("x").await, 200);
    let (status, closed) = connection.poll().await;
    assert!(status == 200 && closed.contains("more than 1048576 bytes"), "{closed}");
}

#[tokio::test]
async fn stopping_says_goodbye() {
    let wire = start().await;
    let mut events = {
        let connection = Connection::negotiate(&wire, user_token("alice")).await;
        let events = connection.events().await;
        assert_eq!(connection.post(HANDSHAKE).await, 200);
        events
    };
    assert_eq!(events.next().await.as_deref(), Some("data: {}\u{1e}"));
    let reading = async {
        assert_eq!(events.next().await.as_deref(), Some("data: {\"type\":7,\"allowReconnect\":true}\u{1e}"));
        drop(events);
    };
    tokio::join!(wire.local.stop(), reading);
}
