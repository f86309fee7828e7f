//! Many connections.

use e_pigeon_core::{Broker, BrokerConfig, ClientConfig, Destination, Filter};

use super::setup::{join, start, until_links};
use crate::conformance::adapter::{BrokerAdapter, RunningBroker};
use crate::conformance::numbers::{config, numbered, to};
use crate::conformance::peer::Peer;
use crate::conformance::place::Place;
use crate::conformance::socket::Socket;
use crate::conformance::waiting::until;

/// A client that takes little memory.
fn small(number: u128) -> ClientConfig {
    config(number)
        .max_payload(1000)
        .outbox_messages(64)
        .outbox_bytes(1 << 14)
        .inbox_messages(64)
        .inbox_bytes(1 << 14)
        .senders(4)
        .seen_window(64)
        .watches(0)
        .presence_items(0)
}

/// Those who come while the broker is busy have said all that they have to say when it gets to them.
pub(super) fn all_who_speak_before_they_are_accepted_are_heard<A: BrokerAdapter>(adapter: &A, place: &Place) {
    const COUNT: u128 = 200;
    let broker = start(adapter, place, BrokerConfig::new(0));
    let mut collector = join(&broker, 1);
    let mut peers: Vec<Peer> = (0..COUNT)
        .map(|number| {
            let mut peer = Peer::dial(small(number + 2), &broker.address());
            peer.turn();
            peer
        })
        .collect();
    until("all have a session", || {
        peers.iter_mut().for_each(Peer::turns);
        peers.iter().all(|peer| !peer.log.established.is_empty())
    });
    for (number, peer) in peers.iter_mut().enumerate() {
        peer.send(&to(1), &numbered(number as u32, 50));
        peer.say_all_and_fall_silent();
    }
    until("all are heard", || {
        collector.turns();
        collector.log.numbers.len() == peers.len()
    });
    collector.log.numbers.sort_unstable();
    collector.log.assert_all(COUNT as u32);
}

/// More wait at the listener than are accepted in one turn, they say nothing, and no edge tells of those that are left.
pub(super) fn all_who_come_while_the_broker_is_busy_are_accepted<A: BrokerAdapter>(
    adapter: &A,
    place: &Place,
) {
    const COUNT: usize = 300;
    let broker = start(adapter, place, BrokerConfig::new(0));
    let mut alice = join(&broker, 1);
    let others: Vec<Peer> = (2..10).map(|number| join(&broker, number)).collect();
    let everyone_else = Destination::from(Filter::everyone()).exclude_self();
    alice.send_numbered(&everyone_else, 4000, 4);
    alice.say_all_and_fall_silent();
    let silent: Vec<Socket> =
        (0..COUNT).map(|_| Socket::dial(&broker.address()).expect("accepted")).collect();
    until_links(&broker, 1 + (others.len() + silent.len()) as u32);
}

pub(super) fn a_thousand_connections_are_served<A: BrokerAdapter>(adapter: &A, place: &Place) {
    const COUNT: u32 = 1000;
    let broker = start(adapter, place, BrokerConfig::new(0));
    let dial = |number| Peer::dial(small(u128::from(number) + 1), &broker.address());
    let mut peers: Vec<Peer> = (0..COUNT).map(dial).collect();
    until("all have a session", || {
        peers.iter_mut().for_each(Peer::turns);
        peers.iter().all(|peer| !peer.log.established.is_empty())
    });
    until_links(&broker, COUNT);
    let everyone_else = Destination::from(Filter::everyone()).exclude_self();
    peers[0].send_numbered(&everyone_else, 5, 200);
    until("all are reached", || {
        peers.iter_mut().for_each(Peer::turns);
        peers[0].log.delivered_to(COUNT - 1) == 5
    });
    peers[1..].iter().for_each(|peer| peer.log.assert_all(5));
    drop(peers);
    until_links(&broker, 0);
}

pub(super) fn a_storm_of_reconnects_leaves_nothing_and_disturbs_nobody<A: BrokerAdapter>(
    adapter: &A,
    place: &Place,
) {
    let broker = start(adapter, place, BrokerConfig::new(0));
    let (mut alice, mut bob) = (join(&broker, 1), join(&broker, 2));
    let mut storm: Vec<Peer> =
        (0..100).map(|number| Peer::dial(small(number + 3), &broker.address())).collect();
    let mut sent = 0;
    for round in 0..8 {
        for (index, peer) in storm.iter_mut().enumerate() {
            // Some are cut before they say anything, some within the hello, some at any later moment.
            peer.write_piece = [0, 1, 17, 1 << 16][(index + round) % 4];
            peer.turn();
            if (index + round) % 3 == 0 {
                peer.turns();
            }
            peer.redial(&broker.address());
        }
        alice.send(&to(2), &numbered(sent, 500));
        sent += 1;
        until("those beside go on", || {
            alice.turns();
            bob.turns();
            alice.log.delivered_to(1) == sent as usize
        });
    }
    storm.iter_mut().for_each(|peer| peer.write_piece = 1 << 16);
    until("the last connection of each is the one that counts", || {
        storm.iter_mut().for_each(Peer::turns);
        storm.iter().all(|peer| peer.is_established())
    });
    until_links(&broker, 102);
    // Nothing that was left from before is anybody else's now.
    storm[0].send_numbered(&to(3 + 99), 10, 300);
    until("they have what is sent to them", || {
        storm.iter_mut().for_each(Peer::turns);
        storm[0].log.delivered_to(1) == 10
    });
    storm[99].log.assert_all(10);
    bob.log.assert_all(sent);
    drop(storm);
    until_links(&broker, 2);
}

pub(super) fn one_too_many_is_told_so<A: BrokerAdapter>(adapter: &A, place: &Place) {
    let broker = start(adapter, place, BrokerConfig::new(0).max_links(1));
    let mut alice = join(&broker, 1);
    for _ in 0..20 {
        let mut refused = Socket::dial(&broker.address()).expect("accepted");
        refused.write_all(b"may I come in");
        assert_eq!(refused.read_to_end(), Broker::FULL);
    }
    alice.send_numbered(&to(1), 1, 100);
    until("the first goes on", || {
        alice.turns();
        alice.log.delivered_to(1) == 1
    });
    // Its place is free when it is gone.
    drop(alice);
    until_links(&broker, 0);
    join(&broker, 2);
}
