//! How long an answer takes on a line, and when a frame is to be written again because none came.

use crate::time::Instant;

/// What is assumed before anything was measured.
const FIRST: u64 = 500_000;
/// The least that is waited beyond the mean: the deviation goes to nothing on a steady line, and then any jitter would do.
const MIN: u64 = 20_000;
const MAX: u64 = 10_000_000;
/// How much longer than its least the round trip may be because of what waits on the line.
const QUEUE: (u32, u32) = (500_000, 2_000_000);

/// The estimated round trip: a smoothed mean, how far measurements lie from it, and the least.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoundTrip {
    /// In microseconds; 0 if nothing was measured.
    mean: u32,
    deviation: u32,
    /// The round trip of a line on which nothing waits, as far as is known.
    least: u32,
    /// The last measurement.
    last: u32,
}

impl RoundTrip {
    /// Nothing was measured.
    pub(crate) const UNKNOWN: Self = Self { mean: 0, deviation: 0, least: u32::MAX, last: 0 };

    /// Something that was written once was answered after so many microseconds.
    pub(crate) fn measure(&mut self, took: u64) {
        // Both fit: the limit does.
        self.last = took.min(MAX) as u32;
        self.least = self.least.min(self.last);
        let took = took.min(self.most()) as u32;
        (self.mean, self.deviation) = if self.mean == 0 {
            (took.max(1), took / 2)
        } else {
            let deviation = (3 * self.deviation + self.mean.abs_diff(took)) / 4;
            (((7 * self.mean + took) / 8).max(1), deviation)
        };
    }

    /// The most that one measurement counts for. If answers are lost, the time to a later one is measured, and if that
    /// counted in full, timers would become longer, and with them the next such time.
    fn most(&self) -> u64 {
        if self.mean == 0 { MAX } else { self.patience() }
    }

    /// How long to wait for an answer, in microseconds.
    fn patience(&self) -> u64 {
        if self.mean == 0 {
            return FIRST;
        }
        let mean = u64::from(self.mean);
        (mean + (4 * u64::from(self.deviation)).max(mean / 4).max(MIN)).min(MAX)
    }

    /// True if an answer cannot have come after so many microseconds.
    pub(crate) fn is_too_soon(&self, took: u64) -> bool {
        self.mean != 0 && took < u64::from(self.least / 2)
    }

    /// True if frames wait on the line for a good part of the round trip.
    pub(crate) fn is_queueing(&self) -> bool {
        self.is_long(u64::from(self.last))
    }

    /// True if that much for a round trip means so.
    pub(crate) fn is_long(&self, took: u64) -> bool {
        let (least, most) = QUEUE;
        took > u64::from(self.least.saturating_add(self.least.clamp(least, most)))
    }

    /// Takes the last measurement for that of a line on which nothing waits.
    pub(crate) fn forget_least(&mut self) {
        self.least = self.last;
    }
}

/// A frame that is written again until it is answered, after a time that doubles each second time: on a line that loses two
/// frames in five, a time that doubled each time would grow faster than answers come.
///
/// A client has three: without room in between to put the next one in line, that is 12 bytes less.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, packed(4))]
pub(crate) struct Repeat {
    /// When it was written last, if an answer is waited for.
    since: Instant,
    running: bool,
    failed: u8,
}

impl Repeat {
    /// A part of it was answered.
    pub(crate) fn start(&mut self, now: Instant) {
        (self.since, self.running, self.failed) = (now, true, 0);
    }

    /// It is written, whether or not for the first time.
    pub(crate) fn start_again(&mut self, now: Instant) {
        (self.since, self.running) = (now, true);
    }

    /// It was answered.
    pub(crate) fn end(&mut self) {
        *self = Self::default();
    }

    /// No answer came in time; it is to be written again.
    pub(crate) fn fail(&mut self) {
        (self.running, self.failed) = (false, self.failed.saturating_add(1));
    }

    /// How often no answer came in time.
    pub(crate) fn failed(&self) -> u8 {
        self.failed
    }

    /// No more than so many of the times that no answer came count.
    pub(crate) fn forgive(&mut self, failed: u8) {
        self.failed = self.failed.min(failed);
    }

    /// True if it was written and an answer is waited for.
    pub(crate) fn is_running(&self) -> bool {
        self.running
    }

    /// When it is to be written again; `None` if no answer is waited for.
    pub(crate) fn due(&self, round_trip: &RoundTrip) -> Option<Instant> {
        let doubled = round_trip.patience() << (self.failed / 2).min(16);
        self.running.then(|| self.since.after(doubled.min(MAX)))
    }

    /// True if it is to be written again.
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
    fn field_f6_patience_follows_what_was_measured_and_is_never_just_that() {
        let mut round_trip = RoundTrip::UNKNOWN;
        assert_eq!(round_trip.patience(), FIRST);
        round_trip.measure(ms(100));
        assert_eq!(round_trip.patience(), ms(300));
        (0..100).for_each(|_| round_trip.measure(ms(100)));
        assert_eq!(round_trip.patience(), ms(125), "a steady line may jitter all the same");
        (0..10).for_each(|n| round_trip.measure(ms(50 + 100 * (n % 2))));
        assert!(round_trip.patience() > ms(200), "{:?}", round_trip.patience());
        (0..100).for_each(|_| round_trip.measure(ms(0)));
        assert!(round_trip.patience() < MIN + ms(1), "{:?}", round_trip.patience());
        assert!(!round_trip.is_queueing());
        round_trip.measure(u64::MAX);
        assert!(
            round_trip.is_queueing() && round_trip.patience() < 5 * MIN,
            "one of these may be that of a lost answer"
        );
        (0..20).for_each(|_| round_trip.measure(u64::MAX));
        assert!(round_trip.patience() <= MAX && round_trip.is_queueing());
        round_trip.forget_least();
        assert!(!round_trip.is_queueing());
    }

    #[test]
    fn what_is_not_answered_is_said_again_after_a_time_that_doubles_each_second_time() {
        let (round_trip, mut repeat) = (RoundTrip::UNKNOWN, Repeat::default());
        assert_eq!(repeat.due(&round_trip), None);
        let mut now = Instant::from_micros(7);
        for n in 0..20 {
            repeat.start_again(now);
            let due = repeat.due(&round_trip).unwrap();
            assert_eq!(due, now.after((FIRST << (n / 2)).min(MAX)));
            assert!(!repeat.is_over(&round_trip, now) && repeat.is_over(&round_trip, due));
            now = due;
            repeat.fail();
            assert!(!repeat.is_running());
        }
        repeat.start(now);
        assert_eq!(repeat.due(&round_trip), Some(now.after(FIRST)));
    }
}
