//! What one connection may do: pieces, bursts, stalls, silence.

use std::time::Duration;

use e_pigeon_core::{AbortCode, BrokerConfig, Destination, DisconnectReason, Filter};

use super::setup::{dial, establish, join, roomy_queues, short, start};
use crate::conformance::adapter::{BrokerAdapter, RunningBroker};
use crate::conformance::limits;
use crate::conformance::numbers::{config, numbered, to};
use crate::conformance::peer::Peer;
use crate::conformance::place::Place;
use crate::conformance::socket::Socket;
use crate::conformance::waiting::until;

pub(super) fn bytes_may_come_and_go_one_by_one<A: BrokerAdapter>(adapter: &A, place: &Place) {
    let broker = start(adapter, place, BrokerConfig::new(0));
    let (mut alice, mut bob) = (dial(&broker, 1), dial(&broker, 2));
    for peer in [&mut alice, &mut bob] {
        (peer.read_piece, peer.write_piece) = (1, 1);
    }
    alice.send_numbered(&to(2), 20, 300);
    bob.send_numbered(&to(1), 20, 5);
    until("all are answered", || {
        alice.turns();
        bob.turns();
        alice.log.delivered_to(1) == 20 && bob.log.delivered_to(1) == 20
    });
    alice.log.assert_all(20);
    bob.log.assert_all(20);
}

/// There is more than one read takes, and when it is read no edge tells of the rest.
pub(super) fn a_burst_is_read_to_its_end_though_nothing_follows<A: BrokerAdapter>(
    adapter: &A,
    place: &Place,
) {
    let broker = start(adapter, place, BrokerConfig::new(0));
    let (mut alice, mut bob, mut carol) = (join(&broker, 1), join(&broker, 2), join(&broker, 3));
    // Two at once: neither may be left behind for the other.
    alice.send_numbered(&to(2), 60, 60_000);
    carol.send_numbered(&to(3), 3000, 100);
    alice.say_all_and_fall_silent();
    carol.say_all_and_fall_silent();
    until("the whole burst", || {
        bob.turns();
        carol.turns();
        bob.log.numbers.len() == 60 && carol.log.numbers.len() == 3000
    });
    bob.log.assert_all(60);
    carol.log.assert_all(3000);
}

/// More deliveries than the broker makes in one call: it leaves input untaken, and says when it wants it.
pub(super) fn input_that_the_core_did_not_take_is_offered_again<A: BrokerAdapter>(
    adapter: &A,
    place: &Place,
) {
    let broker = start(adapter, place, BrokerConfig::new(0));
    let mut alice = join(&broker, 1);
    let mut others: Vec<Peer> = (2..10).map(|number| join(&broker, number)).collect();
    let everyone_else = Destination::from(Filter::everyone()).exclude_self();
    alice.send_numbered(&everyone_else, 4000, 4);
    alice.say_all_and_fall_silent();
    until("all have all", || {
        others.iter_mut().for_each(Peer::turns);
        others.iter().all(|other| other.log.numbers.len() == 4000)
    });
    others.iter().for_each(|other| other.log.assert_all(4000));
}

/// What is sent to it fills its socket; the rest waits for an edge of its own.
pub(super) fn a_peer_that_does_not_read_gets_everything_later_and_stops_nobody<A: BrokerAdapter>(
    adapter: &A,
    place: &Place,
) {
    const COUNT: u32 = 200;
    let broker = start(adapter, place, roomy_queues());
    let roomy = |number| config(number).inbox_bytes(16 << 20).outbox_bytes(16 << 20);
    let mut alice = Peer::dial(roomy(1), &broker.address());
    let mut bob = Peer::dial(roomy(2), &broker.address());
    establish(&mut bob);
    bob.read_piece = 0;
    alice.send_numbered(&to(2), COUNT, 60_000);
    until("all of it is at the broker", || {
        alice.turns();
        broker.stats().taken == u64::from(COUNT)
    });
    let (mut carol, mut dave) = (join(&broker, 3), join(&broker, 4));
    for number in 0..50 {
        carol.send(&to(4), &numbered(number, 1000));
        until("others go on", || {
            carol.turns();
            dave.turns();
            carol.log.delivered_to(1) == number as usize + 1
        });
    }
    dave.log.assert_all(50);
    assert!(alice.log.finals.is_empty(), "nobody has confirmed anything");
    bob.read_piece = 5000;
    until("the stalled one has everything", || {
        alice.turns();
        bob.turns();
        alice.log.delivered_to(1) == COUNT as usize
    });
    bob.log.assert_all(COUNT);
}

