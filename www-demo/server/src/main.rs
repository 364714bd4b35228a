//! The demo: an app server in front of (a local) Azure SignalR Service, as one would write it for the real one.
//!
//! It authenticates to the service as a Microsoft Entra application, answers negotiate for browsers and native
//! clients, and takes what they call from the service's upstream. Only the [network trouble](trouble) between the
//! clients and the service is the demo's own.

mod page;
mod room;
mod trouble;

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, request::Parts},
    response::IntoResponse,
    routing::post,
};
use hubwire::{
    local::{EntraApplication, LocalService, Role},
    service::{
        NegotiateOptions, NegotiateRejection, ServiceClient, ServiceEndpoint,
        credentials::{AccessKey, ClientSecret},
    },
};
use room::Room;
use serde::Deserialize;
use tokio::net::TcpListener;
use trouble::{Network, Trouble};

// An application registration of the local Entra authority. For Azure these come from the environment.
const TENANT: &str = "11111111-2222-3333-4444-555555555555";
const APPLICATION: &str = "66666666-7777-8888-9999-000000000000";
const SECRET: &str = "a secret of the demo that opens nothing else";

const MAX_NAME: usize = 40;
const TOKEN_LIFETIME: Duration = Duration::from_secs(10 * 60);

/// How many tokens were given out.
static TOKENS: AtomicU64 = AtomicU64::new(0);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::WARN).init();
    let listener = TcpListener::bind(("127.0.0.1", port()?)).await?;
    let address = listener.local_addr()?;

    let application = EntraApplication::new(TENANT, APPLICATION, SECRET)
        .role(Role::SignalRAppServer)
        .role(Role::RestApiOwner);
    let upstream = format!("http://{address}/upstream");
    let local = LocalService::builder().application(application).upstream(upstream).start().await?;
    let network = Network::start(local.port()).await?;

    // On Azure: the resource's own endpoint, and no authority.
    let credential = ClientSecret::new(TENANT, APPLICATION, SECRET).authority(local.authority());
    let endpoint = ServiceEndpoint::new(local.endpoint(), credential)?.client_endpoint(network.origin())?;
    let hub = ServiceClient::builder().endpoint(endpoint).build()?.hub("chat")?;
    let room = Arc::new(Room::new(hub.clone()));

    let app = Router::new()
        .merge(hubwire::axum_routes::negotiate("/chat", hub, options))
        .route("/chat/messages", post(publish).with_state(room.clone()))
        .route_service("/upstream", room.upstream(&AccessKey::new(LocalService::EMULATOR_ACCESS_KEY))?)
        .route("/trouble", post(make_trouble).with_state(network.clone()))
        .merge(page::router(network.origin()));

    println!("hubwire demo: http://{address}/");
    println!("the local Azure SignalR Service behind it: {}", local.endpoint());
    println!("join from a terminal: cargo run --example chat -- http://{address}/chat NAME");
    let clock = tokio::spawn(tell(room));
    axum::serve(listener, app).with_graceful_shutdown(interrupted()).await?;
    clock.abort();
    local.stop().await;
    Ok(())
}

/// Who a client is: here, any name that it gives. A real server takes the user from its own sign-in.
fn options(parts: Parts) -> Result<NegotiateOptions, NegotiateRejection> {
    let uri = format!("/?{}", parts.uri.query().unwrap_or_default()).parse().ok();
    let query = uri.and_then(|uri| axum::extract::Query::<Query>::try_from_uri(&uri).ok());
    let Some(Query { user, role }) = query.map(|query| query.0).filter(|query| !query.user.trim().is_empty())
    else {
        return Err(NegotiateRejection::new(StatusCode::UNAUTHORIZED, "Say who you are: /chat?user=NAME"));
    };
    if user.chars().count() > MAX_NAME {
        let text = format!("A name has at most {MAX_NAME} characters.");
        return Err(NegotiateRejection::new(StatusCode::BAD_REQUEST, text));
    }
    let role = if role.as_deref() == Some(room::WATCHER) { room::WATCHER } else { "chatter" };
    // Two tokens of one second would be the same, and could not expire one by one.
    let number = TOKENS.fetch_add(1, Ordering::Relaxed).to_string();
    Ok(NegotiateOptions::for_user(user).claim("role", role).claim("jti", number).lifetime(TOKEN_LIFETIME))
}

#[derive(Deserialize)]
struct Query {
    user: String,
    role: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    user: String,
    text: String,
}

/// For those who have no connection: a message by plain HTTP.
async fn publish(State(room): State<Arc<Room>>, Json(message): Json<Message>) -> impl IntoResponse {
    let Message { user, text } = message;
    if user.trim().is_empty() || user.chars().count() > MAX_NAME || !room::is_sayable(&text) {
        return (StatusCode::BAD_REQUEST, "A message has a name and a text, neither too long.")
            .into_response();
    }
    match room.say(&user, &text).await {
        Ok(()) => StatusCode::ACCEPTED.into_response(),
        Err(_) => (StatusCode::BAD_GATEWAY, "The message could not be published.").into_response(),
    }
}

#[derive(Deserialize)]
struct TroubleRequest {
    user: String,
    #[serde(flatten)]
    trouble: Trouble,
}

async fn make_trouble(
    State(network): State<Arc<Network>>,
    Json(request): Json<TroubleRequest>,
) -> Json<serde_json::Value> {
    Json(serde_json::json!({ "connections": network.make(&request.user, request.trouble) }))
}

/// Publishes the time and the figures of the room every second, at the second.
async fn tell(room: Arc<Room>) {
    loop {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        tokio::time::sleep(Duration::from_nanos(1_000_000_000 - u64::from(now.subsec_nanos()))).await;
        room.tell(&humantime::format_rfc3339_seconds(SystemTime::now()).to_string()).await;
    }
}

fn port() -> Result<u16, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next(), arguments.next()) {
        (None, ..) => Ok(5080),
        (Some("--port"), Some(port), None) => Ok(port.parse()?),
        _ => Err("usage: hubwire-demo [--port N]".into()),
    }
}

async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
