//! Seeds, as many as everybody can wait for.
//!
//! `E_PIGEON_SEEDS` is how many to run, `E_PIGEON_FROM` the first of them.
#![allow(clippy::unwrap_used, clippy::panic)]

use e_pigeon_sim::Path;
use e_pigeon_sim::many::{Plan, run_many};
use e_pigeon_sim::scenario::Scenario;
use e_pigeon_sim::shrink::{TRIES, shrink};
use std::sync::atomic::AtomicBool;

/// How many seeds run where nobody says otherwise.
const SEEDS: u64 = 2_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn no_seed_breaks_a_promise_and_every_path_is_hit() {
    let (from, seeds) = (number("E_PIGEON_FROM").unwrap_or(0), number("E_PIGEON_SEEDS").unwrap_or(SEEDS));
    let stop = AtomicBool::new(false);
    let sum = run_many(&Plan { from, seeds, jobs: 2, failures: 1, receipts: false, stop: &stop }, |_| {});
    if let Some(failure) = sum.failures.first() {
        let (run, violation) = shrink(&failure.run, &failure.violation, TRIES);
        panic!("seed {}: {}\nmade smaller: {violation}\n{}", failure.seed, failure.violation, Scenario(&run));
    }
    assert_eq!(sum.seeds, seeds);
    if seeds >= SEEDS {
        let gaps: Vec<&str> = sum.coverage.gaps().map(Path::name).collect();
        assert!(gaps.is_empty(), "no seed has ever hit {gaps:?}");
    }
}
