//! What a run begins with: limits of the broker and of its clients, and the medium between them.

use crate::step::uuid;
use core::time::Duration;
use e_pigeon_core::{BrokerConfig, ClientConfig, Framing, Secret};

/// What the bytes between clients and broker travel on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Medium {
    /// A reliable byte stream.
    #[default]
    Stream,
    /// A serial line: bytes may be damaged, lost and inserted.
    Serial,
    /// Datagrams: they may be lost, come twice, and overtake each other.
    Datagrams,
}

impl Medium {
    /// How frames go on it.
    pub fn framing(self) -> Framing {
        match self {
            Self::Stream => Framing::Length,
            Self::Serial => Framing::Cobs,
            Self::Datagrams => Framing::Datagram,
        }
    }
}

/// What a run begins with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Epochs, boots, seeds of clients and payloads are drawn from it.
    pub seed: u64,
    /// Limits of the broker, in all of its lives.
    pub broker: BrokerConfig,
    /// How many units of work one call of the broker may do; fewer than [`LEAST`] count as that.
    pub budget: u32,
    /// From how many sources clients come: each from that of its number modulo this.
    pub sources: u64,
    /// Limits of each client; UUID, secret, boot and seed are given by the world.
    pub clients: Vec<ClientConfig>,
    /// What lies between them.
    pub medium: Medium,
    /// In what pieces bytes arrive while everything flows, and how large buffers for output are then; 0: all at once.
    pub piece: usize,
}

/// Units of work that one call of the broker may do by default.
pub const BUDGET: u32 = 32_768;
/// The fewest that it takes.
pub const LEAST: u32 = 88;

/// The time to live of a message that is not meant to expire.
pub const LONG: Duration = Duration::from_secs(900);

impl Setup {
    /// So many clients, with plain limits, on byte streams.
    pub fn new(clients: usize) -> Self {
        let broker = plain_broker();
        let clients = (0..clients).map(|_| plain_client()).collect();
        Self { seed: 0, broker, budget: BUDGET, sources: 64, clients, medium: Medium::Stream, piece: 0 }
    }

    /// True if the broker may have so few receipts that a small world comes near to that.
    pub(crate) fn has_few_receipts(&self) -> bool {
        self.broker.max_receipts < plain_broker().max_receipts
    }
}

/// Limits of a broker that nothing in a small world comes near to.
pub fn plain_broker() -> BrokerConfig {
    BrokerConfig::new(0)
        .max_payload(1_000)
        .max_links(64)
        .max_sessions(64)
        .queue_messages(100_000)
        // Queues have no shares of senders: so it is known beforehand when they are full.
        .sender_queue(100_000)
        .queue_bytes(1 << 30)
        .window_messages(64)
        .window_bytes(64_000)
        .session_ttl(LONG * 4)
}

/// Limits of a client that nothing in a small world comes near to.
pub fn plain_client() -> ClientConfig {
    let mut config = ClientConfig::new(uuid(0), Secret([0; 16]), 0, 0);
    config.max_payload = 1_000;
    config.outbox_messages = 256;
    config.outbox_bytes = 500_000;
    config.inbox_messages = 256;
    config.inbox_bytes = 256_000;
    config.presence_items = 16;
    config.attribute_bytes = 64;
    config
}

/// Whole milliseconds.
pub const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}
