//! The work meter: what one call may do before other work has its turn.
//!
//! All work whose amount a peer decides is charged to it. A unit is about a hundred instructions; the costs below were
//! measured and rounded up. When the meter is spent, the rest goes on with a later call: input is offered again
//! (`Ready::Resume`), output is listed again, and other work becomes jobs, for which `poll_timeout` returns *now*.

/// Whether a frame was processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Done,
    /// The frame has to come again, when the work that it waits for is done.
    Later,
    /// The frame is a hello, which has to come again when the jobs of its client are done.
    Behind,
}

/// The units of one call. A call may exceed them by its last piece of work: a message goes to all its recipients at once.
pub(crate) const BUDGET: u32 = 32_768;
/// The most messages that a call accepts. Their recipients and their sender, which may run on other cores, begin with these
/// while the next ones are read.
pub(crate) const MESSAGES: u32 = 256;

/// Reading a frame.
pub(crate) const FRAME: u32 = 2;
/// A frame costs one more unit for each of so many bytes.
pub(crate) const BYTES: usize = 256;
/// Writing a frame.
pub(crate) const WRITTEN: u32 = 4;
/// Inserting or removing an entry of a tree.
pub(crate) const ENTRY: u32 = 4;
/// A hello, a change of attributes, and each pair of either.
pub(crate) const HELLO: u32 = 64;
pub(crate) const SET: u32 = 32;
pub(crate) const PAIR: u32 = 6;
/// A decline, or a delivery that is acknowledged or ends with its session.
pub(crate) const OUTCOME: u32 = 6;
/// A watch that begins or ends: it stands under up to eight terms.
pub(crate) const WATCH: u32 = 8 * ENTRY;
/// Checking a watch when a session changes.
pub(crate) const NOTE: u32 = 6;
/// Checking a session for a snapshot of presence.
pub(crate) const LISTED: u32 = 2;
/// Checking a message that waits, and releasing one.
pub(crate) const WAITING: u32 = 6;
pub(crate) const RELEASED: u32 = 24;
/// More places for messages in a queue.
pub(crate) const ROOM: u32 = 8;
/// Offering a held message to a session.
pub(crate) const OFFERED: u32 = 24;
/// A timer that is due, or a message whose `accept_delay` is over.
pub(crate) const EXPIRY: u32 = 12;
/// Searching a queue for ended messages, and each of its entries; each entry that leaves it besides.
pub(crate) const SWEPT: u32 = 1;
pub(crate) const DROPPED: u32 = 2;
/// Ending a link, and checking one.
pub(crate) const END: u32 = 20;
pub(crate) const LINK: u32 = 1;

/// The work that a call may still do.
#[derive(Debug)]
pub(crate) struct Work {
    budget: u32,
    /// Units; negative if the last piece of work was larger than the rest.
    left: i64,
    messages: u32,
}

impl Default for Work {
    fn default() -> Self {
        Self { budget: BUDGET, left: 0, messages: 0 }
    }
}

impl Work {
    /// Begins a call.
    #[inline]
    pub(crate) fn begin(&mut self) {
        (self.left, self.messages) = (self.budget.into(), MESSAGES);
    }

    /// Sets the units of each call from now on.
    pub(crate) fn set_budget(&mut self, units: u32) {
        // A hello and the jobs that it waits for need at least so many.
        self.budget = units.clamp(HELLO + 4 * NOTE, BUDGET);
    }

    /// The share of each kind of timed work in a call, before the other kinds have had theirs.
    pub(crate) fn share(&self) -> u32 {
        self.budget / 4
    }

    /// Charges work that is done, or about to be.
    #[inline]
    pub(crate) fn charge(&mut self, units: u32) {
        self.left -= i64::from(units);
    }

    /// Counts a message that is accepted.
    #[inline]
    pub(crate) fn take_message(&mut self) {
        self.messages = self.messages.saturating_sub(1);
    }

    /// Lets this call accept no message.
    pub(crate) fn take_no_message(&mut self) {
        self.messages = 0;
    }

    /// True if this call reads no more input.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.is_spent() || self.messages == 0
    }

    /// True if all units are used up.
    #[inline]
    pub(crate) fn is_spent(&self) -> bool {
        self.left <= 0
    }

    pub(crate) fn left(&self) -> u32 {
        // No more than the budget is left.
        self.left.max(0) as u32
    }

    /// Reserves units for later work, until [`give`](Self::give).
    pub(crate) fn set_aside(&mut self, units: u32) {
        self.charge(units);
    }

    /// Gives back units that were set aside.
    pub(crate) fn give(&mut self, units: u32) {
        self.left += i64::from(units);
    }

    /// The units that this call has used.
    pub(crate) fn done(&self) -> u32 {
        u32::try_from(i64::from(self.budget) - self.left).unwrap_or(u32::MAX) // A larger number has no meaning.
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_spent_when_its_units_are_done_and_the_next_one_is_not() {
        let mut work = Work::default();
        work.begin();
        work.charge(BUDGET - 1);
        assert!(!work.is_spent() && work.left() == 1);
        work.charge(5);
        assert!(work.is_spent() && work.is_full());
        assert_eq!((work.left(), work.done()), (0, BUDGET + 4), "the last piece of work may be larger");
        work.begin();
        assert_eq!((work.left(), work.done(), work.is_full()), (BUDGET, 0, false));
    }

    #[test]
    fn units_that_are_set_aside_come_back() {
        let mut work = Work::default();
        work.begin();
        work.set_aside(work.share() * 4);
        assert!(work.is_spent());
        work.give(work.share());
        assert_eq!(work.left(), BUDGET / 4);
    }

    #[test]
    fn a_call_reads_no_more_input_after_its_last_message() {
        let mut work = Work::default();
        work.begin();
        (1..MESSAGES).for_each(|_| work.take_message());
        assert!(!work.is_full());
        work.take_message();
        assert!(work.is_full() && !work.is_spent());
        work.begin();
        work.take_no_message();
        assert!(work.is_full() && !work.is_spent());
    }

    #[test]
    fn the_budget_has_bounds() {
        let left = |units| {
            let mut work = Work::default();
            work.set_budget(units);
            work.begin();
            work.left()
        };
        assert_eq!([left(0), left(1_000), left(u32::MAX)], [HELLO + 4 * NOTE, 1_000, BUDGET]);
    }
}
