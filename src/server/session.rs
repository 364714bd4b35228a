//! One client's connection: handshake, keep-alive, messages both ways, and its end.

use std::{future::pending, sync::Arc, time::Duration};

use axum::body::Bytes;
use tokio::{
    sync::{mpsc::UnboundedReceiver, watch},
    time::{self, Instant},
};

use crate::{
    core::{
        HubProtocol, Moment,
        handshake::{HandshakeBuffer, HandshakeRequest, HandshakeResponse},
        keepalive::{Due, KeepAlive},
        message::{HubMessage, Invocation, Outcome},
    },
    platform::unix_now,
    server::{
        exchange::Closed,
        message::{self, Frame, Framing, Inbox},
        negotiated::{Lease, Negotiation},
        outbox::{Outbox, Outgoing},
        room::{Room, Timeouts},
        transport::{Malformed, Transport},
    },
};

/// The largest hub message of a client.
const MAX_MESSAGE: usize = 1024 * 1024;

/// How many queued messages are written before they are flushed.
const BATCH: usize = 64;

/// How long a client may take to answer that the connection closes.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// What the host of a room does with one connection, from its handshake to its end. Nothing here may wait.
pub(crate) trait Dispatcher: Send + 'static {
    /// The client is connected: it can be addressed, through the room or through its outbox.
    fn connected(&mut self, outbox: &Arc<Outbox>);

    /// The client calls a method, with arguments in its protocol. An error is the answer to it, if it wants one.
    ///
    /// # Errors
    /// Why the call is refused.
    fn invocation<P: AsRef<[u8]> + Clone>(&mut self, call: &Invocation<'_, P>) -> Result<(), &'static str>;

    /// The client calls a method that streams.
    ///
    /// # Errors
    /// Why the call is refused.
    fn stream_invocation<P: AsRef<[u8]>>(&mut self, call: &Invocation<'_, P>) -> Result<(), &'static str>;

    /// The connection has ended, because of an error if there is one.
    fn disconnected(&mut self, error: Option<&str>);
}

/// A connection that was let in.
#[derive(Debug)]
pub(crate) struct Session<D> {
    pub(crate) room: Arc<Room>,
    pub(crate) negotiation: Negotiation,
    pub(crate) dispatcher: D,
    pub(crate) handshake_timeout: Duration,
    /// When it ends with the client's authentication, in seconds since the Unix epoch, if it does.
    pub(crate) expiry: watch::Receiver<Option<u64>>,
    /// Gives the connection token free in the end, if the client has negotiated.
    pub(crate) _lease: Option<Lease>,
}

/// How a connection ends.
#[derive(Debug)]
enum End {
    /// The client has left or can't be reached.
    Gone,
    /// It was cut off: it did not keep up, or the service could not wait.
    Cut,
    /// With a last message.
    Last(Frame),
}

impl End {
    /// With a Close message.
    fn close(protocol: HubProtocol, error: Option<&str>, allow_reconnect: bool) -> Self {
        let message: HubMessage<'_, &str> =
            HubMessage::Close { error: error.map(Into::into), allow_reconnect };
        Self::Last(Frame::encode(protocol, &message))
    }

    /// With a refusal of the handshake, which is JSON in every protocol.
    fn refusal(text: &str) -> Self {
        Self::Last(handshake_response(HubProtocol::Json, Some(text)))
    }

    fn as_str(&self) -> &'static str {
        match self {
            Self::Gone => "the client left",
            Self::Cut => "the client was cut off",
            Self::Last(_) => "the service closed the connection",
        }
    }
}

impl<D: Dispatcher> Session<D> {
    pub(crate) async fn run(mut self, transport: Transport) {
        let mut wire = Wire::new(transport, self.room.timeouts);
        let handshake = tokio::select! {
            done = time::timeout(self.handshake_timeout, handshake(&mut wire)) => done,
            () = self.room.stopped() => Ok(Err(End::Gone)),
        };
        let end = match handshake {
            Ok(Ok((protocol, rest))) => self.connected(&mut wire, protocol, &rest).await,
            Ok(Err(end)) => end,
            Err(_) => End::refusal("The handshake took too long."),
        };
        wire.finish(end).await;
    }

    async fn connected(&mut self, wire: &mut Wire, protocol: HubProtocol, rest: &[u8]) -> End {
        let Negotiation { connection_id: id, hub, user } = self.negotiation.clone();
        let (outbox, outgoing) = Outbox::new(protocol);
        let outbox = Arc::new(outbox);
        // The client may be addressed from the moment it sees the handshake's response.
        self.room.connections.insert(&hub, &id, user.as_deref(), outbox.clone());
        tracing::debug!(hub, id, "client connected");
        self.dispatcher.connected(&outbox);
        let end = self.converse(wire, rest, &outbox, outgoing).await;
        self.room.connections.remove(&hub, &id);
        self.dispatcher.disconnected(matches!(end, End::Cut).then(|| end.as_str()));
        tracing::debug!(hub, id, reason = end.as_str(), "client disconnected");
        end
    }

