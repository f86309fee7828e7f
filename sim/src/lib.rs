//! A deterministic simulator for e-pigeon.

#[cfg(feature = "sockets")]
pub mod conformance;
