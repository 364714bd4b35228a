//! What waits to be sent on one server connection.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::body::Bytes;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc},
    time::{self, Instant},
};

use crate::core::service_protocol::{self, ServiceMessage};
use crate::lock::lock;

/// So many bytes of clients may wait; then clients are not read until the app server has taken some.
pub(super) const ROOM: usize = 8 * 1024 * 1024;

/// So much may wait in all. An app server that makes more wait by its own messages is cut off.
const LIMIT: usize = 64 * 1024 * 1024;

/// `Microsoft.Azure.SignalR` (1.34.0) sends a call of a client's method, and only then begins to wait for its result. A result
/// that is there sooner is lost, and the call never ends. In the cloud none is so fast.
const LATE_TO_WAIT: Duration = Duration::from_millis(50);

/// Messages in a row, and the room that those of clients hold until they are sent.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

/// The sending half of a server connection's queue.
#[derive(Debug)]
pub(super) struct ToServer {
    queue: mpsc::UnboundedSender<Queued>,
    waiting: AtomicUsize,
    room: Arc<Semaphore>,
    sent: Notify,
    cut: Notify,
    /// What this app server needs between a call of a client's method and the result.
    late_to_wait: Duration,
    /// Until when it gets nothing.
    held: Mutex<Option<Instant>>,
}

impl ToServer {
    /// The queue to an app server with this `Asrs-User-Agent`.
    pub(super) fn new(user_agent: &str) -> (Self, mpsc::UnboundedReceiver<Queued>) {
        let (queue, queued) = mpsc::unbounded_channel();
        let is_official = user_agent.starts_with("Microsoft.Azure.SignalR");
        let to_server = Self {
            queue,
            waiting: AtomicUsize::new(0),
            room: Arc::new(Semaphore::new(ROOM)),
            sent: Notify::new(),
            cut: Notify::new(),
            late_to_wait: if is_official { LATE_TO_WAIT } else { Duration::ZERO },
            held: Mutex::default(),
        };
        (to_server, queued)
    }

    /// The app server has called a client's method: what comes of it is held back until it waits for that.
    pub(super) fn hold(&self) {
        if !self.late_to_wait.is_zero() {
            let until = Instant::now() + self.late_to_wait;
            *lock(&self.held) = Some(until);
        }
    }

    /// Waits until messages may be sent.
    pub(super) async fn released(&self) {
        let held = || *lock(&self.held);
        while let Some(until) = held().filter(|until| *until > Instant::now()) {
            time::sleep_until(until).await;
        }
    }

    /// Queues a message of the service's own.
    pub(super) fn push(&self, message: &ServiceMessage<'_>) {
        self.push_with(message, None);
    }

    /// Queues a message, with the room that was reserved for it.
    pub(super) fn push_with(&self, message: &ServiceMessage<'_>, room: Option<OwnedSemaphorePermit>) {
        let mut bytes = Vec::new();
        service_protocol::write(&mut bytes, message);
        if self.waiting.fetch_add(bytes.len(), Ordering::Relaxed) + bytes.len() > LIMIT {
            self.cut();
            return;
        }
        // An error means that the server connection has just ended.
        let _ = self.queue.send(Queued { bytes: bytes.into(), _room: room });
    }

    /// Waits for room for so many bytes of a client; `None` once the server connection has ended.
    pub(super) async fn reserve(&self, size: usize) -> Option<OwnedSemaphorePermit> {
        let size = u32::try_from(size.clamp(1, ROOM)).unwrap_or(u32::MAX);
        self.room.clone().acquire_many_owned(size).await.ok()
    }

    /// Waits until the app server has taken most of what it was sent, so that it cannot ask without end.
    pub(super) async fn has_room(&self) {
        loop {
            let sent = self.sent.notified();
            if self.waiting.load(Ordering::Relaxed) <= ROOM {
                return;
            }
            sent.await;
        }
    }

    /// Waits until something was sent, whether there is anything to send or not: what the WebSocket itself has to say, such
    /// as the answers to pings, has left then as well.
    pub(super) async fn flushed(&self) {
        let sent = self.sent.notified();
        // An error means that the server connection has just ended.
        let _ = self.queue.send(Queued { bytes: Bytes::new(), _room: None });
        sent.await;
    }

    /// So many bytes were sent.
    pub(super) fn sent(&self, size: usize) {
        self.waiting.fetch_sub(size, Ordering::Relaxed);
        self.sent.notify_one();
    }

    /// The server connection has ended: nobody waits for it any more.
    pub(super) fn end(&self) {
        self.room.close();
    }

    /// Ends the server connection at once.
    pub(super) fn cut(&self) {
        self.cut.notify_one();
    }

    /// Waits until the server connection is cut.
    pub(super) async fn was_cut(&self) {
        self.cut.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn clients_wait_for_room_and_servers_that_flood_are_cut() {
        let (to_server, mut queued) = ToServer::new("");
        let data = vec![0; ROOM];
        let message = |payload| ServiceMessage::ConnectionData {
            connection_id: "c".into(),
            payload,
            extensions: Default::default(),
        };
        let room = to_server.reserve(data.len() + 5).now_or_never().flatten();
        assert!(room.is_some());
        to_server.push_with(&message(&data), room);
        assert!(to_server.reserve(1).now_or_never().is_none());
        assert!(to_server.has_room().now_or_never().is_none());
        let sent = queued.recv().await.map(|queued| queued.bytes.len()).unwrap_or_default();
        to_server.sent(sent);
        assert!(to_server.reserve(1).now_or_never().flatten().is_some());
        assert!(to_server.has_room().now_or_never().is_some());

        for _ in 0..LIMIT / ROOM {
            assert!(to_server.was_cut().now_or_never().is_none());
            to_server.push(&message(&data));
        }
        assert!(to_server.was_cut().now_or_never().is_some());
        to_server.end();
        assert!(to_server.reserve(1).await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn results_come_no_sooner_than_the_official_app_server_waits_for_them() {
        for (user_agent, wanted) in
            [("Microsoft.Azure.SignalR/1.34.0 (.NET)", LATE_TO_WAIT), ("hubwire/0.1.0", Duration::ZERO)]
        {
            let (to_server, _queued) = ToServer::new(user_agent);
            let begun = Instant::now();
            to_server.released().await;
            assert_eq!(begun.elapsed(), Duration::ZERO);
            to_server.hold();
            to_server.released().await;
            assert!(begun.elapsed() >= wanted && begun.elapsed() <= wanted + Duration::from_millis(1));
        }
    }
}
