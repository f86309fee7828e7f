//! A broker as firmware would use it: no `std`, an allocator of its own.
#![no_std]

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::null_mut;
use e_pigeon_core::{Broker, BrokerConfig, Instant, Ready};

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Has no memory to give: the probe is built, never run.
struct Nothing;

// SAFETY: null says that there is no memory, and nothing was given out that could be taken back.
unsafe impl GlobalAlloc for Nothing {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        null_mut()
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static NOTHING: Nothing = Nothing;

/// One turn of a run loop: bytes in, bytes out. Returns how many bytes went out.
#[unsafe(no_mangle)]
pub extern "C" fn turn(micros: u64, byte: u8, out: &mut [u8; 64]) -> usize {
    let now = Instant::from_micros(micros);
    let Ok(mut broker) = Broker::new(BrokerConfig::new(0), micros) else { return 0 };
    let Ok(link) = broker.handle_connected(now, 0) else { return 0 };
    let _ = broker.handle_input(now, link, &[byte]);
    broker.handle_timeout(now);
    let mut written = 0;
    while let Some(ready) = broker.poll_ready() {
        if let Ready::Transmit(link) = ready {
            written += broker.poll_transmit(now, link, out).unwrap_or(0);
        }
    }
    written
}
