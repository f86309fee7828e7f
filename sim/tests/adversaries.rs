//! Programs that attack, beside clients that do not: what is promised to these holds, and they get on.
#![allow(clippy::unwrap_used)]

use e_pigeon_sim::{BUDGET, Flood, LEAST, Path, Send, Setup, Step, To, World, ms};

/// A world in which everybody is welcomed; the first three are in the rooms 0, 1 and 2.
fn world(clients: usize) -> World {
    world_of(&Setup::new(clients))
}

fn world_of(setup: &Setup) -> World {
    let mut world = World::new(setup).unwrap();
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

/// Three links attack, none of them stops before it has done all that it wants, and an honest one has its turn all the time: that
/// the broker takes something of each link in two turns of all is checked while the world flows.
#[test]
fn floods_of_every_kind_keep_nobody_from_getting_on() {
    use Flood::{AnyOf, Decline, Hello, Parked, Set, Silent, Watch};
    for (what, units) in
        [(Hello, 64), (Watch, 64), (Set, 32), (Decline, 64), (AnyOf, 2), (Parked, 20), (Silent, 0)]
    {
        for budget in [LEAST, 1_000, BUDGET] {
            let mut setup = Setup::new(4);
            setup.budget = budget;
            let mut world = world_of(&setup);
            apply(&mut world, [Step::Watch(3, To::Everyone), Step::Flow]);
            for _ in 0..5 {
                let before = world.figures().work;
                apply(&mut world, (0..3).map(|stranger| Step::Flood { stranger, what, count: 1_000 }));
                gets_on(&mut world, 1, 2, 10);
                let work = world.figures().work - before;
                assert!(work > 3 * 1_000 * units, "{what:?} is no flood: {work} units");
            }
            world.heal().unwrap();
        }
    }
}

/// What strangers have of the places of messages that wait are their shares, and the others are for the others.
#[test]
fn messages_of_strangers_that_wait_leave_the_others_their_places() {
    let mut setup = Setup::new(4);
    (setup.broker.sender_waiting, setup.broker.max_parked) = (20, 100);
    let mut world = world_of(&setup);
    let floods = || (0..3).map(|stranger| Step::Flood { stranger, what: Flood::Parked, count: 1_000 });
    apply(&mut world, floods().chain([Step::Flow]));
    assert_eq!(world.broker().stats().waiting, 60, "as many as three shares are");
    let sends = |from, count| (0..count).map(move |_| Step::Send(Send::new(from, To::Client(9))));
    apply(&mut world, sends(0, 20).chain(sends(1, 20)).chain([Step::Flow]));
    assert_eq!(world.broker().stats().waiting, 100, "none of them was refused");
    apply(&mut world, sends(0, 1).chain([Step::Flow]));
    assert!(world.coverage().count(Path::SenderWaiting) > 0);
    world.heal().unwrap();
}

/// All places for links are taken by connections that say nothing: a client that comes gets one in two seconds.
#[test]
fn connections_that_say_nothing_lock_nobody_out() {
    let mut setup = Setup::new(4);
    setup.broker.max_links = 8;
    setup.clients[3].reconnect_max = ms(100);
    let mut world = World::new(&setup).unwrap();
    apply(&mut world, [Step::Unreachable(3), Step::Flow]);
    let floods = || (0..3).map(|stranger| Step::Flood { stranger, what: Flood::Silent, count: 100 });
    apply(&mut world, floods().chain([Step::Flow, Step::Reachable(3), Step::Pass(ms(1_900))]));
    assert!(!world.client(3).unwrap().is_established(), "they may still be about to say hello");
    apply(&mut world, floods().chain([Step::Pass(ms(300))]));
    assert!(world.client(3).unwrap().is_established());
    assert!(world.coverage().count(Path::MadeWay) > 0);
    world.heal().unwrap();
}
