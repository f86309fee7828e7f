//! Each limit of a client, reached on purpose: the right error or receipt, and nothing is lost in silence. The broker's
//! books are checked at every step.
#![allow(clippy::unwrap_used)]

mod support;

use core::time::Duration;
use e_pigeon_core::wire::kind;
use e_pigeon_core::{
    AttributeError, BrokerConfig, ClientConfig, Destination, Event, EventFilter, Filter, Instant, Message,
    MessageId, Receipt, RefusalReason, Secret, SendError, SetError, Uuid, Value, WatchError,
};
use support::datagrams::{Datagrams, beyond};
use support::{MAX, World, client_config, group, make, uuid};

support::limits::limits!(
    e_pigeon_core::ClientConfig::new(e_pigeon_core::Uuid::nil(), e_pigeon_core::Secret([0; 16]), 1, 1);
    max_payload, outbox_messages, outbox_bytes, inbox_messages, inbox_bytes, senders, seen_window, late_ids,
    destination_slots, destination_bytes, attribute_bytes, watches, presence_items, reconnect_min, reconnect_max,
    handshake_timeout, reorder_bytes;
    but uuid, secret, boot, seed, receives, framing, manual_acknowledgement
);

/// Peers 0 and 1, and a third with a config of its own.
fn world_with(adapt: impl FnOnce(&mut ClientConfig)) -> World {
    let mut world = World::new(2);
    let mut config = client_config(2);
    adapt(&mut config);
    world.join(config, "b");
    world.settle();
    world
}

fn try_send(
    world: &mut World,
    from: usize,
    to: &Destination,
    payload: &[u8],
) -> Result<MessageId, SendError> {
    world.peers[from].client.send(world.now, &Message::new(to, payload))
}

/// The messages that the application of a client can take now, without anything coming from the broker in between.
fn take_what_is_here(world: &mut World, n: usize) -> usize {
    let events = core::iter::from_fn(|| {
        world.peers[n].client.poll_event().map(|event| matches!(event, Event::Message(_)))
    });
    events.filter(|&is_message| is_message).count()
}

fn max_payload() {
    let mut world = world_with(|config| config.max_payload = 16);
    let (to_one, to_two) = (uuid(1).into(), uuid(2).into());
    assert_eq!(try_send(&mut world, 2, &to_one, &[b'x'; 17]), Err(SendError::TooLarge { max: 16 }));
    let sent = try_send(&mut world, 2, &to_one, &[b'x'; 16]).unwrap();
    let too_large = try_send(&mut world, 0, &to_two, &[b'y'; 17]).unwrap();
    let fits = try_send(&mut world, 0, &to_two, &[b'y'; 16]).unwrap();
    world.settle();
    assert_eq!((world.outcome(2, sent), world.outcome(0, fits)), (Some((1, 1)), Some((1, 1))));
    let refusal = Receipt::ended(too_large, 0, 1, Some(RefusalReason::TooLarge));
    assert_eq!(world.peers[0].log.finals[&too_large.0], refusal);
    assert_eq!(world.messages(2), ["y".repeat(16)]);
}

fn outbox_messages() {
    let mut world = world_with(|config| config.outbox_messages = 3);
    let to: Destination = uuid(1).into();
    for text in [b"1", b"2", b"3"] {
        try_send(&mut world, 2, &to, text).unwrap();
    }
    assert_eq!(try_send(&mut world, 2, &to, b"4"), Err(SendError::Full));
    assert_eq!(world.peers[2].client.set(world.now, "mood", Value::Int(1)), Err(SetError::Full));
    world.settle();
    assert_eq!(world.peers[2].log.capacity, 1);
    try_send(&mut world, 2, &to, b"4").unwrap();
    world.settle();
    assert_eq!((world.messages(1), world.peers[2].log.capacity), (vec!["1", "2", "3", "4"], 1));
}

