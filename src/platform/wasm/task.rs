//! The clocks, timers and tasks of a browser: one event loop.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use wasm_bindgen::JsValue;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::core::Cause;
use crate::core::Moment;
use crate::core::TransportError;

/// `Send`, where there are threads: not here.
pub trait MaybeSend {}
impl<T: ?Sized> MaybeSend for T {}

/// `Sync`, where there are threads: not here.
pub trait MaybeSync {}
impl<T: ?Sized> MaybeSync for T {}

/// An error of the user's, or the text of one: what `?` turns into a `Box<dyn Error>`. Those that hold values of
/// JavaScript stay on their thread, so their texts are kept.
pub trait IntoCause {
    /// The error as the cause of one of ours.
    fn into_cause(self) -> Cause;
}

impl<E: Into<Box<dyn std::error::Error>>> IntoCause for E {
    fn into_cause(self) -> Cause {
        Cause::new(Texts::of(&*self.into()))
    }
}

/// An error by its text, and the texts of what is behind it.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct Texts {
    text: String,
    source: Option<Box<Self>>,
}

impl Texts {
    fn of(error: &dyn std::error::Error) -> Self {
        Self { text: error.to_string(), source: error.source().map(Self::of).map(Box::new) }
    }
}

pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T>>>;

// Global in pages, workers, service workers and Node alike.
#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;

    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(callback: &Closure<dyn FnMut()>, milliseconds: i32) -> JsValue;

    #[wasm_bindgen(js_name = clearTimeout)]
    fn clear_timeout(id: &JsValue);
}

pub(crate) fn now() -> Moment {
    Moment::from_epoch(Duration::from_secs_f64(performance_now().max(0.0) / 1000.0))
}

/// The wall clock: the time since 1970.
pub(crate) fn unix_now() -> Duration {
    Duration::from_secs_f64(js_sys::Date::now().max(0.0) / 1000.0)
}

/// Code of the user that may take long. Returns whether there is more to do.
pub(crate) type UserCode = Box<dyn FnMut() -> bool>;

/// Where futures run in the background: the one event loop.
#[derive(Debug, Clone)]
pub(crate) struct Runtime;

impl Runtime {
    #[allow(clippy::unnecessary_wraps, reason = "natively there may be no runtime")]
    pub(crate) fn current() -> Result<Self, TransportError> {
        Ok(Self)
    }

    #[allow(clippy::unused_self, reason = "natively it is the runtime")]
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        wasm_bindgen_futures::spawn_local(future);
    }

    /// Runs user code until it returns that there is no more to do. There is one thread: if it blocks, everything does.
    pub(crate) fn run_user_code(&self, mut code: UserCode) {
        self.spawn(async move { while code() {} });
    }

    #[allow(clippy::unused_self, reason = "natively it is the runtime")]
    pub(crate) fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        sleep(duration)
    }
}

/// A `setTimeout`, cleared when it is dropped.
struct Timeout {
    id: JsValue,
    timer: Rc<RefCell<Timer>>,
    _callback: Closure<dyn FnMut()>,
}

#[derive(Default)]
struct Timer {
    fired: bool,
    waker: Option<Waker>,
}

impl Timeout {
    fn new(milliseconds: i32) -> Self {
        let timer = Rc::new(RefCell::new(Timer::default()));
        let fire = Rc::clone(&timer);
        let callback = Closure::new(move || {
            let waker = {
                let mut timer = fire.borrow_mut();
                timer.fired = true;
                timer.waker.take()
            };
            if let Some(waker) = waker {
                waker.wake();
            }
        });
        Self { id: set_timeout(&callback, milliseconds), timer, _callback: callback }
    }

    async fn fired(&self) {
        poll_fn(|cx| {
            let mut timer = self.timer.borrow_mut();
            if timer.fired {
                return Poll::Ready(());
            }
            timer.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Timeout {
    fn drop(&mut self) {
        clear_timeout(&self.id);
    }
}

/// The longest timeout, in milliseconds. HTML makes a signed number of 32 bits of it: what is longer fires at once.
const LONGEST: i32 = i32::MAX;

/// The milliseconds of the next timeout, and what is left to sleep after it.
fn next_timeout(left: Duration) -> (i32, Duration) {
    // One more than asked for: timers may fire a fraction of a millisecond early.
    match i32::try_from(left.as_millis()) {
        Ok(milliseconds) if milliseconds < LONGEST => (milliseconds + 1, Duration::ZERO),
        _ => (LONGEST, left.saturating_sub(Duration::from_millis(u64::from(LONGEST.unsigned_abs())))),
    }
}

pub(crate) fn sleep(duration: Duration) -> BoxFuture<()> {
    let (milliseconds, mut left) = next_timeout(duration);
    // The time counts from here on, not from the first poll on.
    let mut timeout = Timeout::new(milliseconds);
    Box::pin(async move {
        loop {
            timeout.fired().await;
            if left.is_zero() {
                return;
            }
            let milliseconds;
            (milliseconds, left) = next_timeout(left);
            timeout = Timeout::new(milliseconds);
        }
    })
}

#[cfg(test)]
mod tests {
    use std::task::Context;

    use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

    use super::*;

    wasm_bindgen_test_configure!(run_in_browser);

    #[wasm_bindgen_test]
    async fn sleeps_of_any_length_do_not_end_early() {
        let longest = Duration::from_millis(u64::from(LONGEST.unsigned_abs()));
        let day = Duration::from_secs(24 * 60 * 60);
        let mut sleeps: Vec<_> = [
            longest - Duration::from_millis(1),
            longest,
            longest + Duration::from_millis(1),
            25 * day,
            Duration::MAX,
        ]
        .map(sleep)
        .into();
        // Timers of the same event loop that fire at once would have fired by now.
        sleep(Duration::from_millis(20)).await;
        for sleep in &mut sleeps {
            assert!(sleep.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
    }

    #[wasm_bindgen_test]
    fn long_sleeps_are_cut_into_timeouts() {
        let millisecond = Duration::from_millis(1);
        let longest = Duration::from_millis(u64::from(LONGEST.unsigned_abs()));
        assert_eq!(next_timeout(Duration::ZERO), (1, Duration::ZERO));
        assert_eq!(next_timeout(longest - millisecond), (LONGEST, Duration::ZERO));
        for more in [Duration::ZERO, millisecond, longest] {
            assert_eq!(next_timeout(longest + more), (LONGEST, more));
        }
        assert_eq!(next_timeout(Duration::MAX), (LONGEST, Duration::MAX - longest));
    }
}
