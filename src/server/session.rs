//! One client's connection: moves bytes between its transport and the machine, and waits.

use std::{
    future::{pending, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    sync::{
        mpsc::{self, UnboundedReceiver},
        watch,
    },
    time::{self, Instant, Sleep},
};

use crate::{
    core::{
        ErrorChain, HubProtocol, Moment, ProtocolError,
        codec::Payload,
        hub::HubEvent,
        message::{Invocation, Outcome},
        server::{DisconnectReason, Effect, ServerMachine, ServerOptions, Transmit, TransportError},
    },
    platform::unix_now,
    server::{
        calls::{self, Calls},
        codec::{Out, SharedCodec},
        exchange::Closed,
        message::Frame,
        negotiated::{Lease, Negotiation},
        outbox::{Outbox, Outgoing},
        room::Room,
        transport::{Broken, Transport},
    },
};

/// How many queued messages are taken at once.
const BATCH: usize = 64;

/// How long a client may take to answer that the connection closes.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A timer that does not run out soon. The machine's moments may lie further away than a timer can reach.
const FAR: Duration = Duration::from_secs(24 * 3600);

const MALFORMED: ProtocolError = ProtocolError::Message("a WebSocket message was malformed");

const TOO_LONG: ProtocolError = ProtocolError::Message("a WebSocket message was larger than 4 MB");

/// What the host of a room does with one connection, from its handshake to its end. Nothing here may wait.
pub(crate) trait Dispatcher: Send + 'static {
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
    ) -> Result<(), &'static str>;

    /// The client calls a method that streams.
    ///
    /// # Errors
    /// Why the call is refused.
    fn stream_invocation(
        &mut self,
        call: Option<u64>,
        invocation: &Invocation<'_, Payload<'_>>,
    ) -> Result<(), &'static str>;

    /// An item of a stream that the client uploads with a call.
    fn uploaded(&mut self, _stream_id: &str, _item: Payload<'_>) {}

    /// A stream that the client uploads has ended, because of an error if there is one.
    fn upload_completed(&mut self, _stream_id: &str, _error: Option<&str>) {}

    /// The client no longer wants the answer to a call. It still expects one.
    fn cancelled(&mut self, _call: u64) {}

    /// Whether there is room for more of what the client sends. While there is none, the client is not read.
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

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
    async fn run(self, transport: Transport) {
        let Self { admitted, dispatcher } = self;
        let Admitted { room, negotiation, handshake_timeout, expiry, _lease, .. } = admitted;
        let options = ServerOptions { handshake_timeout, ..room.options.clone() };
        let codecs = HubProtocol::ALL.iter().map(|protocol| SharedCodec(*protocol)).collect();
        let machine = ServerMachine::new(Moment::ZERO, options, codecs, transport.kind());
        let driver = Driver {
            room: room.clone(),
            negotiation,
            dispatcher,
            wire: Wire {
                machine,
                transport,
                epoch: Instant::now(),
                timer: Box::pin(time::sleep(Duration::ZERO)),
            },
            client: None,
            calls: Calls::default(),
        };
        driver.run(expiry).await;
    }
}

/// A connection under way.
struct Driver<D> {
    room: Arc<Room>,
    negotiation: Negotiation,
    dispatcher: D,
    wire: Wire,
    /// Once it is connected.
    client: Option<Client>,
    /// What the client was asked.
    calls: Calls,
}

/// What others want to tell a client.
struct Client {
    outbox: Arc<Outbox>,
    queue: UnboundedReceiver<Outgoing>,
    /// What was taken from the queue and is not sent yet.
    taken: usize,
}

/// The machine with its transport and its clock.
struct Wire {
    machine: ServerMachine<SharedCodec>,
    transport: Transport,
    epoch: Instant,
    timer: Pin<Box<Sleep>>,
}

/// What ends a connection from outside.
struct Ends<'e> {
    expired: Pin<Box<dyn Future<Output = ()> + Send + 'e>>,
    stopped: Pin<Box<dyn Future<Output = ()> + Send + 'e>>,
}

/// What a driver waits for.
enum Input {
    Received(Result<Option<Frame>, Broken>),
    /// The host has room for more.
    Ready,
    Queued(Vec<Outgoing>),
    Timeout,
    Cut,
    Expired,
    Stopped,
}

