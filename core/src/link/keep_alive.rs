//! The keep-alive of a link. (PROTOCOL.md, "Keep-alive and leaving")

use crate::time::Instant;

/// A link that has lasted for one interval, and at most for so many milliseconds, works. (PROTOCOL.md, "Client")
const MAX_PROBATION: u32 = 10_000;

/// Signs of life: each end writes a frame after an interval without one, and gives up after three without any that came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeepAlive {
    /// In milliseconds.
    interval: u32,
    /// A whole frame came in since the link was welcomed, other than its end.
    #[cfg(feature = "alloc")]
    is_proved: bool,
    last_received: Instant,
    last_sent: Instant,
}

impl KeepAlive {
    /// Starts as if a frame had just come and gone; the interval is in milliseconds.
    pub(crate) fn new(now: Instant, interval: u32) -> Self {
        Self {
            interval,
            #[cfg(feature = "alloc")]
            is_proved: false,
            last_received: now,
            last_sent: now,
        }
    }

    /// Something came in.
    pub(crate) fn note_received(&mut self, now: Instant) {
        self.last_received = now;
    }

    /// A frame shows that a peer is at the other end: it is whole, and neither the hello again, which may
    /// be a copy, nor an ABORT, with which its sender may have given the link up before the welcome.
    #[cfg(feature = "alloc")]
    pub(crate) fn prove(&mut self) {
        self.is_proved = true;
    }

    /// True if such a frame came since the link was welcomed.
    #[cfg(feature = "alloc")]
    pub(crate) fn is_proved(&self) -> bool {
        self.is_proved
    }

    /// When anything came in last.
    pub(crate) fn last_received(&self) -> Instant {
        self.last_received
    }

    /// True if a link that was welcomed at that moment has lasted long enough to count as one that works.
    pub(crate) fn has_lasted(&self, since: Instant, now: Instant) -> bool {
        now >= since.after(u64::from(self.interval.min(MAX_PROBATION)) * 1_000)
    }

    /// Something went out.
    pub(crate) fn note_sent(&mut self, now: Instant) {
        self.last_sent = now;
    }

    /// True if it is time to write a frame.
    pub(crate) fn is_ping_due(&self, now: Instant) -> bool {
        now >= self.ping_at()
    }

    /// True if nothing came for too long.
    pub(crate) fn is_dead(&self, now: Instant) -> bool {
        now >= self.dead_at()
    }

    /// When to write a frame.
    pub(crate) fn ping_at(&self) -> Instant {
        self.last_sent.after(u64::from(self.interval) * 1_000)
    }

    /// When to give up.
    pub(crate) fn dead_at(&self) -> Instant {
        self.last_received.after(u64::from(self.interval) * 3_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_follows_one_interval_of_silence_and_the_end_three() {
        let at = |millis: u64| Instant::from_micros(millis * 1_000);
        let mut keep_alive = KeepAlive::new(at(0), 20_000);
        assert!(!keep_alive.is_ping_due(at(19_999)) && keep_alive.is_ping_due(at(20_000)));
        keep_alive.note_sent(at(20_000));
        assert_eq!((keep_alive.ping_at(), keep_alive.dead_at()), (at(40_000), at(60_000)));
        keep_alive.note_received(at(30_000));
        assert_eq!((keep_alive.ping_at(), keep_alive.last_received()), (at(40_000), at(30_000)));
        assert!(!keep_alive.is_dead(at(89_999)) && keep_alive.is_dead(at(90_000)));
        assert!(!keep_alive.has_lasted(at(5), at(10_004)) && keep_alive.has_lasted(at(5), at(10_005)));
    }
}
