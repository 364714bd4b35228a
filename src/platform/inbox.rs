//! The queue between a browser's WebSocket and the driver: messages come as events, whether or not the driver reads.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use super::{WAITING_BYTES, WAITING_MESSAGES};
use crate::core::TransportError;

/// Messages in the order they came, and the end of the socket behind them. Bounded: a browser takes what the server
/// sends at any rate, and no page can hold it back.
pub(super) struct Inbox<T> {
    open: bool,
    waiting: VecDeque<(T, usize)>,
    /// Of all that waits.
    bytes: usize,
    overflowed: bool,
    closed: Option<TransportError>,
    waker: Option<Waker>,
}

impl<T> Default for Inbox<T> {
    fn default() -> Self {
        Self { open: false, waiting: VecDeque::new(), bytes: 0, overflowed: false, closed: None, waker: None }
    }
}

impl<T> Inbox<T> {
    /// Something happens, which wakes the driver once the inbox can be used again: it may run at once.
    pub(super) fn handle<R>(inbox: &RefCell<Self>, change: impl FnOnce(&mut Self) -> R) -> R {
        let (result, waker) = {
            let mut inbox = inbox.borrow_mut();
            (change(&mut inbox), inbox.waker.take())
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        result
    }

    pub(super) fn handle_open(&mut self) {
        self.open = true;
    }

    /// Takes a message of so many bytes. `false`: there is no room for it. All that waited is gone then, and the
    /// socket is to be closed.
    #[must_use]
    pub(super) fn handle_message(&mut self, message: T, bytes: usize) -> bool {
        if self.overflowed {
            return false;
        }
        if self.waiting.len() >= WAITING_MESSAGES || self.bytes.saturating_add(bytes) > WAITING_BYTES {
            self.overflowed = true;
            self.waiting = VecDeque::new();
            self.bytes = 0;
            self.closed = Some(TransportError::new(
                "more messages came than can wait, so the WebSocket was closed; handlers and streams have to keep up with the server",
            ));
            return false;
        }
        self.waiting.push_back((message, bytes));
        self.bytes += bytes;
        true
    }

    /// The socket has closed. `error` is told whether it was open before.
    pub(super) fn handle_close(&mut self, error: impl FnOnce(bool) -> TransportError) {
        let was_open = self.open;
        self.closed.get_or_insert_with(|| error(was_open));
    }

    pub(super) fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        if self.open {
            return Poll::Ready(Ok(()));
        }
        match &self.closed {
            Some(error) => Poll::Ready(Err(error.clone())),
            None => self.wait(cx),
        }
    }

    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, TransportError>> {
        if let Some((message, bytes)) = self.waiting.pop_front() {
            self.bytes -= bytes;
            return Poll::Ready(Ok(message));
        }
        match &self.closed {
            Some(error) => Poll::Ready(Err(error.clone())),
            None => self.wait(cx),
        }
    }

    /// Whether more came than can wait, because the driver did not read.
    pub(super) fn poll_overflow(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.overflowed { Poll::Ready(()) } else { self.wait(cx) }
    }

    fn wait<R>(&mut self, cx: &mut Context<'_>) -> Poll<R> {
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn what_comes_is_read_in_order_with_the_end_behind_it() {
        let mut inbox = Inbox::default();
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(inbox.poll_open(cx).is_pending());
        inbox.handle_open();
        assert_eq!(inbox.poll_open(cx), Poll::Ready(Ok(())));
        assert!(inbox.handle_message("a", 1) && inbox.handle_message("b", 1));
        inbox.handle_close(|was_open| TransportError::new(if was_open { "closed" } else { "refused" }));
        assert_eq!(inbox.poll_next(cx), Poll::Ready(Ok("a")));
        assert_eq!(inbox.poll_next(cx), Poll::Ready(Ok("b")));
        for _ in 0..2 {
            assert_eq!(inbox.poll_next(cx), Poll::Ready(Err(TransportError::new("closed"))));
        }
        assert!(inbox.poll_overflow(cx).is_pending());
    }

    #[test]
    fn what_nobody_reads_is_bounded_and_a_driver_that_does_not_read_learns_of_it() {
        let full = WAITING_BYTES / WAITING_MESSAGES;
        for (bytes, room) in
            [(0, WAITING_MESSAGES), (full + 1, WAITING_BYTES / (full + 1)), (WAITING_BYTES, 1)]
        {
            let woken = Arc::new(Woken::default());
            let waker = Waker::from(Arc::clone(&woken));
            let cx = &mut Context::from_waker(&waker);
            let inbox = RefCell::new(Inbox::default());
            for n in 0..room {
                assert!(Inbox::handle(&inbox, |inbox| inbox.handle_message(n, bytes)), "{n} of {room}");
            }
            assert!(inbox.borrow_mut().poll_overflow(cx).is_pending());
            assert!(!Inbox::handle(&inbox, |inbox| inbox.handle_message(room, bytes)));
            assert_eq!(woken.0.load(Ordering::SeqCst), 1);
            let mut inbox = inbox.into_inner();
            assert_eq!(inbox.poll_overflow(cx), Poll::Ready(()));
            assert_eq!((inbox.waiting.capacity(), inbox.bytes), (0, 0));
            // The close event that follows is not the reason, and what still comes is not kept.
            inbox.handle_close(|_| TransportError::new("closed"));
            assert!(!inbox.handle_message(0, 0));
            let Poll::Ready(Err(error)) = inbox.poll_next(cx) else { panic!("it goes on") };
            assert!(error.message.contains("more messages came than can wait"), "{error}");
        }
    }

    #[test]
    fn what_is_read_makes_room() {
        let mut inbox = Inbox::default();
        let cx = &mut Context::from_waker(Waker::noop());
        for n in 0..2 * WAITING_MESSAGES {
            assert!(inbox.handle_message(n, WAITING_BYTES));
            assert_eq!(inbox.poll_next(cx), Poll::Ready(Ok(n)));
        }
    }
}
