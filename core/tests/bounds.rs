//! A broker at all its limits needs no more memory than its config says, and gives it back.
#![allow(clippy::unwrap_used)]

mod support;

use core::time::Duration;
use e_pigeon_core::{BrokerConfig, Destination, Filter, Message, Value};
use support::counting::{Counting, live};
use support::{World, client_config, group, uuid};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn small() -> BrokerConfig {
    BrokerConfig::new(0)
        .max_links(8)
        .max_sessions(8)
        .max_payload(1 << 10)
        .max_messages(256)
        .max_message_bytes(128 << 10)
        .max_held(64)
        .queue_messages(64)
        .queue_bytes(32 << 10)
        .window_messages(16)
        .window_bytes(16 << 10)
        .receipt_backlog(16)
        .max_watches(2)
        .watch_backlog(16)
        .settle(Duration::ZERO)
}

/// As on a microcontroller, where what is small is most of it.
fn tiny() -> BrokerConfig {
    small()
        .max_attributes(4)
        .max_payload(64)
        .destination_bytes(64)
        .destination_slots(1)
        .max_messages(8)
        .max_message_bytes(384)
        .max_held(2)
        .queue_messages(4)
        .queue_bytes(256)
        .window_messages(2)
        .window_bytes(128)
        .receipt_backlog(1)
        .max_watches(0)
        .watch_backlog(1)
        .reorder_bytes(0)
        .max_lossy_links(0)
}

// One after the other: what is in use is counted for all threads.
#[test]
fn a_broker_at_its_limits_needs_no_more_than_it_says() {
    for (config, waiting, useful) in [(small(), 64, 20), (tiny(), 2, 8)] {
        fill(config, waiting, useful);
    }
}

/// Fills it until so many messages wait. What it says must be more than it comes to need, and less than so many times that.
fn fill(config: BrokerConfig, waiting: u64, useful: u64) {
    let before = live();
    let broker = e_pigeon_core::Broker::new(config.clone(), 1).unwrap();
    let empty = live() - before;
    let mut world = World::with(0, config.clone());
    world.broker = broker;
    // The clients have what they ever need before anything is measured.
    for n in 0..8 {
        let client = world.join(client_config(n), "a");
        for key in 1..config.max_attributes {
            let now = world.now;
            world.peers[client].client.set(now, &format!("key-{key}"), Value::Int(n as i64)).unwrap();
        }
        world.peers[client].log.accepted.reserve(4_096);
        world.peers[client].up.reserve(64 << 10);
        world.peers[client].down.reserve(64 << 10);
    }
    let base = live() - empty;
    world.settle();
    for peer in &mut world.peers {
        peer.sleeps = true;
        for filter in [Filter::everyone(), Filter::all_of(&[("room", Value::Str("a"))]).unwrap()] {
            peer.client.watch(world.now, &filter).unwrap();
        }
    }
    // Queues, parked messages and receipts, until the outboxes of all clients are full.
    let mut most = 0;
    for round in 0..300_usize {
        let to: Destination = match round % 4 {
            0 => group("a"),
            1 => Filter::everyone().into(),
            2 => uuid(100 + round).into(),
            _ => group(&format!("nobody-{round}")),
        };
        for n in 0..8 {
            let now = world.now;
            let _ = world.peers[n].client.send(now, &Message::new(&to, &[n as u8; 200][..round % 200]));
        }
        world.flow();
        most = most.max(live() - base);
    }
    let stats = world.broker.stats();
    assert!(stats.waiting == waiting && stats.answered_by_reason[3] > 0, "at its limits: {stats:?}");
    let bound = config.worst_case_bytes();
    let most = u64::try_from(most).unwrap();
    assert!(most <= bound, "{most} bytes in use, {bound} were said to be the most");
    println!("{most} bytes in use, {bound} were said to be the most");
    assert!(most * useful > bound, "{bound} is no useful bound for {most}");
}
