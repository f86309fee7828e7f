//! A ping is for where nothing else is to be said, whatever the size of the buffer.

use crate::support::{World, uuid};
use core::time::Duration;
use e_pigeon_core::{Message, Value};

/// The kinds of the frames in some bytes.
fn kinds(mut bytes: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let Some(extent) = e_pigeon_core::wire::frame::extent(bytes, 1 << 20).unwrap() {
        kinds.push(bytes[extent.header]);
        bytes = &bytes[extent.total()..];
    }
    kinds
}

/// The keep-alive of the broker that a world has.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

#[test]
fn a_client_that_has_something_to_say_does_not_ping_in_a_buffer_of_any_size() {
    for size in [1, 4_096] {
        let mut world = World::new(1);
        world.now = world.now + KEEP_ALIVE;
        let now = world.now;
        let client = &mut world.peers[0].client;
        client.handle_timeout(now);
        client.set(now, "mood", Value::Str("fine")).unwrap();
        let (mut bytes, mut out) = (vec![], vec![0; size]);
        while let Ok(written @ 1..) = client.poll_transmit(now, &mut out) {
            bytes.extend_from_slice(&out[..written]);
        }
        assert_eq!(kinds(&bytes), [0x18], "in a buffer of {size}");
    }
}

#[test]
fn a_broker_that_has_something_to_say_does_not_ping_in_a_buffer_of_any_size() {
    for size in [1, 4_096] {
        let mut world = World::new(1);
        // So that the client's message comes when the broker has been silent for long enough.
        world.now = world.now + KEEP_ALIVE;
        let now = world.now;
        world.broker.handle_timeout(now);
        let to = uuid(0).into();
        world.peers[0].client.send(now, &Message::new(&to, b"coo")).unwrap();
        world.up(0, usize::MAX);
        let link = world.peers[0].link.unwrap();
        let (mut bytes, mut out) = (vec![], vec![0; size]);
        while let Ok(written @ 1..) = world.broker.poll_transmit(now, link, &mut out) {
            bytes.extend_from_slice(&out[..written]);
        }
        assert_eq!(kinds(&bytes), [0x06, 0x21 | 0x08], "in a buffer of {size}");
    }
}