fn outbox_bytes() {
    let (small, large) = ([b's'; 100], [b'l'; 900]);
    let mut world = world_with(|config| (config.max_payload, config.outbox_bytes) = (1_000, 2_000));
    world.cut(1);
    world.peers[1].reachable = false;
    let (away, here) = (uuid(1).into(), uuid(0).into());
    try_send(&mut world, 2, &away, &large).unwrap();
    let mut sent = 0;
    while try_send(&mut world, 2, &here, &small).is_ok() {
        sent += 1;
    }
    assert_eq!(try_send(&mut world, 2, &here, &large), Err(SendError::Full));
    // Room for what was refused, not merely for something.
    world.settle();
    assert_eq!((world.peers[2].log.finals.len(), world.peers[2].log.capacity), (sent, 1));
    try_send(&mut world, 2, &here, &large).unwrap();
    assert_eq!(try_send(&mut world, 2, &away, &large), Err(SendError::Full));
    world.peers[1].reachable = true;
    world.pass(Duration::from_secs(10));
    assert_eq!((world.messages(0).len(), world.messages(1).len()), (sent + 1, 1));
}

fn inbox_messages() {
    let mut world = world_with(|config| config.inbox_messages = 2);
    world.peers[2].sleeps = true;
    let ids: Vec<_> = (0..5).map(|n| world.send(0, &uuid(2).into(), &n.to_string())).collect();
    world.pass(Duration::from_secs(60));
    assert!(ids.iter().all(|&id| world.outcome(0, id).is_none()));
    assert_eq!(take_what_is_here(&mut world, 2), 2);
    world.flow();
    assert_eq!(take_what_is_here(&mut world, 2), 2);
    world.flow();
    assert_eq!(take_what_is_here(&mut world, 2), 1);
    world.settle();
    assert!(ids.iter().all(|&id| world.outcome(0, id) == Some((1, 1))));
}

fn inbox_bytes() {
    let mut world = world_with(|config| (config.max_payload, config.inbox_bytes) = (100, 250));
    world.peers[2].sleeps = true;
    let ids: Vec<_> = (0..5).map(|_| world.send(0, &uuid(2).into(), &"x".repeat(100))).collect();
    world.pass(Duration::from_secs(60));
    assert_eq!(take_what_is_here(&mut world, 2), 2);
    world.peers[2].sleeps = false;
    world.settle();
    assert_eq!(world.messages(2).len(), 3);
    assert!(ids.iter().all(|&id| world.outcome(0, id) == Some((1, 1))));
}

fn senders() {
    for (senders, came, repeated) in [(2, vec!["m", "other"], 0), (1, vec!["m", "other", "m"], 1)] {
        let mut world = world_with(|config| config.senders = senders);
        let id = world.send(0, &uuid(2).into(), "m");
        // The receipt never reaches the sender.
        world.up(0, MAX);
        world.drain(2, 2);
        world.send(1, &uuid(2).into(), "other");
        world.drain(1, 2);
        world.kill_broker();
        world.pass(Duration::from_secs(20));
        // Whoever is forgotten may be taken for new, and the event says so.
        assert_eq!((world.messages(2), world.peers[2].log.repeated.len()), (came, repeated));
        assert_eq!(world.outcome(0, id), Some((1, 1)));
    }
}

fn seen_window() {
    let mut world = world_with(|config| config.seen_window = 64);
    let live = Duration::from_secs(60);
    let ids: Vec<_> = (0..100).map(|n| world.send_for(0, &uuid(2).into(), &n.to_string(), live)).collect();
    world.up(0, MAX);
    world.drain(2, 2);
    assert_eq!(world.messages(2).len(), 100);
    world.kill_broker();
    world.pass(live * 2);
    // Below the window nobody can tell any more: none comes twice, and the receipt counts too low.
    assert_eq!(world.messages(2).len(), 100);
    for (place, &id) in ids.iter().enumerate() {
        let confirmed = u32::from(place >= 100 - 64);
        assert_eq!(world.outcome(0, id), Some((confirmed, 1)), "{place}");
    }
}

