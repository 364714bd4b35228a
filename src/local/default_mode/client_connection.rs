//! A client in default mode: moves bytes between its transport, its queue and its app server, and waits.

use std::{
    future::pending,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{
    sync::mpsc,
    time::{self, Instant},
};

use crate::{
    core::{Moment, framing::RECORD_SEPARATOR, handshake::HandshakeBuffer},
    local::{
        default_mode::{
            hub::NoServer,
            hubs::Hubs,
            relay::{Relay, protocol_of, refusal},
            visitor::Visitor,
        },
        faults::Faults,
    },
    server::{
        claims::SharedClaims,
        disturbance::Disturbed,
        expiry::expired,
        message::Frame,
        negotiated::Negotiation,
        outbox::{Outbox, Outgoing},
        queue::Receiver,
        room::Room,
        session::{Admitted, CLOSE_TIMEOUT, Run},
        traffic::About,
        transport::{Broken, Transport},
    },
};

/// How many queued messages are taken at once.
const BATCH: usize = 64;

/// What Azure answers to the handshake of a client that no app server is there for.
const NO_SERVER: &str = "SignalR Service is now in 'Default' service mode. Current mode works as a proxy that routes \
                         client traffic to the connected app servers. However app servers are not connected.";

const MALFORMED: &str = "A WebSocket message was malformed or larger than 4 MB.";

/// A client that was let in.
#[derive(Debug)]
pub(in crate::local) struct RelayedClient {
    pub(in crate::local) hubs: Arc<Hubs>,
    pub(in crate::local) faults: Faults,
    pub(in crate::local) admitted: Admitted,
    pub(in crate::local) visitor: Visitor,
}

/// How a connection ends.
enum End {
    /// The client has left.
    Left,
    /// The client takes nothing any more, or is not there.
    Gone,
    /// The service closes it, and these are the last words.
    Closed(Vec<Frame>),
}

impl End {
    /// In words, and whether it is an error.
    fn reason(&self) -> (&'static str, bool) {
        match self {
            Self::Left => ("the client closed the connection", false),
            Self::Gone => ("the connection was lost", true),
            Self::Closed(_) => ("the service closed the connection", false),
        }
    }
}

impl Run for RelayedClient {
    async fn run(self, mut transport: Transport) {
        let Self { hubs, faults, admitted, mut visitor } = self;
        let Admitted { room, negotiation, handshake_timeout, expiry, resumed, _lease, slot: _slot } =
            admitted;
        let Negotiation { connection_id, hub, user, .. } = negotiation.clone();
        (visitor.id, visitor.user) = (connection_id.clone(), user);

        let _client = hubs.clients.take();
        let greeted = tokio::select! {
            greeted = time::timeout(handshake_timeout, handshake(&mut transport)) => greeted,
            () = room.drained() => return close(transport, Vec::new()).await,
        };
        let (record, rest) = match greeted {
            Ok(Ok(Some(read))) => read,
            Ok(Ok(None)) => return,
            Ok(Err(error)) => return close(transport, vec![refusal(&error)]).await,
            Err(_) => return close(transport, vec![refusal("The handshake took too long.")]).await,
        };
        let (name, protocol) = protocol_of(&record);
        visitor.protocol = name;
        visitor.handshake = record.into_bytes();
        visitor.handshake.push(RECORD_SEPARATOR);

        let about = About::new(Some(transport.kind()), negotiation.is_stateful, Some(expiry.clone()));
        let (outbox, queue) = Outbox::with(protocol, faults.delivery(protocol, &negotiation), about);
        let outbox = Arc::new(outbox);
        let described: Weak<SharedClaims> = Arc::downgrade(&visitor.claims);
        outbox.about.describe(described);
        let opened =
            hubs.with(&hub, |hub| hub.client_opened(visitor, outbox.clone(), std::time::Instant::now()));
        if let Err(NoServer) = opened {
            room.record_refused(&negotiation, NO_SERVER);
            return close(transport, vec![refusal(NO_SERVER)]).await;
        }
        tracing::debug!(hub, id = connection_id, "client connected");
        room.record_connected(&negotiation, transport.kind());
        let mut connection = Connection {
            place: Place { hubs: &hubs, hub: &hub, id: &connection_id },
            room: &room,
            client: &negotiation,
            patience: room.options.client_timeout,
            resume_window: room.options.resume_window,
            outbox: &outbox,
            queue,
            epoch: Instant::now(),
            relay: Relay::new(protocol, room.options.message_limit, resumed.is_some()),
            transport: Some(transport),
            resumed,
            resume_by: None,
        };
        let ended = {
            let expiry = expired(expiry);
            tokio::pin!(expiry);
            let ends = async {
                tokio::select! {
                    () = room.stopped() => {}
                    () = expiry => {}
                }
            };
            connection.run(&rest, ends).await
        };
        hubs.with(&hub, |hub| hub.client_gone(&connection_id));
        let (reason, is_error) = ended.reason();
        room.record_disconnected(&negotiation, reason, is_error);
        // A client that gets nothing any more gets no Close message either.
        let is_lost = room.disturbed(&negotiation).is_lost;
        match (ended, connection.transport.filter(|_| !is_lost)) {
            (End::Left, Some(transport)) => close(transport, Vec::new()).await,
            (End::Closed(last), Some(transport)) => close(transport, last).await,
            _ => {}
        }
        tracing::debug!(hub, id = connection_id, "client disconnected");
    }
}

/// Reads a client's handshake request: the record, and what came behind it. `None` if it has left.
async fn handshake(transport: &mut Transport) -> Result<Option<(String, Vec<u8>)>, String> {
    let mut buffer = HandshakeBuffer::default();
    loop {
        match transport.receive().await {
            Ok(Some(frame)) => match buffer.feed(frame.bytes()) {
                Ok(Some((record, rest))) => return Ok(Some((record, rest.to_vec()))),
                Ok(None) => {}
                Err(error) => return Err(format!("The handshake request cannot be read: {error}.")),
            },
            Ok(None) => return Ok(None),
            Err(Broken::Lost) => return Ok(None),
            Err(Broken::Malformed | Broken::TooLong) => return Err(MALFORMED.to_owned()),
        }
    }
}

async fn close(transport: Transport, last: Vec<Frame>) {
    let _ = time::timeout(CLOSE_TIMEOUT, transport.close(last)).await;
}

/// A client's place among the others.
#[derive(Clone, Copy)]
struct Place<'c> {
    hubs: &'c Hubs,
    hub: &'c str,
    id: &'c str,
}

