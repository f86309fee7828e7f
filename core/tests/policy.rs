//! A broker with a policy: what it does not allow is answered with a reason, and changes nothing else.
#![allow(clippy::unwrap_used)]

mod support;

use core::time::Duration;
use e_pigeon_core::{
    AbortCode, AttributesRef, Broker, DestinationRef, Filter, FilterRef, MessageId, Policy, Receipt,
    RefusalReason, Requester, Target, Uuid, Value,
};
use support::{World, client_config, group, uuid};

/// Nobody may send to everyone or watch everyone who has no rank; only the first client may have one.
struct Ranks;

fn ranks(attributes: AttributesRef<'_>) -> bool {
    attributes.get("rank").is_some()
}

impl Policy for Ranks {
    fn may_send(&self, from: Requester<'_>, to: DestinationRef<'_>) -> bool {
        ranks(from.attributes) || !matches!(to.target(), Target::Everyone)
    }

    fn may_have(&self, who: Uuid, attributes: AttributesRef<'_>) -> bool {
        !ranks(attributes) || who == uuid(0)
    }

    fn may_watch(&self, who: Requester<'_>, filter: FilterRef<'_>) -> bool {
        ranks(who.attributes) || filter != Filter::everyone().as_ref()
    }
}

/// A broker with that policy, and clients of whom the first has a rank.
fn world(clients: usize) -> World {
    let mut world = World::new(0);
    world.broker = Broker::with_policy(world.config.clone(), 7, Ranks).unwrap();
    for n in 0..clients {
        world.join(client_config(n), "a");
    }
    world.peers[0].client.set(world.now, "rank", Value::Int(1)).unwrap();
    world.settle();
    world
}

fn reason(world: &World, n: usize, id: MessageId) -> (u32, u32, Option<RefusalReason>) {
    match world.peers[n].log.finals[&id.0] {
        Receipt::Final { delivered, recipients, reason, .. } => (delivered, recipients, reason),
        Receipt::Accepted { .. } => panic!("not final"),
    }
}

#[test]
fn a_message_that_is_not_allowed_ends_with_that_reason_and_others_go_on() {
    let mut world = world(3);
    let everyone = Filter::everyone().into();
    let refused = world.send(1, &everyone, "all of you");
    let allowed = world.send(1, &group("a"), "you");
    let ranked = world.send(0, &everyone, "hear");
    world.settle();
    assert_eq!(reason(&world, 1, refused), (0, 0, Some(RefusalReason::NotAllowed)));
    assert_eq!(reason(&world, 1, allowed), (3, 3, None));
    assert_eq!(reason(&world, 0, ranked), (3, 3, None));
    assert_eq!(world.messages(2).len(), 2);
    let stats = world.broker.stats();
    assert_eq!((stats.taken, stats.answered, stats.answered_by_reason[4]), (3, 3, 1));
}

#[test]
fn a_retry_that_is_not_allowed_is_none_of_those_it_was_for() {
    let mut world = World::new(3);
    world.peers[2].sleeps = true;
    let id = world.send(1, &Filter::everyone().into(), "all of you");
    world.settle();
    assert_eq!(world.outcome(1, id), None, "one of three has not confirmed it");
    world.kill_broker();
    world.broker = Broker::with_policy(world.config.clone(), 9, Ranks).unwrap();
    world.pass(Duration::from_secs(10));
    assert_eq!(reason(&world, 1, id), (0, 3, Some(RefusalReason::NotAllowed)), "somebody may have had it");
}

#[test]
fn attributes_that_are_not_allowed_change_nothing() {
    let mut world = world(3);
    world.peers[1].client.set(world.now, "rank", Value::Int(9)).unwrap();
    world.settle();
    let note = format!("AttributesRefused({:?})", RefusalReason::NotAllowed);
    assert!(world.peers[1].log.notes.contains(&note), "{:?}", world.peers[1].log.notes);
    let ranked = Filter::all_of(&[("rank", Value::Int(9))]).unwrap().into();
    let parked = world.send(0, &ranked, "whoever has it");
    world.settle();
    assert_eq!(world.outcome(0, parked), None, "nobody has it");
    let still = world.send(1, &group("a"), "still here");
    world.settle();
    assert_eq!(reason(&world, 1, still), (3, 3, None));
}

#[test]
fn a_hello_with_attributes_that_are_not_allowed_is_refused_for_good() {
    let mut world = world(1);
    let n = world.join(client_config(1), "a");
    world.peers[n].client.set(world.now, "rank", Value::Int(9)).unwrap();
    world.settle();
    assert!(world.peers[n].client.is_closed());
    let closed = format!("Closed(Refused({:?}, 0))", AbortCode::NotAllowed);
    assert_eq!(world.peers[n].log.notes.last(), Some(&closed));
    assert_eq!(world.broker.stats().sessions, 1);
}

#[test]
fn a_watch_that_is_not_allowed_is_refused_and_another_is_served() {
    let mut world = world(2);
    let now = world.now;
    let refused = world.peers[1].client.watch(now, &Filter::everyone()).unwrap();
    let room = Filter::all_of(&[("room", Value::Str("a"))]).unwrap();
    let served = world.peers[1].client.watch(now, &room).unwrap();
    world.settle();
    let note = format!("WatchRefused({refused:?}, {:?})", RefusalReason::NotAllowed);
    assert!(world.peers[1].log.notes.contains(&note));
    assert_eq!(world.peers[1].roster.peers(served).count(), 2);
    assert_eq!(world.peers[1].roster.peers(refused).count(), 0);
}
