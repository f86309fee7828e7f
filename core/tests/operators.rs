//! What an operator sees and does: sessions and links one by one, and a client that is sent away.
#![allow(clippy::unwrap_used)]

mod support;

use core::time::Duration;
use e_pigeon_core::{
    AttributesRef, BrokerConfig, BrokerEvent, Destination, Event, Filter, LinkId, LinkState, Message,
    Receipt, RefusalReason, Uuid, Value,
};
use support::raw::Raw;
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

#[test]
fn a_message_of_the_broker_reaches_each_client_once_and_its_receipt_is_an_event() {
    let mut world = World::new(3);
    world.cut(2);
    let lobby = Destination::from(Filter::everyone());
    let ids: Vec<_> = ["one", "two"]
        .map(|text| world.broker.send(world.now, &Message::new(&lobby, text.as_bytes())))
        .into();
    assert!(ids[0] < ids[1]);
    world.cut(1);
    world.pass(Duration::from_secs(20));
    for n in 0..3 {
        assert_eq!(world.messages(n), ["one", "two"], "client {n}");
    }
    let events = core::iter::from_fn(|| world.broker.poll_event());
    let mut receipts: Vec<_> = events
        .filter_map(|event| if let BrokerEvent::Receipt(it) = event { Some(it) } else { None })
        .collect();
    receipts.sort_by_key(Receipt::id);
    assert_eq!(receipts, ids.iter().map(|&id| Receipt::ended(id, 3, 3, None)).collect::<Vec<_>>());
    world.check();
}

#[test]
fn a_message_of_the_broker_that_is_refused_ends_and_the_next_has_its_own_number() {
    let mut world = World::new(1);
    let to: Destination = uuid(0).into();
    let large = vec![0; world.config.max_payload as usize + 1];
    let refused = world.broker.send(world.now, &Message::new(&to, &large));
    let good = world.broker.send(world.now, &Message::new(&to, b"small"));
    assert!(refused < good);
    world.peers[0].sleeps = true;
    world.flow();
    let Some(Event::Message(delivery)) = world.peers[0].client.poll_event() else { panic!("no message") };
    assert_eq!((delivery.from, delivery.payload), (Uuid::nil(), &b"small"[..]));
    let events: Vec<_> = core::iter::from_fn(|| world.broker.poll_event()).collect();
    let ended = Receipt::ended(refused, 0, 0, Some(RefusalReason::TooLarge));
    assert!(events.contains(&BrokerEvent::Receipt(ended)), "{events:?}");
    assert!(world.broker.stats().is_balanced());
}

#[test]
fn no_client_has_the_uuid_of_the_broker() {
    let mut world = World::new(1);
    let mut config = support::client_config(1);
    config.uuid = Uuid::nil();
    let n = world.join(config, "lobby");
    world.pass(Duration::from_secs(5));
    assert_eq!(world.broker.stats().sessions, 1);
    assert!(
        world.peers[n].log.notes.iter().any(|note| note.contains("NotAllowed")),
        "{:?}",
        world.peers[n].log.notes
    );
}

/// The sweep of many queues takes longer than the next messages do to end.
#[test]
fn messages_of_the_broker_wait_for_the_sweep_of_ended_ones_as_those_of_clients_do() {
    const OPEN: u32 = 64;
    let config = BrokerConfig::new(0).settle(Duration::ZERO).max_messages(OPEN);
    let mut raw = Raw::new(config.sender_queue(u32::MAX));
    (0..500).for_each(|n| raw.away(n, AttributesRef::EMPTY));
    raw.broker.set_budget(1_000);
    let everyone = Destination::from(Filter::everyone());
    let send = |raw: &mut Raw| {
        let message = Message::new(&everyone, b"").time_to_live(Duration::from_millis(1));
        raw.broker.send(raw.now, &message);
        raw.drain();
    };
    // None is accepted while more than twice as many ended ones are kept as may be open.
    let most = u64::from(OPEN + 2 * OPEN);
    for _ in 0..12 {
        for _ in 0..OPEN {
            send(&mut raw);
            let stats = raw.broker.stats();
            assert!(stats.kept <= most && stats.is_balanced(), "at most {most} records: {stats:?}");
        }
        raw.now = raw.now + Duration::from_millis(1);
        while raw.broker.stats().open > 0 {
            raw.broker.handle_timeout(raw.now);
            raw.drain();
        }
    }
    let refused = |raw: &Raw| {
        let stats = raw.broker.stats();
        stats.by_reason().find(|&(reason, _)| reason == RefusalReason::BrokerFull).map(|(_, count)| count)
    };
    let before = refused(&raw);
    assert_ne!(before, Some(0), "the sweep has fallen behind");
    while raw.broker.poll_timeout().is_some_and(|at| at <= raw.now) {
        raw.broker.handle_timeout(raw.now);
    }
    send(&mut raw);
    assert_eq!((raw.broker.stats().open, refused(&raw)), (1, before), "the sweep has caught up");
}
