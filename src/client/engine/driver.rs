//! The task behind a connection: it does what the machine asks for, and tells it what happens.
//!
//! ```text
//!   machine ──effects──▶ jobs, transport ──inputs──▶ machine
//!           ──frames───▶ transport       ──frames──▶ machine ──events──▶ callers, streams, handlers
//! ```

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::client::engine::codec::WireCodec;
use crate::client::engine::connection::{Connection, Waiting};
use crate::client::engine::jobs::{Done, Job, Jobs};
use crate::client::engine::wire::{Brought, Timer, Wire, poll_once};
use crate::core::Moment;
use crate::core::client::{ConnectionError, Effect};
use crate::platform::{self, Wake, WakeSignal};

/// It lives from one start to the end that follows, through all reconnects.
pub(super) struct Driver<C: WireCodec> {
    connection: Arc<Connection<C>>,
    jobs: Jobs<C>,
    wire: Wire,
    /// The step of connecting that is under way.
    step: Option<Job>,
    /// A refresh of the authentication, which runs beside everything else.
    refresh: Option<Job>,
    timer: Timer,
    wake: WakeSignal,
    /// What everything that is logged about a connection is in. A new one for each, so that it has one id only.
    span: tracing::Span,
    /// How many calls have ended since the driver last had to wait.
    calls_ended: usize,
    ended: bool,
}

/// What the machine wants of its driver.
enum Next {
    Perform(Effect),
    End(Waiting, Arc<ConnectionError>),
    Wait { reads: bool, deadline: Option<Moment> },
}

enum Input {
    Done(Done),
    Brought(Brought),
    Timeout,
    Wake(Wake),
}

impl<C: WireCodec> Driver<C> {
    pub(super) fn new(connection: Arc<Connection<C>>) -> Self {
        Self {
            jobs: Jobs::new(Arc::clone(&connection)),
            connection,
            wire: Wire::default(),
            step: None,
            refresh: None,
            timer: Timer::default(),
            wake: WakeSignal::new(),
            span: tracing::Span::none(),
            calls_ended: 0,
            ended: false,
        }
    }

    pub(super) async fn run(mut self) {
        self.span = self.new_span();
        poll_fn(|cx| {
            loop {
                let span = self.span.clone();
                let run = span.in_scope(|| {
                    let poll = self.poll_run(cx);
                    self.connection.callee.flush();
                    poll
                });
                if ready!(run) {
                    return Poll::Ready(());
                }
            }
        })
        .await;
    }

    fn new_span(&self) -> tracing::Span {
        let url = self.connection.lock().machine.options().url.clone();
        tracing::info_span!(parent: None, "hub_connection", %url, connection_id = tracing::field::Empty)
    }

    /// Goes on until the end, or until there is a new span to go on in: whether it is the end.
    fn poll_run(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        loop {
            // Those who are told of the end may rely on the socket being closed.
            ready!(self.wire.poll_closed(cx));
            match self.next(cx) {
                Next::Perform(effect @ Effect::Lost(_)) => {
                    self.perform(effect);
                    self.span = self.new_span();
                    return Poll::Ready(false);
                }
                Next::Perform(effect) => self.perform(effect),
                Next::End(waiting, error) => {
                    // Those who are told may start again: from here on, the machine belongs to the next driver.
                    self.ended = true;
                    waiting.tell(&error);
                    return Poll::Ready(true);
                }
                Next::Wait { reads, deadline } => {
                    let Poll::Ready(input) = self.poll_input(cx, reads, deadline) else {
                        self.let_callers_go_first(cx);
                        return Poll::Pending;
                    };
                    self.handle(input);
                }
            }
        }
    }

    /// Callers whose calls have ended together go on together, and often make their next calls. The driver takes its next
    /// turn behind all of them, so that those calls are one frame. Otherwise the first of them would have it run
    /// before the second: tokio runs next what was woken last, and each call would be written for itself.
    fn let_callers_go_first(&mut self, cx: &Context<'_>) {
        if std::mem::take(&mut self.calls_ended) > 1 {
            cx.waker().wake_by_ref();
        }
    }

