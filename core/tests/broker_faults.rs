//! Faults of a broker that were found once, each as the scenario that showed it.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use core::time::Duration;
use e_pigeon_core::wire::control::{Abort, Control, Hello, Known};
use e_pigeon_core::wire::window::Window;
use e_pigeon_core::{
    AbortCode, AttributesRef, BrokerConfig, Client, Destination, Framing, LinkId, Ready, Receipt,
    RefusalReason, TransmitError,
};
use support::raw::{Raw, WIDE, frame, hello, message, message_for};
use support::{World, client_config, make, uuid};

/// What another life of a client has written before it died: its hello, and where it gave up, its last words.
fn dead_boot(world: &World, n: usize, boot: u64, gives_up: bool) -> Vec<u8> {
    let mut config = client_config(n);
    config.boot = boot;
    let mut client: Client<Vec<u8>> = make(config);
    let (mut bytes, mut out) = (Vec::new(), [0; 512]);
    client.handle_connected(world.now);
    let written = client.poll_transmit(world.now, &mut out).unwrap();
    bytes.extend_from_slice(&out[..written]);
    if gives_up {
        client.handle_timeout(world.now + Duration::from_secs(10));
        let written = client.poll_transmit(world.now, &mut out).unwrap();
        assert!(written > 0);
        bytes.extend_from_slice(&out[..written]);
    }
    bytes
}

/// Lets a broker read the hello of a dead boot.
fn read_late(world: &mut World, bytes: &[u8]) -> LinkId {
    let link = world.broker.handle_connected(world.now, 0).unwrap();
    assert_eq!(world.broker.handle_input(world.now, link, bytes), Ok(bytes.len()));
    link
}

fn lives_on(world: &mut World, n: usize, from: usize) {
    let notes = &world.peers[n].log.notes;
    assert!(
        !world.peers[n].client.is_closed() && !notes.iter().any(|note| note.contains("TakenOver")),
        "{notes:?}"
    );
    assert!(world.peers[n].client.is_established(), "{notes:?}");
    let id = world.send(from, &uuid(n).into(), "hello");
    world.settle();
    assert_eq!(world.messages(n), ["hello"]);
    assert_eq!(world.outcome(from, id), Some((1, 1)));
}

#[test]
fn specification_a_hello_of_a_dead_boot_that_is_read_late_does_not_end_the_living_client() {
    for gives_up in [false, true] {
        let mut world = World::new(2);
        let bytes = dead_boot(&world, 1, 555, gives_up);
        let dead = read_late(&mut world, &bytes);
        world.pass(Duration::from_secs(3));
        if !gives_up {
            assert_eq!(world.broker.stats().connected, 2, "nobody knows yet that one is dead");
            world.broker.handle_disconnected(world.now, dead);
            world.pass(Duration::from_secs(5));
        }
        lives_on(&mut world, 1, 0);
    }
}

#[test]
fn a_dead_boot_whose_connection_stays_open_gives_the_session_back_when_it_is_silent_for_too_long() {
    let mut world = World::new(2);
    let bytes = dead_boot(&world, 1, 555, false);
    read_late(&mut world, &bytes);
    world.pass(Duration::from_secs(29));
    assert!(!world.peers[1].client.is_closed());
    world.pass(Duration::from_secs(7));
    lives_on(&mut world, 1, 0);
}

#[test]
fn a_dead_boot_of_before_the_last_is_not_told_apart_and_ends_nobody_either() {
    let mut world = World::new(2);
    world.restart(1, 600);
    world.pass(Duration::from_secs(1));
    // The boot right before, and an older one, in turn.
    for boot in [78, 555, 78] {
        let bytes = dead_boot(&world, 1, boot, false);
        let dead = read_late(&mut world, &bytes);
        world.pass(Duration::from_secs(1));
        world.broker.handle_disconnected(world.now, dead);
        world.pass(Duration::from_secs(6));
    }
    lives_on(&mut world, 1, 0);
}

/// The window of the recipient has room for ten messages and 100 bytes.
fn narrow_recipient(raw: &mut Raw, bytes: u32) -> LinkId {
    let hello = Hello {
        uuid: *uuid(1).as_bytes(),
        secret: [1; 16],
        boot: [5; 8],
        link: 1,
        known: None,
        window: Window { messages: 10, bytes },
        max_payload: 100,
        aliases: 64,
        receives: true,
        presence: 0,
    };
    let link = raw.link();
    raw.put(link, &frame(|w| Control::Hello(hello, AttributesRef::EMPTY).write(w)));
    raw.swallow(link);
    link
}

