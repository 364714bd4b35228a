//! Calls of a client's methods that wait for its answer.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::oneshot;

/// What a client answers: JSON, or the text of an error.
pub(super) type Answer = Result<String, String>;

/// The calls of one connection. When it ends, so do they.
#[derive(Debug, Default)]
pub(super) struct Calls {
    waiting: Mutex<HashMap<String, oneshot::Sender<Answer>>>,
    begun: AtomicU64,
}

impl Calls {
    /// Begins a call, and gives its invocation id.
    pub(super) fn begin(self: &Arc<Self>) -> (String, Call) {
        let id = format!("rest-{}", self.begun.fetch_add(1, Ordering::Relaxed));
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), sender);
        (id.clone(), Call { calls: Arc::downgrade(self), id, answer })
    }

    /// Hands on what a client answers. Answers that nobody waits for are nothing.
    pub(super) fn end(&self, id: &str, answer: Answer) {
        let sender = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        if let Some(sender) = sender {
            let _ = sender.send(answer);
        }
    }
}

/// A call under way. Dropping it forgets it.
#[derive(Debug)]
pub(super) struct Call {
    calls: Weak<Calls>,
    id: String,
    answer: oneshot::Receiver<Answer>,
}

impl Call {
    /// The answer; `None` when the connection has ended.
    pub(super) async fn answer(&mut self) -> Option<Answer> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(calls) = self.calls.upgrade() {
            calls.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
        }
    }
}
