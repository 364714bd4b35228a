//! One client's connection: what it calls goes to the hub's methods.
//!
//! ```text
//!   session ──Work──▶ queue ──▶ runner: connected, then calls in order ──▶ a task for each call
//!           ──items──────────────────────────────────────────────────────▶ its Incoming streams
//! ```
//!
//! As many calls run at a time as the hub allows; the next ones wait in the queue. A stream counts until it begins.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use futures_channel::mpsc;
use futures_util::StreamExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc as queue, watch};

use super::{
    arguments::{RawArguments, UploadEvent},
    budget::{Budget, Waiting},
    caller::{Caller, Connection},
    error::HubError,
    identity::Identity,
    methods::{Items, Running},
    state::Hub,
};
use crate::{
    client::guarded,
    core::{
        codec::Payload,
        message::{Invocation, Outcome},
        text::clip,
    },
    server::{calls::Answer, outbox::Outbox, query::Query, session::Dispatcher},
};

/// Who is at the door.
pub(super) struct Guest {
    pub(super) connection_id: String,
    pub(super) identity: Identity,
    pub(super) headers: http::HeaderMap,
    pub(super) query: Query,
}

pub(super) struct HubDispatcher {
    hub: Arc<Hub>,
    guest: Option<Guest>,
    open: Option<Open>,
}

/// What there is while the client is connected.
struct Open {
    works: queue::UnboundedSender<Work>,
    uploads: HashMap<String, mpsc::Sender<UploadEvent>>,
    /// The upload that may have no room for another item.
    full: Option<String>,
    cancels: Cancels,
    budget: Arc<Budget>,
    outbox: Arc<Outbox>,
    /// Turns true in the end.
    closed: watch::Sender<bool>,
}

/// How the calls in progress are told that nobody wants their result.
type Cancels = Arc<Mutex<HashMap<u64, watch::Sender<bool>>>>;

/// A call on its way to its method.
struct Work {
    call: Option<u64>,
    target: String,
    streams: bool,
    arguments: RawArguments,
    cancelled: watch::Receiver<bool>,
    _waiting: Waiting,
}

impl HubDispatcher {
    pub(super) fn new(hub: Arc<Hub>, guest: Guest) -> Self {
        Self { hub, guest: Some(guest), open: None }
    }

    fn called(&mut self, call: Option<u64>, invocation: &Invocation<'_, Payload<'_>>, streams: bool) {
        let Some(open) = &mut self.open else { return };
        let (cancel, cancelled) = watch::channel(false);
        if let Some(call) = call {
            open.cancels().insert(call, cancel);
        } else {
            // Without an id it ends with the connection.
            drop(cancel);
        }
        let list = invocation.arguments.as_ref();
        let mut uploads = Vec::new();
        for id in &invocation.stream_ids {
            let (sender, receiver) = mpsc::channel(self.hub.stream_buffer);
            open.uploads.insert(id.as_ref().to_owned(), sender);
            uploads.push(receiver);
        }
        let work = Work {
            call,
            target: invocation.target.as_ref().to_owned(),
            streams,
            arguments: RawArguments { protocol: open.outbox.protocol, list: list.to_vec(), uploads },
            cancelled: if call.is_some() { cancelled } else { open.closed.subscribe() },
            _waiting: open.budget.take(list.len() + invocation.target.len()),
        };
        // An error means that the connection has just ended.
        let _ = open.works.send(work);
    }
}

impl Open {
    fn cancels(&self) -> std::sync::MutexGuard<'_, HashMap<u64, watch::Sender<bool>>> {
        self.cancels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn upload(&mut self, stream_id: &str, event: UploadEvent) {
        let ends = matches!(event, UploadEvent::Ended(_));
        let Some(upload) = self.uploads.get_mut(stream_id) else { return };
        // A method that has dropped its stream wants nothing more of it.
        if upload.try_send(event).is_err() || ends {
            self.uploads.remove(stream_id);
        } else {
            self.full = Some(stream_id.to_owned());
        }
    }
}

