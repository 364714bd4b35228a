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
///
/// It is exact to a microsecond: half a million years of them are one number, which is quick to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(u64);

impl Moment {
    /// The epoch.
    pub const ZERO: Self = Self(0);
    /// The end of time: what is due then is never due.
    pub const MAX: Self = Self(u64::MAX);

    /// So long after the epoch.
    #[must_use]
    pub const fn from_epoch(elapsed: Duration) -> Self {
        Self::ZERO.plus(elapsed)
    }

    /// So many microseconds after the epoch.
    #[must_use]
    pub const fn from_micros(elapsed: u64) -> Self {
        Self(elapsed)
    }

    /// The microseconds since the epoch.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The time since the epoch.
    #[must_use]
    pub const fn since_epoch(self) -> Duration {
        Duration::from_micros(self.0)
    }

    /// The time since an earlier moment; zero if that was not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// Once: in its many places it takes 240 bytes (gzip) of the npm package.
    #[inline(never)]
    const fn plus(self, time: Duration) -> Self {
        let seconds = time.as_secs().saturating_mul(1_000_000);
        Self(self.0.saturating_add(seconds).saturating_add(time.subsec_micros() as u64))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, time: Duration) -> Self {
        self.plus(time)
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
