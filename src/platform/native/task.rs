//! The monotonic clock, timers and tasks of a native program: tokio's.

use std::future::Future;
use std::pin::Pin;
#[cfg(feature = "client")]
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

#[cfg(feature = "client")]
use super::blocking::{Threads, UserCode};
use crate::core::Moment;
use crate::core::{Cause, TransportError};

/// `Send`, where there are threads.
pub trait MaybeSend: Send {}
impl<T: Send + ?Sized> MaybeSend for T {}

/// `Sync`, where there are threads.
pub trait MaybeSync: Sync {}
impl<T: Sync + ?Sized> MaybeSync for T {}

/// An error of the user's, or the text of one: what `?` turns into a `Box<dyn Error + Send + Sync>`.
pub trait IntoCause {
    /// The error as the cause of one of ours.
    fn into_cause(self) -> Cause;
}

impl<E: Into<Box<dyn std::error::Error + Send + Sync>>> IntoCause for E {
    fn into_cause(self) -> Cause {
        Cause::new(self)
    }
}

pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

pub(crate) fn now() -> Moment {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    Moment::from_epoch(EPOCH.get_or_init(Instant::now).elapsed())
}

/// Where futures run in the background, whichever thread asks for it.
#[derive(Debug, Clone)]
pub(crate) struct Runtime {
    handle: Handle,
    #[cfg(feature = "client")]
    threads: Arc<Threads>,
}

impl Runtime {
    /// The one that this is called from.
    pub(crate) fn current() -> Result<Self, TransportError> {
        let missing =
            |error| TransportError::because_of("start it from within a tokio runtime", Cause::new(error));
        let handle = Handle::try_current().map_err(missing)?;
        Ok(Self {
            #[cfg(feature = "client")]
            threads: Threads::of(&handle),
            handle,
        })
    }

    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.handle.spawn(future);
    }

    /// Runs user code on a thread that may block, until it returns that there is no more to do. It is dropped when the
    /// runtime shuts down before.
    #[cfg(feature = "client")]
    pub(crate) fn run_user_code(&self, code: UserCode) {
        self.threads.run(&self.handle, code);
    }

    pub(crate) fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        let _entered = self.handle.enter();
        sleep(duration)
    }
}

pub(crate) fn sleep(duration: Duration) -> BoxFuture<()> {
    Box::pin(tokio::time::sleep(duration))
}

/// A value that stays on its thread in a browser, which has only one, and may be sent to any thread here.
#[cfg(any(feature = "leptos", feature = "yew"))]
pub(crate) struct ThreadBound<T>(T);

#[cfg(any(feature = "leptos", feature = "yew"))]
impl<T> ThreadBound<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(value)
    }
}

#[cfg(any(feature = "leptos", feature = "yew"))]
impl<T> std::ops::Deref for ThreadBound<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;

    #[tokio::test]
    async fn sleeps_of_any_length_can_be_asked_for() {
        for duration in [Duration::from_millis(1 << 31), Duration::from_secs(1 << 40), Duration::MAX] {
            let mut sleep = sleep(duration);
            assert!(sleep.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
    }
}
