//! How much of what one client sends may wait for the hub's methods.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::task::AtomicWaker;

/// How many bytes of calls and items may wait before the client is no longer read.
const LIMIT: usize = 256 * 1024;

/// What something that waits takes besides its bytes.
const OVERHEAD: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Budget {
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
    pub(super) fn take(self: &Arc<Self>, bytes: usize) -> Waiting {
        let cost = bytes + OVERHEAD;
        self.used.fetch_add(cost, Ordering::Relaxed);
        Waiting { budget: self.clone(), cost }
    }

    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        let has_room = || self.used.load(Ordering::Acquire) < LIMIT;
        if has_room() {
            return Poll::Ready(());
        }
        self.reader.register(cx.waker());
        if has_room() { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.cost, Ordering::Release);
        self.budget.reader.wake();
    }
}
