//! Faults that were found once, each as the scenario that showed it.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, missing_docs)]

mod repetitions;
#[path = "../support/mod.rs"]
mod support;
mod timing;

use core::time::Duration;
use e_pigeon_core::wire::control::Control;
use e_pigeon_core::wire::item::{DownItem, Final, UpItem};
use e_pigeon_core::{
    AttributesRef, Bound, Broker, BrokerConfig, Close, ConfigError, Destination, Filter, Instant, Message,
    MessageId, Outcome, Past, Ready, Receipt, RefusalReason, Retain, Taken, Value,
};
use support::counting::{Counting, live};
use support::raw::{Raw, frame, hello, message, welcome};
use support::{MAX, World, client_config, group, make, uuid};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_receipt_finds_its_message_though_a_change_of_attributes_follows_it() {
    let mut world = World::new(2);
    world.peers[1].sleeps = true;
    let id = world.send(0, &uuid(1).into(), "hello");
    world.up(0, MAX);
    // The change waits behind the message: it has not reached the broker yet.
    let now = world.now;
    world.peers[0].client.set(now, "mood", Value::Int(1)).unwrap();
    world.now = world.now + Duration::from_millis(50);
    world.broker.handle_timeout(world.now);
    world.down(0, MAX);
    world.poll(0);
    assert_eq!(world.peers[0].log.accepted.len(), 1);
    world.peers[1].sleeps = false;
    world.down(1, MAX);
    world.poll(1);
    world.up(1, MAX);
    world.down(0, MAX);
    world.poll(0);
    world.settle();
    assert_eq!(world.messages(1), ["hello"]);
    assert_eq!(world.outcome(0, id), Some((1, 1)));
}

#[test]
fn a_resumed_session_does_not_send_again_behind_an_entry_that_ended_here() {
    let mut world = World::with(2, BrokerConfig::new(0).max_payload(100));
    world.cut(1);
    world.peers[1].reachable = false;
    let n = world.join(client_config(2), "a");
    world.peers[n].sleeps = true;
    let large = world.send(n, &uuid(1).into(), &"x".repeat(200));
    let one = world.send(n, &uuid(1).into(), "one");
    let two = world.send(n, &uuid(1).into(), "two");
    world.settle();
    assert_eq!(world.broker.stats().taken, 2);
    world.cut(n);
    world.settle();
    world.settle();
    assert_eq!(world.broker.stats().taken, 2);
    assert!(world.peers[n].client.is_established(), "the link stays up");
    world.peers[n].sleeps = false;
    world.poll(n);
    let aborted = world.peers[n].log.notes.iter().filter(|note| note.contains("Aborted")).count();
    assert_eq!(aborted, 0, "{:?}", world.peers[n].log.notes);
    world.peers[1].reachable = true;
    world.pass(Duration::from_secs(10));
    assert_eq!(world.messages(1), ["one", "two"]);
    assert_eq!(world.outcome(n, large), Some((0, 0)));
    assert_eq!((world.outcome(n, one), world.outcome(n, two)), (Some((1, 1)), Some((1, 1))));
}

/// The same without any limit: a receipt that was not polled over a broker's death, then a cut.
#[test]
fn unpolled_receipt_then_new_session_then_cut() {
    let mut world = World::new(3);
    world.cut(2);
    world.peers[2].reachable = false;
    world.peers[0].sleeps = true;
    let one = world.send(0, &uuid(1).into(), "one");
    let two = world.send(0, &uuid(2).into(), "two");
    world.settle();
    world.kill_broker();
    world.pass(Duration::from_secs(5));
    let three = world.send(0, &uuid(2).into(), "three");
    world.settle();
    let taken = world.broker.stats().taken;
    world.cut(0);
    world.pass(Duration::from_secs(5));
    assert_eq!(world.broker.stats().taken, taken);
    world.peers[0].sleeps = false;
    world.poll(0);
    let notes = &world.peers[0].log.notes;
    assert!(!notes.iter().any(|note| note.contains("Aborted")), "{notes:?}");
    world.peers[2].reachable = true;
    world.pass(Duration::from_secs(10));
    assert_eq!(world.messages(2), ["two", "three"]);
    assert_eq!(world.outcome(0, three), Some((1, 1)));
    assert_eq!((world.outcome(0, one), world.outcome(0, two)), (Some((1, 1)), Some((1, 1))));
}

