//! One client's connection: moves bytes between its transport and the machine, and waits.
//!
//! ```text
//!   transport ──frames──▶ machine ──events──▶ hub (`Run`)
//!             ◀─frames───         ◀─answers── hub
//!                                 ◀─messages─ outbox
//! ```

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    time,
};

use crate::{
    core::{
        ErrorChain, HubProtocol, Moment, ProtocolError,
        codec::Payload,
        hub::HubEvent,
        message::{Invocation, Outcome},
        negotiate::Transport as Kind,
        server::{DisconnectReason, Effect, ServerMachine, ServerOptions, TransportError},
    },
    server::{
        calls::{self, Answer, Calls},
        codec::SharedCodec,
        expiry::expired,
        message::Frame,
        negotiated::{Lease, Negotiation},
        outbox::{Delivery, Outbox, Outgoing},
        queue::Receiver,
        room::{Room, Slot},
        traffic::About,
        transport::{Broken, Transport},
        wire::{Cut, Event, Seldom, Wire, receive, stays_registered},
    },
};

/// How many queued messages are taken at once, and how many frames before they are answered.
const BATCH: usize = 64;

/// How long a client may take to answer that the connection closes.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

const MALFORMED: ProtocolError = ProtocolError::Message("a WebSocket message was malformed");

const TOO_LONG: ProtocolError = ProtocolError::Message("a WebSocket message was larger than 4 MB");

/// What became of a call.
#[derive(Debug)]
#[must_use]
pub(crate) enum Taken {
    /// The answer comes through the outbox, if one is expected.
    Later,
    /// The call with this number is done, and this is its answer.
    Now(u64, Answer),
}

/// What the host of a room does with one connection, from its handshake to its end. Nothing here may wait.
pub(crate) trait Dispatcher: Send + 'static {
    /// The client has shaken hands. What happens to messages on their way into its queue.
    fn opening(&mut self, _protocol: HubProtocol, _transport: Kind) -> Delivery {
        Delivery::default()
    }

    /// The client is connected: it can be addressed, through the room or through its outbox.
    fn connected(&mut self, outbox: &Arc<Outbox>);

    /// The client calls a method. Where it expects an answer, `call` is the number to
    /// [answer](Outbox::answer) with. An error is the answer at once.
    ///
    /// # Errors
    /// Why the call is refused.
    fn invocation(
        &mut self,
        call: Option<u64>,
        invocation: &Invocation<'_, Payload<'_>>,
    ) -> Result<Taken, &'static str>;

    /// The client calls a method that streams.
    ///
    /// # Errors
    /// Why the call is refused.
    fn stream_invocation(
        &mut self,
        call: Option<u64>,
        invocation: &Invocation<'_, Payload<'_>>,
    ) -> Result<Taken, &'static str>;

    /// An item of a stream that the client uploads with a call.
    fn uploaded(&mut self, _stream_id: &str, _item: Payload<'_>) {}

    /// A stream that the client uploads has ended, because of an error if there is one.
    fn upload_completed(&mut self, _stream_id: &str, _error: Option<&str>) {}

    /// The client answers a call that this server has not made.
    fn foreign_completion(&mut self, _id: &str, _outcome: Outcome<'_, Payload<'_>>) {}

    /// The client no longer wants the answer to a call. It still expects one.
    fn cancelled(&mut self, _call: u64) {}

    /// Whether there is room for more of what the client sends. While there is none, the client is not read.
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    /// Whether nothing that the client has called is in progress.
    fn poll_idle(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    /// The connection has ended; [`disconnected`](Self::disconnected) follows.
    fn ending(&mut self, _reason: &DisconnectReason) {}

    /// The connection has ended, because of an error if there is one.
    fn disconnected(&mut self, error: Option<&str>);
}

/// A connection that was let in.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) room: Arc<Room>,
    pub(crate) negotiation: Negotiation,
    pub(crate) handshake_timeout: Duration,
    /// When it ends with the client's authentication, in seconds since the Unix epoch, if it does.
    pub(crate) expiry: watch::Receiver<Option<u64>>,
    /// Its next sockets, if it is stateful.
    pub(crate) resumed: Option<mpsc::Receiver<Transport>>,
    /// Gives the connection token free in the end, if the client has negotiated.
    pub(crate) _lease: Option<Lease>,
    /// Its place among the connections of the room.
    pub(crate) slot: Arc<Slot>,
}

