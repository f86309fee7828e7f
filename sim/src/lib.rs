//! A deterministic simulator for e-pigeon.

#[cfg(feature = "fuzzing")]
pub mod bodies;
#[cfg(feature = "sockets")]
pub mod conformance;
