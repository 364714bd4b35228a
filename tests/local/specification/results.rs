//! What clients see of operations, where that is more than a message.

use std::time::Duration;

use hubwire::local::LocalService;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Body, Service, VERSION, start};
use crate::{
    raw,
    wire::{Wire, user_token},
};

const CALL: &[u8] =
    b"\x82\xa4json\xc4\x2b{\"type\":1,\"invocationId\":\"7\",\"target\":\"m\"}\x1e\xa5other\xc4\x00";

/// Asks a client with headers of one's own.
async fn invoke(service: &Service, body: &[u8], kind: &str, accept: &str) -> raw::Answer {
    let target = format!("/api/hubs/chat/connections/{}/:invoke?api-version={VERSION}", service.connection);
    let token = format!("Bearer {}", service.key_token(&target));
    let headers = [("Authorization", &*token), ("Content-Type", kind), ("Accept", accept)];
    raw::send(service.wire.local.port(), &raw::request("POST", &target, &headers, body)).await
}

#[tokio::test]
async fn results_come_as_json_or_as_the_client_has_written_them() {
    let service = start().await;
    let octets = "application/octet-stream";
    for (kind, body) in
        [("application/json", &b"{\"target\":\"m\"}"[..]), (octets, CALL), ("application/x-msgpack", CALL)]
    {
        let answer = invoke(&service, body, kind, "application/json").await;
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!((answer.status, answer.json()), (200, json!({ "result": { "answer": 42 } })), "{kind}");
        let answer = invoke(&service, body, kind, "Application/Octet-Stream").await;
        assert_eq!((answer.status, answer.header("x-protocol")), (200, Some("json")), "{kind}");
        assert_eq!(answer.header("content-type"), Some(octets));
        let record = String::from_utf8(answer.body).unwrap();
        let completion: Value = serde_json::from_str(record.strip_suffix('\u{1e}').unwrap()).unwrap();
        assert_eq!((&completion["type"], &completion["result"]), (&json!(3), &json!({ "answer": 42 })));
        if kind != "application/json" {
            assert_eq!(completion["invocationId"], "7", "the caller's own id");
        }
    }
    let void = invoke(&service, b"{\"target\":\"Void\"}", "application/json", octets).await;
    assert_eq!((void.status, void.json()["code"].as_str()), (200, None));
    assert!(!String::from_utf8(void.body).unwrap().contains("result"));
    for accept in ["application/json", octets] {
        let failed = invoke(&service, b"{\"target\":\"Fail\"}", "application/json", accept).await;
        let error = failed.json();
        assert_eq!((failed.status, &error["message"]), (500, &json!("not today")), "{error}");
        assert_eq!(failed.header("x-ms-error-code"), None);
    }
    // The payload has nothing in the client's protocol.
    let call = b"\x81\xabmessagepack\xc4\x08\x07\x95\x01\x80\xc0\xa1m\x90";
    let answer = invoke(&service, call, octets, octets).await;
    assert!(answer.status == 400 && answer.json()["message"].as_str().unwrap().contains("json"));
    // Who leaves instead of answering was there.
    let left = invoke(&service, b"{\"target\":\"Leave\"}", "application/json", octets).await;
    assert_eq!((left.status, left.json()["code"].as_str()), (500, Some("ClientDisconnected")));
    let gone = invoke(&service, b"{\"target\":\"m\"}", "application/json", octets).await;
    assert_eq!((gone.status, gone.header("x-ms-error-code")), (404, Some("Warning.Connection.NotExisted")));
}

