//! The books: what was taken and what became of it. They balance at every step.

use crate::data::message::RefusalReason;

/// What a broker has done and holds. Messages: `taken = answered + open`. Deliveries:
/// `routed = delivered + declined + expired + refused + gone + held`.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Messages that were taken, refused ones included.
    pub taken: u64,
    /// Messages that have ended.
    pub answered: u64,
    /// Of these, those that all their recipients have confirmed.
    pub answered_in_full: u64,
    /// Of these, the others by reason: index 0 is `RefusalReason` code 1, and so on.
    pub answered_by_reason: [u64; 8],
    /// Messages in flight.
    pub open: u64,
    /// Of these, those that are parked or held.
    pub waiting: u64,
    /// Messages that were sent again while in flight, and were not taken twice.
    pub repeated: u64,
    /// Deliveries: a message times a recipient.
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
    /// Of these, those that are connected.
    pub connected: u32,
    /// Bytes that payloads take.
    pub payload_bytes: u64,
    /// Messages that the broker still names: those in flight, and those that have ended and that a queue still has.
    pub kept: u64,
    /// Senders that it knows: one for each session, and those of messages whose senders have none any more.
    pub senders: u64,
    /// Destinations that it knows: those of messages, and those that links have an alias for.
    pub destinations: u64,
    /// To how many sessions held messages were offered.
    pub offers: u64,
}

impl Stats {
    /// True where the books balance. Anything else is a fault of this crate.
    pub fn is_balanced(&self) -> bool {
        let reasons: u64 = self.answered_by_reason.iter().sum();
        self.taken == self.answered + self.open
            && self.answered == self.answered_in_full + reasons
            && self.routed
                == self.delivered + self.declined + self.expired + self.refused + self.gone + self.held
    }

    /// How many messages were not confirmed by all, for each reason.
    pub fn by_reason(&self) -> impl Iterator<Item = (RefusalReason, u64)> + use<> {
        RefusalReason::ALL.into_iter().zip(self.answered_by_reason)
    }

    pub(crate) fn answer(&mut self, reason: Option<RefusalReason>) {
        self.answered += 1;
        let counter = reason.and_then(|reason| self.answered_by_reason.get_mut(reason as usize - 1));
        *counter.unwrap_or(&mut self.answered_in_full) += 1;
    }
}
