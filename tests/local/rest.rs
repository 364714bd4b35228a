//! The local service's REST API.
#![cfg(feature = "local")]

use crate::wire::{KEY, Socket, Wire, now, sign};
use hubwire::local::LocalService;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

async fn start() -> Wire {
    Wire::start(LocalService::builder()).await
}

/// Two connections of alice, one of bob.
async fn with_clients() -> (Wire, [Socket; 3]) {
    let wire = start().await;
    let clients = [
        wire.connect_user("alice").await,
        wire.connect_user("alice").await,
        wire.connect_user("bob/ü").await,
    ];
    (wire, clients)
}

/// Which clients got a message. A message to everybody follows it, so nobody has to wait for what does not come.
async fn receivers(wire: &Wire, clients: &mut [Socket; 3], path: &str) -> [bool; 3] {
    wire.send(path, "wanted", json!([])).await;
    wire.send("/api/hubs/chat/:send", "mark", json!([])).await;
    let mut got = [false; 3];
    for (client, got) in clients.iter_mut().zip(&mut got) {
        let first = client.target().await;
        if first == "wanted" {
            *got = true;
            assert_eq!(client.target().await, "mark");
        } else {
            assert_eq!(first, "mark");
        }
    }
    got
}

#[tokio::test]
async fn messages_reach_all_users_and_connections() {
    let (wire, mut clients) = with_clients().await;
    let [a1, a2, b] = [0, 1, 2].map(|n: usize| clients[n].id.clone());
    for (path, expected) in [
        ("/api/hubs/chat/:send".to_owned(), [true; 3]),
        ("/api/hubs/CHAT/:send".to_owned(), [true; 3]),
        (format!("/api/hubs/chat/:send?excluded={a1}&excluded={b}"), [false, true, false]),
        ("/api/hubs/chat/users/alice/:send".to_owned(), [true, true, false]),
        ("/api/hubs/chat/users/bob%2F%C3%BC/:send".to_owned(), [false, false, true]),
        ("/api/hubs/chat/users/nobody/:send".to_owned(), [false; 3]),
        (format!("/api/hubs/chat/connections/{a2}/:send"), [false, true, false]),
        ("/api/hubs/chat/connections/nobody/:send".to_owned(), [false; 3]),
        ("/api/hubs/other/:send".to_owned(), [false; 3]),
        ("/api/v1/hubs/chat".to_owned(), [true; 3]),
        (format!("/api/v1/hubs/chat?excluded={a1}"), [false, true, true]),
        ("/api/v1/hubs/chat/users/alice".to_owned(), [true, true, false]),
        (format!("/api/v1/hubs/chat/connections/{b}"), [false, false, true]),
    ] {
        assert_eq!(receivers(&wire, &mut clients, &path).await, expected, "{path}");
    }
}

#[tokio::test]
async fn arguments_arrive_as_they_were_sent() {
    let (wire, mut clients) = with_clients().await;
    let arguments =
        json!(["a\"\\\u{1e}ü", 1.5, null, { "nested": [true, { "x": [] }] }, 5, 6, 7, 8, 9, 10, 11]);
    wire.send("/api/hubs/chat/:send", "m \"ü\"", arguments.clone()).await;
    for client in &mut clients {
        let message = client.message().await.unwrap();
        assert_eq!(message, json!({ "type": 1, "target": "m \"ü\"", "arguments": arguments }));
    }
    let body = json!({ "Target": "pascal", "Arguments": [1] });
    let response = wire.rest(Method::POST, "/api/hubs/chat/:send", Some(body)).await;
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    assert_eq!(clients[0].message().await.unwrap()["arguments"], json!([1]));
}

#[tokio::test]
async fn connections_are_in_groups() {
    let (wire, mut clients) = with_clients().await;
    let [a1, _, b] = [0, 1, 2].map(|n: usize| clients[n].id.clone());
    let group = "/api/hubs/chat/groups/g%20%2F1";
    let send = format!("{group}/:send");
    assert_eq!(wire.status(Method::HEAD, group).await, (404, Some("Warning.Group.NotExisted".to_owned())));
    let missing = wire.status(Method::PUT, &format!("{group}/connections/nobody")).await;
    assert_eq!(missing, (404, Some("Error.Connection.NotExisted".to_owned())));
    for id in [&a1, &b] {
        assert_eq!(wire.status(Method::PUT, &format!("{group}/connections/{id}")).await, (200, None));
    }
    assert_eq!(wire.status(Method::HEAD, group).await, (200, None));
    assert_eq!(receivers(&wire, &mut clients, &send).await, [true, false, true]);
    let excluding = format!("{send}?excluded={a1}");
    assert_eq!(receivers(&wire, &mut clients, &excluding).await, [false, false, true]);
    assert_eq!(
        receivers(&wire, &mut clients, "/api/v1/hubs/chat/groups/g%20%2F1").await,
        [true, false, true]
    );

    assert_eq!(wire.status(Method::DELETE, &format!("{group}/connections/{a1}")).await, (200, None));
    assert_eq!(receivers(&wire, &mut clients, &send).await, [false, false, true]);
    let all = format!("/api/hubs/chat/connections/{b}/groups");
    assert_eq!(wire.status(Method::DELETE, &all).await, (200, None));
    assert_eq!(wire.status(Method::HEAD, group).await.0, 404);
}

