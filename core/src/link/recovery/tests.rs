//! Which items one end of a lossy link counts as missing, and when it asks.

use super::flight::{COMES_FOR_ONE, FIRST_FLIGHT, SLOW_FLIGHT};
use super::*;
use core::time::Duration;

const WINDOW: Window = Window { messages: 9, bytes: 9 };

fn at(ms: u64) -> Instant {
    Instant::from_micros(1 + ms * 1_000)
}

/// A link that has written so many items at the beginning of time.
fn written(count: u64) -> Recovery {
    let mut recovery = Recovery::new(0);
    (1..=count).for_each(|number| recovery.wrote(number, at(0)));
    recovery
}

/// The next state that is sent: news, or what was sent before.
fn state_of(link: &mut Recovery, received: u64, has_news: bool, now: Instant) -> StateFrame {
    link.begin_state(has_news, false, now);
    link.state(received, received, WINDOW)
}

fn state(serial: u64, received: u64, beyond: u64) -> StateFrame {
    StateFrame { serial, heard: 0, wants_reply: false, received, acknowledged: 0, window: WINDOW, beyond }
}

#[test]
fn what_was_overtaken_by_three_is_missing_and_is_written_once_more() {
    let mut sender = written(8);
    sender.receive_state(&state(1, 2, 0b0110), at(10)).unwrap();
    assert_eq!(sender.next_missing(), None, "3 was overtaken by two");
    sender.receive_state(&state(2, 2, 0b1110), at(11)).unwrap();
    assert_eq!(sender.next_missing(), Some(3));
    sender.wrote(3, at(11));
    sender.receive_state(&state(3, 2, 0b11_1110), at(12)).unwrap();
    assert_eq!(sender.next_missing(), None, "it is under way again");
    sender.receive_state(&state(4, 8, 0), at(20)).unwrap();
    assert_eq!((sender.deadline(), sender.is_settled()), (None, true));
}

#[test]
fn what_was_lost_twice_is_found_by_what_was_written_after_it() {
    let mut sender = written(8);
    sender.receive_state(&state(1, 2, 0b11_1110), at(10)).unwrap();
    assert_eq!(sender.next_missing(), Some(3));
    for number in [3, 9, 10, 11] {
        sender.wrote(number, at(11));
    }
    sender.receive_state(&state(2, 2, 0b1111_1110), at(20)).unwrap();
    assert_eq!(sender.next_missing(), None, "it was overtaken by two");
    sender.receive_state(&state(3, 2, 0b1_1111_1110), at(21)).unwrap();
    assert_eq!(sender.next_missing(), Some(3));
}

#[test]
fn field_f6_a_timer_asks_and_takes_nothing_for_lost() {
    let mut sender = written(5);
    let (due, flight) = (sender.deadline().unwrap(), sender.flight.size());
    sender.expire(at(1));
    assert!(!sender.is_state_due(false), "not yet");
    sender.expire(due);
    assert!(sender.is_state_due(false));
    assert_eq!((sender.next_missing(), sender.deadline(), sender.flight.size()), (None, None, flight));
    let question = state_of(&mut sender, 0, false, due);
    assert!(question.wants_reply && sender.deadline().is_some());
    // All but one were only slow.
    let answer = StateFrame { heard: question.serial, ..state(1, 1, 0b1110) };
    sender.receive_state(&answer, due).unwrap();
    assert_eq!(sender.next_missing(), Some(2), "the answer was written after it would have come");
    assert!(sender.flight.size() >= flight);
}

#[test]
fn one_item_that_is_not_answered_is_written_again_after_times_that_grow() {
    let mut sender = written(1);
    let first = sender.deadline().unwrap();
    sender.expire(first);
    assert_eq!((sender.next_missing(), sender.deadline()), (Some(1), None));
    let mut now = first;
    for _ in 0..9 {
        sender.wrote(1, now);
        now = sender.deadline().unwrap();
        sender.expire(now);
        assert_eq!(sender.next_missing(), Some(1));
    }
    assert!(now > at(15_000), "{now:?}");
    sender.wrote(1, now);
    sender.receive_state(&state(1, 1, 0), now).unwrap();
    assert_eq!(sender.deadline(), None);
}

#[test]
fn the_flight_doubles_until_something_is_lost_and_then_each_loss_costs_one() {
    let mut sender = written(16);
    sender.receive_state(&state(1, 16, 0), at(10)).unwrap();
    assert_eq!(sender.flight.size(), 2 * FIRST_FLIGHT);
    (17..=48).for_each(|number| sender.wrote(number, at(10)));
    assert!(!sender.has_room());
    sender.receive_state(&state(2, 16, 0b1_1110_0000), at(20)).unwrap();
    let lost = 5;
    assert_eq!(sender.flight.size(), 2 * FIRST_FLIGHT + 4 - lost);
    sender.receive_state(&state(3, 46, 0), at(21)).unwrap();
    assert_eq!(sender.flight.size(), 2 * FIRST_FLIGHT + 4 + 26 / COMES_FOR_ONE, "they were only late");
}

