//! Laws of the two machines: what holds whatever they are told, in whatever pieces and order.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod pings;
#[path = "../support/mod.rs"]
mod support;
