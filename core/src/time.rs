//! Time as the machines know it: microseconds since an origin that the embedder chose.

use core::ops::Add;
use core::time::Duration;

/// A point in time, in microseconds since an origin of the embedder's choosing.
///
/// The machines compare instants with each other and with nothing else, so any monotonic clock will do: a
/// hardware timer, `std::time::Instant`, the tick of a game loop. An instant that lies before one that was given
/// earlier is treated as that earlier one.
///
/// ```
/// use core::time::Duration;
/// use e_pigeon_core::Instant;
///
/// let start = Instant::from_micros(1_000);
/// assert_eq!((start + Duration::from_millis(2)).as_micros(), 3_000);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The instant that lies `micros` microseconds after the origin.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the origin.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this instant lies; zero where it lies before it.
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// Adds, and stops at the end of time instead of wrapping round.
impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros(duration)))
    }
}

/// A duration in whole microseconds, capped at what fits.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A duration in whole milliseconds, rounded up, so that a duration that is not zero never becomes zero.
pub(crate) fn millis_rounded_up(duration: Duration) -> u64 {
    micros(duration).div_ceil(1_000)
}
