//! How many entries, records and senders there may be, as follows from the limits.

use crate::config::broker::BrokerConfig;

/// Fewer ended ones are not worth going through all queues.
pub(crate) const MIN_ENDED: u64 = 1_024;
/// So many places in queues may be free however few are in use.
pub(crate) const MIN_SPARE: u64 = 65_536;
/// Void deliveries are joined to runs that take at most this part of the window in bytes, for it opens run by run.
pub(crate) const MAX_WINDOW_PARTS: u32 = 16;

/// Into so many parts void deliveries divide the window of a session: the shorter the queues, the fewer.
pub(crate) fn window_parts(config: &BrokerConfig) -> u32 {
    (config.queue_messages / 2).clamp(1, MAX_WINDOW_PARTS)
}

/// A log has no more runs of void deliveries that lie next to each other: two of these make up more than a part of the window.
pub(crate) fn max_void_runs(config: &BrokerConfig) -> u64 {
    2 * u64::from(window_parts(config)) + 2
}

/// So many records of ended messages may be kept for the queues that name them, before these are gone through.
pub(crate) fn max_ended(config: &BrokerConfig) -> u64 {
    let messages = u64::from(config.max_messages);
    MIN_ENDED.min(messages).max(messages / 4)
}

/// All queues have no more entries than that.
pub(crate) fn max_entries(config: &BrokerConfig) -> u64 {
    let all = u64::from(config.max_sessions).saturating_mul(config.queue_messages.into());
    all.min(config.max_queued.into())
}

/// There are no more records of messages than that, ended ones included. Each but the newest is named by a queue, waits, or is
/// written on a link.
pub(crate) fn max_records(config: &BrokerConfig) -> u64 {
    let ended =
        2 * max_ended(config) + u64::from(crate::broker::store::work::MESSAGES) + u64::from(config.max_links);
    let needed = max_entries(config) + u64::from(config.max_held) + u64::from(config.max_links) + 1;
    needed.min(u64::from(config.max_messages) + ended)
}

/// There are no more senders than that: each has a session, or a message.
pub(crate) fn max_senders(config: &BrokerConfig) -> u64 {
    u64::from(config.max_sessions) + max_records(config)
}

/// So many places may queues have for so many entries, before they are gone through; then they have half of that.
pub(crate) fn max_places(entries: u64, sessions: u64) -> u64 {
    MIN_SPARE + 4 * entries + 8 * sessions
}

/// So many places all queues have at the most. While they are gone through some grow, which have three entries then for each
/// eight places.
pub(crate) fn most_places(entries: u64, sessions: u64) -> u64 {
    max_places(entries, sessions).saturating_add(entries.saturating_mul(8) / 3)
}
