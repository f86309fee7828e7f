//! Shares: how much one sender may take of a queue, and of the places of messages that wait.
//!
//! In a queue that holds less than a share no sender can exceed it, so nothing is counted. In a fuller queue the messages
//! of each sender are counted until it holds less than half a share; so the count costs little for each message that came
//! or went in between. (PROTOCOL.md, "Limits")

use crate::broker::store::key_set::{KeySet, last_of};
use crate::config::broker::BrokerConfig;

/// The share of one sender in one queue, and the counts of those queues that are counted.
#[derive(Debug)]
pub(crate) struct Shares {
    messages: u32,
    bytes: u64,
    /// The session and the sender, the messages, the bytes.
    counts: KeySet,
}

fn name(session: u32, sender: u32) -> u64 {
    u64::from(session) << 32 | u64::from(sender)
}

impl Shares {
    pub(crate) fn new(config: &BrokerConfig) -> Self {
        let messages = config.sender_queue.min(config.queue_messages);
        // The bytes are the same part of their limit, and at least one message.
        let part =
            u128::from(config.queue_bytes) * u128::from(messages) / u128::from(config.queue_messages.max(1));
        // The part is at most all bytes.
        let bytes = (part as u64).max(config.max_payload.into());
        Self { messages, bytes, counts: KeySet::new() }
    }

    /// The messages that a queue may hold without counts.
    pub(crate) fn messages(&self) -> u32 {
        self.messages
    }

    /// The bytes that a queue may hold without counts.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The messages and bytes of a sender in a queue that is counted.
    pub(crate) fn of(&self, session: u32, sender: u32) -> (u64, u64) {
        let name = name(session, sender);
        // A sender without an entry has no messages.
        self.counts
            .range((name, 0, 0)..=last_of(name))
            .next()
            .map_or((0, 0), |&(_, count, bytes)| (count, bytes))
    }

    pub(crate) fn change(&mut self, session: u32, sender: u32, change: impl Fn((u64, u64)) -> (u64, u64)) {
        let (name, before) = (name(session, sender), self.of(session, sender));
        let (count, bytes) = change(before);
        self.counts.remove(&(name, before.0, before.1));
        if count > 0 {
            self.counts.insert((name, count, bytes));
        }
    }

    /// Removes all counts of a session; returns the number of senders.
    pub(crate) fn forget(&mut self, session: u32) -> u32 {
        let range = (name(session, 0), 0, 0)..=last_of(name(session, u32::MAX));
        let mut forgotten = 0;
        while let Some(&count) = self.counts.range(range.clone()).next() {
            self.counts.remove(&count);
            forgotten += 1;
        }
        forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_bytes_is_the_same_part_and_at_least_one_message() {
        let config = BrokerConfig::new(0).queue_messages(100).sender_queue(10).queue_bytes(100_000);
        let of = |max_payload| Shares::new(&config.clone().max_payload(max_payload));
        assert_eq!((of(1_000).messages(), of(1_000).bytes(), of(20_000).bytes()), (10, 10_000, 20_000));
    }

    #[test]
    fn each_sender_is_counted_in_each_queue_until_it_has_no_messages() {
        let mut shares = Shares::new(&BrokerConfig::new(0));
        let (first, last, other) = ((1, 0), (1, u32::MAX), (2, 0));
        for (session, sender) in [first, first, last, other] {
            shares.change(session, sender, |(count, bytes)| (count + 1, bytes + 7));
        }
        let of = |shares: &Shares| [first, last, other].map(|(session, sender)| shares.of(session, sender));
        assert_eq!(of(&shares), [(2, 14), (1, 7), (1, 7)]);
        shares.change(2, 0, |(count, bytes)| (count - 1, bytes - 7));
        assert_eq!((of(&shares), shares.counts.len()), ([(2, 14), (1, 7), (0, 0)], 2));
        shares.change(2, 0, |_| (1, 7));
        assert_eq!((shares.forget(1), shares.forget(1)), (2, 0));
        assert_eq!(of(&shares), [(0, 0), (0, 0), (1, 7)]);
    }
}
