//! The local service's client endpoint: negotiation, the WebSocket, and how connections end.
#![cfg(feature = "local")]

use std::time::Duration;

use crate::wire::{KEY, Socket, Wire, client_token, now, sign, user_token};
use hubwire::local::LocalService;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

async fn start() -> Wire {
    Wire::start(LocalService::builder()).await
}

#[tokio::test]
async fn negotiation_answers_by_version() {
    let wire = start().await;
    let token = user_token("alice");
    let answer: Value = wire.negotiate("Chat", &token).await.json().await.unwrap();
    assert_eq!(answer["negotiateVersion"], 1);
    assert_ne!(answer["connectionId"], answer["connectionToken"]);
    let transports = json!([
        { "transport": "WebSockets", "transferFormats": ["Text", "Binary"] },
        { "transport": "ServerSentEvents", "transferFormats": ["Text"] },
        { "transport": "LongPolling", "transferFormats": ["Text", "Binary"] },
    ]);
    assert_eq!(answer["availableTransports"], transports);

    let path = format!("/client/negotiate?hub=chat&access_token={token}");
    let answer: Value = wire.request(Method::POST, &path).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["negotiateVersion"], 0);
    assert!(answer.get("connectionToken").is_none());
    let id = answer["connectionId"].as_str().unwrap();
    let mut socket = wire.open(&format!("hub=chat&id={id}&access_token={token}")).await.unwrap();
    socket.handshake().await;
    assert_eq!(wire.status(Method::HEAD, &format!("/api/hubs/chat/connections/{id}")).await.0, 200);
}

#[tokio::test]
async fn the_transport_mask_is_respected() {
    let wire = start().await;
    let token = client_token("chat", json!({ "asrs.s.htt": "6" }));
    let answer: Value = wire.negotiate("chat", &token).await.json().await.unwrap();
    let names: Vec<_> =
        answer["availableTransports"].as_array().unwrap().iter().map(|t| &t["transport"]).collect();
    assert_eq!(names, ["ServerSentEvents", "LongPolling"]);
    let refused = wire.open(&format!("hub=chat&access_token={token}")).await.err().unwrap();
    assert!(refused.0 == 400 && refused.1.contains("asrs.s.htt"), "{refused:?}");
}