impl<D: Dispatcher> Driver<D> {
    async fn run(mut self, expiry: watch::Receiver<Option<u64>>) {
        let room = self.room.clone();
        let mut ends = Ends { expired: Box::pin(expired(expiry)), stopped: Box::pin(room.stopped()) };
        // The effect of the end comes right after that of the transport's.
        let mut abort = true;
        let reason = loop {
            match self.wire.machine.poll_effect() {
                Some(Effect::Connected) => self.connect(),
                Some(Effect::CloseTransport { abort: at_once }) => abort = at_once,
                Some(Effect::Disconnected(reason)) => break reason,
                // No client is offered stateful reconnect here.
                Some(_) => {}
                None => {
                    if self.transmit().await {
                        continue;
                    }
                    match self.next(&mut ends, true).await {
                        Input::Received(Ok(Some(frame))) => self.receive(&frame, &mut ends).await,
                        input => self.handle(input),
                    }
                }
            }
        };
        self.disconnect(&reason);
        if !abort {
            let _ = time::timeout(CLOSE_TIMEOUT, self.wire.close()).await;
        }
    }

    /// The client may be addressed from the moment it sees the handshake's response.
    fn connect(&mut self) {
        let Some(SharedCodec(protocol)) = self.wire.machine.codec() else { return };
        let (outbox, queue) = Outbox::new(*protocol);
        let outbox = Arc::new(outbox);
        let Negotiation { connection_id: id, hub, user, .. } = &self.negotiation;
        self.room.connections.insert(hub, id, user.as_deref(), outbox.clone());
        tracing::debug!(hub, id, "client connected");
        self.dispatcher.connected(&outbox);
        self.client = Some(Client { outbox, queue, taken: 0 });
    }

    fn disconnect(&mut self, reason: &DisconnectReason) {
        if self.client.take().is_none() {
            return;
        }
        let Negotiation { connection_id: id, hub, .. } = &self.negotiation;
        self.room.connections.remove(hub, id);
        let is_cut = matches!(reason, DisconnectReason::Aborted | DisconnectReason::SlowClient { .. });
        self.dispatcher.disconnected(is_cut.then(|| reason.to_string()).as_deref());
        tracing::debug!(hub, id, reason = %ErrorChain::new(reason), "client disconnected");
    }

    /// Waits for something to happen. Where nothing is to be read, the host having room again is.
    async fn next(&mut self, ends: &mut Ends<'_>, reads: bool) -> Input {
        let Wire { machine, transport, epoch, timer } = &mut self.wire;
        arm(timer, *epoch, machine.poll_timeout());
        let may_read = reads && machine.may_read();
        let (queue, outbox) = match &mut self.client {
            Some(client) => (Some(&mut client.queue).filter(|_| !machine.is_full()), Some(&client.outbox)),
            None => (None, None),
        };
        let is_connected = outbox.is_some();
        let queued = async {
            let mut batch = Vec::new();
            match queue {
                Some(queue) => queue.recv_many(&mut batch, BATCH).await,
                None => pending().await,
            };
            batch
        };
        tokio::select! {
            received = transport.receive(), if may_read => Input::Received(received),
            () = poll_fn(|cx| self.dispatcher.poll_ready(cx)), if !reads => Input::Ready,
            batch = queued => Input::Queued(batch),
            () = timer => Input::Timeout,
            () = cut(outbox) => Input::Cut,
            () = &mut ends.expired, if is_connected => Input::Expired,
            () = &mut ends.stopped => Input::Stopped,
        }
    }

    fn handle(&mut self, input: Input) {
        let machine = &mut self.wire.machine;
        match input {
            Input::Received(Ok(None)) => machine.handle_left(),
            Input::Received(Err(Broken::Malformed)) => machine.handle_protocol_error(MALFORMED),
            Input::Received(Err(Broken::TooLong)) => machine.handle_protocol_error(TOO_LONG),
            Input::Received(Err(Broken::Lost)) => {
                let now = self.wire.now();
                self.wire.machine.handle_transport_closed(now, TransportError::new("the socket is gone"));
            }
            // A frame is taken where it came from.
            Input::Received(Ok(Some(_))) | Input::Ready => {}
            Input::Queued(batch) => self.forward(batch),
            Input::Timeout => self.wire.handle_timeout(),
            Input::Cut => machine.abort(),
            Input::Expired | Input::Stopped => machine.close(None, true),
        }
    }

