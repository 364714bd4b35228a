//! Running handlers. Server calls go through one queue for each connection, frame by frame, and their handlers begin in
//! the order of arrival:
//!
//! ```text
//!   driver ──Batch──▶ queue ──▶ plain closure: run here
//!                           └─▶ async handler: begun here, goes on in a task of its own;
//!                               its next call waits for that, those of other handlers do not
//! ```
//!
//! "Here" is natively a thread that may block (`platform::native::blocking`), so that a closure that does holds up the
//! calls behind it, and neither pings nor results. In a browser it is the one event loop, which must not be blocked.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::ops::Range;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use tracing::{Instrument as _, Span};

use crate::client::engine::backlog::Waiting;
use crate::client::engine::guard::{caught, guarded};
use crate::client::handler::sealed::{Callable, Output};
use crate::client::reply::{BAD_ARGUMENTS, Reply};
use crate::client::trace::Incoming;
use crate::core::codec::Payload;
use crate::core::{ErrorChain, HubProtocol};
use crate::lock::lock;
use crate::payload::{Decode as _, PayloadError};
use crate::platform::{BoxFuture, MaybeSend, MaybeSync, Runtime, SharedFrame};
use crate::property_names::PropertyNames;
use crate::serialize::{Encoding, serialize};

const PANICKED: &str = "Client's handler panicked.";

/// The handlers of one method. Shared, so that no lock is held while arguments are read, which is the user's code.
#[derive(Clone, Default)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) handlers: Vec<(u64, Arc<dyn Registered>)>,
    /// The one whose result goes back.
    pub(super) answers: Option<(u64, Arc<dyn Registered>)>,
}

impl Target {
    pub(super) fn is_empty(&self) -> bool {
        self.handlers.is_empty() && self.answers.is_none()
    }
}

/// The calls of one frame, or of a part of it, in order.
pub(super) struct Batch {
    pub(super) frame: SharedFrame,
    pub(super) encoding: Encoding,
    pub(super) targets: Vec<Arc<Target>>,
    pub(super) works: Vec<Work>,
    pub(super) waiting: Waiting,
}

/// One call.
pub(super) struct Work {
    /// Which of the targets.
    pub(super) target: usize,
    pub(super) arguments: Arguments,
    pub(super) reply: Option<Reply>,
    /// Whether the server waits for a result, whichever handler gives it.
    pub(super) is_awaited: bool,
    /// Whether the answer was cancelled before the handler began.
    pub(super) cancelled: bool,
    /// What its handlers' span belongs to.
    pub(super) trace: Option<Box<Incoming>>,
}

/// Where the arguments are.
pub(super) enum Arguments {
    /// In the frame.
    Slice(Range<usize>),
    Owned(Vec<u8>),
}

impl Arguments {
    pub(super) fn new(frame: &[u8], arguments: &[u8]) -> Self {
        match range_in(frame, arguments) {
            Some(range) => Self::Slice(range),
            None => Self::Owned(arguments.to_vec()),
        }
    }

    fn get<'a>(&'a self, frame: &'a SharedFrame, protocol: HubProtocol) -> Payload<'a> {
        match (self, frame) {
            // A slice of a text is a text: nothing has to be checked.
            (Self::Slice(range), SharedFrame::Text(text)) if protocol == HubProtocol::Json => {
                Payload::Json(text.get(range.clone()).unwrap_or("null"))
            }
            (Self::Slice(range), frame) => {
                Payload::new(protocol, frame.bytes().get(range.clone()).unwrap_or_default())
            }
            (Self::Owned(bytes), _) => Payload::new(protocol, bytes),
        }
    }
}

/// Where in a slice another one lies, if it is a part of it.
fn range_in(whole: &[u8], part: &[u8]) -> Option<Range<usize>> {
    let start = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
    let end = start.checked_add(part.len())?;
    (end <= whole.len()).then_some(start..end)
}