fn late_ids() {
    let mut world = World::new(1);
    let live = Duration::from_secs(60);
    let ids: Vec<_> = (0..70).map(|n| world.send_for(0, &group("c"), &n.to_string(), live)).collect();
    world.settle();
    let mut config = client_config(1);
    (config.seen_window, config.late_ids) = (64, 2);
    world.join(config, "c");
    world.connect(1);
    for _ in 0..10 {
        world.up(1, MAX);
        world.down(1, MAX);
    }
    world.poll(1);
    assert_eq!(world.messages(1).len(), 70);
    // The receipts die with the broker.
    world.kill_broker();
    world.pass(live * 2);
    assert_eq!(world.messages(1).len(), 70, "none comes twice");
    let confirmed = ids.iter().filter(|&&id| world.outcome(0, id) == Some((1, 1))).count();
    let unknown = ids.iter().filter(|&&id| world.outcome(0, id) == Some((0, 1))).count();
    assert_eq!(confirmed + unknown, 70);
    assert!(unknown > 0, "what is forgotten is not confirmed");
}

fn destination_slots() {
    let mut lengths = Vec::new();
    for slots in [1, 2] {
        let mut world = world_with(|config| config.destination_slots = slots);
        for _ in 0..20 {
            world.send(2, &uuid(0).into(), "zero");
            world.send(2, &uuid(1).into(), "one");
        }
        world.up(2, 0);
        lengths.push(world.peers[2].up.len());
        world.settle();
        assert_eq!((world.messages(0).len(), world.messages(1).len()), (20, 20));
        assert_eq!(world.peers[2].log.finals.len(), 40);
    }
    // Where there are too few, each message names its destination in full: that costs bytes, and nothing else.
    assert!(lengths[0] >= lengths[1] + 38 * 17, "{lengths:?}");
}

fn destination_bytes() {
    let mut world = world_with(|config| config.destination_bytes = 17);
    let long = Filter::all_of(&[("a-long-key", Value::Str("a-long-value"))]).unwrap();
    let refused = try_send(&mut world, 2, &long.clone().into(), b"never");
    assert_eq!(refused, Err(SendError::DestinationTooLong { max: 17 }));
    let now = world.now;
    let watched = world.peers[2].client.watch(now, &long);
    assert_eq!(watched, Err(WatchError::FilterTooLong { max: 17 }));
    let id = world.send(2, &uuid(0).into(), "a UUID always fits");
    world.settle();
    assert_eq!(world.outcome(2, id), Some((1, 1)));
}

fn attribute_bytes() {
    // One byte for their number, and ("room", "b") is there.
    let mut world = world_with(|config| config.attribute_bytes = 16);
    let now = world.now;
    let client = &mut world.peers[2].client;
    let too_many = Err(SetError::Attribute(AttributeError::TooMany));
    assert_eq!(client.set(now, "another", Value::Str("value")), too_many);
    client.remove(now, "room").unwrap();
    client.set(now, "another", Value::Str("val")).unwrap();
    world.settle();
    let to: Destination = Filter::all_of(&[("another", Value::Str("val"))]).unwrap().into();
    let id = world.send(0, &to, "found by it");
    world.settle();
    assert_eq!(world.outcome(0, id), Some((1, 1)));
}

fn watches() {
    let mut world = world_with(|config| config.watches = 1);
    let now = world.now;
    let client = &mut world.peers[2].client;
    let first = client.watch(now, &Filter::everyone()).unwrap();
    assert_eq!(client.watch(now, &Filter::everyone()), Err(WatchError::TooMany));
    client.unwatch(now, first);
    world.settle();
    let second = world.peers[2].client.watch(world.now, &Filter::everyone()).unwrap();
    world.settle();
    assert_eq!(world.peers[2].roster.peers(second).count(), 3);
    assert_eq!(world.peers[2].roster.peers(first).count(), 0);
}

