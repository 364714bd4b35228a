//! The handlers of a connection, by method.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use crate::client::dispatch::{Arguments, Batch, Registered, Seat, Target, Work, dispatch};
use crate::client::engine::backlog::Backlog;
use crate::client::engine::connection::{Called, Callee, Connection};
use crate::client::handler::sealed::Callable;
use crate::client::reply::{NO_RESULT, Reply};
use crate::client::server_call::{ServerCall, Whole};
use crate::client::trace::{Incoming, Tracing};
use crate::core::codec::{Payload, RawCodec};
use crate::lock;
use crate::platform::{MaybeSend, Runtime, SharedFrame, lowercase};
use crate::property_names::PropertyNames;
use crate::serialize::Encoding;

/// How many messages are kept for methods that have no handler yet.
const EARLY_MESSAGES: usize = 256;
/// How many bytes of arguments and names they may have.
const EARLY_BYTES: usize = 1 << 20;
/// So many calls are handed over to their handlers before the socket has been read to its end. To wake a thread takes as
/// long as some dozens of small calls.
const MANY: usize = 256;
/// Names of methods up to this length are looked up without an allocation.
const SHORT_NAME: usize = 64;
/// The handlers of a builder have ids up to this one.
#[cfg(feature = "yew")]
const BUILT: u64 = u32::MAX as u64;

/// A message that came before its method had a handler.
struct Early {
    /// The method, in lower case.
    target: String,
    /// As the server wrote it.
    name: String,
    arguments: Vec<u8>,
    encoding: Encoding,
    trace: Option<Box<Incoming>>,
}

impl Early {
    fn bytes(&self) -> usize {
        let trace = self.trace.as_ref().map_or(0, |trace| trace.bytes());
        self.target.len() + self.name.len() + self.arguments.len() + trace
    }
}

#[derive(Default)]
struct Registry {
    /// By name in lower case. A method that has had a handler stays.
    targets: HashMap<String, Arc<Target>, BuildHasherDefault<NameHasher>>,
    /// The handlers of methods that have none.
    unhandled: Vec<(u64, Arc<dyn Registered>)>,
    early: VecDeque<Early>,
    early_bytes: usize,
    last_id: u64,
}

impl Registry {
    /// The handlers of a method by its name in lower case; those of methods without one if it has none.
    fn find(&self, lower: &str, name: &str) -> Option<Arc<Target>> {
        let target = self.targets.get(lower);
        if self.unhandled.is_empty() || target.is_some_and(|target| !target.is_empty()) {
            return target.cloned();
        }
        Some(Arc::new(Target { name: name.to_owned(), handlers: self.unhandled.clone(), answers: None }))
    }

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

/// FNV-1a: names are short, and only the program's own get into the table.
struct NameHasher(u64);

impl Default for NameHasher {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for NameHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// The calls that wait for their handlers.
#[derive(Default)]
struct Queue {
    batches: VecDeque<Batch>,
    calls: usize,
    /// Where handlers run, once the connection was started.
    runtime: Option<Runtime>,
    /// Whether there is a [`Worker`].
    is_worked_on: bool,
}

/// The handlers of a connection, by method. Names are compared without regard to case.
#[derive(Default)]
pub(crate) struct Handlers {
    backlog: Arc<Backlog>,
    registry: RwLock<Registry>,
    queue: Mutex<Queue>,
}

impl Handlers {
    pub(super) fn backlog(&self) -> &Arc<Backlog> {
        &self.backlog
    }

    pub(super) fn add<M: 'static>(self: &Arc<Self>, target: &str, handler: impl Callable<M>) -> Subscription {
        self.register(target, Arc::new(Seat::new(handler)), false)
    }

    /// Replaces the handler that answers, if there is one.
    pub(super) fn answer<M: 'static>(
        self: &Arc<Self>,
        target: &str,
        handler: impl Callable<M>,
    ) -> Subscription {
        self.register(target, Arc::new(Seat::new(handler)), true)
    }

