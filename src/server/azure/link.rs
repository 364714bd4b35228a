//! One server connection: opens its WebSocket, moves bytes between it, the machine, its queue and the hub, and waits.
//!
//! ```text
//!   service ──frames──▶ machine ──what concerns clients──▶ hub
//!           ◀─frames─── machine, then the queue ◀──messages── hub
//! ```

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    sync::{Semaphore, mpsc, mpsc::error::TrySendError, watch},
    time::{self, Instant},
};

use super::{
    event::{Arrived, Event, Via},
    handle::{Command, Link, LinkState, QUEUE, Queued},
    shared::Shared,
};
use crate::{
    core::{
        ErrorChain, Moment, TransportError,
        server_connection::{Effect, ServerConnection, Terms, pool::Open},
        url::HubUrl,
    },
    platform::{BoxFuture, Frame, SharedBytes, WebSocket, now, sleep},
    service::{error::ServiceError, server_access::ServerToken},
};

/// How long the upgrade may take, with the token for it.
const OPEN_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the service may take nothing.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How many messages are handed to the socket before it is read again.
const BATCH: usize = 32;
/// How much of the hub's budget for what has arrived one message takes, at least.
pub(super) const BUDGET_UNIT: usize = 1024;

/// Why a server connection could not be opened.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error("there is no token for it")]
    Token(#[source] ServiceError),
    #[error("the address is invalid")]
    Url,
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error("it takes more than {} seconds", OPEN_TIMEOUT.as_secs())]
    Timeout,
    #[error("the server stops")]
    Stopped,
}

/// Starts a server connection.
pub(super) fn start(shared: &Arc<Shared>, endpoint: usize, open: Open) -> Link {
    let (queue, queued) = mpsc::unbounded_channel();
    let (commands, commanded) = mpsc::unbounded_channel();
    let (state, states) = watch::channel(LinkState::default());
    let room = Arc::new(Semaphore::new(QUEUE));
    let link = Link { queue, room: Arc::clone(&room), commands, state: states };
    let via = Via { endpoint, number: open.number };
    let task = Task { shared: Arc::clone(shared), via, room, queue: queued, commands: commanded, state };
    tokio::spawn(task.run(open));
    link
}

struct Task {
    shared: Arc<Shared>,
    via: Via,
    room: Arc<Semaphore>,
    queue: mpsc::UnboundedReceiver<Queued>,
    commands: mpsc::UnboundedReceiver<Command>,
    state: watch::Sender<LinkState>,
}

impl Task {
    async fn run(mut self, open: Open) {
        let shared = Arc::clone(&self.shared);
        let endpoint = &shared.endpoints[self.via.endpoint];
        let (hub, name, number) = (&*shared.options.hub, endpoint.access.label(), self.via.number);
        let commands = &mut self.commands;
        let opening = async {
            tokio::select! {
                biased;
                () = shared.events.closed() => Err(OpenError::Stopped),
                opened = time::timeout(OPEN_TIMEOUT, connect(&shared, self.via.endpoint, &open)) => {
                    opened.unwrap_or(Err(OpenError::Timeout))
                }
                () = stopped(commands) => Err(OpenError::Stopped),
            }
        };
        match opening.await {
            Ok(socket) => {
                tracing::debug!(hub, endpoint = name, number, kind = ?open.kind, "a server connection is open");
                self.serve(socket, &open).await;
            }
            Err(OpenError::Stopped) => {}
            Err(error) => {
                let error = ErrorChain::new(&error);
                tracing::warn!(hub, endpoint = name, number, %error, "a server connection could not be opened");
            }
        }
        self.end();
        let last = LinkState { fin_done: true, ..LinkState::default() };
        let was = self.state.send_replace(last);
        shared.clients.fetch_sub(was.clients, Ordering::Relaxed);
        if was.is_ready {
            let _ = shared.events.send(Event::Lost(self.via)).await;
        }
    }

    /// Nobody gives it messages any more.
    fn end(&self) {
        self.room.close();
        self.shared.endpoints[self.via.endpoint].handle_lost(self.via.number);
        self.shared.questions.handle_lost(self.via);
    }

