//! Laws of the two machines: what holds whatever they are told, in whatever pieces and order.
//!
//! Most of them record a conversation of real machines, drawn at random, and play it again.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation
)]

mod conversation;
mod keeping;
mod machine;
mod order;
mod pings;
mod pipe;
mod replays;
#[path = "../support/mod.rs"]
mod support;
mod wire;
mod work;

use proptest::test_runner::Config;

/// So many cases, and no files of failed ones: what is found becomes a test with a name.
fn quiet(cases: u32) -> Config {
    Config { failure_persistence: None, ..Config::with_cases(cases) }
}
