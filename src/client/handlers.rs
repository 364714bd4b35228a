use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::{Future as _, poll_fn};
use std::mem;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};
use std::task::Poll;

use futures_channel::mpsc::{self, UnboundedReceiver, UnboundedSender};
use futures_core::Stream as _;

use crate::arguments::serialize;
use crate::client::backlog::{Backlog, Waiting};
use crate::client::call::Callee;
use crate::client::connection::Connection;
use crate::client::guard::{caught, guarded};
use crate::client::handler::sealed::{Callable, Output};
use crate::client::payload::Payload;
use crate::client::raw::Raw;
use crate::client::reply::{BAD_ARGUMENTS, NO_RESULT, Reply};
use crate::core::HubProtocol;
use crate::core::message::Invocation;
use crate::platform::{MaybeSend, MaybeSync, Runtime};

/// How many messages are kept for methods that have no handler yet.
const EARLY_MESSAGES: usize = 256;
/// How many bytes of arguments and names they may have.
const EARLY_BYTES: usize = 1 << 20;
/// Names of methods up to this length are looked up without an allocation.
const SHORT_NAME: usize = 64;

/// One registered handler, without its types.
trait Registered: MaybeSend + MaybeSync {
    /// Takes a call, and says whether the task that works on it is yet to begin.
    fn call(&self, call: &Invocation<'_, Payload<'_>>, reply: Option<Reply>) -> bool;

    /// Takes a message that came before the handler. No code of the user's runs here.
    fn call_early(&self, early: Early);

    /// Begins to work on what was taken.
    fn run(&self, runtime: &Runtime, target: &str);
}

const PANICKED: &str = "Client's handler panicked.";

/// A message that came before its method had a handler.
struct Early {
    /// The method, in lower case.
    target: String,
    arguments: Vec<u8>,
    protocol: HubProtocol,
}

impl Early {
    fn bytes(&self) -> usize {
        self.target.len() + self.arguments.len()
    }
}

enum Work<A> {
    Call { arguments: A, reply: Option<Reply>, _waiting: Waiting },
    Unreadable { reply: Reply, _waiting: Waiting },
    Early(Early),
}

type Inbox<A> = UnboundedReceiver<Work<A>>;

/// A handler runs in a task of its own: one that is slow, or panics, holds up neither the connection nor the others.
struct Queue<M, H: Callable<M>> {
    sender: UnboundedSender<Work<H::Arguments>>,
    backlog: Arc<Backlog>,
    is_running: AtomicBool,
    /// The task begins with the first message, since there may be no runtime before.
    idle: Mutex<Option<(Inbox<H::Arguments>, H)>>,
}

impl<M, H: Callable<M>> Queue<M, H> {
    fn new(handler: H, backlog: &Arc<Backlog>) -> Self {
        let (sender, receiver) = mpsc::unbounded();
        let (backlog, idle) = (Arc::clone(backlog), Mutex::new(Some((receiver, handler))));
        Self { sender, backlog, is_running: AtomicBool::new(false), idle }
    }
}

impl<M: 'static, H: Callable<M>> Registered for Queue<M, H> {
    fn call(&self, call: &Invocation<'_, Payload<'_>>, reply: Option<Reply>) -> bool {
        let waiting = || self.backlog.enter(call.arguments.as_ref().len());
        let work = match call.arguments.decode() {
            Ok(arguments) => Work::Call { arguments, reply, _waiting: waiting() },
            Err(error) => {
                tracing::error!(target_method = &*call.target, %error, "arguments of another type than the handler's");
                let Some(reply) = reply else { return false };
                Work::Unreadable { reply, _waiting: waiting() }
            }
        };
        // It fails when the handler's task is gone with its runtime.
        let _ = self.sender.unbounded_send(work);
        !self.is_running.load(Ordering::Relaxed)
    }

    fn call_early(&self, early: Early) {
        let _ = self.sender.unbounded_send(Work::Early(early));
    }

    fn run(&self, runtime: &Runtime, target: &str) {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((receiver, handler)) = idle {
            self.is_running.store(true, Ordering::Relaxed);
            runtime.spawn(run::<M, H>(receiver, handler, target.to_owned()));
        }
    }
}

