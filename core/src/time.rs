//! Time in microseconds since an origin that the embedder chose.

use core::ops::Add;
use core::time::Duration;

/// A point in time, in microseconds since an origin that the embedder chose.
///
/// The broker and the client only compare instants with each other, so any monotonic clock will do: a hardware timer,
/// `std::time::Instant`, the tick of a game loop. An instant before the latest one that was given counts as that latest
/// one.
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

    /// The instant so many microseconds later, or the largest instant.
    pub(crate) const fn after(self, micros: u64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// The microseconds from `earlier` to this instant, or zero if it lies before `earlier`.
    pub(crate) const fn micros_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The time from `earlier` to this instant, or zero if it lies before `earlier`.
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// An instant or none, in the size of an instant. The largest instant means none.
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

    /// The earlier one of this moment and an instant.
    pub(crate) fn or_before(self, instant: Instant) -> Self {
        Self(self.0.min(instant))
    }
}

/// Adds a duration, up to the largest instant.
impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros(duration)))
    }
}

/// A duration in whole microseconds, at most `u64::MAX`.
pub(crate) fn micros(duration: Duration) -> u64 {
    // Arithmetic with 128 bits would be slow on small processors.
    duration.as_secs().saturating_mul(1_000_000).saturating_add(u64::from(duration.subsec_micros()))
}

/// A duration in whole milliseconds, rounded up, so that only zero becomes zero.
pub(crate) fn millis_rounded_up(duration: Duration) -> u64 {
    micros(duration).div_ceil(1_000)
}
