//! The keep-alive of a link. (PROTOCOL.md, "Keep-alive and leaving")

use crate::time::Instant;

/// A link that has lasted for one interval, and at most for so many milliseconds, works. (PROTOCOL.md, "Client")
const MAX_PROBATION: u32 = 10_000;

/// Signs of life: each end says something after `interval` of silence, and gives up after three of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeepAlive {
    /// In milliseconds.
    interval: u32,
    /// A whole frame came in since the link was welcomed, other than its end.
    #[cfg(feature = "alloc")]
    is_proved: bool,
    heard: Instant,
    spoke: Instant,
}

impl KeepAlive {
    /// Starts with both ends just heard; the interval is in milliseconds.
    pub(crate) fn new(now: Instant, interval: u32) -> Self {
        Self {
            interval,
            #[cfg(feature = "alloc")]
            is_proved: false,
            heard: now,
            spoke: now,
        }
    }

    /// Something came in.
    pub(crate) fn hear(&mut self, now: Instant) {
        self.heard = now;
    }

    /// What came in shows that there is somebody at the other end: it is a whole frame, and neither the hello again, which may
    /// be a copy, nor an ABORT, with which its sender may have given the link up before the welcome.
    #[cfg(feature = "alloc")]
    pub(crate) fn prove(&mut self) {
        self.is_proved = true;
    }

    /// True where that came in since the link was welcomed.
    #[cfg(feature = "alloc")]
    pub(crate) fn is_proved(&self) -> bool {
        self.is_proved
    }

    /// When anything came in last.
    pub(crate) fn heard(&self) -> Instant {
        self.heard
    }

    /// True where a link that was welcomed at that moment has lasted long enough to count as one that works.
    pub(crate) fn has_lasted(&self, since: Instant, now: Instant) -> bool {
        now >= since.after(u64::from(self.interval.min(MAX_PROBATION)) * 1_000)
    }

    /// Something went out.
    pub(crate) fn speak(&mut self, now: Instant) {
        self.spoke = now;
    }

    /// True where it is time to say something.
    pub(crate) fn is_ping_due(&self, now: Instant) -> bool {
        now >= self.ping_at()
    }

    /// True where the peer was silent for too long.
    pub(crate) fn is_dead(&self, now: Instant) -> bool {
        now >= self.dead_at()
    }

    /// When to say something.
    pub(crate) fn ping_at(&self) -> Instant {
        self.spoke.after(u64::from(self.interval) * 1_000)
    }

    /// When to give up.
    pub(crate) fn dead_at(&self) -> Instant {
        self.heard.after(u64::from(self.interval) * 3_000)
    }
}
