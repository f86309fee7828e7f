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

use super::declare::{least, ms, secs};

/// The most filters that a client may watch; none without the presence feature.
const MAX_WATCHES: u8 = if cfg!(feature = "presence") { 16 } else { 0 };
// The list shows these as numbers.
const _: () =
    assert!(MAX_DESTINATION_BYTES == 794 && MAX_ATTRIBUTE_BYTES == 1_585 && MAX_PAYLOAD == 16 << 20);

/// What proves that a client owns its UUID. It crosses a plain connection in clear.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret(pub [u8; 16]);

/// Keeps the secret out of logs.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

config! {
    /// Identity and limits of a client. All memory that the client ever uses follows from it.
    pub struct ClientConfig {
        /// The identity of this client.
        pub uuid: Uuid;
        /// What proves it.
        pub secret: Secret;
        /// One life of the client: a number drawn at random at each start, never used twice with this UUID.
        pub boot: u64;
        /// Any number; the jitter of the back-off is drawn from it.
        pub seed: u64;
        ..;
        /// Whether destinations match this client at all.
        pub receives: bool = true;
        /// The largest payload that is sent or received, in bytes.
        pub max_payload: u32 = 64 << 10, ..=16 << 20;
        /// Messages that may be unanswered at a time.
        pub outbox_messages: u32 = 4_096, 1..=1 << 24;
        /// Bytes of payloads and destinations that may be unanswered at a time, in blocks of 96 bytes (or one of all of them).
        /// One message with the longest destination has to fit.
        pub outbox_bytes: u32 = 4 << 20;
        /// Messages that may wait for the application.
        pub inbox_messages: u32 = 4_096, 1..=1 << 24;
        /// Bytes of payload that may wait for the application. One payload has to fit.
        pub inbox_bytes: u32 = 4 << 20;
        /// Senders that are remembered, to tell repetitions from new messages. The client forgets the one whose last message
        /// is the oldest. The default is also the most that are known by alias on a link.
        pub senders: u16 = 64, 1..=65_534;
        /// Ids of each sender that are remembered one by one, from the highest that came downwards. A multiple of 64. The
        /// default is as many as a sender's outbox holds, so that after a broker's death a recipient can prove what it had of
        /// all that a sender has to send again.
        pub seen_window: u16 = 4_096, 64..;
        /// Messages that were parked before they came and are remembered besides. With less it happens sooner that the client
        /// declines a repetition of one that it may have had.
        pub late_ids: u16 = 32;
        /// Destinations that are known by alias on a link; with 0 each message contains its destination in full.
        pub destination_slots: u8 = 4, ..=16;
        /// The longest destination, in encoded bytes: 17 for a UUID.
        pub destination_bytes: u16 = 794, 17..=794;
        /// Room for this client's own attributes, in encoded bytes.
        pub attribute_bytes: u16 = 1_585, 1..=1_585;
        /// Filters that may be watched at a time; 0 if presence is of no interest. `MAX_WATCHES` is 16, or 0 without the
        /// feature `presence`. Each takes as much room as the longest destination.
        pub watches: u8 = MAX_WATCHES / 4, ..=MAX_WATCHES;
        /// Items of presence that may wait for the application, 1.6 KB each. At least 1, or no `watches`.
        pub presence_items: u16 = 64;
        /// The first delay before connecting again, without jitter.
        pub reconnect_min: Duration = ms(50), Duration::from_nanos(1)..=ms(100);
        /// The longest delay before connecting again, without jitter. At least `reconnect_min`.
        pub reconnect_max: Duration = secs(5);
        /// How long the broker may take to answer a hello.
        pub handshake_timeout: Duration = secs(10), Duration::from_nanos(1)..;
        /// What carries the link: by default a reliable stream of bytes.
        pub framing: Framing = Framing::Length;
        /// Room for items that came before an earlier one that is missing, in bytes, if the framing is lossy. What has no room
        /// is sent again.
        pub reorder_bytes: u32 = 16 << 10;
        /// True if the application acknowledges messages itself; otherwise the next `poll_event` does. Receipts are acknowledged
        /// in order with messages: an application that holds back an acknowledgement while thousands of receipts come cannot
        /// send until it gives it.
        pub manual_acknowledgement: bool = false;
    }
}

/// Limits for a kind of program, to begin with: each can be set again after it.
impl ClientConfig {
    /// For a node on a microcontroller, in a block of 2.1 KB: payloads of 64 bytes, eight messages that wait for a connection,
    /// two that wait for the application, two senders that are remembered, no presence.
    ///
    /// ```
    /// use e_pigeon_core::{ClientConfig, Secret, Uuid};
    ///
    /// let config = ClientConfig::new(Uuid::from_u128(7), Secret([7; 16]), 1, 2).small().max_payload(32);
    /// assert!(config.memory_needed() < 2_200);
    /// ```
    #[must_use]
    pub const fn small(self) -> Self {
        let config = self.max_payload(64).outbox_messages(8).outbox_bytes(8 * 96);
        let config = config.inbox_messages(2).inbox_bytes(128).senders(2).seen_window(64).late_ids(1);
        let config = config.destination_slots(1).destination_bytes(32).attribute_bytes(32).reorder_bytes(128);
        config.watches(0).presence_items(0)
    }

    /// For a page in a browser, of which there are many on one machine, in a block of 1.3 MB: 256 messages and 512 KiB each
    /// way, 16 senders. It waits for up to half a minute before it connects again, because pages that nobody looks at come
    /// back together.
    #[must_use]
    pub const fn browser(self) -> Self {
        let config =
            self.outbox_messages(256).outbox_bytes(512 << 10).inbox_messages(256).inbox_bytes(512 << 10);
        let config = config.senders(16).seen_window(256).presence_items(8);
        config.reconnect_max(secs(30))
    }

    /// For a service that many clients write to, in a block of 72 MB: 16,384 messages and 32 MiB each way, 1,024 senders.
    #[must_use]
    pub const fn server(self) -> Self {
        let config = self.outbox_messages(16_384).outbox_bytes(32 << 20).inbox_messages(16_384);
        config.inbox_bytes(32 << 20).senders(1_024).destination_slots(16)
    }
}

impl ClientConfig {
    /// The largest datagram that a client with these limits writes, and so the buffer that
    /// [`poll_transmit`](crate::Client::poll_transmit) needs for datagrams.
    pub fn max_datagram(&self) -> usize {
        let hello = MAX_HELLO_HEAD + usize::from(self.attribute_bytes);
        let message = MAX_OVERHEAD + usize::from(self.destination_bytes) + self.max_payload as usize;
        MAX_PREFIX + hello.max(message)
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        self.check_bounds()?;
        let payload = u64::from(self.max_payload);
        least("outbox_bytes", self.outbox_bytes.into(), payload + u64::from(self.destination_bytes))?;
        least("inbox_bytes", self.inbox_bytes.into(), payload)?;
        // One payload more lies behind it, where the ring wraps.
        let most = u32::MAX - self.max_payload;
        if self.inbox_bytes > most {
            Err(ConfigError::TooLarge("inbox_bytes", Bound::Because("max_payload", most.into())))
        } else if !self.seen_window.is_multiple_of(64) {
            Err(ConfigError::NoMultiple("seen_window"))
        } else if self.watches > 0 && self.presence_items == 0 {
            Err(ConfigError::TooSmall("presence_items", Bound::Number(1)))
        } else if self.reconnect_max < self.reconnect_min {
            Err(ConfigError::TooSmall("reconnect_max", Bound::Time(self.reconnect_min)))
        } else {
            Ok(())
        }
    }
}
