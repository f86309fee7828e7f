//! Clients and a broker in memory: what the contract promises, case by case.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod support;

use core::time::Duration;
use e_pigeon_core::{
    AbortCode, BrokerConfig, Client, Close, Destination, Event, EventFilter, Filter, Message, Receipt,
    RefusalReason, Retain, Secret, SendError, Value,
};
use support::{MAX, World, client_config, group, uuid};

#[test]
fn a_message_to_a_group_reaches_each_member_once_and_is_answered() {
    let mut world = World::new(3);
    let id = world.send(0, &group("a").exclude_self(), "hello");
    world.settle();
    assert_eq!(
        (world.messages(0), world.messages(1), world.messages(2)),
        (vec![], vec!["hello"], vec!["hello"])
    );
    assert_eq!(world.outcome(0, id), Some((2, 2)));
    let everyone = world.send(1, &Filter::everyone().into(), "all");
    world.settle();
    assert_eq!(world.outcome(1, everyone), Some((3, 3)));
    assert_eq!(world.broker.stats().open, 0);
    assert_eq!(world.broker.stats().payload_bytes, 0);
}

#[test]
fn a_message_waits_for_whoever_is_away_and_for_whoever_is_not_there_yet() {
    let mut world = World::new(2);
    world.cut(1);
    world.peers[1].reachable = false;
    let away = world.send(0, &uuid(1).into(), "while you were away");
    let parked = world.send(0, &group("b"), "to be");
    world.settle();
    assert_eq!((world.outcome(0, away), world.outcome(0, parked)), (None, None));
    let accepted = &world.peers[0].log.accepted;
    assert!(accepted.contains(&Receipt::accepted(away, 1, false)), "{accepted:?}");
    assert!(accepted.contains(&Receipt::accepted(parked, 0, false)), "{accepted:?}");
    world.peers[1].reachable = true;
    world.pass(Duration::from_secs(10));
    assert_eq!(world.messages(1), ["while you were away"]);
    world.join(client_config(2), "b");
    world.settle();
    assert_eq!(world.messages(2), ["to be"]);
    assert_eq!((world.outcome(0, away), world.outcome(0, parked)), (Some((1, 1)), Some((1, 1))));
}

#[test]
fn attributes_change_in_order_with_messages_and_release_what_is_parked() {
    let mut world = World::new(2);
    let before = world.send(0, &group("b"), "parked");
    world.settle();
    let now = world.now;
    let one = &mut world.peers[1].client;
    one.send(now, &Message::new(&group("a").exclude_self(), b"from a")).unwrap();
    one.set(now, "room", Value::Str("b")).unwrap();
    one.send(now, &Message::new(&group("a"), b"from b")).unwrap();
    world.settle();
    assert_eq!(world.messages(0), ["from a", "from b"]);
    assert_eq!(world.messages(1), ["parked"], "no longer in room a itself");
    assert_eq!(world.outcome(0, before), Some((1, 1)));
    let now = world.now;
    world.peers[1].client.remove(now, "room").unwrap();
    world.settle();
    let to_b = world.send_for(0, &group("b"), "nobody", Duration::from_secs(1));
    world.pass(Duration::from_secs(3));
    assert_eq!(world.peers[0].log.finals[&to_b.0], Receipt::ended(to_b, 0, 0, Some(RefusalReason::Expired)));
}

#[test]
fn a_uuid_that_never_comes_expires_also_where_there_is_no_broker() {
    let mut world = World::new(1);
    let id = world.send_for(0, &uuid(9).into(), "anybody?", Duration::from_secs(1));
    world.pass(Duration::from_secs(2));
    assert_eq!(world.outcome(0, id), Some((0, 0)));
    world.cut(0);
    world.peers[0].reachable = false;
    let id = world.send_for(0, &uuid(9).into(), "no broker", Duration::from_secs(1));
    world.now = world.now + Duration::from_secs(2);
    let now = world.now;
    world.peers[0].client.handle_timeout(now);
    world.poll(0);
    assert_eq!(world.outcome(0, id), Some((0, 0)));
}

