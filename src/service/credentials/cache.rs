//! A cache of one value that is fetched over the network and ages: an Entra token, an access key.
//!
//! - Single flight: however many callers wait, one request is under way. It runs in a task of its own, so that a
//!   caller that goes away does not take it along.
//! - Renewed in the background when due, while callers keep getting the value at hand.
//! - Stale if error: a failed renewal changes nothing until the value really ends.

use std::{
    error::Error,
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, SystemTime},
};

use tokio::{sync::watch, time::Instant};

use crate::{core::ErrorChain, lock::lock, service::credentials::error::CredentialError};

type BoxFuture<T> = std::pin::Pin<Box<dyn Future<Output = T> + Send>>;
type Fetch<T, E> = Box<dyn Fn() -> BoxFuture<Result<Fresh<T>, E>> + Send + Sync>;
type Flight<T, E> = watch::Receiver<Option<Result<Lease<T>, E>>>;

/// How long a failed background renewal is left alone, at least and at most.
const RETRY_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// A value just fetched.
pub(in crate::service) struct Fresh<T> {
    pub(in crate::service) value: T,
    /// When to fetch the next one in the background.
    pub(in crate::service) refresh_after: Duration,
    /// When it must not be used any more.
    pub(in crate::service) usable_for: Duration,
}

/// A value from the cache. The generation tells a renewal which value was found wanting.
#[derive(Clone)]
pub(in crate::service) struct Lease<T> {
    pub(in crate::service) value: T,
    generation: u64,
}

struct Entry<T> {
    lease: Lease<T>,
    refresh_at: Instant,
    expires_at: Instant,
    /// The same by the other clock: the monotonic one stands still while a machine sleeps.
    expires_at_wall: SystemTime,
}

impl<T> Entry<T> {
    fn is_usable(&self, now: Instant, wall: SystemTime) -> bool {
        now < self.expires_at && wall < self.expires_at_wall
    }
}

struct State<T, E> {
    entry: Option<Entry<T>>,
    flight: Option<Flight<T, E>>,
    fetched: u64,
}

impl<T: Clone, E> State<T, E> {
    fn keep(&mut self, Fresh { value, refresh_after, usable_for }: Fresh<T>) -> Lease<T> {
        self.fetched += 1;
        let (now, lease) = (Instant::now(), Lease { value, generation: self.fetched });
        self.entry = Some(Entry {
            lease: lease.clone(),
            refresh_at: now + refresh_after,
            expires_at: now + usable_for,
            expires_at_wall: SystemTime::now() + usable_for,
        });
        lease
    }
}

struct Inner<T, E> {
    what: &'static str,
    fetch: Fetch<T, E>,
    state: Mutex<State<T, E>>,
}

pub(in crate::service) struct Cache<T, E>(Arc<Inner<T, E>>);

impl<T, E> Clone for Cache<T, E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T, E> fmt::Debug for Cache<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cache({})", self.0.what)
    }
}

impl<T, E> Inner<T, E> {
    fn state(&self) -> MutexGuard<'_, State<T, E>> {
        lock(&self.state)
    }
}

