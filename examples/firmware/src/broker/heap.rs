//! The heap: a fixed piece of RAM. What the broker can come to need is less, or this does not compile.

use super::limits::config;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU32, Ordering};
use cortex_m::singleton;
use embedded_alloc::LlffHeap;

/// All of it, of the 64 KiB that the chip has.
const SIZE: usize = 55 * 1024;

#[global_allocator]
static HEAP: LlffHeap = LlffHeap::empty();
/// The most that was seen in use, at the end of a turn.
static MOST: AtomicU32 = AtomicU32::new(0);
/// The most bytes that the broker can come to need.
pub const WORST: u32 = config(0).worst_case_bytes() as u32;
const _: () = assert!(WORST as usize <= SIZE, "the heap is too small for these limits");

/// Gives the allocator its memory. To be called once, first.
pub fn start() {
    if let Some(memory) = singleton!(: [MaybeUninit<u8>; SIZE] = [const { MaybeUninit::uninit() }; SIZE]) {
        // SAFETY: nobody else has this memory, and a second call would not come to here.
        unsafe { HEAP.init(memory.as_mut_ptr().addr(), SIZE) };
    }
}

/// Bytes in use.
pub fn used() -> u32 {
    HEAP.used() as u32
}

/// The most bytes that were in use at the end of a turn.
pub fn most() -> u32 {
    MOST.load(Ordering::Relaxed)
}

/// A turn is over.
pub(super) fn note() {
    MOST.store(most().max(used()), Ordering::Relaxed);
}
