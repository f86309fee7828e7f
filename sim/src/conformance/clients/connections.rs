//! How connections come, break and end.

use std::thread;
use std::time::{Duration, Instant};

use e_pigeon_core::{BrokerConfig, Close, CloseReason, DisconnectReason, Established};

use super::told::{Told, host};
use crate::conformance::adapter::{ClientAdapter, RunningClient};
use crate::conformance::host::{Blow, Host, Manners};
use crate::conformance::log::Log;
use crate::conformance::numbers::config;
use crate::conformance::place::Place;
use crate::conformance::socket::Acceptor;
use crate::conformance::waiting::{soon, until};

fn settled() -> BrokerConfig {
    BrokerConfig::new(0).settle(Duration::from_millis(100))
}

pub(super) fn a_broker_that_is_not_there_is_found_when_it_is<A: ClientAdapter>(adapter: &A, place: &Place) {
    // The address is that of somebody who has gone.
    let (acceptor, address) = Acceptor::bind(&place.address()).expect("a free address");
    drop(acceptor);
    let client = adapter.start_client(config(1), &address);
    let mut alice = Told { client, log: Log::default() };
    alice.send(1, 0, 100);
    until("it has tried", || {
        alice.listen();
        !alice.log.disconnected.is_empty()
    });
    let host = Host::start(settled(), 1, &address);
    until("it is found", || {
        alice.listen();
        alice.log.delivered_to(1) == 1
    });
    // It dies, and another one takes its place.
    drop(host);
    alice.send(1, 1, 100);
    let host = Host::start(settled(), 2, &address);
    until("the next one is found", || {
        alice.listen();
        alice.log.delivered_to(1) == 2
    });
    alice.log.assert_all(2);
    assert_eq!(alice.log.established.last(), Some(&Established::Lost));
    drop(host);
}

/// When to try again is said by the core: 50 ms at first, then twice as long each time.
pub(super) fn a_broker_that_slams_its_door_is_not_besieged<A: ClientAdapter>(adapter: &A, place: &Place) {
    let host = host(place, settled());
    host.behave(Manners { slams: true, ..Manners::GOOD });
    let mut alice = Told::start(adapter, config(1), &host);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(800) {
        alice.listen();
        thread::sleep(Duration::from_millis(1));
    }
    let attempts = host.accepted();
    assert!((2..=12).contains(&attempts), "{attempts} attempts within 800 ms");
    host.behave(Manners::GOOD);
    until("a session", || {
        alice.listen();
        !alice.log.established.is_empty()
    });
}

/// One event, and more to write than one turn writes: no other event follows, for the socket was never full.
pub(super) fn all_goes_out_when_the_window_opens<A: ClientAdapter>(adapter: &A, place: &Place) {
    let host = host(place, settled());
    let address = host.address().clone();
    let mut alice = Told::join(adapter, 1, &host);
    drop(host);
    // A broker that has to wait for others lets a client of its predecessor wait.
    let settle = Duration::from_millis(500);
    let host = Host::start(BrokerConfig::new(0).settle(settle), 2, &address);
    until("a session with a shut window", || {
        alice.listen();
        alice.log.established.len() == 2
    });
    host.behave(Manners { read_piece: 0, ..Manners::GOOD });
    alice.send_numbered(2, 60, 60_000);
    thread::sleep(settle + Duration::from_millis(200));
    host.behave(Manners { write_piece: 0, ..Manners::GOOD });
    until("all of it", || host.stats().taken == 60);
}

pub(super) fn connections_that_are_cut_lose_nothing<A: ClientAdapter>(adapter: &A, place: &Place) {
    const COUNT: u32 = 120;
    let host = host(place, BrokerConfig::new(0));
    let mut alice = Told::join(adapter, 1, &host);
    let mut bob = Told::join(adapter, 2, &host);
    for number in 0..COUNT {
        // Small and large ones, so that cuts are everywhere.
        alice.send(2, number, if number % 3 == 0 { 30_000 } else { 40 });
        if number % 20 == 10 {
            // Both ends have something under way in both directions.
            host.behave(Manners { read_piece: 3000, write_piece: 1000, ..Manners::GOOD });
            until("some of it", || {
                alice.listen();
                bob.listen();
                bob.log.numbers.len() + 8 >= number as usize / 2
            });
            host.strike(Blow::Cut);
            host.behave(Manners::GOOD);
        }
    }
    until("everything", || {
        alice.listen();
        bob.listen();
        alice.log.delivered_to(1) == COUNT as usize
    });
    bob.log.assert_all(COUNT);
    assert!(!bob.log.disconnected.is_empty(), "it was cut");
    assert!(
        !bob.log.established.contains(&Established::Lost),
        "the session stays: {:?}",
        bob.log.established
    );
}