    fn register(self: &Arc<Self>, target: &str, handler: Arc<dyn Registered>, answers: bool) -> Subscription {
        let name = lowercase(target);
        let mut guard = self.write();
        let registry = &mut *guard;
        registry.last_id += 1;
        let id = registry.last_id;
        let early = match registry.targets.contains_key(&name) {
            false => registry.take_early(&name),
            true => VecDeque::new(),
        };
        let methods = Arc::make_mut(registry.targets.entry(name.clone()).or_default());
        methods.name = target.to_owned();
        let registered = (id, handler);
        let replaced = if answers {
            methods.answers.replace(registered)
        } else {
            methods.handlers.push(registered);
            None
        };
        let first = registry.targets.get(&name).cloned();
        // Still under the lock: nothing that comes later may get in before.
        self.give_early(first, early);
        drop(guard);
        // A handler's closure may own anything, a connection too: it is dropped outside of the lock.
        drop(replaced);
        Subscription { handlers: Arc::downgrade(self), target: Some(name), id }
    }

    /// A handler for methods that have none. It gets what was kept for them.
    pub(super) fn add_unhandled(
        self: &Arc<Self>,
        handler: impl FnMut(ServerCall) + MaybeSend + 'static,
    ) -> Subscription {
        let handler: Arc<dyn Registered> = Arc::new(Whole::new(handler));
        let mut registry = self.write();
        registry.last_id += 1;
        let id = registry.last_id;
        registry.unhandled.push((id, Arc::clone(&handler)));
        registry.early_bytes = 0;
        for early in mem::take(&mut registry.early) {
            let (name, handlers) = (early.name.clone(), vec![(id, Arc::clone(&handler))]);
            let target = Arc::new(Target { name, handlers, answers: None });
            // Still under the lock: nothing that comes later may get in before.
            self.give_early(Some(target), [early].into());
        }
        Subscription { handlers: Arc::downgrade(self), target: None, id }
    }

    /// A handler for a method that gets its calls as they are.
    #[cfg(all(native, feature = "cli"))]
    pub(super) fn watch(
        self: &Arc<Self>,
        target: &str,
        handler: impl FnMut(ServerCall) + MaybeSend + 'static,
    ) -> Subscription {
        self.register(target, Arc::new(Whole::new(handler)), false)
    }

    fn give_early(self: &Arc<Self>, target: Option<Arc<Target>>, early: VecDeque<Early>) {
        let (Some(target), Some(Early { encoding, .. })) = (target, early.front()) else { return };
        let (encoding, bytes) = (*encoding, early.iter().map(|early| early.arguments.len()).sum());
        let waiting = self.backlog.enter_all(early.len(), bytes);
        let works = early.into_iter().map(|early| {
            let arguments = Arguments::Owned(early.arguments);
            let (reply, is_awaited, cancelled, trace) = (None, false, false, early.trace);
            Work { target: 0, arguments, reply, is_awaited, cancelled, trace }
        });
        self.send(Batch {
            frame: SharedFrame::default(),
            encoding,
            targets: vec![target],
            works: works.collect(),
            waiting,
        });
        self.hand_over();
    }

    fn send(self: &Arc<Self>, batch: Batch) {
        let mut queue = self.queue();
        queue.calls += batch.works.len();
        queue.batches.push_back(batch);
        let are_many = queue.calls >= MANY;
        drop(queue);
        if are_many {
            self.hand_over();
        }
    }

    /// Has the queue worked on, if there is anything in it.
    fn hand_over(self: &Arc<Self>) {
        let mut queue = self.queue();
        if queue.batches.is_empty() || queue.is_worked_on {
            return;
        }
        let Some(runtime) = queue.runtime.clone() else { return };
        queue.is_worked_on = true;
        // A runtime that has shut down drops the worker at once, and that takes the lock.
        drop(queue);
        let mut worker = Worker { handlers: Arc::clone(self), runtime: runtime.clone(), is_done: false };
        runtime.run_user_code(Box::new(move || worker.work()));
    }

