//! The hub's requests: who a client is, and which way its request goes.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    extract::{ConnectInfo, FromRequestParts as _, OriginalUri, ws::WebSocketUpgrade},
    response::{IntoResponse, Response},
};
use futures_util::StreamExt as _;
use http::{Method, Request, StatusCode, Uri, request::Parts};
use tokio::time::{Instant, timeout_at};

use super::{
    dispatcher::{Guest, HubDispatcher},
    hub_server::HubServer,
    identity::{HubRequest, Identity, Rejection},
    lifetime::HUB,
    refresh,
    state::Hub,
};
use crate::cors::host_of;
#[cfg(feature = "service")]
use crate::server::azure;
use crate::server::{
    endpoint::{self, Admission, Opening, Refusal},
    observe::{Kind, Observed, Who},
    query::Query,
    session::{Admitted, Session},
};
#[cfg(feature = "actix")]
use crate::{core::negotiate::Transport, platform::Pipe};

/// The longest body of a POST of Server-Sent Events or long polling, in bytes. It may carry several messages.
const MAX_BODY: usize = 4 * 1024 * 1024;

/// A body has to come at this rate, in bytes a second, after a time of grace: Kestrel's `MinRequestBodyDataRate`.
const MIN_RATE: u64 = 240;
const GRACE: Duration = Duration::from_secs(5);

/// The longest URL, access token and all: Kestrel's `MaxRequestLineSize`.
const MAX_URL: usize = 8 * 1024;

/// What the headers may come to, which are kept for as long as a connection lasts: Kestrel's `MaxRequestHeadersTotalSize`.
const MAX_HEADERS: usize = 32 * 1024;

/// When a client that finds no room may try again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

impl<B> tower_service::Service<Request<B>> for HubServer
where
    B: http_body::Body<Data = Bytes, Error: Into<axum::BoxError>> + Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let hub = self.hub.clone();
        Box::pin(async move { Ok(serve(&hub, request.map(Body::new)).await) })
    }
}

async fn serve(hub: &Arc<Hub>, request: Request<Body>) -> Response {
    let Some(observer) = hub.room.observer().cloned() else { return respond(hub, request).await };
    // As the client has asked, wherever the hub is nested.
    let uri = request.extensions().get::<OriginalUri>().map_or(request.uri(), |OriginalUri(uri)| uri);
    let (method, path, begun) = (request.method().to_string(), uri.path().to_owned(), Instant::now());
    let negotiates = path.trim_end_matches('/').ends_with("/negotiate");
    let mut response = respond(hub, request).await;
    let status = response.status().as_u16();
    // Connections are seen elsewhere, and polls are many.
    if negotiates || status >= 400 {
        let kind = if negotiates { Kind::Negotiate } else { Kind::Refused };
        let who = response.extensions_mut().remove::<Who>();
        let user = who.and_then(|Who(user)| user);
        let (method, path, hub) = (Some(method), Some(path), Some(HUB.to_owned()));
        let observed = Observed { method, path, hub, user, ..Observed::new(kind) };
        observer.record(observed.answered(status, response.extensions().get()).took(begun.into_std()));
    }
    response
}

async fn respond(hub: &Arc<Hub>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let cors = &hub.front.cors;
    if !cors.is_on() {
        return answer(hub, parts, body).await.unwrap_or_else(IntoResponse::into_response);
    }
    let headers = parts.headers.clone();
    let mut response = match checked(hub, &parts) {
        Some(response) => response,
        None => answer(hub, parts, body).await.unwrap_or_else(IntoResponse::into_response),
    };
    cors.apply(&headers, response.headers_mut());
    response
}

/// What is answered to a page of another origin before anybody looks at its request.
fn checked(hub: &Hub, parts: &Parts) -> Option<Response> {
    let cors = &hub.front.cors;
    if cors.is_foreign(&parts.headers, host_of(parts)) {
        return Some(Rejection::forbidden().into_response());
    }
    let asks = parts.method == Method::OPTIONS;
    asks.then(|| cors.preflight(&parts.headers, "GET, POST, DELETE"))?.map(|answer| answer.map(Body::from))
}