/// What is written to a link that the broker names by itself, as time passes.
fn write_as_named(raw: &mut Raw, until: Duration, link: LinkId) -> Vec<u8> {
    let end = raw.now + until;
    let mut all = Vec::new();
    loop {
        while let Some(ready) = raw.broker.poll_ready() {
            if ready == Ready::Transmit(link) {
                let mut out = [0; 4096];
                while let Ok(count @ 1..) = raw.broker.poll_transmit(raw.now, link, &mut out) {
                    all.extend_from_slice(&out[..count]);
                }
            }
        }
        match raw.broker.poll_timeout().filter(|&at| at <= end) {
            Some(at) => {
                raw.now = raw.now.max(at);
                raw.broker.handle_timeout(raw.now);
            }
            None => break,
        }
    }
    raw.now = end;
    all
}

#[test]
fn specification_f1_a_head_that_has_ended_does_not_stall_what_is_behind_it() {
    // The head does not fit beside what is not acknowledged; or it can never fit.
    for (window, first) in [(100, Some([b'a'; 60])), (50, None)] {
        let mut raw = Raw::new(BrokerConfig::new(0));
        let to_recipient = narrow_recipient(&mut raw, window);
        let from = raw.up(0, 1);
        let to: Destination = uuid(1).into();
        let (mut define, mut delivered) = (Some(&to), Vec::new());
        let mut put = |raw: &mut Raw, payload: &[u8], ms| {
            let bytes = message_for(define.take(), 1, None, ms, payload);
            assert_eq!(raw.broker.handle_input(raw.now, from, &bytes), Ok(bytes.len()));
        };
        if let Some(first) = first {
            put(&mut raw, &first, 60_000);
            delivered = write_as_named(&mut raw, Duration::from_millis(1), to_recipient);
        }
        put(&mut raw, &[b'b'; 60], 300);
        put(&mut raw, b"cccccccccc", 3_000);
        put(&mut raw, b"dddddddddd", 60_000);
        let has = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).any(|part| part == what);
        delivered.extend(write_as_named(&mut raw, Duration::from_millis(299), to_recipient));
        assert!(!has(&delivered, b"cccccccccc"), "the one before it lives");
        delivered.extend(write_as_named(&mut raw, Duration::from_millis(2), to_recipient));
        assert!(has(&delivered, b"cccccccccc") && has(&delivered, b"dddddddddd"), "both fit now");
        assert!(!has(&delivered, &[b'b'; 60]));
    }
}

#[test]
fn newcomer_17_a_message_that_nobody_ever_matched_was_for_nobody() {
    let mut world = World::new(2);
    let nobody = world.send_for(0, &support::group("z"), "x", Duration::from_millis(50));
    let unknown = world.send_for(0, &uuid(77).into(), "x", Duration::from_millis(50));
    let full = world.send_for(0, &support::group("a").exclude_self(), "x", Duration::from_millis(50));
    world.pass(Duration::from_secs(1));
    let expired = |id| Receipt::ended(id, 0, 0, Some(RefusalReason::Expired));
    assert_eq!(world.peers[0].log.finals[&nobody.0], expired(nobody));
    assert_eq!(world.peers[0].log.finals[&unknown.0], expired(unknown));
    assert_eq!(world.outcome(0, full), Some((1, 1)));
    // What was accepted for somebody stays for so many, also at a broker that knows nobody.
    world.peers[1].sleeps = true;
    let taken = world.send_for(0, &uuid(1).into(), "y", Duration::from_secs(20));
    world.pass(Duration::from_millis(100));
    world.peers[1].reachable = false;
    world.kill_broker();
    world.pass(Duration::from_secs(30));
    assert_eq!(world.outcome(0, taken), Some((0, 1)));
}

#[test]
fn core_p15_a_link_that_goes_on_reading_is_named_once() {
    let mut raw = Raw::new(BrokerConfig::new(0).window_messages(1 << 20));
    let from = raw.up(0, 1);
    let first = message(Some(&uuid(77).into()), 1, None, b"");
    assert_eq!(raw.broker.handle_input(raw.now, from, &first), Ok(first.len()));
    // It is offered more than it takes, over and over, and nobody polls.
    let bytes = message(None, 1, None, b"").repeat(300);
    for _ in 0..100 {
        assert!(raw.broker.handle_input(raw.now, from, &bytes).unwrap() < bytes.len());
    }
    let mut named = Vec::new();
    while let Some(ready) = raw.broker.poll_ready() {
        named.push(ready);
    }
    assert_eq!(named.iter().filter(|&&ready| ready == Ready::Resume(from)).count(), 1, "{named:?}");
    // And again, once it was named.
    assert!(raw.broker.handle_input(raw.now, from, &bytes).unwrap() < bytes.len());
    assert!(core::iter::from_fn(|| raw.broker.poll_ready()).any(|ready| ready == Ready::Resume(from)));
}