/// What a socket does not take stays in the broker, under its limits and times to live, and not in a buffer without an end.
pub(super) fn what_a_peer_does_not_read_waits_in_the_core<A: BrokerAdapter>(adapter: &A, place: &Place) {
    const COUNT: u32 = 500;
    const LARGE: u32 = 32 << 20;
    let wide = BrokerConfig::new(0).queue_bytes(LARGE.into()).window_bytes(LARGE);
    let broker = start(adapter, place, wide);
    let roomy = |number| config(number).inbox_bytes(LARGE).outbox_bytes(LARGE);
    let mut alice = Peer::dial(roomy(1), &broker.address());
    let mut bob = Peer::dial(roomy(2), &broker.address());
    establish(&mut bob);
    bob.read_piece = 0;
    for number in 0..COUNT {
        alice.send_for(&to(2), &numbered(number, 60_000), Duration::from_millis(500));
    }
    until("the time of all is over", || {
        alice.turns();
        alice.log.finals.len() == COUNT as usize
    });
    alice.send(&to(2), &numbered(COUNT, 100));
    bob.read_piece = 1 << 16;
    until("the last one", || {
        alice.turns();
        bob.turns();
        bob.log.numbers.last() == Some(&COUNT)
    });
    // Those that the sockets had taken have come; they take some megabytes.
    let came = bob.log.numbers.len();
    assert!(came < 300, "{came} of {COUNT} came after their time was over: they had left the broker");
}

pub(super) fn deadlines_are_kept_while_nothing_comes<A: BrokerAdapter>(adapter: &A, place: &Place) {
    let broker = start(
        adapter,
        place,
        BrokerConfig::new(0)
            .handshake_timeout(Duration::from_millis(200))
            .keep_alive(Duration::from_millis(250)),
    );
    // Somebody who says nothing is told that it took too long.
    let mut mute = Socket::dial(&broker.address()).expect("accepted");
    let told = mute.read_to_end();
    assert_eq!(told.get(1..3), Some(&[3, AbortCode::HandshakeTimeout as u8][..]), "an ABORT: {told:?}");
    // The broker's signs of life come in time: a client that hears none gives up after three intervals.
    let mut alice = join(&broker, 1);
    let start = std::time::Instant::now();
    while start.elapsed() < Duration::from_millis(800) {
        alice.turns();
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(!alice.is_over && alice.log.disconnected.is_empty(), "{:?}", alice.log.disconnected);
    // One who gives no sign of life loses its link.
    let mut quiet = join(&broker, 2);
    quiet.say_all_and_fall_silent();
    until("the silent one is cut off", || {
        alice.turns();
        quiet.turns();
        quiet.is_over
    });
    let reason = DisconnectReason::Aborted(AbortCode::Silent, 0);
    assert!(quiet.log.disconnected.contains(&reason), "{:?}", quiet.log.disconnected);
}

pub(super) fn an_idle_broker_does_not_work<A: BrokerAdapter>(adapter: &A, place: &Place) {
    let broker = start(adapter, place, short());
    let mut peers: Vec<Peer> = (1..20).map(|number| join(&broker, number)).collect();
    // One has a full socket, and another one has stopped writing in the middle of a frame.
    let mut stalled = Peer::dial(config(20).inbox_bytes(16 << 20), &broker.address());
    establish(&mut stalled);
    stalled.read_piece = 0;
    peers[0].send_numbered(&to(20), 60, 60_000);
    until("it is at the broker", || {
        peers.iter_mut().for_each(Peer::turns);
        broker.stats().taken == 60
    });
    peers[1].send(&to(2), &numbered(0, 1000));
    peers[1].write_piece = 100;
    peers[1].turn();
    limits::assert_idle("a broker with nothing to do");
}
