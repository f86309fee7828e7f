//! A deterministic simulator for e-pigeon.
pub mod bodies;
