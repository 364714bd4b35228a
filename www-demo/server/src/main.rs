//! The demo: an app server in front of (a local) Azure SignalR Service, as one would write it for the real one.
//!
//! It authenticates to the service as a Microsoft Entra application, answers negotiate for browsers and native
//! clients, publishes what they post, and tells everybody the time.

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::http::{StatusCode, request::Parts};
use axum::response::IntoResponse;
use axum::routing::post;
use axum::{Json, Router};
use hubwire::local::{EntraApplication, LocalService, Role};
use hubwire::service::{
    AccessKey, ClientSecret, HubClient, NegotiateOptions, NegotiateRejection, ServiceClient, ServiceEndpoint,
    UpstreamError, UpstreamRouter,
};
use serde::Deserialize;
use tower_http::services::ServeDir;

// An application registration of the local Entra authority. For Azure these come from the environment.
const TENANT: &str = "11111111-2222-3333-4444-555555555555";
const APPLICATION: &str = "66666666-7777-8888-9999-000000000000";
const SECRET: &str = "a secret of the demo that opens nothing else";

const MAX_NAME: usize = 40;
const MAX_TEXT: usize = 2000;
const TOKEN_LIFETIME: Duration = Duration::from_secs(10 * 60);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::WARN).init();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port()?)).await?;
    let upstream = format!("http://{}/upstream", listener.local_addr()?);

    let application = EntraApplication::new(TENANT, APPLICATION, SECRET)
        .with_role(Role::SignalRAppServer)
        .with_role(Role::RestApiOwner);
    let local = LocalService::builder().application(application).upstream(upstream).start().await?;

    // On Azure: the resource's own endpoint, and no authority.
    let credential = ClientSecret::new(TENANT, APPLICATION, SECRET).authority(local.authority());
    let service =
        ServiceClient::builder().endpoint(ServiceEndpoint::new(local.endpoint(), credential)?).build()?;
    let hub = service.hub("chat")?;

    let page = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../page/dist");
    let app = Router::new()
        .merge(hubwire::axum::negotiate("/chat", hub.clone(), options))
        .route("/chat/messages", post(publish).with_state(hub.clone()))
        .route_service("/upstream", upstream_router(&hub))
        .fallback_service(ServeDir::new(page));

    println!("hubwire demo: http://{}/", listener.local_addr()?);
    println!("the local Azure SignalR Service behind it: {}", local.endpoint());
    println!("join from a terminal: cargo run --example chat -- http://{}/chat NAME", listener.local_addr()?);
    let clock = tokio::spawn(tell_the_time(hub));
    axum::serve(listener, app).with_graceful_shutdown(interrupted()).await?;
    clock.abort();
    local.stop().await;
    Ok(())
}

/// Who a client is: here, whoever it says. A real server takes the user from its own sign-in.
fn options(parts: &Parts) -> Result<NegotiateOptions, NegotiateRejection> {
    let user = user(parts.uri.query().unwrap_or_default()).filter(|user| !user.trim().is_empty());
    match user {
        Some(user) if user.chars().count() <= MAX_NAME => {
            Ok(NegotiateOptions::for_user(user).claim("role", "chatter").lifetime(TOKEN_LIFETIME))
        }
        Some(_) => Err(NegotiateRejection::new(
            StatusCode::BAD_REQUEST,
            format!("A name has at most {MAX_NAME} characters."),
        )),
        None => Err(NegotiateRejection::new(StatusCode::UNAUTHORIZED, "Say who you are: /chat?user=NAME")),
    }
}

/// What clients can call: the service hands it on in requests that it has signed.
fn upstream_router(hub: &HubClient) -> UpstreamRouter {
    let hub = hub.clone();
    UpstreamRouter::new().access_key(&AccessKey::new(LocalService::EMULATOR_ACCESS_KEY)).on_message(
        "chat",
        "Say",
        move |message| {
            let hub = hub.clone();
            async move {
                let (text,): (String,) = message.arguments()?;
                if text.trim().is_empty() || text.len() > MAX_TEXT {
                    return Err(UpstreamError::new("A message has a text, not too long."));
                }
                let user = message.client().user_id().unwrap_or("somebody");
                hub.all().send("ReceiveMessage", (user, text)).await.map_err(|error| {
                    tracing::error!(%error, "publishing failed");
                    UpstreamError::new("The message could not be published.")
                })
            }
        },
    )
}

#[derive(Deserialize)]
struct Query {
    user: String,
}

fn user(query: &str) -> Option<String> {
    let uri = format!("/?{query}").parse().ok()?;
    axum::extract::Query::<Query>::try_from_uri(&uri).ok().map(|query| query.0.user)
}

#[derive(Deserialize)]
struct Message {
    user: String,
    text: String,
}

/// Azure SignalR Service in serverless mode has no hub of the server's to call: clients post to the app server,
/// which publishes through the service.
async fn publish(State(hub): State<HubClient>, Json(message): Json<Message>) -> impl IntoResponse {
    let Message { user, text } = message;
    if user.trim().is_empty()
        || user.chars().count() > MAX_NAME
        || text.trim().is_empty()
        || text.len() > MAX_TEXT
    {
        return (StatusCode::BAD_REQUEST, "A message has a name and a text, neither too long.")
            .into_response();
    }
    match hub.all().send("ReceiveMessage", (user, text)).await {
        Ok(()) => StatusCode::ACCEPTED.into_response(),
        Err(error) => {
            tracing::error!(%error, "publishing failed");
            (StatusCode::BAD_GATEWAY, "The message could not be published.").into_response()
        }
    }
}

/// Publishes the time every second, at the second.
async fn tell_the_time(hub: HubClient) {
    loop {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        tokio::time::sleep(Duration::from_nanos(1_000_000_000 - u64::from(now.subsec_nanos()))).await;
        if let Err(error) =
            hub.all().send("Clock", (humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),)).await
        {
            tracing::error!(%error, "the clock could not be published");
        }
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
