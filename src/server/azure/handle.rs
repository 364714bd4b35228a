//! What others have of a server connection: its queue, what it can be told, how it is.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use crate::core::server_connection::Fin;

/// How many bytes may wait to be sent, or one message that is longer.
pub(super) const QUEUE: usize = 4 * 1024 * 1024;

/// What a server connection is told.
#[derive(Debug)]
pub(super) enum Command {
    AskStatus,
    Fin(Fin),
    Close,
}

/// A message that waits to be sent.
pub(super) struct Queued {
    pub(super) bytes: Vec<u8>,
    /// The client that it closes.
    pub(super) closes: Option<Box<str>>,
    _room: OwnedSemaphorePermit,
}

/// How a server connection is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LinkState {
    pub(super) is_ready: bool,
    pub(super) fin_done: bool,
    pub(super) clients: usize,
}

/// What others have of a server connection.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) queue: mpsc::UnboundedSender<Queued>,
    /// Closed when nothing may be sent any more.
    pub(super) room: Arc<Semaphore>,
    pub(super) commands: mpsc::UnboundedSender<Command>,
    pub(super) state: watch::Receiver<LinkState>,
}

impl Link {
    pub(super) fn tell(&self, command: Command) {
        // One that has ended needs to be told nothing.
        let _ = self.commands.send(command);
    }

    /// Puts a message into the queue, once it has room. `false`: it will not be sent.
    pub(super) async fn send(&self, bytes: Vec<u8>, closes: Option<Box<str>>) -> bool {
        if !self.state.borrow().is_ready {
            return false;
        }
        let size = u32::try_from(bytes.len().min(QUEUE)).unwrap_or(u32::MAX);
        match Arc::clone(&self.room).acquire_many_owned(size).await {
            Ok(room) => self.queue.send(Queued { bytes, closes, _room: room }).is_ok(),
            Err(_) => false,
        }
    }
}
