//! The wire format in one place: kinds of frames, their fields, maximum sizes.
//!
//! A frame's body is one byte of kind and the fields of that kind. Frames of the handshake and of the link are in
//! [`control`]; what a link numbers is in [`item`]. Whatever is read here is valid and canonical: there is exactly
//! one encoding of each value, and everything else is [`Malformed`](crate::codec::Malformed).
//! (PROTOCOL.md, "Frames")

#[cfg(feature = "lossy")]
pub mod cobs;
pub mod control;
pub mod frame;
pub mod item;
pub mod kind;
pub mod limits;
pub mod state;
pub mod window;
