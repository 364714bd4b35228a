//! Counts how many of the server's messages, and how many bytes, wait for handlers and streams. Whether the transport is
//! read is the machine's decision.
//!
//! ```text
//!   driver ──enter──▶ waiting: messages, bytes ──taken──▶ handlers, streams
//!      ▲                   │ no room: paused
//!      └──────woken────────┘ when there is room again
//! ```

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

use crate::core::client::Load;
use crate::lock::lock;
use crate::platform::{WAITING_BYTES, WAITING_MESSAGES};

/// The socket is not read while more messages than this, or more bytes, wait for their handlers and streams.
const SOFT: Limit = Limit { messages: 1024, bytes: 8 << 20 };

/// Hard limit, used while a call awaits its result.
const HARD: Limit = Limit { messages: WAITING_MESSAGES as u64, bytes: WAITING_BYTES as u64 };

struct Limit {
    messages: u64,
    bytes: u64,
}

impl Limit {
    fn is_exceeded_by(&self, waiting: u64) -> bool {
        waiting >> BYTES >= self.messages || waiting & ((1 << BYTES) - 1) >= self.bytes
    }
}

/// How many of the bits of [`Backlog::waiting`] count bytes. The others count messages.
const BYTES: u32 = 40;

/// So many messages of so many bytes together.
fn counted(messages: usize, bytes: usize) -> u64 {
    let number = |n: usize| u64::try_from(n).unwrap_or_default();
    (number(messages) << BYTES) + number(bytes)
}

/// How many of the server's messages, and how many bytes, wait for handlers and streams.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    /// Messages and bytes in one number, so that one operation counts both: handlers run on other threads than the
    /// one that reads the socket, and memory that both write is slow.
    waiting: AtomicU64,
    /// How many messages have been taken while the socket was not read.
    taken: AtomicUsize,
    /// How many empty streams are awaited.
    hungry: AtomicUsize,
    paused: AtomicBool,
    /// More than one where connections share their handlers.
    wakers: Mutex<Vec<Waker>>,
}

impl Backlog {
    fn exceeds(&self, limit: &Limit) -> bool {
        limit.is_exceeded_by(self.waiting.load(Ordering::SeqCst))
    }

    /// Whether nothing waits.
    #[cfg(all(native, feature = "cli"))]
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) == 0
    }

    /// Whether more waits than the hard limit allows.
    pub(super) fn is_too_long(&self) -> bool {
        self.exceeds(&HARD)
    }

    fn is_full(&self, waker: &Waker) -> bool {
        if !self.exceeds(&SOFT) {
            return false;
        }
        let mut wakers = lock(&self.wakers);
        if !wakers.iter().any(|known| known.will_wake(waker)) {
            wakers.push(waker.clone());
        }
        drop(wakers);
        self.paused.store(true, Ordering::SeqCst);
        // A message may have been taken in between, by a task that saw no pause.
        self.exceeds(&SOFT)
    }

    /// Has the figures asked for again.
    fn wake(&self) {
        let wakers = std::mem::take(&mut *lock(&self.wakers));
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Backlog {
    /// The figures that the machine decides by. If there is no room, the task is woken when there is room again.
    pub(super) fn load(&self, cx: &Context<'_>) -> Load {
        if !self.is_full(cx.waker()) {
            return Load::default();
        }
        let taken = self.taken.load(Ordering::SeqCst);
        Load { is_full: true, taken, is_hungry: self.hungry.load(Ordering::SeqCst) > 0 }
    }

    /// A message of so many bytes waits until the guard is dropped.
    pub(crate) fn enter(self: &Arc<Self>, bytes: usize) -> Waiting {
        self.enter_all(1, bytes)
    }

    /// So many messages of so many bytes together wait until the guard is dropped.
    pub(crate) fn enter_all(self: &Arc<Self>, messages: usize, bytes: usize) -> Waiting {
        let counted = counted(messages, bytes);
        self.waiting.fetch_add(counted, Ordering::SeqCst);
        Waiting { backlog: Arc::clone(self), counted }
    }

    /// An empty stream is awaited until the guard is dropped.
    pub(crate) fn hunger(self: &Arc<Self>) -> Hungry {
        self.hungry.fetch_add(1, Ordering::SeqCst);
        if self.paused.load(Ordering::SeqCst) {
            self.wake();
        }
        Hungry(Arc::clone(self))
    }
}

/// Messages that wait.
#[derive(Debug)]
pub(crate) struct Waiting {
    backlog: Arc<Backlog>,
    counted: u64,
}

impl Waiting {
    /// Splits off one of the messages, of so many bytes, which waits for longer than the rest.
    pub(crate) fn split(&mut self, bytes: usize) -> Self {
        let counted = counted(1, bytes).min(self.counted);
        self.counted -= counted;
        Self { backlog: Arc::clone(&self.backlog), counted }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let backlog = &self.backlog;
        let taken = self.counted;
        let left = backlog.waiting.fetch_sub(taken, Ordering::SeqCst).wrapping_sub(taken);
        if !backlog.paused.load(Ordering::SeqCst) {
            return;
        }
        let messages = usize::try_from(taken >> BYTES).unwrap_or_default();
        backlog.taken.fetch_add(messages, Ordering::SeqCst);
        if !SOFT.is_exceeded_by(left) {
            backlog.paused.store(false, Ordering::SeqCst);
            backlog.wake();
        }
    }
}

/// A stream that is awaited.
#[derive(Debug)]
pub(crate) struct Hungry(Arc<Backlog>);

impl Drop for Hungry {
    fn drop(&mut self) {
        self.0.hungry.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(all(native, test))]
mod tests;
