//! Numbers of the protocol itself: its version, and the most that a frame may carry. (PROTOCOL.md, "Limits")

/// The version of the protocol that this crate speaks.
pub const VERSION: u64 = 1;
/// The first four bytes of a hello.
pub const MAGIC: [u8; 4] = *b"EPGN";
/// The largest payload that the protocol knows, in bytes.
pub const MAX_PAYLOAD: u32 = 16 << 20;
/// The most aliases of senders on a link.
pub const MAX_ALIASES: u16 = 64;
/// The most aliases of destinations on a link.
pub const MAX_SLOTS: u8 = 16;
/// The most bytes that a frame around a payload has besides the payload and a destination.
pub const MAX_OVERHEAD: usize = 80;
/// The most bytes that the body of a frame of presence has.
pub const MAX_PRESENCE: usize = 1 + 5 + 16 + 1 + crate::data::attributes::MAX_ATTRIBUTE_BYTES;
/// The most bytes that the frame of a hello has besides its attributes, and some to spare.
pub(crate) const MAX_HELLO_HEAD: usize = 192;
/// The most bytes that the frame of a hello has.
pub const MAX_HELLO: usize = MAX_HELLO_HEAD + crate::data::attributes::MAX_ATTRIBUTE_BYTES;