impl Dispatcher for HubDispatcher {
    fn connected(&mut self, outbox: &Arc<Outbox>) {
        let Some(guest) = self.guest.take() else { return };
        let (works, queue) = queue::unbounded_channel();
        let (closed, is_closed) = watch::channel(false);
        let cancels = Cancels::default();
        let connection = Arc::new(Connection {
            id: guest.connection_id,
            identity: guest.identity,
            headers: guest.headers,
            query: guest.query,
            outbox: outbox.clone(),
        });
        let caller = Caller { hub: self.hub.clone(), connection, cancelled: is_closed };
        tokio::spawn(run(caller, queue, cancels.clone()));
        self.open = Some(Open {
            works,
            uploads: HashMap::new(),
            full: None,
            cancels,
            budget: Arc::default(),
            outbox: outbox.clone(),
            closed,
        });
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
        open.upload(stream_id, UploadEvent::Item(item, waiting));
    }

    fn upload_completed(&mut self, stream_id: &str, error: Option<&str>) {
        let Some(open) = &mut self.open else { return };
        open.upload(stream_id, UploadEvent::Ended(error.map(|error| clip(error).into_owned())));
    }

    fn cancelled(&mut self, call: u64) {
        let Some(open) = &self.open else { return };
        if let Some(cancel) = open.cancels().get(&call) {
            cancel.send_replace(true);
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(open) = &mut self.open else { return Poll::Ready(()) };
        if let Some(id) = &open.full {
            if let Some(upload) = open.uploads.get_mut(id) {
                let _ = std::task::ready!(upload.poll_ready(cx));
            }
            open.full = None;
        }
        open.budget.poll_room(cx)
    }

    fn disconnected(&mut self, error: Option<&str>) {
        let Some(open) = self.open.take() else { return };
        tracing::debug!(error, "a client of the hub has gone");
        // The calls in progress hear of it by this, and by what is dropped.
        for (_, cancel) in open.cancels().drain() {
            cancel.send_replace(true);
        }
        open.closed.send_replace(true);
    }
}

/// Runs what a client calls, from its first moment to its last.
async fn run(caller: Caller, mut works: queue::UnboundedReceiver<Work>, cancels: Cancels) {
    let hub = caller.hub.clone();
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
            caller.connection.outbox.close(Some(&text));
            // As in ASP.NET Core, it is told of its end nevertheless.
            works.close();
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
        let caller = Caller { cancelled: work.cancelled.clone(), ..caller.clone() };
        tokio::spawn(perform(caller, work, permit, cancels.clone()));
    }
    caller.cancelled().await;
    if let Some(on_disconnected) = &hub.on_disconnected {
        guarded(on_disconnected(caller)).await;
    }
}

/// Performs one call, and answers it where an answer is expected.
async fn perform(caller: Caller, work: Work, permit: Option<OwnedSemaphorePermit>, cancels: Cancels) {
    let Work { call, target, streams, arguments, .. } = work;
    let outbox = caller.connection.outbox.clone();
    let answer = match begin(&caller, &target, streams, arguments) {
        Ok(Running::Plain(result)) => match guarded(result).await {
            Some(Ok(value)) => Answer::Value(value),
            Some(Err(error)) => failed(&caller, &target, &error),
            None => Answer::Error(unexpected(&target).into()),
        },
        Ok(Running::Stream(items)) => {
            drop(permit);
            match call {
                Some(call) => send_items(&caller, &target, call, items).await,
                None => Answer::Void,
            }
        }
        Err(text) => Answer::Error(text.into()),
    };
    if let Some(call) = call {
        cancels.lock().unwrap_or_else(PoisonError::into_inner).remove(&call);
        outbox.answer(call, answer);
    }
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
    let name = clip(target);
    let Some(method) = caller.hub.methods.find(target) else {
        return Err(format!("Unknown hub method '{name}'"));
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
    call.map_err(|reason| {
        let text = format!("Failed to invoke '{name}' due to an error on the server.");
        if caller.hub.detailed_errors { format!("{text} {reason}") } else { text }
    })
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