#[tokio::test]
async fn users_are_in_groups_with_the_connections_to_come() {
    let (wire, mut clients) = with_clients().await;
    let member = "/api/hubs/chat/users/alice/groups/g";
    let send = "/api/hubs/chat/groups/g/:send";
    assert_eq!(wire.status(Method::HEAD, member).await, (404, Some("Info.User.NotInGroup".to_owned())));
    assert_eq!(wire.status(Method::PUT, member).await, (200, None));
    assert_eq!(wire.status(Method::HEAD, member).await, (200, None));
    assert_eq!(receivers(&wire, &mut clients, send).await, [true, true, false]);

    let mut late = wire.connect_user("alice").await;
    assert_eq!(receivers(&wire, &mut clients, send).await, [true, true, false]);
    assert_eq!((late.target().await, late.target().await), ("wanted".to_owned(), "mark".to_owned()));

    assert_eq!(wire.status(Method::DELETE, member).await, (204, None));
    assert_eq!(receivers(&wire, &mut clients, send).await, [false; 3]);
    assert_eq!(late.target().await, "mark");

    // Only for the connections of today.
    assert_eq!(wire.status(Method::PUT, &format!("{member}?ttl=0")).await, (200, None));
    assert_eq!(wire.status(Method::PUT, &format!("{member}?ttl=-1")).await.0, 400);
    let mut later = wire.connect_user("alice").await;
    assert_eq!(receivers(&wire, &mut clients, send).await, [true, true, false]);
    assert_eq!(later.target().await, "mark");
    assert_eq!(wire.status(Method::DELETE, "/api/hubs/chat/users/alice/groups").await, (204, None));
    assert_eq!(receivers(&wire, &mut clients, send).await, [false; 3]);

    let v1 = "/api/v1/hubs/chat/groups/g/users/alice";
    assert_eq!(wire.status(Method::PUT, &format!("{v1}?ttl=60")).await, (202, None));
    assert_eq!(wire.status(Method::GET, v1).await, (200, None));
    assert_eq!(wire.status(Method::DELETE, v1).await, (202, None));
    assert_eq!(wire.status(Method::GET, v1).await.0, 404);
}