fn presence_items() {
    let mut world = world_with(|config| config.presence_items = 3);
    let watch = world.peers[2].client.watch(world.now, &Filter::everyone()).unwrap();
    world.peers[2].sleeps = true;
    for n in 3..20 {
        world.join(client_config(n), "a");
    }
    world.pass(Duration::from_secs(60));
    let waiting =
        core::iter::from_fn(|| world.peers[2].client.poll_event_of(EventFilter::PRESENCE).map(|_| ()))
            .count();
    assert_eq!(waiting, 3, "no more than that is sent ahead");
    world.peers[2].sleeps = false;
    world.settle();
    let told = world.peers[2].roster.peers(watch);
    // The first three items of the snapshot were taken above, past the roster.
    assert_eq!(told.filter(|(_, peer)| peer.is_connected()).count(), 20 - 2);
}

fn lone(adapt: impl FnOnce(&mut ClientConfig)) -> e_pigeon_core::Client<Vec<u8>> {
    let mut config = ClientConfig::new(Uuid::from_u128(1), Secret([1; 16]), 1, 1);
    adapt(&mut config);
    make(config)
}

/// How long a client waits after each of so many attempts that failed.
fn delays(client: &mut e_pigeon_core::Client<Vec<u8>>, attempts: usize) -> Vec<Duration> {
    let mut now = Instant::from_micros(1);
    let mut delays = Vec::new();
    for _ in 0..attempts {
        client.handle_timeout(now);
        assert!(client.wants_connection());
        client.handle_disconnected(now);
        let retry = client.poll_timeout().unwrap();
        delays.push(retry.saturating_duration_since(now));
        assert!(!client.wants_connection(), "not before it is time");
        now = retry;
    }
    delays
}

fn reconnect_min() {
    let min = Duration::from_millis(80);
    let first = delays(&mut lone(|config| config.reconnect_min = min), 1)[0];
    assert!((min / 2..=min).contains(&first), "{first:?}");
}

fn reconnect_max() {
    let max = Duration::from_millis(300);
    let delays = delays(&mut lone(|config| config.reconnect_max = max), 20);
    assert!(delays.iter().all(|&delay| delay <= max), "{delays:?}");
    assert!(delays[10..].iter().all(|&delay| delay >= max / 2), "{delays:?}");
}

fn reorder_bytes() {
    // Room for one delivery of 20 bytes that came too early, and not for two.
    let mut pair = Datagrams::new(|config| config.reorder_bytes = 100, BrokerConfig::new(0));
    let is_delivery = |datagram: &Vec<u8>| datagram[5] & 0xf0 == kind::DELIVER;
    pair.send_all(["1", "the second, 20 bytes", "the third, 20 bytes."]);
    let datagrams = pair.up();
    pair.deliver_up(&datagrams);
    let down = pair.down();
    let deliveries: Vec<_> = down.into_iter().filter(is_delivery).collect();
    assert_eq!(deliveries.len(), 3);
    pair.deliver_down(&deliveries[1..]);
    assert_eq!(beyond(&pair.up()), 1);
    assert_eq!(pair.take_messages(), 0, "none before its turn");
    pair.deliver_down(&deliveries[..1]);
    assert_eq!(pair.take_messages(), 2);
    // What had no room comes again.
    pair.deliver_down(&deliveries[2..]);
    assert_eq!(pair.take_messages(), 1);
    assert!(pair.broker.stats().is_balanced());
}

fn handshake_timeout() {
    let mut client = lone(|config| config.handshake_timeout = Duration::from_secs(3));
    let start = Instant::from_micros(1);
    client.handle_timeout(start);
    client.handle_connected(start);
    assert!(client.poll_transmit(start, &mut [0; 256]).unwrap() > 0, "hello");
    assert_eq!(client.poll_timeout(), Some(start + Duration::from_secs(3)));
    client.handle_timeout(start + Duration::from_millis(2_999));
    assert!(!client.wants_disconnect());
    client.handle_timeout(start + Duration::from_secs(3));
    assert!(client.wants_disconnect());
    let events: Vec<_> =
        core::iter::from_fn(|| client.poll_event().map(|event| format!("{event:?}"))).collect();
    assert!(events.iter().any(|event| event.contains("HandshakeTimeout")), "{events:?}");
}
