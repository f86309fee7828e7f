//! Large payloads are lent to a transport that writes from where they lie: the same bytes, whatever happens on the way.
#![allow(clippy::unwrap_used)]

mod support;

use core::time::Duration;
use e_pigeon_core::{Broker, BrokerConfig, Close, LinkId};
use support::{MAX, World, client_config, take_lent, uuid};

const LARGE: usize = Broker::LARGE;

/// Two clients that can take large payloads, and room for some.
fn world() -> World {
    let mut world =
        World::with(0, BrokerConfig { settle: Duration::from_secs(1), ..BrokerConfig::default() });
    for n in 0..2 {
        let mut config = client_config(n);
        config.max_payload = 64 * 1024;
        (config.outbox_bytes, config.inbox_bytes) = (1 << 20, 1 << 20);
        world.join(config, "a");
    }
    world.settle();
    world
}

/// Payloads that can be told from each other everywhere.
fn text(length: usize) -> String {
    (0..length).map(|at| char::from(b'a' + (at * length % 25) as u8)).collect()
}

/// Hands messages of these lengths to the broker, for the other client.
fn send(world: &mut World, lengths: &[usize]) {
    for &length in lengths {
        world.send(0, &uuid(1).into(), &text(length));
    }
    world.up(0, MAX);
}

fn link(world: &World) -> LinkId {
    world.peers[1].link.unwrap()
}

/// Writes up to where a payload is lent; returns how much of it there is.
fn to_the_payload(world: &mut World) -> usize {
    let (link, mut out) = (link(world), [0; 4_096]);
    while world.broker.transmit_slice(link).is_empty()
        && let Ok(written @ 1..) = world.broker.poll_transmit(world.now, link, &mut out)
    {
        world.peers[1].down.extend_from_slice(&out[..written]);
    }
    world.broker.transmit_slice(link).len()
}

/// Takes so much of the payload that is lent.
fn take(world: &mut World, count: usize) {
    let (link, mut out) = (link(world), vec![0; count]);
    assert_eq!(take_lent(&mut world.broker, world.now, link, &mut out), count);
    world.peers[1].down.extend(out);
}

#[test]
fn lent_or_copied_in_pieces_of_any_size_the_bytes_are_the_same() {
    let lengths = [10, LARGE, 0, 20, LARGE - 1, 64 * 1024, LARGE + 1, 30];
    let written = |size: usize, lent: bool| {
        let mut world = world();
        send(&mut world, &lengths);
        let (link, mut out, mut all, mut lends) = (link(&world), vec![0; size], Vec::new(), 0);
        loop {
            let mut count = if lent { take_lent(&mut world.broker, world.now, link, &mut out) } else { 0 };
            lends += count;
            if count == 0 {
                count = world.broker.poll_transmit(world.now, link, &mut out).unwrap();
            }
            if count == 0 {
                return (all, lends);
            }
            all.extend_from_slice(&out[..count]);
        }
    };
    let (whole, _) = written(1 << 20, false);
    assert!(whole.len() > lengths.iter().sum());
    for size in [1 << 20, 65_536, 40_000, 4_096, 777, 50] {
        assert!(written(size, false).0 == whole, "copied in pieces of {size}");
        let (all, lends) = written(size, true);
        assert!(all == whole, "lent in pieces of {size}");
        assert!(lends >= 2 * LARGE + 64 * 1024, "large payloads are lent with pieces of {size}: {lends}");
    }
}

#[test]
fn it_stops_in_front_of_a_large_payload_and_of_no_other() {
    let mut world = world();
    send(&mut world, &[10, LARGE - 1, LARGE]);
    let (link, mut out) = (link(&world), vec![0; 1 << 20]);
    let written = world.broker.poll_transmit(world.now, link, &mut out).unwrap();
    assert!((LARGE + 9..LARGE + 200).contains(&written), "two, and the head of the third: {written}");
    assert_eq!(world.broker.transmit_slice(link), text(LARGE).as_bytes());
    assert_eq!(
        world.broker.poll_transmit(world.now, link, &mut out),
        Ok(LARGE),
        "to who does not ask for it"
    );
    assert!(world.broker.transmit_slice(link).is_empty());
    assert_eq!(world.broker.poll_transmit(world.now, link, &mut out), Ok(0));
}

