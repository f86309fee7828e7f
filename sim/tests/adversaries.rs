//! Programs that attack, beside clients that do not: what is promised to these holds, and they get on.
#![allow(clippy::unwrap_used)]

use e_pigeon_sim::{Flood, Send, Setup, Step, To, World, ms};

/// A world in which everybody is welcomed; the first three are in the rooms 0, 1 and 2.
fn world(clients: usize) -> World {
    let mut world = World::new(&Setup::new(clients)).unwrap();
    for client in 0..3 {
        world.apply(&Step::Room(client, Some(client))).unwrap();
    }
    world.apply(&Step::Flow).unwrap();
    world
}

fn apply(world: &mut World, steps: impl IntoIterator<Item = Step>) {
    for step in steps {
        world.apply(&step).unwrap();
    }
}

/// A client sends another so many messages, and they are handed on before any time passes.
fn gets_on(world: &mut World, from: usize, to: usize, count: usize) {
    let before = world.figures().messages;
    let sends = (0..count).map(|_| Step::Send(Send::new(from, To::Client(to))));
    apply(world, sends.chain([Step::Flow]));
    assert_eq!(world.figures().messages - before, count as u64);
}

#[test]
fn bursts_of_changes_beside_watchers_keep_nobody_from_getting_on() {
    let mut world = world(5);
    apply(&mut world, (1..5).map(|client| Step::Watch(client, To::Everyone)));
    apply(&mut world, [Step::Flow]);
    for turn in 0..20 {
        let changes = (0..60).map(|n| Step::Room(0, (n % 2 == 0).then_some(turn % 3)));
        apply(&mut world, changes);
        gets_on(&mut world, 1, 2, 10);
    }
    world.heal().unwrap();
}

#[test]
fn messages_for_pairs_that_wait_for_changes_to_and_fro_keep_nobody_from_getting_on() {
    let mut world = world(5);
    let parked = |room| (0..100).map(move |_| Step::Send(Send::new(3, To::RoomAndLevel(room, 1))));
    apply(&mut world, (0..3).flat_map(parked).chain([Step::Flow]));
    assert_eq!(world.broker().stats().waiting, 256, "as many as the outbox takes");
    for turn in 0..20 {
        let to_and_fro = |n: usize| match n % 4 {
            0 => Step::Level(0, Some(2)),
            1 => Step::Room(0, None),
            2 => Step::Level(0, None),
            _ => Step::Room(0, Some((n + turn) % 3)),
        };
        apply(&mut world, (0..60).map(to_and_fro));
        gets_on(&mut world, 1, 2, 10);
    }
    // One of each pair at last, and all that waits for it comes.
    let before = world.figures().messages;
    apply(&mut world, (0..3).map(|client| Step::Level(client, Some(1))).chain([Step::Pass(ms(1_000))]));
    assert!(world.figures().messages - before >= 256);
    world.heal().unwrap();
}

#[test]
fn an_application_that_never_reads_pins_nothing_of_what_has_expired() {
    let mut setup = Setup::new(4);
    setup.clients[0].inbox_messages = 8;
    let mut world = World::new(&setup).unwrap();
    apply(&mut world, [Step::Flow, Step::Sleep(0)]);
    for from in 1..4 {
        let send = Send { live: ms(500), ..Send::new(from, To::Client(0)) };
        apply(&mut world, (0..50).map(|_| Step::Send(send.clone())));
    }
    apply(&mut world, [Step::Pass(ms(1_000))]);
    let stats = world.broker().stats();
    assert_eq!((stats.open, stats.held, stats.payload_bytes), (0, 0, 0), "{stats:?}");
    gets_on(&mut world, 1, 2, 10);
    world.heal().unwrap();
}

#[test]
fn floods_of_every_kind_keep_nobody_from_getting_on() {
    for what in [Flood::Hello, Flood::Watch, Flood::Set, Flood::Decline, Flood::AnyOf, Flood::Parked] {
        let mut world = world(4);
        apply(&mut world, [Step::Watch(3, To::Everyone), Step::Flow]);
        for _ in 0..5 {
            let floods = (0..3).map(|stranger| Step::Flood { stranger, what, count: 1_000 });
            apply(&mut world, floods);
            gets_on(&mut world, 1, 2, 10);
        }
        world.heal().unwrap();
    }
}