    async fn serve(&mut self, socket: WebSocket, open: &Open) {
        let shared = Arc::clone(&self.shared);
        let access = &shared.endpoints[self.via.endpoint].access;
        let terms = Terms {
            kind: open.kind,
            migration_level: shared.options.migration_level,
            allows_stateful_reconnect: shared.options.allows_stateful_reconnect,
            asks_for_keys: access.uses_entra(),
        };
        let machine = ServerConnection::new(now(), terms);
        let events = shared.events.clone();
        let io = Io {
            socket,
            is_flushed: true,
            blocked_since: None,
            delivery: None,
            token: None,
            abandoned: Box::pin(async move { events.closed().await }),
            timer: None,
        };
        let mut serving = Serving { task: self, machine, io, deliveries: VecDeque::new(), is_broken: false };
        let End { reason, is_broken } = serving.run().await;
        let (hub, endpoint, number) = (&*shared.options.hub, access.label(), serving.task.via.number);
        tracing::info!(hub, endpoint, number, reason, "a server connection has ended");
        serving.finish(is_broken).await;
    }
}

/// Waits for the command to close.
async fn stopped(commands: &mut mpsc::UnboundedReceiver<Command>) {
    loop {
        match commands.recv().await {
            Some(Command::Close) | None => return,
            Some(_) => {}
        }
    }
}

async fn connect(shared: &Shared, endpoint: usize, open: &Open) -> Result<WebSocket, OpenError> {
    let (options, endpoint) = (&shared.options, &shared.endpoints[endpoint]);
    let token = endpoint
        .access
        .server_token(&options.hub, &options.server_id, options.access_token_lifetime)
        .await
        .map_err(OpenError::Token)?;
    let url = endpoint.access.server_url(&options.hub, &super::ids::guid(), open.target.as_deref());
    let url = HubUrl::parse(&url).map_err(|_| OpenError::Url)?;
    let headers = [
        ("Asrs-User-Agent", super::ids::user_agent()),
        ("X-ASRS-Server-Id", options.server_id.clone()),
        ("X-Requested-With", "XMLHttpRequest".to_owned()),
    ];
    let headers = headers.map(|(name, value)| (name.to_owned(), value)).to_vec();
    let opened = WebSocket::open(endpoint.http.clone(), url, Some(token.text.clone()), headers).await;
    if let Err(error) = &opened
        && error.status == Some(401)
    {
        endpoint.access.replace(&token).await;
    }
    Ok(opened?)
}

/// What happens next.
enum Step {
    Received(Frame),
    Failed(TransportError),
    /// What closes this client.
    Sent(Box<str>),
    Command(Command),
    Token(Result<ServerToken, ServiceError>),
    Delivered,
    /// Nobody waits for events any more.
    Abandoned,
    /// The service takes nothing.
    Blocked,
    Timeout,
}

struct Io {
    socket: WebSocket,
    is_flushed: bool,
    /// Since when the service takes nothing.
    blocked_since: Option<Instant>,
    /// An event that waits for the hub to take it.
    delivery: Option<BoxFuture<bool>>,
    token: Option<BoxFuture<Result<ServerToken, ServiceError>>>,
    /// Ends when nobody waits for events any more.
    abandoned: BoxFuture<()>,
    timer: Option<(Moment, BoxFuture<()>)>,
}

/// Why it is over.
struct End {
    reason: String,
    /// Nothing can be sent any more, not even that it is over.
    is_broken: bool,
}

impl End {
    fn closed(reason: &str) -> Self {
        Self { reason: reason.to_owned(), is_broken: false }
    }
}

struct Serving<'t> {
    task: &'t mut Task,
    machine: ServerConnection,
    io: Io,
    /// Events that wait.
    deliveries: VecDeque<Event>,
    /// Nothing may be sent any more: the service has said so.
    is_broken: bool,
}

