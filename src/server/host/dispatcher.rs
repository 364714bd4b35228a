//! One client's connection: what it calls goes to the hub's methods.
//!
//! ```text
//!   session ──call──▶ its turn? ──yes──▶ runs here up to where it waits ──▶ a task
//!                         └────no────▶ waits ─────────────────────────────▶ a task
//!           ──items─────────────────────────────────────────────────────────▶ its Incoming streams
//! ```
//!
//! As many calls run at a time as the hub allows. As in ASP.NET Core, calls with streams, of
//! either direction, count until they begin only: they may last as long as the connection.

use std::{
    collections::HashMap,
    marker::PhantomData,
    sync::{Arc, Mutex, MutexGuard, OnceLock, Weak},
    task::{Context, Poll},
    time::Instant,
};

use futures_channel::mpsc;
use futures_util::StreamExt as _;
use tracing::Instrument as _;

#[cfg(feature = "metrics")]
use super::metrics::Measured;
use super::{
    arguments::{RawArguments, UploadEvent},
    budget::{Budget, Waiting},
    caller::{Caller, Connection},
    cancel::Cancel,
    error::HubError,
    filter::{NextConnected, NextDisconnected},
    identity::{CurrentIdentity, Identity},
    invocation::HubInvocation,
    invoke::{self, unexpected},
    kept,
    lifetime::HUB,
    methods::Running,
    reply::{Items, Written},
    state::Hub,
    turns::{Turn, Turns, Waits, begin, poll_once},
};
use crate::{
    client::{CallTrace, caught, guarded},
    core::{
        ErrorChain, HubProtocol,
        codec::Payload,
        message::{Invocation, Outcome},
        negotiate::Transport,
        server::DisconnectReason,
        text::clip,
    },
    lock::lock,
    server::{
        calls::Answer,
        observe::{Kind, Observed},
        outbox::{Delivery, Outbox},
        query::Query,
        room::Slot,
        session::{Dispatcher, Taken},
        traffic::Described,
    },
};

/// What an upload takes, in bytes, while its call waits.
const UPLOAD: usize = 1024;

/// A client that wants to be let in.
pub(in crate::server) struct Guest {
    pub(in crate::server) connection_id: String,
    pub(in crate::server) identity: Identity,
    pub(in crate::server) transport: Option<Transport>,
    pub(in crate::server) is_stateful: bool,
    pub(in crate::server) headers: http::HeaderMap,
    pub(in crate::server) query: Query,
    /// Its place in the room.
    pub(in crate::server) slot: Arc<Slot>,
}

pub(in crate::server) struct HubDispatcher {
    hub: Arc<Hub>,
    guest: Option<Guest>,
    open: Option<Open>,
    #[cfg(feature = "metrics")]
    measured: Option<Measured>,
}

/// What there is while the client is connected.
struct Open {
    caller: Caller,
    turns: Arc<Turns<Work>>,
    calls: Calls,
    budget: Arc<Budget>,
}

/// The calls in progress.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<CallTable>>);

#[derive(Default)]
struct CallTable {
    /// How those that are not done at once are told that nobody wants their result.
    cancels: HashMap<u64, Arc<Cancel>>,
    /// The streams that the client uploads with them.
    uploads: HashMap<String, mpsc::UnboundedSender<UploadEvent>>,
}

impl Calls {
    fn lock(&self) -> MutexGuard<'_, CallTable> {
        lock(&self.0)
    }
}

impl CallTable {
    fn upload(&mut self, stream_id: &str, event: UploadEvent) {
        let ends = matches!(event, UploadEvent::Ended(_));
        let Some(upload) = self.uploads.get(stream_id) else { return };
        // A method that has dropped its stream wants nothing more of it.
        if upload.unbounded_send(event).is_err() || ends {
            self.uploads.remove(stream_id);
        }
    }
}

/// A call on its way to its method.
struct Work {
    hub: Arc<Hub>,
    caller: Caller,
    calls: Calls,
    call: Option<u64>,
    target: Arc<str>,
    streams: bool,
    arguments: RawArguments,
    trace: Option<Box<CallTrace>>,
    upload_ids: Vec<String>,
    waiting: Waiting,
}

impl Waits for Work {
    async fn run(mut self, turn: Turn<Self>) {
        let connection = self.caller.connection.clone();
        // Who it is may have changed while the call waited.
        self.caller.identity = connection.current.get();
        perform(self, turn).await.tell(&connection.outbox);
    }
}

/// What a call keeps others waiting by, until it is answered.
type Place = (Turn<Work>, Waiting);

/// A call that is done.
struct Performed {
    /// Where one is expected, with the number of the call.
    answer: Option<(u64, Answer)>,
    place: Option<Place>,
}

