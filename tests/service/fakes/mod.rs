//! A scripted HTTP server, and answers of Entra and of Azure SignalR Service to script it with.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use hubwire::service::{
    ServiceClient, ServiceEndpoint,
    credentials::{AccessKey, ClientSecret, Credential},
};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::Notify,
};

pub(crate) const TOKEN: &str = "/tenant-1/oauth2/v2.0/token";
pub(crate) const EXCHANGE: &str = "/api/v1/auth/accessKey";
pub(crate) const ACCESS_KEY: &str = "access-key-of-the-resource-0123456789";
pub(crate) const CLIENT_SECRET: &str = "client secret ~ &+=/%";

/// A request as the server got it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    pub(crate) bytes: Vec<u8>,
    /// Which request to this path it is, from 1.
    pub(crate) nth: usize,
}

impl Seen {
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub(crate) fn bearer(&self) -> &str {
        self.header("authorization").strip_prefix("Bearer ").unwrap_or_default()
    }
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
    /// Answers only when this is notified.
    pub(crate) gate: Option<Arc<Notify>>,
    pub(crate) delay: Duration,
}

pub(crate) fn reply(status: u16, body: impl ToString) -> Reply {
    Reply { status, headers: Vec::new(), body: body.to_string(), gate: None, delay: Duration::ZERO }
}

impl Reply {
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Answers only after some time.
    pub(crate) fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Waits for the gate, for ever if nobody opens it.
    pub(crate) fn behind(mut self, gate: &Arc<Notify>) -> Self {
        self.gate = Some(Arc::clone(gate));
        self
    }
}

/// A token as Entra gives it.
pub(crate) fn token(text: &str, expires_in: u64) -> Reply {
    reply(
        200,
        json!({"token_type": "Bearer", "expires_in": expires_in, "ext_expires_in": expires_in, "access_token": text}),
    )
}

/// A refusal as Entra gives it, with the escapes in its description that real ones have.
pub(crate) fn entra_error(status: u16, error: &str, code: u64) -> Reply {
    reply(
        status,
        json!({
            "error": error,
            "error_description": format!("AADSTS{code}: \"no\".\r\nTrace ID: 1\r\nTimestamp: 2026-01-01 00:00:00Z"),
            "error_codes": [code],
            "timestamp": "2026-01-01 00:00:00Z",
        }),
    )
}

/// A temporary access key.
pub(crate) fn key(n: usize) -> Reply {
    reply(200, json!({"KeyId": format!("key-{n}"), "AccessKey": exchanged(n)}))
}

pub(crate) fn exchanged(n: usize) -> String {
    format!("exchanged-access-key-{n}-0123456789")
}

/// Everything well: tokens for an hour, keys by number, 202 for the rest.
pub(crate) fn all_well(seen: &Seen) -> Reply {
    match seen.path() {
        TOKEN => token(&format!("entra-token-{}", seen.nth), 3599),
        EXCHANGE => key(seen.nth),
        _ => reply(202, ""),
    }
}

struct Log {
    seen: Mutex<Vec<Seen>>,
    changed: Notify,
}

pub(crate) struct Fake {
    pub(crate) url: String,
    log: Arc<Log>,
}

