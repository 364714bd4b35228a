//! The demo: an app server in front of (a local) Azure SignalR Service, as one would write it for the real one.
//!
//! It authenticates to the service as a Microsoft Entra application and answers negotiate for browsers and native
//! clients. What they call it takes from the service's upstream (`--mode serverless`, the default), as a hub behind the service
//! (`--mode app-server`), or, without the service, as a hub of its own (`--mode self-hosted`). Only the [network trouble](trouble)
//! between the clients and the service is the demo's own.

mod page;
mod room;
mod trouble;

use std::{
    error::Error,
    future::{Ready, ready},
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
    local::{EntraApplication, LocalService, Role, ServiceMode},
    server::{HubRequest, Identity, Rejection, azure::AzureSignalR},
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

/// Who takes what clients call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Serverless,
    AppServer,
    SelfHosted,
}

impl Mode {
    const ALL: [(&str, Self); 3] = [
        ("serverless", Self::Serverless),
        ("app-server", Self::AppServer),
        ("self-hosted", Self::SelfHosted),
    ];

    /// What carries the connections.
    fn description(self, service: &str) -> String {
        match self {
            Self::Serverless => {
                format!("behind it, in serverless mode, the local Azure SignalR Service: {service}")
            }
            Self::AppServer => format!("its hub is behind the local Azure SignalR Service: {service}"),
            Self::SelfHosted => {
                "its hub has the connections itself; there is no network trouble to make".to_owned()
            }
        }
    }
}

/// How many tokens were given out.
static TOKENS: AtomicU64 = AtomicU64::new(0);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::WARN).init();
    let (port, mode) = arguments()?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let address = listener.local_addr()?;

    let application = EntraApplication::new(TENANT, APPLICATION, SECRET)
        .role(Role::SignalRAppServer)
        .role(Role::RestApiOwner);
    let upstream = format!("http://{address}/upstream");
    let local = LocalService::builder()
        .application(application)
        .upstream(upstream)
        // Pages from files, as Electron loads them.
        .allow_origin("null")
        .service_mode(if mode == Mode::AppServer { ServiceMode::Default } else { ServiceMode::Serverless })
        .start()
        .await?;
    let network = Network::start(local.port()).await?;

    // On Azure: the resource's own endpoint, and no authority.
    let credential = ClientSecret::new(TENANT, APPLICATION, SECRET).authority(local.authority());
    let endpoint = ServiceEndpoint::new(local.endpoint(), credential)?.client_endpoint(network.origin())?;
    let room = Arc::new(Room::default());
    let app = match mode {
        Mode::Serverless => {
            let hub = ServiceClient::builder().endpoint(endpoint).build()?.hub("chat")?;
            room.speak_through_service(hub.clone());
            let key = AccessKey::new(LocalService::EMULATOR_ACCESS_KEY);
            Router::new()
                .merge(hubwire::axum_routes::negotiate("/chat", hub, options))
                .route_service("/upstream", room.upstream(&key)?)
        }
        Mode::AppServer => {
            let azure = AzureSignalR::new("chat", [endpoint]).access_token_lifetime(TOKEN_LIFETIME);
            let hub = room.hub().authenticate(identity).azure(azure)?.build();
            room.speak_through_hub(hub.clone());
            Router::new().nest_service("/chat", hub)
        }
        Mode::SelfHosted => {
            let hub = room.hub().authenticate(identity).build();
            room.speak_through_hub(hub.clone());
            Router::new().nest_service("/chat", hub)
        }
    };
    let app = app
        .route("/chat/messages", post(publish).with_state(room.clone()))
        .route("/trouble", post(make_trouble).with_state(network.clone()))
        .merge(page::router(network.origin()));

    println!("hubwire demo: http://{address}/");
    println!("{}", mode.description(local.endpoint()));
    println!("join from a terminal: cargo run --example chat -- http://{address}/chat NAME");
    let clock = tokio::spawn(tell(room));
    axum::serve(listener, app).with_graceful_shutdown(interrupted()).await?;
    clock.abort();
    local.stop().await;
    Ok(())
}

/// Who a client is: here, any name that it gives. A real server takes the user from its own sign-in.
fn visitor(query: Option<&str>) -> Result<(String, &'static str), (StatusCode, String)> {
    let uri = format!("/?{}", query.unwrap_or_default()).parse().ok();
    let query = uri.and_then(|uri| axum::extract::Query::<Query>::try_from_uri(&uri).ok());
    let Some(Query { user, role }) = query.map(|query| query.0).filter(|query| !query.user.trim().is_empty())
    else {
        return Err((StatusCode::UNAUTHORIZED, "Say who you are: /chat?user=NAME".to_owned()));
    };
    if user.chars().count() > MAX_NAME {
        return Err((StatusCode::BAD_REQUEST, format!("A name has at most {MAX_NAME} characters.")));
    }
    Ok((user, if role.as_deref() == Some(room::WATCHER) { room::WATCHER } else { "chatter" }))
}

/// In serverless mode.
fn options(parts: Parts) -> Result<NegotiateOptions, NegotiateRejection> {
    let (user, role) =
        visitor(parts.uri.query()).map_err(|(status, text)| NegotiateRejection::new(status, text))?;
    // Two tokens of one second would be the same, and could not expire one by one.
    let number = TOKENS.fetch_add(1, Ordering::Relaxed).to_string();
    Ok(NegotiateOptions::for_user(user).claim("role", role).claim("jti", number).lifetime(TOKEN_LIFETIME))
}

/// Of a hub.
fn identity(request: &HubRequest<'_>) -> Ready<Result<Identity, Rejection>> {
    let visitor = visitor(request.uri().query());
    ready(
        visitor
            .map(|(user, role)| Identity::user(user).claim("role", role))
            .map_err(|(status, text)| Rejection::new(status, text)),
    )
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

fn arguments() -> Result<(u16, Mode), Box<dyn Error>> {
    const USAGE: &str = "usage: hubwire-demo [--port N] [--mode serverless|app-server|self-hosted]";
    let (mut port, mut mode) = (5080, Mode::Serverless);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or(USAGE)?;
        match name.as_str() {
            "--port" => port = value.parse()?,
            "--mode" => mode = Mode::ALL.into_iter().find(|(name, _)| *name == value).ok_or(USAGE)?.1,
            _ => return Err(USAGE.into()),
        }
    }
    Ok((port, mode))
}

async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