#[test]
fn a_flight_that_only_waits_on_the_line_becomes_smaller() {
    let mut sender = written(1);
    sender.receive_state(&state(1, 1, 0), at(10)).unwrap();
    let mut now = 10;
    for number in 2..20 {
        sender.wrote(number, at(now));
        now += 2_000;
        sender.receive_state(&state(number, number, 0), at(now)).unwrap();
    }
    assert!(sender.flight.size() <= FIRST_FLIGHT / 2, "{}", sender.flight.size());
    // The round trip is that of the line itself.
    for number in 20..60 {
        sender.wrote(number, at(now));
        now += 2_000;
        sender.receive_state(&state(number, number, 0), at(now)).unwrap();
    }
    assert!(sender.flight.size() > SLOW_FLIGHT, "{}", sender.flight.size());
}

#[test]
fn what_comes_too_soon_after_it_was_written_again_was_overtaken() {
    let mut sender = written(1);
    sender.receive_state(&state(1, 1, 0), at(100)).unwrap();
    (2..=12).for_each(|number| sender.wrote(number, at(100)));
    sender.receive_state(&state(2, 1, 0b1110), at(200)).unwrap();
    assert_eq!(sender.next_missing(), Some(2));
    sender.wrote(2, at(200));
    sender.receive_state(&state(3, 5, 0), at(201)).unwrap();
    assert_eq!(sender.reordering, 2 * REORDERING.0);
    sender.receive_state(&state(4, 5, 0b11_1110), at(202)).unwrap();
    assert_eq!(sender.next_missing(), None, "6 was overtaken by five");
}

#[test]
fn orders_are_told_apart_however_much_is_written_while_nothing_comes() {
    let mut sender = written(8);
    for _ in 0..1_000 {
        sender.expire(at(1_000_000));
        sender.items = Repeat::default();
        sender.probes = 3;
        (0..3).for_each(|_| sender.begin_state(false, false, at(0)));
        sender.wrote(3, at(0));
    }
    let serial = sender.serial;
    sender.receive_state(&StateFrame { heard: serial, ..state(1, 1, 0b1110) }, at(1)).unwrap();
    assert_eq!(sender.next_missing(), Some(2));
}

#[test]
fn what_cannot_be_true_is_refused_and_what_is_old_changes_nothing() {
    let mut sender = written(4);
    for bad in [state(1, 5, 0), state(1, 1, 0b1000), StateFrame { heard: 1, ..state(1, 1, 0) }] {
        assert_eq!(sender.clone().receive_state(&bad, at(1)), Err(AbortCode::BadAcknowledgement), "{bad:?}");
    }
    assert_eq!(sender.receive_state(&state(7, 3, 0), at(1)), Ok(true));
    assert_eq!(sender.receive_state(&state(6, 1, 0), at(1)), Ok(false));
    assert_eq!(
        sender.receive_state(&state(8, 2, 0), at(1)),
        Err(AbortCode::BadAcknowledgement),
        "3 was here before"
    );
}

#[test]
fn items_ahead_of_a_missing_one_are_told_and_taken_in_order() {
    let mut receiver = Recovery::new(0);
    assert_eq!(receiver.place(2, 0), Place::Ahead);
    receiver.kept(2, 0);
    assert_eq!(receiver.place(2, 0), Place::Known);
    assert_eq!(receiver.place(65, 0), Place::Known, "too far ahead");
    assert_eq!(receiver.place(64, 0), Place::Ahead);
    receiver.kept(64, 0);
    assert_eq!(state_of(&mut receiver, 0, false, at(0)).beyond, 1 << 63 | 0b10);
    assert_eq!(receiver.place(1, 0), Place::Next);
    assert!(receiver.received_one(), "2 is next, and here");
    assert!(!receiver.received_one());
    assert_eq!(state_of(&mut receiver, 2, true, at(0)).beyond, 1 << 61);
    assert_eq!(receiver.place(1, 2), Place::Known);
}

#[test]
fn what_changes_is_told_until_it_was_received_and_the_answer_to_it_is_not_answered() {
    let (mut a, mut b) = (Recovery::new(0), Recovery::new(0));
    assert!(!a.is_state_due(false));
    assert!(a.is_state_due(true));
    let lost = state_of(&mut a, 0, true, at(0));
    assert!(lost.wants_reply && !a.is_state_due(false));
    let due = a.deadline().unwrap();
    a.expire(due);
    assert!(a.is_state_due(false));
    let again = state_of(&mut a, 0, false, due);
    assert_eq!(b.receive_state(&again, due), Ok(true));
    assert!(b.is_state_due(false));
    let answer = state_of(&mut b, 0, false, due);
    assert_eq!((answer.heard, answer.wants_reply), (again.serial, false));
    assert_eq!(a.receive_state(&answer, due), Ok(true));
    assert!(!a.is_state_due(false) && a.deadline().is_none() && b.deadline().is_none());
    assert_eq!(b.receive_state(&lost, due + Duration::from_secs(1)), Ok(false), "it was overtaken");
}
