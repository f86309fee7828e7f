//! Limits of a broker.

use crate::data::attributes::MAX_ATTRIBUTES;
use crate::data::destination::MAX_DESTINATION_BYTES;
use crate::error::{Bound, ConfigError};
use crate::wire::item::MAX_DELIVER_HEAD;
use crate::wire::limits::{MAX_PAYLOAD, MAX_PRESENCE, MAX_SLOTS};
use crate::wire::state::MAX_PREFIX;
use core::time::Duration;

use super::buffers::payload_buffer;
use super::checks::{least, most};
/// Limits of a broker. Every table and queue has one; what reaches it is refused and told so.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// The key of the hash tables: a number that clients do not know and cannot guess, so that they cannot choose keys that
    /// collide. There is no default. The epoch of a broker does not do: its clients know it.
    pub hash_seed: u64,
    /// How many links may be open at a time. Default 16,384.
    pub max_links: u32,
    /// How many of these may be over lossy framed transports, which take far more memory each. Default 16,384.
    pub max_lossy_links: u32,
    /// How many links one source may have at a time, see [`Broker::handle_connected`](crate::Broker::handle_connected).
    /// Default 0: as many as there may be at all.
    pub max_links_per_source: u32,
    /// How many hellos of one source may fail in a minute, those counted that are still awaited; one that is welcomed does
    /// not count. Further connections of that source are refused. Default 0: any number.
    pub max_failed_hellos_per_source: u32,
    /// How many sessions may exist, connected or away. Default 65,536. A message goes to all its recipients in one call, at 60 to
    /// 180 instructions for each of them: with more sessions that call holds up the others for longer.
    pub max_sessions: u32,
    /// How many attributes a session may have. Default and maximum 16.
    pub max_attributes: u8,
    /// The largest payload, in bytes. Default 65,536, at most 16 MiB.
    pub max_payload: u32,
    /// The longest destination of a message, in encoded bytes: 17 for a UUID. Default and maximum 794.
    pub destination_bytes: u16,
    /// How many destinations are known by alias on a link. Default and maximum 16, at least 1.
    pub destination_slots: u8,
    /// How many messages may be in flight in the whole broker. Default 1,000,000. What has ended does not count.
    pub max_messages: u32,
    /// How many bytes their payloads may take, each counted as the next power of two, 32 at the
    /// least, or as its length above 64 KiB. Default 1 GiB.
    pub max_message_bytes: u64,
    /// How many messages may wait, parked, for somebody who matches, or held, after a broker's death. Default 100,000.
    /// For held messages, eight times as many offers to recipients are remembered.
    pub max_held: u32,
    /// How many of these may be parked; the others are kept for held ones. Default 50,000.
    pub max_parked: u32,
    /// How many messages of one sender may wait, parked or held. Default 25,000.
    pub sender_waiting: u32,
    /// How many messages all queues may have together, one that is in several as often. Default 4,194,304.
    pub max_queued: u32,
    /// How many messages of one sender a session's queue may have, and the same part of its bytes, though always one message.
    /// Default 8,192, the half of a queue; as many as `queue_messages` or more set no limit.
    pub sender_queue: u32,
    /// How many messages a session's queue may have. Default 16,384: more than a client's outbox, so that one fast
    /// sender alone never has a message refused.
    pub queue_messages: u32,
    /// How many bytes of payload a session's queue may have. Default 16 MiB.
    pub queue_bytes: u64,
    /// How many messages a client may have sent that the broker has not acknowledged. Default 4,096.
    pub window_messages: u32,
    /// How many bytes of payload these may have. Default 4 MiB.
    pub window_bytes: u32,
    /// How many receipts may wait for a sender before its window stays shut. Default 4,096 (runs, not messages).
    pub receipt_backlog: u32,
    /// How many receipts may wait for all senders together, in runs. Default 1,048,576. When half of that is reached, the
    /// window of a sender for which more than 16 wait is shut; when all of it is reached, what it sent before it knew of that
    /// is refused as *broker full*.
    pub max_receipts: u32,
    /// How many filters a session may watch. Default 8.
    pub max_watches: u8,
    /// How many changes of presence may wait for a watcher, under each of its filters, before it is given a new
    /// snapshot instead. Default 1,024.
    pub watch_backlog: u32,
    /// The longest time to live of a message; longer ones are cut to it. Default 7 days.
    pub max_time_to_live: Duration,
    /// After how much silence an end says that it is there; three times that is death. Default 10 s.
    pub keep_alive: Duration,
    /// How long a session without a link stays. Default 10 minutes. New sessions get less of it while more than half of
    /// `max_sessions` exist, see [`session_ttl_min`](Self::session_ttl_min).
    pub session_ttl: Duration,
    /// How long a session without a link stays at least, however many there are: that of one that begins while 90 % of
    /// `max_sessions` exist. Default 30 s; more than `session_ttl` counts as that, so that all sessions are treated alike.
    pub session_ttl_min: Duration,
    /// How long a new broker waits for clients of its predecessor before it takes their items. Default 2 s.
    pub settle: Duration,
    /// How long a new link may take to say hello. Default 5 s.
    pub handshake_timeout: Duration,
    /// Room for items that came before an earlier one that is missing, in bytes for each link whose framing is lossy.
    /// Default 64 KiB; what has no room is sent again.
    pub reorder_bytes: u32,
    /// How long *accepted* may wait for the final receipt to overtake it. Default 10 ms.
    pub accept_delay: Duration,
}

