//! Limits of a broker.

use crate::data::attributes::MAX_ATTRIBUTES;
use crate::data::destination::MAX_DESTINATION_BYTES;
use crate::error::ConfigError;
use crate::wire::item::MAX_DELIVER_HEAD;
use crate::wire::limits::{MAX_PAYLOAD, MAX_PRESENCE, MAX_SLOTS};
use crate::wire::state::MAX_PREFIX;
use core::time::Duration;

use super::buffers::payload_buffer;
use super::declare::{hours, least, ms, secs};

// The list shows these as numbers.
const _: () = assert!(
    MAX_ATTRIBUTES == 16 && MAX_DESTINATION_BYTES == 794 && MAX_SLOTS == 16 && MAX_PAYLOAD == 16 << 20
);

config! {
    /// Limits of a broker. Every table and queue has one; the broker refuses what reaches it, and reports that to the client.
    ///
    /// There is no default [`hash_seed`](#structfield.hash_seed), which has to be drawn at random at each start. It cannot be
    /// forgotten:
    ///
    /// ```compile_fail,E0599
    /// let config = e_pigeon_core::BrokerConfig::default();
    /// ```
    pub struct BrokerConfig {
        /// The key of the hash tables: a number that clients do not know and cannot guess, so that they cannot choose keys
        /// that collide. The epoch of a broker does not do: its clients know it.
        pub hash_seed: u64;
        ..;
        /// Links that may be open at a time.
        pub max_links: u32 = 16_384, 1..=1 << 30;
        /// Of these, links over lossy framed transports, which take far more memory each.
        pub max_lossy_links: u32 = 16_384;
        /// Links that one source may have at a time, see [`Broker::handle_connected`](crate::Broker::handle_connected). 0 sets
        /// no limit.
        pub max_links_per_source: u32 = 0;
        /// Hellos of one source that may fail in a minute, with those that are still awaited; a hello that is welcomed does not
        /// count. Further connections of that source are refused. 0 sets no limit.
        pub max_failed_hellos_per_source: u32 = 0;
        /// Sessions that may exist, connected or away. A message goes to all its recipients in one call, at 60 to 180
        /// instructions for each of them: with more sessions that call holds up the others for longer.
        pub max_sessions: u32 = 65_536, 1..=1 << 30;
        /// Attributes that a session may have.
        pub max_attributes: u8 = 16, ..=16;
        /// The largest payload, in bytes.
        pub max_payload: u32 = 64 << 10, ..=16 << 20;
        /// The longest destination of a message, in encoded bytes: 17 for a UUID.
        pub destination_bytes: u16 = 794, 17..=794;
        /// Destinations that are known by alias on a link.
        pub destination_slots: u8 = 16, 1..=16;
        /// Messages that may be in flight in the whole broker. What has ended does not count.
        pub max_messages: u32 = 1_000_000, 1..=1 << 30;
        /// Bytes that their payloads may take, each counted as the next power of two, 32 at the least, or as its length above
        /// 64 KiB. One payload has to fit.
        pub max_message_bytes: u64 = 1 << 30;
        /// Messages that may wait, parked for a session that matches, or held after a broker's death. For held messages, the
        /// broker remembers eight times as many offers to recipients.
        pub max_held: u32 = 100_000;
        /// Of these, messages that may be parked; the other places are kept for held ones.
        pub max_parked: u32 = 50_000;
        /// Messages of one sender that may wait, parked or held.
        pub sender_waiting: u32 = 25_000;
        /// Messages that all queues may have together; a message in several queues counts in each.
        pub max_queued: u32 = 4 << 20, 1..;
        /// Messages of one sender that a session's queue may have, and the same part of its bytes, though always one message.
        /// The default is the half of a queue; as many as `queue_messages` or more set no limit.
        pub sender_queue: u32 = 8_192, 1..;
        /// Messages that a session's queue may have. The default is more than a client's outbox, so that one fast sender alone
        /// never has a message refused.
        pub queue_messages: u32 = 16_384, 1..;
        /// Bytes of payload that a session's queue may have. One payload has to fit.
        pub queue_bytes: u64 = 16 << 20;
        /// Messages that a client may have sent before the broker acknowledges them.
        pub window_messages: u32 = 4_096, 1..;
        /// Bytes of payload that these may have. One payload has to fit.
        pub window_bytes: u32 = 4 << 20;
        /// Receipts that may wait for a sender before its window stays shut, in runs, not messages.
        pub receipt_backlog: u32 = 4_096, 1..;
        /// Receipts that may wait for all senders together, in runs. When half of that is reached, the window of a sender for
        /// which more than 16 wait is shut; when all of it is reached, what it sent before it knew of that is refused as
        /// *broker full*.
        pub max_receipts: u32 = 1 << 20, 1..;
        /// Filters that a session may watch.
        pub max_watches: u8 = 8;
        /// Changes of presence that may wait for a watcher, under each of its filters, before a new snapshot replaces them.
        pub watch_backlog: u32 = 1_024, 1..;
        /// The longest time to live of a message; the broker cuts longer ones to it.
        pub max_time_to_live: Duration = hours(7 * 24), ms(1)..;
        /// The silence after which an end sends a keep-alive; after three times that the other end counts as dead.
        pub keep_alive: Duration = secs(10), ms(1)..=hours(24);
        /// How long a session without a link stays. New sessions get less of it while more than half of `max_sessions` exist,
        /// see [`session_ttl_min`](#structfield.session_ttl_min).
        pub session_ttl: Duration = secs(600), ms(1)..=hours(365 * 24);
        /// How long a session without a link stays at least, however many there are: that of one that begins while 90 % of
        /// `max_sessions` exist. More than `session_ttl` counts as that, so that all sessions have the same.
        pub session_ttl_min: Duration = secs(30), ms(1)..;
        /// How long a new broker waits for clients of its predecessor before it accepts their items.
        pub settle: Duration = secs(2);
        /// How long a new link may take to say hello.
        pub handshake_timeout: Duration = secs(5), Duration::from_nanos(1)..;
        /// Room for items that came before an earlier one that is missing, in bytes for each link whose framing is lossy. What
        /// has no room is sent again.
        pub reorder_bytes: u32 = 64 << 10;
        /// Delay of *accepted*, so that the final receipt may overtake it.
        pub accept_delay: Duration = ms(10), ..=secs(60);
    }
}

impl BrokerConfig {
    /// The largest datagram that a broker with these limits writes, and so the buffer that
    /// [`poll_transmit`](crate::Broker::poll_transmit) needs for datagrams.
    pub fn max_datagram(&self) -> usize {
        MAX_PREFIX + MAX_PRESENCE.max(MAX_DELIVER_HEAD + self.max_payload as usize)
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        self.check_bounds()?;
        let (payload, buffer) =
            (u64::from(self.max_payload), payload_buffer(self.max_payload as usize) as u64);
        least("max_message_bytes", self.max_message_bytes, buffer)?;
        least("queue_bytes", self.queue_bytes, payload)?;
        least("window_bytes", self.window_bytes.into(), payload)
    }
}
