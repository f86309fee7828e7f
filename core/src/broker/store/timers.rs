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
    pub(crate) fn key(self, at: Instant) -> Key {
        let (kind, index) = match self {
            Self::Link(index) => (0, index),
            Self::Session(index) => (1, index),
            Self::Message(index) => (2, index),
        };
        (at.as_micros(), kind, u64::from(index))
    }

    pub(crate) fn of((_, kind, index): Key) -> Self {
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
