//! Payloads, each kept once, in buffers that are used again: in the steady state nothing is allocated.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

/// Free buffers above this many bytes in all, or above a quarter of what may be in use, go back to the allocator.
const MAX_SPARE: u64 = 4 << 20;
pub(super) const MIN_CLASS: usize = 32;
/// From 32 bytes to 16 MiB, doubling.
const CLASSES: usize = 20;

/// A payload, whose owner knows how long it is. Goes back to the [`Pool`] that it came from.
#[derive(Debug, Default)]
pub(super) struct Payload {
    buffer: Box<[u8]>,
}

impl Payload {
    /// The bytes, of which there are so many.
    #[inline]
    pub(super) fn bytes(&self, length: u32) -> &[u8] {
        // The content of a message that has ended may be gone.
        self.buffer.get(..length as usize).unwrap_or_default()
    }
}

/// Where payloads live.
#[derive(Debug)]
pub(super) struct Pool {
    spare: [Vec<Box<[u8]>>; CLASSES],
    spare_bytes: usize,
    max_spare: usize,
    used_bytes: u64,
    max_bytes: u64,
}

/// How many bytes of free buffers a pool keeps that lends out at most so many.
pub(super) fn max_spare(max_bytes: u64) -> usize {
    (max_bytes / 4).min(MAX_SPARE) as usize
}

impl Pool {
    /// A pool that lends out at most so many bytes.
    pub(super) fn new(max_bytes: u64) -> Self {
        Self {
            spare: Default::default(),
            spare_bytes: 0,
            max_spare: max_spare(max_bytes),
            used_bytes: 0,
            max_bytes,
        }
    }

    /// Bytes that are lent out, as large as their buffers are.
    pub(super) fn used_bytes(&self) -> u64 {
        self.used_bytes
    }

    /// Copies a payload in; `None` where the pool is at its limit.
    #[inline]
    pub(super) fn store(&mut self, bytes: &[u8]) -> Option<Payload> {
        if bytes.is_empty() {
            return Some(Payload::default());
        }
        let class = class_of(bytes.len());
        let size = MIN_CLASS << class;
        if self.used_bytes + size as u64 > self.max_bytes {
            return None;
        }
        self.used_bytes += size as u64;
        let mut buffer = match self.spare.get_mut(class).and_then(Vec::pop) {
            Some(buffer) => {
                self.spare_bytes -= size;
                buffer
            }
            None => vec![0; size].into_boxed_slice(),
        };
        if let Some(room) = buffer.get_mut(..bytes.len()) {
            room.copy_from_slice(bytes);
        }
        Some(Payload { buffer })
    }

    /// Takes a payload back, and leaves an empty one.
    #[inline]
    pub(super) fn release(&mut self, payload: &mut Payload) {
        let Payload { buffer } = core::mem::take(payload);
        let size = buffer.len();
        if size == 0 {
            return;
        }
        self.used_bytes -= size as u64;
        if self.spare_bytes + size <= self.max_spare
            && let Some(spare) = self.spare.get_mut(class_of(size))
        {
            self.spare_bytes += size;
            spare.push(buffer);
        }
    }
}

/// The class of the smallest buffers that hold so many bytes.
pub(super) fn class_of(length: usize) -> usize {
    length.div_ceil(MIN_CLASS).next_power_of_two().trailing_zeros() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_used_again_and_the_limit_holds() {
        let mut pool = Pool::new(128);
        // A quarter of that would keep none of these.
        pool.max_spare = 128;
        let mut a = pool.store(&[7; 33]).unwrap();
        assert_eq!((a.bytes(33), pool.used_bytes()), (&[7; 33][..], 64));
        let place = a.bytes(33).as_ptr();
        let mut b = pool.store(&[1; 64]).unwrap();
        assert!(pool.store(&[1]).is_none() && pool.store(&[]).is_some());
        pool.release(&mut a);
        let mut c = pool.store(&[2; 40]).unwrap();
        assert_eq!((c.bytes(40).as_ptr(), c.bytes(40)), (place, &[2; 40][..]));
        pool.release(&mut b);
        pool.release(&mut c);
        assert_eq!(pool.used_bytes(), 0);
    }

    #[test]
    fn classes_cover_the_largest_payload() {
        assert_eq!((class_of(1), class_of(32), class_of(33), class_of(16 << 20)), (0, 0, 1, CLASSES - 1));
    }
}
