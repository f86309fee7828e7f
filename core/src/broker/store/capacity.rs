//! How many entries, records and senders a broker can have, as follows from its limits.

use crate::config::broker::BrokerConfig;

/// The smaller of two numbers, for what can be computed at compile time.
pub(crate) const fn min(one: u64, other: u64) -> u64 {
    if one < other { one } else { other }
}

/// The larger of two numbers, likewise.
pub(crate) const fn max(one: u64, other: u64) -> u64 {
    if one > other { one } else { other }
}

/// With fewer entries of ended messages than this, a sweep through all queues is not worth its cost.
pub(crate) const MIN_ENDED: u64 = 1_024;
/// Free places that the queues may have, however few places are in use.
pub(crate) const MIN_SPARE: u64 = 65_536;
/// A run of void deliveries takes at most this part of the window in bytes, because the window opens run by run.
pub(crate) const MAX_WINDOW_PARTS: u32 = 16;

/// The number of parts into which runs of void deliveries divide the window of a session. Short queues have fewer parts.
pub(crate) const fn window_parts(config: &BrokerConfig) -> u32 {
    match config.queue_messages / 2 {
        0 => 1,
        parts if parts < MAX_WINDOW_PARTS => parts,
        _ => MAX_WINDOW_PARTS,
    }
}

/// The most adjacent runs of void deliveries in one log: any two of them make up more than one part of the window.
pub(crate) const fn max_void_runs(config: &BrokerConfig) -> u64 {
    2 * window_parts(config) as u64 + 2
}

/// The most records of ended messages that are kept for the queues that name them, before a sweep through the queues.
pub(crate) const fn max_ended(config: &BrokerConfig) -> u64 {
    let messages = config.max_messages as u64;
    max(min(MIN_ENDED, messages), messages / 4)
}

/// The most entries of all queues together.
pub(crate) const fn max_entries(config: &BrokerConfig) -> u64 {
    let all = (config.max_sessions as u64).saturating_mul(config.queue_messages as u64);
    min(all, config.max_queued as u64)
}

/// The most records of messages, ended ones included. Each but the newest is named by a queue, waits, or is written on a
/// link.
pub(crate) const fn max_records(config: &BrokerConfig) -> u64 {
    let ended = 2 * max_ended(config) + crate::broker::store::work::MESSAGES as u64 + config.max_links as u64;
    let needed = max_entries(config) + config.max_held as u64 + config.max_links as u64 + 1;
    min(needed, config.max_messages as u64 + ended)
}

/// The most senders: each has a session or a message.
pub(crate) const fn max_senders(config: &BrokerConfig) -> u64 {
    config.max_sessions as u64 + max_records(config) + 1
}

/// The most places of all queues for that many entries. With more, a sweep begins, which leaves half of them.
pub(crate) const fn max_places(entries: u64, sessions: u64) -> u64 {
    MIN_SPARE + 4 * entries + 8 * sessions
}

/// The same during a sweep: a queue that grows meanwhile has at least three entries for each eight places.
pub(crate) const fn most_places(entries: u64, sessions: u64) -> u64 {
    max_places(entries, sessions).saturating_add(entries.saturating_mul(8) / 3)
}
