//! The pool of payloads, each stored once. Buffers of up to 64 KiB are used again, so that the steady state allocates
//! nothing; a larger payload has an allocation of its own, which is freed with it.

use crate::broker::store::capacity::min;
use crate::config::buffers::{BUFFER_CLASSES, buffer_class, payload_buffer};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

/// The pool frees buffers beyond this many spare bytes, or beyond a quarter of the bytes that may be in use.
const MAX_SPARE: u64 = 4 << 20;

/// A payload, whose owner knows its length. It must go back to the [`Pool`] that it came from.
#[derive(Debug, Default)]
pub(crate) struct Payload {
    buffer: Box<[u8]>,
}

impl Payload {
    /// The first `length` bytes.
    #[inline]
    pub(crate) fn bytes(&self, length: u32) -> &[u8] {
        // The content of a message that has ended may be freed already.
        self.buffer.get(..length as usize).unwrap_or_default()
    }
}

/// The buffers of payloads.
#[derive(Debug)]
pub(crate) struct Pool {
    spare: [Vec<Box<[u8]>>; BUFFER_CLASSES],
    spare_bytes: usize,
    max_spare: usize,
    used_bytes: u64,
    max_bytes: u64,
}

/// How many bytes of spare buffers a pool keeps if at most `max_bytes` are in use.
pub(crate) const fn max_spare(max_bytes: u64) -> usize {
    min(max_bytes / 4, MAX_SPARE) as usize
}

impl Pool {
    /// Makes a pool for at most so many bytes in use.
    pub(crate) fn new(max_bytes: u64) -> Self {
        Self {
            spare: Default::default(),
            spare_bytes: 0,
            max_spare: max_spare(max_bytes),
            used_bytes: 0,
            max_bytes,
        }
    }

    /// The bytes in use, as the sizes of the buffers.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.used_bytes
    }

    /// Copies a payload in; `None` if the pool is at its limit.
    #[inline]
    pub(crate) fn store(&mut self, bytes: &[u8]) -> Option<Payload> {
        if bytes.is_empty() {
            return Some(Payload::default());
        }
        let (class, size) = (buffer_class(bytes.len()), payload_buffer(bytes.len()));
        if self.used_bytes + size as u64 > self.max_bytes {
            return None;
        }
        self.used_bytes += size as u64;
        let mut buffer = match self.spare.get_mut(class).and_then(Vec::pop) {
            Some(buffer) => {
                self.spare_bytes -= size;
                buffer
            }
            None if size == bytes.len() => return Some(Payload { buffer: bytes.into() }),
            None => vec![0; size].into_boxed_slice(),
        };
        if let Some(room) = buffer.get_mut(..bytes.len()) {
            room.copy_from_slice(bytes);
        }
        Some(Payload { buffer })
    }

    /// Frees all spare buffers.
    pub(crate) fn give_back(&mut self) {
        self.spare = Default::default();
        self.spare_bytes = 0;
    }

    /// Takes a payload back, and leaves an empty one.
    #[inline]
    pub(crate) fn release(&mut self, payload: &mut Payload) {
        let Payload { buffer } = core::mem::take(payload);
        let size = buffer.len();
        if size == 0 {
            return;
        }
        self.used_bytes -= size as u64;
        if self.spare_bytes + size <= self.max_spare
            && let Some(spare) = self.spare.get_mut(buffer_class(size))
        {
            self.spare_bytes += size;
            spare.push(buffer);
        }
    }
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
    fn classes_go_to_64_kib() {
        let classes = [1, 32, 33, 64 << 10].map(buffer_class);
        assert_eq!(classes, [0, 0, 1, BUFFER_CLASSES - 1]);
    }

    #[test]
    fn field_s7_a_large_payload_counts_as_its_length() {
        let length = 12 << 20;
        let mut pool = Pool::new(200 << 20);
        let mut taken: Vec<_> = core::iter::from_fn(|| pool.store(&vec![1; length])).collect();
        assert_eq!((taken.len(), pool.used_bytes()), (16, 16 * length as u64));
        taken.iter_mut().for_each(|payload| pool.release(payload));
        assert_eq!((pool.used_bytes(), pool.spare_bytes), (0, 0));
    }
}
