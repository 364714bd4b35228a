//! How much of what one client sends may wait for the hub's methods.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::task::AtomicWaker;

/// What something that waits takes besides its bytes.
const OVERHEAD: usize = 256;

#[derive(Debug)]
pub(super) struct Budget {
    /// How many bytes of calls and items may wait before the client is no longer read.
    limit: usize,
    used: AtomicUsize,
    reader: AtomicWaker,
}

/// Something that waits: its room is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Waiting {
    budget: Arc<Budget>,
    cost: usize,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, used: AtomicUsize::new(0), reader: AtomicWaker::new() }
    }

    pub(super) fn take(self: &Arc<Self>, bytes: usize) -> Waiting {
        let cost = bytes + OVERHEAD;
        self.used.fetch_add(cost, Ordering::Relaxed);
        Waiting { budget: self.clone(), cost }
    }

    /// Whether there is room for more.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        self.poll_until(cx, |used| used == 0 || used < self.limit)
    }

    /// Whether nothing waits.
    pub(super) fn poll_empty(&self, cx: &Context<'_>) -> Poll<()> {
        self.poll_until(cx, |used| used == 0)
    }

    fn poll_until(&self, cx: &Context<'_>, is_reached: impl Fn(usize) -> bool) -> Poll<()> {
        let is_reached = || is_reached(self.used.load(Ordering::Acquire));
        if is_reached() {
            return Poll::Ready(());
        }
        self.reader.register(cx.waker());
        if is_reached() { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.cost, Ordering::Release);
        self.budget.reader.wake();
    }
}
