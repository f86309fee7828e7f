//! How a broker's loop ends.

use std::time::Duration;

use e_pigeon_core::Stats;

/// How long the clients may take to hear that the broker goes away.
pub(super) const FAREWELL: Duration = Duration::from_secs(2);

/// How a broker is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It listens no longer and says goodbye.
    Orderly,
    /// It is gone from one moment to the next, as when it is killed.
    Sudden,
}

/// Asked once per turn of a broker's loop whether it is to end; what the broker has done is there to be looked at.
pub(crate) type Asked<'a> = &'a mut dyn FnMut(&dyn Fn() -> Stats) -> Option<Ending>;
