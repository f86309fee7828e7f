//! Honest clients, and the limits that they and the broker have.

use crate::bodies::hostile::secret;
use crate::bodies::line::Line;
use core::time::Duration;
use e_pigeon_core::{AckToken, BrokerConfig, Client, ClientConfig, Framing, LinkId, Uuid};

pub(super) fn honest_uuid(n: usize) -> Uuid {
    // No damage to one byte makes it of that of a hostile client.
    Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef + n as u128)
}

/// What carries the links of honest clients.
pub(super) fn framing(how: u8) -> Framing {
    match how >> 4 & 3 {
        0 | 1 => Framing::Length,
        2 => Framing::Cobs,
        _ => Framing::Datagram,
    }
}

pub(super) struct Honest {
    pub(super) client: Client<Vec<u8>>,
    pub(super) link: Option<LinkId>,
    pub(super) up: Line,
    pub(super) down: Line,
    pub(super) token: Option<AckToken>,
}

impl Honest {
    pub(super) fn new(n: usize, how: u8) -> Self {
        let is_small = how & 1 != 0;
        let seed = n as u64 + 1;
        let mut config = ClientConfig::new(honest_uuid(n), secret(n as u8), seed, seed);
        config.max_payload = 64;
        config.outbox_messages = if is_small { 3 } else { 32 };
        config.outbox_bytes = if is_small { 400 } else { 4_000 };
        config.inbox_messages = if is_small { 2 } else { 32 };
        config.inbox_bytes = if is_small { 64 } else { 2_000 };
        // Nobody is forgotten: what was had can always be told.
        config.senders = 8;
        (config.seen_window, config.late_ids) = (1_024, 512);
        (config.destination_slots, config.destination_bytes, config.attribute_bytes) = (2, 100, 60);
        (config.watches, config.presence_items) = (1, 2);
        config.manual_acknowledgement = how & 4 != 0;
        (config.framing, config.reorder_bytes) = (framing(how), if is_small { 200 } else { 2_000 });
        let memory = vec![0; config.memory_needed()];
        let client =
            Client::new(config, memory).expect("a config that is valid, and as much memory as it needs");
        let (up, down) = (Line::new(framing(how)), Line::new(framing(how)));
        Self { client, link: None, up, down, token: None }
    }
}

pub(super) fn broker_config(how: u8) -> BrokerConfig {
    let small = BrokerConfig::new(0)
        .max_links(4)
        .max_sessions(4)
        .max_messages(6)
        .max_message_bytes(512)
        .max_held(2)
        .queue_messages(3)
        .queue_bytes(128)
        .window_messages(2)
        .window_bytes(64)
        .receipt_backlog(1)
        .max_watches(1)
        .watch_backlog(1);
    let config = if how & 2 == 0 { BrokerConfig::new(0) } else { small };
    config
        .max_payload(64)
        .session_ttl(Duration::from_secs(30))
        .settle(Duration::from_secs(u64::from(how >> 3 & 1)))
        .max_time_to_live(Duration::from_secs(60))
}
