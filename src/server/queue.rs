//! A queue from many to one task that takes next to no memory while it is empty, unlike tokio's channels, which have room
//! for 32 from the start: most connections wait most of the time.

use std::{
    collections::VecDeque,
    future::poll_fn,
    mem,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};

use tokio::sync::Notify;

use crate::lock::lock;

/// An empty queue keeps so much room.
const KEPT: usize = 8;

/// A queue without a bound: the sender has to count.
pub(crate) fn queue<T>() -> (Sender<T>, Receiver<T>) {
    let state = State { waiting: VecDeque::new(), has_sender: true, has_receiver: true, receiver: None };
    let shared = Arc::new(Shared { state: Mutex::new(state), closed: Notify::new() });
    (Sender(shared.clone()), Receiver(shared))
}

#[derive(Debug)]
pub(crate) struct Sender<T>(Arc<Shared<T>>);

#[derive(Debug)]
pub(crate) struct Receiver<T>(Arc<Shared<T>>);

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    /// Tells that the receiver is gone.
    closed: Notify,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<T>,
    has_sender: bool,
    has_receiver: bool,
    /// Wakes the receiver.
    receiver: Option<Waker>,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        lock(&self.state)
    }
}

impl<T> State<T> {
    /// Gives room back once it is not needed.
    fn taken(&mut self) {
        if self.waiting.is_empty() && self.waiting.capacity() > KEPT {
            self.waiting = VecDeque::new();
        }
    }
}

impl<T> Sender<T> {
    /// Queues something. It comes back when nobody receives any more.
    pub(crate) fn send(&self, item: T) -> Result<(), T> {
        let mut state = self.0.lock();
        if !state.has_receiver {
            return Err(item);
        }
        state.waiting.push_back(item);
        let receiver = state.receiver.take();
        drop(state);
        if let Some(receiver) = receiver {
            receiver.wake();
        }
        Ok(())
    }

    pub(crate) fn is_closed(&self) -> bool {
        !self.0.lock().has_receiver
    }

    /// Waits until nobody receives any more.
    pub(crate) async fn closed(&self) {
        let closed = self.0.closed.notified();
        if !self.is_closed() {
            closed.await;
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.has_sender = false;
        let receiver = state.receiver.take();
        drop(state);
        if let Some(receiver) = receiver {
            receiver.wake();
        }
    }
}

impl<T> Receiver<T> {
    /// Waits for something, and takes up to so many. 0 when nothing will come any more.
    pub(crate) async fn recv_many(&mut self, batch: &mut Vec<T>, limit: usize) -> usize {
        poll_fn(|cx| self.poll_many(cx, batch, limit)).await
    }

    /// As [`recv_many`](Self::recv_many).
    pub(crate) fn poll_many(&self, cx: &Context<'_>, batch: &mut Vec<T>, limit: usize) -> Poll<usize> {
        let mut state = self.0.lock();
        let count = state.waiting.len().min(limit);
        if count == 0 && state.has_sender {
            match &mut state.receiver {
                Some(waker) => waker.clone_from(cx.waker()),
                waker => *waker = Some(cx.waker().clone()),
            }
            return Poll::Pending;
        }
        batch.extend(state.waiting.drain(..count));
        state.taken();
        Poll::Ready(count)
    }

    /// Takes what is there already.
    pub(crate) fn try_recv(&mut self) -> Option<T> {
        let mut state = self.0.lock();
        let item = state.waiting.pop_front();
        state.taken();
        item
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().waiting.is_empty()
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.has_receiver = false;
        let waiting = mem::take(&mut state.waiting);
        drop(state);
        drop(waiting);
        self.0.closed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn everything_comes_in_order_and_room_is_given_back() {
        let (sender, mut receiver) = queue();
        let mut batch = Vec::new();
        assert!(receiver.recv_many(&mut batch, 9).now_or_never().is_none());
        let receiving = tokio::spawn(async move {
            while receiver.recv_many(&mut batch, 9).await > 0 {}
            (receiver, batch)
        });
        for number in 0..1000 {
            assert_eq!(sender.send(number), Ok(()));
            if number % 100 == 0 {
                tokio::task::yield_now().await;
            }
        }
        drop(sender);
        let (receiver, batch) = receiving.await.expect("no panic");
        assert!(batch.into_iter().eq(0..1000));
        assert!(receiver.is_empty() && receiver.0.lock().waiting.capacity() <= KEPT);
    }

    #[tokio::test]
    async fn who_sends_hears_that_nobody_receives() {
        let (sender, mut receiver) = queue();
        assert_eq!((sender.send(1), sender.send(2)), (Ok(()), Ok(())));
        assert_eq!(receiver.try_recv(), Some(1));
        let closing = tokio::spawn(async move {
            sender.closed().await;
            sender
        });
        tokio::task::yield_now().await;
        drop(receiver);
        let sender = closing.await.expect("no panic");
        assert!(sender.is_closed() && sender.send(3) == Err(3));
        sender.closed().await;
    }
}
