//! Whose turn it is among the calls of one client.
//!
//! As many run at a time as the hub allows, and none before the client is let in; the others wait, in order.

use std::{
    collections::VecDeque,
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};

use tokio::runtime::Handle;

use crate::client::caught;
use crate::lock::lock;

/// A call that waits, which takes its turn along.
pub(super) trait Waits: Send + Sized + 'static {
    /// Runs it.
    fn run(self, turn: Turn<Self>) -> impl Future<Output = ()> + Send;
}

#[derive(Debug)]
pub(super) struct Turns<W>(Mutex<State<W>>);

#[derive(Debug)]
struct State<W> {
    phase: Phase,
    /// How many more may run.
    free: usize,
    waiting: VecDeque<W>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The client is not let in yet.
    Opening,
    Open,
    /// The client has gone, or is not let in.
    Closed,
}

/// The right to run, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn<W: Waits>(Arc<Turns<W>>);

impl<W: Waits> Turns<W> {
    /// Nobody is let in yet.
    pub(super) fn new(parallel: usize) -> Self {
        Self(Mutex::new(State { phase: Phase::Opening, free: parallel, waiting: VecDeque::new() }))
    }

    fn lock(&self) -> MutexGuard<'_, State<W>> {
        lock(&self.0)
    }

    /// A turn, if one is free: who waits has none to give away.
    pub(super) fn take(self: &Arc<Self>) -> Option<Turn<W>> {
        let mut state = self.lock();
        let is_free = state.phase == Phase::Open && state.free > 0;
        is_free.then(|| {
            state.free -= 1;
            Turn(self.clone())
        })
    }

    /// Keeps a call until it is its turn.
    pub(super) fn wait(&self, call: W) {
        let mut state = self.lock();
        if state.phase != Phase::Closed {
            state.waiting.push_back(call);
        }
    }

    /// The client is let in. Whether it is still there.
    pub(super) fn open(self: &Arc<Self>) -> bool {
        let mut state = self.lock();
        if state.phase == Phase::Closed {
            return false;
        }
        state.phase = Phase::Open;
        let count = state.free.min(state.waiting.len());
        state.free -= count;
        let first: Vec<_> = state.waiting.drain(..count).collect();
        drop(state);
        first.into_iter().for_each(|call| begin(call.run(Turn(self.clone()))));
        true
    }

    /// No call begins any more. Whether the client had been let in.
    pub(super) fn close(&self) -> bool {
        let mut state = self.lock();
        let phase = mem::replace(&mut state.phase, Phase::Closed);
        let waiting = mem::take(&mut state.waiting);
        drop(state);
        drop(waiting);
        phase == Phase::Open
    }
}

impl<W: Waits> Drop for Turn<W> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        // While the runtime shuts down, nothing begins.
        match Handle::try_current().ok().zip(state.waiting.pop_front()) {
            Some((runtime, next)) => {
                drop(state);
                runtime.spawn(next.run(Self(self.0.clone())));
            }
            None => state.free += 1,
        }
    }
}

/// Runs something up to where it waits, and the rest in a task of its own: most things do not wait.
pub(super) fn begin(future: impl Future<Output = ()> + Send + 'static) {
    let mut future = Box::pin(future);
    if poll_once(&mut future).is_some_and(|poll| poll.is_pending()) {
        tokio::spawn(future);
    }
}

/// Runs something up to where it waits. It is woken by what it waits for once it has been polled again. `None` if it panics.
pub(super) fn poll_once<F: Future>(future: &mut Pin<Box<F>>) -> Option<Poll<F::Output>> {
    caught(|| future.as_mut().poll(&mut Context::from_waker(Waker::noop())))
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    /// Says its name, and then holds its turn.
    struct Call(u32, mpsc::UnboundedSender<(u32, Turn<Self>)>);

    impl Waits for Call {
        async fn run(self, turn: Turn<Self>) {
            let _ = self.1.send((self.0, turn));
        }
    }

    #[tokio::test]
    async fn calls_run_in_order_and_not_more_than_may() {
        let turns = Arc::new(Turns::new(2));
        let (sender, mut begun) = mpsc::unbounded_channel();
        assert!(turns.take().is_none(), "nobody is let in");
        (0..3).for_each(|name| turns.wait(Call(name, sender.clone())));
        assert!(turns.open());
        let (first, second) = (begun.recv().await, begun.recv().await);
        let (Some((0, first)), Some((1, second))) = (first, second) else { panic!("the order") };
        assert!(begun.try_recv().is_err() && turns.take().is_none());
        drop(second);
        let Some((2, third)) = begun.recv().await else { panic!("the order") };
        drop(first);
        let free = turns.take().expect("one is free");
        assert!(turns.take().is_none());
        turns.wait(Call(3, sender.clone()));
        assert!(turns.close(), "it was let in");
        drop((third, free));
        turns.wait(Call(4, sender));
        assert!(turns.take().is_none() && !turns.open());
        assert!(begun.recv().await.is_none(), "who has gone calls nothing more");
    }
}
