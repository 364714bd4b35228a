//! How a method hears that nobody wants its result any more.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Of a call, or of a connection. It is set once, and stays so.
#[derive(Debug, Default)]
pub(super) struct Cancel {
    is_cancelled: AtomicBool,
    told: Notify,
}

impl Cancel {
    pub(super) fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Release);
        self.told.notify_waiters();
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Acquire)
    }

    pub(super) async fn cancelled(&self) {
        // From here on it hears of it.
        let told = self.told.notified();
        if !self.is_cancelled() {
            told.await;
        }
    }
}