/// Runs the handlers of these calls, one after the other.
pub(super) fn dispatch(batches: VecDeque<Batch>, runtime: &Runtime) {
    for batch in batches {
        // Handlers are guarded one by one. What else is the user's code, such as a destructor, may panic too.
        if caught(|| run(batch, runtime)).is_none() {
            tracing::error!("a value of a call panicked when it was dropped");
        }
    }
}

fn run(batch: Batch, runtime: &Runtime) {
    let Batch { frame, encoding, targets, works, mut waiting } = batch;
    for Work { target, arguments, reply, is_awaited, cancelled, trace } in works {
        let Some(target) = targets.get(target) else { continue };
        let arguments = arguments.get(&frame, encoding.protocol);
        let (names, waiting) = (encoding.names, &mut waiting);
        let span = trace.map(|trace| trace.span(&target.name));
        let mut call = Call { arguments, names, is_awaited, span, target, waiting, runtime };
        for (_, handler) in &target.handlers {
            Arc::clone(handler).call(&mut call, None);
        }
        if let Some((_, handler)) = target.answers.as_ref().filter(|_| !cancelled) {
            Arc::clone(handler).call(&mut call, reply);
        }
    }
}

/// A call on its way to a handler.
pub(super) struct Call<'c> {
    pub(super) arguments: Payload<'c>,
    pub(super) names: PropertyNames,
    pub(super) is_awaited: bool,
    /// The one to run in, for a call that came with a trace context.
    pub(super) span: Option<Span>,
    pub(super) target: &'c Target,
    /// The part of the batch that still waits.
    waiting: &'c mut Waiting,
    runtime: &'c Runtime,
}

/// One registered handler, without its types.
pub(super) trait Registered: MaybeSend + MaybeSync {
    fn call(self: Arc<Self>, call: &mut Call<'_>, reply: Option<Reply>);
}

/// A handler, and what waits for it while it is busy.
pub(super) struct Seat<M, H: Callable<M>>(Mutex<State<M, H>>);

struct State<M, H: Callable<M>> {
    /// `None` while it is busy.
    handler: Option<H>,
    later: VecDeque<Taken<H::Arguments>>,
    kind: std::marker::PhantomData<fn(M)>,
}

/// A call whose arguments are read.
struct Taken<A> {
    arguments: A,
    reply: Option<Reply>,
    span: Option<Span>,
    /// `None` while it waits with its batch.
    waiting: Option<Waiting>,
}

impl<M, H: Callable<M>> Seat<M, H> {
    pub(super) fn new(handler: H) -> Self {
        let (handler, later) = (Some(handler), VecDeque::new());
        Self(Mutex::new(State { handler, later, kind: std::marker::PhantomData }))
    }
}

impl<M: 'static, H: Callable<M>> Registered for Seat<M, H> {
    fn call(self: Arc<Self>, call: &mut Call<'_>, reply: Option<Reply>) {
        let target = &call.target.name;
        let Some(arguments) = read(call.arguments, call.names, target) else {
            if let Some(reply) = reply {
                reply.refuse(BAD_ARGUMENTS);
            }
            return;
        };
        let bytes = call.arguments.as_ref().len();
        // The closure of a plain handler runs under this lock. Only who works on the queue takes it while the handler
        // is here.
        let mut state = lock(&self.0);
        let Some(handler) = &mut state.handler else {
            let waiting = Some(call.waiting.split(bytes));
            let span = call.span.clone();
            return state.later.push_back(Taken { arguments, reply, span, waiting });
        };
        if H::IS_PLAIN && reply.is_none() {
            let attend = || attend_at_once(handler, arguments, target);
            return match &call.span {
                None => attend(),
                Some(span) => span.in_scope(attend),
            };
        }
        let Some(handler) = state.handler.take() else { return };
        drop(state);
        let taken = Taken { arguments, reply, span: call.span.clone(), waiting: None };
        let mut serving: BoxFuture<()> = Box::pin(serve(Arc::clone(&self), handler, taken, target.clone()));
        if serving.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            // A task polls it from now on, and at once: then what it waits for is told whom to wake.
            let waiting = call.waiting.split(bytes);
            call.runtime.spawn(async move {
                let _waiting = waiting;
                serving.await;
            });
        }
    }
}

