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
