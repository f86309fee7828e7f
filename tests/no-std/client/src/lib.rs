//! A client as firmware would use it: no `std`, no allocator, all memory in one array.
#![no_std]

use e_pigeon_core::{Client, ClientConfig, Destination, Event, Instant, Message, Secret, Uuid, Value};

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// One turn of a run loop: bytes in, events, bytes out. Returns how many bytes went out.
#[unsafe(no_mangle)]
pub extern "C" fn turn(micros: u64, byte: u8, memory: &mut [u8; 4096], out: &mut [u8; 64]) -> usize {
    let mut config = ClientConfig::new(Uuid::from_u128(1), Secret([1; 16]), micros, micros);
    (config.max_payload, config.outbox_messages, config.outbox_bytes) = (64, 4, 512);
    (config.inbox_messages, config.inbox_bytes, config.destination_bytes) = (4, 256, 64);
    (config.senders, config.seen_window, config.late_ids) = (2, 64, 2);
    (config.destination_slots, config.attribute_bytes) = (1, 64);
    let now = Instant::from_micros(micros);
    let Ok(mut client) = Client::new(config, &mut memory[..]) else { return 0 };
    let _ = client.set(now, "kind", Value::Str("sensor"));
    client.handle_connected(now);
    client.handle_input(now, &[byte]);
    client.handle_timeout(now);
    while let Some(event) = client.poll_event() {
        if let Event::Message(message) = event
            && message.payload.is_empty()
        {
            return 0;
        }
    }
    let to = Destination::from(Uuid::from_u128(2));
    let _ = client.send(now, &Message::new(&to, b"21.5"));
    client.poll_transmit(now, out).unwrap_or(0)
}