    fn remove(&self, target: Option<&str>, id: u64) {
        let mut registry = self.write();
        let Some(target) = target else {
            let unhandled = &mut registry.unhandled;
            let removed = unhandled.iter().position(|(known, _)| *known == id).map(|at| unhandled.remove(at));
            drop(registry);
            return drop(removed);
        };
        let Some(methods) = registry.targets.get_mut(target) else { return };
        let methods = Arc::make_mut(methods);
        let removed = match methods.handlers.iter().position(|(known, _)| *known == id) {
            Some(at) => Some(methods.handlers.remove(at)),
            None => methods.answers.take_if(|(known, _)| *known == id),
        };
        drop(registry);
        drop(removed);
    }

    /// The builder has given all its handlers: only those does [`renew`](Self::renew) replace.
    #[cfg(feature = "yew")]
    pub(super) fn built(&self) {
        self.write().last_id = BUILT;
    }

    /// Replaces the handlers of the builder by those of another.
    #[cfg(feature = "yew")]
    pub(super) fn renew(self: &Arc<Self>, newer: &Self) {
        let (newer, unhandled) = {
            let mut newer = newer.write();
            (mem::take(&mut newer.targets), mem::take(&mut newer.unhandled))
        };
        let mut guard = self.write();
        let registry = &mut *guard;
        let mut old: Vec<_> = registry.unhandled.extract_if(.., |(id, _)| *id <= BUILT).collect();
        registry.unhandled.splice(..0, unhandled);
        for target in registry.targets.values_mut().map(Arc::make_mut) {
            old.extend(target.handlers.extract_if(.., |(id, _)| *id <= BUILT));
            old.extend(target.answers.take_if(|(id, _)| *id <= BUILT));
        }
        for (name, newer) in newer {
            let early = match registry.targets.contains_key(&name) {
                false => registry.take_early(&name),
                true => VecDeque::new(),
            };
            let newer = Arc::unwrap_or_clone(newer);
            let target = registry.targets.entry(name).or_default();
            let methods = Arc::make_mut(target);
            methods.name = newer.name;
            methods.handlers.splice(..0, newer.handlers);
            methods.answers = methods.answers.take().or(newer.answers);
            let first = Some(Arc::clone(target));
            self.give_early(first, early);
        }
        drop(guard);
        // Outside of the lock: closures may own anything.
        drop(old);
    }

    fn read(&self) -> RwLockReadGuard<'_, Registry> {
        lock::read(&self.registry)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Registry> {
        lock::write(&self.registry)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        lock::lock(&self.queue)
    }

    /// The handlers of a method. Without any so far, the call is kept for the first, to be read with these
    /// names; unless an answer is expected.
    fn find(
        &self,
        method: &str,
        arguments: Payload<'_>,
        kept: Option<PropertyNames>,
        trace: &mut Option<Box<Incoming>>,
    ) -> Arc<Target> {
        let (mut short, long);
        let name = if method.len() <= SHORT_NAME && method.is_ascii() {
            // The case of most names.
            short = [0; SHORT_NAME];
            let lower = short.split_at_mut(method.len()).0;
            lower.copy_from_slice(method.as_bytes());
            lower.make_ascii_lowercase();
            str::from_utf8(lower).unwrap_or_default()
        } else {
            long = lowercase(method);
            &long
        };
        let known = self.read().find(name, method);
        known.unwrap_or_else(|| {
            let mut registry = self.write();
            // It may have been registered in between.
            if let Some(target) = registry.find(name, method) {
                return target;
            }
            if let Some(names) = kept {
                let encoding = Encoding { protocol: arguments.protocol(), names };
                let (target, name, arguments) =
                    (name.to_owned(), method.to_owned(), arguments.as_ref().to_vec());
                registry.keep(Early { target, name, arguments, encoding, trace: trace.take() });
            }
            Default::default()
        })
    }
}

/// Brings the calls of a connection to its handlers.
pub(super) struct Inbound {
    pub(super) handlers: Arc<Handlers>,
    pub(super) names: PropertyNames,
    pub(super) tracing: Tracing,
}

