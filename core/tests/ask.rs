//! A client asks how many messages wait for it, and gets one answer, whatever becomes of its links.
#![allow(clippy::unwrap_used)]

#[path = "support/mod.rs"]
mod support;

use core::time::Duration;
use e_pigeon_core::SetError;
use support::{World, uuid};

/// What the second client was told.
fn told(world: &World) -> Vec<&str> {
    let notes = world.peers[1].log.notes.iter();
    notes.filter(|note| note.starts_with("Waiting")).map(String::as_str).collect()
}

#[test]
fn a_question_is_answered_in_its_place_among_the_messages() {
    let mut world = World::new(2);
    world.cut(1);
    world.peers[1].reachable = false;
    for n in 0..7 {
        world.send(0, &uuid(1).into(), &n.to_string());
    }
    world.settle();
    world.peers[1].client.ask_waiting(world.now).unwrap();
    assert_eq!(world.peers[1].client.ask_waiting(world.now), Err(SetError::Full), "one at a time");
    world.peers[1].reachable = true;
    world.pass(Duration::from_secs(10));
    assert_eq!(world.messages(1).len(), 7);
    assert_eq!(told(&world).len(), 1, "{:?}", told(&world));
    world.peers[1].client.ask_waiting(world.now).unwrap();
    world.settle();
    assert_eq!(told(&world)[1..], ["Waiting(Some(0))"]);
}

#[test]
fn a_question_is_answered_once_wherever_its_link_is_cut() {
    for moved in 0..60 {
        let mut world = World::new(2);
        world.peers[1].client.ask_waiting(world.now).unwrap();
        // So many bytes go up and down before the link is cut.
        world.up(1, moved);
        world.down(1, moved / 2);
        world.cut(1);
        world.pass(Duration::from_secs(10));
        assert_eq!(told(&world), ["Waiting(Some(0))"], "{moved}");
    }
}

#[test]
fn a_question_is_answered_once_wherever_its_broker_dies() {
    for moved in 0..60 {
        let mut world = World::new(2);
        world.peers[1].client.ask_waiting(world.now).unwrap();
        world.up(1, moved);
        world.down(1, moved / 2);
        world.kill_broker();
        world.pass(Duration::from_secs(20));
        let told = told(&world);
        assert!(told == ["Waiting(None)"] || told == ["Waiting(Some(0))"], "{moved}: {told:?}");
    }
}
