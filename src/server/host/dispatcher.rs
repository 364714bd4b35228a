//! One client's connection: what it calls goes to the hub's methods.
//!
//! ```text
//!   session ──Work──▶ queue ──▶ runner: connected, then calls in order ──▶ a task for each call
//!           ──items──────────────────────────────────────────────────────▶ its Incoming streams
//! ```
//!
//! As many calls run at a time as the hub allows; the next ones wait in the queue. As in ASP.NET Core, calls with streams, of
//! either direction, count until they begin only: they may last as long as the connection.

use std::{
    collections::HashMap,
    marker::PhantomData,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    task::{Context, Poll},
};

use futures_channel::mpsc;
use futures_util::StreamExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc as queue, watch};

use super::{
    arguments::{Mismatch, RawArguments, UploadEvent},
    budget::{Budget, Waiting},
    caller::{Caller, Connection},
    error::HubError,
    identity::Identity,
    methods::{Items, Running},
    refresh::CurrentIdentity,
    state::Hub,
};
use crate::{
    client::guarded,
    core::{
        codec::Payload,
        message::{Invocation, Outcome},
        text::clip,
    },
    server::{calls::Answer, outbox::Outbox, query::Query, room::Slot, session::Dispatcher},
};

/// What an upload takes, in bytes, while its call waits.
const UPLOAD: usize = 1024;

/// Who is at the door.
pub(in crate::server) struct Guest {
    pub(in crate::server) connection_id: String,
    pub(in crate::server) identity: Identity,
    pub(in crate::server) headers: http::HeaderMap,
    pub(in crate::server) query: Query,
    /// Its place in the room.
    pub(in crate::server) slot: Arc<Slot>,
}

pub(in crate::server) struct HubDispatcher {
    hub: Arc<Hub>,
    guest: Option<Guest>,
    open: Option<Open>,
}

/// What there is while the client is connected.
struct Open {
    works: queue::UnboundedSender<Work>,
    calls: Calls,
    budget: Arc<Budget>,
    connection: Arc<Connection>,
    outbox: Arc<Outbox>,
    /// Turns true in the end.
    closed: watch::Sender<bool>,
}

/// The calls in progress.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<CallTable>>);

#[derive(Default)]
struct CallTable {
    /// How they are told that nobody wants their result.
    cancels: HashMap<u64, watch::Sender<bool>>,
    /// The streams that the client uploads with them.
    uploads: HashMap<String, mpsc::UnboundedSender<UploadEvent>>,
}

impl Calls {
    fn lock(&self) -> MutexGuard<'_, CallTable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
    call: Option<u64>,
    target: String,
    streams: bool,
    arguments: RawArguments,
    upload_ids: Vec<String>,
    cancelled: watch::Receiver<bool>,
    waiting: Waiting,
}

impl HubDispatcher {
    pub(in crate::server) fn new(hub: Arc<Hub>, guest: Guest) -> Self {
        Self { hub, guest: Some(guest), open: None }
    }

    fn called(&mut self, call: Option<u64>, invocation: &Invocation<'_, Payload<'_>>, streams: bool) {
        let Some(open) = &mut self.open else { return };
        let (cancel, cancelled) = watch::channel(false);
        let list = invocation.arguments.as_ref();
        let upload_ids: Vec<_> = invocation.stream_ids.iter().map(|id| id.as_ref().to_owned()).collect();
        let mut uploads = Vec::new();
        {
            let mut calls = open.calls.lock();
            // Without an id it ends with the connection.
            calls.cancels.extend(call.map(|call| (call, cancel)));
            for id in &upload_ids {
                let (sender, receiver) = mpsc::unbounded();
                calls.uploads.insert(id.clone(), sender);
                uploads.push(receiver);
            }
        }
        let waits = list.len() + invocation.target.len() + upload_ids.len() * UPLOAD;
        let work = Work {
            call,
            target: invocation.target.as_ref().to_owned(),
            streams,
            arguments: RawArguments { protocol: open.outbox.protocol, list: list.to_vec(), uploads },
            upload_ids,
            cancelled: if call.is_some() { cancelled } else { open.closed.subscribe() },
            waiting: open.budget.take(waits),
        };
        // An error means that the connection has just ended.
        let _ = open.works.send(work);
    }
}