#[test]
fn an_empty_payload_does_not_fill_the_inbox() {
    let mut world = World::new(2);
    world.send(0, &uuid(1).into(), "");
    world.send(0, &uuid(1).into(), "x");
    world.settle();
    let notes = &world.peers[1].log.notes;
    assert!(!notes.iter().any(|note| note.contains("WindowExceeded")), "{notes:?}");
    assert_eq!(world.messages(1), ["", "x"]);
}

#[test]
fn the_window_opens_again_though_the_old_messages_were_taken_before_the_welcome() {
    let mut world = World::new(1);
    let mut config = client_config(1);
    config.inbox_messages = 4;
    let n = world.join(config, "a");
    world.settle();
    world.peers[n].sleeps = true;
    for k in 0..4 {
        world.send(0, &uuid(1).into(), &k.to_string());
    }
    world.settle();
    world.kill_broker();
    world.now = world.now + Duration::from_secs(3);
    for peer in &mut world.peers {
        peer.client.handle_timeout(world.now);
    }
    world.broker.handle_timeout(world.now);
    // The hello says that there is no room; then the application reads, then the welcome comes.
    world.connect(n);
    world.up(n, MAX);
    world.peers[n].sleeps = false;
    world.poll(n);
    world.settle();
    world.pass(Duration::from_secs(10));
    assert!(world.peers[n].client.is_established());
    let id = world.send(0, &uuid(1).into(), "more");
    world.pass(Duration::from_secs(100));
    assert_eq!(world.messages(n).last(), Some(&"more"));
    assert_eq!(world.outcome(0, id), Some((1, 1)));
}

#[test]
fn a_refused_attribute_does_not_end_the_client_at_the_next_reconnect() {
    let mut world = World::with(1, BrokerConfig::new(0).max_attributes(1));
    let now = world.now;
    world.peers[0].client.set(now, "more", Value::Int(1)).unwrap();
    world.settle();
    assert!(world.peers[0].log.notes.iter().any(|note| note.contains("AttributesRefused")));
    let id = world.send(0, &uuid(7).into(), "parked");
    world.settle();
    world.cut(0);
    world.settle();
    assert!(!world.peers[0].client.is_closed(), "{:?}", world.peers[0].log.notes);
    let _ = id;
}

#[test]
fn a_new_life_that_takes_less_is_not_stuck_on_what_the_old_life_was_sent() {
    let mut world = World::new(2);
    world.cut(1);
    world.peers[1].reachable = false;
    let large = world.send(0, &uuid(1).into(), &"x".repeat(1000));
    let small = world.send(0, &uuid(1).into(), "small");
    world.settle();
    let mut config = client_config(1);
    (config.boot, config.max_payload) = (4711, 100);
    world.peers[1].client = make(config);
    world.peers[1].reachable = true;
    world.pass(Duration::from_secs(30));
    assert_eq!(world.messages(1), ["small"], "{:?}", world.peers[1].log.notes.len());
    assert_eq!((world.outcome(0, large), world.outcome(0, small)), (Some((0, 1)), Some((1, 1))));
}

fn until_accepted(world: &mut World, to: &Destination) -> MessageId {
    let outgoing = Message::new(to, b"keep it").retain(Retain::Accepted);
    let now = world.now;
    world.peers[0].client.send(now, &outgoing).unwrap()
}

#[test]
fn a_full_queue_is_a_refusal_also_until_accepted() {
    let mut world = World::with(2, BrokerConfig::new(0).queue_messages(1));
    world.cut(1);
    world.peers[1].reachable = false;
    world.send(0, &uuid(1).into(), "fills it");
    world.settle();
    let id = until_accepted(&mut world, &uuid(1).into());
    world.settle();
    let reason = Some(RefusalReason::QueueFull);
    assert_eq!(world.peers[0].log.finals[&id.0], Receipt::ended(id, 0, 1, reason));
}

#[test]
fn no_place_to_park_is_a_refusal_also_until_accepted() {
    let mut world = World::with(1, BrokerConfig::new(0).max_held(0));
    let id = until_accepted(&mut world, &uuid(9).into());
    world.settle();
    let reason = Some(RefusalReason::BrokerFull);
    assert_eq!(world.peers[0].log.finals[&id.0], Receipt::ended(id, 0, 0, reason));
}

#[test]
fn nobody_connected_is_a_refusal_also_until_accepted() {
    let mut world = World::new(1);
    let id = until_accepted(&mut world, &Destination::from(uuid(9)).only_connected());
    world.settle();
    let reason = Some(RefusalReason::Nobody);
    assert_eq!(world.peers[0].log.finals[&id.0], Receipt::ended(id, 0, 0, reason));
}

