//! A final receipt names recipients that have not confirmed its message.
#![allow(clippy::unwrap_used)]

#[path = "support/mod.rs"]
mod support;

use core::time::Duration;
use e_pigeon_core::{Close, MessageId};
use support::{World, group, uuid};

const SOON: Duration = Duration::from_secs(1);

/// The places of the clients that the final receipt of a message of the first client names.
fn named(world: &World, id: MessageId) -> Vec<usize> {
    let uuids = &world.peers[0].log.unconfirmed[&id.0];
    uuids.iter().map(|&named| (0..world.peers.len()).find(|&n| uuid(n) == named).unwrap()).collect()
}

#[test]
fn a_message_that_expires_names_those_that_did_not_confirm_it() {
    let mut world = World::new(3);
    world.peers[2].sleeps = true;
    let id = world.send_for(0, &group("a").exclude_self(), "for two", SOON);
    world.settle();
    assert_eq!(world.outcome(0, id), None);
    world.pass(2 * SOON);
    assert_eq!((world.outcome(0, id), named(&world, id)), (Some((1, 2)), vec![2]));
    world.peers[2].sleeps = false;
    let id = world.send(0, &group("a").exclude_self(), "for two");
    world.settle();
    assert_eq!((world.outcome(0, id), named(&world, id)), (Some((2, 2)), vec![]));
}

#[test]
fn no_more_are_named_than_a_receipt_has_room_for_and_the_names_survive_a_cut() {
    let mut world = World::new(5);
    (1..5).for_each(|n| world.peers[n].sleeps = true);
    let id = world.send_for(0, &group("a").exclude_self(), "for four", SOON);
    world.settle();
    // The sender is away when the receipt is written, and comes back to its session.
    world.cut(0);
    world.peers[0].reachable = false;
    world.pass(2 * SOON);
    world.peers[0].reachable = true;
    world.pass(10 * SOON);
    assert_eq!((world.outcome(0, id), named(&world, id)), (Some((0, 4)), vec![1, 2]));
}

#[test]
fn a_session_that_ends_is_named() {
    let mut world = World::new(3);
    world.peers[1].sleeps = true;
    let id = world.send(0, &uuid(1).into(), "for one");
    world.settle();
    world.close(1, Close::EndSession);
    world.settle();
    assert_eq!((world.outcome(0, id), named(&world, id)), (Some((0, 1)), vec![1]));
}
