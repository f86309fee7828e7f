//! Rules of the protocol, broken on purpose one by one: the simulator must find each of them within twice as many seeds
//! as `cargo test` runs. Only in builds with `--cfg canary`; `.ci/test` makes one.
#![cfg(canary)]

use e_pigeon_core::canary::{Fault, break_rule};
use e_pigeon_sim::run::first_failure;

/// Twice as many as `cargo test` runs. Most are found in the first hundred, the last near 2,000.
const SEEDS: u64 = 4_000;

#[test]
fn every_broken_rule_is_found() {
    let mut unnoticed = Vec::new();
    for &fault in Fault::ALL {
        break_rule(fault);
        match first_failure(0, SEEDS) {
            Some(failure) => println!("{fault:?}: seed {}: {}", failure.seed, failure.violation.kind),
            None => {
                println!("{fault:?}: not found");
                unnoticed.push(fault);
            }
        }
    }
    break_rule(Fault::None);
    assert!(first_failure(0, 50).is_none(), "nothing is broken");
    assert_eq!(unnoticed, []);
}
