//! The heap: a fixed piece of RAM. What the broker can come to need is less, or it does not start.

use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU32, Ordering};
use cortex_m::singleton;
use e_pigeon_core::BrokerConfig;
use embedded_alloc::LlffHeap;

/// All of it, of the 64 KiB that the chip has.
const SIZE: usize = 55 * 1024;

#[global_allocator]
static HEAP: LlffHeap = LlffHeap::empty();
/// The most that was seen in use, at the end of a turn.
static MOST: AtomicU32 = AtomicU32::new(0);
/// What the broker says that it can come to need.
static WORST: AtomicU32 = AtomicU32::new(0);

/// Gives the allocator its memory. To be called once, first.
///
/// # Errors
///
/// A broker with these limits could come to need more, as many bytes as that.
pub fn start(config: &BrokerConfig) -> Result<(), u32> {
    let worst = u32::try_from(config.worst_case_bytes()).unwrap_or(u32::MAX);
    WORST.store(worst, Ordering::Relaxed);
    if worst as usize > SIZE {
        return Err(worst);
    }
    if let Some(memory) = singleton!(: [MaybeUninit<u8>; SIZE] = [const { MaybeUninit::uninit() }; SIZE]) {
        // SAFETY: nobody else has this memory, and a second call would not come to here.
        unsafe { HEAP.init(memory.as_mut_ptr().addr(), SIZE) };
    }
    Ok(())
}

/// Bytes in use.
pub fn used() -> u32 {
    HEAP.used() as u32
}

/// The most bytes that were in use at the end of a turn.
pub fn most() -> u32 {
    MOST.load(Ordering::Relaxed)
}

/// The most bytes that the broker can come to need.
pub fn worst() -> u32 {
    WORST.load(Ordering::Relaxed)
}

/// A turn is over.
pub(super) fn note() {
    MOST.store(most().max(used()), Ordering::Relaxed);
}
