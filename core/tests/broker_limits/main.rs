//! Each limit of a broker, reached on purpose: the right error or receipt, and nothing is lost in silence. The books are
//! checked at every step.
#![allow(clippy::unwrap_used)]

mod steps;
#[path = "../support/mod.rs"]
mod support;

use core::time::Duration;
use e_pigeon_core::{
    AttributesRef, BrokerConfig, Close, Destination, Filter, Framing, Message, Ready, Receipt, RefusalReason,
    Retain, SendError, TooManyLinks, Value,
};
use steps::{
    confirms_no_receipt, ended, fill, has_note, ignore_the_window, keep_away, room_comes_again, world_with,
};
use support::datagrams::{Datagrams, beyond};
use support::raw::{Raw, hello, message, message_in};
use support::{MAX, client_config, group, uuid};

support::limits::limits!(
    e_pigeon_core::BrokerConfig::new(0);
    max_links, max_lossy_links, max_links_per_source, max_failed_hellos_per_source, max_sessions, max_attributes, max_payload, destination_bytes, destination_slots, max_messages, max_message_bytes, max_held, max_parked, sender_waiting, max_queued, sender_queue, queue_messages,
    queue_bytes, window_messages, window_bytes, receipt_backlog, max_receipts, max_watches, watch_backlog, max_time_to_live,
    keep_alive, session_ttl, session_ttl_min, settle, handshake_timeout, reorder_bytes, accept_delay;
    but hash_seed
);

fn max_links() {
    let mut world = world_with(1, |config| config.max_links = 1);
    assert_eq!(world.broker.handle_connected(world.now, 0), Err(TooManyLinks));
    let id = world.send(0, &uuid(0).into(), "the one that is there goes on");
    world.settle();
    assert_eq!(world.outcome(0, id), Some((1, 1)));
    world.cut(0);
    assert!(world.broker.handle_connected(world.now, 0).is_ok());
}

fn max_lossy_links() {
    let mut world = world_with(1, |config| config.max_lossy_links = 1);
    let now = world.now;
    let mut over = |framing| world.broker.handle_connected_over(now, 0, framing);
    let line = over(Framing::Cobs).unwrap();
    assert_eq!(over(Framing::Datagram), Err(TooManyLinks));
    over(Framing::Length).unwrap();
    world.broker.handle_disconnected(now, line);
    world.broker.handle_connected_over(now, 0, Framing::Datagram).unwrap();
}

fn max_links_per_source() {
    let mut world = world_with(1, |config| config.max_links_per_source = 1);
    assert_eq!(world.broker.handle_connected(world.now, 0), Err(TooManyLinks));
    assert!(world.broker.handle_connected(world.now, 1).is_ok());
    let id = world.send(0, &uuid(0).into(), "the one that is there goes on");
    world.settle();
    assert_eq!(world.outcome(0, id), Some((1, 1)));
}

fn max_failed_hellos_per_source() {
    // Of which one is awaited at a time.
    let mut world = world_with(3, |config| config.max_failed_hellos_per_source = 1);
    let link = world.broker.handle_connected(world.now, 0).unwrap();
    assert_eq!(world.broker.handle_connected(world.now, 0), Err(TooManyLinks));
    world.broker.handle_disconnected(world.now, link);
    assert_eq!(world.broker.handle_connected(world.now, 0), Err(TooManyLinks));
    world.pass(Duration::from_secs(60));
    assert!(world.broker.handle_connected(world.now, 0).is_ok());
}

fn max_sessions() {
    let mut world = world_with(1, |config| config.max_sessions = 1);
    world.join(client_config(1), "a");
    world.settle();
    assert!(has_note(&world, 1, "Aborted(Full"), "{:?}", world.peers[1].log.notes);
    assert!(!world.peers[1].client.is_closed(), "it tries again");
    assert_eq!(world.broker.stats().sessions, 1);
    // An absent one counts too, until it ends.
    world.close(0, Close::EndSession);
    world.pass(Duration::from_secs(10));
    assert!(world.peers[1].client.is_established());
}

fn max_attributes() {
    let mut world = world_with(2, |config| config.max_attributes = 1);
    world.peers[0].client.set(world.now, "second", Value::Int(1)).unwrap();
    world.settle();
    assert!(has_note(&world, 0, "AttributesRefused(TooLarge)"), "{:?}", world.peers[0].log.notes);
    let id = world.send(1, &group("a").exclude_self(), "it has those that it had");
    world.settle();
    assert_eq!(world.outcome(1, id), Some((1, 1)));
    let newcomer = world.join(client_config(2), "a");
    world.peers[newcomer].client.set(world.now, "second", Value::Int(1)).unwrap();
    world.settle();
    assert!(has_note(&world, newcomer, "Closed(Refused(TooManyAttributes, 1))"));
}

