//! Payloads that are values.
#![allow(clippy::unwrap_used)]

mod support;

use core::cell::Cell;
use e_pigeon_core::{DecodeError, Event, Message, SendAsError, SendError};
use serde::{Deserialize, Serialize, Serializer};
use support::{World, group};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Reading<'a> {
    sensor: &'a str,
    values: Vec<i32>,
    note: Option<String>,
}

#[test]
fn a_value_arrives_as_it_was_sent_whatever_its_size() {
    let mut world = World::new(2);
    world.peers[1].sleeps = true;
    for size in [0, 1, 10, 23, 24, 100, 500] {
        let sent = Reading { sensor: "roof", values: (0..size).collect(), note: Some("n".repeat(70)) };
        let (now, to) = (world.now, group("a").exclude_self());
        let id = world.peers[0].client.send_as(now, &Message::to(&to).value(&sent)).unwrap();
        world.flow();
        let Some(Event::Message(message)) = world.peers[1].client.poll_event() else { panic!("no message") };
        assert_eq!(message.decode::<Reading<'_>>(), Ok(sent));
        assert_eq!(message.decode::<u8>(), Err(DecodeError), "something follows");
        assert!(world.peers[1].client.poll_event().is_none());
        world.flow();
        assert_eq!(world.outcome(0, id), Some((1, 1)));
    }
}

#[test]
fn what_cannot_be_sent_changes_nothing() {
    /// Is another one each time it is looked at.
    struct Fickle(Cell<u8>, bool);
    impl Serialize for Fickle {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let turn = self.0.replace(self.0.get() + 1);
            match (turn % 2, self.1) {
                (0, true) => serializer.serialize_u8(1),
                (_, true) => serializer.serialize_str("longer"),
                (0, false) => serializer.serialize_str("longer"),
                (_, false) => serializer.serialize_u8(1),
            }
        }
    }
    struct Broken;
    impl Serialize for Broken {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("broken"))
        }
    }
    let mut world = World::new(2);
    let (now, to) = (world.now, group("a"));
    for _ in 0..10_000 {
        let client = &mut world.peers[0].client;
        for grows in [true, false] {
            let fickle = Fickle(Cell::new(0), grows);
            let refused = client.send_as(now, &Message::to(&to).value(&fickle));
            assert_eq!(refused, Err(SendAsError::Value));
        }
        assert_eq!(client.send_as(now, &Message::to(&to).value(&Broken)), Err(SendAsError::Value));
    }
    let large = "x".repeat(5_000);
    let refused = world.peers[0].client.send_as(now, &Message::to(&to).value(&large.as_str()));
    assert_eq!(refused, Err(SendAsError::Send(SendError::TooLarge { max: 4_096 })));
    // All of the outbox is still free, and the ids go on from the beginning.
    assert_eq!(world.send(0, &to, "one").0, 1);
    world.settle();
    assert_eq!(world.messages(1), ["one"]);
    let sent = (0..1_000).filter(|_| {
        let now = world.now;
        world.peers[0].client.send_as(now, &Message::to(&to).value(&7_u8)).is_ok()
    });
    assert_eq!(sent.count(), 256);
}