impl Performed {
    fn tell(self, outbox: &Outbox) {
        if let Some((call, answer)) = self.answer {
            outbox.answer(call, answer);
        }
        drop(self.place);
    }
}

impl HubDispatcher {
    pub(in crate::server) fn new(hub: Arc<Hub>, guest: Guest) -> Self {
        let guest = Guest { headers: kept::headers(&guest.headers), ..guest };
        Self {
            hub,
            guest: Some(guest),
            open: None,
            #[cfg(feature = "metrics")]
            measured: None,
        }
    }

    fn called(
        &mut self,
        call: Option<u64>,
        invocation: &Invocation<'_, Payload<'_>>,
        streams: bool,
    ) -> Taken {
        let Some(open) = &mut self.open else { return Taken::Later };
        let list = invocation.arguments.as_ref();
        let upload_ids: Vec<_> = invocation.stream_ids.iter().map(|id| id.as_ref().to_owned()).collect();
        let mut uploads = Vec::new();
        for id in &upload_ids {
            let (sender, receiver) = mpsc::unbounded();
            open.calls.lock().uploads.insert(id.clone(), sender);
            uploads.push(receiver);
        }
        let waits = list.len() + invocation.target.len() + upload_ids.len() * UPLOAD;
        // Without an id it ends with the connection.
        let cancel = call.map(|call| (call, Arc::<Cancel>::default()));
        let identity = open.caller.connection.current.get();
        let mut caller = Caller { identity, ..open.caller.clone() };
        if let Some((_, cancel)) = &cancel {
            caller.cancelled = cancel.clone();
        }
        let protocol = caller.connection.outbox.protocol;
        let work = Work {
            hub: self.hub.clone(),
            caller,
            calls: open.calls.clone(),
            call,
            target: invocation.target.as_ref().into(),
            streams,
            arguments: RawArguments { protocol, list: list.to_vec(), uploads },
            trace: self.hub.rules.telemetry.trace(&invocation.headers),
            upload_ids,
            waiting: open.budget.take(waits),
        };
        let Some(turn) = open.turns.take() else {
            open.calls.lock().cancels.extend(cancel);
            open.turns.wait(work);
            return Taken::Later;
        };
        // Most calls are done at once, and take no task.
        let mut performed = Box::pin(perform(work, turn));
        match poll_once(&mut performed) {
            Some(Poll::Ready(Performed { answer, .. })) => {
                answer.map_or(Taken::Later, |(call, answer)| Taken::Now(call, answer))
            }
            Some(Poll::Pending) => {
                open.calls.lock().cancels.extend(cancel);
                let connection = open.caller.connection.clone();
                tokio::spawn(async move { performed.await.tell(&connection.outbox) });
                Taken::Later
            }
            // What the method left behind cannot even be dropped.
            None => {
                let error = Answer::Error(unexpected(&invocation.target).into());
                call.map_or(Taken::Later, |call| Taken::Now(call, error))
            }
        }
    }
}

impl Dispatcher for HubDispatcher {
    fn opening(&mut self, protocol: HubProtocol, _transport: Transport) -> Delivery {
        #[cfg(feature = "metrics")]
        {
            self.measured = Some(Measured::new(_transport));
        }
        let guest = self.guest.as_ref();
        let rules = &self.hub.sender.outgoing;
        guest.map(|guest| rules.delivery(protocol, &guest.connection_id, &guest.identity)).unwrap_or_default()
    }

    fn connected(&mut self, outbox: &Arc<Outbox>) {
        let Some(guest) = self.guest.take() else { return };
        let identity = Arc::new(guest.identity);
        let connection = Arc::new(Connection {
            id: guest.connection_id,
            current: CurrentIdentity::new(identity.clone()),
            transport: guest.transport,
            is_stateful: guest.is_stateful,
            headers: guest.headers,
            query: guest.query,
            outbox: outbox.clone(),
            error: OnceLock::new(),
            slot: Mutex::new(Some(guest.slot)),
            session: OnceLock::new(),
        });
        let described: Weak<Connection> = Arc::downgrade(&connection);
        outbox.about.describe(described);
        let cancelled = Arc::<Cancel>::default();
        if self.hub.has_refreshes() {
            self.hub.refreshable.insert(&connection, cancelled.clone());
        }
        let sender = self.hub.sender.clone();
        let caller = Caller { sender, connection, identity, cancelled, types: PhantomData };
        let turns = Arc::new(Turns::new(self.hub.parallel_calls));
        begin(connected(self.hub.clone(), caller.clone(), turns.clone()));
        let budget = Arc::new(Budget::new(self.hub.client_buffer));
        self.open = Some(Open { caller, turns, calls: Calls::default(), budget });
    }

