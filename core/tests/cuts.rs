//! A scripted conversation of two clients and a broker, cut at every byte position in either direction, in three ways:
//! it always ends in the same state.
#![allow(clippy::unwrap_used)]

mod support;

use core::time::Duration;
use e_pigeon_core::{Receipt, Value};
use support::{World, client_config, group, uuid};

/// How a connection ends.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// Both ends notice at once.
    Clean,
    /// Only the client notices; the broker finds out when the client is back.
    HalfOpen,
    /// The broker is killed, and an empty one takes its place.
    Killed,
}

/// What must be the same whatever happened on the way.
#[derive(Debug, PartialEq)]
struct Ending {
    messages: Vec<Vec<String>>,
    finals: Vec<Vec<(u64, Receipt)>>,
}

struct Script {
    world: World,
    moved: usize,
    cut_at: Option<(usize, Cut)>,
    cuts: usize,
}

impl Script {
    /// Moves byte by byte until nothing moves; cuts where it is due.
    fn run(&mut self) {
        loop {
            let before = self.moved;
            for n in 0..self.world.peers.len() {
                self.world.connect(n);
                for up in [true, false] {
                    let moved = if up { self.world.up(n, 1) } else { self.world.down(n, 1) };
                    self.moved += moved;
                    if moved == 1 && self.cut_at.is_some_and(|(at, _)| at == self.moved) {
                        let (_, cut) = self.cut_at.take().unwrap();
                        self.cuts += 1;
                        match cut {
                            Cut::Clean => self.world.cut(n),
                            Cut::HalfOpen => self.world.half_open(n),
                            Cut::Killed => self.world.kill_broker(),
                        }
                    }
                }
                self.world.poll(n);
            }
            if before == self.moved {
                return;
            }
        }
    }

    /// The same, with time for whatever wants to happen later.
    fn rest(&mut self) {
        for _ in 0..40 {
            self.run();
            self.world.pass(Duration::from_millis(100));
        }
    }
}

/// The conversation; returns how it ended and how many bytes were moved.
fn conversation(cut_at: Option<(usize, Cut)>) -> (Ending, usize, usize) {
    let mut world = World::with(0, e_pigeon_core::BrokerConfig::new(0).settle(Duration::from_secs(1)));
    world.join(client_config(0), "a");
    world.join(client_config(1), "b");
    let mut script = Script { world, moved: 0, cut_at, cuts: 0 };
    script.run();
    script.world.send(0, &uuid(1).into(), "0: one");
    script.world.send(0, &uuid(1).into(), "0: two");
    script.run();
    let now = script.world.now;
    script.world.send(1, &group("a"), "1: back");
    script.world.peers[1].client.set(now, "mood", Value::Str("fine")).unwrap();
    script.world.send(1, &uuid(0).into(), "1: and forth");
    script.run();
    script.world.send(0, &group("b"), "0: three");
    script.world.send(0, &uuid(0).into(), "0: to myself");
    script.run();
    script.world.send(1, &group("a"), &"1: long ".repeat(60));
    script.rest();
    let moved = script.moved;
    let world = &script.world;
    assert_eq!(world.broker.stats().open, 0, "{cut_at:?}");
    assert_eq!(world.broker.stats().payload_bytes, 0, "{cut_at:?}");
    // A recipient has those of each sender in order; across senders the broker's order depends on who was cut.
    let mut messages: Vec<Vec<String>> = world.peers.iter().map(|peer| peer.log.messages.clone()).collect();
    messages.iter_mut().for_each(|messages| messages.sort_by_key(|text| text.chars().next()));
    let finals = world.peers.iter().map(|p| p.log.finals.iter().map(|(&id, &r)| (id, r)).collect()).collect();
    (Ending { messages, finals }, moved, script.cuts)
}

fn cut_everywhere(cut: Cut) {
    let (expected, total, _) = conversation(None);
    assert!(expected.messages.iter().map(Vec::len).eq([4, 3]) && total > 500, "{expected:?}, {total}");
    for at in 1..=total {
        let (ending, _, cuts) = conversation(Some((at, cut)));
        assert_eq!(cuts, 1, "{cut:?} at byte {at}");
        assert_eq!(ending, expected, "{cut:?} at byte {at} of {total}");
    }
}

/// What a client writes into buffers of that size: messages whose headers have one byte and two, and those in between.
fn written_in_pieces_of(size: usize) -> Vec<u8> {
    let mut world = World::new(1);
    let to = uuid(0).into();
    for length in 0..150 {
        world.send(0, &to, &"x".repeat(length));
    }
    let (client, mut out, mut all) = (&mut world.peers[0].client, vec![0xAA; size], Vec::new());
    while let Ok(written @ 1..) = client.poll_transmit(world.now, &mut out) {
        all.extend_from_slice(&out[..written]);
    }
    all
}

#[test]
fn what_is_written_is_the_same_whatever_the_size_of_the_buffer() {
    let whole = written_in_pieces_of(1 << 16);
    assert!(whole.len() > 150 * 75, "all of them are there");
    for size in (1..300).chain([1_000, 4_095, 4_096]) {
        assert_eq!(written_in_pieces_of(size), whole, "pieces of {size}");
    }
}

#[test]
fn cut_at_every_byte_it_ends_the_same() {
    cut_everywhere(Cut::Clean);
}

#[test]
fn half_open_at_every_byte_it_ends_the_same() {
    cut_everywhere(Cut::HalfOpen);
}

#[test]
fn with_the_broker_killed_at_every_byte_it_ends_the_same() {
    cut_everywhere(Cut::Killed);
}
