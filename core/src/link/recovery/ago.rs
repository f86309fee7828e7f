//! How long ago something was, in few bytes: by states and by time.

use crate::time::Instant;

/// One of the states of a link, as how many were written from it on; 0 for none. One that lies further back than can be
/// counted is as good as lost: the answer to a later one counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct StatesAgo(u16);

impl StatesAgo {
    pub(super) const NONE: Self = Self(0);
    pub(super) const LAST: Self = Self(1);

    pub(super) fn is_none(self) -> bool {
        self.0 == 0
    }

    /// One more state is written.
    pub(super) fn count_one(&mut self) {
        if !self.is_none() {
            self.0 = self.0.saturating_add(1);
        }
    }

    /// True if the peer, which has not got the last `unconfirmed` states, has got this one or a later one.
    pub(super) fn was_received(self, unconfirmed: u64) -> bool {
        unconfirmed < u64::from(self.0)
    }

    /// True if this is the last one that such a peer has got.
    pub(super) fn was_received_last(self, unconfirmed: u64) -> bool {
        unconfirmed + 1 == u64::from(self.0)
    }
}

/// When something was, for what is asked within the hour: microseconds modulo 2^32.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Recently(u32);

impl Recently {
    pub(super) fn at(now: Instant) -> Self {
        // The hours are cut off.
        Self(now.as_micros() as u32)
    }

    /// Microseconds from then until now.
    pub(super) fn micros_until(self, now: Instant) -> u64 {
        u64::from(Self::at(now).0.wrapping_sub(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_heard_with_itself_or_a_later_one() {
        let (mut none, mut first) = (StatesAgo::NONE, StatesAgo::LAST);
        assert!(first.was_received(0) && first.was_received_last(0) && !first.was_received(1));
        (0..2).for_each(|_| first.count_one());
        assert!(first.was_received(0) && !first.was_received_last(0));
        assert!(first.was_received_last(2) && !first.was_received(3));
        (0..100_000).for_each(|_| first.count_one());
        assert!(first.was_received(0) && !first.was_received(100_000), "that one lies too far back");
        none.count_one();
        assert!(none.is_none() && !none.was_received(0));
    }

    #[test]
    fn a_time_of_some_minutes_is_known_across_the_hours() {
        let hours = (1 << 32) - 7;
        let then = Recently::at(Instant::from_micros(hours));
        assert_eq!(then.micros_until(Instant::from_micros(hours + 600_000_000)), 600_000_000);
    }
}