impl Serving<'_> {
    async fn run(&mut self) -> End {
        loop {
            if let Some(reason) = self.handle_effects() {
                return End::closed(reason);
            }
            if !self.deliver() {
                return End::closed("nobody waits for its messages");
            }
            match poll_fn(|cx| self.poll_step(cx)).await {
                Step::Received(frame) => self.machine.handle_bytes(now(), &frame.bytes()),
                Step::Failed(error) => {
                    return End { reason: ErrorChain::new(&error).to_string(), is_broken: true };
                }
                Step::Command(Command::AskStatus) => self.machine.ask_status(),
                Step::Command(Command::Fin(fin)) => self.machine.announce_end(now(), fin),
                Step::Command(Command::Close) => return End::closed("the server stops"),
                Step::Sent(client) => {
                    self.machine.handle_client_closed(&client);
                    self.count_clients();
                }
                Step::Token(Ok(token)) => self.machine.ask_for_key(token.text.secret()),
                Step::Token(Err(error)) => {
                    let error = ErrorChain::new(&error);
                    tracing::warn!(%error, "there is no token to ask Azure SignalR Service for a key with");
                }
                Step::Delivered => self.machine.handle_unread(now()),
                Step::Abandoned => return End::closed("nobody waits for its messages"),
                Step::Blocked => {
                    let reason = "the service takes nothing any more".to_owned();
                    return End { reason, is_broken: true };
                }
                Step::Timeout => {
                    if !self.may_read() {
                        // It is this end that does not look.
                        self.machine.handle_unread(now());
                    }
                    self.machine.set_clients_in_hub(self.task.shared.clients.load(Ordering::Relaxed));
                    self.machine.handle_timeout(now());
                }
            }
        }
    }

    /// Does what the machine asks for. `Some` is why it is over.
    fn handle_effects(&mut self) -> Option<&'static str> {
        let (shared, via) = (&self.task.shared, self.task.via);
        let endpoint = &shared.endpoints[via.endpoint];
        let (hub, name) = (&*shared.options.hub, || endpoint.access.label());
        while let Some(effect) = self.machine.poll_effect() {
            match effect {
                Effect::Ready => {
                    self.task.state.send_modify(|state| state.is_ready = true);
                    endpoint.handle_ready(via.number);
                    shared.is_ready.send_if_modified(|ready| !std::mem::replace(ready, true));
                    tracing::debug!(
                        hub,
                        endpoint = name(),
                        number = via.number,
                        "a server connection is ready"
                    );
                }
                Effect::Message(frame) => {
                    let frame = SharedBytes::from(frame);
                    self.deliveries.push_back(Event::Message(via, Arrived { frame, budget: None }));
                }
                Effect::Offline(instance) => self.deliveries.push_back(Event::Offline(via, instance)),
                Effect::Acknowledged { ack_id, status, payload } => {
                    shared.questions.handle_answer(ack_id, via.endpoint, status, payload);
                }
                Effect::Status(status) => endpoint.with(|state| state.pool.handle_status(status)),
                Effect::Rebalance(target) => endpoint.handle_rebalance(target),
                Effect::Retire => endpoint.with(|state| state.pool.handle_retired(via.number)),
                Effect::Block(reason) => {
                    tracing::warn!(hub, endpoint = name(), reason, "Azure SignalR Service reports an error");
                    self.is_broken = true;
                    self.task.room.close();
                    endpoint.with(|state| state.pool.handle_retired(via.number));
                    shared.questions.handle_lost(via);
                }
                Effect::KeyIsDue => {
                    let (shared, index) = (Arc::clone(shared), via.endpoint);
                    self.io.token = Some(Box::pin(async move {
                        let (options, access) = (&shared.options, &shared.endpoints[index].access);
                        access
                            .server_token(&options.hub, &options.server_id, options.access_token_lifetime)
                            .await
                    }));
                }
                Effect::Key { id, key } => endpoint.access.install_key(&id, &key),
                Effect::KeyRefused(reason) => {
                    tracing::warn!(hub, endpoint = name(), reason, "Azure SignalR Service gives no key");
                }
                Effect::FinDone => self.task.state.send_modify(|state| state.fin_done = true),
                Effect::Note(text) => {
                    tracing::warn!(hub, endpoint = name(), text, "Azure SignalR Service says");
                }
                Effect::Close(reason) => return Some(reason),
            }
        }
        self.count_clients();
        None
    }

    /// Hands on what has arrived. `false`: nobody waits for it any more.
    fn deliver(&mut self) -> bool {
        let shared = &self.task.shared;
        while self.io.delivery.is_none()
            && let Some(mut event) = self.deliveries.pop_front()
        {
            let units = units(&event);
            let budget = Arc::clone(&shared.budget).try_acquire_many_owned(units);
            match (budget, shared.events.try_reserve()) {
                (_, Err(TrySendError::Closed(()))) => return false,
                (Ok(budget), Ok(place)) => {
                    event.hold(budget);
                    place.send(event);
                }
                _ => {
                    let shared = Arc::clone(shared);
                    self.io.delivery = Some(Box::pin(async move { shared.deliver(event, units).await }));
                }
            }
        }
        true
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        let may_read = self.may_read();
        let Self { task, machine, io, is_broken, .. } = self;
        if let Poll::Ready(command) = task.commands.poll_recv(cx) {
            return Poll::Ready(Step::Command(command.unwrap_or(Command::Close)));
        }
        if io.abandoned.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Step::Abandoned);
        }
        if let Some(token) = &mut io.token
            && let Poll::Ready(token) = token.as_mut().poll(cx)
        {
            io.token = None;
            return Poll::Ready(Step::Token(token));
        }
        if let Some(delivery) = &mut io.delivery
            && let Poll::Ready(delivered) = delivery.as_mut().poll(cx)
        {
            io.delivery = None;
            return Poll::Ready(if delivered { Step::Delivered } else { Step::Abandoned });
        }
        match io.poll_write(cx, machine, (!*is_broken).then_some(&mut task.queue)) {
            Ok(Some(client)) => return Poll::Ready(Step::Sent(client)),
            Ok(None) => {}
            Err(error) => return Poll::Ready(Step::Failed(error)),
        }
        if may_read && let Poll::Ready(frame) = io.socket.poll_next(cx) {
            return Poll::Ready(frame.map_or_else(Step::Failed, Step::Received));
        }
        io.poll_timer(cx, machine.poll_timeout())
    }

    fn may_read(&self) -> bool {
        self.io.delivery.is_none() && self.deliveries.is_empty() && self.machine.may_read()
    }

    fn count_clients(&self) {
        let (count, all) = (self.machine.client_count(), &self.task.shared.clients);
        self.task.state.send_if_modified(|state| {
            let before = std::mem::replace(&mut state.clients, count);
            all.fetch_add(count.wrapping_sub(before), Ordering::Relaxed);
            before != count
        });
    }

    /// Says goodbye, with what is still to be said, and hands on what has arrived.
    async fn finish(mut self, is_broken: bool) {
        self.task.end();
        let Io { socket, delivery, .. } = self.io;
        if !is_broken {
            let mut left: Vec<_> = std::iter::from_fn(|| self.machine.poll_transmit()).collect();
            while let (false, Ok(queued)) = (self.is_broken, self.task.queue.try_recv()) {
                left.push(queued.bytes);
            }
            socket.close(left.into_iter().map(Frame::binary)).await;
        }
        if let Some(delivery) = delivery {
            delivery.await;
        }
        for event in self.deliveries {
            let units = units(&event);
            if !self.task.shared.deliver(event, units).await {
                return;
            }
        }
    }
}