    fn invocation(
        &mut self,
        call: Option<u64>,
        invocation: &Invocation<'_, Payload<'_>>,
    ) -> Result<Taken, &'static str> {
        Ok(self.called(call, invocation, false))
    }

    fn stream_invocation(
        &mut self,
        call: Option<u64>,
        invocation: &Invocation<'_, Payload<'_>>,
    ) -> Result<Taken, &'static str> {
        Ok(self.called(call, invocation, true))
    }

    fn uploaded(&mut self, stream_id: &str, item: Payload<'_>) {
        let Some(open) = &mut self.open else { return };
        let item = item.as_ref().to_vec();
        let waiting = open.budget.take(item.len());
        open.calls.lock().upload(stream_id, UploadEvent::Item(item, waiting));
    }

    fn upload_completed(&mut self, stream_id: &str, error: Option<&str>) {
        let Some(open) = &mut self.open else { return };
        let ended = UploadEvent::Ended(error.map(|error| clip(error).into_owned()));
        open.calls.lock().upload(stream_id, ended);
    }

    fn foreign_completion(&mut self, id: &str, outcome: Outcome<'_, Payload<'_>>) {
        if let Some(Open { caller: Caller { connection, .. }, .. }) = &self.open {
            self.hub.sender.lifetime.answered_elsewhere(
                &connection.id,
                id,
                connection.outbox.protocol,
                outcome,
            );
        }
    }

    fn cancelled(&mut self, call: u64) {
        let Some(open) = &self.open else { return };
        if let Some(cancel) = open.calls.lock().cancels.get(&call) {
            cancel.cancel();
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(open) = &mut self.open else { return Poll::Ready(()) };
        open.budget.poll_room(cx)
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.open.as_ref().map_or(Poll::Ready(()), |open| open.budget.poll_empty(cx))
    }

    fn ending(&mut self, reason: &DisconnectReason) {
        #[cfg(feature = "metrics")]
        if let Some(measured) = &mut self.measured {
            measured.ending(reason);
        }
        if let Some(open) = self.open.as_ref().filter(|_| reason.is_error()) {
            let _ = open.caller.connection.error.set(ErrorChain::new(reason).to_string().into());
        }
    }

    fn disconnected(&mut self, error: Option<&str>) {
        let Some(open) = self.open.take() else { return };
        tracing::debug!(error, "a client of the hub has gone");
        if self.hub.has_refreshes() {
            self.hub.refreshable.remove(&open.caller.connection.id);
        }
        // The calls in progress hear of it by this, and by what is dropped.
        let mut calls = open.calls.lock();
        for (_, cancel) in calls.cancels.drain() {
            cancel.cancel();
        }
        calls.uploads.clear();
        drop(calls);
        open.caller.cancelled.cancel();
        if open.turns.close() {
            begin(disconnected(self.hub.clone(), open.caller));
        }
    }
}

/// Lets a client in, or not.
async fn connected(hub: Arc<Hub>, caller: Caller, turns: Arc<Turns<Work>>) {
    let connection = caller.connection.clone();
    let (id, user) = (&*connection.id, caller.identity.user_id.as_deref());
    hub.sender.lifetime.connected(id, user).await;
    let span = hub.rules.telemetry.span("OnConnectedAsync", None);
    if hub.on_connected.is_some() || !hub.rules.filters.is_empty() || !span.is_disabled() {
        let next = NextConnected::first(&hub.rules.filters, hub.on_connected.clone());
        let refused = match guarded(next.run(caller.clone()).instrument(span)).await {
            Some(Ok(())) => None,
            Some(Err(error)) => {
                tracing::info!(%error, "the hub refused a client");
                Some(error.told("Connection closed with an error.", hub.detailed_errors))
            }
            None => Some("Connection closed with an error.".to_owned()),
        };
        if let Some(text) = refused {
            // As in ASP.NET Core, what it called meanwhile is not performed, and nobody is told of its end.
            hub.room.record(|| Observed::of(Kind::Refused, HUB, id, user).failed(text.clone()));
            caller.connection.outbox.close(Some(&text));
            caller.cancelled().await;
            hub.sender.lifetime.disconnected(id, user).await;
            connection.leave();
            return;
        }
    }
    hub.rules.presence.change(&hub.sender, user, true);
    if !turns.open() {
        // It has gone meanwhile.
        disconnected(hub, caller).await;
    }
}

