use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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
    messages: usize,
    bytes: usize,
}

/// How much of the server's messages waits for handlers and streams.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    messages: AtomicUsize,
    bytes: AtomicUsize,
    /// How many messages have been taken so far.
    taken: AtomicUsize,
    /// How many streams are waited for that have nothing to give.
    hungry: AtomicUsize,
    paused: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Backlog {
    fn exceeds(&self, limit: &Limit) -> bool {
        self.messages.load(Ordering::SeqCst) >= limit.messages
            || self.bytes.load(Ordering::SeqCst) >= limit.bytes
    }

    /// Whether more waits than can be held.
    pub(super) fn is_too_long(&self) -> bool {
        self.exceeds(&HARD)
    }

    fn is_full(&self, waker: &Waker) -> bool {
        if !self.exceeds(&SOFT) {
            return false;
        }
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker.clone());
        self.paused.store(true, Ordering::SeqCst);
        // Something may have been taken in between, by someone who saw no pause.
        self.exceeds(&SOFT)
    }
}

#[cfg(feature = "client")]
impl Backlog {
    /// A message of so many bytes waits until the guard is dropped.
    pub(super) fn enter(self: &Arc<Self>, bytes: usize) -> Waiting {
        self.messages.fetch_add(1, Ordering::SeqCst);
        self.bytes.fetch_add(bytes, Ordering::SeqCst);
        Waiting { backlog: Arc::clone(self), bytes }
    }

    /// An empty stream is waited for until the guard is dropped.
    pub(super) fn hunger(self: &Arc<Self>) -> Hungry {
        self.hungry.fetch_add(1, Ordering::SeqCst);
        Hungry(Arc::clone(self))
    }
}

/// A message that waits.
#[cfg(feature = "client")]
#[derive(Debug)]
pub(super) struct Waiting {
    backlog: Arc<Backlog>,
    bytes: usize,
}

#[cfg(feature = "client")]
impl Drop for Waiting {
    fn drop(&mut self) {
        let backlog = &self.backlog;
        backlog.taken.fetch_add(1, Ordering::SeqCst);
        backlog.messages.fetch_sub(1, Ordering::SeqCst);
        backlog.bytes.fetch_sub(self.bytes, Ordering::SeqCst);
        if backlog.paused.load(Ordering::SeqCst) && !backlog.exceeds(&SOFT) {
            backlog.paused.store(false, Ordering::SeqCst);
            crate::client::connection::wake(
                backlog.waker.lock().unwrap_or_else(PoisonError::into_inner).take(),
            );
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

#[cfg(all(test, feature = "client"))]
mod tests {
    use std::task::Wake;

    use super::*;

    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    /// A gate, and whether its task has been woken since it was last asked.
    struct Bench {
        backlog: Arc<Backlog>,
        gate: Gate,
        woken: Arc<Woken>,
    }

    impl Bench {
        fn new() -> Self {
            let backlog = Arc::new(Backlog::default());
            let gate = Gate::new(Arc::clone(&backlog));
            Self { backlog, gate, woken: Arc::new(Woken(AtomicBool::new(false))) }
        }

        fn is_open(&mut self, has_calls: bool) -> bool {
            self.woken.0.store(false, Ordering::SeqCst);
            let waker = Arc::clone(&self.woken).into();
            self.gate.is_open(&mut Context::from_waker(&waker), has_calls)
        }

        fn is_woken(&self) -> bool {
            self.woken.0.load(Ordering::SeqCst)
        }

        fn fill(&self, messages: usize, bytes: usize) -> Vec<Waiting> {
            (0..messages).map(|_| self.backlog.enter(bytes)).collect()
        }
    }

    #[tokio::test]
    async fn either_limit_closes_and_the_last_step_below_opens() {
        for (messages, bytes) in [(1024, 10), (8, 1 << 20)] {
            let mut bench = Bench::new();
            let mut waiting = bench.fill(messages - 1, bytes);
            assert!(bench.is_open(false));
            waiting.extend(bench.fill(2, bytes));
            assert!(!bench.is_open(false));
            waiting.pop();
            assert!(!bench.is_woken() && !bench.is_open(false));
            waiting.pop();
            assert!(bench.is_woken() && bench.is_open(false));
        }
    }

    #[tokio::test]
    async fn pending_calls_keep_it_open_up_to_the_hard_limit() {
        let mut bench = Bench::new();
        let _waiting = bench.fill(64 * 1024 - 1, 1);
        assert!(bench.is_open(true) && !bench.backlog.is_too_long());
        assert!(!bench.is_open(false));
        let one = bench.fill(1, 1);
        assert!(bench.backlog.is_too_long());
        drop(one);
        assert!(!bench.backlog.is_too_long());
        let _one = bench.fill(1, 64 << 20);
        assert!(bench.backlog.is_too_long());
    }

    #[tokio::test(start_paused = true)]
    async fn an_empty_stream_that_is_waited_for_opens_it_once_nothing_moves() {
        let second = Duration::from_secs(1);
        let mut bench = Bench::new();
        let mut waiting = bench.fill(2000, 1);
        assert!(!bench.is_open(false));
        tokio::time::advance(31 * second).await;
        assert!(bench.is_woken() && !bench.is_open(false), "nobody waits");
        let hungry = bench.backlog.hunger();
        tokio::time::advance(29 * second).await;
        waiting.pop();
        assert!(!bench.is_open(false));
        tokio::time::advance(29 * second).await;
        assert!(!bench.is_open(false), "something has moved");
        tokio::time::advance(2 * second).await;
        assert!(bench.is_woken() && bench.is_open(false));
        // It stays open until there is room, and then everything is as before.
        drop(hungry);
        waiting.pop();
        assert!(bench.is_open(false));
        waiting.truncate(1000);
        assert!(bench.is_open(false));
        waiting.extend(bench.fill(1000, 1));
        assert!(!bench.is_open(false));
    }
}