#[test]
fn only_connected_never_waits() {
    let mut world = World::new(2);
    world.cut(1);
    world.peers[1].reachable = false;
    let id = world.send(0, &Destination::from(uuid(1)).only_connected(), "now or never");
    world.settle();
    let reason = Some(RefusalReason::Nobody);
    assert_eq!(world.peers[0].log.finals[&id.0], Receipt::ended(id, 0, 0, reason));
}

#[test]
fn until_accepted_ends_with_accepted() {
    let mut world = World::new(2);
    world.cut(1);
    world.peers[1].reachable = false;
    let to = uuid(1).into();
    let outgoing = Message::new(&to, b"keep it").retain(Retain::Accepted);
    let now = world.now;
    let id = world.peers[0].client.send(now, &outgoing).unwrap();
    world.flow();
    assert_eq!(world.peers[0].log.finals[&id.0], Receipt::accepted(id, 1, true));
    world.peers[1].reachable = true;
    world.pass(Duration::from_secs(10));
    assert_eq!(world.messages(1), ["keep it"]);
    assert_eq!(world.peers[0].log.finals.len(), 1);
}

#[test]
fn the_broker_dies_and_nothing_is_lost_or_doubled() {
    let mut world = World::new(3);
    let to = group("a").exclude_self();
    let ids: Vec<_> = (0..100).map(|n| world.send(0, &to, &format!("m{n}"))).collect();
    // The first has it all and the receipts are on their way, the second is still without.
    world.up(0, MAX);
    world.down(1, MAX);
    world.poll(1);
    world.up(1, MAX);
    world.kill_broker();
    world.pass(Duration::from_secs(20));
    let expected: Vec<String> = (0..100).map(|n| format!("m{n}")).collect();
    assert_eq!(world.messages(1), expected);
    assert_eq!(world.messages(2), expected);
    for id in ids {
        assert_eq!(world.outcome(0, id), Some((2, 2)), "{id}");
    }
    assert_eq!(world.broker.stats().open, 0);
}

#[test]
fn what_was_accepted_is_held_for_those_who_were_there_and_not_for_a_newcomer() {
    let mut world = World::new(3);
    world.cut(2);
    world.peers[2].reachable = false;
    let id = world.send(0, &group("a").exclude_self(), "for one and two");
    world.settle();
    assert_eq!(world.messages(1), ["for one and two"]);
    world.kill_broker();
    world.join(client_config(3), "a");
    world.pass(Duration::from_secs(30));
    assert_eq!(world.outcome(0, id), None, "held until the late one is back");
    world.peers[2].reachable = true;
    world.pass(Duration::from_secs(10));
    assert_eq!(world.messages(2), ["for one and two"]);
    assert_eq!(world.messages(3), [""; 0], "the newcomer declines");
    assert_eq!(world.messages(1).len(), 1);
    assert_eq!(world.outcome(0, id), Some((2, 2)));
}

#[test]
fn a_retry_that_would_break_the_order_is_not_handed_on() {
    // m1 to the group was taken for S itself; m2 to A; A joins the group; crash; the retry of m1 must not reach A.
    let mut world = World::new(0);
    world.join(client_config(0), "g");
    world.join(client_config(1), "elsewhere");
    world.settle();
    world.peers[0].sleeps = true;
    let m1 = world.send(0, &group("g"), "m1");
    let m2 = world.send(0, &uuid(1).into(), "m2");
    world.settle();
    let now = world.now;
    world.peers[1].client.set(now, "room", Value::Str("g")).unwrap();
    world.settle();
    assert_eq!(world.messages(1), ["m2"]);
    world.kill_broker();
    world.pass(Duration::from_secs(5));
    world.peers[0].sleeps = false;
    world.pass(Duration::from_secs(10));
    assert_eq!(world.messages(1), ["m2"]);
    assert_eq!(world.messages(0), ["m1"]);
    assert_eq!((world.outcome(0, m1), world.outcome(0, m2)), (Some((1, 1)), Some((1, 1))));
}

