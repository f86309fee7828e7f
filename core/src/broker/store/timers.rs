//! Timers of links, sessions and messages, the earliest first.

use crate::broker::store::key_set::{Key, KeySet};
use crate::time::Instant;

/// The owner of a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    Link(u32),
    Session(u32),
    Message(u32),
}

/// Timers by the time at which they are due.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    /// The time in microseconds, the kind, the index.
    due: KeySet,
}

impl Timer {
    fn key(self, at: Instant) -> Key {
        let (kind, index) = match self {
            Self::Link(index) => (0, index),
            Self::Session(index) => (1, index),
            Self::Message(index) => (2, index),
        };
        (at.as_micros(), kind, u64::from(index))
    }

    fn of((_, kind, index): Key) -> Self {
        // The key was made from a u32.
        let index = index as u32;
        match kind {
            0 => Self::Link(index),
            1 => Self::Session(index),
            _ => Self::Message(index),
        }
    }
}

impl Timers {
    pub(crate) fn arm(&mut self, at: Instant, timer: Timer) {
        self.due.insert(timer.key(at));
    }

    pub(crate) fn disarm(&mut self, at: Instant, timer: Timer) {
        self.due.remove(&timer.key(at));
    }

    pub(crate) fn first(&self) -> Option<Instant> {
        self.due.first().map(|&(at, ..)| Instant::from_micros(at))
    }

    pub(crate) fn pop(&mut self, now: Instant) -> Option<Timer> {
        if self.first()? <= now { self.due.pop_first().map(Timer::of) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_fire_in_order_when_they_are_due_unless_they_are_disarmed() {
        let mut timers = Timers::default();
        let at = Instant::from_micros;
        let max = Timer::Message(u32::MAX);
        for (due, timer) in [(30, max), (10, Timer::Session(1)), (20, Timer::Link(2)), (5, Timer::Link(1))] {
            timers.arm(at(due), timer);
        }
        timers.disarm(at(20), Timer::Link(2));
        // A timer has one time, and is not found at another.
        timers.disarm(at(11), Timer::Session(1));
        assert_eq!((timers.first(), timers.pop(at(4))), (Some(at(5)), None));
        assert_eq!(
            [29, 29, 29].map(|now| timers.pop(at(now))),
            [Some(Timer::Link(1)), Some(Timer::Session(1)), None]
        );
        assert_eq!((timers.pop(at(30)), timers.first()), (Some(max), None));
    }
}