impl<T, E> Cache<T, E>
where
    T: Clone + Send + Sync + 'static,
    E: Error + From<CredentialError> + Clone + Send + Sync + 'static,
{
    /// `what` is for logs. `fetch` has to end by itself: nothing here limits its time.
    pub(in crate::service) fn new<F>(
        what: &'static str,
        fetch: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Fresh<T>, E>> + Send + 'static,
    {
        let state = State { entry: None, flight: None, fetched: 0 };
        Self(Arc::new(Inner { what, fetch: Box::new(move || Box::pin(fetch())), state: Mutex::new(state) }))
    }

    /// Whether nothing has been fetched yet.
    pub(in crate::service) fn is_empty(&self) -> bool {
        self.0.state().entry.is_none()
    }

    /// The present value, or the next one when there is none.
    pub(in crate::service) async fn lease(&self) -> Result<Lease<T>, E> {
        let flight = {
            let mut state = self.0.state();
            let now = Instant::now();
            match &state.entry {
                Some(entry) if entry.is_usable(now, SystemTime::now()) => {
                    let lease = entry.lease.clone();
                    if now >= entry.refresh_at {
                        self.board(&mut state);
                    }
                    return Ok(lease);
                }
                _ => self.board(&mut state),
            }
        };
        match wait(flight).await {
            Ok(lease) => Ok(lease),
            Err(error) => self.usable().ok_or(error),
        }
    }

    /// A newer value than the one given, which did not work. A second caller gets what the first one fetched.
    pub(in crate::service) async fn renew(&self, stale: &Lease<T>) -> Result<Lease<T>, E> {
        let flight = {
            let mut state = self.0.state();
            match &state.entry {
                Some(entry) if entry.lease.generation != stale.generation => return Ok(entry.lease.clone()),
                _ => self.board(&mut state),
            }
        };
        wait(flight).await
    }

    /// Takes a value that came in another way. It is there for those as well who wait for a fetch that fails.
    #[cfg(feature = "server")]
    pub(in crate::service) fn put(&self, fresh: Fresh<T>) {
        self.0.state().keep(fresh);
    }

    /// The present value, if it may still be used.
    fn usable(&self) -> Option<Lease<T>> {
        let state = self.0.state();
        let entry = state.entry.as_ref()?;
        entry.is_usable(Instant::now(), SystemTime::now()).then(|| entry.lease.clone())
    }

    /// Joins the fetch under way, or starts one.
    fn board(&self, state: &mut State<T, E>) -> Flight<T, E> {
        if let Some(flight) = &state.flight {
            return flight.clone();
        }
        let (sender, flight) = watch::channel(None);
        state.flight = Some(flight.clone());
        let mut landing = Landing { inner: Arc::clone(&self.0), landed: false };
        tokio::spawn(async move {
            let result = (landing.inner.fetch)().await;
            let result = landing.arrive(result);
            sender.send_replace(Some(result));
        });
        flight
    }
}

async fn wait<T: Clone, E: From<CredentialError> + Clone>(mut flight: Flight<T, E>) -> Result<Lease<T>, E> {
    match flight.wait_for(Option::is_some).await.as_deref() {
        Ok(Some(result)) => result.clone(),
        _ => Err(CredentialError::Cancelled.into()),
    }
}

/// The end of a fetch. It clears the way for the next one even when this one panics.
struct Landing<T, E> {
    inner: Arc<Inner<T, E>>,
    landed: bool,
}

impl<T: Clone, E: Error + 'static> Landing<T, E> {
    fn arrive(&mut self, result: Result<Fresh<T>, E>) -> Result<Lease<T>, E> {
        let mut state = self.inner.state();
        let now = Instant::now();
        state.flight = None;
        self.landed = true;
        match result {
            Ok(fresh) => {
                tracing::debug!(what = self.inner.what, usable_for_s = fresh.usable_for.as_secs(), "fetched");
                Ok(state.keep(fresh))
            }
            Err(error) => {
                if let Some(entry) = &mut state.entry {
                    let remaining = entry.expires_at.saturating_duration_since(now);
                    entry.refresh_at = now + (remaining / 8).clamp(RETRY_AFTER.0, RETRY_AFTER.1);
                }
                tracing::warn!(what = self.inner.what, error = %ErrorChain::new(&error), "could not be fetched");
                Err(error)
            }
        }
    }
}

impl<T, E> Drop for Landing<T, E> {
    fn drop(&mut self) {
        if !self.landed {
            self.inner.state().flight = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_value_ends_while_the_machine_sleeps() {
        let hour = Duration::from_secs(3600);
        let cache = Cache::new("number", move || async move {
            Ok::<_, CredentialError>(Fresh { value: 1, refresh_after: hour, usable_for: hour })
        });
        assert!(cache.lease().await.is_ok_and(|lease| lease.value == 1));
        let state = cache.0.state();
        let entry = state.entry.as_ref().expect("a value");
        let (now, wall) = (Instant::now(), SystemTime::now());
        assert!(entry.is_usable(now, wall));
        assert!(!entry.is_usable(now, wall + hour), "only the wall clock went on");
        assert!(!entry.is_usable(now + hour, wall), "only the monotonic clock went on");
    }
}