/// How much of the hub's budget an event takes.
fn units(event: &Event) -> u32 {
    match event {
        Event::Message(_, arrived) => {
            u32::try_from(arrived.frame.len() / BUDGET_UNIT + 1).unwrap_or(u32::MAX)
        }
        Event::Lost(_) | Event::Offline(..) => 0,
    }
}

impl Io {
    /// Hands messages to the socket, and the socket's to the network. `Some` is a client that one of them closes.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        machine: &mut ServerConnection,
        mut queue: Option<&mut mpsc::UnboundedReceiver<Queued>>,
    ) -> Result<Option<Box<str>>, TransportError> {
        for written in 0..=BATCH {
            if written == BATCH {
                // There may be more, of which nothing else tells.
                cx.waker().wake_by_ref();
                break;
            }
            if self.socket.poll_ready(cx)?.is_pending() {
                break;
            }
            self.blocked_since = None;
            let (bytes, closes) = match (machine.poll_transmit(), queue.as_deref_mut()) {
                (Some(bytes), _) => (bytes, None),
                (None, Some(queue)) if machine.is_ready() => match queue.poll_recv(cx) {
                    Poll::Ready(Some(queued)) => (queued.bytes, queued.closes),
                    _ => break,
                },
                _ => break,
            };
            self.socket.start_send(Frame::binary(bytes))?;
            self.is_flushed = false;
            if closes.is_some() {
                return Ok(closes);
            }
        }
        if !self.is_flushed {
            match self.socket.poll_flush(cx)? {
                Poll::Ready(()) => {
                    self.is_flushed = true;
                    self.blocked_since = None;
                }
                Poll::Pending => {
                    self.blocked_since.get_or_insert_with(Instant::now);
                }
            }
        }
        Ok(None)
    }

    /// Waits until then at most.
    fn poll_timer(&mut self, cx: &mut Context<'_>, until: Moment) -> Poll<Step> {
        // One more that looks whether the service takes what is sent.
        let blocked = self.blocked_since.map(|since| WRITE_TIMEOUT.saturating_sub(since.elapsed()));
        if blocked.is_some_and(|left| left.is_zero()) {
            return Poll::Ready(Step::Blocked);
        }
        let until = blocked.map_or(until, |left| until.min(now() + left));
        if self.timer.as_ref().is_none_or(|(set, _)| *set != until) {
            self.timer = Some((until, sleep(until.since(now()))));
        }
        let fired = self.timer.as_mut().is_some_and(|(_, timer)| timer.as_mut().poll(cx).is_ready());
        if fired {
            self.timer = None;
            return Poll::Ready(Step::Timeout);
        }
        Poll::Pending
    }
}