#[test]
fn more_messages_than_a_late_list_holds_are_not_doubled_by_a_crash() {
    // Parked, then released to a newcomer in one go; the receipts die with the broker.
    let mut world = World::new(1);
    let ids: Vec<_> = (0..200).map(|n| world.send(0, &group("b"), &format!("m{n}"))).collect();
    world.settle();
    let mut config = client_config(1);
    (config.seen_window, config.late_ids) = (64, 32);
    world.join(config, "b");
    for _ in 0..10 {
        world.connect(1);
        world.up(1, MAX);
        world.down(1, MAX);
    }
    world.poll(1);
    assert_eq!(world.messages(1).len(), 200);
    world.kill_broker();
    world.pass(Duration::from_secs(10));
    assert_eq!(world.messages(1).len(), 200, "none comes twice");
    world.pass(Duration::from_secs(4000));
    assert!(ids.iter().all(|&id| world.outcome(0, id).is_some()), "all are answered");
}

#[test]
fn a_takeover_is_told_to_the_old_life_and_it_stays_away() {
    let mut world = World::new(2);
    let twin = {
        let mut config = client_config(1);
        config.boot = 999;
        world.join(config, "a")
    };
    world.pass(Duration::from_secs(5));
    assert!(!world.peers[1].client.is_closed(), "the new one has said nothing yet: it may be dead");
    // Within an interval it says something.
    world.pass(Duration::from_secs(6));
    assert!(world.peers[1].client.is_closed());
    assert!(
        world.peers[1].log.notes.iter().any(|note| note.contains("TakenOver")),
        "{:?}",
        world.peers[1].log.notes
    );
    let id = world.send(0, &uuid(1).into(), "to the new one");
    world.settle();
    assert_eq!((world.messages(1), world.messages(twin)), (vec![], vec!["to the new one"]));
    assert_eq!(world.outcome(0, id), Some((1, 1)));
}

#[test]
fn a_uuid_without_its_secret_is_refused() {
    let mut world = World::new(2);
    let mut config = client_config(1);
    config.secret = Secret([99; 16]);
    config.boot = 5;
    let thief = world.join(config, "a");
    world.settle();
    assert!(world.peers[thief].client.is_closed());
    assert!(world.peers[thief].log.notes.iter().any(|note| note.contains("WrongSecret")));
    assert!(world.peers[1].client.is_established(), "the owner notices nothing");
}

#[test]
fn a_client_that_restarts_inherits_its_queue() {
    let mut world = World::new(2);
    world.peers[1].sleeps = true;
    let id = world.send(0, &uuid(1).into(), "one");
    world.flow();
    world.restart(1, 1234);
    world.peers[1].sleeps = false;
    world.pass(Duration::from_secs(5));
    assert_eq!(world.messages(1), ["one"]);
    assert_eq!(world.peers[1].log.repeated, ["one"]);
    assert_eq!(world.outcome(0, id), Some((1, 1)));
}

#[test]
fn a_session_that_ends_takes_its_queue_with_it_and_the_sender_is_told() {
    let mut world = World::new(2);
    world.peers[1].sleeps = true;
    let first = world.send(0, &uuid(1).into(), "one");
    world.flow();
    world.close(1, Close::KeepSession);
    world.settle();
    assert!(world.peers[1].client.is_closed());
    assert_eq!(world.outcome(0, first), None, "it left, its session stays");
    world.pass(world.config.session_ttl + Duration::from_secs(1));
    let reason = Some(RefusalReason::Gone);
    assert_eq!(world.peers[0].log.finals[&first.0], Receipt::ended(first, 0, 1, reason));
    assert_eq!(world.broker.stats().sessions, 1);
}

