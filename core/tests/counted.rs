//! Receipts that said fewer than had the message, though nothing stood in the way of counting them.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use core::time::Duration;
use e_pigeon_core::BrokerConfig;
use support::{World, group};

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A recipient confirms a message, stays away until its session has ended, and comes back. Then the broker dies, and the sender
/// repeats the message as accepted. The recipient has another session than then, but it had one then, and had the message.
#[test]
fn receipts_low_1_a_recipient_that_has_another_session_since_is_counted() {
    let ttl = seconds(5);
    let config = BrokerConfig::new(0).settle(seconds(1)).session_ttl(ttl);
    let mut world = World::with(3, config);
    world.peers[2].sleeps = true;
    let id = world.send(0, &group("a").exclude_self(), "hello");
    world.pass(seconds(1));
    assert_eq!(world.messages(1), ["hello"]);
    assert_eq!(world.peers[0].log.accepted.len(), 1);

    world.peers[1].reachable = false;
    world.cut(1);
    world.pass(ttl + seconds(1));
    world.peers[1].reachable = true;
    world.pass(seconds(10));
    assert_eq!(world.outcome(0, id), None, "the other has not taken it");

    world.kill_broker();
    world.peers[2].sleeps = false;
    world.pass(seconds(20));
    assert_eq!((world.messages(1), world.messages(2)), (vec!["hello"], vec!["hello"]));
    assert_eq!(world.outcome(0, id), Some((2, 2)));
}
