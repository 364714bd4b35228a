//! The reference hub in Rust: the hubs of ASP.NET Core's conformance server, at the same paths, for the same tests.
//!
//! `cargo run --example conformance --features server -- [--port N] [--https] [--stay]` listens on 127.0.0.1, prints one
//! line of JSON with its addresses, and ends with its standard input.

#[path = "../../tests/server/conformance_hub.rs"]
#[allow(dead_code, reason = "the tests use a part of their own")]
mod conformance_hub;
mod faults;
mod line;
mod tokens;

use std::{error::Error, io::Read as _, time::Duration};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::{HeaderValue, Method, Request, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use hubwire::{
    Transport,
    server::{Caller, HubServer, HubServerBuilder},
};
use serde::Deserialize;
use serde_json::{Value, json};

use self::{
    conformance_hub::{Log, conformance_hub_of},
    line::{Line, Lines, Listener},
};

#[derive(Default)]
struct Options {
    port: u16,
    https: bool,
    stay: bool,
}

impl Options {
    fn parse() -> Result<Self, Box<dyn Error>> {
        let (mut options, mut arguments) = (Self::default(), std::env::args().skip(1));
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--port" => options.port = arguments.next().ok_or("--port wants a number")?.parse()?,
                "--https" => options.https = true,
                "--stay" => options.stay = true,
                "--log" => {
                    tracing_subscriber::fmt()
                        .with_writer(std::io::stderr)
                        .with_max_level(tracing::Level::DEBUG)
                        .init();
                }
                _ => {
                    return Err(format!(
                        "usage: conformance [--port N] [--https] [--stay] [--log]; not {argument}"
                    )
                    .into());
                }
            }
        }
        Ok(options)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse()?;
    let (log, lines) = (Log::default(), Lines::default());
    let listener = Listener::bind(options.port, lines.clone()).await?;
    let url = listener.url();
    let (secure, certificate) = match options.https {
        true => Listener::bind_tls(lines.clone()).await.map(|(listener, pem)| (Some(listener), pem))?,
        false => (None, String::new()),
    };
    let https = secure.as_ref().map(Listener::url);
    let app = app(&log, &lines, certificate).into_make_service_with_connect_info::<Line>();
    if let Some(secure) = secure {
        tokio::spawn(axum::serve(secure, app.clone()).into_future());
    }
    let serving = tokio::spawn(axum::serve(listener, app).into_future());
    println!("{}", json!({ "url": url, "https": https, "pid": std::process::id() }));
    if options.stay {
        serving.await??;
    } else {
        tokio::task::spawn_blocking(|| std::io::stdin().lock().read_to_end(&mut Vec::new())).await??;
    }
    Ok(())
}

fn app(log: &Log, lines: &Lines, certificate: String) -> Router {
    let cut = lines.clone();
    let hub = || {
        let cut = cut.clone();
        conformance_hub_of(log).on("Drop", move |caller: Caller| {
            cut.cut(caller.query("id").unwrap_or_default());
            async { Ok(()) }
        })
    };
    let secure = || hub().authenticate(tokens::authenticate);
    let refreshed = log.clone();
    let refreshing = || {
        let log = refreshed.clone();
        secure()
            .enable_authentication_refresh()
            .on_authentication_refresh(|refresh| {
                std::future::ready(!refresh.new_identity().has_claim("role", "refused"))
            })
            .on_authentication_refreshed(move |caller: Caller| {
                *log.lock().refreshes.entry(caller.connection_id().to_owned()).or_default() += 1;
                std::future::ready(())
            })
    };
    let impatient = hub()
        .handshake_timeout(Duration::from_secs(1))
        .client_timeout_interval(Duration::from_secs(2))
        .keep_alive_interval(Duration::from_millis(500));
    let hubs: [(&str, HubServerBuilder); 15] = [
        ("/hub", hub()),
        ("/ws", hub().transports(Transport::WebSockets)),
        ("/sse", hub().transports(Transport::ServerSentEvents)),
        ("/lp", hub().transports(Transport::LongPolling).long_poll_timeout(Duration::from_secs(2))),
        ("/detailed", hub().detailed_errors()),
        ("/parallel", hub().maximum_parallel_invocations_per_client(16)),
        ("/small", hub().maximum_receive_message_size(1024)),
        ("/impatient", impatient),
        ("/stateful", hub().allow_stateful_reconnects()),
        ("/stateful-secure", secure().allow_stateful_reconnects()),
        ("/secure", secure()),
        ("/secure-expiring", secure().close_on_authentication_expiration()),
        ("/refreshing", refreshing()),
        ("/refreshing-expiring", refreshing().close_on_authentication_expiration()),
        ("/chat", chat()),
    ];
    let app = hubs.into_iter().fold(Router::new(), |app, (path, hub)| app.nest_service(path, hub.build()));
    app.merge(faults::routes())
        .route("/", get(|| async { "reference hub" }))
        .route("/token", get(token))
        .route("/stats", get(stats))
        .route("/refreshing/refreshes", get(refreshes).with_state(log.clone()))
        .route("/connections", get(connections).with_state(log.clone()))
        .route("/cut", post(cut_some).with_state(lines.clone()))
        .route("/certificate", get(move || async move { certificate }))
        .layer(middleware::from_fn(line::track))
        .layer(middleware::from_fn(cors))
}