async fn run<M, H: Callable<M>>(mut receiver: Inbox<H::Arguments>, mut handler: H, target: String) {
    while let Some(work) = poll_fn(|cx| Pin::new(&mut receiver).poll_next(cx)).await {
        match work {
            Work::Call { arguments, reply, _waiting } => {
                attend(&mut handler, arguments, reply, &target).await;
            }
            Work::Unreadable { reply, _waiting } => reply.give(Err(BAD_ARGUMENTS.to_owned())).await,
            Work::Early(early) => match caught(|| Payload::new(early.protocol, &early.arguments).decode()) {
                Some(Ok(arguments)) => attend(&mut handler, arguments, None, &target).await,
                Some(Err(error)) => {
                    tracing::error!(target_method = target, %error, "arguments of another type than the handler's");
                }
                None => tracing::error!(target_method = target, "reading the arguments panicked"),
            },
        }
    }
}

/// One call of a handler, to its end.
async fn attend<M, H: Callable<M>>(
    handler: &mut H,
    arguments: H::Arguments,
    mut reply: Option<Reply>,
    target: &str,
) {
    if poll_fn(|cx| Poll::Ready(reply.as_mut().is_some_and(|reply| reply.is_stopped(cx)))).await {
        return;
    }
    let mut future = pin!(guarded(async { handler.call(arguments).await }));
    let output = poll_fn(|cx| match future.as_mut().poll(cx) {
        // The end of the wish for an answer wakes this task.
        Poll::Pending if reply.as_mut().is_some_and(|reply| reply.is_stopped(cx)) => Poll::Ready(None),
        output => output.map(Some),
    })
    .await;
    let Some(output) = output else { return };
    let protocol = reply.as_ref().map(Reply::protocol);
    let result = output.and_then(|output| caught(|| result(output, protocol)));
    let result = result.unwrap_or_else(|| Err(PANICKED.to_owned()));
    if let Err(error) = &result {
        tracing::error!(target_method = target, error, "a handler failed");
    }
    if let Some(reply) = reply {
        reply.give(result).await;
    }
}

/// What a handler returned, as bytes if somebody waits for it.
fn result(output: impl Output, protocol: Option<HubProtocol>) -> Result<Vec<u8>, String> {
    let value = output.into_result()?;
    let mut bytes = Vec::new();
    if let Some(protocol) = protocol {
        serialize(protocol, &mut bytes, &value)
            .map_err(|error| format!("Client failed to serialize the result: {error}"))?;
    }
    Ok(bytes)
}

/// The handlers of one method. Shared, so that no lock is held while arguments are read, which is the user's code.
#[derive(Clone, Default)]
struct Target {
    handlers: Vec<(u64, Arc<dyn Registered>)>,
    /// The one whose result goes back.
    answers: Option<(u64, Arc<dyn Registered>)>,
}

#[derive(Default)]
struct Registry {
    runtime: Option<Runtime>,
    /// By name in lower case. A method that had a handler once stays.
    targets: HashMap<String, Arc<Target>>,
    early: VecDeque<Early>,
    early_bytes: usize,
    last_id: u64,
}

impl Registry {
    fn keep(&mut self, early: Early) {
        self.early_bytes += early.bytes();
        self.early.push_back(early);
        while self.early.len() > EARLY_MESSAGES || self.early_bytes > EARLY_BYTES {
            let Some(oldest) = self.early.pop_front() else { break };
            self.early_bytes -= oldest.bytes();
            tracing::warn!(
                target_method = oldest.target,
                "no handler was registered for this method; the message is dropped"
            );
        }
    }

    fn take_early(&mut self, target: &str) -> VecDeque<Early> {
        let (taken, rest) = mem::take(&mut self.early).into_iter().partition(|early| early.target == target);
        self.early = rest;
        self.early_bytes = self.early.iter().map(Early::bytes).sum();
        taken
    }
}

/// The handlers of a connection, by method. Names are compared without regard to case.
#[derive(Default)]
pub(crate) struct Handlers {
    backlog: Arc<Backlog>,
    registry: RwLock<Registry>,
}

impl Handlers {
    pub(super) fn backlog(&self) -> &Arc<Backlog> {
        &self.backlog
    }