#[test]
fn core_p15_links_that_are_gone_leave_the_list_of_ready_ones() {
    let mut raw = Raw::new(BrokerConfig::new(0).max_links(4));
    let lasting = raw.link();
    for _ in 0..10_000 {
        let link = raw.link();
        // There is something to send to it, and it is gone.
        raw.broker.handle_input(raw.now, link, &[1, 0xff]).unwrap();
        raw.broker.handle_disconnected(raw.now, link);
    }
    assert!(raw.broker.poll_ready().is_none());
    raw.broker.handle_disconnected(raw.now, lasting);
}

#[test]
fn core_p13_a_datagram_of_the_broker_that_does_not_fit_waits_for_room() {
    let config = BrokerConfig::new(0);
    let most = config.max_datagram();
    let mut raw = Raw::new(config);
    let link = raw.broker.handle_connected_over(raw.now, 0, Framing::Datagram).unwrap();
    let mut config = client_config(1);
    config.framing = Framing::Datagram;
    let mut client = make(config);
    client.handle_connected(raw.now);
    let mut out = vec![0; most];
    let hello = client.poll_transmit(raw.now, &mut out).unwrap();
    raw.broker.handle_input(raw.now, link, &out[..hello]).unwrap();
    let small = raw.broker.poll_transmit(raw.now, link, &mut [0; 20]);
    assert!(matches!(small, Err(TransmitError::BufferTooSmall(it)) if it.needed > 20), "{small:?}");
    let welcome = raw.broker.poll_transmit(raw.now, link, &mut out).unwrap();
    assert!(welcome > 20);
    client.handle_input(raw.now, &out[..welcome]);
    assert!(client.is_established(), "it came in one piece");
}

#[test]
fn core_p14_a_client_that_takes_less_than_before_gets_nothing_larger() {
    let mut raw = Raw::new(BrokerConfig::new(0));
    let from = raw.up(0, 1);
    let recipient = raw.link();
    raw.put(recipient, &hello(1, 1, None, AttributesRef::EMPTY));
    raw.swallow(recipient);
    raw.put(from, &message(Some(&uuid(1).into()), 1, None, &[b'L'; 500]));
    raw.put(from, &message(None, 1, None, b"small"));
    assert!(raw.swallow(recipient).len() > 500, "both have a number");
    raw.broker.handle_disconnected(raw.now, recipient);
    let known = Known { epoch: 1_u64.to_le_bytes(), session: 2, received: 0, acknowledged: 0, window: WIDE };
    let hello = Hello {
        uuid: *uuid(1).as_bytes(),
        secret: [1; 16],
        boot: 5_u64.to_le_bytes(),
        link: 2,
        known: Some(known),
        window: WIDE,
        max_payload: 100,
        aliases: 64,
        receives: true,
        presence: 0,
    };
    let again = raw.link();
    raw.put(again, &frame(|w| Control::Hello(hello, AttributesRef::EMPTY).write(w)));
    let written = raw.swallow(again);
    assert!(!written.windows(100).any(|part| part == [b'L'; 100]), "too large for it now");
    assert!(written.windows(5).any(|part| part == b"small"), "what is behind it comes");
    // FINAL, id 1, one message, 0 of 1, too large.
    let receipts = raw.swallow(from);
    assert!(
        receipts.windows(6).any(|part| part == [0x31, 1, 1, 0, 1, RefusalReason::TooLarge as u8]),
        "{receipts:?}"
    );
}

#[test]
fn core_p17_an_abort_is_never_answered() {
    let abort = frame(|w| Control::Abort(Abort { code: AbortCode::HandshakeTimeout, detail: 0 }).write(w));
    let mut raw = Raw::new(BrokerConfig::new(0));
    // In place of a hello, and behind one.
    for front in [Vec::new(), hello(1, 1, None, AttributesRef::EMPTY)] {
        let link = raw.link();
        let bytes = [front.as_slice(), &abort].concat();
        assert_eq!(raw.broker.handle_input(raw.now, link, &bytes), Ok(bytes.len()));
        let mut out = [0; 256];
        assert_eq!(raw.broker.poll_transmit(raw.now, link, &mut out), Ok(0));
        let closes =
            core::iter::from_fn(|| raw.broker.poll_ready()).filter(|&ready| ready == Ready::Close(link));
        assert_eq!(closes.count(), 1, "the connection is closed");
        raw.broker.handle_disconnected(raw.now, link);
    }
    assert_eq!((raw.broker.stats().sessions, raw.broker.stats().connected), (1, 0), "away");
}