#[tokio::test]
async fn a_refused_token_says_why() {
    let wire = start().await;
    let audience = "http://127.0.0.1/client/?hub=chat";
    let claims = |audience: &str, expiry: u64| json!({ "aud": audience, "exp": expiry });
    let good = claims(audience, now() + 60);
    for (token, reason) in [
        (sign("wrong", None, &good), "the signature of the token is wrong"),
        (sign("wrong", Some("id"), &good), "the signature key was not found"),
        (sign(KEY, None, &claims(audience, now() - 1)), "the token has expired"),
        (sign(KEY, None, &json!({ "aud": audience })), "the token has no expiry"),
        (sign(KEY, None, &claims("http://127.0.0.1/client/?hub=other", now() + 60)), "another audience"),
        (sign(KEY, None, &claims("http://127.0.0.1/client/?hub=Chat", now() + 60)), "another audience"),
        (sign(KEY, None, &claims("http://example.com/client/?hub=chat", now() + 60)), "another audience"),
        (sign(KEY, None, &json!({ "exp": now() + 60 })), "another audience"),
        ("text".to_owned(), "not a JSON Web Token"),
    ] {
        let response = wire.negotiate("chat", &token).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{reason}");
        let challenge = response.headers()["www-authenticate"].to_str().unwrap().to_owned();
        let text = response.text().await.unwrap();
        assert!(text.contains(reason) && text.contains("/client/?hub=chat"), "{text}");
        assert_eq!(challenge, format!("Bearer error=\"invalid_token\", error_description=\"{text}\""));
        assert!(!text.contains(&token), "{text}");

        let refused = wire.open(&format!("hub=chat&access_token={token}")).await.err().unwrap();
        assert_eq!(refused, (401, text));
    }
    for port in ["", ":1", ":8888"] {
        let token = sign(KEY, None, &claims(&format!("http://localhost{port}/client?hub=chat"), now() + 60));
        assert_eq!(wire.negotiate("chat", &token).await.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn negotiation_refuses_what_it_can_not_use() {
    let wire = start().await;
    let token = user_token("alice");
    for query in ["", "hub=", "hub=chat&hub=chat", "hub=chat&hub=other", "hub=1chat", "hub=a%2Fb"] {
        let request = wire.request(Method::POST, &format!("/client/negotiate?{query}")).bearer_auth(&token);
        assert_eq!(request.send().await.unwrap().status(), StatusCode::BAD_REQUEST, "{query}");
        let refused = wire.open(&format!("{query}&access_token={token}")).await.err().unwrap();
        assert_eq!(refused.0, 400, "{query}");
    }
    let response = wire.request(Method::POST, "/client/negotiate?hub=chat").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(response.headers()["www-authenticate"], "Bearer");
    let long = client_token("chat", json!({ "x": "y".repeat(4096) }));
    assert_eq!(wire.negotiate("chat", &long).await.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let response = wire.request(Method::GET, "/client/negotiate?hub=chat").bearer_auth(&token).send().await;
    assert_eq!(response.unwrap().status(), StatusCode::METHOD_NOT_ALLOWED);
    let response = wire.request(Method::GET, "/client/?hub=chat").bearer_auth(&token).send().await;
    assert_eq!(response.unwrap().status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_connection_token_opens_one_socket() {
    let wire = start().await;
    let token = user_token("alice");
    let answer: Value = wire.negotiate("chat", &token).await.json().await.unwrap();
    let id = answer["connectionToken"].as_str().unwrap();
    let query = format!("hub=chat&id={id}&access_token={token}");

    let other = wire.open(&format!("hub=chat&id={id}&access_token={}", user_token("bob"))).await;
    assert_eq!(other.err().unwrap().0, 404);
    let mut socket = wire.open(&query).await.unwrap();
    socket.handshake().await;
    assert_eq!(wire.open(&query).await.err().unwrap().0, 409);
    socket.leave().await;
    assert_eq!(wire.open(&query).await.err().unwrap().0, 404);
    let unknown = wire.open(&format!("hub=chat&id=unknown&access_token={token}")).await;
    assert_eq!(unknown.err().unwrap().0, 404);
}

#[tokio::test]
async fn a_client_with_a_token_need_not_negotiate() {
    let wire = start().await;
    let mut socket = wire.open(&format!("hub=chat&access_token={}", user_token("alice"))).await.unwrap();
    socket.handshake().await;
    wire.send("/api/hubs/chat/users/alice/:send", "m", json!([])).await;
    assert_eq!(socket.target().await, "m");
}

#[tokio::test]
async fn a_bad_handshake_gets_an_error() {
    let wire = start().await;
    for (request, reason) in [
        (
            r#"{"protocol":"xml","version":1}"#,
            "'xml' is not supported. The server speaks 'json' and 'messagepack'.",
        ),
        (r#"{"protocol":"json","version":3}"#, "does not support version 3 of the 'json' protocol"),
        (r#"{"type":6}"#, "`protocol` is missing"),
        ("hello", "malformed"),
    ] {
        let mut socket = wire.open(&format!("hub=chat&access_token={}", user_token("alice"))).await.unwrap();
        socket.send(&[request]).await;
        let response: Value = serde_json::from_str(&socket.record().await.unwrap()).unwrap();
        assert!(response["error"].as_str().unwrap().contains(reason), "{response}");
        assert_eq!(socket.record().await, None);
    }
}

#[tokio::test]
async fn a_handshake_in_pieces_with_messages_behind_it_is_read() {
    let wire = start().await;
    let mut socket = wire.open(&format!("hub=chat&access_token={}", user_token("alice"))).await.unwrap();
    socket.send_text("{\"protocol\":\"json\",").await;
    let call = r#"{"type":1,"invocationId":"7","target":"Add","arguments":[1]}"#;
    socket.send_text(&format!("\"version\":1}}\u{1e}{call}\u{1e}{}", &call[..9])).await;
    assert_eq!(socket.record().await.as_deref(), Some("{}"));
    assert_eq!(socket.message().await.unwrap()["invocationId"], "7");
    socket.send_text(&format!("{}\u{1e}", &call[9..])).await;
    assert_eq!(socket.message().await.unwrap()["invocationId"], "7");
}

#[tokio::test]
async fn an_invocation_is_answered_with_an_error() {
    let wire = start().await;
    let mut socket = wire.connect_user("alice").await;
    socket
        .send(&[
            r#"{"type":1,"target":"Quietly","arguments":[]}"#,
            r#"{"type":6}"#,
            r#"{"type":1,"invocationId":"1","target":"Add","arguments":[1,2]}"#,
            r#"{"type":4,"invocationId":"2","target":"Count","arguments":[]}"#,
            r#"{"type":5,"invocationId":"2"}"#,
            r#"{"type":99}"#,
        ])
        .await;
    for id in ["1", "2"] {
        let completion = socket.message().await.unwrap();
        assert_eq!((&completion["type"], completion["invocationId"].as_str()), (&json!(3), Some(id)));
        assert!(completion["error"].as_str().unwrap().contains("no upstream"), "{completion}");
    }
    wire.send("/api/hubs/chat/:send", "still there", json!([])).await;
    assert_eq!(socket.target().await, "still there");
}

#[tokio::test]
async fn a_malformed_message_closes_the_connection() {
    let wire = start().await;
    for (record, reason) in [
        ("nonsense", "malformed JSON"),
        (r#"{"type":1,"arguments":[]}"#, "`target` is missing"),
        (&"x".repeat(1024 * 1024 + 1), "more than 1048576 bytes"),
    ] {
        let mut socket = wire.connect_user("alice").await;
        socket.send(&[record]).await;
        let (error, allow_reconnect) = socket.closed().await;
        assert!(error.as_ref().unwrap().contains(reason), "{error:?}");
        assert!(allow_reconnect, "as in ASP.NET Core");
    }
}

#[tokio::test]
async fn a_client_that_closes_is_let_go() {
    let wire = start().await;
    let mut socket = wire.connect_user("alice").await;
    socket.send(&[r#"{"type":7}"#]).await;
    assert_eq!(socket.record().await, None);
    let exists = || wire.status(Method::HEAD, "/api/hubs/chat/users/alice");
    assert_eq!(exists().await, (404, Some("Warning.User.NotExisted".to_owned())));
}

#[tokio::test]
async fn silence_is_broken_by_pings_and_ended_by_the_timeout() {
    let timeouts = LocalService::builder()
        .keep_alive_interval(Duration::from_millis(30))
        .client_timeout(Duration::from_millis(400));
    let wire = Wire::start(timeouts).await;
    let mut socket = wire.connect_user("alice").await;
    for _ in 0..3 {
        assert_eq!(socket.record().await.as_deref(), Some(r#"{"type":6}"#));
    }
    let (error, allow_reconnect) = socket.closed().await;
    assert!(error.unwrap().contains("timeout") && allow_reconnect);
}

#[tokio::test]
async fn a_client_that_pings_stays() {
    let timeouts = LocalService::builder()
        .keep_alive_interval(Duration::from_millis(20))
        .client_timeout(Duration::from_millis(300));
    let wire = Wire::start(timeouts).await;
    let mut socket = wire.connect_user("alice").await;
    // Each of the service's pings is answered, for longer than the timeout.
    let start = std::time::Instant::now();
    while start.elapsed() < Duration::from_millis(700) {
        assert_eq!(socket.record().await.as_deref(), Some(r#"{"type":6}"#));
        socket.send(&[r#"{"type":6}"#]).await;
    }
    wire.send("/api/hubs/chat/:send", "m", json!([])).await;
    assert_eq!(socket.target().await, "m");
}

#[tokio::test]
async fn a_handshake_that_takes_too_long_ends() {
    let wire = Wire::start(LocalService::builder().handshake_timeout(Duration::from_millis(50))).await;
    let mut socket = wire.open(&format!("hub=chat&access_token={}", user_token("alice"))).await.unwrap();
    let response: Value = serde_json::from_str(&socket.record().await.unwrap()).unwrap();
    assert!(response["error"].as_str().unwrap().contains("too long"), "{response}");
    assert_eq!(socket.record().await, None);
}

#[tokio::test]
async fn stopping_and_dropping_close_every_connection() {
    for stop in [true, false] {
        let wire = start().await;
        let mut clients = [wire.connect_user("a").await, wire.connect_user("b").await];
        let token = user_token("c");
        let mut in_handshake = wire.open(&format!("hub=chat&access_token={token}")).await.unwrap();
        let local = wire.local;
        let port = local.port();
        let ending = async {
            if stop {
                local.stop().await;
                assert!(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err());
            } else {
                drop(local);
            }
        };
        let leaving = async {
            for client in &mut clients {
                assert_eq!(client.closed().await, (None, true));
            }
            assert_eq!(in_handshake.record().await, None);
        };
        tokio::join!(ending, leaving);
    }
}

#[tokio::test]
async fn stopping_does_not_wait_for_long() {
    let wire = start().await;
    let _silent = wire.connect_user("silent").await;
    let begun = std::time::Instant::now();
    wire.local.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let wire = start().await;
    let mut idle = wire.connect_user("idle").await;
    let mut reader = wire.connect_user("reader").await;
    let text = "x".repeat(1024 * 1000);
    let reading = async {
        // As many as it takes: kernel buffers and the queue of 16 MiB are filled before.
        loop {
            let sent = reader.target().await;
            if sent == "last" {
                return;
            }
        }
    };
    let sending = async {
        let mut sent = 0;
        while wire.status(Method::HEAD, "/api/hubs/chat/users/idle").await.0 == 200 {
            wire.send("/api/hubs/chat/:send", "m", json!([text])).await;
            sent += 1;
            assert!(sent < 100, "the queue has no bound");
        }
        wire.send("/api/hubs/chat/:send", "last", json!([])).await;
    };
    tokio::join!(reading, sending);
    // What was on its way arrives, the Close message does not.
    while let Some(message) = idle.message().await {
        assert_eq!(message["type"], 1);
    }
}

#[tokio::test]
async fn hubs_are_apart() {
    let wire = start().await;
    let mut chat = wire.connect_user("alice").await;
    let token = client_token("app_chat", json!({ "nameid": "alice" }));
    let mut other: Socket = wire.connect("app_chat", &token).await;
    wire.send("/api/hubs/Chat/users/alice/:send", "to chat", json!([])).await;
    wire.send("/api/hubs/Chat/users/alice/:send?application=App", "to app", json!([])).await;
    assert_eq!(chat.target().await, "to chat");
    assert_eq!(other.target().await, "to app");
}
