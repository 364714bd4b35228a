//! What is done about clients that do not keep up.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::platform::lowercase;

/// So much may wait for a client before it is slow, in bytes.
const THRESHOLD: usize = 64 * 1024;

/// What is done about a client that takes messages more slowly than they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SlowConsumers {
    /// Messages wait, up to a bound. Beyond it the connection is closed, since a client cannot know of single messages that
    /// it did not get.
    #[default]
    Close,
    /// With each new message, the oldest of the same method that waits is dropped. Those that stay keep their order.
    DropOldest,
    /// With each new message, all others of the same method that wait are dropped: for values of which only the latest
    /// counts, such as prices and positions. It takes the place of the first of them.
    KeepLatest,
}

pub(crate) use SlowConsumers as Slow;

/// What is done by the method that a message calls.
#[derive(Debug)]
pub(crate) struct SlowRules {
    /// A client is slow when so many bytes wait for it.
    pub(crate) threshold: usize,
    default: Slow,
    /// By names in lower case, as clients compare them.
    by_target: HashMap<String, Slow>,
    dropped: AtomicU64,
    closed: AtomicU64,
}

impl Default for SlowRules {
    fn default() -> Self {
        Self {
            threshold: THRESHOLD,
            default: Slow::Close,
            by_target: HashMap::new(),
            dropped: AtomicU64::new(0),
            closed: AtomicU64::new(0),
        }
    }
}

impl SlowRules {
    pub(crate) fn set_default(&mut self, how: Slow) {
        self.default = how;
    }

    pub(crate) fn set(&mut self, target: &str, how: Slow) {
        self.by_target.insert(lowercase(target), how);
    }

    /// Whether nothing is ever dropped.
    pub(crate) fn keep_all(&self) -> bool {
        self.default == Slow::Close && self.by_target.is_empty()
    }

    pub(crate) fn of(&self, target: &str) -> Slow {
        if self.by_target.is_empty() {
            return self.default;
        }
        self.by_target.get(&lowercase(target)).copied().unwrap_or(self.default)
    }

    pub(crate) fn dropped(&self, messages: u64) {
        self.dropped.fetch_add(messages, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        super::host::metrics::dropped(messages);
    }

    pub(crate) fn closed(&self) {
        self.closed.fetch_add(1, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        super::host::metrics::closed();
    }

    /// How many messages were dropped, and how many connections closed.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.dropped.load(Ordering::Relaxed), self.closed.load(Ordering::Relaxed))
    }
}
