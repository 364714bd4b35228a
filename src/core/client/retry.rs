//! When to connect again.

use std::sync::Arc;
use std::time::Duration;

use crate::core::client::ConnectionError;

/// What a retry policy decides by.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryContext {
    /// How many attempts have failed since the connection was lost; 0 the first time.
    pub previous_retry_count: u32,
    /// How long ago the connection was lost.
    pub elapsed: Duration,
    /// Why it was lost, or why the last attempt failed.
    pub reason: Arc<ConnectionError>,
}

/// When to try again: the official clients' delays, 0, 2, 10 and 30 seconds, and then no more.
pub const DEFAULT_RETRY_DELAYS: [Duration; 4] =
    [Duration::ZERO, Duration::from_secs(2), Duration::from_secs(10), Duration::from_secs(30)];

impl RetryContext {
    /// What a policy is asked with, for its tests.
    #[must_use]
    pub fn new(previous_retry_count: u32, elapsed: Duration, reason: ConnectionError) -> Self {
        Self { previous_retry_count, elapsed, reason: Arc::new(reason) }
    }

    /// The delay of a list, one entry for each attempt. A server that asks for more time by `Retry-After` gets it.
    #[must_use]
    pub fn delay_of(&self, delays: &[Duration]) -> Option<Duration> {
        let delay = delays.get(usize::try_from(self.previous_retry_count).ok()?)?;
        Some(self.reason.retry_after().unwrap_or_default().max(*delay))
    }
}
