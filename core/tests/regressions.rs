//! Faults that were found once, each as the scenario that showed it.
#![allow(clippy::unwrap_used)]

mod support;

use core::time::Duration;
use e_pigeon_core::{BrokerConfig, Filter, Outgoing, Reason, Receipt, Until};
use support::{MAX, World, client_config, group};

fn without_settling() -> BrokerConfig {
    BrokerConfig { settle: Duration::ZERO, ..BrokerConfig::default() }
}

#[test]
fn an_inbox_that_is_emptied_between_hello_and_welcome_gets_its_window_back() {
    let mut world = World::with(1, without_settling());
    let mut config = client_config(1);
    (config.inbox_messages, config.inbox_bytes) = (2, 1 << 14);
    world.join(config, "b");
    world.settle();
    world.peers[1].sleeps = true;
    for _ in 0..2 {
        world.send(0, &group("b"), "x");
    }
    world.settle();
    world.kill_broker();
    world.now = world.now + Duration::from_secs(1);
    let now = world.now;
    world.peers.iter_mut().for_each(|peer| peer.client.handle_timeout(now));
    world.connect(0);
    world.connect(1);
    assert!(world.up(1, MAX) > 0, "the hello is written, with a window of nothing");
    world.peers[1].sleeps = false;
    world.poll(1);
    world.flow();
    let id = world.send(0, &group("b"), "y");
    world.pass(Duration::from_secs(30));
    assert_eq!(world.outcome(0, id), Some((1, 1)));
}

#[test]
fn a_message_until_accepted_that_is_refused_is_not_called_accepted() {
    let mut world = World::with(1, BrokerConfig { max_held: 0, ..without_settling() });
    let now = world.now;
    let cases = [(group("nobody"), Reason::BrokerFull), (group("nobody").only_connected(), Reason::Nobody)];
    for (to, reason) in cases {
        let outgoing = Outgoing { until: Until::Accepted, ..Outgoing::new(&to, b"x") };
        let id = world.peers[0].client.send(now, &outgoing).unwrap();
        world.settle();
        let expected = Receipt::Final { id, delivered: 0, recipients: 0, reason: Some(reason) };
        assert_eq!(world.peers[0].log.finals[&id.0], expected);
    }
}

#[test]
fn settling_is_not_cut_short_by_connecting_again() {
    let mut world = World::with(2, BrokerConfig { settle: Duration::from_secs(20), ..BrokerConfig::default() });
    world.kill_broker();
    world.peers[1].reachable = false;
    world.pass(Duration::from_secs(1));
    let id = world.send(0, &group("a"), "x");
    world.cut(0);
    world.pass(Duration::from_secs(2));
    assert!(world.peers[0].client.is_established());
    assert_eq!((world.broker.stats().taken, world.outcome(0, id)), (0, None));
    world.peers[1].reachable = true;
    world.pass(Duration::from_secs(20));
    assert_eq!(world.outcome(0, id), Some((2, 2)));
}

#[test]
fn what_is_only_for_those_connected_does_not_wait_when_they_decline_it() {
    let mut world = World::with(2, without_settling());
    let late = world.join(client_config(2), "b");
    world.settle();
    world.peers[late].sleeps = true;
    let first = world.send(0, &group("b").only_connected(), "m1");
    world.send(0, &group("a"), "m2");
    for n in [late, 1] {
        world.up(0, MAX);
        world.down(n, MAX);
        world.poll(n);
    }
    world.kill_broker();
    world.peers[late].reachable = false;
    let now = world.now;
    world.peers[1].client.set(now, "room", "b".into()).unwrap();
    world.pass(Duration::from_secs(30));
    let reason = Some(Reason::Nobody);
    assert_eq!(
        world.peers[0].log.finals[&first.0],
        Receipt::Final { id: first, delivered: 0, recipients: 0, reason }
    );
}

#[test]
fn empty_messages_between_others_do_not_fill_the_inbox() {
    let mut world = World::new(2);
    let to = Filter::everyone().into();
    for round in 0..2_000_usize {
        world.peers[1].sleeps = round % 7 < 4;
        world.send(0, &to, &"x".repeat(round * 31 % 300));
        world.send(0, &to, "");
        world.flow();
    }
    world.peers[1].sleeps = false;
    world.settle();
    assert_eq!(world.messages(1).len(), 4_000);
    assert!(world.peers[1].log.notes.iter().all(|note| !note.contains("Disconnected")));
}
