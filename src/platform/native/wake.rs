//! The native counterpart of a browser's wake signals, which never come.

use std::task::{Context, Poll};

use crate::platform::Wake;

/// Never signals: a native program's clock and timers keep going.
#[derive(Debug)]
pub(crate) struct WakeSignal;

impl WakeSignal {
    pub(crate) fn new() -> Self {
        Self
    }

    #[allow(clippy::unused_self, reason = "a browser has signals")]
    pub(crate) fn poll(&mut self, _cx: &mut Context<'_>) -> Poll<Wake> {
        Poll::Pending
    }
}