#[test]
fn refusals_that_are_not_acknowledged_do_not_pile_up() {
    let mut raw = Raw::new(BrokerConfig::new(0));
    let link = raw.link();
    raw.put(link, &hello(1, 1, None, AttributesRef::EMPTY));
    raw.swallow(link);
    let filter = Filter::everyone();
    let measure = |raw: &mut Raw, from: u32| {
        for watch in from..from + 200_000 {
            let item = frame(|w| UpItem::Watch(watch, filter.as_ref()).write(w));
            if raw.broker.handle_input(raw.now, link, &item).is_err() {
                break;
            }
            while let Some(ready) = raw.broker.poll_ready() {
                if let Ready::Close(_) = ready {
                    return live();
                }
            }
            raw.swallow(link);
        }
        live()
    };
    let before = measure(&mut raw, 0);
    let after = measure(&mut raw, 200_000);
    assert!(after - before < 100_000, "{} bytes more", after - before);
}

#[test]
fn a_broker_that_acknowledges_what_is_half_written_hangs_nobody() {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut config = client_config(1);
        (config.max_payload, config.outbox_bytes) = (4096, 4096 + 794);
        let mut client = make(config);
        let now = Instant::from_micros(1);
        client.handle_connected(now);
        let mut out = [0; 4096];
        while client.poll_transmit(now, &mut out).unwrap() > 0 {}
        client.handle_input(now, &welcome());
        client.send(now, &Message::new(&uuid(2).into(), &[7; 4000])).unwrap();
        let half = client.poll_transmit(now, &mut out[..100]).unwrap();
        assert_eq!(half, 100);
        // A final receipt, and the acknowledgement of an item that is not whole.
        let ended = Final { first: 1, count: 1, outcome: Outcome::new(1, 1, None) };
        client.handle_input(now, &frame(|w| DownItem::Final(ended).write(w)));
        while client.poll_event().is_some() {}
        client.handle_input(now, &frame(|w| Control::Ack(1).write(w)));
        while client.poll_event().is_some() {}
        while client.poll_transmit(now, &mut out).unwrap() > 0 {}
        sender.send(()).unwrap();
    });
    assert_eq!(receiver.recv_timeout(Duration::from_secs(10)), Ok(()), "poll_transmit never returns");
}

#[test]
fn a_cut_while_the_broker_settles_does_not_open_the_window() {
    let mut world = World::new(3);
    // Nothing came back about this one.
    world.peers[1].reachable = false;
    world.peers[2].reachable = false;
    let id = world.send(0, &group("a").exclude_self(), "for one and two");
    world.up(0, MAX);
    world.kill_broker();
    world.peers[1].reachable = true;
    world.pass(Duration::from_millis(300));
    world.cut(0);
    world.pass(Duration::from_millis(300));
    assert!(world.peers[0].client.is_established());
    let taken = world.broker.stats().taken;
    world.peers[2].reachable = true;
    world.pass(Duration::from_secs(20));
    assert_eq!(taken, 0, "taken before the broker has settled");
    assert_eq!(world.messages(2), ["for one and two"]);
    assert_eq!(world.outcome(0, id), Some((2, 2)));
}

#[test]
fn what_was_offered_to_whom_is_bounded() {
    let config = BrokerConfig::new(0).max_held(1000).queue_messages(1);
    let mut raw = Raw::new(config);
    let link = raw.link();
    raw.put(link, &hello(0, 1, None, AttributesRef::EMPTY));
    raw.swallow(link);
    let to = Destination::from(Filter::everyone()).exclude_self();
    let past = Past::Taken(Taken { recipients: u32::MAX, epoch: 9, session: 9, answered_first: true });
    for k in 0..1000 {
        raw.put(link, &message((k == 0).then_some(&to), 1, Some(past), b""));
    }
    assert_eq!(raw.broker.stats().waiting, 1000);
    // Others come and go; each session has one place in its queue.
    let come_and_go = |raw: &mut Raw, from: usize| {
        for n in from..from + 100 {
            let link = raw.link();
            raw.put(link, &hello(n, 1, None, AttributesRef::EMPTY));
            raw.swallow(link);
            raw.put(link, &frame(|w| Control::Goodbye(true).write(w)));
            raw.swallow(link);
            raw.broker.handle_disconnected(raw.now, link);
            while raw.broker.poll_ready().is_some() {}
            while raw.broker.poll_event().is_some() {}
        }
        assert_eq!(raw.broker.stats().sessions, 1);
        live()
    };
    let before = come_and_go(&mut raw, 1);
    let after = come_and_go(&mut raw, 101);
    assert!(after - before < 100_000, "{} bytes more, after 100 sessions that are gone", after - before);
}