#[tokio::test]
async fn encoded_messages_arrive_with_arguments() {
    let wire = Wire::start(LocalService::builder()).await;
    let mut client = wire.connect_user("u").await;
    let service = Service { wire, connection: client.id.clone() };
    let target = service.target("/api/hubs/chat/:send", VERSION, "");
    let token = service.key_token(&target);
    for (body, expected) in [
        (
            &b"\x81\xa4json\xc4\x18{\"type\":1,\"target\":\"m\"}\x1e"[..],
            json!({ "type": 1, "target": "m", "arguments": [] }),
        ),
        (
            b"\x81\xa4json\xc4\x37{\"target\":\"m\",\"extra\":0,\"arguments\":[ 1 ],\"type\":1   }\x1e",
            json!({ "type": 1, "target": "m", "arguments": [1], "extra": 0 }),
        ),
    ] {
        let answer = service.send("POST", &target, Body::Of("application/octet-stream", body), &token).await;
        assert_eq!(answer.status, 202, "{}", answer.json());
        assert_eq!(client.message().await.unwrap(), expected);
    }
    for (query, completion) in [
        ("", json!({ "type": 3, "invocationId": "s" })),
        ("&reason=r", json!({ "type": 3, "invocationId": "s", "error": "r" })),
        ("&error=e", json!({ "type": 3, "invocationId": "s", "error": "e" })),
        ("&ERROR=&Reason=r", json!({ "type": 3, "invocationId": "s", "error": "r" })),
    ] {
        let target = service.target("/api/hubs/chat/connections/{c}/streams/s/:complete", VERSION, query);
        let answer = service.send("POST", &target, Body::None, &service.key_token(&target)).await;
        assert_eq!(answer.status, 202);
        assert_eq!(client.message().await.unwrap(), completion, "{query}");
    }
    let item = b"\x81\xa4json\xc4\x27{\"type\":2,\"invocationId\":\"s\",\"item\":1}\x1e";
    let target = service.target("/api/hubs/chat/connections/{c}/streams/s/:send", VERSION, "&completed=true");
    let body = Body::Of("application/octet-stream", item);
    let answer = service.send("POST", &target, body, &service.key_token(&target)).await;
    assert_eq!(answer.status, 202, "{}", answer.json());
    assert_eq!(client.message().await.unwrap(), json!({ "type": 2, "invocationId": "s", "item": 1 }));
    assert_eq!(client.message().await.unwrap(), json!({ "type": 3, "invocationId": "s" }));
}

#[tokio::test]
async fn clients_connect_by_addresses_in_any_case() {
    let wire = Wire::start(LocalService::builder()).await;
    let request = wire.request(Method::POST, "/Client/Negotiate?HUB=Chat&NegotiateVERSION=1");
    let answer: Value = request.bearer_auth(user_token("u")).send().await.unwrap().json().await.unwrap();
    assert!(answer["connectionToken"].is_string(), "{answer}");
}

#[tokio::test]
async fn closed_clients_may_come_back() {
    let wire = Wire::start(LocalService::builder()).await;
    let mut stays = wire.connect_user("stays").await;
    let paths = [
        ("DELETE", "/api/hubs/chat/connections/{c}?", true),
        ("DELETE", "/api/v1/hubs/chat/connections/{c}?", true),
        ("POST", "/api/hubs/chat/users/u/:closeConnections?excluded={s}&", true),
        ("POST", "/api/hubs/chat/groups/g/:closeConnections?excluded={s}&", true),
        ("POST", "/api/hubs/chat/:closeConnections?EXCLUDED={s}&", true),
        ("POST", "/api/hubs/chat/:execute?filter=userId+eq+'u'&", false),
    ];
    for (method, path, has_reason) in paths {
        for reason in ["", "enough"] {
            let mut client = wire.connect_user("u").await;
            let join = |id: &str| format!("/api/hubs/chat/groups/g/connections/{id}");
            for id in [&client.id, &stays.id] {
                assert_eq!(wire.status(Method::PUT, &join(id)).await.0, 200);
            }
            let path = path.replace("{c}", &client.id).replace("{s}", &stays.id);
            let path = if has_reason { format!("{path}reason={reason}") } else { path };
            let body = (!has_reason).then(|| json!([{ "type": "CloseConnection", "reason": reason }]));
            let answer = wire.rest(method.parse().unwrap(), &path, body).await;
            assert!(answer.status().is_success(), "{path}: {}", answer.status());
            let expected = Some(reason.to_owned()).filter(|reason| !reason.is_empty());
            assert_eq!(client.closed().await, (expected, true), "{path}");
        }
    }
    wire.send("/api/hubs/chat/:send", "still", json!([])).await;
    assert_eq!(tokio::time::timeout(Duration::from_secs(10), stays.target()).await.unwrap(), "still");
}