/// Opens a connection over a socket that somebody else has: what would be a WebSocket. Gives its other end.
#[cfg(feature = "actix")]
pub(in crate::server) async fn open_pipe(server: &HubServer, parts: Parts) -> Result<Pipe, Response> {
    let hub = &server.hub;
    if let Some(response) = checked(hub, &parts) {
        return Err(response);
    }
    let opened = async {
        check_size(&parts)?;
        let identity = authenticate(hub, &parts).await?;
        #[cfg(feature = "service")]
        if hub.azure.is_some() {
            return Err(azure::not_here());
        }
        let client = admission(hub, &identity);
        let query = Query::parse(parts.uri.query());
        let opened = endpoint::open_pipe(&hub.room, client, &query, |admitted| {
            let connection_id = admitted.negotiation.connection_id.clone();
            let guest = Guest {
                connection_id,
                identity,
                transport: Some(Transport::WebSockets),
                is_stateful: admitted.negotiation.is_stateful,
                headers: parts.headers,
                query: Query::parse(parts.uri.query()),
                slot: admitted.slot.clone(),
            };
            session(hub, admitted, guest)
        });
        Ok::<_, Rejection>(opened?)
    };
    opened.await.map_err(IntoResponse::into_response)
}

async fn authenticate(hub: &Hub, parts: &Parts) -> Result<Identity, Rejection> {
    let identity = {
        let request = HubRequest::new(parts);
        (hub.authenticate)(&request)
    };
    let identity = identity.await?;
    hub.rules.policies.admit(&identity, &parts.headers, parts.uri.query()).await?;
    Ok(identity)
}

async fn answer(hub: &Arc<Hub>, mut parts: Parts, body: Body) -> Result<Response, Rejection> {
    check_size(&parts)?;
    let path = parts.uri.path().trim_end_matches('/');
    let (negotiates, refreshes) = (path.ends_with("/negotiate"), path.ends_with("/refresh"));
    if refreshes && !hub.front.refreshes && !is_elsewhere(hub) {
        return Err(Rejection::new(StatusCode::NOT_FOUND, ""));
    }
    let identity = authenticate(hub, &parts).await?;
    #[cfg(feature = "service")]
    if let Some(azure) = &hub.azure {
        return azure::answer(azure, hub, &parts, identity).await;
    }
    if refreshes {
        return Ok(refresh::answer(hub, &parts.method, &parts.headers, identity).await);
    }
    let address = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let client = Admission { address, ..admission(hub, &identity) };
    let query = Query::parse(parts.uri.query());
    match parts.method {
        Method::POST if negotiates => {
            let user = client.user.clone();
            let mut response = endpoint::negotiate(&hub.room, client, &query)?.into_response();
            if hub.room.observer().is_some() {
                response.extensions_mut().insert(Who(user));
            }
            Ok(response)
        }
        _ if negotiates => Err(Rejection::new(StatusCode::METHOD_NOT_ALLOWED, "")),
        Method::GET => {
            let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &()).await;
            let transport = endpoint::transport_of(&parts.headers, &upgrade)?;
            let opening =
                Opening { room: &hub.room, client, query: &query, headers: &parts.headers, upgrade };
            let opened = endpoint::open(opening, |admitted| {
                let guest = Guest {
                    connection_id: admitted.negotiation.connection_id.clone(),
                    identity,
                    transport: Some(transport),
                    is_stateful: admitted.negotiation.is_stateful,
                    headers: parts.headers.clone(),
                    query: Query::parse(parts.uri.query()),
                    slot: admitted.slot.clone(),
                };
                session(hub, admitted, guest)
            });
            match opened.await {
                // The client's authentication is another user's by now.
                Err(Refusal::Unknown) if hub.front.refreshes && is_open(hub, &query) => {
                    Ok(refresh::required())
                }
                opened => Ok(opened?),
            }
        }
        Method::POST if endpoint::keep(&hub.room, &client, &query, b"") => {
            Ok(endpoint::send(&hub.room, &client, &query, read(body).await?).await?.into_response())
        }
        Method::POST => {
            let receiver = endpoint::receiver(&hub.room, &client, &query)?;
            let _turn = receiver.turn().await;
            receiver.send(read(body).await?).await.map_err(|_| Refusal::Unknown)?;
            Ok(StatusCode::OK.into_response())
        }
        Method::DELETE => Ok(endpoint::leave(&hub.room, &client, &query)?.into_response()),
        _ => Err(Rejection::new(StatusCode::METHOD_NOT_ALLOWED, "")),
    }
}

