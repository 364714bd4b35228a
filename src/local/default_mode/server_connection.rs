//! The way in for app servers: moves bytes between a WebSocket, its queue and the hub, and waits.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{
        RawQuery, State,
        ws::{Message, WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    http::HeaderMap,
    response::Response,
    routing::get,
};
use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{self, Instant},
};

use crate::{
    core::{
        ErrorChain, Moment,
        service_protocol::{self, Extensions, ServiceMessage},
    },
    local::{
        api_error::ApiError,
        auth::Caller,
        client::is_hub_name,
        default_mode::{
            Hubs, access_key,
            hub::Number,
            link::{Link, MAX_MESSAGE, Terms, Timer, unreadable},
            messages::Now,
            to_server::{Queued, ToServer},
        },
        roles::Action,
        service::Service,
    },
    server::{
        observe::{Kind, Observed},
        query::Query,
        random::random_text,
        room::Slot,
        transport::goodbye,
    },
};

/// The largest WebSocket message. It may carry several messages of the protocol.
const MAX_FRAME: usize = 2 * MAX_MESSAGE;

/// How long an app server may take nothing.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long an app server may take to answer that the server connection closes.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The longest name that an app server may have.
const MAX_SERVER_ID: usize = 1024;

pub(in crate::local) fn add_routes(router: Router<Arc<Service>>) -> Router<Arc<Service>> {
    router.route("/server", get(open)).route("/server/", get(open))
}

async fn open(
    State(service): State<Arc<Service>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let query = Query::parse(query.as_deref());
    let hub = query.first("hub").unwrap_or_default().to_ascii_lowercase();
    if !is_hub_name(&hub) {
        return Err(ApiError::bad_request("hub", "The query parameter hub is not the name of a hub."));
    }
    Caller::identify_server(&service, &headers, &hub)?.authorize(Action::ServerConnectionWrite)?;
    if service.room.is_stopping() {
        return Err(ApiError::stopping());
    }
    if service.hubs.is_none() {
        let message = "The service is in serverless mode, which has no server connections.";
        return Err(ApiError::forbidden(message));
    }
    let upgrade = upgrade.map_err(|_| {
        ApiError::bad_request("upgrade", "A server connection is a WebSocket: the request is no handshake.")
    })?;
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let server_id = header("x-asrs-server-id").or_else(|| query.first("cid")).unwrap_or_default();
    if server_id.len() > MAX_SERVER_ID {
        return Err(ApiError::bad_request("X-ASRS-Server-Id", "The name of the app server is too long."));
    }
    let user_agent = header("asrs-user-agent").unwrap_or_default().to_owned();
    let (server_id, connection_id) = (server_id.to_owned(), random_text()?);
    // They count as connections, as in Azure.
    let _slot = service.room.slots.take().ok_or_else(ApiError::too_many_connections)?;
    let connection = ServerConnection { _slot, service, hub, server_id, user_agent, connection_id };
    let upgrade = upgrade.max_message_size(MAX_FRAME).max_frame_size(MAX_FRAME);
    Ok(upgrade.on_upgrade(|socket| connection.run(socket)))
}

/// A server connection that was let in.
struct ServerConnection {
    _slot: Arc<Slot>,
    service: Arc<Service>,
    hub: String,
    server_id: String,
    user_agent: String,
    connection_id: String,
}

impl ServerConnection {
    async fn run(self, socket: WebSocket) {
        let Some(hubs) = &self.service.hubs else { return };
        let (to_server, mut queue) = ToServer::new(&self.user_agent);
        let to_server = Arc::new(to_server);
        let (mut sink, stream) = socket.split();
        let reader = Reader {
            connection: &self,
            hubs,
            to_server: &to_server,
            link: Link::new(Moment::ZERO),
            epoch: Instant::now(),
            number: None,
        };
        let mut number = None;
        let reason = tokio::select! {
            reason = reader.run(stream, &mut number) => reason,
            () = write(&mut sink, &mut queue, &to_server) => "the app server takes nothing any more".to_owned(),
            () = to_server.was_cut() => "too much waits for the app server".to_owned(),
            () = self.service.room.stopped() => "the service stops".to_owned(),
        };
        tracing::debug!(hub = self.hub, server = self.server_id, reason, "a server connection has ended");
        self.service.room.record(|| {
            let observed = Observed {
                hub: Some(self.hub.clone()),
                connection: Some(self.connection_id.clone()),
                target: Some(self.server_id.clone()),
                ..Observed::new(Kind::Server)
            };
            if number.is_some() && self.service.room.is_stopping() {
                Observed { reason: Some(reason.clone()), ..observed }
            } else {
                observed.failed(reason.clone())
            }
        });
        if let Some(number) = number {
            hubs.with(&self.hub, |hub| hub.server_gone(number));
        }
        to_server.end();
        // What was to be said last, such as why the handshake is refused.
        let goodbye = async {
            while let Ok(Queued { bytes, .. }) = queue.try_recv() {
                sink.feed(Message::Binary(bytes)).await?;
            }
            sink.send(goodbye()).await?;
            sink.close().await
        };
        let _ = time::timeout(CLOSE_TIMEOUT, goodbye).await;
    }
}

