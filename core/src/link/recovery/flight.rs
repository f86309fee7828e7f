//! How many items may be under way on a line: more while all come, fewer when some are lost or frames wait on the line.

use crate::wire::state::SPAN;

/// The size before anything is known of the line.
pub(super) const FIRST_FLIGHT: u8 = 16;
/// The largest size: the span, which fits.
const MAX_FLIGHT: u8 = SPAN as u8;
/// Losses alone make a flight no smaller: with fewer items under way, few overtake one that is lost.
const LEAST_FLIGHT: u8 = 8;
/// Frames that wait on the line make it no smaller than this.
pub(super) const SLOW_FLIGHT: u8 = 2;
/// After the first loss, so many items have to come for the flight to grow by one.
pub(super) const COMES_FOR_ONE: u8 = 4;

/// The size of a flight.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    size: u8,
    /// True from the first loss on: the flight grows slowly.
    is_steady: bool,
    /// Items that have come since the flight has grown.
    come: u8,
}

impl Flight {
    pub(super) const NEW: Self = Self { size: FIRST_FLIGHT, is_steady: false, come: 0 };

    pub(super) fn size(&self) -> u8 {
        self.size
    }

    /// So many items have come: while nothing is lost, the flight doubles with each round trip.
    pub(super) fn grow(&mut self, come: u8) {
        self.come += come;
        let enough = if self.is_steady { COMES_FOR_ONE } else { 1 };
        self.size = (self.size + self.come / enough).min(MAX_FLIGHT);
        self.come %= enough;
    }

    /// So many items that counted as lost were only overtaken: they cost nothing.
    pub(super) fn restore(&mut self, overtaken: u8) {
        self.size = (self.size + overtaken).min(MAX_FLIGHT);
    }

    /// So many items are lost. Each costs one: a line that is too narrow loses the items beyond its width, and one that
    /// damages frames is not too narrow.
    pub(super) fn lose(&mut self, lost: u8) {
        self.is_steady = true;
        let least = LEAST_FLIGHT.min(self.size);
        self.size = self.size.saturating_sub(lost).max(least);
    }

    /// Frames wait on the line, so the flight is too large. False if it is so small that its frames cannot wait for each other.
    pub(super) fn shrink(&mut self) -> bool {
        self.is_steady = true;
        let is_large = self.size > SLOW_FLIGHT;
        if is_large {
            self.size -= self.size.div_ceil(4);
        }
        is_large
    }

    /// The line counts as cut, and is tried with a small flight.
    pub(super) fn cut(&mut self) {
        (self.size, self.is_steady) = (self.size.min(LEAST_FLIGHT), true);
    }
}