    /// Everything between the handshake and the end.
    async fn converse(
        &mut self,
        wire: &mut Wire,
        rest: &[u8],
        outbox: &Outbox,
        mut outgoing: UnboundedReceiver<Outgoing>,
    ) -> End {
        let protocol = outbox.protocol;
        let dispatcher = &mut self.dispatcher;
        let mut reader = Reader { framing: Framing::new(protocol, MAX_MESSAGE), outbox, dispatcher };
        let mut batch = Vec::with_capacity(BATCH);
        if let Err(end) = wire.write(outbox, vec![handshake_response(protocol, None)]).await {
            return end;
        }
        if let Err(end) = wire.answer(&mut reader, rest).await {
            return end;
        }
        let stop = self.room.stopped();
        let expiry = expired(self.expiry.clone());
        let timer = time::sleep_until(wire.due());
        tokio::pin!(stop, expiry, timer);
        loop {
            let step = tokio::select! {
                received = wire.receive() => match received {
                    Ok(Some(chunk)) => wire.answer(&mut reader, &chunk).await,
                    Ok(None) => Err(End::Gone),
                    Err(Malformed) => Err(End::close(protocol, Some(MALFORMED), false)),
                },
                _ = outgoing.recv_many(&mut batch, BATCH) => wire.forward(outbox, &mut batch).await,
                () = &mut timer => {
                    let step = wire.keep_alive(outbox).await;
                    timer.as_mut().reset(wire.due());
                    step
                }
                () = outbox.was_cut() => Err(End::Cut),
                () = &mut expiry => Err(End::close(protocol, None, true)),
                () = &mut stop => Err(End::close(protocol, None, true)),
            };
            if let Err(end) = step {
                return end;
            }
        }
    }
}

/// Waits for the end of an authentication, which may be moved meanwhile.
async fn expired(mut expiry: watch::Receiver<Option<u64>>) {
    loop {
        let ends = *expiry.borrow_and_update();
        let ended = async {
            match ends {
                Some(at) => time::sleep(Duration::from_secs(at.saturating_sub(unix_now().as_secs()))).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = ended => return,
            // The connection has what moves it, so it does not go away before the connection.
            Ok(()) = expiry.changed() => {}
        }
    }
}

/// Reads the handshake request, and returns its protocol and what followed it in the same chunk.
async fn handshake(wire: &mut Wire) -> Result<(HubProtocol, Vec<u8>), End> {
    let mut buffer = HandshakeBuffer::default();
    loop {
        let chunk = match wire.receive().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return Err(End::Gone),
            Err(Malformed) => return Err(End::refusal(MALFORMED)),
        };
        let request = match buffer.feed(&chunk) {
            Ok(None) => continue,
            Ok(Some((record, rest))) => HandshakeRequest::parse(&record).map(|request| (request, rest)),
            Err(error) => Err(error),
        };
        let malformed = |error| End::refusal(&format!("The handshake request is malformed: {error}."));
        let (request, rest) = request.map_err(malformed)?;
        let Some(protocol) = HubProtocol::from_name(&request.protocol) else {
            return Err(End::refusal("The server supports the protocols 'json' and 'messagepack' only."));
        };
        if protocol == HubProtocol::MessagePack && !wire.transport.is_binary() {
            let text =
                "The protocol 'messagepack' needs a transport for bytes, which Server-Sent Events is not.";
            return Err(End::refusal(text));
        }
        if request.version != 1 {
            return Err(End::refusal("The server supports version 1 of the protocol only."));
        }
        return Ok((protocol, rest.to_vec()));
    }
}

fn handshake_response(protocol: HubProtocol, error: Option<&str>) -> Frame {
    let mut out = Vec::new();
    HandshakeResponse { error: error.map(str::to_owned) }.write(&mut out);
    Frame::new(protocol, out)
}

const MALFORMED: &str = "A WebSocket message was malformed or larger than 4 MB.";

/// Cuts what a client sends into messages, and knows what to do with them.
struct Reader<'c, D> {
    framing: Framing,
    outbox: &'c Outbox,
    dispatcher: &'c mut D,
}

/// What came out of one chunk.
struct Taken<'c, D> {
    outbox: &'c Outbox,
    dispatcher: &'c mut D,
    replies: Vec<u8>,
    closing: bool,
}

impl<D> Taken<'_, D> {
    /// Answers a call that nobody will.
    fn refuse<P>(&mut self, call: Invocation<'_, P>, reason: &'static str) {
        let Some(invocation_id) = call.invocation_id else {
            tracing::debug!("ignored a message of a client: {reason}");
            return;
        };
        let outcome = Outcome::Error(reason.into());
        let message: HubMessage<'_, &str> =
            HubMessage::Completion { headers: Vec::new(), invocation_id, outcome };
        message::write(self.outbox.protocol, &mut self.replies, &message);
    }
}

