//! Time, as the machines know it.

use std::ops::{Add, AddAssign};
use std::time::Duration;

/// A moment in monotonic time: the time since an epoch that the driver chooses, from a clock that never goes back.
///
/// Sums end at [`Moment::MAX`], so that a timer which is never due needs no special case.
///
/// ```
/// # #[cfg(feature = "unstable-machines")] {
/// use std::time::Duration;
///
/// use hubwire::core::Moment;
///
/// let start = Moment::from_epoch(Duration::from_secs(5));
/// let due = start + Duration::from_secs(15);
/// assert_eq!(due.since_epoch(), Duration::from_secs(20));
/// assert_eq!((due.since(start), start.since(due)), (Duration::from_secs(15), Duration::ZERO));
/// assert_eq!(due + Duration::MAX, Moment::MAX);
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(Duration);

impl Moment {
    /// The epoch.
    pub const ZERO: Self = Self(Duration::ZERO);
    /// The end of time: what is due then is never due.
    pub const MAX: Self = Self(Duration::MAX);

    /// So long after the epoch.
    #[must_use]
    pub const fn from_epoch(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// The time since the epoch.
    #[must_use]
    pub const fn since_epoch(self) -> Duration {
        self.0
    }

    /// The time since an earlier moment; zero if that was not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, time: Duration) -> Self {
        Self(self.0.saturating_add(time))
    }
}

impl AddAssign<Duration> for Moment {
    fn add_assign(&mut self, time: Duration) {
        *self = *self + time;
    }
}

/// So many seconds after the epoch.
#[cfg(test)]
pub(crate) const fn at(seconds: u64) -> Moment {
    Moment::from_epoch(Duration::from_secs(seconds))
}
