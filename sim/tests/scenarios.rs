//! Regressions: what the simulator once found, as the steps that it took. Each says what must hold.
//!
//! A new one comes from the report of a failure, which prints it in this form.
#![allow(clippy::panic)]

use core::time::Duration;
use e_pigeon_sim::run::Run;
use e_pigeon_sim::{Payload, Pipe, Send, Setup, Step, To, ms};

/// The steps break no promise, and neither does what comes when all is well again.
fn holds(setup: Setup, steps: &[Step]) {
    let run = Run { setup, steps: steps.to_vec() };
    if let Err(violation) = run.execute().outcome {
        panic!("{violation}\n{}", run.execute_traced().trace);
    }
}

/// Whoever remembers fewer senders than it hears may take a repetition for new, and says so.
#[test]
fn a_sender_that_was_forgotten_may_repeat_itself_and_nothing_else_is_lost() {
    let mut setup = Setup::new(6);
    setup.clients[5].senders = 2;
    setup.piece = 7;
    holds(
        setup,
        &[
            Step::Unreachable(5),
            Step::Sleep(3),
            Step::Send(Send { payload: Payload::Length(36), ..Send::new(5, To::Everyone) }),
            Step::Send(Send::new(4, To::Everyone)),
            Step::Send(Send::new(1, To::Everyone)),
            Step::Flow,
            Step::Reachable(5),
            Step::Pass(ms(20)),
            Step::Kill { silent: false },
        ],
    );
}

/// A message that is written to a link of a dead broker is a repetition on the next one.
#[test]
fn what_was_written_to_a_dead_broker_comes_once() {
    let setup = Setup::new(2);
    holds(setup, &[Step::Flow, Step::Kill { silent: true }, Step::Send(Send::new(0, To::Client(1)))]);
}

/// A session whose welcome was lost when the broker died belongs to nobody who could prove it: k of n, not silence.
#[test]
fn a_recipient_that_never_knew_of_its_session_is_not_counted() {
    holds(
        Setup::new(3),
        &[
            Step::Connect(2),
            Step::WriteUp { client: 2, out: usize::MAX, most: usize::MAX },
            Step::Stop(2),
            Step::Flow,
            Step::Send(Send::new(0, To::Everyone)),
            Step::Pass(ms(15)),
            Step::Kill { silent: false },
        ],
    );
}

/// A hello that lies unread until its client has given up leaves no link behind.
#[test]
fn a_hello_that_nobody_waits_for_any_more_leaves_nothing() {
    holds(
        Setup::new(3),
        &[
            Step::Connect(2),
            Step::WriteUp { client: 2, out: 1, most: 50 },
            Step::Jump(Duration::from_secs(11)),
        ],
    );
}

/// An old link may be read long after the new one was welcomed; nothing of it counts.
#[test]
fn a_link_that_is_read_late_takes_nothing_away() {
    holds(
        Setup::new(2),
        &[
            Step::Flow,
            Step::Send(Send::new(0, To::Client(1))),
            Step::WriteUp { client: 0, out: usize::MAX, most: usize::MAX },
            Step::Cut { pipe: Pipe(0, 0), client: true, broker: false, kept: 5 },
            Step::Advance(ms(100)),
            Step::Connect(0),
            Step::WriteUp { client: 0, out: usize::MAX, most: usize::MAX },
            Step::ReadUp(Pipe(0, 0), usize::MAX),
            Step::ReadUp(Pipe(0, 1), usize::MAX),
        ],
    );
}
