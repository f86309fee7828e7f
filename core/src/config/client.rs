//! Identity and limits of a client.

use crate::data::attributes::MAX_ATTRIBUTE_BYTES;
use crate::data::destination::MAX_DESTINATION_BYTES;
use crate::error::{Bound, ConfigError};
use crate::wire::frame::Framing;
use crate::wire::limits::{MAX_HELLO_HEAD, MAX_OVERHEAD, MAX_PAYLOAD};
use crate::wire::state::MAX_PREFIX;
use core::fmt;
use core::time::Duration;
use uuid::Uuid;

use super::checks::{least, most};
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
    /// are acknowledged in order with messages: an application that holds back an acknowledgement while thousands of
    /// receipts come cannot send until it gives it.
    pub manual_acknowledgement: bool,
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