/// A client has nothing to expect from a broker that writes no more: it closes too, and connects again.
pub(super) fn a_broker_that_ends_its_writing_is_left<A: ClientAdapter>(adapter: &A, place: &Place) {
    let host = host(place, BrokerConfig::new(0));
    let mut alice = Told::join(adapter, 1, &host);
    host.strike(Blow::Finish);
    alice.send(1, 0, 100);
    until("a new connection", || {
        alice.listen();
        alice.log.delivered_to(1) == 1
    });
    alice.log.assert_all(1);
    until("the old one is closed", || host.stats().links == 1);
}

pub(super) fn silence_is_noticed_in_time<A: ClientAdapter>(adapter: &A, place: &Place) {
    let keep_alive = Duration::from_millis(250);
    let host = host(place, BrokerConfig::new(0).keep_alive(keep_alive));
    let impatient = config(1).handshake_timeout(Duration::from_millis(200));
    // A connection is not enough: the welcome has to come.
    host.behave(Manners::STALLED);
    let mut alice = Told::start(adapter, impatient, &host);
    until("the handshake takes too long", || {
        alice.listen();
        alice.log.disconnected.contains(&DisconnectReason::HandshakeTimeout)
    });
    host.behave(Manners::GOOD);
    let mut alice = alice.established();
    // Signs of life go out in time: the broker gives up after three intervals.
    let before = alice.log.disconnected.len();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(800) {
        alice.listen();
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(alice.log.disconnected.len(), before, "{:?}", alice.log.disconnected);
    host.behave(Manners::STALLED);
    until("the silence is noticed", || {
        alice.listen();
        alice.log.disconnected.contains(&DisconnectReason::Silent)
    });
    host.behave(Manners::GOOD);
    until("a session again", || {
        alice.listen();
        alice.log.established.len() > 1
    });
}

pub(super) fn a_close_in_the_middle_of_everything_says_all_and_ends<A: ClientAdapter>(
    adapter: &A,
    place: &Place,
) {
    let host = host(place, BrokerConfig::new(0));
    let mut alice = Told::join(adapter, 1, &host);
    let mut bob = Told::join(adapter, 2, &host);
    // Its socket is full, and more comes for it than anybody reads.
    host.behave(Manners::STALLED);
    alice.send_numbered(2, 60, 60_000);
    bob.send_numbered(1, 20, 1000);
    alice.client.close(Close::EndSession);
    let thought = Instant::now();
    while thought.elapsed() < Duration::from_millis(150) {
        alice.listen();
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(alice.log.closed, None, "the broker has not confirmed it");
    host.behave(Manners { read_piece: 10_000, write_piece: 500, ..Manners::GOOD });
    until("it has ended, and all that it has said is there", || {
        alice.listen();
        bob.listen();
        alice.log.closed.is_some() && bob.log.numbers.len() == 60
    });
    assert_eq!(alice.log.closed, Some(CloseReason::Requested));
    bob.log.assert_all(60);
    until("its session and its connection are gone", || {
        let stats = host.stats();
        (stats.sessions, stats.links) == (1, 1)
    });
}

pub(super) fn a_client_that_is_dropped_is_away<A: ClientAdapter>(adapter: &A, place: &Place) {
    let host = host(place, BrokerConfig::new(0));
    let mut alice = Told::join(adapter, 1, &host);
    let bob = Told::join(adapter, 2, &host);
    host.behave(Manners::STALLED);
    alice.send_numbered(2, 60, 60_000);
    let alice = alice.client;
    soon("busy ones are dropped", move || drop((alice, bob)));
    host.behave(Manners::GOOD);
    until("their connections are gone", || host.stats().links == 0);
    assert_eq!(host.stats().sessions, 2, "their sessions stay");
}

pub(super) fn a_crowd_comes_back_after_each_cut<A: ClientAdapter>(adapter: &A, place: &Place) {
    const CROWD: u128 = 100;
    let host = host(place, BrokerConfig::new(0));
    let small = |number| {
        config(number)
            .max_payload(1000)
            .outbox_messages(64)
            .outbox_bytes(1 << 14)
            .inbox_messages(64)
            .inbox_bytes(1 << 14)
            .seen_window(64)
            .reconnect_max(Duration::from_millis(200))
    };
    let mut crowd: Vec<_> = (0..CROWD).map(|number| Told::start(adapter, small(number + 1), &host)).collect();
    for round in 0..4 {
        // Each to the next, in a circle.
        for (number, client) in crowd.iter_mut().enumerate() {
            client.send((number as u128 + 1) % CROWD + 1, round, 200);
        }
        if round % 2 == 0 {
            thread::sleep(Duration::from_millis(20));
        }
        host.strike(Blow::Cut);
    }
    until("all is answered", || {
        crowd.iter_mut().for_each(Told::listen);
        crowd.iter().all(|client| client.log.delivered_to(1) == 4)
    });
    crowd.iter().for_each(|client| client.log.assert_all(4));
    until("each has one connection", || host.stats().links == CROWD as u32);
}