/// The arguments as the handler wants them.
fn read<A: serde::de::DeserializeOwned>(
    arguments: Payload<'_>,
    names: PropertyNames,
    target: &str,
) -> Option<A> {
    let read: Option<Result<A, PayloadError>> = caught(|| arguments.decode(names));
    match read {
        Some(Ok(arguments)) => return Some(arguments),
        Some(Err(error)) => {
            tracing::error!(target_method = target, error = %ErrorChain::new(&error), "arguments of another type than the handler's");
        }
        None => tracing::error!(target_method = target, "reading the arguments panicked"),
    }
    None
}

/// A call of a plain closure whose result is not awaited.
fn attend_at_once<M, H: Callable<M>>(handler: &mut H, arguments: H::Arguments, target: &str) {
    let output =
        caught(|| match pin!(handler.call(arguments)).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => result(output, None, target).map(drop),
            Poll::Pending => Ok(()),
        });
    if output.is_none() {
        panicked(target);
    }
}

pub(super) fn panicked(target: &str) -> String {
    tracing::error!(target_method = target, "a handler panicked");
    PANICKED.to_owned()
}

/// One call after the other, until none waits.
async fn serve<M, H: Callable<M>>(
    seat: Arc<Seat<M, H>>,
    mut handler: H,
    first: Taken<H::Arguments>,
    target: String,
) {
    let mut next = Some(first);
    while let Some(Taken { arguments, reply, span, waiting }) = next {
        let attending = attend(&mut handler, arguments, reply, &target);
        match span {
            None => attending.await,
            Some(span) => attending.instrument(span).await,
        }
        drop(waiting);
        let mut state = lock(&seat.0);
        next = state.later.pop_front();
        if next.is_none() {
            state.handler = Some(handler);
            return;
        }
    }
}

/// Runs one call of a handler to its end.
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
        // This task is woken when no answer is wanted any more.
        Poll::Pending if reply.as_mut().is_some_and(|reply| reply.is_stopped(cx)) => Poll::Ready(None),
        output => output.map(Some),
    })
    .await;
    let Some(output) = output else { return };
    let encoding = reply.as_ref().map(Reply::encoding);
    let result = output.and_then(|output| caught(|| result(output, encoding, target)));
    let result = result.unwrap_or_else(|| Err(panicked(target)));
    if let Some(reply) = reply {
        reply.give(result).await;
    }
}

/// What a handler returned, as bytes if the result is awaited. An error is an answer like any other: whether it has to be
/// logged, its handler knows.
fn result(output: impl Output, encoding: Option<Encoding>, target: &str) -> Result<Vec<u8>, String> {
    let value = output.into_result().inspect_err(|error| {
        tracing::debug!(target_method = target, error, "a handler answers with an error");
    })?;
    let mut bytes = Vec::new();
    if let Some(encoding) = encoding {
        serialize(encoding, &mut bytes, &value).map_err(|error| {
            tracing::error!(target_method = target, %error, "the result of a handler cannot be serialized");
            format!("Client failed to serialize the result: {error}")
        })?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_found_in_their_frame() {
        let frame = b"0123456789".to_vec();
        assert_eq!(range_in(&frame, &frame[3..5]), Some(3..5));
        assert_eq!(range_in(&frame, &frame), Some(0..10));
        assert_eq!(range_in(&frame[2..4], &frame[3..5]), None);
        assert_eq!(range_in(&frame[2..4], &frame[0..1]), None);
        let shared = SharedFrame::Text("0123456789".into());
        for arguments in [Arguments::new(&frame[2..4], &frame[4..6]), Arguments::new(&frame, &frame[4..6])] {
            assert_eq!(arguments.get(&shared, HubProtocol::Json), Payload::Json("45"));
        }
    }
}
