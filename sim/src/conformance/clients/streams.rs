//! What goes over one connection: pieces, bursts, stalls, silence.

use std::thread;
use std::time::{Duration, Instant};

use e_pigeon_core::{BrokerConfig, Filter, Message, SendError, Value};

use super::told::{Told, host};
use crate::conformance::adapter::{ClientAdapter, RunningClient};
use crate::conformance::host::Manners;
use crate::conformance::limits;
use crate::conformance::log::Heard;
use crate::conformance::numbers::{config, numbered, to};
use crate::conformance::place::Place;
use crate::conformance::waiting::until;

pub(super) fn bytes_may_come_and_go_one_by_one<A: ClientAdapter>(adapter: &A, place: &Place) {
    let host = host(place, BrokerConfig::new(0));
    host.behave(Manners { read_piece: 1, write_piece: 1, ..Manners::GOOD });
    let mut alice = Told::start(adapter, config(1), &host);
    let mut bob = Told::start(adapter, config(2), &host);
    alice.send_numbered(2, 20, 300);
    bob.send_numbered(1, 20, 5);
    until("all are answered", || {
        alice.listen();
        bob.listen();
        alice.log.delivered_to(1) == 20 && bob.log.delivered_to(1) == 20
    });
    alice.log.assert_all(20);
    bob.log.assert_all(20);
}

/// There is more than one read takes, and when it is read no edge tells of the rest.
pub(super) fn a_burst_is_read_to_its_end_though_nothing_follows<A: ClientAdapter>(
    adapter: &A,
    place: &Place,
) {
    let host = host(place, BrokerConfig::new(0));
    let mut alice = Told::join(adapter, 1, &host);
    let mut bob = Told::join(adapter, 2, &host);
    // The kernel makes more room for one who reads fast, so later bursts are larger.
    for round in 1..=5 {
        // All of it is at the broker before the first byte comes.
        host.behave(Manners { write_piece: 0, ..Manners::GOOD });
        for number in (round - 1) * 60..round * 60 {
            alice.send(2, number, 60_000);
        }
        until("all of it is at the broker", || host.stats().taken == u64::from(round) * 60);
        // It is written as fast as it goes, and then not a byte more.
        host.behave(Manners { write_piece: 1 << 22, ..Manners::GOOD });
        until("the whole burst", || {
            bob.listen();
            bob.log.numbers.len() == round as usize * 60
        });
        until("the receipts", || {
            alice.listen();
            bob.listen();
            alice.log.delivered_to(1) == round as usize * 60
        });
    }
    bob.log.assert_all(300);
}

/// The adapter is asleep, and nothing wakes it but the command.
pub(super) fn commands_go_out_by_themselves<A: ClientAdapter>(adapter: &A, place: &Place) {
    let host = host(place, BrokerConfig::new(0));
    let mut alice = Told::join(adapter, 1, &host);
    let manual = config(2).manual_acknowledgement(true);
    let mut bob = Told::start(adapter, manual, &host).established();
    thread::sleep(Duration::from_millis(50));
    bob.client.set("room", Value::Str("lobby")).expect("room for a change");
    thread::sleep(Duration::from_millis(50));
    let lobby = Filter::all_of(&[("room", Value::Str("lobby"))]).expect("a filter").into();
    alice.client.send(&Message::new(&lobby, &numbered(0, 10))).expect("room for a message");
    until("the message is there", || {
        bob.listen();
        bob.log.numbers.len() == 1
    });
    thread::sleep(Duration::from_millis(100));
    bob.listen();
    alice.listen();
    assert!(alice.log.finals.is_empty(), "nobody has acknowledged it yet");
    bob.client.acknowledge(bob.log.last_token.expect("the message"));
    until("the acknowledgement is there", || {
        alice.listen();
        alice.log.delivered_to(1) == 1
    });
}

pub(super) fn a_broker_that_does_not_read_makes_send_say_full_and_nothing_wait<A: ClientAdapter>(
    adapter: &A,
    place: &Place,
) {
    let host = host(place, BrokerConfig::new(0));
    let mut alice = Told::join(adapter, 1, &host);
    host.behave(Manners::STALLED);
    let begun = Instant::now();
    let mut sent = 0;
    // The outbox has 4 MiB: more than the socket takes.
    let error = loop {
        match alice.client.send(&Message::new(&to(1), &numbered(sent, 60_000))) {
            Ok(_) => sent += 1,
            Err(error) => break error,
        }
        assert!(sent < 1000, "there is no limit to what it takes");
    };
    assert_eq!(error, SendError::Full);
    assert!(begun.elapsed() < Duration::from_secs(4), "sending has waited for somebody");
    // The application is not stopped by it.
    assert!(alice.client.next(Duration::from_millis(100)).is_none(), "nothing has happened");
    host.behave(Manners::GOOD);
    until("everything is answered, and there is room", || {
        alice.listen();
        alice.log.delivered_to(1) == sent as usize && alice.log.capacity > 0
    });
    alice.log.assert_all(sent);
}