impl Dispatcher for HubDispatcher {
    fn connected(&mut self, outbox: &Arc<Outbox>) {
        let Some(guest) = self.guest.take() else { return };
        let (works, queue) = queue::unbounded_channel();
        let (closed, is_closed) = watch::channel(false);
        let calls = Calls::default();
        let identity = Arc::new(guest.identity);
        let connection = Arc::new(Connection {
            id: guest.connection_id,
            current: CurrentIdentity::new(identity.clone()),
            headers: guest.headers,
            query: guest.query,
            outbox: outbox.clone(),
            slot: Mutex::new(Some(guest.slot)),
            session: OnceLock::new(),
        });
        if self.hub.has_refreshes() {
            self.hub.refreshable.insert(&connection, is_closed.clone());
        }
        let caller = Caller {
            hub: self.hub.clone(),
            connection: connection.clone(),
            identity,
            cancelled: is_closed,
            types: PhantomData,
        };
        let running = run(caller, queue, calls.clone());
        let ended = connection.clone();
        tokio::spawn(async move {
            running.await;
            ended.leave();
        });
        let budget = Arc::new(Budget::new(self.hub.client_buffer));
        self.open = Some(Open { works, calls, budget, connection, outbox: outbox.clone(), closed });
    }

    fn invocation(
        &mut self,
        call: Option<u64>,
        invocation: &Invocation<'_, Payload<'_>>,
    ) -> Result<(), &'static str> {
        self.called(call, invocation, false);
        Ok(())
    }

    fn stream_invocation(
        &mut self,
        call: Option<u64>,
        invocation: &Invocation<'_, Payload<'_>>,
    ) -> Result<(), &'static str> {
        self.called(call, invocation, true);
        Ok(())
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
        if let Some(open) = &self.open {
            self.hub.lifetime.answered_elsewhere(&open.connection.id, id, open.outbox.protocol, outcome);
        }
    }

    fn cancelled(&mut self, call: u64) {
        let Some(open) = &self.open else { return };
        if let Some(cancel) = open.calls.lock().cancels.get(&call) {
            cancel.send_replace(true);
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(open) = &mut self.open else { return Poll::Ready(()) };
        open.budget.poll_room(cx)
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.open.as_ref().map_or(Poll::Ready(()), |open| open.budget.poll_empty(cx))
    }

    fn disconnected(&mut self, error: Option<&str>) {
        let Some(open) = self.open.take() else { return };
        tracing::debug!(error, "a client of the hub has gone");
        if self.hub.has_refreshes() {
            self.hub.refreshable.remove(&open.connection.id);
        }
        // The calls in progress hear of it by this, and by what is dropped.
        let mut calls = open.calls.lock();
        for (_, cancel) in calls.cancels.drain() {
            cancel.send_replace(true);
        }
        calls.uploads.clear();
        drop(calls);
        open.closed.send_replace(true);
    }
}

/// Runs what a client calls, from its first moment to its last.
async fn run(caller: Caller, mut works: queue::UnboundedReceiver<Work>, calls: Calls) {
    let hub = caller.hub.clone();
    let connection = caller.connection.clone();
    let (id, user) = (&*connection.id, caller.identity.user_id.as_deref());
    hub.lifetime.connected(id, user).await;
    if let Some(on_connected) = &hub.on_connected {
        let refused = match guarded(on_connected(caller.clone())).await {
            Some(Ok(())) => None,
            Some(Err(error)) => {
                tracing::info!(%error, "the hub refused a client");
                Some(error.told("Connection closed with an error.", hub.detailed_errors))
            }
            None => Some("Connection closed with an error.".to_owned()),
        };
        if let Some(text) = refused {
            // As in ASP.NET Core, what it called meanwhile is not performed, and nobody is told of its end.
            caller.connection.outbox.close(Some(&text));
            caller.cancelled().await;
            hub.lifetime.disconnected(id, user).await;
            return;
        }
    }
    let permits = Arc::new(Semaphore::new(hub.parallel_calls));
    loop {
        let work = tokio::select! {
            work = works.recv() => work,
            () = caller.cancelled() => None,
        };
        let Some(work) = work else { break };
        let permit = tokio::select! {
            permit = permits.clone().acquire_owned() => permit.ok(),
            () = caller.cancelled() => break,
        };
        let identity = caller.connection.current.get();
        let caller = Caller { identity, cancelled: work.cancelled.clone(), ..caller.clone() };
        tokio::spawn(perform(caller, work, permit, calls.clone()));
    }
    caller.cancelled().await;
    hub.lifetime.disconnected(id, user).await;
    if let Some(on_disconnected) = &hub.on_disconnected {
        let identity = connection.current.get();
        guarded(on_disconnected(Caller { identity, ..caller })).await;
    }
}

