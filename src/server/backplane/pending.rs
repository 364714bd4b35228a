//! Answers of other servers that are waited for.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard},
};

use tokio::sync::oneshot;

use super::carrier::BackplaneError;

use crate::lock::lock;

type Sender<T> = oneshot::Sender<Result<T, BackplaneError>>;

/// Answers that are waited for, by their keys.
#[derive(Debug)]
pub(super) struct Pending<K: Eq + Hash + Clone, T>(Mutex<HashMap<K, Sender<T>>>);

/// An answer that is waited for. When it is dropped, nobody waits any more.
#[derive(Debug)]
pub(super) struct Wait<'p, K: Eq + Hash + Clone, T> {
    pending: &'p Pending<K, T>,
    key: K,
    answer: oneshot::Receiver<Result<T, BackplaneError>>,
}

impl<K: Eq + Hash + Clone, T> Default for Pending<K, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash + Clone, T> Pending<K, T> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Sender<T>>> {
        lock(&self.0)
    }

    /// Begins to wait.
    pub(super) fn wait(&self, key: K) -> Wait<'_, K, T> {
        let (sender, answer) = oneshot::channel();
        self.lock().insert(key.clone(), sender);
        Wait { pending: self, key, answer }
    }

    /// An answer is there.
    pub(super) fn answer(&self, key: &K, answer: T) {
        if let Some(sender) = self.lock().remove(key) {
            let _ = sender.send(Ok(answer));
        }
    }

    /// No answer may come to anybody who waits now.
    pub(super) fn fail(&self, error: &BackplaneError) {
        let waiting: Vec<_> = self.lock().drain().collect();
        for (_, sender) in waiting {
            let _ = sender.send(Err(error.clone()));
        }
    }
}

impl<K: Eq + Hash + Clone, T> Wait<'_, K, T> {
    /// The answer; an error when the connection to the backplane breaks.
    pub(super) async fn answer(mut self) -> Result<T, BackplaneError> {
        let answer = (&mut self.answer).await;
        answer.unwrap_or_else(|_| Err(BackplaneError::Unavailable("the hub has been dropped".into())))
    }
}

impl<K: Eq + Hash + Clone, T> Drop for Wait<'_, K, T> {
    fn drop(&mut self) {
        self.pending.lock().remove(&self.key);
    }
}
