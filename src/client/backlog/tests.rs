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