/// Sends what is queued. It ends when the app server takes nothing any more.
async fn write(
    sink: &mut SplitSink<WebSocket, Message>,
    queue: &mut UnboundedReceiver<Queued>,
    to_server: &ToServer,
) {
    let mut batch = Vec::new();
    while queue.recv_many(&mut batch, 64).await > 0 {
        to_server.released().await;
        let size: usize = batch.iter().map(|queued| queued.bytes.len()).sum();
        let sending = async {
            for queued in batch.drain(..) {
                sink.feed(Message::Binary(queued.bytes)).await?;
            }
            sink.flush().await
        };
        if !matches!(time::timeout(WRITE_TIMEOUT, sending).await, Ok(Ok(()))) {
            return;
        }
        to_server.sent(size);
    }
}

/// What reads a server connection.
struct Reader<'c> {
    connection: &'c ServerConnection,
    hubs: &'c Hubs,
    to_server: &'c Arc<ToServer>,
    link: Link,
    epoch: Instant,
    number: Option<Number>,
}

impl Reader<'_> {
    fn now(&self) -> Moment {
        Moment::from_epoch(self.epoch.elapsed())
    }

    /// Reads until the end, and gives its reason. `number` is what the hub knows the server connection by.
    async fn run(mut self, mut stream: SplitStream<WebSocket>, number: &mut Option<Number>) -> String {
        loop {
            let timeout = self.epoch + self.link.poll_timeout().since_epoch();
            let received = tokio::select! {
                received = stream.next() => received,
                () = time::sleep_until(timeout) => {
                    match self.link.handle_timeout(self.now()) {
                        Some(Timer::Ping) => {
                            self.to_server.push(&ServiceMessage::Ping { messages: Vec::new() });
                        }
                        Some(Timer::GiveUp(reason)) => return reason.to_owned(),
                        None => {}
                    }
                    continue;
                }
            };
            let bytes = match received {
                Some(Ok(Message::Binary(bytes))) => bytes,
                Some(Ok(Message::Text(text))) => text.into(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(Message::Close(_))) | None => return "the app server has closed it".to_owned(),
                Some(Err(error)) => return format!("it has failed: {}", ErrorChain::new(&error)),
            };
            let ended = self.receive(&bytes);
            *number = self.number;
            if let Err(reason) = ended {
                return reason;
            }
            self.to_server.has_room().await;
            self.link.handle_unread(self.now());
        }
    }

    /// Takes bytes. An error is the reason of the end.
    fn receive(&mut self, bytes: &[u8]) -> Result<(), String> {
        let (now, mut spare, mut frames) = (self.now(), Vec::new(), Vec::new());
        let mut broken = None;
        for frame in self.link.handle_bytes(now, bytes, &mut spare) {
            match frame {
                Ok(frame) => frames.push(frame),
                Err(error) => broken = Some(unreadable(&error)),
            }
        }
        for frame in frames {
            match service_protocol::parse(frame) {
                Ok(Some(message)) => self.handle(&message)?,
                Ok(None) => {}
                // The frame is lost, what follows it is not.
                Err(error) => {
                    tracing::debug!(%error, server = self.connection.server_id, "skipped a message");
                }
            }
        }
        broken.map_or(Ok(()), |text| {
            self.to_server.push(&ServiceMessage::ServiceError { error_message: Some(text.as_str().into()) });
            Err(text)
        })
    }

    fn handle(&mut self, message: &ServiceMessage<'_>) -> Result<(), String> {
        let service = &self.connection.service;
        let Some(number) = self.number else {
            let terms = self.link.handle_handshake(message).map_err(|refusal| self.refuse(refusal))?;
            self.number = Some(self.ready(terms));
            return Ok(());
        };
        if let ServiceMessage::AccessKeyRequest { token, .. } = message {
            self.to_server.push(&access_key::answer(service, token.as_deref().unwrap_or_default()));
            return Ok(());
        }
        let now = Now { instant: std::time::Instant::now(), unix: crate::platform::unix_now() };
        self.hubs.with(&self.connection.hub, |hub| hub.handle_message(number, message, now));
        Ok(())
    }

    fn refuse(&self, refusal: &str) -> String {
        self.to_server.push(&ServiceMessage::HandshakeResponse {
            error_message: Some(refusal.into()),
            extensions: Extensions::default(),
            connection_id: None,
        });
        format!("its handshake was refused: {refusal}")
    }

    fn ready(&self, terms: Terms) -> Number {
        let ServerConnection { hub, server_id, connection_id, .. } = self.connection;
        tracing::debug!(hub, server = server_id, ?terms, "a server connection is there");
        let to_server = self.to_server.clone();
        self.hubs.with(hub, |hub| hub.server_ready(connection_id, server_id.clone(), terms, to_server))
    }
}