impl Callee<RawCodec> for Inbound {
    fn start(&self, runtime: &Runtime) {
        let handlers = &self.handlers;
        let mut registry = handlers.write();
        registry.early.clear();
        registry.early_bytes = 0;
        drop(registry);
        handlers.queue().runtime = Some(runtime.clone());
        // What was left when an earlier runtime shut down.
        handlers.hand_over();
    }

    fn call(
        &self,
        connection: &Arc<Connection<RawCodec>>,
        frame: &SharedFrame,
        calls: Vec<Called<'_, RawCodec>>,
    ) {
        let Some((_, first)) = calls.first() else { return };
        let encoding = Encoding { protocol: first.arguments.protocol(), names: self.names };
        let (mut targets, mut works) = (Vec::<Arc<Target>>::new(), Vec::with_capacity(calls.len()));
        let (mut last, mut bytes) = ("", 0);
        for (call, invocation) in &calls {
            let (call, name, arguments) = (*call, &*invocation.target, invocation.arguments);
            let mut trace = Incoming::new(&self.tracing, &invocation.headers);
            // Most often it is the method of the message before.
            if last != name || targets.last().is_none_or(|target| target.is_empty()) {
                let kept = call.is_none().then_some(self.names);
                let target = self.handlers.find(name, arguments, kept, &mut trace);
                if target.is_empty() {
                    tracing::warn!(target_method = name, "no handler is registered for this method");
                    if let Some(call) = call {
                        connection.refuse(call, NO_RESULT);
                    }
                    continue;
                }
                targets.push(target);
                last = name;
            }
            let Some(target) = targets.last() else { continue };
            let (mut reply, mut cancelled) = (None, false);
            if let Some(call) = call {
                if target.answers.is_some() {
                    reply = Reply::new(connection, call, encoding);
                    cancelled = reply.is_none();
                } else {
                    connection.refuse(call, NO_RESULT);
                }
            }
            bytes += arguments.as_ref().len();
            let arguments = Arguments::new(frame.bytes(), arguments.as_ref());
            let (target, is_awaited) = (targets.len() - 1, call.is_some());
            works.push(Work { target, arguments, reply, is_awaited, cancelled, trace });
        }
        if !works.is_empty() {
            let waiting = self.handlers.backlog.enter_all(works.len(), bytes);
            self.handlers.send(Batch { frame: frame.clone(), encoding, targets, works, waiting });
        }
    }

    fn flush(&self) {
        self.handlers.hand_over();
    }
}

/// Works on the queue until it is empty. There is one at a time.
struct Worker {
    handlers: Arc<Handlers>,
    runtime: Runtime,
    is_done: bool,
}

impl Worker {
    /// Works on what is in the queue now. Returns whether there is more.
    fn work(&mut self) -> bool {
        let batches = {
            let mut queue = self.handlers.queue();
            queue.calls = 0;
            mem::take(&mut queue.batches)
        };
        dispatch(batches, &self.runtime);
        let mut queue = self.handlers.queue();
        queue.is_worked_on = !queue.batches.is_empty();
        self.is_done = !queue.is_worked_on;
        queue.is_worked_on
    }
}

impl Drop for Worker {
    /// When it is not done, its runtime has shut down.
    fn drop(&mut self) {
        if !self.is_done {
            self.handlers.queue().is_worked_on = false;
        }
    }
}

/// A registered handler. Dropping it changes nothing: the handler stays until [`unsubscribe`](Self::unsubscribe)
/// or the end of the connection.
#[derive(Clone)]
pub struct Subscription {
    handlers: Weak<Handlers>,
    /// The method in lower case; `None` for methods without a handler.
    target: Option<String>,
    id: u64,
}

impl Subscription {
    /// Removes the handler. Calls that are already under way to it still arrive.
    pub fn unsubscribe(self) {
        if let Some(handlers) = self.handlers.upgrade() {
            handlers.remove(self.target.as_deref(), self.id);
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("target", &self.target).finish_non_exhaustive()
    }
}
