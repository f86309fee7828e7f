//! How long to wait before connecting again: doubling, up to a limit, with jitter from the seed.

use crate::time::micros;
use core::time::Duration;

/// The delays between attempts.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
    random: u64,
}

impl Backoff {
    /// Delays from `min` to `max`, jitter drawn from `seed`.
    pub(crate) fn new(min: Duration, max: Duration, seed: u64) -> Self {
        Self { min, max, next: min, random: seed }
    }

    /// The delay before the next attempt: between half and all of what is due, so that many clients that lost the
    /// same broker do not come back at the same moment.
    pub(crate) fn next_delay(&mut self) -> Duration {
        let whole = self.next;
        self.next = whole.saturating_mul(2).min(self.max);
        let half = micros(whole) / 2;
        Duration::from_micros(half + ((u128::from(half) * u128::from(self.draw())) >> 32) as u64)
    }

    /// A handshake was completed: start again with the shortest delay.
    pub(crate) fn reset(&mut self) {
        self.next = self.min;
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
        let (min, max) = (Duration::from_millis(50), Duration::from_secs(1));
        let mut backoff = Backoff::new(min, max, 7);
        let mut due = min;
        for _ in 0..10 {
            let delay = backoff.next_delay();
            assert!(delay >= due / 2 && delay <= due, "{delay:?} of {due:?}");
            due = (due * 2).min(max);
        }
        backoff.reset();
        assert!(backoff.next_delay() <= min);
        assert_ne!(Backoff::new(min, max, 1).next_delay(), Backoff::new(min, max, 2).next_delay());
    }
}