#[test]
fn close_acknowledges_flushes_and_ends_the_session() {
    let mut world = World::new(2);
    let id = world.send(0, &uuid(1).into(), "one");
    let back = world.send(1, &uuid(0).into(), "parting words");
    world.flow();
    world.close(1, Close::EndSession);
    world.settle();
    assert!(world.peers[1].client.is_closed());
    assert_eq!(world.outcome(0, id), Some((1, 1)));
    assert_eq!(world.messages(0), ["parting words"]);
    assert_eq!(world.broker.stats().sessions, 1);
    assert!(world.outcome(1, back).is_some() || world.peers[1].client.unanswered().eq([back]));
    let now = world.now;
    let to = uuid(0).into();
    assert_eq!(world.peers[1].client.send(now, &Message::new(&to, b"")), Err(SendError::Closed));
}

#[test]
fn an_application_that_does_not_read_stops_its_senders_and_nobody_else() {
    let mut world = World::new(3);
    world.peers[1].sleeps = true;
    let mut sent = 0;
    let slow = uuid(1).into();
    loop {
        let now = world.now;
        match world.peers[0].client.send(now, &Message::new(&slow, &[7; 100])) {
            Ok(_) => sent += 1,
            Err(error) => {
                assert_eq!(error, SendError::Full);
                break;
            }
        }
        world.flow();
    }
    assert_eq!(sent, 256, "the outbox, then no more");
    let other = world.send(2, &uuid(0).into(), "still here");
    world.pass(Duration::from_secs(60));
    assert_eq!(world.outcome(2, other), Some((1, 1)));
    world.peers[1].sleeps = false;
    world.settle();
    assert_eq!(world.messages(1).len(), 256);
    assert_eq!((world.peers[0].log.finals.len(), world.peers[0].log.capacity), (256, 1));
}

#[test]
fn one_old_message_does_not_stall_the_traffic_to_others() {
    let mut world = World::new(3);
    world.cut(2);
    world.peers[2].reachable = false;
    let old = world.send(0, &uuid(2).into(), "old");
    let to = uuid(1).into();
    for n in 0..20_000_u32 {
        let now = world.now;
        while world.peers[0].client.send(now, &Message::new(&to, n.to_string().as_bytes()))
            == Err(SendError::Full)
        {
            world.peers[1].log.messages.clear();
            world.drain(0, 1);
        }
    }
    world.settle();
    assert_eq!(world.peers[0].log.finals.len(), 20_000);
    world.peers[2].reachable = true;
    world.pass(Duration::from_secs(10));
    assert_eq!(world.outcome(0, old), Some((1, 1)));
}

#[test]
fn a_full_queue_is_a_refusal_and_not_a_drop() {
    let config = BrokerConfig::new(0).queue_messages(3);
    let mut world = World::with(2, config);
    world.cut(1);
    world.peers[1].reachable = false;
    let ids: Vec<_> = (0..5).map(|n| world.send(0, &uuid(1).into(), &n.to_string())).collect();
    world.settle();
    let reason = Some(RefusalReason::QueueFull);
    for &id in &ids[3..] {
        assert_eq!(world.peers[0].log.finals[&id.0], Receipt::ended(id, 0, 1, reason));
    }
    world.peers[1].reachable = true;
    world.pass(Duration::from_secs(10));
    assert_eq!(world.messages(1), ["0", "1", "2"]);
}

#[test]
fn silence_is_death_at_both_ends_and_the_session_goes_on() {
    let mut world = World::new(2);
    world.half_open(1);
    world.peers[1].reachable = false;
    let id = world.send(0, &uuid(1).into(), "into the void");
    world.flow();
    assert_eq!(world.broker.stats().connected, 2, "the broker has not noticed");
    world.pass(world.config.keep_alive * 4);
    assert_eq!(world.broker.stats().connected, 1);
    world.peers[1].reachable = true;
    world.pass(Duration::from_secs(10));
    assert_eq!(world.messages(1), ["into the void"]);
    assert_eq!(world.outcome(0, id), Some((1, 1)));
}

