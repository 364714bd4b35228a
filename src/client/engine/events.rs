//! What happens to a connection, for those who listen.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_channel::oneshot;
use futures_core::Stream;

use crate::client::engine::guard::caught;
use crate::core::client::ConnectionError;
use crate::core::refresh::RefreshError;
use crate::lock::lock;
use crate::platform::Runtime;
use crate::platform::{MaybeSend, MaybeSync};

/// How many events are kept for a listener; past this, the oldest are dropped.
const KEPT: usize = 256;

/// What happens to a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionEvent {
    /// A start has begun.
    Connecting,
    /// The start has succeeded.
    Connected {
        /// The connection's public id; `None` when negotiate is skipped.
        connection_id: Option<String>,
    },
    /// The connection was lost, and the retry policy wants it back. Calls that were pending have ended.
    Reconnecting {
        /// Why it was lost.
        error: ConnectionError,
    },
    /// The connection is back, as a new one: groups that the server kept by connection id are gone.
    Reconnected {
        /// The new public id; `None` when negotiate is skipped.
        connection_id: Option<String>,
    },
    /// The connection has ended, or the start has failed.
    Disconnected {
        /// Why.
        error: ConnectionError,
    },
    /// The server has taken new credentials.
    AuthenticationRefreshed {
        /// How long they are valid, if the server told.
        lifetime: Option<Duration>,
    },
    /// The credentials could not be renewed; the connection goes on while the old ones are valid.
    AuthenticationRefreshFailed {
        /// Why.
        error: RefreshError,
    },
}

/// The events of a connection, from the moment of [`HubConnection::events`](crate::HubConnection::events) on. The
/// stream ends when the last handle of the connection is gone. If it is not read, only the newest 256 events are kept.
#[derive(Debug)]
pub struct ConnectionEvents(Arc<Mutex<Queue>>);

#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<ConnectionEvent>,
    ended: bool,
    waker: Option<Waker>,
}

impl Queue {
    fn change(queue: &Mutex<Self>, change: impl FnOnce(&mut Self)) {
        let waker = {
            let mut queue = lock(queue);
            change(&mut queue);
            queue.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl ConnectionEvents {
    /// The events and the stream that they arrive at.
    pub(super) fn new() -> (Box<dyn Listen>, Self) {
        let queue = Arc::<Mutex<Queue>>::default();
        (Box::new(Sender(Arc::downgrade(&queue))), Self(queue))
    }

    /// The next event.
    pub async fn next(&mut self) -> Option<ConnectionEvent> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for ConnectionEvents {
    type Item = ConnectionEvent;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ConnectionEvent>> {
        let mut queue = lock(&self.0);
        match queue.events.pop_front() {
            Some(event) => Poll::Ready(Some(event)),
            None if queue.ended => Poll::Ready(None),
            None => {
                queue.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// A callback of the user that is told of events.
pub(crate) type EventCallback = Arc<dyn HearEvent>;

pub(crate) trait HearEvent: MaybeSend + MaybeSync {
    fn hear(&self, event: ConnectionEvent);
}

impl<F: Fn(ConnectionEvent) + MaybeSend + MaybeSync> HearEvent for F {
    fn hear(&self, event: ConnectionEvent) {
        self(event);
    }
}

/// Hands every event to a callback, one after the other, and where it may block: one that is slow or panics holds up
/// nothing.
pub(crate) async fn call_back(mut events: ConnectionEvents, callback: EventCallback, runtime: Runtime) {
    while let Some(event) = events.next().await {
        let (done, is_done) = oneshot::channel();
        let mut heard = Some((Arc::clone(&callback), event, done));
        runtime.run_user_code(Box::new(move || {
            if let Some((callback, event, done)) = heard.take() {
                if caught(|| callback.hear(event)).is_none() {
                    tracing::error!("a callback for the connection's events panicked");
                }
                let _ = done.send(());
            }
            false
        }));
        // It fails when the runtime shuts down, and this task is about to be dropped.
        let _ = is_done.await;
    }
}

/// Is told of every event in the moment it happens.
pub(crate) trait Listen: MaybeSend {
    /// Takes an event. The connection is locked meanwhile, so this may only keep it. Returns whether the listener is
    /// still there.
    fn hear(&self, event: &ConnectionEvent) -> bool;
}

/// The listeners of a connection.
#[derive(Default)]
pub(super) struct Listeners(Vec<Box<dyn Listen>>);

impl Listeners {
    pub(super) fn add(&mut self, listener: Box<dyn Listen>) {
        self.0.push(listener);
    }

    pub(super) fn tell(&mut self, event: &ConnectionEvent) {
        self.0.retain(|listener| listener.hear(event));
    }
}

/// The connection's side of its events.
struct Sender(Weak<Mutex<Queue>>);

impl Listen for Sender {
    fn hear(&self, event: &ConnectionEvent) -> bool {
        let Some(queue) = self.0.upgrade() else { return false };
        Queue::change(&queue, |queue| {
            if queue.events.len() == KEPT {
                queue.events.pop_front();
            }
            queue.events.push_back(event.clone());
        });
        true
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if let Some(queue) = self.0.upgrade() {
            Queue::change(&queue, |queue| queue.ended = true);
        }
    }
}
