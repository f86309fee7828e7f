//! Shares: how much of what belongs to all one sender may take, of a queue and of the places of messages that wait.
//!
//! A queue that holds less than a share is not looked at more closely: no sender can have more in it. Of a fuller one is
//! counted what each sender has in it, until it holds less than half a share; so a count costs little for each message that
//! came or went in between. (PROTOCOL.md, "Limits")

use crate::broker::store::key_set::{KeySet, last_of};
use crate::config::broker::BrokerConfig;

/// What one sender may have in one queue, and what each has in those that are counted.
#[derive(Debug)]
pub(crate) struct Shares {
    messages: u32,
    bytes: u64,
    /// Session and sender, messages, bytes.
    counts: KeySet,
}

fn name(session: u32, sender: u32) -> u64 {
    u64::from(session) << 32 | u64::from(sender)
}

impl Shares {
    pub(crate) fn new(config: &BrokerConfig) -> Self {
        let messages = config.sender_queue.min(config.queue_messages);
        // The same part of the bytes, and one message at the least.
        let part =
            u128::from(config.queue_bytes) * u128::from(messages) / u128::from(config.queue_messages.max(1));
        // No more than all of them.
        let bytes = (part as u64).max(config.max_payload.into());
        Self { messages, bytes, counts: KeySet::new() }
    }

    /// A queue that would hold no more than this is not looked at more closely.
    pub(crate) fn messages(&self) -> u32 {
        self.messages
    }

    /// The same for its bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many messages and bytes a sender has in a queue that is counted.
    pub(crate) fn of(&self, session: u32, sender: u32) -> (u64, u64) {
        let name = name(session, sender);
        // One that was not counted has none.
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

    /// Returns how many senders are forgotten.
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
