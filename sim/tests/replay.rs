//! A run is a function of its seed, its bytes, or its steps.
#![allow(clippy::unwrap_used)]

use e_pigeon_sim::run::{Run, first_failure};
use e_pigeon_sim::shrink::shrink;
use e_pigeon_sim::{Network, Send, Setup, Source, Step, To, Violation, World, ms};

#[test]
fn the_same_seed_gives_the_same_trace_byte_for_byte() {
    for seed in 0..20 {
        let (one, other) = (Run::from_seed(seed).execute_traced(), Run::from_seed(seed).execute_traced());
        assert!(one.trace == other.trace, "seed {seed}");
        assert!(one.trace.contains("Welcome"), "seed {seed} shows its frames");
        let untraced = Run::from_seed(seed).execute();
        assert_eq!((one.figures, one.coverage), (untraced.figures, untraced.coverage), "seed {seed}");
    }
}

#[test]
fn any_bytes_are_a_run_that_ends_with_them() {
    let mut source = Source::seed(7);
    for length in [0, 1, 10, 100, 1_000, 5_000] {
        let bytes: Vec<u8> = (0..length).map(|_| source.below(256) as u8).collect();
        let run = Run::from_bytes(&bytes);
        assert!(run.steps.len() <= 4 * length + 200, "{length} bytes, {} steps", run.steps.len());
        assert_eq!(run.execute().outcome, Ok(()), "{bytes:?}");
    }
}

#[test]
fn any_part_of_a_run_is_a_run() {
    for seed in 0..40 {
        let mut run = Run::from_seed(seed);
        let mut place = 0;
        run.steps.retain(|_| {
            place += 1;
            place % 3 != 0
        });
        run.setup.clients.truncate(2);
        assert_eq!(run.execute().outcome, Ok(()), "seed {seed}");
    }
}

#[test]
fn seeds_that_keep_every_promise_have_no_first_failure() {
    assert!(first_failure(0, 30).is_none());
}

/// Lets nothing pass, ever.
struct Nothing;

impl Network for Nothing {
    fn allows(&mut self, _: e_pigeon_core::Instant, _: usize, _: e_pigeon_sim::Direction, _: usize) -> usize {
        0
    }

    fn due(&self, _: e_pigeon_core::Instant) -> Option<e_pigeon_core::Instant> {
        None
    }
}

#[test]
fn a_world_in_which_nothing_gets_through_is_stuck_and_says_so() {
    let mut world = World::new(&Setup::new(2)).unwrap().with_network(Box::new(Nothing));
    world.apply(&Step::Send(Send::new(0, To::Everyone))).unwrap();
    let violation = world.heal().unwrap_err();
    assert!(["stuck", "late"].contains(&violation.kind), "{violation}");
}

#[test]
fn a_failure_is_made_smaller_down_to_what_it_takes() {
    let mut run = Run::from_seed(3);
    // Nobody can keep this promise: a setup with a limit that is none.
    run.setup.broker.queue_messages = 0;
    let violation = run.execute().outcome.unwrap_err();
    let (small, Violation { kind, .. }) = shrink(&run, &violation, 400);
    assert_eq!((kind, small.steps.len(), small.setup.clients.len()), ("setup", 0, 1));
}

#[test]
fn time_passes_only_in_steps() {
    let mut world = World::new(&Setup::new(1)).unwrap();
    let before = world.now();
    world.apply(&Step::Flow).unwrap();
    assert_eq!(world.now(), before);
    world.apply(&Step::Pass(ms(5))).unwrap();
    assert_eq!(world.now(), before + ms(5));
}