/// Tells of the end of a client that was let in.
async fn disconnected(hub: Arc<Hub>, caller: Caller) {
    let connection = caller.connection.clone();
    let identity = connection.current.get();
    hub.rules.presence.change(&hub.sender, identity.user_id.as_deref(), false);
    hub.sender.lifetime.disconnected(&connection.id, identity.user_id.as_deref()).await;
    let span = hub.rules.telemetry.span("OnDisconnectedAsync", None);
    let next = NextDisconnected::first(&hub.rules.filters, hub.on_disconnected.clone());
    guarded(next.run(Caller { identity, ..caller }).instrument(span)).await;
    connection.leave();
}

/// Performs one call.
async fn perform(work: Work, turn: Turn<Work>) -> Performed {
    let Work { hub, caller, calls, call, target, streams, arguments, trace, upload_ids, waiting } = work;
    let outbox = &caller.connection.outbox;
    let mut place = Some((turn, waiting));
    if !upload_ids.is_empty() {
        place = None;
    }
    let protocol = arguments.protocol;
    let begun = hub.room.observer().map(|_| Instant::now());
    let invocation =
        HubInvocation { caller: caller.clone(), target: target.clone(), streams, arguments, trace };
    let reply = match caught(|| invoke::begin(&hub, invocation)) {
        Some(Ok(Running::Plain(value))) => guarded(value).await.map(|value| value.map(Written::Value)),
        Some(Ok(Running::Stream(items))) => Some(Ok(Written::Items(items))),
        Some(Ok(Running::Later(reply))) => guarded(async { reply.await?.write(protocol) }).await,
        Some(Err(error)) => Some(Err(error)),
        None => None,
    };
    let answer = match reply {
        Some(Ok(Written::Value(value))) => Answer::Value(value),
        Some(Ok(Written::Items(items))) => {
            place = None;
            match call {
                Some(call) => send_items(&hub, &caller, &target, call, items).await,
                None => Answer::Void,
            }
        }
        Some(Err(error)) => failed(&hub, &target, &error),
        None => {
            tracing::error!(target = &*target, "a method of the hub panicked");
            Answer::Error(unexpected(&target).into())
        }
    };
    if let Some(begun) = begun {
        observe(&hub, &caller, &target, &answer, begun);
    }
    // What a client does not take is not followed by the answer to its next call.
    if call.is_some() {
        outbox.has_room().await;
    }
    {
        let mut calls = calls.lock();
        upload_ids.iter().for_each(|id| drop(calls.uploads.remove(id)));
        call.map(|call| calls.cancels.remove(&call));
    }
    if call.is_some() {
        // Code that has kept the caller is told that its call has ended.
        caller.cancelled.cancel();
    }
    Performed { answer: call.map(|call| (call, answer)), place }
}

/// Keeps a call for a dashboard. Of an error it is what the client is told.
fn observe(hub: &Hub, caller: &Caller, target: &str, answer: &Answer, begun: Instant) {
    let Some(observer) = hub.room.observer() else { return };
    let error = match answer {
        Answer::Error(error) => Some(error.as_ref()),
        _ => None,
    };
    if let Some(method) = hub.methods.find(target) {
        method.counts.count(error.is_some());
    }
    if error.is_some() || observer.is_watched() {
        let observed = Observed::of(Kind::Call, HUB, &caller.connection.id, caller.user_id()).took(begun);
        let observed = Observed { target: Some(target.to_owned()), ..observed };
        observer.record(match error {
            Some(error) => observed.failed(error),
            None => observed,
        });
    }
}

impl Described for Connection {
    fn claims(&self) -> Vec<(String, String)> {
        let identity = self.current.get();
        identity.claims().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

fn failed(hub: &Hub, target: &str, error: &HubError) -> Answer {
    tracing::info!(%error, target, "a method of the hub failed");
    Answer::Error(error.told(&unexpected(target), hub.detailed_errors).into())
}

/// Sends the items of a stream for as long as the client wants them.
async fn send_items(hub: &Hub, caller: &Caller, target: &str, call: u64, mut items: Items) -> Answer {
    const FAILED: &str = "An error occurred on the server while streaming results.";
    loop {
        let item = tokio::select! {
            biased;
            () = caller.cancelled() => return Answer::Void,
            item = guarded(items.next()) => item,
        };
        match item {
            Some(Some(Ok(item))) => {
                if !caller.connection.outbox.send_item(call, item).await {
                    return Answer::Void;
                }
            }
            Some(Some(Err(error))) => {
                tracing::info!(%error, target, "a stream of the hub failed");
                return Answer::Error(error.told(FAILED, hub.detailed_errors).into());
            }
            Some(None) => return Outcome::Void,
            None => return Answer::Error(FAILED.into()),
        }
    }
}
