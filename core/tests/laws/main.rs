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

use proptest::test_runner::{Config, RngSeed};

/// So many cases, always the same ones, and no files of failed ones: what is found becomes a test with a name.
/// `PROPTEST_RNG_SEED` draws others, and `PROPTEST_CASES` as many as it says.
fn quiet(cases: u32) -> Config {
    let given = Config::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { given.cases } else { cases };
    let rng_seed = if given.rng_seed == RngSeed::Random { RngSeed::Fixed(1) } else { given.rng_seed };
    Config { cases, rng_seed, failure_persistence: None, ..given }
}
