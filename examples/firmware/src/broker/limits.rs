//! The limits of the broker.

use core::time::Duration;
use e_pigeon_core::BrokerConfig;

/// Limits for four clients and the service. All tables at these limits at once fit the heap, or it does not compile.
pub(super) const fn config(seed: u64) -> BrokerConfig {
    BrokerConfig::new(seed)
        // One more than sessions: a client too many receives the refusal in the handshake.
        .max_links(6)
        .max_lossy_links(0)
        .max_sessions(5)
        .max_attributes(4)
        .max_payload(64)
        .destination_bytes(64)
        .destination_slots(1)
        .max_messages(8)
        .max_message_bytes(6 * 64)
        .max_held(2)
        .max_queued(7)
        .queue_messages(4)
        .queue_bytes(4 * 64)
        .window_messages(2)
        .window_bytes(2 * 64)
        .receipt_backlog(1)
        .max_watches(0)
        .watch_backlog(1)
        .keep_alive(Duration::from_secs(2))
        .session_ttl(Duration::from_secs(60))
        // There are places for those that belong here and no more, so that a full table is nothing bad.
        .session_ttl_min(Duration::from_secs(60))
        .settle(Duration::from_millis(500))
        .reorder_bytes(0)
}
