//! Hubs in an application of [`actix-web`](https://docs.rs/actix-web).

use std::net::SocketAddr;

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    http::StatusCode,
    rt,
    web::{self, Payload, ServiceConfig},
};
use actix_ws::{AggregatedMessage, CloseCode, MessageStream, Session};
use axum::{body::Body, extract::ConnectInfo, response::Response};
use futures_util::{StreamExt as _, stream};
use http::{Request, header};
use http_body::Body as _;
use tokio::{sync::mpsc, time};
use tower_service::Service as _;

use super::host::{HubServer, open_pipe};
use crate::{
    platform::{Pipe, PipeReceiver, PipeSender},
    server::{session::CLOSE_TIMEOUT, transport::MAX_FRAME},
};

/// A hub at `path`, for `App::configure`: negotiate, all transports, and the refresh of authentications.
///
/// [`authenticate`](super::HubServerBuilder::authenticate) gets headers and query of a request; what a middleware of
/// actix-web puts into its extensions stays there. The hub runs on the runtime of the worker that a client comes to, and its
/// clones are one hub, so that it is built once, outside of the factory of `HttpServer`.
///
/// ```no_run
/// use actix_web::{App, HttpServer};
/// use hubwire::server::{Caller, HubServer};
///
/// # async fn run() -> std::io::Result<()> {
/// let chat = HubServer::builder().on("Add", |_: Caller, a: i32, b: i32| async move { Ok(a + b) }).build();
/// HttpServer::new(move || App::new().configure(hubwire::server::actix::hub("/chat", chat.clone())))
///     .bind(("127.0.0.1", 8080))?
///     .run()
///     .await
/// # }
/// ```
pub fn hub(path: &str, hub: HubServer) -> impl FnOnce(&mut ServiceConfig) + Clone + use<> {
    let path = path.trim_end_matches('/').to_owned();
    move |config| {
        for end in ["", "/", "/negotiate", "/refresh"] {
            let hub = hub.clone();
            let answer = move |request: HttpRequest, payload: Payload| answer(hub.clone(), request, payload);
            config.service(web::resource(format!("{path}{end}")).route(web::route().to(answer)));
        }
    }
}

async fn answer(mut hub: HubServer, request: HttpRequest, payload: Payload) -> HttpResponse {
    let Some(head) = converted(&request) else { return HttpResponse::BadRequest().finish() };
    if is_upgrade(&request) {
        return upgrade(&hub, head, &request, payload).await;
    }
    let response = match hub.call(head.map(|()| body(payload))).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    answered(response).await
}

/// Whether a request is one for a WebSocket.
pub(crate) fn is_upgrade(request: &HttpRequest) -> bool {
    request.headers().contains_key(actix_web::http::header::UPGRADE)
}

/// Opens a WebSocket, which is actix-web's. `head` is the request's.
pub(crate) async fn upgrade(
    hub: &HubServer,
    head: Request<()>,
    request: &HttpRequest,
    payload: Payload,
) -> HttpResponse {
    let (response, session, messages) = match actix_ws::handle(request, payload) {
        Ok(handshake) => handshake,
        Err(error) => return error.error_response(),
    };
    match open_pipe(hub, head.into_parts().0).await {
        Ok(pipe) => {
            rt::spawn(carry(pipe, session, messages));
            response
        }
        Err(refusal) => answered(refusal).await,
    }
}

/// actix-web has types of its own for what a request is made of.
pub(crate) fn converted(request: &HttpRequest) -> Option<Request<()>> {
    let mut builder = Request::builder().method(request.method().as_str()).uri(request.uri().to_string());
    for (name, value) in request.headers() {
        builder = builder.header(name.as_str(), value.as_bytes());
    }
    if let Some(address) = request.peer_addr() {
        builder = builder.extension(ConnectInfo::<SocketAddr>(address));
    }
    builder.body(()).ok()
}

/// A body that is read as the hub reads it. That of actix-web stays on its thread.
pub(crate) fn body(mut payload: Payload) -> Body {
    let (sender, mut chunks) = mpsc::channel(1);
    rt::spawn(async move {
        // Nothing is read before the hub wants it.
        while let Ok(room) = sender.reserve().await {
            let Some(chunk) = payload.next().await else { return };
            room.send(chunk.map_err(std::io::Error::other));
        }
    });
    Body::from_stream(stream::poll_fn(move |cx| chunks.poll_recv(cx)))
}

pub(crate) async fn answered(response: Response) -> HttpResponse {
    let (parts, body) = response.into_parts();
    let status = StatusCode::from_u16(parts.status.as_u16()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut builder = HttpResponseBuilder::new(status);
    for (name, value) in parts.headers.iter().filter(|(name, _)| **name != header::CONTENT_LENGTH) {
        builder.append_header((name.as_str(), value.as_bytes()));
    }
    match body.size_hint().exact() {
        // It is in memory already.
        Some(_) => builder.body(axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default()),
        None => builder.streaming(body.into_data_stream()),
    }
}

/// Carries frames between the hub and a client's WebSocket, each way for itself.
async fn carry(pipe: Pipe, session: Session, messages: MessageStream) {
    let up = from_client(pipe.sender, session.clone(), messages);
    tokio::pin!(up);
    tokio::select! {
        () = &mut up => {}
        is_goodbye = to_client(pipe.receiver, session.clone()) => {
            if is_goodbye && session.close(None).await.is_ok() {
                let _ = time::timeout(CLOSE_TIMEOUT, up).await;
            }
        }
    }
}

/// Whether the hub has left in good order.
async fn to_client(mut frames: PipeReceiver, mut session: Session) -> bool {
    loop {
        let frame = match frames.receive().await {
            Ok(Some(frame)) => frame,
            end => return end.is_ok(),
        };
        let sent = match std::str::from_utf8(&frame.bytes) {
            Ok(text) if frame.is_text => session.text(text).await,
            _ => session.binary(frame.bytes).await,
        };
        if sent.is_err() {
            return false;
        }
    }
}

async fn from_client(mut frames: PipeSender, mut session: Session, messages: MessageStream) {
    let messages = messages.max_frame_size(MAX_FRAME).aggregate_continuations();
    let mut messages = messages.max_continuation_size(MAX_FRAME);
    while let Some(Ok(message)) = messages.recv().await {
        let sent = match message {
            AggregatedMessage::Text(text) => frames.send(text.into_bytes().into()).await.is_ok(),
            AggregatedMessage::Binary(bytes) => frames.send(bytes.into()).await.is_ok(),
            AggregatedMessage::Ping(bytes) => session.pong(&bytes).await.is_ok(),
            AggregatedMessage::Pong(_) => true,
            AggregatedMessage::Close(reason) => {
                if reason.as_ref().is_none_or(|reason| reason.code == CloseCode::Normal) {
                    frames.leave().await;
                }
                let _ = session.close(reason).await;
                return;
            }
        };
        if !sent {
            return;
        }
    }
}
