//! A whole run of the simulator, whose choices are the bytes.

use crate::run::Run;
use crate::scenario::Scenario;

/// Runs a world that the bytes steer, until it is well again and everything has come to its end.
///
/// # Panics
///
/// A promise was broken; the steps that led there are told as a scenario.
pub fn sim(data: &[u8]) {
    let run = Run::from_bytes(data);
    if let Err(violation) = run.execute().outcome {
        panic!("{violation}\n{}", Scenario(&run));
    }
}
