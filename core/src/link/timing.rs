//! How long an answer takes on a line, and when something is to be said again because none came.

use crate::time::Instant;

/// What is assumed before anything was measured.
const FIRST: u64 = 500_000;
const MIN: u64 = 20_000;
const MAX: u64 = 10_000_000;

/// The estimated round trip: a smoothed mean and how far measurements lie from it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RoundTrip {
    /// In microseconds; 0 where nothing was measured.
    mean: u32,
    deviation: u32,
}

impl RoundTrip {
    /// Nothing was measured.
    pub(crate) const UNKNOWN: Self = Self { mean: 0, deviation: 0 };

    /// Something that was written once was answered after so many microseconds.
    pub(crate) fn measure(&mut self, took: u64) {
        // It fits: the limit does.
        let took = took.min(MAX) as u32;
        (self.mean, self.deviation) = if self.mean == 0 {
            (took.max(1), took / 2)
        } else {
            let deviation = (3 * self.deviation + self.mean.abs_diff(took)) / 4;
            (((7 * self.mean + took) / 8).max(1), deviation)
        };
    }

    /// How long to wait for an answer, in microseconds.
    fn patience(&self) -> u64 {
        if self.mean == 0 {
            return FIRST;
        }
        // A timer that is as short as the finest clock would fire for nothing.
        (u64::from(self.mean) + 4 * u64::from(self.deviation)).clamp(MIN, MAX)
    }
}

/// Something that is said again until it is answered, after a time that doubles.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Repeat {
    /// When it was said last, where an answer is waited for.
    since: Instant,
    running: bool,
    failed: u8,
}

impl Repeat {
    /// A part of it was answered.
    pub(crate) fn start(&mut self, now: Instant) {
        (self.since, self.running, self.failed) = (now, true, 0);
    }

    /// It is said, whether or not for the first time.
    pub(crate) fn start_again(&mut self, now: Instant) {
        (self.since, self.running) = (now, true);
    }

    /// It was answered.
    pub(crate) fn end(&mut self) {
        *self = Self::default();
    }

    /// No answer came in time; it is to be said again.
    pub(crate) fn fail(&mut self) {
        (self.running, self.failed) = (false, self.failed.saturating_add(1));
    }

    /// True where it was said and an answer is waited for.
    pub(crate) fn is_running(&self) -> bool {
        self.running
    }

    /// When it is to be said again; `None` where nothing is waited for.
    pub(crate) fn due(&self, round_trip: &RoundTrip) -> Option<Instant> {
        let doubled = round_trip.patience() << self.failed.min(16);
        self.running.then(|| self.since.after(doubled.min(MAX)))
    }

    /// True where it is to be said again.
    pub(crate) fn is_over(&self, round_trip: &RoundTrip, now: Instant) -> bool {
        self.due(round_trip).is_some_and(|due| now >= due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> u64 {
        n * 1_000
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
        round_trip.measure(u64::MAX);
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
            assert_eq!(due, now.after((FIRST << n).min(MAX)));
            assert!(!repeat.is_over(&round_trip, now) && repeat.is_over(&round_trip, due));
            now = due;
            repeat.fail();
            assert!(!repeat.is_running());
        }
        repeat.start(now);
        assert_eq!(repeat.due(&round_trip), Some(now.after(FIRST)));
    }
}
