//! What waits to be sent on one server connection.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::body::Bytes;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};

use crate::core::service_protocol::{self, ServiceMessage};

/// So many bytes of clients may wait; then clients are not read until the app server has taken some.
pub(super) const ROOM: usize = 8 * 1024 * 1024;

/// So much may wait in all. An app server that makes more wait by its own messages is cut off.
const LIMIT: usize = 64 * 1024 * 1024;

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
}

impl ToServer {
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Queued>) {
        let (queue, queued) = mpsc::unbounded_channel();
        let (waiting, room) = (AtomicUsize::new(0), Arc::new(Semaphore::new(ROOM)));
        (Self { queue, waiting, room, sent: Notify::new(), cut: Notify::new() }, queued)
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
        let (to_server, mut queued) = ToServer::new();
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
}
