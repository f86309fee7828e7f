//! How long an answer takes on a line, and when something is to be said again because none came.

use crate::time::{Instant, micros};
use core::time::Duration;

/// What is assumed before anything was measured.
const FIRST: Duration = Duration::from_millis(500);
const MIN: Duration = Duration::from_millis(20);
const MAX: Duration = Duration::from_secs(10);

/// The estimated round trip: a smoothed mean and how far measurements lie from it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RoundTrip {
    measured: Option<(u64, u64)>,
}

impl RoundTrip {
    /// Nothing was measured.
    pub(crate) const UNKNOWN: Self = Self { measured: None };

    /// Something that was written once was answered after that time.
    pub(crate) fn measure(&mut self, took: Duration) {
        let took = micros(took.min(MAX));
        self.measured = Some(match self.measured {
            None => (took, took / 2),
            Some((mean, deviation)) => ((7 * mean + took) / 8, (3 * deviation + mean.abs_diff(took)) / 4),
        });
    }

    /// How long to wait for an answer.
    fn patience(&self) -> Duration {
        self.measured.map_or(FIRST, |(mean, deviation)| {
            // A timer that is as short as the finest clock would fire for nothing.
            Duration::from_micros(mean + 4 * deviation).clamp(MIN, MAX)
        })
    }
}

/// Something that is said again until it is answered, after a time that doubles.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Repeat {
    since: Option<Instant>,
    failed: u8,
}

impl Repeat {
    /// A part of it was answered.
    pub(crate) fn start(&mut self, now: Instant) {
        (self.since, self.failed) = (Some(now), 0);
    }

    /// It is said, whether or not for the first time.
    pub(crate) fn start_again(&mut self, now: Instant) {
        self.since = Some(now);
    }

    /// It was answered.
    pub(crate) fn end(&mut self) {
        *self = Self::default();
    }

    /// No answer came in time; it is to be said again.
    pub(crate) fn fail(&mut self) {
        (self.since, self.failed) = (None, self.failed.saturating_add(1));
    }

    /// True where it was said and an answer is waited for.
    pub(crate) fn is_running(&self) -> bool {
        self.since.is_some()
    }

    /// When it is to be said again; `None` where nothing is waited for.
    pub(crate) fn due(&self, round_trip: &RoundTrip) -> Option<Instant> {
        let doubled = round_trip.patience().saturating_mul(1 << self.failed.min(16));
        self.since.map(|since| since + doubled.min(MAX))
    }

    /// True where it is to be said again.
    pub(crate) fn is_over(&self, round_trip: &RoundTrip, now: Instant) -> bool {
        self.due(round_trip).is_some_and(|due| now >= due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn patience_follows_what_was_measured() {
        let mut round_trip = RoundTrip::UNKNOWN;
        assert_eq!(round_trip.patience(), FIRST);
        round_trip.measure(ms(100));
        assert_eq!(round_trip.patience(), ms(300));
        (0..100).for_each(|_| round_trip.measure(ms(100)));
        assert!(round_trip.patience() < ms(110), "{:?}", round_trip.patience());
        (0..10).for_each(|n| round_trip.measure(ms(50 + 100 * (n % 2))));
        assert!(round_trip.patience() > ms(200), "{:?}", round_trip.patience());
        (0..100).for_each(|_| round_trip.measure(ms(0)));
        assert_eq!(round_trip.patience(), MIN);
        round_trip.measure(Duration::MAX);
        assert!(round_trip.patience() <= MAX);
    }

    #[test]
    fn what_is_not_answered_is_said_again_after_a_time_that_doubles() {
        let (round_trip, mut repeat) = (RoundTrip::UNKNOWN, Repeat::default());
        assert_eq!(repeat.due(&round_trip), None);
        let mut now = Instant::from_micros(7);
        for n in 0..20 {
            repeat.start_again(now);
            let due = repeat.due(&round_trip).unwrap();
            assert_eq!(due, now + (FIRST * (1 << n)).min(MAX));
            assert!(!repeat.is_over(&round_trip, now) && repeat.is_over(&round_trip, due));
            now = due;
            repeat.fail();
            assert!(!repeat.is_running());
        }
        repeat.start(now);
        assert_eq!(repeat.due(&round_trip), Some(now + FIRST));
    }
}
