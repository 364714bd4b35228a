//! The hub's requests: who a client is, and which way its request goes.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    body::{Body, Bytes},
    extract::{FromRequestParts as _, ws::WebSocketUpgrade},
    response::{IntoResponse, Response},
};
use http::{Method, Request, StatusCode, request::Parts};

use super::{
    dispatcher::{Guest, HubDispatcher},
    hub_server::HubServer,
    identity::{HubRequest, Identity, Rejection},
    lifetime::HUB,
    state::Hub,
};
use crate::server::{
    endpoint::{self, Admission, Opening, Refusal},
    query::Query,
    session::{Admitted, Session},
};

/// The longest body of a POST of Server-Sent Events or long polling, in bytes. It may carry several messages.
const MAX_BODY: usize = 4 * 1024 * 1024;

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
    let (parts, body) = request.into_parts();
    match answer(hub, parts, body).await {
        Ok(response) => response,
        Err(Rejection { status, text }) => (status, text).into_response(),
    }
}

async fn answer(hub: &Arc<Hub>, mut parts: Parts, body: Body) -> Result<Response, Rejection> {
    let identity = {
        let request = HubRequest::new(&parts);
        (hub.authenticate)(&request)
    };
    let identity = identity.await?;
    let client = admission(hub, &identity);
    let query = Query::parse(parts.uri.query());
    let negotiates = parts.uri.path().trim_end_matches('/').ends_with("/negotiate");
    match parts.method {
        Method::POST if negotiates => Ok(endpoint::negotiate(&hub.room, client, &query)?.into_response()),
        _ if negotiates => Err(Rejection::new(StatusCode::METHOD_NOT_ALLOWED, "")),
        Method::GET => {
            let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &()).await;
            let opening =
                Opening { room: &hub.room, client, query: &query, headers: &parts.headers, upgrade };
            let opened = endpoint::open(opening, |admitted| {
                let guest = Guest {
                    connection_id: admitted.negotiation.connection_id.clone(),
                    identity,
                    headers: parts.headers.clone(),
                    query: Query::parse(parts.uri.query()),
                };
                session(hub, admitted, guest)
            });
            Ok(opened.await?)
        }
        Method::POST => {
            let body = axum::body::to_bytes(body, MAX_BODY).await;
            let body = body.map_err(|_| Rejection::new(StatusCode::PAYLOAD_TOO_LARGE, ""))?;
            Ok(endpoint::send(&hub.room, &client, &query, body).await?.into_response())
        }
        Method::DELETE => Ok(endpoint::leave(&hub.room, &client, &query)?.into_response()),
        _ => Err(Rejection::new(StatusCode::METHOD_NOT_ALLOWED, "")),
    }
}

/// What becomes of a client that was let in.
pub(super) fn session(hub: &Arc<Hub>, admitted: Admitted, guest: Guest) -> Session<HubDispatcher> {
    Session { admitted, dispatcher: HubDispatcher::new(hub.clone(), guest) }
}

pub(super) fn admission(hub: &Hub, identity: &Identity) -> Admission {
    let seconds = |at: SystemTime| at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Admission {
        hub: HUB.to_owned(),
        user: identity.user_id.clone(),
        transports: hub.transports,
        handshake_timeout: None,
        poll_interval: hub.poll_interval,
        expiry: identity.expires.map(seconds),
        claims: Arc::default(),
        may_resume: false,
    }
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.status(), refusal.to_string())
    }
}
