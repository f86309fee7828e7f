//! `demo`: a broker and its clients in one process, cut off and killed, and every promise checked.

mod check;
mod content;
mod life;
mod player;
mod random;
mod record;
mod relay;
mod stage;
mod story;

use std::fmt::Write as _;
use std::time::Duration;

use check::PromiseCheck;
use stage::{Stage, Stop, print};

use crate::args;
use crate::failure::Failure;
use crate::identity;

/// After this time what has not come does not come any more.
const LONGEST: Duration = Duration::from_secs(9);

pub(crate) fn run(arguments: &args::Demo) -> Result<u8, Failure> {
    let seed = match arguments.seed {
        Some(seed) => seed,
        None => u64::from(u32::from_ne_bytes(identity::random()?)),
    };
    match play(arguments, seed) {
        Ok(code) => Ok(code),
        // Whoever does not read to the end does not want to know.
        Err(Stop::Unread) => Ok(0),
        Err(Stop::Failed(failure)) => Err(failure),
    }
}

fn play(arguments: &args::Demo, seed: u64) -> Result<u8, Stop> {
    let mut stage = Stage::open(arguments.transport, seed, LONGEST)?;
    stage.say(format_args!("seed {seed} decides where connections are cut and what the messages say"))?;
    let promise = story::play(&mut stage)?;
    let verdicts = check::verdicts(&promise, &stage.shared.lock());
    stage.close();
    print(table(&verdicts))?;
    Ok(u8::from(verdicts.iter().any(|verdict| verdict.broken.is_some())))
}

/// The verdicts for people.
fn table(verdicts: &[PromiseCheck]) -> String {
    let width = verdicts.iter().map(|verdict| verdict.promise.len()).max().unwrap_or_default();
    let mut text = String::from("\n");
    for verdict in verdicts {
        // Writing to a string does not fail.
        let _ = match &verdict.broken {
            None => writeln!(text, "kept    {:width$}  {}", verdict.promise, verdict.seen),
            Some(broken) => writeln!(text, "BROKEN  {:width$}  {broken}", verdict.promise),
        };
    }
    let broken = verdicts.iter().filter(|verdict| verdict.broken.is_some()).count();
    let _ = match broken {
        0 => writeln!(text, "\nall {} promises are kept", verdicts.len()),
        _ => writeln!(text, "\n{broken} of {} promises are BROKEN", verdicts.len()),
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_what_is_broken() {
        let kept = PromiseCheck { promise: "once", seen: "5 deliveries".into(), broken: None };
        let broken =
            PromiseCheck { promise: "in order", seen: "1 stream".into(), broken: Some("2 after 3".into()) };
        let text = table(&[kept.clone(), broken]);
        assert_eq!(
            text,
            "\nkept    once      5 deliveries\nBROKEN  in order  2 after 3\n\n1 of 2 promises are BROKEN\n"
        );
        assert!(table(&[kept]).ends_with("\nall 1 promises are kept\n"));
    }
}
