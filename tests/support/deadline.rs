//! The one time limit of a test: every wait is bounded by it, and says what it saw when it gives up.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a wait sleeps between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// The moment by which a test must be through.
#[derive(Clone, Copy)]
pub(crate) struct Deadline {
    started: Instant,
    limit: Duration,
}

impl Deadline {
    /// Starts the clock of a test that may take so many seconds.
    pub(crate) fn within(seconds: u64) -> Self {
        Self { started: Instant::now(), limit: Duration::from_secs(seconds) }
    }

    /// How long the test has been running.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Looks again and again until there is something (`Ok`); at the deadline it panics with what was seen last (`Err`).
    pub(crate) fn wait<T>(&self, what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
        loop {
            match look() {
                Ok(found) => return found,
                Err(seen) => assert!(
                    self.elapsed() < self.limit,
                    "{what}: not within {:?} of the start of the test. Seen: {seen}",
                    self.limit
                ),
            }
            sleep(PAUSE);
        }
    }
}
