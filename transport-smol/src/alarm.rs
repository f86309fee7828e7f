//! A timer that is set anew only where it has to ring earlier.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::time::{Duration, Instant};

use async_io::Timer;

/// Wakes the task when it is time. It may ring too early, never too late.
#[derive(Debug)]
pub(crate) struct Alarm {
    timer: Timer,
    rings_at: Option<Instant>,
}

impl Alarm {
    pub(crate) fn new() -> Self {
        Self { timer: Timer::never(), rings_at: None }
    }

    /// The task wants to be woken after that time at the latest; true where that is now.
    ///
    /// Deadlines mostly move away, with everything that is heard, so an earlier one is left as it is.
    pub(crate) fn is_over(&mut self, context: &mut Context<'_>, after: Option<Duration>) -> bool {
        let Some(after) = after else { return false };
        if after.is_zero() {
            return true;
        }
        // What is further away than the clock goes never comes.
        let Some(at) = Instant::now().checked_add(after) else { return false };
        if self.rings_at.is_none_or(|earlier| at < earlier) {
            self.timer.set_at(at);
            self.rings_at = Some(at);
        }
        let rings = Pin::new(&mut self.timer).poll(context).is_ready();
        if rings {
            self.rings_at = None;
        }
        rings
    }
}
