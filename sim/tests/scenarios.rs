//! Regressions: what the simulator once found, as the steps that it took. Each says what must hold.
//!
//! A new one comes from the report of a failure, which prints it in this form.
#![allow(clippy::panic)]

use core::time::Duration;
use e_pigeon_sim::run::Run;
use e_pigeon_sim::{Direction, Disturbance, LEAST, Medium, Payload, Pipe, Send, Setup, Step, To, ms};

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

/// Copies of a hello are in the network when the session that the first of them made has ended. Another copy makes another
/// session: its welcome, and what is said on it, must not be taken for those of the first.
#[test]
fn one_hello_that_made_two_sessions_is_two_links() {
    let mut setup = Setup::new(1);
    setup.medium = Medium::Datagrams;
    setup.broker.keep_alive = ms(700);
    setup.broker.session_ttl = ms(1000);
    holds(
        setup,
        &[
            Step::Connect(0),
            Step::WriteUp { client: 0, out: usize::MAX, most: usize::MAX },
            Step::ReadUp(Pipe(0, 0), usize::MAX),
            Step::Stall(Pipe(0, 0)),
            Step::Pass(ms(1_000)),
            Step::Pass(ms(2_200)),
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

/// A session that the broker has ended, while its client still holds on to a dead link, is no proof of having been
/// there: whoever comes back from there does not take what was accepted for others.
#[test]
fn a_client_whose_session_has_ended_unnoticed_takes_nobodys_place() {
    let mut setup = Setup::new(4);
    setup.broker.session_ttl = ms(100);
    holds(
        setup,
        &[
            Step::Flow,
            Step::Cut { pipe: Pipe(3, 0), client: false, broker: true, kept: usize::MAX },
            Step::Pass(ms(150)),
            Step::Sleep(1),
            Step::Send(Send::new(2, To::Everyone)),
            Step::Pass(ms(20)),
            Step::Kill { silent: false },
        ],
    );
}

/// What was accepted for somebody who was connected is offered to it after the broker's death, also where it has just
/// lost its link again.
#[test]
fn a_message_to_those_connected_waits_for_a_recipient_that_is_away_when_it_is_sent_again() {
    holds(
        Setup::new(3),
        &[
            Step::Flow,
            Step::Sleep(2),
            Step::Send(Send { only_connected: true, ..Send::new(0, To::Client(2)) }),
            Step::Pass(ms(20)),
            Step::Kill { silent: false },
            Step::Pass(ms(200)),
            Step::Cut { pipe: Pipe(2, 0), client: true, broker: true, kept: usize::MAX },
            Step::Unreachable(2),
            Step::Pass(ms(3_000)),
        ],
    );
}

/// A repetition that crosses its final receipt has been answered: it is not taken again, and comes to nobody else.
#[test]
fn a_repetition_that_crosses_its_receipt_comes_to_nobody_else() {
    let mut setup = Setup::new(2);
    setup.seed = 10492820082222125697;
    setup.piece = 60;
    setup.broker.keep_alive = ms(700);
    setup.broker.session_ttl = ms(1000);
    setup.broker.accept_delay = ms(0);
    setup.clients[0].manual_acknowledgement = true;
    setup.clients[1].reconnect_min = ms(1);
    holds(
        setup,
        &[
            Step::Send(Send::new(0, To::Everyone)),
            Step::Flow,
            Step::Room(1, Some(1)),
            Step::Send(Send::new(0, To::Everyone)),
            Step::Pass(ms(150)),
            Step::Send(Send::new(0, To::Room(1))),
            Step::Room(1, Some(2)),
            Step::WriteUp { client: 0, out: usize::MAX, most: usize::MAX },
            Step::Jump(ms(11000)),
            Step::ReadUp(Pipe(0, 0), usize::MAX),
            Step::Pass(ms(2000)),
            Step::Room(0, Some(1)),
        ],
    );
}

/// The sender has its receipt, but the repetition that crossed it was lost and is written again: until that has come the
/// broker must know that it has answered.
#[test]
fn a_repetition_that_crosses_its_receipt_and_is_lost_comes_to_nobody_else_either() {
    const ALL: usize = usize::MAX;
    let write_up = |client| vec![Step::WriteUp { client, out: ALL, most: ALL }];
    let up = |client| [write_up(client), vec![Step::ReadUp(Pipe(client, 0), ALL)]].concat();
    let write_down = |pipe| vec![Step::WriteDown { pipe, out: ALL, most: ALL }];
    let down = |client| [write_down(Pipe(client, 0)), vec![Step::ReadDown(Pipe(client, 0), ALL)]].concat();
    for medium in [Medium::Stream, Medium::Serial] {
        let mut setup = Setup::new(3);
        setup.medium = medium;
        setup.broker.session_ttl = ms(100);
        let lost = match medium {
            Medium::Stream => Step::Cut { pipe: Pipe(2, 0), client: true, broker: true, kept: 0 },
            _ => Step::Disturb(Pipe(2, 0), Direction::Up, Disturbance::Lose(0, 5)),
        };
        let steps = [
            vec![Step::Pass(ms(50)), Step::Send(Send::new(2, To::Room(1))), Step::Pass(ms(50))],
            vec![Step::Cut { pipe: Pipe(2, 0), client: true, broker: true, kept: ALL }],
            vec![Step::Advance(ms(5000)), Step::Connect(2)],
            up(2),
            down(2),
            // The repetition is under way when a recipient comes, and confirms.
            write_up(2),
            vec![Step::Room(0, Some(1))],
            up(0),
            down(0),
            vec![Step::Poll(0, ALL)],
            up(0),
            down(2),
            vec![Step::Poll(2, ALL), Step::Room(0, None)],
            up(0),
            vec![Step::Room(1, Some(1))],
            up(1),
            vec![lost],
        ];
        holds(setup, &steps.concat());
    }
}

/// Whoever had a message that was for its UUID can say so, in whichever life of the broker it had a session.
#[test]
fn a_message_for_one_uuid_is_confirmed_by_whoever_had_it() {
    let mut setup = Setup::new(4);
    setup.broker.settle = ms(0);
    holds(
        setup,
        &[
            Step::Pass(ms(20)),
            Step::Stop(3),
            Step::Restart { client: 3, silent: false },
            Step::Send(Send::new(0, To::Client(3))),
            Step::Pass(ms(2000)),
            Step::Kill { silent: false },
            Step::Pass(ms(150)),
            Step::Stop(0),
            Step::Continue(3),
            Step::Flow,
            Step::Kill { silent: false },
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

/// The welcome of a broker that has died is still on the line, and its heir answers the same hello: what either says must
/// not be taken for the other's.
#[test]
fn a_line_may_hold_the_welcome_of_a_broker_that_has_died() {
    let mut setup = Setup::new(3);
    setup.seed = 2406637938185646969;
    setup.medium = Medium::Serial;
    holds(
        setup,
        &[
            Step::Send(Send::new(2, To::Everyone)),
            Step::Connect(0),
            Step::WriteUp { client: 0, out: usize::MAX, most: usize::MAX },
            Step::Stop(0),
            Step::Pass(ms(2000)),
            Step::Kill { silent: true },
        ],
    );
}

#[test]
fn what_was_given_up_may_still_come_to_somebody() {
    let mut setup = Setup::new(3);
    setup.broker.session_ttl = ms(100);
    holds(
        setup,
        &[
            Step::Room(2, Some(2)),
            Step::Unreachable(2),
            Step::Pass(ms(30)),
            // It lies unread in its stream until its sender, which has lost its session, has given it up.
            Step::Send(Send { live: ms(15), ..Send::new(0, To::Room(2)) }),
            Step::WriteUp { client: 0, out: usize::MAX, most: usize::MAX },
            Step::Cut { pipe: Pipe(0, 0), client: true, broker: false, kept: usize::MAX },
            Step::Advance(ms(15)),
            Step::Advance(ms(15)),
            Step::Advance(ms(15)),
            Step::Advance(ms(15)),
            Step::Advance(ms(15)),
            Step::Flow,
        ],
    );
}

/// On a line, the welcome of a broker that has died may come to its client when its heir has heard the hello too: the client
/// is with the dead one until silence tells it, and comes back.
#[test]
fn a_welcome_of_the_dead_on_a_line_costs_its_client_a_link() {
    let mut setup = Setup::new(2);
    setup.medium = Medium::Serial;
    holds(
        setup,
        &[
            Step::Connect(1),
            Step::WriteUp { client: 1, out: usize::MAX, most: usize::MAX },
            Step::ReadUp(Pipe(1, 0), usize::MAX),
            Step::WriteDown { pipe: Pipe(1, 0), out: usize::MAX, most: usize::MAX },
            Step::Advance(ms(700)),
            Step::Kill { silent: true },
        ],
    );
}

/// A boot dies behind its hello, and the broker reads that only when the next boot has a session: that one does not end, and has
/// its session again.
#[test]
fn a_hello_of_a_dead_boot_that_is_read_late_ends_nobody() {
    for stays_open in [false, true] {
        let setup = Setup::new(2);
        let mut steps = vec![
            Step::Connect(1),
            Step::WriteUp { client: 1, out: usize::MAX, most: usize::MAX },
            Step::Stall(Pipe(1, 0)),
            Step::Restart { client: 1, silent: true },
            Step::Pass(ms(100)),
            Step::Send(Send::new(0, To::Client(1))),
            Step::Pass(ms(100)),
            Step::Unstall(Pipe(1, 1)),
            Step::ReadUp(Pipe(1, 1), usize::MAX),
            Step::Send(Send::new(0, To::Client(1))),
        ];
        if !stays_open {
            steps.push(Step::Cut { pipe: Pipe(1, 1), client: false, broker: true, kept: usize::MAX });
        }
        steps.extend([Step::Pass(ms(40_000)), Step::Send(Send::new(0, To::Client(1)))]);
        holds(setup, &steps);
    }
}

/// Items that are acknowledged over several calls open the window for what waits behind them, and its link is named again then.
#[test]
fn what_waits_for_the_window_is_written_when_a_call_goes_on_with_what_is_acknowledged() {
    let mut setup = Setup::new(5);
    setup.seed = 17701461634994061316;
    setup.budget = LEAST;
    setup.clients[3].inbox_messages = 1;
    holds(
        setup,
        &[
            Step::Watch(4, To::Client(4)),
            Step::Pass(ms(150)),
            Step::Send(Send::new(4, To::Everyone)),
            Step::WriteUp { client: 4, out: usize::MAX, most: usize::MAX },
            Step::ReadUp(Pipe(4, 0), usize::MAX),
            Step::Send(Send::new(2, To::Everyone)),
            Step::WriteDown { pipe: Pipe(3, 0), out: usize::MAX, most: usize::MAX },
            Step::ReadDown(Pipe(3, 0), usize::MAX),
            Step::Cut { pipe: Pipe(3, 0), client: true, broker: false, kept: usize::MAX },
            Step::Pass(ms(150)),
            Step::WriteDown { pipe: Pipe(3, 0), out: usize::MAX, most: usize::MAX },
        ],
    );
}

/// A boot gives its hello up and dies. Both lie in a stream, and are read in pieces when the next boot has a session: the front of
/// the ABORT does not prove that the dead boot lives, and the living one is not told that it has been taken over.
#[test]
fn a_hello_that_was_given_up_and_is_read_in_pieces_ends_nobody() {
    let mut setup = Setup::new(5);
    setup.seed = 13894130624314119679;
    setup.piece = 7;
    holds(
        setup,
        &[
            Step::Pass(ms(150)),
            Step::Kill { silent: false },
            Step::Advance(ms(50)),
            Step::Connect(4),
            Step::WriteUp { client: 4, out: usize::MAX, most: usize::MAX },
            Step::Advance(ms(5000)),
            Step::Advance(ms(5000)),
            Step::Restart { client: 4, silent: true },
            Step::Pass(ms(150)),
        ],
    );
}

/// A search of all queues for messages that have ended takes all of a call that nothing else wants.
#[test]
fn a_search_of_all_queues_leaves_no_call_unspent() {
    let mut setup = Setup::new(5);
    setup.seed = 13705144194194948860;
    setup.budget = LEAST;
    setup.medium = Medium::Datagrams;
    setup.broker.max_messages = 5;
    holds(
        setup,
        &[
            Step::Sleep(0),
            Step::Send(Send { live: ms(1), ..Send::new(4, To::Everyone) }),
            Step::Send(Send { live: ms(5000), ..Send::new(4, To::Client(0)) }),
            Step::Flow,
            Step::Send(Send { live: ms(15), ..Send::new(2, To::Everyone) }),
            Step::Send(Send { live: ms(5000), ..Send::new(2, To::Client(0)) }),
            Step::Send(Send { live: ms(5000), ..Send::new(2, To::Everyone) }),
            Step::Send(Send { live: ms(1), ..Send::new(2, To::Client(0)) }),
            Step::WriteUp { client: 2, out: usize::MAX, most: usize::MAX },
            Step::Advance(ms(31000)),
        ],
    );
}

/// Receipts behind a delivery that a leaving client will not take are all that the broker may have.
#[test]
fn a_client_leaves_though_the_broker_has_no_room_for_its_last_message() {
    for medium in [Medium::Stream, Medium::Datagrams] {
        let mut setup = Setup::new(4);
        setup.seed = 15243980455078001656;
        setup.medium = medium;
        setup.broker.sender_waiting = 4;
        setup.broker.max_receipts = 20;
        let send = |to| Step::Send(Send::new(0, to));
        let mut steps = vec![send(To::Client(0))];
        // A receipt of a refused message and one of a delivered one do not make a run.
        steps.extend((0..14).flat_map(|_| [send(To::Room(2)), send(To::Client(3))]));
        steps.extend([Step::Close(0, true), Step::Send(Send::new(3, To::Everyone))]);
        holds(setup, &steps);
    }
}

/// Nor is it for the link of a repetition that was accepted before, or that is in flight: its client may have a DECLINE behind it.
#[test]
fn repetitions_are_taken_though_the_broker_has_no_receipt_for_them() {
    let mut setup = Setup::new(2);
    setup.seed = 18443475498869861707;
    setup.budget = 88;
    setup.broker.sender_waiting = 20;
    setup.broker.max_receipts = 1;
    setup.clients[0].seen_window = 64;
    setup.clients[0].manual_acknowledgement = true;
    let to = |n, count| vec![Step::Send(Send::new(0, To::Client(n))); count];
    let all = |count| vec![Step::Send(Send::new(0, To::Everyone)); count];
    let steps = [
        [all(17), to(0, 1), to(3, 1), to(0, 2), all(1), to(0, 4), all(2), to(2, 1), to(0, 3), to(2, 1)]
            .concat(),
        [to(0, 5), all(1), to(0, 5), all(1), to(1, 1), to(0, 1), all(1), to(0, 12)].concat(),
        [vec![Step::Send(Send::new(0, To::Room(1)))], all(1), to(1, 1), all(1), to(0, 1)].concat(),
        vec![Step::Pass(ms(2_000)), Step::Kill { silent: false }, Step::Pass(ms(2_000))],
        all(1),
    ];
    holds(setup, &steps.concat());
}

/// A client acknowledges nothing past what it declines before its DECLINE is acknowledged, which stands behind messages.
#[test]
fn a_decline_behind_messages_is_taken_though_the_broker_has_no_receipt_for_these() {
    let mut setup = Setup::new(3);
    setup.seed = 15507559077435464005;
    setup.piece = 7;
    setup.budget = 88;
    setup.broker.sender_waiting = 1;
    setup.broker.max_queued = 3;
    setup.broker.max_receipts = 20;
    setup.clients[1].manual_acknowledgement = true;
    setup.clients[2].destination_slots = 1;
    setup.clients[2].manual_acknowledgement = true;
    let send = |from, to| Step::Send(Send::new(from, to));
    let long =
        |length, from| Step::Send(Send { payload: Payload::Length(length), ..Send::new(from, To::Everyone) });
    let all = |count| vec![send(2, To::Everyone); count];
    let steps = [
        all(1),
        vec![long(28, 2), send(2, To::Client(2))],
        all(13),
        vec![send(2, To::Client(1))],
        all(3),
        vec![send(2, To::Client(0))],
        all(7),
        vec![long(1_000, 2), send(2, To::Client(2))],
        all(3),
        vec![long(1_000, 2), long(1_000, 2)],
        all(1),
        vec![send(1, To::Everyone), send(1, To::Client(2))],
        vec![send(1, To::Everyone); 3],
        all(1),
        vec![send(2, To::Client(2)), Step::Connect(0), Step::WriteUp { client: 0, out: 2, most: 50 }],
        vec![long(18, 0), Step::ReadUp(Pipe(0, 0), usize::MAX), Step::Pass(ms(150))],
        vec![Step::Kill { silent: false }, Step::Advance(ms(4_000)), Step::Flow, send(2, To::Client(0))],
    ];
    holds(setup, &steps.concat());
}