fn max_payload() {
    let mut world = world_with(2, |config| config.max_payload = 100);
    let to: Destination = uuid(1).into();
    let (fits, too_large) = (Message::new(&to, &[b'x'; 100]), Message::new(&to, &[b'x'; 101]));
    let now = world.now;
    assert_eq!(world.peers[0].client.send(now, &too_large), Err(SendError::TooLarge { max: 100 }));
    let fits = world.peers[0].client.send(now, &fits).unwrap();
    // A client that does not know the broker yet takes it, and answers as soon as it does.
    let newcomer = world.join(client_config(2), "a");
    let refused = world.peers[newcomer].client.send(now, &too_large).unwrap();
    world.settle();
    assert_eq!(world.outcome(0, fits), Some((1, 1)));
    assert_eq!(world.peers[newcomer].log.finals[&refused.0], ended(refused, 0, 0, RefusalReason::TooLarge));
    // One that knows and sends it all the same is answered by the broker.
    let mut raw = Raw::new(world.config.clone());
    let link = raw.up(3, 1);
    raw.put(link, &message(Some(&uuid(9).into()), 1, None, &[b'x'; 101]));
    let stats = raw.broker.stats();
    assert_eq!((stats.taken, stats.answered_by_reason[RefusalReason::TooLarge as usize - 1]), (1, 1));
    assert!(stats.is_balanced());
}

fn destination_bytes() {
    let mut world = world_with(2, |config| config.destination_bytes = 30);
    let long =
        Filter::any_of(&[("room", Value::Str("a")), ("name", Value::Str(&"x".repeat(20)))]).unwrap().into();
    // The second by its alias, which means what is refused until it means something else.
    let ids = [world.send(0, &long, "to a place"), world.send(0, &long, "and again")];
    world.settle();
    for id in ids {
        assert_eq!(world.peers[0].log.finals[&id.0], ended(id, 0, 0, RefusalReason::TooLarge));
    }
    let ids = [world.send(0, &uuid(1).into(), "to a UUID"), world.send(0, &group("a"), "to a room")];
    world.settle();
    assert_eq!(ids.map(|id| world.outcome(0, id)), [Some((1, 1)), Some((2, 2))]);
    assert!(world.broker.stats().is_balanced());
}

fn destination_slots() {
    let mut world = world_with(3, |config| config.destination_slots = 1);
    for n in 0..20 {
        world.send(0, &uuid(1 + n % 2).into(), &n.to_string());
        world.flow();
    }
    world.settle();
    assert_eq!((world.messages(1).len(), world.messages(2).len()), (10, 10));
    assert_eq!(world.broker.stats().destinations, 1);
    // Whoever uses more is thrown out.
    let mut raw = Raw::new(world.config.clone());
    let link = raw.up(3, 1);
    for slot in [0, 1] {
        assert_eq!(raw.broker.stats().connected, 1);
        raw.put(link, &message_in(slot, Some(&uuid(3).into()), 1));
    }
    assert_eq!(raw.broker.stats().connected, 0);
}

fn max_messages() {
    let mut world = world_with(1, |config| config.max_messages = 3);
    assert_eq!(fill(&mut world, "x", RefusalReason::BrokerFull), 3);
    room_comes_again(&mut world);
}

fn max_message_bytes() {
    let mut world = world_with(1, |config| (config.max_payload, config.max_message_bytes) = (1_024, 4_096));
    assert_eq!(fill(&mut world, &"x".repeat(1_000), RefusalReason::BrokerFull), 4);
    room_comes_again(&mut world);
}

fn max_held() {
    let mut world = world_with(2, |config| config.max_held = 2);
    assert_eq!(fill(&mut world, "parked", RefusalReason::BrokerFull), 2);
    let here = world.send(0, &uuid(1).into(), "for somebody who is here there is room");
    world.settle();
    assert_eq!(world.outcome(0, here), Some((1, 1)));
    // The same where the broker died: what it cannot hold for those who are not back is 0 of so many.
    keep_away(&mut world, 1);
    let ids: Vec<_> = (0..3).map(|n| world.send(0, &uuid(1).into(), &n.to_string())).collect();
    world.settle();
    world.kill_broker();
    world.pass(Duration::from_secs(10));
    // Two were parked before and are taken first.
    for id in ids {
        assert_eq!(world.peers[0].log.finals[&id.0], ended(id, 0, 1, RefusalReason::BrokerFull));
    }
}