#[test]
fn wrong_counts_and_links_do_no_harm() {
    let mut world = world();
    let (link, now) = (link(&world), world.now);
    // Nothing is lent, now and after the next.
    world.broker.handle_transmitted(now, link, 5);
    send(&mut world, &[LARGE, 7]);
    world.broker.handle_transmitted(now, link, 5);
    assert_eq!(to_the_payload(&mut world), LARGE);
    world.broker.handle_transmitted(now, link, 0);
    assert_eq!(world.broker.transmit_slice(link).len(), LARGE);
    // The whole of it, by the word of the transport, and not a byte of the next message.
    world.peers[1].down.extend_from_slice(text(LARGE).as_bytes());
    world.broker.handle_transmitted(now, link, MAX);
    world.settle();
    assert_eq!(world.messages(1), [text(LARGE), text(7)]);
    world.cut(1);
    assert!(world.broker.transmit_slice(link).is_empty());
    world.broker.handle_transmitted(now, link, 1);
}

#[test]
fn a_head_that_is_cut_lends_nothing() {
    let mut world = world();
    send(&mut world, &[LARGE]);
    let (link, mut out) = (link(&world), [0; 2]);
    assert_eq!(world.broker.poll_transmit(world.now, link, &mut out), Ok(2));
    world.peers[1].down.extend_from_slice(&out);
    assert!(world.broker.transmit_slice(link).is_empty());
    world.broker.handle_transmitted(world.now, link, 9);
    world.settle();
    assert_eq!(world.messages(1), [text(LARGE)]);
}

#[test]
fn cut_in_the_middle_it_comes_once_on_the_next_link() {
    let mut world = world();
    let id = world.send(0, &uuid(1).into(), &text(LARGE));
    world.up(0, MAX);
    assert_eq!(to_the_payload(&mut world), LARGE);
    take(&mut world, 1_000);
    world.down(1, 500);
    world.cut(1);
    world.pass(Duration::from_secs(5));
    assert_eq!(world.messages(1), [text(LARGE)]);
    assert_eq!(world.outcome(0, id), Some((1, 1)));
}

#[test]
fn one_that_expires_while_it_is_lent_is_lent_whole() {
    let mut world = world();
    let id = world.send_for(0, &uuid(1).into(), &text(LARGE), Duration::from_secs(2));
    world.up(0, MAX);
    assert_eq!(to_the_payload(&mut world), LARGE);
    take(&mut world, 1_000);
    let (link, end) = (link(&world), world.now + Duration::from_secs(3));
    while let Some(due) = world.broker.poll_timeout().filter(|&due| due <= end) {
        world.now = world.now.max(due);
        world.broker.handle_timeout(world.now);
        world.peers[0].client.handle_timeout(world.now);
    }
    world.now = end;
    assert_eq!(world.broker.transmit_slice(link).len(), LARGE - 1_000);
    take(&mut world, LARGE - 1_000);
    world.settle();
    assert_eq!(world.messages(1), [text(LARGE)]);
    assert!(matches!(world.outcome(0, id), Some((0 | 1, 1))));
    assert_eq!(world.broker.stats().payload_bytes, 0);
}

#[test]
fn a_link_that_is_ended_lends_nothing() {
    let mut world = world();
    send(&mut world, &[LARGE]);
    assert_eq!(to_the_payload(&mut world), LARGE);
    let link = link(&world);
    assert!(world.broker.handle_input(world.now, link, &[1, 0xff]).is_ok());
    assert!(world.broker.transmit_slice(link).is_empty());
    assert_eq!(
        world.broker.poll_transmit(world.now, link, &mut [0; 64]),
        Ok(0),
        "nothing in the middle of a frame"
    );
}

#[test]
fn a_client_that_leaves_in_the_middle_has_its_farewell_behind_the_payload() {
    let mut world = world();
    send(&mut world, &[LARGE]);
    assert_eq!(to_the_payload(&mut world), LARGE);
    world.close(1, Close::Leave);
    world.up(1, MAX);
    assert_eq!(world.broker.transmit_slice(link(&world)).len(), LARGE);
    take(&mut world, LARGE);
    world.settle();
    assert!(world.peers[1].client.is_closed());
}

#[test]
fn what_was_lent_is_a_sign_of_life() {
    let mut world = world();
    send(&mut world, &[LARGE]);
    assert_eq!(to_the_payload(&mut world), LARGE);
    let (link, mut out) = (link(&world), vec![0; LARGE]);
    let before = world.now;
    world.now = before + Duration::from_secs(9);
    take_lent(&mut world.broker, world.now, link, &mut out);
    // A ping would be due about ten seconds after the head.
    world.now = before + Duration::from_secs(12);
    world.broker.handle_timeout(world.now);
    assert_eq!(world.broker.poll_transmit(world.now, link, &mut out), Ok(0));
}