#[tokio::test]
async fn what_exists_is_found_and_what_does_not_is_told_by_code() {
    let (wire, clients) = with_clients().await;
    let id = &clients[0].id;
    for (path, missing, code) in [
        (format!("connections/{id}"), "connections/nobody", "Warning.Connection.NotExisted"),
        ("users/alice".to_owned(), "users/Alice", "Warning.User.NotExisted"),
    ] {
        for (base, methods) in [("hubs", vec![Method::HEAD]), ("v1/hubs", vec![Method::HEAD, Method::GET])] {
            for method in methods {
                let ask = |path: &str| format!("/api/{base}/chat/{path}");
                assert_eq!(wire.status(method.clone(), &ask(&path)).await, (200, None));
                let answer = wire.status(method, &ask(missing)).await;
                assert_eq!(answer, (404, Some(code.to_owned())));
            }
        }
    }
    // A wrong address is no answer to the question.
    assert_eq!(wire.status(Method::HEAD, "/api/hubs/chat/things/1").await, (404, None));
    assert_eq!(wire.request(Method::HEAD, "/api/health").send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(wire.request(Method::HEAD, "/api/v1/health").send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn connections_are_closed_with_a_reason() {
    let (wire, [mut a1, mut a2, mut b]) = with_clients().await;
    let path = format!("/api/hubs/chat/connections/{}", a1.id);
    assert_eq!(wire.status(Method::DELETE, &format!("{path}?reason=too%20loud")).await, (200, None));
    assert_eq!(a1.closed().await, (Some("too loud".to_owned()), true));
    let gone = wire.status(Method::DELETE, &path).await;
    assert_eq!(gone, (404, Some("Warning.Connection.NotExisted".to_owned())));

    let users = format!("/api/hubs/chat/users/alice/:closeConnections?excluded={}", a2.id);
    assert_eq!(wire.status(Method::POST, &users).await, (204, None));
    let mut third = wire.connect_user("alice").await;
    let all = format!("/api/hubs/chat/:closeConnections?excluded={}", a2.id);
    assert_eq!(wire.status(Method::POST, &all).await, (204, None));
    assert_eq!(third.closed().await, (None, true));
    assert_eq!(b.closed().await, (None, true));
    wire.send("/api/hubs/chat/:send", "m", json!([])).await;
    assert_eq!(a2.target().await, "m");

    wire.status(Method::PUT, &format!("/api/hubs/chat/groups/g/connections/{}", a2.id)).await;
    assert_eq!(wire.status(Method::POST, "/api/hubs/chat/groups/g/:closeConnections?reason=x").await.0, 204);
    assert_eq!(a2.closed().await, (Some("x".to_owned()), true));
}

#[tokio::test]
async fn tokens_are_checked() {
    let wire = start().await;
    let path = "/api/hubs/chat/:send";
    let body = json!({ "target": "m" });
    let audience = |audience: &str| json!({ "aud": audience, "exp": now() + 60 });
    let right = format!("http://127.0.0.1{path}");
    for (token, status) in [
        (sign(KEY, None, &audience(&right)), 202),
        (sign(KEY, Some("-123456"), &audience(&format!("{right}?api-version=2024-12-01"))), 202),
        (sign(KEY, None, &audience(&format!("http://localhost:1234/base{path}/"))), 202),
        (sign(KEY, None, &audience("http://127.0.0.1/api/hubs/other/:send")), 401),
        (sign(KEY, None, &audience("http://127.0.0.1/client/?hub=chat")), 401),
        (sign(KEY, None, &audience(&format!("http://example.com{path}"))), 401),
        (sign("wrong", None, &audience(&right)), 401),
        (sign(KEY, None, &json!({ "aud": right, "exp": now() - 1 })), 401),
        ("x".to_owned(), 401),
    ] {
        let response = wire.rest_with(&token, Method::POST, path, Some(body.clone())).await;
        assert_eq!(response.status().as_u16(), status, "{}", response.text().await.unwrap());
    }
    let response = wire.request(Method::POST, path).json(&body).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let error: Value = response.json().await.unwrap();
    assert_eq!(error["code"], "Unauthorized");
}

#[tokio::test]
async fn wrong_requests_are_told_what_is_wrong() {
    let wire = start().await;
    let path = "/api/hubs/chat/:send";
    for (body, target) in [
        (json!([]), "body"),
        (json!({ "arguments": [] }), "target"),
        (json!({ "target": "m", "arguments": "x" }), "arguments"),
    ] {
        let response = wire.rest(Method::POST, path, Some(body)).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let error: Value = response.json().await.unwrap();
        assert_eq!((error["code"].as_str(), error["target"].as_str()), (Some("BadRequest"), Some(target)));
    }
    let large = json!({ "target": "m", "arguments": ["x".repeat(1024 * 1024)] });
    let response = wire.rest(Method::POST, path, Some(large)).await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(response.json::<Value>().await.unwrap()["code"], "PayloadTooLarge");

    let token = sign(KEY, None, &json!({ "aud": format!("http://127.0.0.1{path}"), "exp": now() + 60 }));
    let post = |query: &str| wire.request(Method::POST, &format!("{path}{query}")).bearer_auth(&token);
    for query in ["", "?api-version=", "?api-version=2021-10-01"] {
        let response = post(query).json(&json!({ "target": "m" })).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert_eq!(response.json::<Value>().await.unwrap()["target"], "api-version");
    }
    let plain = post("?api-version=2022-06-01").header("content-type", "text/plain").body("x");
    assert_eq!(plain.send().await.unwrap().status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);

    for path in [
        "/api/hubs/1chat/groups/g".to_owned(),
        "/api/hubs/chat/groups/%20".to_owned(),
        format!("/api/hubs/chat/groups/{}", "g".repeat(1025)),
        "/api/hubs/chat/users/%FF".to_owned(),
        "/api/hubs/chat/users/u?application=a%20b".to_owned(),
    ] {
        assert_eq!(wire.status(Method::HEAD, &path).await.0, 400, "{path}");
    }
}

#[tokio::test]
async fn an_own_access_key_replaces_the_emulators() {
    let wire = Wire::start(LocalService::builder().access_key("k")).await;
    let response = wire.rest(Method::HEAD, "/api/hubs/chat/users/u", None).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let token =
        sign("k", None, &json!({ "aud": "http://127.0.0.1/api/hubs/chat/users/u", "exp": now() + 60 }));
    let response = wire.rest_with(&token, Method::HEAD, "/api/hubs/chat/users/u", None).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
}
