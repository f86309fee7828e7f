//! Counters of messages and deliveries, which balance after each call.

use crate::data::message::RefusalReason;

/// What a broker has done, and what it holds. Messages: `taken = answered + open`. Deliveries: `routed = delivered +
/// declined + expired + refused + gone + held`.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Messages that came from clients, refused ones included. A repetition of a message in flight does not count.
    pub taken: u64,
    /// Messages that have ended.
    pub answered: u64,
    /// Messages that have ended and that all recipients have confirmed.
    pub answered_in_full: u64,
    /// Other messages that have ended, by reason: index 0 is `RefusalReason` code 1, and so on.
    pub answered_by_reason: [u64; RefusalReason::ALL.len()],
    /// Messages in flight.
    pub open: u64,
    /// Messages in flight that are parked or held.
    pub waiting: u64,
    /// Repetitions of messages in flight.
    pub repeated: u64,
    /// Deliveries: one for each message and recipient.
    pub routed: u64,
    /// Deliveries that were confirmed.
    pub delivered: u64,
    /// Deliveries that were declined.
    pub declined: u64,
    /// Deliveries whose time to live was over.
    pub expired: u64,
    /// Deliveries that did not fit a queue or a recipient.
    pub refused: u64,
    /// Deliveries whose session ended.
    pub gone: u64,
    /// Deliveries in queues.
    pub held: u64,
    /// Links that are open.
    pub links: u32,
    /// Sessions, connected or away.
    pub sessions: u32,
    /// Sessions that are connected.
    pub connected: u32,
    /// Bytes of the buffers of payloads.
    pub payload_bytes: u64,
    /// Messages in memory: those in flight, and ended ones that a queue still names.
    pub kept: u64,
    /// Known senders: one for each session, and those of messages whose session has ended.
    pub senders: u64,
    /// Known destinations: those of messages, and those that have an alias on a link.
    pub destinations: u64,
    /// Offers of held messages to sessions that are remembered.
    pub offers: u64,
}

impl Stats {
    /// True if the counters balance. Anything else is a bug of this crate.
    pub fn is_balanced(&self) -> bool {
        let reasons: u64 = self.answered_by_reason.iter().sum();
        self.taken == self.answered + self.open
            && self.answered == self.answered_in_full + reasons
            && self.routed
                == self.delivered + self.declined + self.expired + self.refused + self.gone + self.held
    }

    /// Messages that were not confirmed by all recipients, by reason.
    pub fn by_reason(&self) -> impl Iterator<Item = (RefusalReason, u64)> + use<> {
        RefusalReason::ALL.into_iter().zip(self.answered_by_reason)
    }

    pub(crate) fn answer(&mut self, reason: Option<RefusalReason>) {
        self.answered += 1;
        let counter = reason.and_then(|reason| self.answered_by_reason.get_mut(reason as usize - 1));
        *counter.unwrap_or(&mut self.answered_in_full) += 1;
    }
}
