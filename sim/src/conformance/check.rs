//! What is asked of an adapter: one check for each thing, and how they are run.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::limits;
use super::place::{Place, Transport};

/// Held by each check that runs; wholly by one that has to be alone.
static RUNNING: RwLock<()> = RwLock::new(());

/// One thing that every adapter has to get right.
pub struct Check<A: ?Sized> {
    pub(super) name: &'static str,
    pub(super) run: fn(&A, &Place),
    /// It measures the whole process.
    pub(super) is_alone: bool,
}

impl<A: ?Sized> Check<A> {
    /// What has to be so.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Runs it, and returns how long it took.
    ///
    /// # Panics
    ///
    /// The adapter does not get it right; the message says what was expected.
    pub fn run(&self, adapter: &A, transport: Transport) -> Duration {
        limits::raise_descriptors();
        let measure = || {
            let start = Instant::now();
            (self.run)(adapter, &Place::new(transport));
            start.elapsed()
        };
        if self.is_alone {
            let _all = RUNNING.write().unwrap_or_else(PoisonError::into_inner);
            measure()
        } else {
            let _one = RUNNING.read().unwrap_or_else(PoisonError::into_inner);
            measure()
        }
    }
}

/// The name of a check is that of its function.
macro_rules! checks {
    ($($module:ident :: $check:ident),*; alone: $($alone_module:ident :: $alone:ident),*) => {
        vec![
            $($crate::conformance::check::Check { name: stringify!($check), run: $module::$check, is_alone: false },)*
            $($crate::conformance::check::Check { name: stringify!($alone), run: $alone_module::$alone, is_alone: true }),*
        ]
    };
}
pub(super) use checks;

pub(super) fn run_all<A>(checks: Vec<Check<A>>, adapter: &A, transport: Transport) {
    let mut failed = Vec::new();
    for check in checks {
        // The adapter is only looked at again by checks that start anew.
        match catch_unwind(AssertUnwindSafe(|| check.run(adapter, transport))) {
            Ok(took) => println!("{transport:?} {:<55} {:>5} ms", check.name, took.as_millis()),
            Err(_) => {
                println!("{transport:?} {:<55} FAILED", check.name);
                failed.push(check.name);
            }
        }
    }
    assert!(failed.is_empty(), "over {transport:?} the adapter fails: {failed:?}");
}
