//! How connections end, and how a broker does.

use std::time::{Duration, Instant};

use e_pigeon_core::{AbortCode, BrokerConfig, CloseReason, DisconnectReason, Established};

use super::setup::{establish, join, roomy_queues, short, start, until_links};
use crate::conformance::adapter::{BrokerAdapter, RunningBroker};
use crate::conformance::numbers::{config, to};
use crate::conformance::peer::Peer;
use crate::conformance::place::Place;
use crate::conformance::socket::Socket;
use crate::conformance::waiting::{LIMIT, soon, until};

/// A socket that is closed with unread input resets the connection, and the peer never reads what it was told.
pub(super) fn whoever_talks_nonsense_hears_the_last_words<A: BrokerAdapter>(adapter: &A, place: &Place) {
    let broker = start(adapter, place, short());
    for size in [4, 1000, 300_000] {
        let mut socket = Socket::dial(&broker.address()).expect("accepted");
        // As much as goes: the broker need not read it all.
        let _ = socket.write(&vec![0xff; size]);
        let told = socket.read_to_end();
        assert_eq!(told, [3, 3, AbortCode::FrameTooLarge as u8, 0], "after {size} bytes");
    }
    let mut socket = Socket::dial(&broker.address()).expect("accepted");
    socket.write_all(&[0xff; 16]);
    socket.finish();
    assert_eq!(socket.read_to_end(), [3, 3, AbortCode::FrameTooLarge as u8, 0], "also to one that has ended");
    until_links(&broker, 0);
}

pub(super) fn what_was_said_before_the_end_of_writing_counts<A: BrokerAdapter>(adapter: &A, place: &Place) {
    let broker = start(adapter, place, BrokerConfig::new(0));
    let (mut alice, mut bob) = (join(&broker, 1), join(&broker, 2));
    alice.send_numbered(&to(2), 60, 60_000);
    alice.say_all_and_fall_silent();
    alice.finish();
    until("all that was said, and the end of it", || {
        alice.turns();
        bob.turns();
        bob.log.numbers.len() == 60 && alice.is_over
    });
    bob.log.assert_all(60);
    until_links(&broker, 1);
}

pub(super) fn a_goodbye_is_answered_though_the_socket_is_full<A: BrokerAdapter>(adapter: &A, place: &Place) {
    let broker = start(adapter, place, BrokerConfig::new(0));
    let (mut alice, mut bob) = (join(&broker, 1), join(&broker, 2));
    bob.read_piece = 0;
    alice.send_numbered(&to(2), 60, 60_000);
    until("its socket is full", || {
        alice.turns();
        broker.stats().taken == 60
    });
    bob.close();
    bob.turns();
    std::thread::sleep(Duration::from_millis(50));
    bob.read_piece = 1 << 16;
    until("the farewell", || {
        bob.turns();
        bob.log.closed.is_some()
    });
    assert_eq!(bob.log.closed, Some(CloseReason::Requested));
    until("the end of the connection", || {
        bob.turns();
        bob.is_over
    });
    until_links(&broker, 1);
    assert_eq!(broker.stats().sessions, 1, "its session has ended");
}

pub(super) fn a_connection_that_breaks_while_it_is_written_loses_nothing<A: BrokerAdapter>(
    adapter: &A,
    place: &Place,
) {
    const COUNT: u32 = 150;
    let broker = start(adapter, place, roomy_queues());
    let roomy = |number| config(number).inbox_bytes(16 << 20).outbox_bytes(16 << 20);
    let mut alice = Peer::dial(roomy(1), &broker.address());
    let mut bob = Peer::dial(roomy(2), &broker.address());
    establish(&mut bob);
    alice.send_numbered(&to(2), COUNT, 60_000);
    for seen in [0, 10, 50] {
        bob.read_piece = 10_000;
        until("some of it", || {
            alice.turns();
            bob.turn();
            bob.log.numbers.len() >= seen
        });
        // The broker is in the middle of writing, and its socket is full.
        bob.read_piece = 0;
        let taken = broker.stats().taken;
        until("more is on its way", || {
            alice.turns();
            let stats = broker.stats();
            stats.taken > taken || stats.taken == u64::from(COUNT)
        });
        bob.redial(&broker.address());
        bob.read_piece = 1 << 16;
        establish(&mut bob);
        until_links(&broker, 2);
    }
    until("everything", || {
        alice.turns();
        bob.turns();
        alice.log.delivered_to(1) == COUNT as usize
    });
    bob.log.assert_all(COUNT);
    assert!(bob.log.established[1..].iter().all(|how| *how == Established::Resumed), "the same session");
}

pub(super) fn a_stop_in_the_middle_of_everything_is_told_and_takes_no_time<A: BrokerAdapter>(
    adapter: &A,
    place: &Place,
) {
    let broker = start(adapter, place, short());
    let address = broker.address();
    let roomy = |number| config(number).inbox_bytes(16 << 20).outbox_bytes(16 << 20);
    let mut flooding = Peer::dial(roomy(1), &address);
    let mut stalled = Peer::dial(roomy(2), &address);
    establish(&mut stalled);
    stalled.read_piece = 0;
    let mut quiet = join(&broker, 3);
    let mut within_hello = Peer::dial(config(4), &address);
    within_hello.write_piece = 20;
    within_hello.turn();
    flooding.send_numbered(&to(2), 200, 60_000);
    until("the flood is on", || {
        flooding.turn();
        broker.stats().taken > 50
    });

    let begun = Instant::now();
    let stopped = std::thread::spawn(move || soon("the stop", move || broker.stop()));
    until("the others are told", || {
        // Nobody else reads or closes, and one goes on writing.
        flooding.read_piece = 0;
        flooding.turn();
        quiet.turns();
        quiet.is_over
    });
    let told = DisconnectReason::Aborted(AbortCode::ShuttingDown, 0);
    assert!(quiet.log.disconnected.contains(&told), "{:?}", quiet.log.disconnected);
    // Nobody is let in who would have to be told at once.
    assert!(Socket::dial(&address).is_err(), "it still listens");
    quiet.cut();
    stopped.join().expect("it stops");
    assert!(begun.elapsed() < LIMIT - Duration::from_secs(1), "a stop took {:?}", begun.elapsed());

    // The next one may listen there, and finds everybody back.
    let settle = Duration::from_millis(100);
    let next = adapter.start_broker(short().settle(settle), 2, &address);
    let next = next.expect("the address is free again");
    for peer in [&mut flooding, &mut stalled, &mut quiet, &mut within_hello] {
        (peer.read_piece, peer.write_piece) = (1 << 16, 1 << 16);
        peer.redial(&next.address());
    }
    until("everything is there in the end", || {
        for peer in [&mut flooding, &mut stalled, &mut quiet, &mut within_hello] {
            peer.turns();
        }
        flooding.log.delivered_to(1) == 200
    });
    stalled.log.assert_all(200);
}
