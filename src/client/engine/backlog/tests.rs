//! What is counted, and who is woken.

use std::task::Wake;

use super::*;

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A backlog, and whether the driver's task has been woken since it last asked.
struct Bench {
    backlog: Arc<Backlog>,
    woken: Arc<Woken>,
}

impl Bench {
    fn new() -> Self {
        Self { backlog: Arc::new(Backlog::default()), woken: Arc::new(Woken(AtomicBool::new(false))) }
    }

    fn load(&self) -> Load {
        self.woken.0.store(false, Ordering::SeqCst);
        let waker = Arc::clone(&self.woken).into();
        self.backlog.load(&Context::from_waker(&waker))
    }

    fn is_woken(&self) -> bool {
        self.woken.0.load(Ordering::SeqCst)
    }

    fn fill(&self, messages: usize, bytes: usize) -> Vec<Waiting> {
        (0..messages).map(|_| self.backlog.enter(bytes)).collect()
    }
}

#[test]
fn either_limit_is_full_and_the_last_step_below_wakes() {
    for (messages, bytes) in [(1024, 10), (8, 1 << 20)] {
        let bench = Bench::new();
        let mut waiting = bench.fill(messages - 1, bytes);
        assert!(!bench.load().is_full);
        waiting.extend(bench.fill(2, bytes));
        assert!(bench.load().is_full);
        waiting.pop();
        assert!(!bench.is_woken());
        assert_eq!(bench.load(), Load { is_full: true, taken: 1, is_hungry: false });
        waiting.pop();
        assert!(bench.is_woken() && !bench.load().is_full);
    }
}

#[test]
fn the_hard_limit_is_another() {
    let bench = Bench::new();
    let _waiting = bench.fill(64 * 1024 - 1, 1);
    assert!(bench.load().is_full && !bench.backlog.is_too_long());
    let one = bench.fill(1, 1);
    assert!(bench.backlog.is_too_long());
    drop(one);
    assert!(!bench.backlog.is_too_long());
    let _one = bench.fill(1, 64 << 20);
    assert!(bench.backlog.is_too_long());
}

#[test]
fn many_wait_as_one_and_one_longer_than_the_rest() {
    let bench = Bench::new();
    let mut all = bench.backlog.enter_all(1100, 10 << 20);
    assert!(bench.load().is_full);
    let one = all.split(9 << 20);
    drop(all);
    assert_eq!(bench.load().taken, 1099, "its bytes are too many still");
    assert!(!bench.is_woken());
    drop(one);
    assert!(bench.is_woken() && !bench.load().is_full);
}

#[test]
fn those_who_wait_for_an_empty_stream_are_told() {
    let bench = Bench::new();
    let _waiting = bench.fill(2000, 1);
    assert!(!bench.load().is_hungry);
    assert!(!bench.is_woken());
    let hungry = bench.backlog.hunger();
    assert!(bench.is_woken(), "otherwise the machine would learn of it with the next stall only");
    assert!(bench.load().is_hungry);
    drop(hungry);
    assert!(!bench.load().is_hungry);
}