    pub(super) fn add<M: 'static>(self: &Arc<Self>, target: &str, handler: impl Callable<M>) -> Subscription {
        self.register(target, Arc::new(Queue::new(handler, &self.backlog)), false)
    }

    /// Replaces the handler that answers, if there is one.
    pub(super) fn answer<M: 'static>(
        self: &Arc<Self>,
        target: &str,
        handler: impl Callable<M>,
    ) -> Subscription {
        self.register(target, Arc::new(Queue::new(handler, &self.backlog)), true)
    }

    fn register(self: &Arc<Self>, target: &str, handler: Arc<dyn Registered>, answers: bool) -> Subscription {
        let name = target.to_lowercase();
        let mut guard = self.write();
        let registry = &mut *guard;
        registry.last_id += 1;
        let id = registry.last_id;
        let mut runtime = None;
        if !registry.targets.contains_key(&name) {
            for early in registry.take_early(&name) {
                handler.call_early(early);
                runtime.clone_from(&registry.runtime);
            }
        }
        let methods = Arc::make_mut(registry.targets.entry(name.clone()).or_default());
        let registered = (id, Arc::clone(&handler));
        let replaced = if answers {
            methods.answers.replace(registered)
        } else {
            methods.handlers.push(registered);
            None
        };
        drop(guard);
        // A handler's closure may own anything, a connection too: it is dropped outside of the lock.
        drop(replaced);
        if let Some(runtime) = runtime {
            handler.run(&runtime, target);
        }
        Subscription { handlers: Arc::downgrade(self), target: name, id }
    }

    fn remove(&self, target: &str, id: u64) {
        let mut registry = self.write();
        let Some(methods) = registry.targets.get_mut(target) else { return };
        let methods = Arc::make_mut(methods);
        let removed = match methods.handlers.iter().position(|(known, _)| *known == id) {
            Some(at) => Some(methods.handlers.remove(at)),
            None => methods.answers.take_if(|(known, _)| *known == id),
        };
        drop(registry);
        drop(removed);
    }

    fn read(&self) -> RwLockReadGuard<'_, Registry> {
        self.registry.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Registry> {
        self.registry.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The handlers of a method. Without any so far, the call is kept for the first, unless somebody waits for its
    /// result.
    fn find(&self, call: &Invocation<'_, Payload<'_>>) -> Arc<Target> {
        let (mut short, long);
        let name = if call.target.len() <= SHORT_NAME && call.target.is_ascii() {
            // Most names, and this is done for every message.
            short = [0; SHORT_NAME];
            let name = short.split_at_mut(call.target.len()).0;
            name.copy_from_slice(call.target.as_bytes());
            name.make_ascii_lowercase();
            str::from_utf8(name).unwrap_or_default()
        } else {
            long = call.target.to_lowercase();
            &long
        };
        let known = self.read().targets.get(name).cloned();
        known.unwrap_or_else(|| {
            let mut registry = self.write();
            // It may have been registered in between.
            if let Some(target) = registry.targets.get(name) {
                return Arc::clone(target);
            }
            if call.invocation_id.is_none() {
                registry.keep(Early {
                    target: name.to_owned(),
                    arguments: call.arguments.as_ref().to_vec(),
                    protocol: call.arguments.protocol(),
                });
            }
            Default::default()
        })
    }
}

impl Callee<Raw> for Arc<Handlers> {
    fn start(&self, runtime: &Runtime) {
        let mut registry = self.write();
        registry.runtime = Some(runtime.clone());
        registry.early.clear();
        registry.early_bytes = 0;
    }

    fn call(&self, connection: &Arc<Connection<Raw>>, call: Invocation<'_, Payload<'_>>) {
        let target = self.find(&call);
        if target.handlers.is_empty() && target.answers.is_none() {
            tracing::warn!(target_method = &*call.target, "no handler is registered for this method");
        }
        let give = |handler: &Arc<dyn Registered>, reply| {
            if handler.call(&call, reply) {
                let runtime = self.read().runtime.clone();
                if let Some(runtime) = runtime {
                    handler.run(&runtime, &call.target);
                }
            }
        };
        for (_, handler) in &target.handlers {
            give(handler, None);
        }
        if let Some((_, handler)) = &target.answers {
            let protocol = call.arguments.protocol();
            let reply = call.invocation_id.as_deref();
            give(handler, reply.and_then(|id| Reply::new(connection, id, protocol)));
            return;
        }
        if let Some(id) = &call.invocation_id {
            connection.refuse(id, NO_RESULT);
        }
    }
}

/// A registered handler. Dropping it changes nothing: the handler stays until [`unsubscribe`](Self::unsubscribe)
/// or the end of the connection.
#[derive(Clone)]
pub struct Subscription {
    handlers: Weak<Handlers>,
    target: String,
    id: u64,
}

impl Subscription {
    /// Removes the handler. Calls that are already under way to it still arrive.
    pub fn unsubscribe(self) {
        if let Some(handlers) = self.handlers.upgrade() {
            handlers.remove(&self.target, self.id);
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("target", &self.target).finish_non_exhaustive()
    }
}
