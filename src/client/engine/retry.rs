//! When to try again.

use std::fmt;
use std::future::{Future, ready};
use std::sync::Arc;
use std::time::Duration;

use crate::core::client::{DEFAULT_RETRY_DELAYS, RetryContext};
use crate::platform::{BoxFuture, MaybeSend, MaybeSync};

/// When to try again after the connection was lost. The default is the official clients': after 0, 2, 10
/// and 30 seconds, and then no more.
///
/// ```
/// use std::time::Duration;
///
/// use hubwire::RetryPolicy;
///
/// // Five times, a second apart.
/// let patient = RetryPolicy::delays([Duration::from_secs(1); 5]);
/// // Forever, at growing intervals, unless the server rejects this user.
/// let endless = RetryPolicy::new(|context| {
///     let seconds = 2_u64.saturating_pow(context.previous_retry_count).min(60);
///     (context.reason.status() != Some(403)).then(|| Duration::from_secs(seconds))
/// });
/// # let _ = (patient, endless);
/// ```
#[derive(Clone)]
pub struct RetryPolicy(Arc<dyn Decide>);

trait Decide: MaybeSend + MaybeSync {
    fn decide(&self, context: RetryContext) -> BoxFuture<Option<Duration>>;
}

impl<F: Fn(RetryContext) -> BoxFuture<Option<Duration>> + MaybeSend + MaybeSync> Decide for F {
    fn decide(&self, context: RetryContext) -> BoxFuture<Option<Duration>> {
        self(context)
    }
}

impl RetryPolicy {
    /// One attempt after each of these delays. A server that asks for more time (`Retry-After`) gets it.
    #[must_use]
    pub fn delays(delays: impl Into<Vec<Duration>>) -> Self {
        let delays = delays.into();
        Self::new(move |context| context.delay_of(&delays))
    }

    /// Decides by a function: the delay before the next attempt, or `None` to give up. If it panics, that is to give up.
    pub fn new(decide: impl Fn(&RetryContext) -> Option<Duration> + MaybeSend + MaybeSync + 'static) -> Self {
        Self(Arc::new(move |context: RetryContext| -> BoxFuture<Option<Duration>> {
            Box::pin(ready(decide(&context)))
        }))
    }

    /// As [`new`](Self::new), for a decision that has to wait for something: an answer from the user, a look at a
    /// status page. It may take as long as a request (`with_request_timeout`).
    ///
    /// ```
    /// # async fn user_wants_to_go_on() -> bool { true }
    /// use std::time::Duration;
    ///
    /// let asking = hubwire::RetryPolicy::new_async(|_context| async {
    ///     user_wants_to_go_on().await.then_some(Duration::ZERO)
    /// });
    /// # let _ = asking;
    /// ```
    pub fn new_async<F>(decide: impl Fn(RetryContext) -> F + MaybeSend + MaybeSync + 'static) -> Self
    where
        F: Future<Output = Option<Duration>> + MaybeSend + 'static,
    {
        Self(Arc::new(move |context: RetryContext| -> BoxFuture<Option<Duration>> {
            Box::pin(decide(context))
        }))
    }

    /// The function itself may panic, so it is called when the future is polled.
    pub(crate) fn decide(&self, context: RetryContext) -> BoxFuture<Option<Duration>> {
        let policy = Arc::clone(&self.0);
        Box::pin(async move { policy.decide(context).await })
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::delays(DEFAULT_RETRY_DELAYS)
    }
}

impl fmt::Debug for RetryPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RetryPolicy(..)")
    }
}