impl<D: Dispatcher> Inbox for Taken<'_, D> {
    fn take<P: AsRef<[u8]> + Clone>(&mut self, message: HubMessage<'_, P>) {
        match message {
            HubMessage::Invocation(call) => {
                if let Err(reason) = self.dispatcher.invocation(&call) {
                    self.refuse(call, reason);
                }
            }
            HubMessage::Completion { invocation_id, outcome, .. } => {
                self.outbox.calls.end(&invocation_id, outcome);
            }
            HubMessage::StreamInvocation(call) => {
                if let Err(reason) = self.dispatcher.stream_invocation(&call) {
                    self.refuse(call, reason);
                }
            }
            HubMessage::Close { .. } => self.closing = true,
            // Pings have done their work by arriving; nothing that the others could belong to exists.
            _ => {}
        }
    }
}

/// The transport with its timers.
struct Wire {
    transport: Transport,
    keep_alive: KeepAlive,
    epoch: Instant,
}

impl Wire {
    fn new(transport: Transport, timeouts: Timeouts) -> Self {
        let keep_alive = KeepAlive::new(Moment::ZERO, timeouts.keep_alive, timeouts.client);
        Self { transport, keep_alive, epoch: Instant::now() }
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
    async fn receive(&mut self) -> Result<Option<Bytes>, Malformed> {
        let chunk = self.transport.receive().await?;
        let now = self.now();
        self.keep_alive.handle_received(now);
        Ok(chunk)
    }

    /// Writes and flushes. Whoever takes nothing for as long as silence is tolerated is given up.
    async fn write(&mut self, outbox: &Outbox, frames: Vec<Frame>) -> Result<(), End> {
        let written = tokio::select! {
            written = time::timeout(self.keep_alive.timeout(), self.transport.write(frames)) => written,
            () = outbox.was_cut() => return Err(End::Cut),
        };
        match written {
            Ok(Ok(())) => {
                let now = self.now();
                self.keep_alive.handle_sent(now);
                Ok(())
            }
            Ok(Err(Closed)) => Err(End::Gone),
            Err(_) => Err(End::Cut),
        }
    }

    /// Sends what was queued.
    async fn forward(&mut self, outbox: &Outbox, batch: &mut Vec<Outgoing>) -> Result<(), End> {
        let mut last = None;
        let mut frames = Vec::with_capacity(batch.len());
        for outgoing in &*batch {
            match outgoing {
                Outgoing::Message(frame) => frames.push(frame.clone()),
                Outgoing::Close(frame) => {
                    last = Some(frame.clone());
                    break;
                }
            }
        }
        self.write(outbox, frames).await?;
        outbox.sent(batch);
        batch.clear();
        last.map_or(Ok(()), |frame| Err(End::Last(frame)))
    }

    /// Does what the timers ask for.
    async fn keep_alive(&mut self, outbox: &Outbox) -> Result<(), End> {
        let seen = self.transport.last_seen();
        if let Some(seen) = seen {
            self.keep_alive.handle_received(seen.saturating_duration_since(self.epoch));
        }
        let now = self.now();
        match self.keep_alive.handle_timeout(now) {
            // Whoever shows by polling that it is there needs no ping to know that the service is.
            Some(Due::Ping) if seen.is_some() => Ok(()),
            Some(Due::Ping) => {
                self.write(outbox, vec![Frame::encode::<&str>(outbox.protocol, &HubMessage::Ping)]).await
            }
            Some(Due::PeerTimeout) => {
                let text = "The client has sent nothing for longer than its timeout allows.";
                Err(End::close(outbox.protocol, Some(text), true))
            }
            None => Ok(()),
        }
    }

    /// Takes messages of the client, and answers those that want an answer.
    async fn answer<D: Dispatcher>(&mut self, reader: &mut Reader<'_, D>, chunk: &[u8]) -> Result<(), End> {
        let Reader { framing, outbox, dispatcher } = reader;
        let mut taken = Taken { outbox, dispatcher: *dispatcher, replies: Vec::new(), closing: false };
        let read = framing.feed(chunk, &mut taken);
        let Taken { replies, closing, .. } = taken;
        if !replies.is_empty() {
            self.write(outbox, vec![Frame::new(outbox.protocol, replies)]).await?;
        }
        match read {
            Err(error) => {
                let text = format!("The connection was closed: {error}.");
                Err(End::close(outbox.protocol, Some(&text), false))
            }
            Ok(()) if closing => Err(End::Gone),
            Ok(()) => Ok(()),
        }
    }

    /// Says goodbye. A client that does not disconnect in time is dropped.
    async fn finish(self, end: End) {
        let last = match end {
            End::Cut => return,
            End::Gone => None,
            End::Last(frame) => Some(frame),
        };
        let _ = time::timeout(CLOSE_TIMEOUT, self.transport.close(last)).await;
    }
}
