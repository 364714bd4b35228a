//! What a page hears of in a browser, and a native program does not.

use std::task::{Context, Poll};

use crate::platform::Wake;

/// A native program hears of nothing here: its clock and its timers keep going.
#[derive(Debug)]
pub(crate) struct WakeSignal;

impl WakeSignal {
    pub(crate) fn new() -> Self {
        Self
    }

    #[allow(clippy::unused_self, reason = "a browser has something to tell")]
    pub(crate) fn poll(&mut self, _cx: &mut Context<'_>) -> Poll<Wake> {
        Poll::Pending
    }
}
