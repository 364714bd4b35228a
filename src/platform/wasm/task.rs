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

use crate::core::Moment;
use crate::core::TransportError;

/// `Send`, where there are threads: not here.
pub trait MaybeSend {}
impl<T: ?Sized> MaybeSend for T {}

/// `Sync`, where there are threads: not here.
pub trait MaybeSync {}
impl<T: ?Sized> MaybeSync for T {}

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
    Duration::from_secs_f64(performance_now().max(0.0) / 1000.0)
}

/// The wall clock: the time since 1970.
pub(crate) fn unix_now() -> Duration {
    Duration::from_secs_f64(js_sys::Date::now().max(0.0) / 1000.0)
}

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

    #[cfg_attr(not(feature = "client"), allow(dead_code, reason = "only Rust's calls have a time limit"))]
    #[allow(clippy::unused_self, reason = "natively it is the runtime")]
    pub(crate) fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        sleep(duration)
    }
}

/// A `setTimeout`, cleared when it is dropped.
struct Timeout {
    id: JsValue,
    _callback: Closure<dyn FnMut()>,
}

impl Drop for Timeout {
    fn drop(&mut self) {
        clear_timeout(&self.id);
    }
}

#[derive(Default)]
struct Timer {
    fired: bool,
    waker: Option<Waker>,
}

pub(crate) fn sleep(duration: Duration) -> BoxFuture<()> {
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
    // A timeout is a 32-bit number of milliseconds; who sleeps for longer looks at the clock after each.
    let milliseconds = i32::try_from(duration.as_millis()).unwrap_or(i32::MAX);
    // One more than asked for: timers may fire a fraction of a millisecond early.
    let timeout = Timeout { id: set_timeout(&callback, milliseconds.saturating_add(1)), _callback: callback };
    Box::pin(async move {
        poll_fn(|cx| {
            let mut timer = timer.borrow_mut();
            if timer.fired {
                return Poll::Ready(());
            }
            timer.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
        drop(timeout);
    })
}
