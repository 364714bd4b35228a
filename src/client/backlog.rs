use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use crate::platform::{self, BoxFuture};

/// The socket is not read while more messages than this, or more bytes, wait for their handlers and streams.
const SOFT: Limit = Limit { messages: 1024, bytes: 8 << 20 };

/// It is read all the same while someone waits for a result, which may be what the others wait for. Only up to this.
const HARD: Limit = Limit { messages: 64 << 10, bytes: 64 << 20 };

/// How long nothing has to move before the consumer of an empty stream counts as someone who waits for a result.
const STALL: Duration = Duration::from_secs(30);

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

/// One message of so many bytes.
fn counted(bytes: usize) -> u64 {
    (1 << BYTES) + u64::try_from(bytes).unwrap_or_default()
}

/// How much of the server's messages waits for handlers and streams.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    /// Messages and bytes in one number, so that one operation counts both: handlers run on other threads than the
    /// socket is read on, and what both write is slow.
    waiting: AtomicU64,
    /// How many messages have been taken while the socket was not read.
    taken: AtomicUsize,
    /// How many streams are waited for that have nothing to give.
    hungry: AtomicUsize,
    paused: AtomicBool,
    /// More than one where connections share their handlers.
    wakers: Mutex<Vec<Waker>>,
}

impl Backlog {
    fn exceeds(&self, limit: &Limit) -> bool {
        limit.is_exceeded_by(self.waiting.load(Ordering::SeqCst))
    }

    /// Whether more waits than can be held.
    pub(super) fn is_too_long(&self) -> bool {
        self.exceeds(&HARD)
    }

    fn is_full(&self, waker: &Waker) -> bool {
        if !self.exceeds(&SOFT) {
            return false;
        }
        let mut wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        if !wakers.iter().any(|known| known.will_wake(waker)) {
            wakers.push(waker.clone());
        }
        drop(wakers);
        self.paused.store(true, Ordering::SeqCst);
        // Something may have been taken in between, by someone who saw no pause.
        self.exceeds(&SOFT)
    }
}

impl Backlog {
    /// A message of so many bytes waits until the guard is dropped.
    pub(crate) fn enter(self: &Arc<Self>, bytes: usize) -> Waiting {
        self.waiting.fetch_add(counted(bytes), Ordering::SeqCst);
        Waiting { backlog: Arc::clone(self), bytes }
    }

    /// An empty stream is waited for until the guard is dropped.
    #[cfg(feature = "client")]
    pub(super) fn hunger(self: &Arc<Self>) -> Hungry {
        self.hungry.fetch_add(1, Ordering::SeqCst);
        Hungry(Arc::clone(self))
    }
}

/// A message that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    backlog: Arc<Backlog>,
    bytes: usize,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let backlog = &self.backlog;
        let taken = counted(self.bytes);
        let left = backlog.waiting.fetch_sub(taken, Ordering::SeqCst).wrapping_sub(taken);
        if !backlog.paused.load(Ordering::SeqCst) {
            return;
        }
        backlog.taken.fetch_add(1, Ordering::SeqCst);
        if !SOFT.is_exceeded_by(left) {
            backlog.paused.store(false, Ordering::SeqCst);
            let wakers = std::mem::take(&mut *backlog.wakers.lock().unwrap_or_else(PoisonError::into_inner));
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

/// A stream that is waited for.
#[cfg(feature = "client")]
#[derive(Debug)]
pub(super) struct Hungry(Arc<Backlog>);

#[cfg(feature = "client")]
impl Drop for Hungry {
    fn drop(&mut self) {
        self.0.hungry.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Decides whether the socket is read.
pub(super) struct Gate {
    backlog: Arc<Backlog>,
    stall: Stall,
}

/// Whether anything moves while the socket is not read.
enum Stall {
    No,
    /// So many messages had been taken when the watch began.
    Watching(usize, BoxFuture<()>),
    /// Nothing moves, and someone waits for what is not read.
    Yes,
}

impl Gate {
    pub(super) fn new(backlog: Arc<Backlog>) -> Self {
        Self { backlog, stall: Stall::No }
    }

    /// Whether to read on. If not, the task is woken when that has changed. `has_calls`: whether plain calls wait for
    /// their results.
    pub(super) fn is_open(&mut self, cx: &mut Context<'_>, has_calls: bool) -> bool {
        if !self.backlog.is_full(cx.waker()) {
            self.stall = Stall::No;
            return true;
        }
        has_calls || self.is_stalled(cx)
    }

    fn is_stalled(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            let taken = self.backlog.taken.load(Ordering::SeqCst);
            match &mut self.stall {
                Stall::Yes => return true,
                Stall::Watching(before, sleep) if *before == taken => {
                    if Pin::new(sleep).poll(cx).is_pending() {
                        return false;
                    }
                    let hungry = self.backlog.hungry.load(Ordering::SeqCst) > 0;
                    self.stall = if hungry { Stall::Yes } else { Stall::No };
                }
                Stall::No | Stall::Watching(..) => {
                    self.stall = Stall::Watching(taken, platform::sleep(STALL));
                }
            }
        }
    }
}

#[cfg(all(native, test, feature = "client"))]
mod tests;
