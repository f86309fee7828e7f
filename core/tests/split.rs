//! Commands beside an event: a payload that was lent is sent on as it lies in the inbox.
#![allow(clippy::unwrap_used)]

mod support;

use e_pigeon_core::{Close, Event, Filter, Message, SendError, Value};
use support::{World, client_config, uuid};

#[test]
fn an_echo_sends_back_what_it_was_lent_and_each_comes_once_and_in_order() {
    let mut world = World::new(2);
    world.peers[1].sleeps = true;
    let sent: Vec<String> = (0..100_usize).map(|n| format!("{n} {}", "x".repeat(n % 97))).collect();
    let mut next = 0;
    while world.messages(0).len() < sent.len() {
        let now = world.now;
        while next < sent.len() {
            let to = uuid(1).into();
            let message = Message::new(&to, sent[next].as_bytes());
            if world.peers[0].client.send(now, &message).is_err() {
                break;
            }
            next += 1;
        }
        world.flow();
        while let Some((event, mut commands)) = world.peers[1].client.next_event_with_commands() {
            if let Event::Message(message) = event {
                let copy = message.payload.to_vec();
                commands.send(now, &Message::new(&message.from.into(), message.payload)).unwrap();
                commands.set(now, "last", Value::Int(message.id.0 as i64)).unwrap();
                assert_eq!(message.payload, copy, "the commands have left it alone");
            }
        }
        world.flow();
    }
    assert_eq!(world.messages(0), sent);
    world.settle();
    assert_eq!(world.broker.stats().open, 0, "the echo has acknowledged all");
}

#[test]
fn a_full_outbox_refuses_an_echo_and_manual_mode_keeps_the_message() {
    let mut world = World::new(1);
    let mut config = client_config(1);
    (config.outbox_messages, config.manual_acknowledgement) = (1, true);
    let relay = world.join(config, "b");
    world.peers[relay].sleeps = true;
    world.settle();
    let first = world.send(0, &uuid(1).into(), "one");
    let second = world.send(0, &uuid(1).into(), "two");
    world.flow();
    let now = world.now;
    let mut refused = 0;
    let mut last = None;
    while let Some((event, mut commands)) = world.peers[relay].client.next_event_with_commands() {
        if let Event::Message(message) = event {
            last = Some(message.token);
            match commands.send(now, &Message::new(&message.from.into(), message.payload)) {
                Ok(_) => commands.acknowledge(message.token),
                Err(error) => {
                    assert_eq!(error, SendError::Full);
                    refused += 1;
                }
            }
        }
    }
    assert_eq!(refused, 1);
    world.settle();
    assert_eq!(world.outcome(0, first), Some((1, 1)));
    assert_eq!(world.outcome(0, second), None, "nobody has acknowledged it");
    world.peers[relay].client.acknowledge(last.unwrap());
    world.settle();
    assert_eq!(world.outcome(0, second), Some((1, 1)));
    assert_eq!(world.messages(0), ["one"]);
}

#[test]
fn whatever_can_be_asked_can_be_asked_beside_an_event() {
    let mut world = World::new(2);
    world.peers[1].sleeps = true;
    world.send(0, &uuid(1).into(), "go");
    world.flow();
    let now = world.now;
    while let Some((event, mut commands)) = world.peers[1].client.next_event_with_commands() {
        if matches!(event, Event::Message(_)) {
            let watch = commands.watch(now, &Filter::everyone()).unwrap();
            commands.unwatch(now, watch);
            commands.remove(now, "room").unwrap();
            commands.close(now, Close::EndSession);
        }
    }
    world.peers[1].sleeps = false;
    world.settle();
    assert!(world.peers[1].client.is_closed());
    assert_eq!(world.broker.stats().sessions, 1);
}