impl Fake {
    pub(crate) async fn start(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let log = Arc::new(Log { seen: Mutex::default(), changed: Notify::new() });
        let (script, shared) = (Arc::new(script), Arc::clone(&log));
        let app = Router::new().fallback(move |request: Request| {
            let (script, log) = (Arc::clone(&script), Arc::clone(&shared));
            async move {
                let (parts, body) = request.into_parts();
                let body = to_bytes(body, 1 << 20).await.unwrap();
                let seen = {
                    let mut all = log.seen.lock().unwrap();
                    let nth = 1 + all.iter().filter(|s| s.path() == parts.uri.path()).count();
                    let seen = Seen {
                        method: parts.method.to_string(),
                        target: parts.uri.to_string(),
                        headers: parts.headers,
                        body: String::from_utf8_lossy(&body).into_owned(),
                        bytes: body.to_vec(),
                        nth,
                    };
                    all.push(seen.clone());
                    seen
                };
                log.changed.notify_waiters();
                let reply = script(&seen);
                if let Some(gate) = reply.gate {
                    gate.notified().await;
                }
                if !reply.delay.is_zero() {
                    tokio::time::sleep(reply.delay).await;
                }
                let mut response = Response::new(Body::from(reply.body));
                *response.status_mut() = StatusCode::from_u16(reply.status).unwrap();
                for (name, value) in reply.headers {
                    response.headers_mut().insert(name, value.parse().unwrap());
                }
                response
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, log }
    }

    pub(crate) fn seen(&self, path: &str) -> Vec<Seen> {
        self.log.seen.lock().unwrap().iter().filter(|s| s.path() == path).cloned().collect()
    }

    pub(crate) fn count(&self, path: &str) -> usize {
        self.seen(path).len()
    }

    pub(crate) fn all(&self) -> Vec<Seen> {
        self.log.seen.lock().unwrap().clone()
    }

    /// Starts with an empty log.
    pub(crate) fn forget(&self) {
        self.log.seen.lock().unwrap().clear();
    }

    pub(crate) fn last(&self) -> Seen {
        self.all().pop().expect("a request")
    }

    /// Waits until a path has been asked for that many times.
    pub(crate) async fn wait_for(&self, path: &str, count: usize) {
        let enough = async {
            loop {
                let changed = self.log.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if self.count(path) >= count {
                    return;
                }
                changed.await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(20), enough).await;
        assert!(waited.is_ok(), "{path} was asked for {} times, not {count}", self.count(path));
    }

    pub(crate) fn client_secret(&self) -> ClientSecret {
        ClientSecret::new("tenant-1", "app-1", CLIENT_SECRET).authority(&self.url)
    }

    pub(crate) fn client(&self, credential: impl Into<Credential>) -> ServiceClient {
        let endpoint = ServiceEndpoint::new(&self.url, credential).unwrap();
        ServiceClient::builder().endpoint(endpoint).build().unwrap()
    }

    pub(crate) fn entra_client(&self) -> ServiceClient {
        self.client(self.client_secret())
    }

    pub(crate) fn key_client(&self) -> ServiceClient {
        self.client(AccessKey::new(ACCESS_KEY))
    }
}

/// An address of this machine where nobody listens.
pub(crate) fn nobody() -> String {
    // Bound and not listening, for as long as the test runs: so nobody else gets the port either.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    std::mem::forget(socket);
    format!("http://{address}")
}

/// Lets time pass on tokio's clock only.
pub(crate) async fn advance(minutes: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(minutes * 60)).await;
    tokio::time::resume();
}

/// The header and the claims of a token, whose signature must be of this key.
pub(crate) fn verified(token: &str, key: &str) -> (Value, Value) {
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
    validation.algorithms.push(jsonwebtoken::Algorithm::HS512);
    validation.validate_aud = false;
    let key = jsonwebtoken::DecodingKey::from_secret(key.as_bytes());
    let decoded = jsonwebtoken::decode::<Value>(token, &key, &validation).expect("a token of this key");
    (json!(decoded.header), decoded.claims)
}

/// Waits for something whose pauses pass at once. No timeout of this clock ends early: time goes on a tenth of a second
/// at a time, and only after everything else has had its turns.
pub(crate) async fn hurried<T>(work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    tokio::time::pause();
    for _ in 0..2000 {
        for _ in 0..200 {
            if let std::task::Poll::Ready(result) = futures_util::poll!(work.as_mut()) {
                tokio::time::resume();
                return result;
            }
            tokio::task::yield_now().await;
        }
        tokio::time::advance(Duration::from_millis(100)).await;
    }
    panic!("it takes more than 200 seconds");
}
