//! A hub over all transports whose every answer a test can replace, as load balancers, proxies and logins do.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::IntoFuture as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::extract::{FromRequestParts as _, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Negotiate,
    WebSocket,
    Events,
    Poll,
    Post,
    Delete,
    Refresh,
}

/// A request, as the test sees it.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) step: Step,
    pub(super) headers: HeaderMap,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// What to do with a request.
pub(super) enum Answer {
    Own,
    /// The hub's own answer, with a cookie.
    Setting(&'static str),
    Instead(Response),
}

type Rule = Box<dyn Fn(&Seen) -> Answer + Send + Sync>;

#[derive(Default)]
struct Connection {
    /// Messages for the client.
    sender: Option<mpsc::UnboundedSender<String>>,
    receiver: Option<mpsc::UnboundedReceiver<String>>,
    polled: bool,
}

struct Shared {
    rule: Rule,
    transport: Mutex<&'static str>,
    connections: Mutex<HashMap<String, Connection>>,
    count: AtomicUsize,
    seen: Mutex<Vec<Seen>>,
}

pub(super) struct Server {
    pub(super) url: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Server {
    /// A hub that offers these transports, in JSON (`WebSockets,LongPolling`).
    pub(super) async fn start(
        transports: &'static str,
        rule: impl Fn(&Seen) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            rule: Box::new(rule),
            transport: Mutex::new(transports),
            connections: Mutex::default(),
            count: AtomicUsize::default(),
            seen: Mutex::default(),
        });
        let app = Router::new().fallback(handle).with_state(Arc::clone(&shared));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hub", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, app).into_future().await.unwrap() });
        Self { url, shared, task }
    }

