//! Calls of a client's methods that wait for its answer.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::oneshot;

use crate::core::{HubProtocol, message::Outcome};

/// What a client answers, with a value in its own protocol.
pub(crate) type Answer = Outcome<'static, Vec<u8>>;

/// The calls of one connection. When it ends, so do they.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    waiting: Mutex<HashMap<String, oneshot::Sender<Answer>>>,
    begun: AtomicU64,
}

impl Calls {
    /// Begins a call, and gives its invocation id.
    pub(crate) fn begin(self: &Arc<Self>, protocol: HubProtocol) -> (String, Call) {
        let id = format!("rest-{}", self.begun.fetch_add(1, Ordering::Relaxed));
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), sender);
        (id.clone(), Call { protocol, calls: Arc::downgrade(self), id, answer })
    }

    /// Hands on what a client answers. An answer that no call waits for changes nothing.
    pub(crate) fn end<P: AsRef<[u8]>>(&self, id: &str, answer: Outcome<'_, P>) {
        let sender = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        if let Some(sender) = sender {
            let _ = sender.send(match answer {
                Outcome::Void => Outcome::Void,
                Outcome::Value(value) => Outcome::Value(value.as_ref().to_vec()),
                Outcome::Error(error) => Outcome::Error(error.into_owned().into()),
            });
        }
    }
}

/// A call under way. Dropping it forgets it.
#[derive(Debug)]
pub(crate) struct Call {
    /// What a value of the answer is written in.
    pub(crate) protocol: HubProtocol,
    calls: Weak<Calls>,
    id: String,
    answer: oneshot::Receiver<Answer>,
}

impl Call {
    /// The answer; `None` when the connection has ended.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
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