fn chat() -> HubServerBuilder {
    HubServer::builder().on("SendMessage", |caller: Caller, user: String, text: String| async move {
        Ok(caller.clients().all().send("ReceiveMessage", (user, text)).await?)
    })
}

/// Any page may use the hubs, with its cookies and its token.
async fn cors(request: Request<axum::body::Body>, next: Next) -> Response {
    let asked = request.headers().clone();
    let origin = asked.get(header::ORIGIN).cloned();
    let wanted = |name| asked.get(name).cloned().unwrap_or(HeaderValue::from_static("*"));
    let headers = wanted(header::ACCESS_CONTROL_REQUEST_HEADERS);
    let method = wanted(header::ACCESS_CONTROL_REQUEST_METHOD);
    let asks = request.method() == Method::OPTIONS && origin.is_some();
    let mut response = if asks { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    if let Some(origin) = origin {
        let answer = response.headers_mut();
        answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        answer.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        if asks {
            answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, headers);
            answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, method);
        }
        answer.insert(header::VARY, HeaderValue::from_static("Origin"));
    }
    response
}

#[derive(Deserialize)]
struct TokenQuery {
    user: Option<String>,
    ttl: Option<f64>,
    role: Option<String>,
}

async fn token(Query(TokenQuery { user, ttl, role }): Query<TokenQuery>) -> String {
    tokens::create(user.as_deref().unwrap_or("alice"), ttl.unwrap_or(3600.0), role.as_deref())
}

/// What the process has taken so far, as Linux counts it.
async fn stats() -> Json<Value> {
    let field = |text: &str, at: usize| text.split(' ').nth(at).and_then(|n| n.parse::<f64>().ok());
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    // Ticks are hundredths of a second, and pages have 4 KiB, wherever this runs.
    let cpu_s =
        field(after_name, 11).zip(field(after_name, 12)).map(|(user, system)| (user + system) / 100.0);
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    Json(json!({ "cpu_s": cpu_s, "resident_bytes": field(&statm, 1).map(|pages| pages * 4096.0) }))
}

async fn connections(State(log): State<Log>) -> Json<Value> {
    let seen = log.lock();
    let ended: serde_json::Map<_, _> = seen.ended.iter().map(|id| (id.clone(), "".into())).collect();
    Json(json!({ "open": seen.open, "ended": ended }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Connection {
    connection_id: String,
}

async fn refreshes(State(log): State<Log>, Query(of): Query<Connection>) -> String {
    log.lock().refreshes.get(&of.connection_id).copied().unwrap_or_default().to_string()
}

#[derive(Deserialize)]
struct CutQuery {
    id: Option<String>,
    path: Option<String>,
}

async fn cut_some(State(lines): State<Lines>, Query(CutQuery { id, path }): Query<CutQuery>) -> String {
    let count = match id {
        Some(id) => lines.cut(&id),
        None => lines.cut_path(path.as_deref().unwrap_or("/")),
    };
    count.to_string()
}
