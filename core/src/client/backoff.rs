//! How long to wait before connecting again: doubling, up to a limit, with jitter from the seed.

use crate::time::micros;
use core::time::Duration;

/// The delays between attempts, in microseconds.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    max: u64,
    min: u32,
    /// How often it has doubled, and how often before the last delay.
    doubled: u8,
    before: u8,
    random: u64,
}

impl Backoff {
    /// Delays from `min` to `max`, jitter drawn from `seed`.
    pub(crate) fn new(min: Duration, max: Duration, seed: u64) -> Self {
        // The first is at most 100 ms, and never 0: nothing would ever grow from it.
        let (min, max) = (micros(min).max(1) as u32, micros(max));
        Self { max, min, doubled: 0, before: 0, random: seed }
    }

    /// The delay before the next attempt: between half and all of what is due, so that many clients that lost the
    /// same broker do not come back at the same moment.
    pub(crate) fn next_delay(&mut self) -> u64 {
        let min = u64::from(self.min);
        let whole = (min << self.doubled).min(self.max);
        self.before = self.doubled;
        // No bit of it is shifted out: with a limit beyond that, the longest delay is some 300,000 years.
        if whole < self.max && u32::from(self.doubled) < min.leading_zeros() {
            self.doubled += 1;
        }
        let half = whole / 2;
        let random = u64::from(self.draw());
        half + (half >> 32) * random + (((half & u64::from(u32::MAX)) * random) >> 32)
    }

    /// A link has lasted: start again with the shortest delay.
    pub(crate) fn reset(&mut self) {
        self.doubled = 0;
    }

    /// The last delay is not waited for: the next one is as long as that was to be.
    pub(crate) fn take_back(&mut self) {
        self.doubled = self.before;
    }

    /// 32 bits that look random (splitmix64).
    fn draw(&mut self) -> u32 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_to_the_limit_and_start_again() {
        let (first, last) = (Duration::from_millis(50), Duration::from_secs(1));
        let mut backoff = Backoff::new(first, last, 7);
        let (min, max) = (micros(first), micros(last));
        let mut due = min;
        for _ in 0..10 {
            let delay = backoff.next_delay();
            assert!(delay >= due / 2 && delay <= due, "{delay:?} of {due:?}");
            due = (due * 2).min(max);
        }
        backoff.take_back();
        assert!(backoff.next_delay() >= max / 2, "one at the limit stays there");
        backoff.reset();
        backoff.next_delay();
        backoff.take_back();
        assert!(backoff.next_delay() <= min);
        backoff.reset();
        assert!(backoff.next_delay() <= min);
        assert_ne!(Backoff::new(first, last, 1).next_delay(), Backoff::new(first, last, 2).next_delay());
    }

    #[test]
    fn core_p12_a_delay_never_overflows_whatever_its_limits() {
        let shortest = [Duration::from_nanos(1), Duration::from_micros(1), Duration::from_millis(100)];
        let longest =
            [Duration::MAX, Duration::from_micros(u64::MAX - 1), Duration::from_micros((1 << 63) + 1)];
        for (first, last) in shortest.into_iter().flat_map(|first| longest.map(|last| (first, last))) {
            let mut backoff = Backoff::new(first, last, 3);
            let mut due = micros(first).max(1);
            for attempt in 0..600 {
                let delay = backoff.next_delay();
                assert!((due / 2..=due).contains(&delay), "{attempt}: {delay} of {due}");
                due = due.checked_mul(2).map_or(due, |twice| twice.min(micros(last)));
            }
        }
    }
}