/// Performs one call, and answers it where an answer is expected.
async fn perform(caller: Caller, work: Work, permit: Option<OwnedSemaphorePermit>, calls: Calls) {
    let Work { call, target, streams, arguments, upload_ids, waiting, .. } = work;
    let outbox = caller.connection.outbox.clone();
    // What keeps others waiting.
    let mut place = Some((permit, waiting));
    if !upload_ids.is_empty() {
        place = None;
    }
    let answer = match begin(&caller, &target, streams, arguments) {
        Ok(Running::Plain(result)) => match guarded(result).await {
            Some(Ok(value)) => Answer::Value(value),
            Some(Err(error)) => failed(&caller, &target, &error),
            None => Answer::Error(unexpected(&target).into()),
        },
        Ok(Running::Stream(items)) => {
            place = None;
            match call {
                Some(call) => send_items(&caller, &target, call, items).await,
                None => Answer::Void,
            }
        }
        Err(text) => Answer::Error(text.into()),
    };
    // What a client does not take is not followed by the answer to its next call.
    if call.is_some() {
        outbox.has_room().await;
    }
    {
        let mut calls = calls.lock();
        upload_ids.iter().for_each(|id| drop(calls.uploads.remove(id)));
        call.map(|call| calls.cancels.remove(&call));
    }
    if let Some(call) = call {
        outbox.answer(call, answer);
    }
    drop(place);
}

fn unexpected(target: &str) -> String {
    format!("An unexpected error occurred invoking '{}' on the server.", clip(target))
}

fn failed(caller: &Caller, target: &str, error: &HubError) -> Answer {
    tracing::info!(%error, target, "a method of the hub failed");
    Answer::Error(error.told(&unexpected(target), caller.hub.detailed_errors).into())
}

/// Finds the method, and calls it. An error is the answer: ASP.NET Core's words.
fn begin(caller: &Caller, target: &str, streams: bool, arguments: RawArguments) -> Result<Running, String> {
    let name = &*clip(target);
    let Some(method) = caller.hub.methods.find(target) else {
        return Err(format!("{} HubException: Method does not exist.", failed_to_invoke(name)));
    };
    if method.allows.as_ref().is_some_and(|allows| !allows(caller)) {
        return Err(format!("Failed to invoke '{name}' because user is unauthorized"));
    }
    match (method.streams, streams) {
        (true, false) => {
            return Err(format!(
                "The client attempted to invoke the streaming '{name}' method with a non-streaming invocation."
            ));
        }
        (false, true) => {
            return Err(format!(
                "The client attempted to invoke the non-streaming '{name}' method with a streaming invocation."
            ));
        }
        _ => {}
    }
    let call = (method.method)(caller.clone(), arguments);
    call.map_err(|mismatch| match mismatch {
        Mismatch::Values(reason) if caller.hub.detailed_errors => {
            format!("{} {reason}", failed_to_invoke(name))
        }
        Mismatch::Values(_) => failed_to_invoke(name),
        Mismatch::Streams { sent, expected } => format!(
            "{} HubException: Client sent {sent} stream(s), Hub method expects {expected}.",
            unexpected(name)
        ),
    })
}

fn failed_to_invoke(name: &str) -> String {
    format!("Failed to invoke '{name}' due to an error on the server.")
}

/// Sends the items of a stream for as long as the client wants them.
async fn send_items(caller: &Caller, target: &str, call: u64, mut items: Items) -> Answer {
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
                return Answer::Error(error.told(FAILED, caller.hub.detailed_errors).into());
            }
            Some(None) => return Outcome::Void,
            None => return Answer::Error(FAILED.into()),
        }
    }
}
