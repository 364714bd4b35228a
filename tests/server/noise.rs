//! Clients that send anything: messages that were changed at random, cut anywhere. Each connection ends, and is told why; the hub
//! goes on.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use axum::{body::Body, body::Bytes, http::Request};
use hubwire::HubProtocol;
use hubwire::server::{Caller, HubServer, Identity};
use serde_json::{Value, json};
use tower_service::Service as _;

use crate::{
    conformance_hub::{conformance_hub, in_time},
    support::random::Random,
};

/// As many inputs for each protocol.
const INPUTS: usize = 300;

/// What clients may say, in no order that makes sense.
fn messages() -> Vec<Value> {
    let call = |id: &str, target: &str, arguments: Value| json!({"type": 1, "invocationId": id, "target": target, "arguments": arguments});
    let upload = |id: &str, target: &str, stream: &str| {
        let mut message = call(id, target, json!([]));
        message["streamIds"] = json!([stream]);
        message
    };
    vec![
        call("1", "Add", json!([1, 2])),
        call("2", "Echo", json!([{"a": [1, 2.5, null, true, "ü"]}])),
        call("3", "EchoPoint", json!([{"X": 1, "Y": 0.5, "Label": "a"}])),
        call("4", "EchoInts", json!([[1, 2, 3]])),
        call("5", "EchoDateTime", json!(["2024-05-01T12:00:00Z"])),
        call("6", "LargeString", json!([100])),
        upload("7", "UploadSum", "s"),
        json!({"type": 2, "invocationId": "s", "item": 4}),
        json!({"type": 3, "invocationId": "s"}),
        upload("8", "UploadOutcome", "t"),
        json!({"type": 2, "invocationId": "t", "item": "no number"}),
        json!({"type": 3, "invocationId": "t", "error": "gone"}),
        json!({"type": 4, "invocationId": "9", "target": "Counter", "arguments": [3, 0]}),
        json!({"type": 5, "invocationId": "9"}),
        json!({"type": 6}),
        json!({"type": 8, "sequenceId": 1}),
        json!({"type": 9, "sequenceId": 1}),
        call("10", "Join", json!(["room"])),
        call("11", "ToGroup", json!(["room", "News", [1]])),
    ]
}

/// The same in MessagePack, with its length before it.
fn packed(message: &Value) -> Vec<u8> {
    let field = |name: &str| rmpv::ext::to_value(message.get(name).unwrap_or(&Value::Null)).expect("a value");
    let list = |name: &str| rmpv::ext::to_value(message.get(name).unwrap_or(&json!([]))).expect("a value");
    let (kind, no_headers) = (field("type"), rmpv::Value::Map(Vec::new()));
    let fields = match message["type"].as_u64() {
        Some(1 | 4) => {
            vec![
                kind,
                no_headers,
                field("invocationId"),
                field("target"),
                list("arguments"),
                list("streamIds"),
            ]
        }
        Some(2) => vec![kind, no_headers, field("invocationId"), field("item")],
        Some(3) if message.get("error").is_some() => {
            vec![kind, no_headers, field("invocationId"), 1.into(), field("error")]
        }
        Some(3) => vec![kind, no_headers, field("invocationId"), 2.into()],
        Some(5) => vec![kind, no_headers, field("invocationId")],
        Some(8 | 9) => vec![kind, field("sequenceId")],
        _ => vec![kind],
    };
    let mut bytes = Vec::new();
    rmpv::encode::write_value(&mut bytes, &rmpv::Value::Array(fields)).expect("it is written");
    // A length of seven bits for each byte, the lowest first.
    let (mut framed, mut left) = (Vec::new(), bytes.len());
    while left > 0x7f {
        framed.push(left as u8 | 0x80);
        left >>= 7;
    }
    framed.push(left as u8);
    framed.extend(bytes);
    framed
}

/// One request, without a socket.
async fn request(hub: &HubServer, method: &str, path: &str, body: Vec<u8>) -> (u16, Bytes) {
    let request = Request::builder().method(method).uri(path).body(Body::from(body)).expect("a request");
    let response = hub.clone().call(request).await.expect("an answer");
    let status = response.status().as_u16();
    (status, axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("a body"))
}