fn max_parked() {
    let mut world = world_with(2, |config| (config.max_held, config.max_parked) = (4, 2));
    assert_eq!(fill(&mut world, "parked", RefusalReason::BrokerFull), 2);
    // For those that are held after a broker's death there is room beside them.
    keep_away(&mut world, 1);
    let ids: Vec<_> = (0..3).map(|n| world.send(0, &uuid(1).into(), &n.to_string())).collect();
    world.settle();
    world.kill_broker();
    world.pass(Duration::from_secs(10));
    assert_eq!(world.broker.stats().waiting, 4);
    assert_eq!(world.peers[0].log.finals[&ids[2].0], ended(ids[2], 0, 1, RefusalReason::BrokerFull));
    world.peers[1].reachable = true;
    world.pass(Duration::from_secs(10));
    assert_eq!([0, 1, 2].map(|n| world.outcome(0, ids[n])), [Some((1, 1)), Some((1, 1)), Some((0, 1))]);
}

fn sender_waiting() {
    let mut world = world_with(2, |config| (config.max_held, config.sender_waiting) = (4, 3));
    assert_eq!(fill(&mut world, "parked", RefusalReason::BrokerFull), 3);
    // Another sender is not refused, and this one has a place again when one of its messages ends.
    let other = world.send(1, &group("nobody is here"), "of another");
    let nobody = world.send(1, &uuid(9).into(), "and not beyond what all have");
    world.settle();
    assert_eq!(world.outcome(1, other), None);
    assert_eq!(world.peers[1].log.finals[&nobody.0], ended(nobody, 0, 0, RefusalReason::BrokerFull));
    room_comes_again(&mut world);
}

fn max_queued() {
    let mut world = world_with(4, |config| config.max_queued = 3);
    for n in 1..4 {
        keep_away(&mut world, n);
    }
    let all = world.send(0, &group("a").exclude_self(), "3 entries");
    let one = world.send(0, &uuid(1).into(), "no place in any queue");
    world.settle();
    assert_eq!(world.peers[0].log.finals[&one.0], ended(one, 0, 1, RefusalReason::BrokerFull));
    world.peers[3].reachable = true;
    world.pass(Duration::from_secs(10));
    let both = world.send(0, &Filter::any_of(&[("room", Value::Str("a"))]).unwrap().into(), "2 of 4");
    world.settle();
    world.peers[1].reachable = true;
    world.peers[2].reachable = true;
    world.pass(Duration::from_secs(10));
    assert_eq!(world.outcome(0, all), Some((3, 3)));
    assert_eq!(world.peers[0].log.finals[&both.0], ended(both, 1, 4, RefusalReason::BrokerFull));
}

fn sender_queue() {
    let mut world = world_with(4, |config| {
        (config.queue_messages, config.sender_queue) = (4, 2);
        (config.max_payload, config.queue_bytes) = (100, 400);
    });
    for n in [2, 3] {
        keep_away(&mut world, n);
    }
    let to = uuid(2).into();
    let mut send = |n: usize, to: &Destination, bytes: usize| {
        let id = world.send(n, to, &"x".repeat(bytes));
        world.flow();
        (n, id)
    };
    // By number, and by bytes: half of a queue each.
    let first = [send(0, &to, 1), send(0, &to, 1), send(0, &to, 1)];
    let second = [send(1, &to, 1), send(1, &to, 1), send(1, &to, 1)];
    let bytes = uuid(3).into();
    let third = [send(0, &bytes, 100), send(0, &bytes, 100), send(1, &bytes, 100), send(1, &bytes, 100)];
    for (n, id) in [first[2], second[2]] {
        assert_eq!(world.peers[n].log.finals[&id.0], ended(id, 0, 1, RefusalReason::QueueFull));
    }
    for n in [2, 3] {
        world.peers[n].reachable = true;
    }
    world.pass(Duration::from_secs(10));
    for (n, id) in first[..2].iter().chain(&second[..2]).chain(&third) {
        assert_eq!(world.outcome(*n, *id), Some((1, 1)));
    }
}

fn queue_messages() {
    let mut world = world_with(2, |config| config.queue_messages = 2);
    keep_away(&mut world, 1);
    let ids: Vec<_> = (0..3).map(|n| world.send(0, &uuid(1).into(), &n.to_string())).collect();
    world.settle();
    assert_eq!(world.peers[0].log.finals[&ids[2].0], ended(ids[2], 0, 1, RefusalReason::QueueFull));
    world.peers[1].reachable = true;
    world.pass(Duration::from_secs(10));
    assert_eq!(world.messages(1), ["0", "1"]);
    assert_eq!((world.outcome(0, ids[0]), world.outcome(0, ids[1])), (Some((1, 1)), Some((1, 1))));
}

