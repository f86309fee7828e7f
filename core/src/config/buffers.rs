//! Sizes of the buffers in which a broker keeps payloads.

/// The smallest buffer for a payload.
pub(crate) const MIN_BUFFER: usize = 32;
/// How many sizes of buffers payloads share: from 32 bytes to 64 KiB, doubling. A larger one has a buffer of its length.
pub(crate) const BUFFER_CLASSES: usize = 12;

/// The class of the smallest shared buffers that would hold so many bytes.
pub(crate) const fn buffer_class(length: usize) -> usize {
    length.div_ceil(MIN_BUFFER).next_power_of_two().trailing_zeros() as usize
}

/// How many bytes a broker takes for a payload of so many.
pub(crate) const fn payload_buffer(length: usize) -> usize {
    let class = buffer_class(length);
    if class < BUFFER_CLASSES { MIN_BUFFER << class } else { length }
}