    /// The requests so far.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// The steps so far, each once for as often as it follows itself.
    pub(super) fn steps(&self) -> Vec<Step> {
        let mut steps: Vec<_> = self.seen().iter().map(|seen| seen.step).collect();
        steps.dedup();
        steps
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(super) fn answer(status: u16, content_type: &str, body: impl Into<Body>) -> Answer {
    let mut response = Response::builder().status(status);
    if !content_type.is_empty() {
        response = response.header("Content-Type", content_type);
    }
    Answer::Instead(response.body(body.into()).unwrap())
}

pub(super) fn redirect(status: u16, to: &str) -> Answer {
    Answer::Instead(Response::builder().status(status).header("Location", to).body(Body::empty()).unwrap())
}

/// A body that never ends.
pub(super) fn endless() -> Body {
    Body::from_stream(futures_util::stream::pending::<Result<Bytes, Infallible>>())
}

async fn handle(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let step = step(&parts);
    let seen = Seen { step, headers: parts.headers.clone() };
    shared.seen.lock().unwrap().push(seen.clone());
    let cookie = match (shared.rule)(&seen) {
        Answer::Instead(response) => return response,
        Answer::Setting(cookie) => Some(cookie),
        Answer::Own => None,
    };
    let mut response = own(&shared, step, &mut parts, body).await;
    if let Some(cookie) = cookie {
        response.headers_mut().append("Set-Cookie", cookie.parse().unwrap());
    }
    response
}

fn step(parts: &Parts) -> Step {
    match (&parts.method, parts.uri.path()) {
        (&Method::POST, "/hub/negotiate") => Step::Negotiate,
        (&Method::POST, "/hub/refresh") => Step::Refresh,
        (&Method::POST, _) => Step::Post,
        (&Method::DELETE, _) => Step::Delete,
        _ if parts.headers.contains_key("Upgrade") => Step::WebSocket,
        _ if parts.headers.get("Accept").is_some_and(|accept| accept == "text/event-stream") => Step::Events,
        _ => Step::Poll,
    }
}

async fn own(shared: &Arc<Shared>, step: Step, parts: &mut Parts, body: Body) -> Response {
    if step == Step::Negotiate {
        let id = shared.count.fetch_add(1, Ordering::SeqCst).to_string();
        let (sender, receiver) = mpsc::unbounded_channel();
        let connection = Connection { sender: Some(sender), receiver: Some(receiver), polled: false };
        shared.connections.lock().unwrap().insert(id.clone(), connection);
        let transports: Vec<_> = shared
            .transport
            .lock()
            .unwrap()
            .split(',')
            .map(|transport| json!({ "transport": transport, "transferFormats": ["Text"] }))
            .collect();
        let answer = json!({
            "negotiateVersion": 1, "connectionId": format!("connection-{id}"), "connectionToken": id,
            "availableTransports": transports,
        });
        return ([("Content-Type", "application/json")], answer.to_string()).into_response();
    }
    let query = parts.uri.query().unwrap_or_default();
    let id = query.split('&').find_map(|pair| pair.strip_prefix("id=")).unwrap_or_default().to_owned();
    let sender = shared.connections.lock().unwrap().get(&id).and_then(|connection| connection.sender.clone());
    let Some(sender) = sender else { return (StatusCode::NOT_FOUND, "unknown").into_response() };
    let receiver = |shared: &Shared| shared.connections.lock().unwrap().get_mut(&id).unwrap().receiver.take();
    match step {
        Step::Post => {
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            let goes_on = String::from_utf8_lossy(&body).split('\u{1e}').all(|record| take(record, &sender));
            if !goes_on {
                shared.connections.lock().unwrap().remove(&id);
            }
            ([("Content-Type", "text/plain")], "").into_response()
        }
        Step::Events => {
            drop(sender);
            let mut messages = receiver(shared).unwrap();
            let events = futures_util::stream::poll_fn(move |cx| {
                messages
                    .poll_recv(cx)
                    .map(|message| message.map(|m| Ok::<_, Infallible>(format!("data: {m}\n\n"))))
            });
            ([("Content-Type", "text/event-stream")], Body::from_stream(events)).into_response()
        }
        Step::Poll => {
            drop(sender);
            let first = {
                let mut connections = shared.connections.lock().unwrap();
                !std::mem::replace(&mut connections.get_mut(&id).unwrap().polled, true)
            };
            if first {
                return ([("Content-Type", "application/octet-stream")], "").into_response();
            }
            let mut messages = receiver(shared).unwrap();
            let message = messages.recv().await;
            if let Some(connection) = shared.connections.lock().unwrap().get_mut(&id) {
                connection.receiver = Some(messages);
            }
            match message {
                Some(message) => ([("Content-Type", "application/octet-stream")], message).into_response(),
                None => StatusCode::NO_CONTENT.into_response(),
            }
        }
        Step::WebSocket => {
            let mut messages = receiver(shared).unwrap();
            let upgrade = WebSocketUpgrade::from_request_parts(parts, &()).await.unwrap();
            let shared = Arc::clone(shared);
            upgrade.on_upgrade(async move |mut socket| {
                loop {
                    tokio::select! {
                        Some(Ok(Message::Text(text))) = socket.recv() => {
                            if !text.split('\u{1e}').all(|record| take(record, &sender)) {
                                break;
                            }
                        }
                        Some(message) = messages.recv() => drop(socket.send(Message::text(message)).await),
                        else => break,
                    }
                }
                shared.connections.lock().unwrap().remove(&id);
            })
        }
        _ => {
            shared.connections.lock().unwrap().remove(&id);
            StatusCode::ACCEPTED.into_response()
        }
    }
}

/// Takes a message of the client: the handshake, a call of `Echo`, or one of `Drop`. Whether the connection goes on.
fn take(record: &str, sender: &mpsc::UnboundedSender<String>) -> bool {
    if record.is_empty() {
        return true;
    }
    let message: Value = serde_json::from_str(record).expect("the client writes JSON");
    let answer = match (message["type"].as_u64(), message["target"].as_str().unwrap_or_default()) {
        (None, _) => "{}".to_owned(),
        (Some(1), "Echo") => {
            json!({ "type": 3, "invocationId": message["invocationId"], "result": message["arguments"][0] })
                .to_string()
        }
        (Some(1), "Drop") => return false,
        _ => return true,
    };
    // A client that is gone needs no answer.
    let _ = sender.send(format!("{answer}\u{1e}"));
    true
}
