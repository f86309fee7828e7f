//! Bytes between an interrupt and the program.

use core::cell::Cell;
use cortex_m::interrupt::{Mutex, free};

/// Bytes that wait to be read.
const SIZE: usize = 32;

/// A ring of bytes.
pub struct Ring(Mutex<Inner>);

struct Inner {
    bytes: [Cell<u8>; SIZE],
    first: Cell<usize>,
    count: Cell<usize>,
}

impl Ring {
    /// An empty one.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        let bytes = [const { Cell::new(0) }; SIZE];
        Self(Mutex::new(Inner { bytes, first: Cell::new(0), count: Cell::new(0) }))
    }

    /// True where nothing waits.
    pub fn is_empty(&self) -> bool {
        free(|cs| self.0.borrow(cs).count.get() == 0)
    }

    /// True where nothing more has room.
    pub fn is_full(&self) -> bool {
        free(|cs| self.0.borrow(cs).count.get() >= SIZE)
    }

    /// Adds a byte; one too many is dropped.
    pub fn push(&self, byte: u8) {
        free(|cs| {
            let ring = self.0.borrow(cs);
            let count = ring.count.get();
            if count < SIZE {
                if let Some(slot) = ring.bytes.get((ring.first.get() + count) % SIZE) {
                    slot.set(byte);
                }
                ring.count.set(count + 1);
            }
        });
    }

    /// Moves bytes to the front of `out`; says how many.
    pub fn pop(&self, out: &mut [u8]) -> usize {
        free(|cs| {
            let ring = self.0.borrow(cs);
            let mut moved = 0;
            for to in out.iter_mut().take(ring.count.get()) {
                if let Some(slot) = ring.bytes.get(ring.first.get()) {
                    *to = slot.get();
                }
                ring.first.set((ring.first.get() + 1) % SIZE);
                moved += 1;
            }
            ring.count.set(ring.count.get() - moved);
            moved
        })
    }
}
