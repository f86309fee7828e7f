//! Every limit with its unit, its default and the reason for it. Validated once, when a machine is made.

use crate::attributes::{MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTES};
use crate::destination::MAX_DESTINATION_BYTES;
use crate::error::{Bound, ConfigError};
use crate::framing::Framing;
use crate::wire::item::MAX_DELIVER_HEAD;
use crate::wire::lossy::MAX_PREFIX;
use crate::wire::{MAX_HELLO_HEAD, MAX_OVERHEAD, MAX_PAYLOAD, MAX_PRESENCE, MAX_SLOTS};
use core::fmt;
use core::time::Duration;
use uuid::Uuid;

/// The most filters that a client may watch; none where presence is left out.
const MAX_WATCHES: u8 = if cfg!(feature = "presence") { 16 } else { 0 };

/// What proves that a client owns its UUID. It crosses a plain connection in clear.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret(pub [u8; 16]);

/// Keeps the secret out of logs.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Identity and limits of a client. All memory that the client ever uses follows from it.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Who this client is.
    pub uuid: Uuid,
    /// What proves it.
    pub secret: Secret,
    /// One life of the client: a number drawn at random at each start, never used twice with this UUID.
    pub boot: u64,
    /// Any number; the jitter of the back-off is drawn from it.
    pub seed: u64,
    /// Whether destinations match this client at all. Default true.
    pub receives: bool,
    /// The largest payload that is sent or received, in bytes. Default 65,536.
    pub max_payload: u32,
    /// How many messages may be unanswered at a time. Default 4,096.
    pub outbox_messages: u32,
    /// How many bytes of payloads and destinations may be unanswered at a time. Default 4 MiB, in blocks of 96 bytes
    /// (or one of all of them).
    pub outbox_bytes: u32,
    /// How many messages may wait for the application. Default 4,096.
    pub inbox_messages: u32,
    /// How many bytes of payload may wait for the application. Default 4 MiB.
    pub inbox_bytes: u32,
    /// How many senders are remembered, to know repetitions from new messages. Default 64, which is also the most
    /// that are known by alias on a link; the one heard longest ago is forgotten.
    pub senders: u16,
    /// How many ids of each sender are remembered one by one, from the highest that was had downwards. A multiple of
    /// 64; default 4,096: as many as a sender's outbox holds, so that after a broker's death a recipient can prove
    /// what it had of all that a sender has to send again.
    pub seen_window: u16,
    /// How many messages that were parked before they came are remembered besides. Default 32; with less it happens
    /// sooner that a repetition of one is declined, which may have been had.
    pub late_ids: u16,
    /// How many destinations are known by alias on a link. Default 4, at most 16; with 0 each message says in full where
    /// it goes.
    pub destination_slots: u8,
    /// The longest destination, in encoded bytes: 17 for a UUID. Default and maximum 794.
    pub destination_bytes: u16,
    /// Room for this client's own attributes, in encoded bytes. Default and maximum 1,585.
    pub attribute_bytes: u16,
    /// How many filters may be watched at a time. Default 4, at most 16; 0 where presence is of no interest, or without
    /// the feature `presence`. Each takes as much room as the longest destination.
    pub watches: u8,
    /// How many items of presence may wait for the application, 1.6 KB each. Default 64; of no use where `watches`
    /// is 0.
    pub presence_items: u16,
    /// The first delay before connecting again, without jitter. Default 50 ms, at most 100 ms.
    pub reconnect_min: Duration,
    /// The longest delay before connecting again, without jitter. Default 5 s.
    pub reconnect_max: Duration,
    /// How long the broker may take to answer a hello. Default 10 s.
    pub handshake_timeout: Duration,
    /// What carries the link. Default a reliable stream of bytes.
    pub framing: Framing,
    /// Room for items that came before an earlier one that is missing, in bytes, where the framing is lossy. Default
    /// 16 KiB; what has no room is sent again.
    pub reorder_bytes: u32,
    /// True where the application acknowledges messages itself. Default false: the next `poll_event` does. Receipts
    /// are acknowledged in order with messages: whoever holds back an acknowledgement while thousands of receipts come
    /// has to wait with sending, until it is given.
    pub manual_acknowledgement: bool,
}

fn least(holds: bool, name: &'static str, bound: Bound) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError::TooSmall(name, bound)) }
}

fn most(holds: bool, name: &'static str, bound: Bound) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError::TooLarge(name, bound)) }
}