    /// Takes the messages of a frame. Where the client does not read the answers, or the host has no room, they wait
    /// here.
    async fn receive(&mut self, frame: &Frame, ends: &mut Ends<'_>) {
        let (now, mut spare) = (self.wire.now(), Vec::new());
        let was_connected = self.wire.machine.is_connected();
        let Some(mut messages) = self.wire.machine.handle_frame(now, frame, &mut spare) else { return };
        if !was_connected && self.wire.machine.poll_effect() == Some(Effect::Connected) {
            self.connect();
        }
        loop {
            if !self.is_ready().await {
                while self.wire.machine.has_transport() && self.transmit().await {}
                if !self.wire.machine.has_transport() {
                    return;
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
        let machine = &mut self.wire.machine;
        match event {
            HubEvent::Called { call, streams, invocation } => {
                let taken = if streams {
                    self.dispatcher.stream_invocation(call, &invocation)
                } else {
                    self.dispatcher.invocation(call, &invocation)
                };
                let Err(reason) = taken else { return };
                invocation.stream_ids.iter().for_each(|id| machine.forget_upload(id));
                match call {
                    Some(call) => {
                        machine.answer(call, Outcome::Error(reason.into()));
                    }
                    None => tracing::debug!("ignored a message of a client: {reason}"),
                }
            }
            HubEvent::Completed { id, outcome } => self.calls.end(id, calls::owned(outcome)),
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

    /// Hands over what is queued by now, if the client takes it.
    fn forward_queued(&mut self) {
        let mut batch = Vec::new();
        if let Some(client) = &mut self.client {
            while batch.len() < BATCH
                && !self.wire.machine.is_full()
                && let Ok(outgoing) = client.queue.try_recv()
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
        for outgoing in batch {
            client.taken += outgoing.cost();
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
                Outgoing::Close(error) => machine.close(error.as_deref(), false),
                // Only what a host relays is told that.
                Outgoing::Relayed(_) => {}
            }
        }
    }

    /// Sends what the machine has for the transport. Returns whether there was anything.
    async fn transmit(&mut self) -> bool {
        let outbox = self.client.as_ref().map(|client| client.outbox.clone());
        let sent = self.wire.transmit(outbox.as_ref()).await;
        if let (true, Some(client)) = (sent, &mut self.client) {
            client.outbox.sent(std::mem::take(&mut client.taken));
        }
        sent
    }
}

impl Wire {
    fn now(&self) -> Moment {
        Moment::from_epoch(self.epoch.elapsed())
    }

    fn handle_timeout(&mut self) {
        if let Some(seen) = self.transport.last_seen() {
            self.machine.handle_seen(Moment::from_epoch(seen.saturating_duration_since(self.epoch)));
        }
        let now = self.now();
        self.machine.handle_timeout(now);
    }

    async fn transmit(&mut self, outbox: Option<&Arc<Outbox>>) -> bool {
        let Some(transmit) = self.machine.poll_transmit(self.now()) else { return false };
        let frames = self.frames(transmit);
        let Self { machine, transport, epoch, timer } = self;
        let write = transport.write(frames);
        tokio::pin!(write);
        let written = loop {
            arm(timer, *epoch, machine.poll_timeout());
            tokio::select! {
                written = &mut write => break written,
                () = &mut *timer => machine.handle_timeout(Moment::from_epoch(epoch.elapsed())),
                () = cut(outbox) => machine.abort(),
            }
            if !machine.has_transport() {
                return true;
            }
        };
        let now = Moment::from_epoch(epoch.elapsed());
        match written {
            Ok(()) => machine.handle_transmitted(now),
            Err(Closed) => {
                let error = TransportError::new("the client takes nothing any more");
                machine.handle_transport_closed(now, error);
            }
        }
        true
    }

    fn frames(&self, transmit: Transmit<Out>) -> Vec<Frame> {
        let protocol = self.machine.codec().map_or(HubProtocol::Json, |codec| codec.0);
        match transmit {
            Transmit::Handshake(record) => vec![Frame::new(protocol, record)],
            Transmit::Messages(out) => out.into_frames(protocol),
        }
    }

    /// Says goodbye. A client that does not disconnect in time is dropped.
    async fn close(mut self) {
        let mut last = Vec::new();
        while let Some(transmit) = self.machine.poll_transmit(self.now()) {
            last.extend(self.frames(transmit));
            self.machine.handle_transmitted(self.now());
        }
        self.transport.close(last).await;
    }
}

/// Lets a timer run out at a moment, if it would do so later. One that runs out too early does no harm.
fn arm(timer: &mut Pin<Box<Sleep>>, epoch: Instant, due: Option<Moment>) {
    let due = due
        .map(|due| epoch + due.since_epoch().min(epoch.elapsed() + FAR))
        .unwrap_or_else(|| Instant::now() + FAR);
    if timer.is_elapsed() || due < timer.deadline() {
        timer.as_mut().reset(due);
    }
}

async fn cut(outbox: Option<&Arc<Outbox>>) {
    match outbox {
        Some(outbox) => outbox.was_cut().await,
        None => pending().await,
    }
}

/// Waits for the end of an authentication, which may be moved meanwhile.
pub(crate) async fn expired(mut expiry: watch::Receiver<Option<u64>>) {
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
