//! One client's connection: handshake, keep-alive, messages both ways, and its end.

use std::{future::poll_fn, pin::Pin, sync::Arc, time::Duration};

use axum::{
    body::Bytes,
    extract::ws::{Message, Utf8Bytes, WebSocket},
};
use futures_sink::Sink;
use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{self, Instant},
};

use crate::{
    core::{
        Moment, ProtocolError,
        framing::TextFraming,
        handshake::{HandshakeBuffer, HandshakeRequest, HandshakeResponse},
        json,
        keepalive::{Due, KeepAlive},
        message::{HubMessage, Invocation, Outcome},
    },
    local::{
        Timeouts,
        client::Lease,
        connections::{close_message, encode},
        negotiated::Negotiation,
        outbox::{Outbox, Outgoing},
        stopped,
        upstream::{self, Events},
    },
};

/// A thousand idle connections should not take more memory than they have to; the default is 128 kB each.
pub(super) const READ_BUFFER: usize = 4 * 1024;

/// The largest WebSocket message. It may carry several hub messages.
pub(super) const MAX_FRAME: usize = 4 * 1024 * 1024;

/// The largest hub message of a client.
const MAX_MESSAGE: usize = 1024 * 1024;

/// How many queued messages are written before they are flushed.
const BATCH: usize = 64;

/// How long a client may take to answer that the connection closes.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

const NO_UPSTREAM: &str = "The service runs in serverless mode and has no upstream configured, so there is nobody to \
                           answer hub method invocations.";

/// A connection that was let in.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) negotiation: Negotiation,
    /// What an upstream is told of the client.
    pub(super) told: upstream::Client,
    pub(super) handshake_timeout: Duration,
    /// Gives the connection token free in the end.
    pub(super) lease: Lease,
}

const NO_STREAMS: &str = "Streams are not supported in serverless mode.";

/// Answers a call that nobody will.
fn refuse(replies: &mut Vec<u8>, call: Invocation<'_, &str>, reason: &'static str) {
    let Some(invocation_id) = call.invocation_id else {
        tracing::debug!("ignored a message of a client: {reason}");
        return;
    };
    let outcome = Outcome::Error(reason.into());
    json::write::<&str>(replies, &HubMessage::Completion { headers: Vec::new(), invocation_id, outcome });
}

/// How a connection ends.
#[derive(Debug)]
enum End {
    /// The client has left or can't be reached.
    Gone,
    /// It was cut off: it did not keep up, or the service could not wait.
    Cut,
    /// With a last message.
    Last(Utf8Bytes),
}

impl End {
    fn error(text: &str, allow_reconnect: bool) -> Self {
        Self::Last(close_message(Some(text), allow_reconnect))
    }

    /// A message of the client breaks the protocol.
    fn protocol(error: &ProtocolError) -> Self {
        Self::error(&format!("The connection was closed: {error}."), false)
    }

    fn as_str(&self) -> &'static str {
        match self {
            Self::Gone => "the client left",
            Self::Cut => "the client was cut off",
            Self::Last(_) => "the service closed the connection",
        }
    }
}

impl Session {
    pub(super) async fn run(self, socket: WebSocket) {
        let mut wire = Wire::new(socket, self.lease.service.timeouts);
        let handshake = tokio::select! {
            done = time::timeout(self.handshake_timeout, handshake(&mut wire)) => done,
            () = stopped(self.lease.service.stop.clone()) => Ok(Err(End::Gone)),
        };
        let end = match handshake {
            Ok(Ok(rest)) => self.connected(&mut wire, &rest).await,
            Ok(Err(end)) => end,
            Err(_) => End::Last(handshake_response(Some("The handshake took too long."))),
        };
        wire.finish(end).await;
    }

    async fn connected(&self, wire: &mut Wire, rest: &[u8]) -> End {
        let connections = &self.lease.service.connections;
        let Negotiation { connection_id: id, hub, user } = &self.negotiation;
        let (outbox, outgoing) = Outbox::new();
        let outbox = Arc::new(outbox);
        // The client may be addressed from the moment it sees the handshake's response.
        connections.insert(hub, id, user.as_deref(), outbox.clone(), std::time::Instant::now());
        tracing::debug!(hub, id, "client connected");
        let upstream = self.lease.service.upstream.clone();
        let events = upstream.and_then(|to| Events::start(to, self.told.clone(), outbox.clone()));
        let end = self.converse(wire, rest, &outbox, outgoing, events.as_ref()).await;
        connections.remove(hub, id);
        if let Some(events) = events {
            events.end(matches!(end, End::Cut).then(|| end.as_str().to_owned()));
        }
        tracing::debug!(hub, id, reason = end.as_str(), "client disconnected");
        end
    }