#[test]
fn the_largest_id_overflows_nothing() {
    let mut raw = Raw::new(BrokerConfig::new(0));
    let link = raw.link();
    raw.put(link, &hello(0, 1, None, AttributesRef::EMPTY));
    raw.swallow(link);
    let to = Destination::from(uuid(9));
    raw.put(link, &message(Some(&to), u64::MAX, None, b"last"));
    raw.broker.handle_disconnected(raw.now, link);
    raw.now = raw.now + Duration::from_secs(1);
    raw.broker.handle_timeout(raw.now);
    // The same again on another link: told accepted twice.
    let link = raw.link();
    raw.put(link, &hello(0, 2, None, AttributesRef::EMPTY));
    raw.put(link, &message(Some(&to), u64::MAX, Some(Past::Sent), b"last"));
    raw.swallow(link);
}

#[test]
fn without_sender_means_the_client_and_not_one_life_of_it() {
    let mut world = World::new(1);
    world.send(0, &group("b").exclude_self(), "to others");
    world.settle();
    world.restart(0, 999);
    let now = world.now;
    world.peers[0].client.set(now, "room", Value::Str("b")).unwrap();
    world.pass(Duration::from_secs(5));
    assert_eq!(world.messages(0), [""; 0]);
}

#[test]
fn wants_transmit_knows_of_the_goodbye() {
    let mut world = World::with(2, BrokerConfig::new(0).max_payload(100));
    world.cut(0);
    world.peers[0].reachable = false;
    world.peers[0].sleeps = true;
    world.send_for(0, &uuid(1).into(), "x", Duration::from_millis(1));
    world.now = world.now + Duration::from_secs(5);
    let now = world.now;
    world.peers[0].client.handle_timeout(now);
    world.peers[0].reachable = true;
    world.flow();
    assert!(world.peers[0].client.is_established());
    let now = world.now;
    let client = &mut world.peers[0].client;
    let time_to_live = Duration::from_millis(1);
    client.send(now, &Message::new(&uuid(1).into(), b"y").time_to_live(time_to_live)).unwrap();
    let now = now + time_to_live;
    client.handle_timeout(now);
    client.close(now, Close::KeepSession);
    let wants = client.wants_transmit();
    let written = client.poll_transmit(now, &mut [0; 100]).unwrap();
    assert_eq!(wants, written > 0);
}

#[test]
fn a_pool_that_cannot_hold_the_largest_payload_is_no_configuration() {
    let config = BrokerConfig::new(0).max_payload(40).max_message_bytes(40).queue_bytes(40).window_bytes(40);
    assert_eq!(
        Broker::new(config, 1).err(),
        Some(ConfigError::TooSmall("max_message_bytes", Bound::Because("max_payload", 64)))
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

/// A client that goes on sending though its window was shut, and acknowledges nothing.
#[test]
fn receipts_do_not_pile_up_for_who_ignores_the_window() {
    let config = BrokerConfig::new(0).receipt_backlog(8).window_messages(8);
    let mut raw = Raw::new(config);
    let link = raw.link();
    raw.put(link, &hello(1, 1, None, AttributesRef::EMPTY));
    raw.swallow(link);
    // The same message again and again: each is answered, and none of the answers joins the one before.
    let to = Destination::from(uuid(9));
    raw.put(link, &message(Some(&to), 1, None, b"parked"));
    raw.put(link, &message(None, 2, None, b"parked too"));
    let mut taken = 0;
    while taken < 1_000 {
        let (first, second) = (message(None, 1, Some(Past::Sent), b""), message(None, 1, None, b""));
        let again = if taken % 2 == 0 { first } else { second };
        if raw.broker.handle_input(raw.now, link, &again).is_err() || raw.broker.stats().connected == 0 {
            break;
        }
        raw.swallow(link);
        raw.now = raw.now + Duration::from_millis(20);
        raw.broker.handle_timeout(raw.now);
        taken += 1;
    }
    assert!(taken <= 40, "{taken} messages were taken from it");
}