fn queue_bytes() {
    let mut world = world_with(3, |config| {
        (config.max_payload, config.queue_bytes, config.sender_queue) = (100, 250, u32::MAX);
    });
    keep_away(&mut world, 1);
    let to = group("a").exclude_self();
    let mut send = |length: usize| {
        let id = world.send(0, &to, &"x".repeat(length));
        world.flow();
        id
    };
    let (ids, small) = ([send(100), send(100), send(100)], send(50));
    // Who has room gets it, and what fits is taken.
    assert_eq!(world.peers[0].log.finals[&ids[2].0], ended(ids[2], 1, 2, RefusalReason::QueueFull));
    world.peers[1].reachable = true;
    world.pass(Duration::from_secs(10));
    assert_eq!(world.outcome(0, small), Some((2, 2)));
    assert_eq!((world.messages(1).len(), world.messages(2).len()), (3, 4));
}

fn window_messages() {
    let mut world = world_with(2, |config| config.window_messages = 2);
    for n in 0..50 {
        world.send(0, &uuid(1).into(), &n.to_string());
    }
    world.settle();
    assert_eq!((world.messages(1).len(), world.peers[0].log.finals.len()), (50, 50));
    let mut raw = Raw::new(world.config.clone());
    let link = raw.up(3, 1);
    assert_eq!(ignore_the_window(&mut raw, link, b"x"), 2);
}

fn window_bytes() {
    let mut world = world_with(2, |config| (config.max_payload, config.window_bytes) = (100, 250));
    for _ in 0..50 {
        world.send(0, &uuid(1).into(), &"x".repeat(100));
    }
    world.settle();
    assert_eq!((world.messages(1).len(), world.peers[0].log.finals.len()), (50, 50));
    let mut raw = Raw::new(world.config.clone());
    let link = raw.up(3, 1);
    assert_eq!(ignore_the_window(&mut raw, link, &[b'x'; 100]), 2);
}

fn receipt_backlog() {
    let mut world = world_with(2, |config| (config.receipt_backlog, config.window_messages) = (4, 4));
    confirms_no_receipt(&mut world, 30);
}

fn max_receipts() {
    // Where half of them wait, 16 of one sender are too many.
    let mut world = world_with(2, |config| (config.max_receipts, config.window_messages) = (10, 4));
    confirms_no_receipt(&mut world, 50);
}

fn max_watches() {
    let mut world = world_with(1, |config| config.max_watches = 1);
    let now = world.now;
    let client = &mut world.peers[0].client;
    let first = client.watch(now, &Filter::everyone()).unwrap();
    let second = client.watch(now, &Filter::everyone()).unwrap();
    world.settle();
    assert!(has_note(&world, 0, &format!("WatchRefused({second:?}, BrokerFull)")));
    assert_eq!(world.peers[0].roster.peers(first).count(), 1);
}

fn watch_backlog() {
    let mut resets = Vec::new();
    for backlog in [1_000, 3] {
        let mut world = world_with(1, |config| config.watch_backlog = backlog);
        let watch = world.peers[0].client.watch(world.now, &Filter::everyone()).unwrap();
        world.settle();
        let before = world.peers[0].log.notes.len();
        world.half_open(0);
        for n in 1..20 {
            world.peers[0].reachable = false;
            world.join(client_config(n), "a");
            world.flow();
        }
        world.peers[0].reachable = true;
        world.pass(Duration::from_secs(10));
        assert_eq!(world.peers[0].roster.peers(watch).count(), 20);
        let notes = &world.peers[0].log.notes[before..];
        resets.push(notes.iter().filter(|note| note.starts_with("PresenceReset")).count());
    }
    assert_eq!(resets, [0, 1]);
}

fn max_time_to_live() {
    let mut world = world_with(1, |config| config.max_time_to_live = Duration::from_secs(2));
    let id = world.send_for(0, &uuid(9).into(), "for a day", Duration::from_secs(24 * 3600));
    world.pass(Duration::from_millis(1_900));
    assert_eq!(world.outcome(0, id), None);
    world.pass(Duration::from_millis(200));
    assert_eq!(world.peers[0].log.finals[&id.0], ended(id, 0, 0, RefusalReason::Expired));
}

fn keep_alive() {
    let interval = Duration::from_secs(1);
    let mut world = world_with(1, |config| config.keep_alive = interval);
    world.half_open(0);
    world.peers[0].reachable = false;
    world.pass(interval * 2);
    assert_eq!(world.broker.stats().connected, 1);
    world.pass(interval * 2);
    assert_eq!((world.broker.stats().connected, world.broker.stats().sessions), (0, 1), "away, not gone");
}