/// Whether the hub's clients connect to Azure SignalR Service.
fn is_elsewhere(hub: &Hub) -> bool {
    #[cfg(feature = "service")]
    let is_elsewhere = hub.azure.is_some();
    #[cfg(not(feature = "service"))]
    let is_elsewhere = {
        let _ = hub;
        false
    };
    is_elsewhere
}

/// Whether a connection is open, whichever client it belongs to.
fn is_open(hub: &Hub, query: &Query) -> bool {
    query.first("id").is_some_and(|id| hub.room.negotiated.owner(id, HUB).is_some())
}

/// Bounds what is kept for a client, and what is looked at for anybody.
fn check_size(parts: &Parts) -> Result<(), Rejection> {
    let url = |uri: &Uri| uri.path_and_query().map_or(0, |text| text.as_str().len());
    if url(&parts.uri) > MAX_URL {
        return Err(Rejection::new(StatusCode::URI_TOO_LONG, ""));
    }
    let headers = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    if headers.sum::<usize>() > MAX_HEADERS {
        return Err(Rejection::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, ""));
    }
    Ok(())
}

/// Reads a body, which may be neither too long nor too slow.
async fn read(body: Body) -> Result<Bytes, Rejection> {
    let (begun, mut chunks, mut read) = (Instant::now(), body.into_data_stream(), Vec::new());
    loop {
        let due = begun + GRACE + Duration::from_secs(read.len() as u64 / MIN_RATE);
        let Ok(chunk) = timeout_at(due, chunks.next()).await else {
            return Err(Rejection::new(StatusCode::REQUEST_TIMEOUT, ""));
        };
        match chunk {
            Some(Ok(chunk)) if read.len() + chunk.len() <= MAX_BODY => read.extend_from_slice(&chunk),
            Some(Ok(_)) => return Err(Rejection::new(StatusCode::PAYLOAD_TOO_LARGE, "")),
            Some(Err(_)) => return Err(Rejection::new(StatusCode::BAD_REQUEST, "")),
            None => return Ok(read.into()),
        }
    }
}

/// What becomes of a client that was let in.
pub(super) fn session(hub: &Arc<Hub>, admitted: Admitted, guest: Guest) -> Session<HubDispatcher> {
    Session { admitted, dispatcher: HubDispatcher::new(hub.clone(), guest) }
}

pub(super) fn admission(hub: &Hub, identity: &Identity) -> Admission {
    Admission {
        hub: HUB.to_owned(),
        user: identity.user_id.clone(),
        transports: hub.transports,
        handshake_timeout: None,
        poll_interval: hub.poll_interval,
        expiry: hub.front.end(identity),
        claims: Arc::default(),
        lifetime: hub.front.lifetime(identity),
        address: None,
        may_resume: hub.room.options.stateful_buffer.is_some(),
    }
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        let rejection = Self::new(refusal.status(), refusal.to_string());
        if refusal.status() == StatusCode::SERVICE_UNAVAILABLE {
            rejection.retry_after(RETRY_AFTER)
        } else {
            rejection
        }
    }
}
