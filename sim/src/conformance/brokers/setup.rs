//! How the checks begin: a broker whose queues are roomy, and peers that join it.

use std::time::Duration;

use e_pigeon_core::BrokerConfig;

use crate::conformance::adapter::{BrokerAdapter, RunningBroker};
use crate::conformance::numbers::config;
use crate::conformance::peer::Peer;
use crate::conformance::place::Place;
use crate::conformance::waiting::until;

/// One sender may fill a good part of one recipient's queue with what its socket does not take.
pub(super) fn roomy_queues() -> BrokerConfig {
    BrokerConfig::new(0).queue_bytes(64 << 20)
}

pub(super) fn start<A: BrokerAdapter>(adapter: &A, place: &Place, config: BrokerConfig) -> A::Broker {
    adapter.start_broker(config, 1, &place.address()).expect("the broker listens")
}

pub(super) fn dial<B: RunningBroker>(broker: &B, number: u128) -> Peer {
    Peer::dial(config(number), &broker.address())
}

/// A peer with a session.
pub(super) fn join<B: RunningBroker>(broker: &B, number: u128) -> Peer {
    let mut peer = dial(broker, number);
    establish(&mut peer);
    peer
}

pub(super) fn establish(peer: &mut Peer) {
    let before = peer.log.established.len();
    until("a session", || {
        peer.turns();
        peer.log.established.len() > before
    });
}

/// Waits until the broker has so many links.
pub(super) fn until_links<B: RunningBroker>(broker: &B, links: u32) {
    until(&format!("{links} links"), || broker.stats().links == links);
}

pub(super) fn short() -> BrokerConfig {
    roomy_queues().handshake_timeout(Duration::from_millis(300))
}