    /// Everything between the handshake and the end.
    async fn converse(
        &self,
        wire: &mut Wire,
        rest: &[u8],
        outbox: &Outbox,
        mut outgoing: UnboundedReceiver<Outgoing>,
        events: Option<&Events>,
    ) -> End {
        let mut framing = TextFraming::new(MAX_MESSAGE);
        let mut batch = Vec::with_capacity(BATCH);
        if let Err(end) = wire.write(outbox, [handshake_response(None)]).await {
            return end;
        }
        if let Err(end) = wire.answer(outbox, &mut framing, rest, events).await {
            return end;
        }
        let stop = stopped(self.lease.service.stop.clone());
        let timer = time::sleep_until(wire.due());
        tokio::pin!(stop, timer);
        loop {
            let step = tokio::select! {
                received = wire.receive() => match received {
                    Ok(chunk) => wire.answer(outbox, &mut framing, &chunk, events).await,
                    Err(end) => Err(end),
                },
                _ = outgoing.recv_many(&mut batch, BATCH) => wire.forward(outbox, &mut batch).await,
                () = &mut timer => {
                    let step = wire.keep_alive(outbox).await;
                    timer.as_mut().reset(wire.due());
                    step
                }
                () = outbox.was_cut() => Err(End::Cut),
                () = &mut stop => Err(End::Last(close_message(None, true))),
            };
            if let Err(end) = step {
                return end;
            }
        }
    }
}

/// Reads the handshake request, and returns what followed it in the same chunk.
async fn handshake(wire: &mut Wire) -> Result<Vec<u8>, End> {
    let mut buffer = HandshakeBuffer::default();
    loop {
        let chunk = wire.receive().await?;
        let refuse = |text: &str| End::Last(handshake_response(Some(text)));
        let request = match buffer.feed(&chunk) {
            Ok(None) => continue,
            Ok(Some((record, rest))) => HandshakeRequest::parse(&record).map(|request| (request, rest)),
            Err(error) => Err(error),
        };
        let (request, rest) =
            request.map_err(|error| refuse(&format!("The handshake request is malformed: {error}.")))?;
        if request.protocol != json::NAME {
            return Err(refuse("The local service supports the protocol 'json' only."));
        }
        if request.version != 1 {
            return Err(refuse("The local service supports version 1 of the protocol only."));
        }
        return Ok(rest.to_vec());
    }
}

fn handshake_response(error: Option<&str>) -> Utf8Bytes {
    let mut out = Vec::new();
    HandshakeResponse { error: error.map(str::to_owned) }.write(&mut out);
    String::from_utf8(out).unwrap_or_default().into()
}

/// The WebSocket with its timers.
struct Wire {
    socket: WebSocket,
    keep_alive: KeepAlive,
    epoch: Instant,
}

impl Wire {
    fn new(socket: WebSocket, timeouts: Timeouts) -> Self {
        let keep_alive = KeepAlive::new(Moment::ZERO, timeouts.keep_alive, timeouts.client);
        Self { socket, keep_alive, epoch: Instant::now() }
    }

    fn now(&self) -> Moment {
        self.epoch.elapsed()
    }

    /// When [`keep_alive`](Self::keep_alive) wants to be called.
    fn due(&self) -> Instant {
        // A year is far enough for an interval that never ends.
        let due = self.keep_alive.poll_timeout().min(self.now() + Duration::from_secs(365 * 24 * 3600));
        self.epoch + due
    }

