//! What applications do with a client: relays that acknowledge late, old messages beside new ones, full outboxes.
#![allow(clippy::unwrap_used)]

mod support;

use core::time::Duration;
use e_pigeon_core::{
    AckToken, Event, EventFilter, Filter, Message, MessageId, Receipt, Roster, SendError, Value,
};
use std::collections::VecDeque;
use support::{MAX, World, client_config, make, uuid};

#[test]
fn an_old_message_to_somebody_who_is_away_stops_nobody_else_s() {
    let mut world = World::new(1);
    let mut config = client_config(1);
    (config.outbox_messages, config.outbox_bytes) = (8, 8 << 10);
    let sender = world.join(config, "b");
    let away = world.join(client_config(2), "c");
    world.settle();
    world.cut(away);
    world.peers[away].reachable = false;
    let old = world.send(sender, &uuid(away).into(), "for later");
    let to = uuid(0).into();
    let (mut sent, start) = (0_u32, world.now);
    while sent < 100_000 {
        let (now, payload) = (world.now, sent.to_le_bytes().map(|byte| b'a' + byte % 16));
        let client = &mut world.peers[sender].client;
        if client.send(now, &Message::new(&to, &payload)).is_ok() {
            sent += 1;
        } else {
            // Room comes by itself, without any time that has to pass.
            world.drain(sender, 0);
        }
    }
    world.flow();
    assert_eq!(world.now, start);
    assert_eq!(world.peers[0].log.messages.len(), 100_000);
    assert_eq!(world.peers[sender].log.finals.len(), 100_000);
    assert_eq!(world.outcome(sender, old), None);
    world.peers[away].reachable = true;
    world.pass(Duration::from_secs(10));
    assert_eq!(world.outcome(sender, old), Some((1, 1)));
    assert_eq!(world.messages(away), ["for later"]);
}

#[test]
fn what_is_asked_for_before_the_first_connection_is_done_in_that_order() {
    let mut world = World::new(1);
    let (now, to) = (world.now, uuid(0).into());
    let mut config = client_config(1);
    config.outbox_messages = 3;
    let early = world.join(config.clone(), "b");
    let mut client = make(config);
    client.set(now, "early", Value::Bool(true)).unwrap();
    let watch = client.watch(now, &Filter::everyone()).unwrap();
    for text in [b"1", b"2", b"3"] {
        client.send(now, &Message::new(&to, text)).unwrap();
    }
    assert_eq!(client.send(now, &Message::new(&to, b"4")), Err(SendError::Full));
    assert!(
        client.poll_event().is_none() && client.poll_event_of(EventFilter::CAPACITY).is_none(),
        "nothing has happened yet"
    );
    world.peers[early].client = client;
    world.settle();
    assert_eq!((world.messages(0), world.peers[early].log.capacity), (vec!["1", "2", "3"], 1));
    let own = world.peers[early].roster.get(watch, uuid(1)).unwrap();
    assert_eq!(own.attributes().get("early"), Some(Value::Bool(true)));
    world.send(early, &to, "4");
    world.settle();
    assert_eq!(world.messages(0).len(), 4);
}

#[test]
fn receipts_and_presence_go_on_while_no_message_is_taken_for_a_minute() {
    let mut world = World::new(3);
    let watch = world.peers[0].client.watch(world.now, &Filter::everyone()).unwrap();
    world.settle();
    world.peers[0].sleeps = true;
    let mut roster = Roster::new(MAX);
    for second in 0..60 {
        world.send(2, &uuid(0).into(), "unread");
        let id = world.send(0, &uuid(1).into(), "answered");
        world.peers[1].client.set(world.now, "second", Value::Int(second)).unwrap();
        world.pass(Duration::from_secs(1));
        let client = &mut world.peers[0].client;
        roster.update(client, |_| {});
        assert_eq!(roster.get(watch, uuid(1)).unwrap().attributes().get("second"), Some(Value::Int(second)));
        let receipts: Vec<_> = core::iter::from_fn(|| match client.poll_event_of(EventFilter::RECEIPTS) {
            Some(Event::Receipt(receipt)) => Some(receipt),
            _ => None,
        })
        .filter(Receipt::is_final)
        .collect();
        assert_eq!(receipts, [Receipt::ended(id, 1, 1, None)]);
    }
    assert_eq!(world.peers[2].log.finals.len(), 0, "nobody has confirmed what nobody has taken");
    world.peers[0].sleeps = false;
    world.settle();
    assert_eq!((world.messages(0).len(), world.peers[2].log.finals.len()), (60, 60));
}

#[test]
fn a_relay_that_acknowledges_only_what_was_passed_on_never_stands_still() {
    for room in [1, 2, 5] {
        let mut world = World::new(2);
        let mut config = client_config(2);
        (config.manual_acknowledgement, config.outbox_messages, config.inbox_messages) = (true, room, room);
        let relay = world.join(config, "b");
        world.peers[relay].sleeps = true;
        world.settle();
        let (to_relay, to_end) = (uuid(relay).into(), uuid(1).into());
        let mut passed: VecDeque<(MessageId, AckToken, bool)> = VecDeque::new();
        let mut waiting: Option<(Vec<u8>, AckToken)> = None;
        let mut sent = 0;
        for round in 0..20_000 {
            let now = world.now;
            while sent < 2_000 {
                let text = sent.to_string();
                if world.peers[0].client.send(now, &Message::new(&to_relay, text.as_bytes())).is_err() {
                    break;
                }
                sent += 1;
            }
            if round == 60 {
                world.kill_broker();
            }
            world.pass(Duration::from_millis(20));
            let now = world.now;
            let client = &mut world.peers[relay].client;
            loop {
                if let Some((payload, token)) = waiting.take() {
                    match client.send(now, &Message::new(&to_end, &payload)) {
                        Ok(id) => passed.push_back((id, token, false)),
                        Err(error) => {
                            assert_eq!(error, SendError::Full);
                            waiting = Some((payload, token));
                        }
                    }
                }
                // One that could not be passed on yet holds back the messages, not the receipts.
                let event = if waiting.is_some() {
                    client.poll_event_of(EventFilter::RECEIPTS)
                } else {
                    client.poll_event()
                };
                match event {
                    Some(Event::Message(message)) => {
                        waiting = Some((message.payload.to_vec(), message.token));
                    }
                    Some(Event::Receipt(Receipt::Final { id, delivered, .. })) => {
                        assert_eq!(delivered, 1);
                        passed.iter_mut().filter(|entry| entry.0 == id).for_each(|entry| entry.2 = true);
                    }
                    Some(_) => {}
                    None => break,
                }
                while passed.front().is_some_and(|entry| entry.2) {
                    client.acknowledge(passed.pop_front().unwrap().1);
                }
            }
            if world.peers[0].log.finals.len() == 2_000 {
                break;
            }
        }
        let expected: Vec<String> = (0..2_000).map(|n| n.to_string()).collect();
        assert_eq!(world.messages(1), expected, "room for {room}");
        assert_eq!(world.peers[0].log.finals.len(), 2_000);
    }
}
