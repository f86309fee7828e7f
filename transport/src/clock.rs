//! The clock of a driver: what the core calls *now*.

use std::time::Duration;

use e_pigeon_core::Instant;

/// Counts microseconds since it was started, because the core has no clock of its own.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: std::time::Instant,
}

impl Clock {
    /// Starts a clock at zero.
    #[must_use]
    pub fn start() -> Self {
        Self { origin: std::time::Instant::now() }
    }

    /// Says how late it is. Never goes backwards.
    #[must_use]
    pub fn now(&self) -> Instant {
        // 2^64 microseconds are half a million years.
        Instant::from_micros(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// Says how long it is until `deadline`; zero where that is over.
    #[must_use]
    pub fn until(&self, deadline: Instant) -> Duration {
        deadline.saturating_duration_since(self.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_forwards_and_deadlines_come_closer() {
        let clock = Clock::start();
        let first = clock.now();
        let deadline = first + Duration::from_secs(3600);
        std::thread::sleep(Duration::from_millis(2));
        assert!(clock.now() > first);
        assert!(clock.until(deadline) < Duration::from_secs(3600));
        assert_eq!(clock.until(first), Duration::ZERO);
    }
}
