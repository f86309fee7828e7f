//! Many seeds, on several threads.

use crate::coverage::Coverage;
use crate::receipts::Tally;
use crate::run::{Failure, Run};
use crate::step::Step;
use crate::world::Figures;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;

/// What came of many seeds.
#[derive(Clone, Debug, Default)]
pub struct Sum {
    /// How many seeds were run.
    pub seeds: u64,
    /// How much was done.
    pub figures: Figures,
    /// Which rare paths were hit.
    pub coverage: Coverage,
    /// Why receipts were lower than what was handed on: of runs without a death of the broker, and of the others.
    pub receipts: [Tally; 2],
    /// Those that broke a promise, by seed.
    pub failures: Vec<Failure>,
}

/// Which seeds to run, and how.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// The first seed.
    pub from: u64,
    /// How many.
    pub seeds: u64,
    /// On how many threads.
    pub jobs: usize,
    /// After so many failures no further seed is begun.
    pub failures: usize,
    /// Tally receipts, in runs in which messages expire.
    pub receipts: bool,
    /// Set from outside to end early.
    pub stop: &'a AtomicBool,
}

/// Runs them all. `each` is called for every seed that is done, with the sum so far.
pub fn run_many(plan: &Plan<'_>, mut each: impl FnMut(&Sum)) -> Sum {
    let next = AtomicU64::new(0);
    let enough = AtomicBool::new(false);
    let (sender, results) = mpsc::channel();
    let mut sum = Sum::default();
    std::thread::scope(|scope| {
        for _ in 0..plan.jobs.max(1) {
            let (sender, next, enough) = (sender.clone(), &next, &enough);
            scope.spawn(move || {
                while !plan.stop.load(Ordering::Relaxed) && !enough.load(Ordering::Relaxed) {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    if place >= plan.seeds {
                        break;
                    }
                    let seed = plan.from.wrapping_add(place);
                    let run = Run::from_seed(seed);
                    let report = if plan.receipts { run.execute_with_receipts() } else { run.execute() };
                    if sender.send((seed, run, report)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        for (seed, run, report) in results {
            sum.seeds += 1;
            sum.figures.add(&report.figures);
            sum.coverage.add(&report.coverage);
            let is_killed = run.steps.iter().any(|step| matches!(step, Step::Kill { .. }));
            if run.has_short_lives() {
                sum.receipts[usize::from(is_killed)].add(seed, &report.receipts);
            }
            if let Err(violation) = report.outcome {
                sum.failures.push(Failure { seed, run, violation });
                enough.fetch_or(sum.failures.len() >= plan.failures, Ordering::Relaxed);
            }
            each(&sum);
        }
    });
    sum.failures.sort_by_key(|failure| failure.seed);
    sum
}