    fn next(&mut self, cx: &Context<'_>) -> Next {
        let (now, load) = (platform::now(), self.connection.backlog.load(cx));
        let mut shared = self.connection.lock();
        match shared.machine.poll_effect() {
            Some(Effect::Disconnected(error)) => {
                let waiting = shared.disconnected(&error);
                return Next::End(waiting, error);
            }
            Some(effect) => return Next::Perform(effect),
            None => {}
        }
        if !shared.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            shared.waker = Some(cx.waker().clone());
        }
        // One frame at a time: what is written while the link is busy goes out as one batch.
        if self.wire.is_idle()
            && let Some(transmit) = shared.machine.poll_transmit(now)
        {
            self.wire.send(shared.machine.codec().transmit(transmit));
            shared.yield_room();
        }
        let reads = shared.machine.may_read(now, load);
        Next::Wait { reads, deadline: shared.machine.poll_timeout() }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::FetchToken => self.step = Some(self.jobs.token()),
            Effect::FetchRefreshToken => self.refresh = Some(self.jobs.refresh_token()),
            Effect::Negotiate(request) => self.step = Some(self.jobs.negotiate(request)),
            Effect::Refresh(request) => self.refresh = Some(self.jobs.refresh(request)),
            Effect::Open { transport, url } => self.step = Some(self.jobs.open(transport, url)),
            Effect::AskRetryPolicy(context) => self.step = Some(self.jobs.retry_delay(context)),
            Effect::CloseTransport { abort } => self.close(abort),
            Effect::Connected { .. } => {
                self.jobs.rest();
                self.connection.tell(effect);
            }
            Effect::Refreshed(_) => {
                self.refresh = None;
                self.jobs.rest();
                self.connection.tell(effect);
            }
            Effect::Resumed | Effect::Lost(_) | Effect::Reconnecting(_) | Effect::Disconnected(_) => {
                self.connection.tell(effect);
            }
        }
    }

    fn close(&mut self, abort: bool) {
        self.step = None;
        if abort {
            return self.wire.abort();
        }
        let mut shared = self.connection.lock();
        while let Some(transmit) = shared.machine.poll_transmit(platform::now()) {
            self.wire.send(shared.machine.codec().transmit(transmit));
        }
        drop(shared);
        self.wire.close();
    }

    fn poll_input(&mut self, cx: &mut Context<'_>, reads: bool, deadline: Option<Moment>) -> Poll<Input> {
        for job in [&mut self.refresh, &mut self.step] {
            if let Some(Poll::Ready(done)) = poll_once(job, cx) {
                return Poll::Ready(Input::Done(done));
            }
        }
        if let Poll::Ready(brought) = self.wire.poll(cx, reads) {
            return Poll::Ready(Input::Brought(brought));
        }
        // A timer may have slept as well, so the clock is read.
        if let Poll::Ready(wake) = self.wake.poll(cx) {
            return Poll::Ready(Input::Wake(wake));
        }
        match deadline {
            Some(deadline) => self.timer.poll(cx, deadline).map(|()| Input::Timeout),
            None => Poll::Pending,
        }
    }

    fn handle(&mut self, input: Input) {
        let (now, unix_now) = (platform::now(), platform::unix_now());
        let mut shared = self.connection.lock();
        let machine = &mut shared.machine;
        match input {
            Input::Done(done) => done.tell(machine, &mut self.wire, now, unix_now),
            Input::Brought(Brought::Frame(frame)) => {
                drop(shared);
                self.calls_ended += self.connection.receive(now, frame);
            }
            Input::Brought(Brought::Closed(error)) => machine.handle_transport_closed(now, error),
            Input::Brought(Brought::TooMuch) => machine.handle_slow_consumer(now),
            Input::Brought(Brought::Sent) => {}
            Input::Timeout => machine.handle_timeout(now),
            Input::Wake(Wake::Frozen) => {
                tracing::warn!(
                    "the page is about to be frozen; the server may give the connection up meanwhile"
                );
            }
            Input::Wake(wake) => {
                tracing::debug!(?wake, "the page was asleep, or offline");
                machine.handle_wake(now);
                machine.handle_timeout(now);
            }
        }
    }
}

/// A runtime that shuts down drops its tasks; no caller may be left waiting then.
impl<C: WireCodec> Drop for Driver<C> {
    fn drop(&mut self) {
        if !self.ended {
            self.connection.abandon();
        }
    }
}