impl ClientConfig {
    /// The defaults for this identity.
    pub fn new(uuid: Uuid, secret: Secret, boot: u64, seed: u64) -> Self {
        Self {
            uuid,
            secret,
            boot,
            seed,
            receives: true,
            max_payload: 64 * 1024,
            outbox_messages: 4_096,
            outbox_bytes: 4 << 20,
            inbox_messages: 4_096,
            inbox_bytes: 4 << 20,
            senders: 64,
            seen_window: 4_096,
            late_ids: 32,
            destination_slots: 4,
            destination_bytes: MAX_DESTINATION_BYTES as u16,
            attribute_bytes: MAX_ATTRIBUTE_BYTES as u16,
            watches: MAX_WATCHES / 4,
            presence_items: 64,
            reconnect_min: Duration::from_millis(50),
            reconnect_max: Duration::from_secs(5),
            handshake_timeout: Duration::from_secs(10),
            framing: Framing::Length,
            reorder_bytes: 16 << 10,
            manual_acknowledgement: false,
        }
    }

    /// The largest datagram that a client with these limits writes: as large a buffer
    /// [`poll_transmit`](crate::Client::poll_transmit) needs where the framing is that.
    pub fn max_datagram(&self) -> usize {
        let hello = MAX_HELLO_HEAD + usize::from(self.attribute_bytes);
        let message = MAX_OVERHEAD + usize::from(self.destination_bytes) + self.max_payload as usize;
        MAX_PREFIX + hello.max(message)
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        use Bound::{Because, Number, Time};
        // Nothing works with none of it.
        let small = |is: bool, name| least(!is, name, Number(1));
        most(self.max_payload <= MAX_PAYLOAD, "max_payload", Number(u64::from(MAX_PAYLOAD)))?;
        small(self.outbox_messages == 0, "outbox_messages")?;
        most(self.outbox_messages <= 1 << 24, "outbox_messages", Number(1 << 24))?;
        let one_message = u64::from(self.max_payload) + u64::from(self.destination_bytes);
        least(
            u64::from(self.outbox_bytes) >= one_message,
            "outbox_bytes",
            Because("max_payload", one_message),
        )?;
        small(self.inbox_messages == 0, "inbox_messages")?;
        most(self.inbox_messages <= 1 << 24, "inbox_messages", Number(1 << 24))?;
        least(
            self.inbox_bytes >= self.max_payload,
            "inbox_bytes",
            Because("max_payload", u64::from(self.max_payload)),
        )?;
        // One payload more lies behind it, where the ring wraps.
        let room = u32::MAX - self.max_payload;
        most(self.inbox_bytes <= room, "inbox_bytes", Because("max_payload", u64::from(room)))?;
        small(self.senders == 0, "senders")?;
        most(self.senders < u16::MAX, "senders", Number(u64::from(u16::MAX) - 1))?;
        least(self.seen_window >= 64, "seen_window", Number(64))?;
        if !self.seen_window.is_multiple_of(64) {
            return Err(ConfigError::NoMultiple("seen_window"));
        }
        most(self.destination_slots <= 16, "destination_slots", Number(16))?;
        least(self.destination_bytes >= 17, "destination_bytes", Number(17))?;
        most(
            usize::from(self.destination_bytes) <= MAX_DESTINATION_BYTES,
            "destination_bytes",
            Number(MAX_DESTINATION_BYTES as u64),
        )?;
        small(self.attribute_bytes == 0, "attribute_bytes")?;
        most(
            usize::from(self.attribute_bytes) <= MAX_ATTRIBUTE_BYTES,
            "attribute_bytes",
            Number(MAX_ATTRIBUTE_BYTES as u64),
        )?;
        let most_watches = u64::from(MAX_WATCHES);
        most(u64::from(self.watches) <= most_watches, "watches", Number(most_watches))?;
        small(self.watches > 0 && self.presence_items == 0, "presence_items")?;
        least(!self.reconnect_min.is_zero(), "reconnect_min", Time(Duration::from_nanos(1)))?;
        let longest = Duration::from_millis(100);
        most(self.reconnect_min <= longest, "reconnect_min", Time(longest))?;
        least(self.reconnect_max >= self.reconnect_min, "reconnect_max", Time(self.reconnect_min))?;
        least(!self.handshake_timeout.is_zero(), "handshake_timeout", Time(Duration::from_nanos(1)))
    }
}

/// The smallest buffer for a payload.
#[cfg(feature = "alloc")]
pub(crate) const MIN_BUFFER: usize = 32;
/// How many sizes of buffers payloads share: from 32 bytes to 64 KiB, doubling. A larger one has a buffer of its length.
#[cfg(feature = "alloc")]
pub(crate) const BUFFER_CLASSES: usize = 12;

/// The class of the smallest shared buffers that would hold so many bytes.
#[cfg(feature = "alloc")]
pub(crate) const fn buffer_class(length: usize) -> usize {
    length.div_ceil(MIN_BUFFER).next_power_of_two().trailing_zeros() as usize
}

/// How many bytes a broker takes for a payload of so many.
#[cfg(feature = "alloc")]
pub(crate) const fn payload_buffer(length: usize) -> usize {
    let class = buffer_class(length);
    if class < BUFFER_CLASSES { MIN_BUFFER << class } else { length }
}

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

    #[cfg(feature = "alloc")]
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
