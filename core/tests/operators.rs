//! What an operator sees and does: sessions and links one by one, and a client that is sent away.
#![allow(clippy::unwrap_used)]

mod support;

use core::time::Duration;
use e_pigeon_core::{Destination, LinkId, LinkState, Value};
use support::{World, uuid};

fn link_of(world: &World, n: usize) -> Option<LinkId> {
    world.broker.sessions().find(|session| session.uuid == uuid(n)).unwrap().link
}

#[test]
fn sessions_are_shown_with_their_attributes_link_and_queue() {
    let mut world = World::new(2);
    world.cut(1);
    world.peers[1].reachable = false;
    let to: Destination = uuid(1).into();
    world.send(0, &to, "abc");
    world.send(0, &to, "defg");
    world.flow();
    let [one, two] = [uuid(0), uuid(1)].map(|of| world.broker.sessions().find(|it| it.uuid == of).unwrap());
    assert_eq!(world.broker.sessions().count(), 2);
    assert_eq!((one.queued, one.queued_bytes, one.ends_at), (0, 0, None));
    assert_eq!((two.queued, two.queued_bytes, two.link), (2, 7, None));
    assert!(one.link.is_some() && one.receives);
    assert_eq!(two.ends_at, Some(world.now + world.config.session_ttl));
    assert!(matches!(one.attributes.get("room"), Some(Value::Str(_))));
}

#[test]
fn links_are_shown_with_their_source_and_state() {
    let mut world = World::new(1);
    let waiting = world.broker.handle_connected(world.now, 9).unwrap();
    let links: Vec<_> = world.broker.links().collect();
    assert_eq!(links.len(), world.broker.stats().links as usize);
    let of = |id| links.iter().find(|link| link.id == id).unwrap();
    let established = of(link_of(&world, 0).unwrap());
    assert_eq!(established.state, LinkState::Established(uuid(0)));
    assert_eq!(
        (of(waiting).state, of(waiting).source, of(waiting).is_lossy),
        (LinkState::Handshake, 9, false)
    );
}

#[test]
fn a_client_that_is_disconnected_keeps_its_session_and_comes_back() {
    let mut world = World::new(2);
    let to: Destination = uuid(1).into();
    world.send(0, &to, "before");
    let old = link_of(&world, 1).unwrap();
    assert!(world.broker.disconnect(world.now, uuid(1)));
    assert_eq!((link_of(&world, 1), world.broker.stats().sessions), (None, 2));
    let state = world.broker.links().find(|link| link.id == old).unwrap().state;
    assert_eq!(state, LinkState::Closing);
    assert!(!world.broker.disconnect(world.now, uuid(1)), "it is away already");
    assert!(!world.broker.disconnect(world.now, uuid(7)), "there is no such session");
    world.flow();
    let id = world.send(0, &to, "after");
    world.pass(Duration::from_secs(20));
    assert_eq!(world.messages(1), ["before", "after"]);
    assert_eq!(world.outcome(0, id), Some((1, 1)));
    assert!(link_of(&world, 1).is_some_and(|link| link != old));
    assert!(
        world.peers[1].log.notes.iter().any(|note| note.contains("ShuttingDown")),
        "{:?}",
        world.peers[1].log.notes
    );
}
