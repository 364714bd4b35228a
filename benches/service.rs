//! The service's side, in one run: `cargo xtask bench`.
//!
//! - Client tokens: all of `negotiate` against the signature alone of `jsonwebtoken`.
//! - The negotiate endpoint against ASP.NET Core's with Microsoft's library (in the reference folder, which
//!   `HUBWIRE_REFERENCE_DIR` names), by the server's CPU time, under the same load.
//! - Messages by REST against what one writes by hand with `reqwest` and `jsonwebtoken`, by the client's CPU time, to the
//!   same server.

#[path = "../tests/support/http.rs"]
mod plain_http;
#[path = "../tests/support/mod.rs"]
mod support;
mod table;

use std::{
    hint::black_box,
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Instant,
};

use axum::http::StatusCode;
use hubwire::service::{HubClient, NegotiateOptions, ServiceClient, ServiceEndpoint, credentials::AccessKey};
use serde_json::{Value, json};
use table::{Clock, row};

const KEY: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789ABCDEFGH";
const SIGN: &str = "negotiate against jsonwebtoken, tokens/s";
const NEGOTIATE: &str = "negotiate endpoint, requests per CPU second";
const PUBLISH: &str = "REST publish against reqwest by hand, per CPU second";
/// How many requests are under way at once.
const CALLERS: u32 = 32;

fn main() {
    if let Some(role) =
        std::env::args().nth(1).and_then(|argument| argument.strip_prefix("--serve=").map(str::to_owned))
    {
        return runtime().block_on(serve(&role));
    }
    if !table::is_wanted() {
        return;
    }
    table::heading();
    if table::has_row(SIGN) {
        sign();
    }
    runtime().block_on(async {
        if table::has_row(NEGOTIATE) {
            negotiate_endpoint().await;
        }
        if table::has_row(PUBLISH) {
            publish().await;
        }
    });
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn hub(url: &str) -> HubClient {
    let endpoint = ServiceEndpoint::new(url, AccessKey::new(KEY)).unwrap();
    ServiceClient::builder().endpoint(endpoint).build().unwrap().hub("chat").unwrap()
}

/// The claims that `negotiate` makes of it.
fn client() -> NegotiateOptions {
    NegotiateOptions::for_user("alice").claim("role", "reader")
}

/// Client tokens per second, on one thread.
fn sign() {
    const COUNT: u32 = 200_000;
    let hub = hub("https://contoso.service.signalr.net");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let ours = runtime.block_on(async {
        let start = Instant::now();
        for _ in 0..COUNT {
            black_box(hub.negotiate(client()).await.unwrap());
        }
        f64::from(COUNT) / start.elapsed().as_secs_f64()
    });
    let encoding = jsonwebtoken::EncodingKey::from_secret(KEY.as_bytes());
    let start = Instant::now();
    for n in 0..COUNT {
        black_box(token(&encoding, n.into(), "https://contoso.service.signalr.net/client/?hub=chat"));
    }
    let theirs = f64::from(COUNT) / start.elapsed().as_secs_f64();
    row(SIGN, ours, Some(theirs));
}

fn token(key: &jsonwebtoken::EncodingKey, now: u64, audience: &str) -> String {
    let claims = json!({
        "asrs.s.uid": "alice", "role": "reader", "nbf": now, "exp": now + 3600, "iat": now, "aud": audience,
    });
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, key).unwrap()
}

async fn negotiate_endpoint() {
    const COUNT: u32 = 60_000;
    let Some(base) = support::reference_hub("ASP.NET Core's negotiate endpoint") else { return };
    let client = plain_http::plain_http().build().unwrap();
    let mut server = Served::start("negotiate");
    let (mut ours, mut theirs) = (0.0, 0.0);
    for count in [COUNT / 4, COUNT] {
        let clock = Clock::of(server.child.id().to_string());
        load(&client, &format!("{}/chat/negotiate?negotiateVersion=1", server.url), count).await;
        ours = clock.rate(count);

        let before = cpu_seconds(&client, base).await;
        load(&client, &format!("{base}/peer/negotiate?user=alice"), count).await;
        theirs = f64::from(count) / (cpu_seconds(&client, base).await - before);
    }
    server.end();
    row(NEGOTIATE, ours, Some(theirs));
}

async fn cpu_seconds(client: &reqwest::Client, base: &str) -> f64 {
    let stats: Value = client.get(format!("{base}/stats")).send().await.unwrap().json().await.unwrap();
    stats["cpu_s"].as_f64().expect("the server's CPU time")
}

/// Posts `count` times and checks every answer.
async fn load(client: &reqwest::Client, url: &str, count: u32) {
    share(count, || async {
        let response = client.post(url).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let body = response.bytes().await.unwrap();
        assert!(body.windows(11).any(|part| part == b"accessToken"), "{body:?}");
    })
    .await;
}

/// Does something `count` times, some at once.
async fn share<F: Future<Output = ()>>(count: u32, each: impl Fn() -> F) {
    let left = AtomicU32::new(count);
    let callers = (0..CALLERS).map(|_| async {
        while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            each().await;
        }
    });
    futures_util::future::join_all(callers).await;
}

async fn publish() {
    const COUNT: u32 = 60_000;
    let mut server = Served::start("rest");
    let hub = hub(&server.url);
    let key = jsonwebtoken::EncodingKey::from_secret(KEY.as_bytes());
    let client = plain_http::plain_http().build().unwrap();
    let path = "/api/hubs/chat/users/alice/:send?api-version=2024-12-01";
    let (url, audience) = (format!("{}{path}", server.url), format!("http://127.0.0.1{path}"));
    let (mut ours, mut theirs) = (0.0, 0.0);
    for count in [COUNT / 4, COUNT] {
        let clock = Clock::start();
        share(count, || async { hub.user("alice").send("ReceiveMessage", ("bob", "hello")).await.unwrap() })
            .await;
        ours = clock.rate(count);

        let clock = Clock::start();
        share(count, || async {
            let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
            let body = json!({ "target": "ReceiveMessage", "arguments": ["bob", "hello"] });
            let request = client.post(&url).bearer_auth(token(&key, now, &audience)).json(&body);
            assert_eq!(request.send().await.unwrap().status(), StatusCode::ACCEPTED);
        })
        .await;
        theirs = clock.rate(count);
    }
    server.end();
    row(PUBLISH, ours, Some(theirs));
}

/// A server in a process of its own, so that its CPU time is its own.
struct Served {
    child: Child,
    url: String,
}

impl Served {
    fn start(role: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let mut child = command
            .arg(format!("--serve={role}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program runs again");
        let mut url = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut url).unwrap();
        Self { child, url: url.trim().to_owned() }
    }

    /// It ends with its input.
    fn end(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

async fn serve(role: &str) {
    let router = match role {
        "negotiate" => {
            hubwire::axum_routes::negotiate("/chat", hub("https://contoso.service.signalr.net"), |_| client())
        }
        // What the service answers to a message, once it has read it.
        _ => axum::Router::new().fallback(|body: axum::body::Bytes| async move {
            drop(body);
            StatusCode::ACCEPTED
        }),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await.unwrap().unwrap();
    server.abort();
}