    /// The next chunk. It can be abandoned at any time without losing any.
    async fn receive(&mut self) -> Result<Bytes, End> {
        loop {
            let chunk = match self.socket.recv().await {
                Some(Ok(Message::Text(text))) => text.into(),
                // ASP.NET Core does not look at the kind either.
                Some(Ok(Message::Binary(bytes))) => bytes,
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(Message::Close(_))) | None => return Err(End::Gone),
                Some(Err(error)) => {
                    tracing::debug!(%error, "a client's WebSocket failed");
                    return Err(End::error("A WebSocket message was malformed or larger than 4 MB.", false));
                }
            };
            let now = self.now();
            self.keep_alive.handle_received(now);
            return Ok(chunk);
        }
    }

    /// Writes and flushes. Whoever takes nothing for as long as silence is tolerated is given up.
    async fn write(
        &mut self,
        outbox: &Outbox,
        texts: impl IntoIterator<Item = Utf8Bytes>,
    ) -> Result<(), End> {
        let socket = &mut self.socket;
        let writing = async {
            for text in texts {
                poll_fn(|cx| Pin::new(&mut *socket).poll_ready(cx)).await?;
                Pin::new(&mut *socket).start_send(Message::Text(text))?;
            }
            poll_fn(|cx| Pin::new(&mut *socket).poll_flush(cx)).await
        };
        let written = tokio::select! {
            written = time::timeout(self.keep_alive.timeout(), writing) => written,
            () = outbox.was_cut() => return Err(End::Cut),
        };
        match written {
            Ok(Ok(())) => {
                let now = self.now();
                self.keep_alive.handle_sent(now);
                Ok(())
            }
            Ok(Err(_)) => Err(End::Gone),
            Err(_) => Err(End::Cut),
        }
    }

    /// Sends what was queued.
    async fn forward(&mut self, outbox: &Outbox, batch: &mut Vec<Outgoing>) -> Result<(), End> {
        let mut last = None;
        let mut texts = Vec::with_capacity(batch.len());
        for outgoing in &*batch {
            match outgoing {
                Outgoing::Message(text) => texts.push(text.clone()),
                Outgoing::Close(text) => {
                    last = Some(text.clone());
                    break;
                }
            }
        }
        self.write(outbox, texts).await?;
        outbox.sent(batch);
        batch.clear();
        last.map_or(Ok(()), |text| Err(End::Last(text)))
    }

    /// Does what the timers ask for.
    async fn keep_alive(&mut self, outbox: &Outbox) -> Result<(), End> {
        let now = self.now();
        match self.keep_alive.handle_timeout(now) {
            Some(Due::Ping) => self.write(outbox, [encode(&HubMessage::Ping)]).await,
            Some(Due::PeerTimeout) => {
                Err(End::error("The client has sent nothing for longer than its timeout allows.", true))
            }
            None => Ok(()),
        }
    }

    /// Takes messages of the client, and answers those that want an answer.
    async fn answer(
        &mut self,
        outbox: &Outbox,
        framing: &mut TextFraming,
        chunk: &[u8],
        events: Option<&Events>,
    ) -> Result<(), End> {
        let (mut replies, mut closing) = (Vec::new(), false);
        let read = framing.feed(chunk, |record| {
            match json::parse(record)? {
                Some(HubMessage::Invocation(call)) => {
                    let refused = match events {
                        Some(events) => events.call(&call).err(),
                        None => Some(NO_UPSTREAM),
                    };
                    if let Some(reason) = refused {
                        refuse(&mut replies, call, reason);
                    }
                }
                Some(HubMessage::Completion { invocation_id, outcome, .. }) => {
                    let answer = match outcome {
                        Outcome::Value(json) => Ok(json.to_owned()),
                        Outcome::Void => Ok("null".to_owned()),
                        Outcome::Error(error) => Err(error.into_owned()),
                    };
                    outbox.calls.end(&invocation_id, answer);
                }
                Some(HubMessage::StreamInvocation(call)) => {
                    refuse(&mut replies, call, if events.is_some() { NO_STREAMS } else { NO_UPSTREAM });
                }
                Some(HubMessage::Close { .. }) => closing = true,
                // Pings have done their work by arriving; nothing that the others could belong to exists.
                _ => {}
            }
            Ok(())
        });
        if !replies.is_empty() {
            self.write(outbox, [String::from_utf8(replies).unwrap_or_default().into()]).await?;
        }
        match read {
            Err(error) => Err(End::protocol(&error)),
            Ok(()) if closing => Err(End::Gone),
            Ok(()) => Ok(()),
        }
    }

    /// Says goodbye. Reading until the client has closed its side, too, keeps the last message from being lost to
    /// a reset.
    async fn finish(mut self, end: End) {
        let goodbye = async {
            match end {
                End::Cut => return,
                End::Gone => {}
                End::Last(text) => {
                    if self.socket.send(Message::Text(text)).await.is_err() {
                        return;
                    }
                }
            }
            if self.socket.send(Message::Close(None)).await.is_ok() {
                while let Some(Ok(_)) = self.socket.recv().await {}
            }
        };
        // A client that does not take its leave in time is dropped.
        let _ = time::timeout(CLOSE_TIMEOUT, goodbye).await;
    }
}
