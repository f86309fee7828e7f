//! What the fuzz targets run: each body takes bytes, makes of them what it needs, and panics where a promise is broken.
//!
//! The targets in `fuzz/` are one call each. The tests of this module run every body over the committed seeds and over
//! bytes that look random, so that a body that no longer holds is found without a fuzzer.
#![cfg(feature = "fuzzing")]

mod broker_ops;
mod broker_stream;
mod client_stream;
mod frame;
mod hostile;
mod line;
mod sim;
mod wire;

pub use broker_ops::broker_ops;
pub use broker_stream::broker_stream;
pub use client_stream::client_stream;
pub use frame::frame;
pub use sim::sim;
pub use wire::wire;

#[cfg(test)]
mod tests;