fn session_ttl() {
    let mut world = world_with(2, |config| config.session_ttl = Duration::from_secs(5));
    keep_away(&mut world, 1);
    let id = world.send(0, &uuid(1).into(), "too late");
    world.pass(Duration::from_millis(4_900));
    assert_eq!(world.outcome(0, id), None);
    world.pass(Duration::from_millis(200));
    assert_eq!(world.peers[0].log.finals[&id.0], ended(id, 0, 1, RefusalReason::Gone));
    assert_eq!((world.broker.stats().sessions, world.broker.stats().gone), (1, 1));
}

fn session_ttl_min() {
    // Two of two places: the table is full.
    let mut world = world_with(2, |config| {
        (config.session_ttl, config.session_ttl_min) = (Duration::from_secs(60), Duration::from_secs(5));
        config.max_sessions = 2;
    });
    keep_away(&mut world, 1);
    world.pass(Duration::from_millis(4_900));
    assert_eq!(world.broker.stats().sessions, 2);
    world.pass(Duration::from_millis(200));
    assert_eq!(world.broker.stats().sessions, 1);
}

fn settle() {
    let mut world = world_with(1, |config| config.settle = Duration::from_secs(3));
    world.kill_broker();
    let id = world.send(0, &uuid(0).into(), "not before");
    world.pass(Duration::from_millis(2_900));
    assert!(world.peers[0].client.is_established());
    assert_eq!(world.broker.stats().taken, 0);
    world.pass(Duration::from_millis(200));
    assert_eq!(world.outcome(0, id), Some((1, 1)));
}

fn handshake_timeout() {
    let mut raw = Raw::new(BrokerConfig::new(0).handshake_timeout(Duration::from_secs(2)));
    let link = raw.link();
    // Half a hello is none.
    let half = hello(1, 1, None, AttributesRef::EMPTY);
    raw.put(link, &half[..half.len() / 2]);
    raw.now = raw.now + Duration::from_millis(1_999);
    raw.broker.handle_timeout(raw.now);
    assert_eq!(raw.broker.poll_ready(), None);
    raw.now = raw.now + Duration::from_millis(1);
    raw.broker.handle_timeout(raw.now);
    let said = {
        let mut out = [0; 64];
        let count = raw.broker.poll_transmit(raw.now, link, &mut out).unwrap();
        out[..count].to_vec()
    };
    assert_eq!(said, [3, 3, e_pigeon_core::AbortCode::HandshakeTimeout as u8, 0], "ABORT");
    let ready: Vec<_> = core::iter::from_fn(|| raw.broker.poll_ready()).collect();
    assert!(ready.contains(&Ready::Close(link)), "{ready:?}");
}

fn reorder_bytes() {
    // Room for one message of 20 bytes that came too early, and not for two.
    let mut pair = Datagrams::new(|_| {}, BrokerConfig::new(0).reorder_bytes(100));
    pair.send_all(["1", "the second, 20 bytes", "the third, 20 bytes."]);
    let datagrams = pair.up();
    pair.deliver_up(&datagrams[1..]);
    assert_eq!(beyond(&pair.down()), 1);
    assert_eq!(pair.broker.stats().taken, 0, "none before its turn");
    pair.deliver_up(&datagrams[..1]);
    assert_eq!(pair.broker.stats().taken, 2);
    // What had no room comes again.
    pair.deliver_up(&datagrams[2..]);
    assert_eq!(pair.broker.stats().taken, 3);
    assert!(pair.broker.stats().is_balanced());
}

fn accept_delay() {
    let mut world = world_with(2, |config| config.accept_delay = Duration::from_millis(300));
    keep_away(&mut world, 1);
    let id = world.send(0, &uuid(1).into(), "waits");
    world.pass(Duration::from_millis(290));
    assert_eq!(world.peers[0].log.accepted, []);
    world.pass(Duration::from_millis(20));
    assert_eq!(world.peers[0].log.accepted, [Receipt::accepted(id, 1, false)]);
    // Whoever asked for it is told at once.
    let to: Destination = uuid(1).into();
    let outgoing = Message::new(&to, b"only this").retain(Retain::Accepted);
    let id = world.peers[0].client.send(world.now, &outgoing).unwrap();
    world.up(0, MAX);
    world.down(0, MAX);
    world.poll(0);
    assert_eq!(world.peers[0].log.finals[&id.0], Receipt::accepted(id, 1, true));
}