impl BrokerConfig {
    /// The default limits, with a [`hash_seed`](Self::hash_seed) to be drawn at random at each start. It cannot be forgotten:
    ///
    /// ```compile_fail,E0599
    /// let config = e_pigeon_core::BrokerConfig::default();
    /// ```
    pub fn new(hash_seed: u64) -> Self {
        Self {
            hash_seed,
            max_links: 16_384,
            max_lossy_links: 16_384,
            max_links_per_source: 0,
            max_failed_hellos_per_source: 0,
            max_sessions: 65_536,
            max_attributes: MAX_ATTRIBUTES as u8,
            max_payload: 64 * 1024,
            destination_bytes: MAX_DESTINATION_BYTES as u16,
            destination_slots: MAX_SLOTS,
            max_messages: 1_000_000,
            max_message_bytes: 1 << 30,
            max_held: 100_000,
            max_parked: 50_000,
            sender_waiting: 25_000,
            max_queued: 4 << 20,
            sender_queue: 8_192,
            queue_messages: 16_384,
            queue_bytes: 16 << 20,
            window_messages: 4_096,
            window_bytes: 4 << 20,
            receipt_backlog: 4_096,
            max_receipts: 1 << 20,
            max_watches: 8,
            watch_backlog: 1_024,
            max_time_to_live: Duration::from_secs(7 * 24 * 3600),
            keep_alive: Duration::from_secs(10),
            session_ttl: Duration::from_secs(600),
            session_ttl_min: Duration::from_secs(30),
            settle: Duration::from_secs(2),
            handshake_timeout: Duration::from_secs(5),
            reorder_bytes: 64 << 10,
            accept_delay: Duration::from_millis(10),
        }
    }
}

impl BrokerConfig {
    /// The largest datagram that a broker with these limits writes: as large a buffer
    /// [`poll_transmit`](crate::Broker::poll_transmit) needs where the framing is that.
    pub fn max_datagram(&self) -> usize {
        MAX_PREFIX + MAX_PRESENCE.max(MAX_DELIVER_HEAD + self.max_payload as usize)
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        use Bound::{Because, Number, Time};
        // Nothing works with none of it.
        let small = |is: bool, name| least(!is, name, Number(1));
        small(self.max_links == 0, "max_links")?;
        small(self.max_sessions == 0, "max_sessions")?;
        most(
            usize::from(self.max_attributes) <= MAX_ATTRIBUTES,
            "max_attributes",
            Number(MAX_ATTRIBUTES as u64),
        )?;
        most(self.max_payload <= MAX_PAYLOAD, "max_payload", Number(u64::from(MAX_PAYLOAD)))?;
        least(self.destination_bytes >= 17, "destination_bytes", Number(17))?;
        most(
            usize::from(self.destination_bytes) <= MAX_DESTINATION_BYTES,
            "destination_bytes",
            Number(MAX_DESTINATION_BYTES as u64),
        )?;
        small(self.destination_slots == 0, "destination_slots")?;
        most(self.destination_slots <= MAX_SLOTS, "destination_slots", Number(u64::from(MAX_SLOTS)))?;
        small(self.max_messages == 0, "max_messages")?;
        // The highest bit marks an empty place in some tables.
        most(self.max_messages <= 1 << 30, "max_messages", Number(1 << 30))?;
        most(self.max_sessions <= 1 << 30, "max_sessions", Number(1 << 30))?;
        most(self.max_links <= 1 << 30, "max_links", Number(1 << 30))?;
        let buffer = payload_buffer(self.max_payload as usize) as u64;
        least(self.max_message_bytes >= buffer, "max_message_bytes", Because("max_payload", buffer))?;
        small(self.max_queued == 0, "max_queued")?;
        small(self.sender_queue == 0, "sender_queue")?;
        small(self.queue_messages == 0, "queue_messages")?;
        let payload = u64::from(self.max_payload);
        least(self.queue_bytes >= payload, "queue_bytes", Because("max_payload", payload))?;
        small(self.window_messages == 0, "window_messages")?;
        least(self.window_bytes >= self.max_payload, "window_bytes", Because("max_payload", payload))?;
        small(self.receipt_backlog == 0, "receipt_backlog")?;
        small(self.max_receipts == 0, "max_receipts")?;
        small(self.watch_backlog == 0, "watch_backlog")?;
        let (shortest, day) = (Duration::from_millis(1), Duration::from_secs(24 * 3600));
        let (minute, year) = (Duration::from_secs(60), 365 * day);
        most(self.accept_delay <= minute, "accept_delay", Time(minute))?;
        least(self.keep_alive >= shortest, "keep_alive", Time(shortest))?;
        most(self.keep_alive <= day, "keep_alive", Time(day))?;
        least(self.session_ttl >= shortest, "session_ttl", Time(shortest))?;
        most(self.session_ttl <= year, "session_ttl", Time(year))?;
        least(self.session_ttl_min >= shortest, "session_ttl_min", Time(shortest))?;
        least(self.max_time_to_live >= shortest, "max_time_to_live", Time(shortest))?;
        least(!self.handshake_timeout.is_zero(), "handshake_timeout", Time(Duration::from_nanos(1)))
    }
}
