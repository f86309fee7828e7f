//! The driver for embassy without `std` and without an allocator: a client in one array, on a stream and on a line.
#![no_std]

use core::convert::Infallible;
use core::future::{Future, pending};
use core::pin::pin;
use core::task::{Context, Waker};

use e_pigeon_core::{Client, ClientConfig, Secret, Uuid, Value};
use e_pigeon_embedded::{Line, Stream, idle, now};
use embedded_io_async::{ErrorType, Read, Write};

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Halves that take all that comes, and from which nothing comes.
struct Nothing;

impl ErrorType for Nothing {
    type Error = Infallible;
}

impl Read for Nothing {
    async fn read(&mut self, _out: &mut [u8]) -> Result<usize, Infallible> {
        pending().await
    }
}

impl Write for Nothing {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

fn is_ready(future: impl Future) -> bool {
    pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

/// A turn of each kind. Returns how many were ready.
#[unsafe(no_mangle)]
pub extern "C" fn turns(seed: u64, memory: &mut [u8; 4096], buffers: &mut [[u8; 64]; 2]) -> usize {
    let mut config = ClientConfig::new(Uuid::from_u128(1), Secret([1; 16]), seed, seed);
    (config.max_payload, config.outbox_messages, config.outbox_bytes) = (64, 4, 512);
    (config.inbox_messages, config.inbox_bytes, config.destination_bytes) = (4, 256, 64);
    (config.senders, config.seen_window, config.late_ids) = (2, 64, 2);
    (config.destination_slots, config.attribute_bytes) = (1, 64);
    (config.watches, config.presence_items) = (0, 0);
    let Ok(mut client) = Client::new(config, &mut memory[..]) else { return 0 };
    let _ = client.set(now(), "kind", Value::Str("sensor"));
    let [input, output] = buffers;
    let mut stream = Stream::new(&mut client, Nothing, Nothing, input, output);
    let mut ready = usize::from(is_ready(stream.turn()));
    drop(stream);
    ready += usize::from(is_ready(idle(&mut client)));
    let mut line = Line::new(&mut client, Nothing, Nothing, input, output);
    ready += usize::from(is_ready(line.turn()));
    ready
}
