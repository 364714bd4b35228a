//! The wall clock of a native program.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The wall clock: the time since 1970.
pub(crate) fn unix_now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
