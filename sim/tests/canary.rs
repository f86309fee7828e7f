//! Rules of the protocol, broken on purpose one by one: the simulator must find each of them within twice as many seeds
//! as `cargo test` runs. Only in builds with `--cfg canary`; `.ci/test` makes one.
#![cfg(canary)]

use core::time::Duration;
use e_pigeon_core::canary::{Fault, break_rule};
use e_pigeon_sim::run::{Run, first_failure};
use e_pigeon_sim::{Pipe, Send, Setup, Step, To};

/// Twice as many as `cargo test` runs. Most are found in the first hundred, the last near 2,000.
const SEEDS: u64 = 4_000;

/// A run that is rare among those of seeds: several deliveries have their numbers and are lost on their way, and end before their
/// client is back.
fn several_void_deliveries() -> Run {
    let send = || Step::Send(Send { live: Duration::from_secs(1), ..Send::new(0, To::Client(1)) });
    let (from, to) = (Pipe(0, 0), Pipe(1, 0));
    let steps = vec![
        Step::Flow,
        send(),
        send(),
        send(),
        Step::WriteUp { client: 0, out: usize::MAX, most: usize::MAX },
        Step::ReadUp(from, usize::MAX),
        Step::WriteDown { pipe: to, out: usize::MAX, most: usize::MAX },
        Step::Unreachable(1),
        Step::Cut { pipe: to, client: true, broker: true, kept: 0 },
        Step::Advance(Duration::from_secs(2)),
        Step::Reachable(1),
        Step::Send(Send::new(0, To::Client(1))),
        Step::Flow,
    ];
    Run { setup: Setup::new(2), steps }
}

#[test]
fn every_broken_rule_is_found() {
    let mut unnoticed = Vec::new();
    for &fault in Fault::ALL {
        break_rule(fault);
        match first_failure(0, SEEDS) {
            Some(failure) => println!("{fault:?}: seed {}: {}", failure.seed, failure.violation.kind),
            None => match several_void_deliveries().execute().outcome {
                Err(violation) => println!("{fault:?}: a run of its own: {}", violation.kind),
                Ok(()) => {
                    println!("{fault:?}: not found");
                    unnoticed.push(fault);
                }
            },
        }
    }
    break_rule(Fault::None);
    assert!(first_failure(0, 50).is_none(), "nothing is broken");
    assert!(several_void_deliveries().execute().outcome.is_ok(), "nothing is broken");
    assert_eq!(unnoticed, []);
}
