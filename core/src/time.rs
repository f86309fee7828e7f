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

    /// The instant so many microseconds later; the end of time where that is beyond it.
    pub(crate) const fn after(self, micros: u64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// How many microseconds after `earlier` this instant lies; zero where it lies before it.
    pub(crate) const fn micros_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// How long after `earlier` this instant lies; zero where it lies before it.
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// An instant or none, in no more room than an instant. The end of time counts as none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(Instant);

impl Moment {
    pub(crate) const NEVER: Self = Self(Instant(u64::MAX));

    pub(crate) const fn at(instant: Instant) -> Self {
        Self(instant)
    }

    pub(crate) fn get(self) -> Option<Instant> {
        Some(self.0).filter(|&instant| instant != Self::NEVER.0)
    }

    /// This one, or that instant where it is earlier.
    pub(crate) fn or_before(self, instant: Instant) -> Self {
        Self(self.0.min(instant))
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
    // Not through 128 bits, which small processors have no instructions for.
    duration.as_secs().saturating_mul(1_000_000).saturating_add(u64::from(duration.subsec_micros()))
}

/// A duration in whole milliseconds, rounded up, so that a duration that is not zero never becomes zero.
pub(crate) fn millis_rounded_up(duration: Duration) -> u64 {
    micros(duration).div_ceil(1_000)
}
