//! A client as a WebAssembly module: numbers in, numbers out, bytes through one buffer. It imports nothing.
//!
//! What is exported here is what the host of a page or a plug-in would call; the run loop is the host's.
#![cfg_attr(target_arch = "wasm32", no_std)]

use core::cell::RefCell;
use e_pigeon_core::{
    Client, ClientConfig, Destination, Established, Event, Instant, Message, Receipt, Secret, Uuid, Value,
};

#[cfg(target_arch = "wasm32")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

/// The most bytes that go through the buffer at a time.
const BUFFER: usize = 512;
const MEMORY: usize = 4_096;

/// What [`event`] says.
const NOTHING: u32 = 0;
const ESTABLISHED: u32 = 1;
const MESSAGE: u32 = 2;
const DELIVERED: u32 = 3;
const OTHER: u32 = 4;

struct Page {
    client: Option<Client<[u8; MEMORY]>>,
    buffer: [u8; BUFFER],
    /// How many bytes of the buffer are the payload of the last message.
    length: u32,
}

struct Only(RefCell<Page>);

// SAFETY: a module has one thread.
unsafe impl Sync for Only {}

static PAGE: Only = Only(RefCell::new(Page { client: None, buffer: [0; BUFFER], length: 0 }));

fn config(uuid: u64, boot: u64) -> ClientConfig {
    let mut config = ClientConfig::new(Uuid::from_u128(uuid.into()), Secret([1; 16]), boot, boot);
    config.max_payload = 128;
    (config.outbox_messages, config.outbox_bytes) = (4, 1_024);
    (config.inbox_messages, config.inbox_bytes) = (4, 512);
    (config.senders, config.seen_window, config.late_ids) = (4, 64, 2);
    (config.destination_slots, config.destination_bytes, config.attribute_bytes) = (1, 32, 64);
    config.watches = 0;
    config
}

/// Does something with the client; 0 where there is none.
fn with(act: impl FnOnce(&mut Client<[u8; MEMORY]>, &mut [u8; BUFFER], &mut u32) -> u32) -> u32 {
    let Ok(mut page) = PAGE.0.try_borrow_mut() else { return 0 };
    let Page { client, buffer, length } = &mut *page;
    client.as_mut().map_or(0, |client| act(client, buffer, length))
}

/// Where the buffer is in the memory of the module.
#[unsafe(no_mangle)]
pub extern "C" fn buffer() -> *const u8 {
    PAGE.0.try_borrow().map_or(core::ptr::null(), |page| page.buffer.as_ptr())
}

/// Makes the client; 1 where that went well.
#[unsafe(no_mangle)]
pub extern "C" fn start(uuid: u64, boot: u64) -> u32 {
    let Ok(mut page) = PAGE.0.try_borrow_mut() else { return 0 };
    page.client = Client::new(config(uuid, boot), [0; MEMORY]).ok();
    let set =
        page.client.as_mut().map(|client| client.set(Instant::from_micros(0), "kind", Value::Str("page")));
    u32::from(matches!(set, Some(Ok(()))))
}

/// The transport is there.
#[unsafe(no_mangle)]
pub extern "C" fn connected(micros: u64) {
    with(|client, _, _| {
        client.handle_connected(Instant::from_micros(micros));
        0
    });
}

/// So many bytes in the buffer came from the broker.
#[unsafe(no_mangle)]
pub extern "C" fn input(micros: u64, length: u32) {
    with(|client, buffer, _| {
        client.handle_input(Instant::from_micros(micros), buffer.get(..length as usize).unwrap_or_default());
        0
    });
}

/// Puts bytes for the broker into the buffer, and says how many.
#[unsafe(no_mangle)]
pub extern "C" fn transmit(micros: u64) -> u32 {
    with(|client, buffer, _| {
        client.handle_timeout(Instant::from_micros(micros));
        client.poll_transmit(Instant::from_micros(micros), buffer).unwrap_or(0) as u32
    })
}

/// Sends so many bytes of the buffer to a client; 1 where they were taken.
#[unsafe(no_mangle)]
pub extern "C" fn send(micros: u64, to: u64, length: u32) -> u32 {
    with(|client, buffer, _| {
        let to = Destination::from(Uuid::from_u128(to.into()));
        let payload = buffer.get(..length as usize).unwrap_or_default();
        u32::from(client.send(Instant::from_micros(micros), &Message::new(&to, payload)).is_ok())
    })
}

/// The next event. Of a message the payload is in the buffer.
#[unsafe(no_mangle)]
pub extern "C" fn event() -> u32 {
    with(|client, buffer, length| match client.poll_event() {
        None => NOTHING,
        Some(Event::Established(Established::Fresh)) => ESTABLISHED,
        Some(Event::Message(message)) => {
            *length = message.payload.len() as u32;
            if let Some(room) = buffer.get_mut(..message.payload.len()) {
                room.copy_from_slice(message.payload);
            }
            MESSAGE
        }
        Some(Event::Receipt(Receipt::Final { delivered: 1, recipients: 1, .. })) => DELIVERED,
        Some(_) => OTHER,
    })
}

/// How many bytes the payload of the last message has.
#[unsafe(no_mangle)]
pub extern "C" fn length() -> u32 {
    with(|_, _, length| *length)
}