/// What becomes of a connection that was let in.
pub(crate) trait Run: Send + 'static {
    /// Runs it from the opening of its transport to its end.
    fn run(self, transport: Transport) -> impl Future<Output = ()> + Send;
}

/// A connection whose messages go to a dispatcher.
#[derive(Debug)]
pub(crate) struct Session<D> {
    pub(crate) admitted: Admitted,
    pub(crate) dispatcher: D,
}

impl<D: Dispatcher> Run for Session<D> {
    /// What lives as long as the connection is on the heap: it would be in the task twice, here and where it is used.
    fn run(self, transport: Transport) -> impl Future<Output = ()> + Send {
        let Self { admitted, dispatcher } = self;
        let Admitted { room, negotiation, handshake_timeout, expiry, resumed, _lease, slot } = admitted;
        // Other transports are not lost and found.
        let is_stateful = negotiation.is_stateful && transport.kind() == Kind::WebSockets;
        let stateful_buffer = room.options.stateful_buffer.filter(|_| is_stateful);
        let options = ServerOptions { handshake_timeout, stateful_buffer, ..room.options.clone() };
        let codecs = room.protocols.iter().map(|protocol| SharedCodec(*protocol)).collect();
        let machine = ServerMachine::new(Moment::ZERO, options, codecs, transport.kind());
        let driver = Box::new(Driver {
            room,
            negotiation,
            dispatcher,
            expiry,
            wire: Wire::new(machine, transport, resumed),
            client: None,
            calls: Calls::default(),
            drains: false,
            queue_had_its_turn: false,
            _lease,
            _slot: slot,
        });
        driver.run()
    }
}

/// A connection under way.
struct Driver<D> {
    room: Arc<Room>,
    negotiation: Negotiation,
    dispatcher: D,
    expiry: watch::Receiver<Option<u64>>,
    wire: Wire,
    /// Once it is connected.
    client: Option<Client>,
    /// What the client was asked.
    calls: Calls,
    /// Whether it ends as soon as nothing is in progress.
    drains: bool,
    /// Whether what others send was the last thing to be taken.
    queue_had_its_turn: bool,
    _lease: Option<Lease>,
    _slot: Arc<Slot>,
}

/// What others want to tell a client.
struct Client {
    outbox: Arc<Outbox>,
    queue: Receiver<Outgoing>,
    /// What was taken from the queue and is not sent yet.
    taken: usize,
    cut: Cut,
}

/// What ends a connection from outside.
struct Ends<'e> {
    expired: Pin<Box<dyn Future<Output = ()> + Send + 'e>>,
    drained: Pin<Box<dyn Future<Output = ()> + Send + 'e>>,
    stopped: Pin<Box<dyn Future<Output = ()> + Send + 'e>>,
}

/// What a driver waits for.
enum Input {
    Wire(Event),
    /// The host has room for more.
    Ready,
    Queued(Vec<Outgoing>),
    Cut,
    Expired,
    /// The server is about to stop.
    Drains,
    /// Nothing is in progress.
    Idle,
    Stopped,
}

impl<D: Dispatcher> Driver<D> {
    async fn run(mut self: Box<Self>) {
        let room = self.room.clone();
        let mut ends = Ends {
            expired: Box::pin(expired(self.expiry.clone())),
            drained: Box::pin(room.drained()),
            stopped: Box::pin(room.stopped()),
        };
        // The effect of the end comes right after that of the transport's.
        let mut abort = true;
        // Answers to frames that came together go out together.
        let mut gathered = 0;
        let reason = loop {
            match self.wire.machine.poll_effect() {
                Some(Effect::Connected) => self.connect(),
                Some(Effect::CloseTransport { abort: at_once }) => abort = at_once,
                Some(Effect::Disconnected(reason)) => break reason,
                Some(Effect::Detached) => {
                    self.wire.detach();
                    tracing::debug!(id = self.negotiation.connection_id, "a client has lost its socket");
                }
                Some(Effect::Resumed) => {
                    tracing::debug!(
                        id = self.negotiation.connection_id,
                        "a client goes on with another socket"
                    );
                }
                None => {
                    let more = if (1..BATCH).contains(&gathered) { self.wire.gathered().await } else { None };
                    let input = match more {
                        Some(event) => Input::Wire(event),
                        None => {
                            gathered = 0;
                            if self.transmit().await {
                                continue;
                            }
                            self.next(&mut ends, true).await
                        }
                    };
                    match input {
                        Input::Wire(Event::Received(Ok(Some(frame)))) => {
                            gathered += 1;
                            self.receive(&frame, &mut ends).await;
                        }
                        input => self.handle(input),
                    }
                }
            }
        };
        self.disconnect(&reason);
        // A client that gets nothing any more gets no Close message either.
        if !abort && !self.room.disturbed(&self.negotiation).is_lost {
            let Self { wire, .. } = *self;
            let _ = Box::pin(time::timeout(CLOSE_TIMEOUT, wire.close())).await;
        }
    }

