//! A deterministic simulator for e-pigeon.
