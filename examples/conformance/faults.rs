//! Negotiate endpoints that redirect, as Azure SignalR Service does, or are broken; and sockets that misbehave.

use std::{convert::Infallible, time::Duration};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{
        Path, Query,
        ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade},
    },
    http::{HeaderMap, StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use base64ct::{Base64, Encoding as _};
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{line, tokens};

pub(crate) fn routes() -> Router {
    Router::new().merge(redirects()).merge(faults()).merge(sockets())
}

fn base(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    format!("http://{host}")
}

fn to(headers: &HeaderMap, path: &str, token: Option<String>) -> Json<Value> {
    let mut answer = json!({ "url": base(headers) + path });
    if let Some(token) = token {
        answer["accessToken"] = token.into();
    }
    Json(answer)
}

#[derive(Deserialize)]
struct User {
    user: Option<String>,
    ttl: Option<f64>,
}

fn redirects() -> Router {
    let token = |user: &str, seconds| Some(tokens::create(user, seconds, None));
    let secure = move |headers: HeaderMap, Query(User { user, ttl }): Query<User>| async move {
        let user = user.as_deref().unwrap_or("redirected");
        to(&headers, "/secure", token(user, ttl.unwrap_or(3600.0)))
    };
    let query = move |headers: HeaderMap| async move {
        to(&headers, "/secure?asrs.op=%2Fchat&hub=chat", token("redirected", 3600.0))
    };
    let chain = move |headers: HeaderMap, Path(left): Path<u32>| async move {
        match left.checked_sub(1) {
            Some(left) => to(&headers, &format!("/redirect/chain/{left}"), None),
            None => to(&headers, "/secure", token("chained", 3600.0)),
        }
    };
    // The token comes on the first hop only, and stays in use.
    let kept =
        move |headers: HeaderMap| async move { to(&headers, "/redirect/onward", token("kept", 3600.0)) };
    let expired = move |headers: HeaderMap| async move { to(&headers, "/secure", token("late", -60.0)) };
    let nowhere = || async { Json(json!({ "url": "http://127.0.0.1:9/hub", "accessToken": "x" })) };
    let plain = |path: &'static str| post(move |headers: HeaderMap| async move { to(&headers, path, None) });
    Router::new()
        .route("/redirect/secure/negotiate", post(secure))
        .route("/redirect/query/negotiate", post(query))
        .route("/redirect/plain/negotiate", plain("/hub"))
        .route("/redirect/chain/{left}/negotiate", post(chain))
        .route("/redirect/kept/negotiate", post(kept))
        .route("/redirect/onward/negotiate", plain("/secure"))
        .route("/redirect/loop/negotiate", plain("/redirect/loop"))
        .route("/redirect/expired/negotiate", post(expired))
        .route("/redirect/nowhere/negotiate", post(nowhere))
}

fn offer(transports: Value) -> Value {
    json!({
        "negotiateVersion": 1, "connectionId": "a", "connectionToken": "b", "availableTransports": transports,
    })
}

fn faults() -> Router {
    let says = |answer: Value| post(move || async move { Json(answer) });
    let text = |text: &'static str| {
        post(move || async move { ([(header::CONTENT_TYPE, "application/json")], text) })
    };
    let dead = ["WebSockets", "ServerSentEvents", "LongPolling"].map(|name| {
        let formats: &[&str] = if name == "ServerSentEvents" { &["Text"] } else { &["Text", "Binary"] };
        json!({ "transport": name, "transferFormats": formats })
    });
    let unknown = json!([{ "transport": "CarrierPigeon", "transferFormats": ["Text"] }]);
    let slow = |headers: HeaderMap, Path(milliseconds): Path<u64>| async move {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        to(&headers, "/hub", None)
    };
    Router::new()
        .route("/fault/error/negotiate", says(json!({ "error": "the server says no" })))
        .route("/fault/legacy/negotiate", says(json!({ "ProtocolVersion": "1.4", "ConnectionToken": "t" })))
        .route(
            "/fault/html/negotiate",
            post(|| async { Html("<!doctype html><title>an index page</title>") }),
        )
        .route("/fault/empty/negotiate", text(""))
        .route("/fault/truncated/negotiate", text("{\"connectionId\":\"a\",\"availableTr"))
        .route("/fault/no-transports/negotiate", says(offer(json!([]))))
        .route("/fault/unknown-transport/negotiate", says(offer(unknown)))
        .route("/fault/dead-transports/negotiate", says(offer(json!(dead))))
        .route("/fault/status/{code}/negotiate", post(status))
        .route("/fault/slow/{milliseconds}/negotiate", post(slow))
        .route("/fault/endless/negotiate", post(endless))
        .route("/fault/cut/negotiate", post(line::cut_own))
}

async fn status(Path(code): Path<u16>) -> Response {
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = (status, format!("status {code}")).into_response();
    if matches!(code, 429 | 503) {
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    }
    response
}

/// 64 MiB of blanks: clients need a bound of their own.
async fn endless() -> Response {
    let block = Bytes::from(vec![b' '; 65_536]);
    let blocks = stream::iter((0..1024).map(move |_| Ok::<_, Infallible>(block.clone())));
    ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(blocks)).into_response()
}

/// WebSockets with no hub behind them. They are opened without negotiate.
fn sockets() -> Router {
    Router::new().route("/pieces", get(pieces)).route("/silent", get(silent))
}

async fn until_closed(mut socket: WebSocket) {
    while let Some(Ok(_)) = socket.recv().await {}
}

/// After the first message of the client, sends exactly the frames of the query.
async fn pieces(Query(query): Query<Vec<(String, String)>>, upgrade: WebSocketUpgrade) -> Response {
    let value = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let binary = value("binary").is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let wait = value("wait").and_then(|text| text.parse().ok()).map(Duration::from_millis);
    let close = value("close").and_then(|text| text.parse::<u16>().ok());
    let frames: Result<Vec<_>, _> =
        query.iter().filter(|(key, _)| key == "frame").map(|(_, text)| Base64::decode_vec(text)).collect();
    let Ok(frames) = frames else { return StatusCode::BAD_REQUEST.into_response() };
    upgrade.on_upgrade(move |mut socket| async move {
        let _ = socket.recv().await;
        for frame in frames {
            let message = match String::from_utf8(frame) {
                Ok(text) if !binary => Message::Text(text.into()),
                Ok(text) => Message::Binary(text.into()),
                Err(error) => Message::Binary(error.into_bytes().into()),
            };
            if socket.send(message).await.is_err() {
                return;
            }
            if let Some(wait) = wait {
                tokio::time::sleep(wait).await;
            }
        }
        if let Some(code) = close {
            let _ = socket.send(Message::Close(Some(CloseFrame { code, reason: "as asked".into() }))).await;
        }
        until_closed(socket).await;
    })
}

#[derive(Deserialize)]
struct Silence {
    handshake: Option<bool>,
}

/// Answers the handshake, or not, and then never says a word.
async fn silent(Query(Silence { handshake }): Query<Silence>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(move |mut socket| async move {
        if handshake != Some(false) {
            let _ = socket.recv().await;
            let _ = socket.send(Message::Text("{}\u{1e}".into())).await;
        }
        until_closed(socket).await;
    })
}
