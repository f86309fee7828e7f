//! An allocator that counts, for each thread, how often it was asked and how much is in use.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// To be declared as the global allocator of a test.
pub struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

/// How often this thread has asked for memory.
pub fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

/// Bytes that this thread has been given and has not given back.
pub fn live() -> isize {
    LIVE.with(Cell::get)
}

fn count(more: usize, less: usize) {
    // Where the thread is about to end there is nothing to count.
    let _ = ALLOCATIONS.try_with(|allocations| allocations.set(allocations.get() + u64::from(more > 0)));
    let _ = LIVE.try_with(|live| live.set(live.get() + more as isize - less as isize));
}

// SAFETY: all calls go on to the system's allocator as they are.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(0, layout.size());
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        unsafe { System.realloc(at, layout, size) }
    }
}
