//! The work meter: what one call may do before others have their turn.
//!
//! Everything whose amount a peer decides draws from it. A unit stands for about a hundred instructions, and the costs below
//! are what was counted, rounded up. What is left when the meter is spent goes on with the next turn: input is offered again
//! (`Ready::Resume`), output is listed again, and the rest are jobs, for which `poll_timeout` says *now*.

/// Whether a frame was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Done,
    /// It has to come again, when what it waits for is done.
    Later,
    /// It is a hello, and has to come again when the jobs of its client are done.
    Behind,
}

/// So many units one call may do. It ends what it is at: a message goes to all its recipients at once.
pub(crate) const BUDGET: u32 = 32_768;
/// So many messages a call takes besides: their recipients and their sender, which may run on other cores, begin with these
/// while the next are taken.
pub(crate) const MESSAGES: u32 = 256;

/// A frame that comes in.
pub(crate) const FRAME: u32 = 2;
/// So many bytes of a frame are a unit more.
pub(crate) const BYTES: usize = 256;
/// A frame that goes out.
pub(crate) const WRITTEN: u32 = 4;
/// An entry of a tree, put in or taken out.
pub(crate) const ENTRY: u32 = 4;
/// A hello, and a change of attributes; each pair besides.
pub(crate) const HELLO: u32 = 64;
pub(crate) const SET: u32 = 32;
pub(crate) const PAIR: u32 = 6;
/// A decline, and a delivery that is acknowledged or goes with its session.
pub(crate) const OUTCOME: u32 = 6;
/// A watch that begins or ends: it stands under up to eight terms.
pub(crate) const WATCH: u32 = 8 * ENTRY;
/// A watch that is looked at because a session changes.
pub(crate) const NOTE: u32 = 6;
/// A session that is looked at for a snapshot of presence.
pub(crate) const LISTED: u32 = 2;
/// A message that waits and is looked at, and one that is released.
pub(crate) const WAITING: u32 = 6;
pub(crate) const RELEASED: u32 = 24;
/// More places for messages in a queue.
pub(crate) const ROOM: u32 = 8;
/// A held message that is offered to a session.
pub(crate) const OFFERED: u32 = 24;
/// A timer that is due, and a message that grows up.
pub(crate) const EXPIRY: u32 = 12;
/// A queue that is searched for messages that have ended, and each entry of it; one that leaves it besides.
pub(crate) const SWEPT: u32 = 1;
pub(crate) const DROPPED: u32 = 2;
/// A link that ends, and one that is looked at.
pub(crate) const END: u32 = 20;
pub(crate) const LINK: u32 = 1;

/// What a call may still do.
#[derive(Debug)]
pub(crate) struct Work {
    budget: u32,
    /// Units; below zero where the last piece of work was larger than what was left.
    left: i64,
    messages: u32,
}

impl Default for Work {
    fn default() -> Self {
        Self { budget: BUDGET, left: 0, messages: 0 }
    }
}

impl Work {
    /// A call begins.
    #[inline]
    pub(crate) fn begin(&mut self) {
        (self.left, self.messages) = (self.budget.into(), MESSAGES);
    }

    /// From now on each call may do so many units.
    pub(crate) fn set_budget(&mut self, units: u32) {
        // Fewer would not do for a hello and what it waits for.
        self.budget = units.clamp(HELLO + 4 * NOTE, BUDGET);
    }

    /// What each kind of work that time brings has of a call, before the others have had theirs.
    pub(crate) fn share(&self) -> u32 {
        self.budget / 4
    }

    /// So many units are done, or about to be.
    #[inline]
    pub(crate) fn charge(&mut self, units: u32) {
        self.left -= i64::from(units);
    }

    /// A message is taken.
    #[inline]
    pub(crate) fn take_message(&mut self) {
        self.messages = self.messages.saturating_sub(1);
    }

    /// This call takes no message.
    pub(crate) fn take_no_message(&mut self) {
        self.messages = 0;
    }

    /// True where this call takes no more input.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.is_spent() || self.messages == 0
    }

    /// True where all units are done.
    #[inline]
    pub(crate) fn is_spent(&self) -> bool {
        self.left <= 0 && !canary!(NeverSpent)
    }

    /// Units that are left.
    pub(crate) fn left(&self) -> u32 {
        // No more than the budget.
        self.left.max(0) as u32
    }

    /// Keeps so many units of those that are left for what comes later; they are given back with [`give`](Self::give).
    pub(crate) fn set_aside(&mut self, units: u32) {
        self.charge(units);
    }

    /// Gives back what was set aside.
    pub(crate) fn give(&mut self, units: u32) {
        self.left += i64::from(units);
    }

    /// Units that this call has done.
    pub(crate) fn done(&self) -> u32 {
        u32::try_from(i64::from(self.budget) - self.left).unwrap_or(u32::MAX) // Of more nobody wants to know.
    }
}