/// Says all this in pieces, and polls until the end. What it was told, and whether the end came before it left.
async fn say(hub: &HubServer, handshake: &str, pieces: Vec<Vec<u8>>) -> (Vec<u8>, bool) {
    let (_, negotiated) = request(hub, "POST", "/negotiate?negotiateVersion=1", Vec::new()).await;
    let negotiated: Value = serde_json::from_slice(&negotiated).expect("JSON");
    let path = format!("/?id={}", negotiated["connectionToken"].as_str().expect("a token"));
    assert_eq!(request(hub, "GET", &path, Vec::new()).await.0, 200);
    let has_left = AtomicBool::new(false);
    let polling = async {
        let mut told = Vec::new();
        loop {
            match request(hub, "GET", &path, Vec::new()).await {
                (200, messages) => told.extend_from_slice(&messages),
                (204 | 404, _) => return (told, !has_left.load(Ordering::SeqCst)),
                (status, _) => panic!("a poll was answered {status}"),
            }
        }
    };
    let saying = async {
        let mut was_ended = request(hub, "POST", &path, handshake.into()).await.0 != 200;
        for piece in pieces {
            match request(hub, "POST", &path, piece).await.0 {
                200 => {}
                404 => was_ended = true,
                status => panic!("a message was answered {status}"),
            }
        }
        has_left.store(true, Ordering::SeqCst);
        let left = request(hub, "DELETE", &path, Vec::new()).await.0;
        assert!(matches!(left, 202 | 404), "{left}");
        was_ended
    };
    let ((told, has_ended), was_ended) = in_time(futures_util::future::join(polling, saying)).await;
    (told, has_ended || was_ended)
}

async fn disturbed(protocol: HubProtocol) {
    let open = Arc::new(AtomicUsize::new(0));
    let (connected, disconnected) = (open.clone(), open.clone());
    let hub = conformance_hub()
        .on_connected(move |_: Caller| {
            connected.fetch_add(1, Ordering::SeqCst);
            async { Ok(()) }
        })
        .on_disconnected(move |_: Caller| {
            disconnected.fetch_sub(1, Ordering::SeqCst);
            async {}
        })
        .build();
    let is_json = protocol == HubProtocol::Json;
    let encoded: Vec<Vec<u8>> = messages()
        .iter()
        .map(|message| if is_json { format!("{message}\u{1e}").into_bytes() } else { packed(message) })
        .collect();
    let handshake = json!({"protocol": protocol.name(), "version": 1}).to_string() + "\u{1e}";
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut ended = 0;
    for _ in 0..INPUTS {
        let said = (0..1 + random.below(6)).map(|_| encoded[random.below(encoded.len())].clone());
        let mut bytes = said.collect::<Vec<_>>().concat();
        random.disturb(&mut bytes);
        let mut pieces = Vec::new();
        while !bytes.is_empty() {
            let rest = bytes.split_off(1 + random.below(bytes.len()));
            pieces.push(std::mem::replace(&mut bytes, rest));
        }
        let (told, was_ended) = say(&hub, &handshake, pieces.clone()).await;
        // In MessagePack an array of three: its type, the error, and whether the client may come back.
        let close: &[u8] = if is_json { b"\"type\":7" } else { &[0x93, 7] };
        let is_told = told.windows(close.len()).any(|part| part == close);
        // The server ends no connection without a word.
        assert!(is_told || !was_ended, "{pieces:?}: {}", String::from_utf8_lossy(&told));
        ended += usize::from(is_told);
    }
    assert!(ended > INPUTS / 20 && ended < INPUTS, "{ended} inputs broke the protocol");
    // Nothing is left of them, and the hub is as good as new.
    in_time(async {
        while open.load(Ordering::SeqCst) > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let client = hub.connect_in_memory(Identity::anonymous()).await.expect("it connects");
    assert_eq!(client.invoke::<i32>("Add", (1, 2)).await.expect("a sum"), 3);
}

#[tokio::test]
async fn whatever_a_client_says_in_json_its_connection_ends_properly() {
    disturbed(HubProtocol::Json).await;
}

#[tokio::test]
async fn whatever_a_client_says_in_message_pack_its_connection_ends_properly() {
    disturbed(HubProtocol::MessagePack).await;
}
