//! The least memory that a client for payloads of 64 bytes can live in, and that it works there.
#![allow(clippy::unwrap_used)]

use core::time::Duration;
use e_pigeon_core::{
    Broker, BrokerConfig, Client, ClientConfig, Destination, Event, Instant, Message, Receipt, Secret, Uuid,
};

/// What the block and the buffer for output may come to, in bytes.
const BUDGET: usize = 512;
/// Any size will do; a serial line takes no more at a time.
const OUT: usize = 8;

/// One message out, one message in, one sender known; no attributes, no aliases for destinations, nobody watched.
fn least() -> ClientConfig {
    let mut config = ClientConfig::new(Uuid::from_u128(1), Secret([1; 16]), 1, 1);
    config.max_payload = 64;
    (config.outbox_messages, config.outbox_bytes) = (1, 64 + 17);
    (config.inbox_messages, config.inbox_bytes) = (1, 64);
    (config.senders, config.seen_window, config.late_ids) = (1, 64, 0);
    (config.destination_slots, config.destination_bytes) = (0, 17);
    (config.attribute_bytes, config.watches) = (1, 0);
    config
}

#[test]
fn a_client_works_in_its_least_memory() {
    let config = least();
    let needed = config.memory_needed() + OUT;
    println!("measured: least {needed}");
    assert!(needed <= BUDGET, "{needed} bytes");
    let memory = vec![0xaa; config.memory_needed()];
    let mut client = Client::new(config, memory).unwrap();
    let mut broker = Broker::new(BrokerConfig::new(0).settle(Duration::ZERO), 1).unwrap();
    let mut now = Instant::from_micros(1);
    let (mut heard, mut answered, mut sent) = (0, 0, 0);
    for round in 0..5 {
        // Five links, so that its session is resumed too.
        let link = broker.handle_connected(now, 0).unwrap();
        client.handle_connected(now);
        for _ in 0..200 {
            now = now + Duration::from_millis(1);
            let to = Destination::from(Uuid::from_u128(1));
            sent += u32::from(client.send(now, &Message::new(&to, &[round; 64])).is_ok());
            let mut buffer = [0; OUT];
            while let Ok(written @ 1..) = client.poll_transmit(now, &mut buffer) {
                broker.handle_input(now, link, &buffer[..written]).unwrap();
            }
            while broker.poll_ready().is_some() {}
            while let Ok(written @ 1..) = broker.poll_transmit(now, link, &mut buffer) {
                client.handle_input(now, &buffer[..written]);
            }
            while let Some(event) = client.poll_event() {
                match event {
                    Event::Message(message) => heard += u32::from(message.payload.len() == 64),
                    Event::Receipt(Receipt::Final { delivered: 1, recipients: 1, .. }) => answered += 1,
                    _ => {}
                }
            }
            client.handle_timeout(now);
            broker.handle_timeout(now);
        }
        client.handle_disconnected(now);
        broker.handle_disconnected(now, link);
    }
    assert!(sent > 100, "{sent}");
    assert!(heard >= sent - 1 && answered >= sent - 1, "{heard} heard, {answered} answered of {sent}");
}
