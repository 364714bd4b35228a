//! A server connection: moves bytes between a WebSocket, its queue and the hub, and waits.

use std::{sync::Arc, time::Duration};

use axum::extract::ws::{Message, WebSocket};
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
        access::Access,
        default_mode::{
            access_key,
            hubs::Hubs,
            link::{Link, MAX_MESSAGE, Terms, Timer, unreadable},
            messages::Now,
            servers::Number,
            to_server::{Queued, ToServer},
        },
    },
    server::{
        observe::{Kind, Observed},
        room::{Room, Slot},
        transport::goodbye,
    },
};

/// The largest WebSocket message. It may carry several messages of the protocol.
pub(in crate::local) const MAX_FRAME: usize = 2 * MAX_MESSAGE;

/// How long an app server may take nothing.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// An app server that sends so many pings of the WebSocket protocol is not read any further until it has taken the answers,
/// which wait in the write buffer.
const PING_LIMIT: u32 = 1024;

/// How long an app server may take to answer that the server connection closes.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A server connection that was let in.
pub(in crate::local) struct ServerConnection {
    pub(in crate::local) _slot: Arc<Slot>,
    pub(in crate::local) room: Arc<Room>,
    pub(in crate::local) access: Arc<Access>,
    pub(in crate::local) hubs: Arc<Hubs>,
    pub(in crate::local) hub: String,
    /// What the app server calls itself.
    pub(in crate::local) server_id: String,
    pub(in crate::local) user_agent: String,
    pub(in crate::local) connection_id: String,
}

impl ServerConnection {
    pub(in crate::local) async fn run(self, socket: WebSocket) {
        let (to_server, mut queue) = ToServer::new(&self.user_agent);
        let to_server = Arc::new(to_server);
        let (mut sink, stream) = socket.split();
        let reader = Reader {
            connection: &self,
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
            () = self.room.stopped() => "the service stops".to_owned(),
        };
        tracing::debug!(hub = self.hub, server = self.server_id, reason, "a server connection has ended");
        self.room.record(|| {
            let observed = Observed {
                hub: Some(self.hub.clone()),
                connection: Some(self.connection_id.clone()),
                target: Some(self.server_id.clone()),
                ..Observed::new(Kind::Server)
            };
            if number.is_some() && self.room.is_stopping() {
                Observed { reason: Some(reason.clone()), ..observed }
            } else {
                observed.failed(reason.clone())
            }
        });
        if let Some(number) = number {
            self.hubs.with(&self.hub, |hub| hub.server_gone(number));
        }
        to_server.end();
        // What was to be said last, such as why the handshake is refused.
        let goodbye = async {
            while let Ok(Queued { bytes, .. }) = queue.try_recv() {
                if !bytes.is_empty() {
                    sink.feed(Message::Binary(bytes)).await?;
                }
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
            for queued in batch.drain(..).filter(|queued| !queued.bytes.is_empty()) {
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
        let mut pings = 0;
        loop {
            if pings == PING_LIMIT {
                self.to_server.flushed().await;
                pings = 0;
            }
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
                Some(Ok(Message::Ping(_))) => {
                    pings += 1;
                    continue;
                }
                Some(Ok(Message::Pong(_))) => continue,
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
        let ServerConnection { access, hubs, hub, .. } = self.connection;
        let Some(number) = self.number else {
            let terms = self.link.handle_handshake(message).map_err(|refusal| self.refuse(refusal))?;
            self.number = Some(self.ready(terms));
            return Ok(());
        };
        if let ServiceMessage::AccessKeyRequest { token, .. } = message {
            self.to_server.push(&access_key::answer(access, token.as_deref().unwrap_or_default()));
            return Ok(());
        }
        let now = Now { instant: std::time::Instant::now(), unix: crate::platform::unix_now() };
        hubs.with(hub, |hub| hub.handle_message(number, message, now));
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
        let ServerConnection { hubs, hub, server_id, connection_id, .. } = self.connection;
        tracing::debug!(hub, server = server_id, ?terms, "a server connection is there");
        let to_server = self.to_server.clone();
        hubs.with(hub, |hub| hub.server_ready(connection_id, server_id.clone(), terms, to_server))
    }
}