#[test]
fn idle_links_stay_up_by_their_signs_of_life() {
    let mut world = World::new(2);
    world.peers.iter_mut().for_each(|peer| peer.log.notes.clear());
    world.pass(world.config.keep_alive * 50);
    assert!(world.peers.iter().all(|peer| peer.log.notes.is_empty() && peer.client.is_established()));
}

#[test]
fn a_broker_that_settles_takes_nothing_from_clients_of_its_predecessor() {
    let mut world = World::new(2);
    world.peers[1].reachable = false;
    world.kill_broker();
    let to = group("a").exclude_self();
    let id = world.send(0, &to, "not before");
    world.pass(Duration::from_millis(800));
    assert!(world.peers[0].client.is_established());
    assert_eq!(world.broker.stats().taken, 0);
    world.pass(Duration::from_millis(500));
    assert_eq!(world.broker.stats().taken, 1);
    world.peers[1].reachable = true;
    world.pass(Duration::from_secs(10));
    assert_eq!(world.outcome(0, id), Some((1, 1)));
}

#[test]
fn too_many_attributes_for_this_broker_are_refused_with_the_limit() {
    let mut world = World::with(1, BrokerConfig::new(0).max_attributes(1));
    let now = world.now;
    world.peers[0].client.set(now, "more", Value::Int(1)).unwrap();
    world.settle();
    assert!(world.peers[0].log.notes.iter().any(|note| note.contains("AttributesRefused")));
    let mut config = client_config(5);
    config.boot = 6;
    let n = world.join(config, "a");
    world.peers[n].client.set(now, "more", Value::Int(1)).unwrap();
    world.settle();
    assert!(world.peers[n].client.is_closed());
    assert!(
        world.peers[n]
            .log
            .notes
            .iter()
            .any(|note| note.contains(&format!("{:?}, 1", AbortCode::TooManyAttributes)))
    );
}

fn next_receipt(client: &mut Client<Vec<u8>>) -> Option<Receipt> {
    client.poll_event_of(EventFilter::RECEIPTS).map(|event| match event {
        Event::Receipt(receipt) => receipt,
        other => panic!("{other:?} is no receipt"),
    })
}

fn has_capacity(client: &mut Client<Vec<u8>>) -> bool {
    client.poll_event_of(EventFilter::CAPACITY) == Some(Event::CapacityAvailable)
}

#[test]
fn receipts_and_room_can_be_polled_past_messages() {
    let mut world = World::new(2);
    for _ in 0..200 {
        world.send(0, &uuid(0).into(), "to myself");
    }
    world.flow();
    world.peers[0].log = support::Log::default();
    world.peers[0].sleeps = true;
    let to_other = world.send(0, &uuid(1).into(), "to the other");
    let to_myself = world.send(0, &uuid(0).into(), "still unread");
    let now = world.now;
    let last = uuid(1).into();
    let zero = &mut world.peers[0].client;
    while zero.send(now, &Message::new(&last, &[0; 2000])).is_ok() {}
    assert!(!has_capacity(zero), "nothing was answered yet");
    world.flow();
    let zero = &mut world.peers[0].client;
    let receipts: Vec<Receipt> = core::iter::from_fn(|| next_receipt(zero)).collect();
    assert_eq!(receipts.first().map(Receipt::id), Some(to_other));
    assert!(receipts.iter().filter(|receipt| receipt.is_final()).all(|receipt| receipt.id() != to_myself));
    assert!(has_capacity(zero) && !has_capacity(zero), "once");
    world.flow();
    let zero = &mut world.peers[0].client;
    assert_eq!(next_receipt(zero), None, "what nobody has read is not confirmed");
    assert!(zero.has_event());
    world.peers[0].sleeps = false;
    world.settle();
    assert_eq!(world.messages(0), ["still unread"]);
    assert_eq!(world.outcome(0, to_myself), Some((1, 1)));
    assert_eq!(world.peers[0].log.capacity, 0, "it was told already");
    assert_eq!(world.peers[0].log.finals.len(), 1, "so were the other receipts");
}
