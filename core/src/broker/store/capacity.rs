//! How many entries, records and senders a broker can have, as follows from its limits.

use crate::config::broker::BrokerConfig;

/// With fewer entries of ended messages than this, a sweep through all queues is not worth its cost.
pub(crate) const MIN_ENDED: u64 = 1_024;
/// Free places that the queues may have, however few places are in use.
pub(crate) const MIN_SPARE: u64 = 65_536;
/// A run of void deliveries takes at most this part of the window in bytes, because the window opens run by run.
pub(crate) const MAX_WINDOW_PARTS: u32 = 16;

/// The number of parts into which runs of void deliveries divide the window of a session. Short queues have fewer parts.
pub(crate) fn window_parts(config: &BrokerConfig) -> u32 {
    (config.queue_messages / 2).clamp(1, MAX_WINDOW_PARTS)
}

/// The most adjacent runs of void deliveries in one log: any two of them make up more than one part of the window.
pub(crate) fn max_void_runs(config: &BrokerConfig) -> u64 {
    2 * u64::from(window_parts(config)) + 2
}

/// The most records of ended messages that are kept for the queues that name them, before a sweep through the queues.
pub(crate) fn max_ended(config: &BrokerConfig) -> u64 {
    let messages = u64::from(config.max_messages);
    MIN_ENDED.min(messages).max(messages / 4)
}

/// The most entries of all queues together.
pub(crate) fn max_entries(config: &BrokerConfig) -> u64 {
    let all = u64::from(config.max_sessions).saturating_mul(config.queue_messages.into());
    all.min(config.max_queued.into())
}

/// The most records of messages, ended ones included. Each but the newest is named by a queue, waits, or is written on a
/// link.
pub(crate) fn max_records(config: &BrokerConfig) -> u64 {
    let ended =
        2 * max_ended(config) + u64::from(crate::broker::store::work::MESSAGES) + u64::from(config.max_links);
    let needed = max_entries(config) + u64::from(config.max_held) + u64::from(config.max_links) + 1;
    needed.min(u64::from(config.max_messages) + ended)
}

/// The most senders: each has a session or a message.
pub(crate) fn max_senders(config: &BrokerConfig) -> u64 {
    u64::from(config.max_sessions) + max_records(config) + 1
}

/// The most places of all queues for that many entries. With more, a sweep begins, which leaves half of them.
pub(crate) fn max_places(entries: u64, sessions: u64) -> u64 {
    MIN_SPARE + 4 * entries + 8 * sessions
}

/// The same during a sweep: a queue that grows meanwhile has at least three entries for each eight places.
pub(crate) fn most_places(entries: u64, sessions: u64) -> u64 {
    max_places(entries, sessions).saturating_add(entries.saturating_mul(8) / 3)
}