impl Place<'_> {
    /// Waits for room in the queue of the app server, and puts the bytes there. Those of a client that has none any more
    /// are dropped: its end is queued.
    async fn pass_on(self, bytes: &[u8]) {
        loop {
            let Some(way) = self.hubs.with(self.hub, |hub| hub.way_of(self.id)) else { return };
            // Without room the server connection has just ended; the client may have moved to another.
            if let Some(room) = way.reserve(bytes.len()).await {
                return self.hubs.with(self.hub, |hub| hub.client_data(self.id, bytes, room));
            }
            tokio::task::yield_now().await;
        }
    }
}

/// A connection whose handshake is on its way to the app server.
struct Connection<'c> {
    place: Place<'c>,
    room: &'c Room,
    client: &'c Negotiation,
    /// How long the client may be away, or take nothing.
    patience: Duration,
    resume_window: Duration,
    outbox: &'c Outbox,
    queue: Receiver<Outgoing>,
    epoch: Instant,
    relay: Relay,
    /// None while another one may come.
    transport: Option<Transport>,
    /// Where it comes from.
    resumed: Option<mpsc::Receiver<Transport>>,
    /// When it has to be there.
    resume_by: Option<Instant>,
}

impl Connection<'_> {
    /// Runs the connection until it ends. `ends` says that the service wants it to, and that the client may come back.
    async fn run(&mut self, first: &[u8], ends: impl Future<Output = ()>) -> End {
        let drained = self.room.drained();
        tokio::pin!(ends, drained);
        let mut drains = false;
        // What the client has sent and the app server has no room for yet. Until it has, the client is not read.
        let mut waiting = match self.receive(first) {
            Ok(bytes) => bytes,
            Err(end) => return end,
        };
        loop {
            if drains && waiting.is_empty() && self.relay.is_idle() {
                return self.goodbye(None, true);
            }
            let (timeout, place, mut batch) = (self.poll_timeout(), self.place, Vec::new());
            let done = tokio::select! {
                received = receive(&mut self.transport), if waiting.is_empty() => match received {
                    Ok(Some(frame)) => self.receive(frame.bytes()).map(|bytes| waiting = bytes),
                    Ok(None) => self.lost(End::Left),
                    Err(Broken::Lost) => self.lost(End::Gone),
                    Err(Broken::Malformed | Broken::TooLong) if self.relay.may_resume() => self.lost(End::Gone),
                    Err(Broken::Malformed | Broken::TooLong) => Err(self.goodbye(Some(MALFORMED), false)),
                },
                () = place.pass_on(&waiting), if !waiting.is_empty() => {
                    waiting.clear();
                    Ok(())
                }
                _ = self.queue.recv_many(&mut batch, BATCH), if !self.relay.is_full() => self.send(batch).await,
                transport = next(&mut self.resumed) => {
                    let frames = self.resume(transport);
                    self.write(frames).await
                }
                () = self.outbox.was_cut() => Err(End::Gone),
                () = until(timeout) => self.handle_timeout().await,
                () = &mut ends => Err(self.goodbye(None, true)),
                () = &mut drained, if !drains => {
                    drains = true;
                    Ok(())
                }
            };
            if let Err(end) = done {
                return end;
            }
        }
    }

    fn now(&self) -> Moment {
        Moment::from_epoch(self.epoch.elapsed())
    }

    fn goodbye(&self, error: Option<&str>, allow_reconnect: bool) -> End {
        End::Closed(vec![self.relay.goodbye(error, allow_reconnect)])
    }

    /// Takes what the client sends, and gives what the app server gets of it.
    fn receive(&mut self, bytes: &[u8]) -> Result<Vec<u8>, End> {
        let received = self.relay.handle_received(self.now(), bytes);
        self.outbox.traffic.received(self.relay.take_received(), bytes.len());
        received.map_err(|error| self.goodbye(Some(&error.to_string()), false))
    }

    /// The transport is gone: the end, unless another may come.
    fn lost(&mut self, end: End) -> Result<(), End> {
        if !self.relay.may_resume() {
            return Err(end);
        }
        self.transport = None;
        self.resume_by = Some(Instant::now() + self.resume_window);
        Ok(())
    }

    /// Goes on with another transport, in the place of the one before. Gives what to send first.
    fn resume(&mut self, transport: Transport) -> Vec<Frame> {
        let Place { hubs, hub, id } = self.place;
        tracing::debug!(hub, id, "client goes on with another socket");
        self.transport = Some(transport);
        self.resume_by = None;
        hubs.with(hub, |hub| hub.client_resumed(id));
        self.relay.resume(self.now())
    }

    /// Sends what was queued.
    async fn send(&mut self, batch: Vec<Outgoing>) -> Result<(), End> {
        let (mut frames, mut cost) = (Vec::new(), 0);
        self.outbox.traffic.sent(batch.len() as u64, 0);
        for queued in batch {
            cost += queued.cost();
            if self.relay.handle_queued(queued, &mut frames).is_break() {
                return Err(End::Closed(frames));
            }
        }
        self.write(frames).await?;
        self.outbox.sent(cost);
        Ok(())
    }

    /// Writes, if there is a transport. What it does not take is sent by the next one, as far as it counts.
    async fn write(&mut self, mut frames: Vec<Frame>) -> Result<(), End> {
        let Disturbed { delay, is_lost } = match frames.is_empty() {
            true => Disturbed::default(),
            false => self.room.disturbed(self.client),
        };
        if is_lost {
            return Ok(());
        }
        if !delay.is_zero() {
            tokio::select! {
                () = time::sleep(delay) => {}
                () = self.outbox.was_cut() => return Err(End::Gone),
            }
        }
        loop {
            let Some(transport) = &mut self.transport else { return Ok(()) };
            self.outbox.traffic.sent(0, frames.iter().map(Frame::len).sum());
            tokio::select! {
                written = time::timeout(self.patience, transport.write(frames)) => {
                    return if matches!(written, Ok(Ok(()))) { Ok(()) } else { self.lost(End::Gone) };
                }
                transport = next(&mut self.resumed) => frames = self.resume(transport),
                () = self.outbox.was_cut() => return Err(End::Gone),
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let Some(transport) = &self.transport else { return self.resume_by };
        let absent = transport.last_seen().map(|seen| seen + self.patience);
        let acknowledge = self.relay.poll_timeout().map(|due| self.epoch + due.since_epoch());
        [absent, acknowledge].into_iter().flatten().min()
    }

    async fn handle_timeout(&mut self) -> Result<(), End> {
        let now = Instant::now();
        let Some(transport) = &self.transport else {
            return if self.resume_by.is_some_and(|by| now >= by) { Err(End::Gone) } else { Ok(()) };
        };
        if transport.last_seen().is_some_and(|seen| now >= seen + self.patience) {
            return Err(End::Gone);
        }
        let acknowledgement = self.relay.handle_timeout(self.now());
        self.write(acknowledgement.into_iter().collect()).await
    }
}

async fn receive(transport: &mut Option<Transport>) -> Result<Option<Frame>, Broken> {
    match transport {
        Some(transport) => transport.receive().await,
        None => pending().await,
    }
}

async fn next(resumed: &mut Option<mpsc::Receiver<Transport>>) -> Transport {
    match resumed {
        Some(resumed) => match resumed.recv().await {
            Some(transport) => transport,
            None => pending().await,
        },
        None => pending().await,
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => time::sleep_until(time).await,
        None => pending().await,
    }
}
