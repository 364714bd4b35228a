//! How many calls clients may make in a time.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use tokio::time::Instant;

use super::{caller::Caller, error::HubError};
use crate::lock::lock;
use crate::platform::lowercase;

/// How many calls may be made in a time. Calls of methods that do not exist count as well.
///
/// So many may be made at once; after that, they are let through as evenly as the time allows.
///
/// ```
/// use std::time::Duration;
///
/// use hubwire::server::{HubServer, RateLimit};
///
/// let hub = HubServer::builder()
///     .rate_limit(RateLimit::per_connection(50, Duration::from_secs(1)).closes())
///     .rate_limit(RateLimit::per_user(10, Duration::from_secs(60)).methods(["Upload", "Publish"]));
/// # drop(hub);
/// ```
#[derive(Debug, Clone)]
#[must_use = "pass it to `rate_limit`"]
pub struct RateLimit {
    of: Of,
    calls: u32,
    time: Duration,
    methods: Vec<String>,
    closes: bool,
}

#[derive(Debug, Clone, Copy)]
enum Of {
    Connection,
    User,
    Hub,
}

impl RateLimit {
    /// # Panics
    /// When no calls are allowed, or in no time.
    fn new(of: Of, calls: u32, time: Duration) -> Self {
        assert!(calls > 0 && !time.is_zero(), "a rate limit is of at least one call in a time");
        Self { of, calls, time, methods: Vec::new(), closes: false }
    }

    /// For each connection.
    ///
    /// # Panics
    /// When no calls are allowed, or in no time.
    pub fn per_connection(calls: u32, time: Duration) -> Self {
        Self::new(Of::Connection, calls, time)
    }

    /// For each user, whatever the number of its connections to this server. Connections that belong to nobody have it each
    /// to itself.
    ///
    /// # Panics
    /// When no calls are allowed, or in no time.
    pub fn per_user(calls: u32, time: Duration) -> Self {
        Self::new(Of::User, calls, time)
    }

    /// For all clients of the hub that are connected to this server together.
    ///
    /// # Panics
    /// When no calls are allowed, or in no time.
    pub fn per_hub(calls: u32, time: Duration) -> Self {
        Self::new(Of::Hub, calls, time)
    }

    /// For the calls of these methods together, by the names that clients call them by, in any case. Default: of all.
    ///
    /// [`build`](super::HubServerBuilder::build) panics when there is no such method, and no
    /// [`fallback`](super::HubServerBuilder::fallback) either: a misspelt one would not be limited.
    pub fn methods<S: AsRef<str>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.methods.extend(names.into_iter().map(|name| lowercase(name.as_ref())));
        self
    }

    /// Closes the connection, which the client then does not make again by itself. Default: the call fails with an error that
    /// says when to try again.
    pub fn closes(self) -> Self {
        Self { closes: true, ..self }
    }
}

/// A limit with what it has counted.
#[derive(Debug)]
pub(super) struct Limiter {
    rule: RateLimit,
    /// By connection or user.
    counted: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    /// When all that was let through will have been paid off: the generic cell rate algorithm.
    paid: HashMap<String, Instant>,
    /// At this size those are looked for that are paid off.
    sweep_at: usize,
}

const FIRST_SWEEP: usize = 256;

impl Limiter {
    pub(super) fn new(rule: RateLimit) -> Self {
        Self { rule, counted: Mutex::default() }
    }

    /// The methods whose calls it counts, in lower case; none for all.
    pub(super) fn methods(&self) -> &[String] {
        &self.rule.methods
    }

    pub(super) fn count(&self, caller: &Caller, target: &str) -> Result<(), HubError> {
        let rule = &self.rule;
        if !rule.methods.is_empty() && !rule.methods.contains(&lowercase(target)) {
            return Ok(());
        }
        let id = caller.connection_id();
        let key = match (rule.of, caller.user_id()) {
            (Of::Hub, _) => String::new(),
            (Of::User, Some(user)) => format!("u{user}"),
            (Of::User, None) | (Of::Connection, _) => format!("c{id}"),
        };
        let Err(wait) = self.take(key, Instant::now()) else { return Ok(()) };
        tracing::info!(id, target, "a client calls too often");
        let text =
            format!("The rate limit is exceeded; try again in {:.1} seconds.", wait.as_secs_f64().max(0.1));
        if rule.closes {
            caller.connection.outbox.close(Some(&text));
        }
        Err(HubError::new(text))
    }

    /// Lets something through, or says how long it has to wait.
    fn take(&self, key: String, now: Instant) -> Result<(), Duration> {
        let RateLimit { calls, time, .. } = self.rule;
        let each = time / calls;
        let mut counted = lock(&self.counted);
        let paid = counted.paid.get(&key).copied().unwrap_or(now).max(now) + each;
        if let Some(wait) = (paid - now).checked_sub(time).filter(|wait| !wait.is_zero()) {
            return Err(wait);
        }
        counted.paid.insert(key, paid);
        if counted.paid.len() >= counted.sweep_at.max(FIRST_SWEEP) {
            counted.paid.retain(|_, paid| *paid > now);
            counted.sweep_at = 2 * counted.paid.len();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_then_the_rate() {
        let limiter = Limiter::new(RateLimit::per_hub(4, Duration::from_secs(2)));
        let now = Instant::now();
        let take = |after: u64| limiter.take("a".to_owned(), now + Duration::from_millis(after));
        for _ in 0..4 {
            assert_eq!(take(0), Ok(()));
        }
        assert_eq!(take(0), Err(Duration::from_millis(500)));
        assert_eq!(take(400), Err(Duration::from_millis(100)));
        assert_eq!(take(500), Ok(()));
        assert!(take(500).is_err());
        assert_eq!(limiter.take("b".to_owned(), now), Ok(()));
        for _ in 0..4 {
            assert_eq!(take(60_000), Ok(()));
        }
        assert!(take(60_000).is_err());
    }

    #[test]
    fn who_has_paid_is_forgotten() {
        let limiter = Limiter::new(RateLimit::per_hub(1, Duration::from_secs(1)));
        let now = Instant::now();
        for number in 0..10_000_u64 {
            let _ = limiter.take(number.to_string(), now + Duration::from_millis(100 * number));
        }
        assert!(limiter.counted.lock().expect("it is whole").paid.len() <= FIRST_SWEEP);
    }
}
