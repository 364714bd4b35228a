//! Threads for user code that may block: handlers, and callbacks for events.
//!
//! They are those of tokio's `spawn_blocking`, which every runtime has, one of a single thread too: there, a task that
//! blocks would stop the sockets and timers of all connections; and on a runtime of several threads it may, since a
//! thread that is blocked keeps the task that was woken last to itself, and may be the one that watches the sockets.
//!
//! ```text
//!   connections with calls ──▶ ready ──▶ as many threads as there are processors,
//!                                        and more as long as all of them are blocked
//! ```
//!
//! So a message to each of a thousand connections takes two threads, not a thousand.

use std::collections::VecDeque;
use std::mem;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use tokio::runtime::{Handle, Id};

use crate::lock::lock;

/// Code of the user that may take long. Returns whether there is more to do.
pub(crate) type UserCode = Box<dyn FnMut() -> bool + Send>;

/// When nothing that is ready has begun for so long, all threads are taken to be blocked, and there are more.
const PATIENCE: Duration = Duration::from_millis(20);

/// How many threads there are while none is blocked.
fn usual() -> usize {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    *PROCESSORS.get_or_init(|| std::thread::available_parallelism().map_or(2, NonZeroUsize::get).max(2))
}

/// The threads of one runtime.
#[derive(Default)]
pub(super) struct Threads(Mutex<State>);

#[derive(Default)]
struct State {
    ready: VecDeque<UserCode>,
    /// How many threads there are.
    running: usize,
    /// How much of what was ready has begun, ever.
    begun: u64,
    /// Whether a task looks after what is ready.
    is_watched: bool,
}

impl Threads {
    pub(super) fn of(runtime: &Handle) -> Arc<Self> {
        static KNOWN: Mutex<Vec<(Id, Weak<Threads>)>> = Mutex::new(Vec::new());
        let mut known = lock(&KNOWN);
        known.retain(|(_, threads)| threads.strong_count() > 0);
        let id = runtime.id();
        let found = known.iter().find(|(known, _)| *known == id).and_then(|(_, threads)| threads.upgrade());
        found.unwrap_or_else(|| {
            let threads = Arc::default();
            known.push((id, Arc::downgrade(&threads)));
            threads
        })
    }

    pub(super) fn run(self: &Arc<Self>, runtime: &Handle, code: UserCode) {
        let mut state = lock(&self.0);
        if state.running < usual() {
            state.running += 1;
            drop(state);
            return self.begin(runtime, code);
        }
        state.ready.push_back(code);
        if !mem::replace(&mut state.is_watched, true) {
            drop(state);
            let watch = Watch { threads: Arc::clone(self), is_done: false };
            runtime.spawn(watch.run(runtime.clone()));
        }
    }

    fn begin(self: &Arc<Self>, runtime: &Handle, code: UserCode) {
        let thread = Thread { threads: Arc::clone(self), is_counted: true };
        runtime.spawn_blocking(move || thread.run(code));
    }
}

impl std::fmt::Debug for Threads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Threads").finish_non_exhaustive()
    }
}

/// One of the threads, or what is going to be one.
struct Thread {
    threads: Arc<Threads>,
    is_counted: bool,
}

impl Thread {
    fn run(mut self, mut code: UserCode) {
        loop {
            let has_more = code();
            let mut state = lock(&self.threads.0);
            if has_more {
                if state.ready.is_empty() {
                    continue;
                }
                state.ready.push_back(code);
            }
            let Some(next) = state.ready.pop_front() else {
                // Under the same lock: what becomes ready from now on finds one thread less.
                state.running -= 1;
                drop(state);
                self.is_counted = false;
                return;
            };
            state.begun += 1;
            drop(state);
            code = next;
        }
    }
}

impl Drop for Thread {
    /// The runtime has shut down before it became a thread, or it has panicked.
    fn drop(&mut self) {
        if !self.is_counted {
            return;
        }
        let mut state = lock(&self.threads.0);
        state.running -= 1;
        let forsaken = if state.running == 0 { mem::take(&mut state.ready) } else { VecDeque::new() };
        drop(state);
        drop(forsaken);
    }
}

/// Looks after what is ready, for as long as there is any.
struct Watch {
    threads: Arc<Threads>,
    is_done: bool,
}

impl Watch {
    async fn run(mut self, runtime: Handle) {
        let mut begun = lock(&self.threads.0).begun;
        loop {
            tokio::time::sleep(PATIENCE).await;
            let more: Vec<_> = {
                let mut state = lock(&self.threads.0);
                if state.ready.is_empty() {
                    // Under the same lock: what becomes ready from now on finds that nobody looks after it.
                    state.is_watched = false;
                    self.is_done = true;
                    return;
                }
                // Twice as many each time, so that a thousand blocked handlers do not take a thousand times as long.
                let more = if state.begun == begun { state.running.min(state.ready.len()) } else { 0 };
                let more: Vec<_> = state.ready.drain(..more).collect();
                state.running += more.len();
                state.begun += more.len() as u64;
                begun = state.begun;
                more
            };
            for code in more {
                self.threads.begin(&runtime, code);
            }
        }
    }
}

impl Drop for Watch {
    /// When it is not done, the runtime has shut down.
    fn drop(&mut self) {
        if !self.is_done {
            lock(&self.threads.0).is_watched = false;
        }
    }
}