    /// The client may be addressed from the moment it sees the handshake's response.
    fn connect(&mut self) {
        let Some(SharedCodec(protocol)) = self.wire.machine.codec() else { return };
        let Negotiation { connection_id: id, hub, user, is_stateful } = &self.negotiation;
        let kind = self.wire.kind();
        let about = About::new(Some(kind), *is_stateful, Some(self.expiry.clone()));
        let delivery = self.dispatcher.opening(*protocol, kind);
        let (outbox, queue) = Outbox::with(*protocol, delivery, about);
        let outbox = Arc::new(outbox);
        self.room.connections.insert(hub, id, user.as_deref(), outbox.clone());
        tracing::debug!(hub, id, "client connected");
        self.room.record_connected(&self.negotiation, kind);
        self.dispatcher.connected(&outbox);
        let cut = outbox.clone();
        let cut = Box::pin(async move { cut.was_cut().await });
        self.client = Some(Client { outbox, queue, taken: 0, cut });
        self.wire.rare.again();
    }

    fn disconnect(&mut self, reason: &DisconnectReason) {
        if self.client.take().is_none() {
            return;
        }
        let Negotiation { connection_id: id, hub, .. } = &self.negotiation;
        self.room.connections.remove(hub, id);
        self.dispatcher.ending(reason);
        let is_cut = matches!(reason, DisconnectReason::Aborted | DisconnectReason::SlowClient { .. });
        let text = ErrorChain::new(reason).to_string();
        self.room.record_disconnected(&self.negotiation, &text, reason.is_error());
        self.dispatcher.disconnected(is_cut.then(|| reason.to_string()).as_deref());
        tracing::debug!(hub, id, reason = text, "client disconnected");
    }