/// What its socket does not take stays in the outbox, under its times to live, and not in a buffer without an end.
pub(super) fn what_a_broker_does_not_read_waits_in_the_core<A: ClientAdapter>(adapter: &A, place: &Place) {
    const COUNT: u32 = 500;
    const LARGE: u32 = 32 << 20;
    let host = host(place, BrokerConfig::new(0).window_bytes(LARGE));
    let roomy = config(1).outbox_bytes(LARGE);
    let mut alice = Told::start(adapter, roomy, &host).established();
    host.behave(Manners::STALLED);
    for number in 0..COUNT {
        let (to, payload) = (to(2), numbered(number, 60_000));
        let time_to_live = Duration::from_millis(200);
        let outgoing = Message::new(&to, &payload).time_to_live(time_to_live);
        alice.client.send(&outgoing).expect("room for a message");
    }
    thread::sleep(Duration::from_millis(350));
    host.behave(Manners::GOOD);
    until("all have ended", || {
        alice.listen();
        alice.log.finals.len() == COUNT as usize
    });
    // Those that the sockets had taken have come; they take some megabytes.
    let came = host.stats().taken;
    assert!(came < 300, "{came} of {COUNT} came after their time was over: they had left the client");
}

pub(super) fn an_application_that_does_not_read_holds_back_its_sender_only<A: ClientAdapter>(
    adapter: &A,
    place: &Place,
) {
    let host = host(place, BrokerConfig::new(0));
    let few = config(2).inbox_messages(8).inbox_bytes(1 << 16);
    let mut alice = Told::join(adapter, 1, &host);
    let mut bob = Told::start(adapter, few, &host).established();
    let mut carol = Told::join(adapter, 3, &host);
    alice.send_numbered(2, 500, 1000);
    until("all of it is at the broker", || host.stats().taken == 500);
    // Bob's application is busy with something else.
    for number in 0..20 {
        alice.send(3, number, 100);
        until("others go on", || {
            alice.listen();
            carol.listen();
            alice.log.delivered_to(1) == number as usize + 1
        });
    }
    until("what nobody has read is not confirmed, and all else is", || host.stats().open == 500);
    // What its application does not read is no reason for its socket to be left alone: it stays connected, and sends.
    bob.send(3, 20, 100);
    until("it is still heard", || {
        carol.listen();
        carol.log.numbers.len() == 21
    });
    until("all of it", || {
        alice.listen();
        bob.listen();
        carol.listen();
        alice.log.delivered_to(1) == 520
    });
    bob.log.assert_all(500);
    carol.log.assert_all(21);
}

pub(super) fn an_idle_client_does_not_work<A: ClientAdapter>(adapter: &A, place: &Place) {
    let host = host(place, BrokerConfig::new(0));
    let mut idle: Vec<_> = (10..20).map(|number| Told::join(adapter, number, &host)).collect();
    idle.iter_mut().for_each(Told::listen);
    limits::assert_idle("clients with nothing to do");
    // Nobody reads what one has; and another has more to write than its socket takes.
    idle[0].send_numbered(11, 10, 1000);
    until("it is there", || host.stats().taken == 10);
    host.behave(Manners::STALLED);
    idle[2].send_numbered(11, 60, 60_000);
    limits::assert_idle("clients that wait for their application or their socket");
}

/// A program that asks for the next event has done with the message before. As long as it does not ask, it may still be lost with its
/// program.
pub(super) fn program_10_a_message_in_hand_is_not_acknowledged<A: ClientAdapter>(adapter: &A, place: &Place) {
    let host = host(place, BrokerConfig::new(0));
    let (mut alice, mut bob) = (Told::join(adapter, 1, &host), Told::join(adapter, 2, &host));
    alice.listen();
    bob.send(1, 0, 100);
    let mut in_hand = None;
    until("the message", || {
        in_hand = alice.client.next(Duration::ZERO);
        matches!(in_hand, Some(Heard::Message { .. }))
    });
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(300) {
        bob.listen();
        thread::sleep(Duration::from_millis(5));
    }
    assert!(bob.log.finals.is_empty(), "it was acknowledged when it was handed out: {:?}", bob.log.finals);
    until("the receipt", || {
        let _ = alice.client.next(Duration::ZERO);
        bob.listen();
        bob.log.delivered_to(1) == 1
    });
}
