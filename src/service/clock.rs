//! The wall clock.

use crate::platform;

/// Seconds since 1970, as claims of tokens count.
pub(crate) fn unix_now() -> u64 {
    platform::unix_now().as_secs()
}
