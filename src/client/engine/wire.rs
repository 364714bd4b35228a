//! The transport of a connection, as its driver uses it: frames in and out, and its end.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::client::engine::transport::Link;
use crate::core::Moment;
use crate::core::client::TransportError;
use crate::platform::{self, BoxFuture, Frame};

/// What a transport has brought.
pub(super) enum Brought {
    Frame(Frame),
    Closed(TransportError),
    /// More than can be held, from a transport that cannot be paused.
    TooMuch,
    /// Everything has gone out, and there is room for more.
    Sent,
}

/// At most one transport at a time.
#[derive(Default)]
pub(super) struct Wire {
    link: Option<Link>,
    /// Frames that the link has not taken yet.
    frames: VecDeque<Frame>,
    unflushed: bool,
    /// Sending has failed. What has come before, such as the server's reason to close, is read first.
    failed: Option<TransportError>,
    /// The end of the link that was used last.
    closing: Option<BoxFuture<()>>,
}

impl Wire {
    pub(super) fn open(&mut self, link: Link) {
        *self = Self { link: Some(link), closing: self.closing.take(), ..Self::default() };
    }

    /// Whether there is a transport that has sent everything so far.
    pub(super) fn is_idle(&self) -> bool {
        self.link.is_some() && self.frames.is_empty() && !self.unflushed
    }

    pub(super) fn send(&mut self, frame: Frame) {
        self.frames.push_back(frame);
    }

    /// Drops the transport without a close frame.
    pub(super) fn abort(&mut self) {
        *self = Self { closing: self.closing.take(), ..Self::default() };
    }

    /// Closes the transport, and sends what is left before.
    pub(super) fn close(&mut self) {
        let Self { link, frames, .. } = std::mem::take(self);
        self.closing = link.map(|link| -> BoxFuture<()> { Box::pin(link.close(frames)) });
    }

    /// Pending while a transport closes.
    pub(super) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        poll_once(&mut self.closing, cx).unwrap_or(Poll::Ready(()))
    }

    /// What comes next, whether the transport is read or not.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, reads: bool) -> Poll<Brought> {
        if self.failed.is_none() {
            match self.poll_send(cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(Brought::Sent),
                Poll::Ready(Err(error)) => self.failed = Some(error),
                Poll::Pending => {}
            }
        }
        let Some(link) = &mut self.link else { return Poll::Pending };
        let brought = if link.poll_overflow(cx).is_ready() {
            Poll::Ready(Brought::TooMuch)
        } else if reads {
            link.poll_next(cx).map(|received| received.map_or_else(Brought::Closed, Brought::Frame))
        } else {
            Poll::Pending
        };
        let brought = match (brought, self.failed.take()) {
            (Poll::Pending, Some(error)) => Poll::Ready(Brought::Closed(error)),
            (brought, failed) => {
                self.failed = failed;
                brought
            }
        };
        if let Poll::Ready(Brought::Closed(_)) = brought {
            self.link = None;
        }
        brought
    }

    /// Ready when everything that was pending has gone out.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        let Some(link) = self.link.as_mut().filter(|_| self.unflushed || !self.frames.is_empty()) else {
            return Poll::Pending;
        };
        while !self.frames.is_empty() {
            ready!(link.poll_ready(cx))?;
            if let Some(frame) = self.frames.pop_front() {
                tracing::trace!(text = frame.is_text(), "sending a frame");
                self.unflushed = true;
                link.start_send(frame)?;
            }
        }
        ready!(link.poll_flush(cx))?;
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }
}

/// The one timer of a connection. Its deadline moves with every message, mostly to later: one that fires too early is
/// cheaper than a new one for each.
#[derive(Default)]
pub(super) struct Timer(Option<(Moment, BoxFuture<()>)>);

impl Timer {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, deadline: Moment) -> Poll<()> {
        let now = platform::now();
        if now >= deadline {
            return Poll::Ready(());
        }
        loop {
            let (at, sleep) = match &mut self.0 {
                Some((at, sleep)) if *at <= deadline => (at, sleep),
                timer => {
                    let new = (deadline, platform::sleep(deadline.since(now)));
                    let (at, sleep) = timer.insert(new);
                    (at, sleep)
                }
            };
            let reached = *at >= deadline;
            ready!(Pin::new(sleep).poll(cx));
            self.0 = None;
            if reached {
                return Poll::Ready(());
            }
        }
    }
}

/// Polls a future until it ends. `None` when there is no future.
pub(super) fn poll_once<T>(job: &mut Option<BoxFuture<T>>, cx: &mut Context<'_>) -> Option<Poll<T>> {
    let done = Pin::new(job.as_mut()?).poll(cx);
    if done.is_ready() {
        *job = None;
    }
    Some(done)
}