    /// Waits for something to happen. Where nothing is to be read, the host having room again is.
    async fn next(&mut self, ends: &mut Ends<'_>, reads: bool) -> Input {
        self.wire.arm();
        let ends_idle = self.drains
            && self.client.is_some()
            && self.wire.machine.is_idle()
            && !self.calls.is_waited_for();
        let Self { dispatcher, client, queue_had_its_turn, wire, drains, .. } = self;
        let Wire { machine, transport, seldom, reading, is_flushing, rare, .. } = wire;
        let (may_read, is_full) = (reads && machine.may_read(), machine.is_full());
        let always = !stays_registered(transport.as_ref());
        let mut receive = pin!(receive(transport, is_flushing));
        poll_fn(|cx| {
            let rare = rare.poll(cx, false, |cx| poll_rare(cx, seldom, client.as_mut(), ends, *drains));
            if rare.is_ready() {
                return rare;
            }
            // What goes out and what comes in take turns.
            let queue_is_last = std::mem::take(queue_had_its_turn);
            let mut poll_queue = |cx: &Context<'_>| {
                let queue = client.as_ref().filter(|_| !is_full).map(|client| &client.queue);
                let mut batch = Vec::new();
                *queue_had_its_turn = queue?.poll_many(cx, &mut batch, BATCH).is_ready();
                queue_had_its_turn.then_some(Input::Queued(batch))
            };
            if !queue_is_last && let Some(queued) = poll_queue(cx) {
                return Poll::Ready(queued);
            }
            if may_read
                && let Poll::Ready(received) = reading.poll(cx, always, |cx| receive.as_mut().poll(cx))
            {
                return Poll::Ready(Input::Wire(Event::Received(received)));
            }
            if queue_is_last && let Some(queued) = poll_queue(cx) {
                return Poll::Ready(queued);
            }
            // It is asked for one of two things.
            if !reads && dispatcher.poll_ready(cx).is_ready() {
                return Poll::Ready(Input::Ready);
            }
            if ends_idle { dispatcher.poll_idle(cx).map(|()| Input::Idle) } else { Poll::Pending }
        })
        .await
    }

    fn handle(&mut self, input: Input) {
        match input {
            Input::Wire(event) => self.handle_event(event),
            Input::Ready => {}
            Input::Queued(batch) => self.forward(batch),
            Input::Cut => self.wire.machine.abort(),
            Input::Drains => {
                self.drains = true;
                // A client before its handshake has nothing in progress.
                if self.client.is_none() {
                    self.wire.machine.close(None, true);
                }
            }
            Input::Idle => {
                self.forward_queued();
                self.wire.machine.close(None, true);
            }
            Input::Expired | Input::Stopped => self.wire.machine.close(None, true),
        }
    }

    fn handle_event(&mut self, event: Event) {
        let machine = &mut self.wire.machine;
        match event {
            Event::Received(Ok(None)) => machine.handle_left(),
            Event::Received(Err(Broken::Malformed)) => machine.handle_protocol_error(MALFORMED),
            Event::Received(Err(Broken::TooLong)) => machine.handle_protocol_error(TOO_LONG),
            Event::Received(Err(Broken::Lost)) => {
                let now = self.wire.now();
                self.wire.machine.handle_transport_closed(now, TransportError::new("the socket is gone"));
            }
            // A frame is taken where it came from.
            Event::Received(Ok(Some(_))) => {}
            Event::Transport(transport) => self.wire.resume(transport),
            Event::Timeout => self.wire.handle_timeout(),
        }
    }

    /// Takes the messages of a frame. Where the client does not read the answers, or the host has no room, they wait
    /// here.
    async fn receive(&mut self, frame: &Frame, ends: &mut Ends<'_>) {
        let (now, mut spare) = (self.wire.now(), Vec::new());
        if let Some(client) = &self.client {
            client.outbox.traffic.received(0, frame.len());
        }
        let generation = self.wire.generation;
        let was_connected = self.wire.machine.is_connected();
        let Some(mut messages) = self.wire.machine.handle_frame(now, frame, &mut spare) else { return };
        if !was_connected && self.wire.machine.poll_effect() == Some(Effect::Connected) {
            self.connect();
        }
        loop {
            // What a lost transport has brought and nobody has read comes again with the next one.
            if !self.wire.machine.has_transport() || self.wire.generation != generation {
                return;
            }
            if !self.is_ready().await {
                if self.transmit().await {
                    continue;
                }
                let input = self.next(ends, false).await;
                // A client that is not read is not silent. One that is gone takes no pings.
                self.wire.machine.handle_seen(self.wire.now());
                self.handle(input);
            } else if let Some(event) = self.wire.machine.next_event(now, &mut messages) {
                self.dispatch(event);
                // A frame may have more calls than may be in progress at a time.
                self.forward_queued();
            } else if self.wire.machine.may_read() || !self.transmit().await {
                return;
            }
        }
    }

    /// Whether the host has room for another event.
    async fn is_ready(&mut self) -> bool {
        poll_fn(|cx| Poll::Ready(self.dispatcher.poll_ready(cx).is_ready())).await
    }

    fn dispatch(&mut self, event: HubEvent<'_, Payload<'_>>) {
        if let Some(client) = &self.client {
            client.outbox.traffic.received(1, 0);
        }
        let machine = &mut self.wire.machine;
        match event {
            HubEvent::Called { call, streams, invocation } => {
                let taken = if streams {
                    self.dispatcher.stream_invocation(call, &invocation)
                } else {
                    self.dispatcher.invocation(call, &invocation)
                };
                let reason = match taken {
                    Ok(Taken::Later) => return,
                    Ok(Taken::Now(call, answer)) => return self.answer(call, answer),
                    Err(reason) => reason,
                };
                invocation.stream_ids.iter().for_each(|id| machine.forget_upload(id));
                self.room.record_refused_call(&self.negotiation, &invocation.target, reason);
                match call {
                    Some(call) => {
                        machine.answer(call, Outcome::Error(reason.into()));
                    }
                    None => tracing::debug!("ignored a message of a client: {reason}"),
                }
            }
            HubEvent::Completed { id, outcome } => self.calls.end(id, calls::owned(outcome)),
            HubEvent::ForeignCompletion { invocation_id, outcome } => {
                self.dispatcher.foreign_completion(&invocation_id, outcome);
            }
            HubEvent::UnexpectedItem { id } => {
                self.calls.end(id, Outcome::Error("The client answered with an item of a stream.".into()));
            }
            HubEvent::Uploaded { stream_id, item } => self.dispatcher.uploaded(&stream_id, item),
            HubEvent::UploadCompleted { stream_id, error } => {
                self.dispatcher.upload_completed(&stream_id, error.as_deref());
            }
            HubEvent::Cancelled { call } => self.dispatcher.cancelled(call),
            // The machine deals with the rest.
            _ => {}
        }
    }

    /// Answers a call, after whatever its method has sent to its caller.
    fn answer(&mut self, call: u64, answer: Answer) {
        self.forward_queued();
        let (Some(client), machine) = (&self.client, &mut self.wire.machine) else { return };
        // A client that does not take what it is sent has to find the next calls waiting.
        if client.queue.is_empty() && !machine.is_full() {
            machine.answer(call, calls::borrowed(client.outbox.protocol, &answer));
            client.outbox.traffic.sent(1, 0);
        } else {
            client.outbox.answer(call, answer);
        }
    }

    /// Hands over what is queued by now, if the client takes it.
    fn forward_queued(&mut self) {
        let mut batch = Vec::new();
        if let Some(client) = &mut self.client {
            while batch.len() < BATCH
                && !self.wire.machine.is_full()
                && let Some(outgoing) = client.queue.try_recv()
            {
                batch.push(outgoing);
            }
        }
        if !batch.is_empty() {
            self.forward(batch);
        }
    }

    /// Hands over what was queued.
    fn forward(&mut self, batch: Vec<Outgoing>) {
        let (Some(client), machine) = (&mut self.client, &mut self.wire.machine) else { return };
        let protocol = client.outbox.protocol;
        let mut messages = 0;
        for outgoing in batch.into_iter().filter_map(Outgoing::take) {
            client.taken += outgoing.cost();
            messages += 1;
            match outgoing {
                // An error means that the connection was closed by something before.
                Outgoing::Message(frame) => {
                    let _ = machine.send_encoded(frame.into());
                }
                Outgoing::Item(call, item) => {
                    machine.send_item(call, Payload::new(protocol, &item));
                }
                Outgoing::Answer(call, answer) => {
                    machine.answer(call, calls::borrowed(protocol, &answer));
                }
                Outgoing::Call(call, _) => {
                    for abandoned in self.calls.take_abandoned() {
                        machine.forget(abandoned);
                    }
                    let Ok(number) = machine.begin_call() else { continue };
                    let id = machine.call_id(number).unwrap_or_default();
                    if let Some(frame) = self.calls.begin(number, &id, call).frame(protocol) {
                        let _ = machine.send_encoded(frame.into());
                    }
                }
                Outgoing::Close { error, allow_reconnect } => {
                    machine.close(error.as_deref(), allow_reconnect);
                }
                // Only what a host relays is told that.
                Outgoing::Relayed(_) => {}
                // It is a message by now.
                Outgoing::Kept(_) => {}
            }
        }
        client.outbox.traffic.sent(messages, 0);
    }

    /// Sends what the machine has for the transport. Returns whether there was anything.
    async fn transmit(&mut self) -> bool {
        let cut = self.client.as_mut().map(|client| &mut client.cut);
        let disturbed = || self.room.disturbed(&self.negotiation);
        let sent = self.wire.transmit(cut, disturbed).await;
        if let (true, Some(client)) = (sent, &mut self.client) {
            client.outbox.sent(std::mem::take(&mut client.taken));
            client.outbox.traffic.sent(0, std::mem::take(&mut self.wire.written));
        }
        sent
    }
}

/// What happens seldom.
fn poll_rare(
    cx: &mut Context<'_>,
    seldom: &mut Seldom,
    client: Option<&mut Client>,
    ends: &mut Ends<'_>,
    drains: bool,
) -> Poll<Input> {
    if let Poll::Ready(event) = seldom.poll(cx) {
        return Poll::Ready(Input::Wire(event));
    }
    if let Some(client) = client {
        if client.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Input::Cut);
        }
        if ends.expired.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Input::Expired);
        }
    }
    if !drains && ends.drained.as_mut().poll(cx).is_ready() {
        return Poll::Ready(Input::Drains);
    }
    ends.stopped.as_mut().poll(cx).map(|()| Input::Stopped)
}
