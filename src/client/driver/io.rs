use std::pin::Pin;
use std::task::{Context, Poll};

use super::{Driver, Input};
use crate::client::codec::Codec;
use crate::client::connection::{Shared, poll_job};
use crate::core::Moment;
use crate::core::session::TransportError;
use crate::core::stateful::MessageBuffer;
use crate::platform;

impl<C: Codec> Driver<C> {
    /// Puts what was written since the last time behind the frames that wait already.
    pub(super) fn collect(&mut self) {
        if let Some(out) = self.connection.lock().take_out() {
            self.frames.push_back(self.codec.frame(out));
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Input> {
        let now = platform::now();
        let (full, wants_refresh);
        let deadline = {
            let mut shared = self.connection.lock();
            if shared.stop {
                return Poll::Ready(Input::Stop);
            }
            if !shared.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                shared.waker = Some(cx.waker().clone());
            }
            full = shared.session.can_send() && {
                let has_calls = shared.session.calls().is_some_and(|calls| calls.pending_calls() > 0);
                !self.gate.is_open(cx, has_calls)
            };
            if full {
                // The server may well be talking: it is this side that does not listen.
                shared.session.handle_received(now);
            }
            // One frame at a time: what is written while the link is busy goes out as one batch.
            if self.frames.is_empty()
                && !self.unflushed
                && shared.session.can_send()
                && let Some(out) = shared.take_out()
            {
                shared.session.handle_sent(now);
                self.frames.push_back(self.codec.frame(out));
            }
            wants_refresh = !shared.refreshed.is_empty();
            let Shared { session, buffer, refresh, .. } = &*shared;
            let ack = buffer.as_ref().and_then(MessageBuffer::poll_timeout);
            [session.poll_timeout(), ack, refresh.poll_timeout()].into_iter().flatten().min()
        };
        if wants_refresh {
            self.start_refresh();
        }
        if let Poll::Ready(result) = poll_job(&mut self.refresh, cx) {
            return Poll::Ready(Input::Refreshed(result));
        }
        if let Poll::Ready(done) = poll_job(&mut self.job, cx) {
            return Poll::Ready(Input::Done(done));
        }
        if self.failed.is_none() {
            self.failed = self.poll_send(cx);
        }
        if let Some(link) = self.link.as_mut().filter(|_| !full)
            && let Poll::Ready(received) = link.poll_next(cx)
        {
            return Poll::Ready(match received {
                Ok(frame) => Input::Frame(frame),
                Err(error) => Input::TransportClosed(error),
            });
        }
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Input::TransportClosed(error));
        }
        // A timer may have slept as well, so the clock is looked at.
        if let Poll::Ready(wake) = self.wake.poll(cx) {
            return Poll::Ready(Input::Wake(wake));
        }
        match deadline {
            Some(deadline) => self.poll_timer(cx, now, deadline),
            None => Poll::Pending,
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Option<TransportError> {
        let link = self.link.as_mut()?;
        while !self.frames.is_empty() {
            match link.poll_ready(cx) {
                Poll::Pending => break,
                Poll::Ready(Err(error)) => return Some(error),
                Poll::Ready(Ok(())) => {}
            }
            if let Some(frame) = self.frames.pop_front() {
                tracing::trace!(text = frame.is_text(), "sending a frame");
                if let Err(error) = link.start_send(frame) {
                    return Some(error);
                }
                self.unflushed = true;
            }
        }
        if self.unflushed {
            match link.poll_flush(cx) {
                Poll::Pending => {}
                Poll::Ready(Err(error)) => return Some(error),
                Poll::Ready(Ok(())) => {
                    self.unflushed = false;
                    // What was written in the meantime waits for no one else to wake it.
                    if !self.frames.is_empty() || C::waiting(&self.connection.lock().out) > 0 {
                        cx.waker().wake_by_ref();
                    }
                }
            }
        }
        None
    }

    /// The deadline moves with every message, mostly to later: a timer that fires too early is cheaper than a new
    /// one for each.
    fn poll_timer(&mut self, cx: &mut Context<'_>, now: Moment, deadline: Moment) -> Poll<Input> {
        if now >= deadline {
            return Poll::Ready(Input::Timeout);
        }
        loop {
            let (at, sleep) = match &mut self.timer {
                Some((at, sleep)) if *at <= deadline => (at, sleep),
                timer => {
                    let new = (deadline, platform::sleep(deadline.saturating_sub(now)));
                    let (at, sleep) = timer.insert(new);
                    (at, sleep)
                }
            };
            let reached = *at >= deadline;
            match Pin::new(sleep).poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => {
                    self.timer = None;
                    if reached {
                        return Poll::Ready(Input::Timeout);
                    }
                }
            }
        }
    }
}
