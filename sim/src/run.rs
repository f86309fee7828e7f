//! Runs: a setup and its steps, from a seed, from bytes, or written down.

use crate::coverage::Coverage;
use crate::generate::Generator;
use crate::receipts::Tally;
use crate::setup::{LONG, Setup};
use crate::source::Source;
use crate::step::Step;
use crate::violation::{Outcome, Violation};
use crate::world::{Figures, World};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

/// A run: how the world begins, and what happens in it. After the last step all is well, and everything must come to
/// its end.
#[derive(Clone, Debug)]
pub struct Run {
    /// How the world begins.
    pub setup: Setup,
    /// What happens.
    pub steps: Vec<Step>,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// How much was done.
    pub figures: Figures,
    /// Which rare paths were hit.
    pub coverage: Coverage,
    /// What happened, in words, where that was asked for.
    pub trace: String,
    /// Why receipts were lower than what was handed on, where that was asked for.
    pub receipts: Tally,
    /// The promise that was broken, if any.
    pub outcome: Outcome,
}

/// A run that broke a promise.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// The run as it was drawn.
    pub run: Run,
    /// The promise that it broke.
    pub violation: Violation,
}

impl Run {
    /// The run of a seed.
    pub fn from_seed(seed: u64) -> Self {
        Self::from_source(Source::seed(seed))
    }

    /// A run that bytes steer: any bytes will do.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self::from_source(Source::bytes(bytes))
    }

    /// True where some messages are meant to expire.
    pub(crate) fn has_short_lives(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Send(send) if send.live < LONG))
    }

    fn from_source(source: Source<'_>) -> Self {
        let (generator, setup) = Generator::new(source);
        Self { setup, steps: generator.collect() }
    }

    /// Runs it: all steps, then all is well. A panic is a broken promise too.
    pub fn execute(&self) -> Report {
        self.execute_with(|world| world)
    }

    /// The same, with a trace.
    pub fn execute_traced(&self) -> Report {
        self.execute_with(World::with_trace)
    }

    /// The same, with a tally of why receipts were lower than what was handed on.
    pub fn execute_with_receipts(&self) -> Report {
        self.execute_with(World::with_receipts)
    }

    fn execute_with(&self, watched: impl FnOnce(World) -> World) -> Report {
        let mut world = match World::new(&self.setup) {
            Ok(world) => watched(world),
            Err(violation) => return Report::without_world(violation),
        };
        let outcome = quietly(|| {
            self.steps.iter().try_for_each(|step| world.apply(step))?;
            world.heal()
        });
        Report {
            figures: *world.figures(),
            coverage: world.coverage().clone(),
            trace: world.trace().to_owned(),
            receipts: world.receipts(),
            outcome,
        }
    }
}

impl Report {
    fn without_world(violation: Violation) -> Self {
        Self {
            figures: Figures::default(),
            coverage: Coverage::default(),
            trace: String::new(),
            receipts: Tally::default(),
            outcome: Err(violation),
        }
    }
}

/// The first of so many seeds that breaks a promise, if any.
pub fn first_failure(from: u64, seeds: u64) -> Option<Failure> {
    (from..from.saturating_add(seeds)).find_map(|seed| {
        let run = Run::from_seed(seed);
        let violation = run.execute().outcome.err()?;
        Some(Failure { seed, run, violation })
    })
}

thread_local! {
    /// Panics of this thread are results, and not told.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Turns a panic into a violation, without a word on standard error.
fn quietly(run: impl FnOnce() -> Outcome) -> Outcome {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                before(panic);
            }
        }));
    });
    let was_quiet = QUIET.replace(true);
    let result = catch_unwind(AssertUnwindSafe(run));
    QUIET.set(was_quiet);
    result.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.into()));
        Err(Violation { kind: "panic", text: text.unwrap_or_default() })
    })
}
