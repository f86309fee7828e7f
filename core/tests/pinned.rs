//! Nothing that has ended, and nobody who does not read, holds what belongs to others.
#![allow(clippy::unwrap_used)]

mod support;

use core::time::Duration;
use e_pigeon_core::wire::control::{Control, Hello, Known};
use e_pigeon_core::wire::item::{Deliver, DownItem, Origin, UpItem};
use e_pigeon_core::wire::window::Window;
use e_pigeon_core::{
    AttributesRef, BrokerConfig, Client, Destination, Event, Filter, Instant, LinkId, RefusalReason,
};
use support::raw::{Raw, WIDE, cpu, frame, hello, message, message_for, welcome};
use support::{World, client_config, make, uuid};

/// A client that was welcomed, and what it has to say.
fn welcomed() -> (Client<Vec<u8>>, Instant) {
    let (mut client, now) = (make(client_config(1)), Instant::from_micros(1));
    client.handle_connected(now);
    said(&mut client, now);
    client.handle_input(now, &welcome());
    (client, now)
}

fn said(client: &mut Client<Vec<u8>>, now: Instant) -> Vec<u8> {
    let (mut all, mut out) = (Vec::new(), [0; 4096]);
    while let Ok(written @ 1..) = client.poll_transmit(now, &mut out) {
        all.extend_from_slice(&out[..written]);
    }
    all
}

fn delivery(id_step: i64) -> Vec<u8> {
    let define = Some(Origin { uuid: [9; 16], boot: 1 });
    let deliver =
        Deliver { alias: 0, define, id_step, retry: None, late: false, direct: true, payload: b"coo" };
    frame(|w| DownItem::Deliver(deliver).write(w))
}

#[test]
fn core_p1_a_client_takes_void_for_as_many_items() {
    let (mut client, now) = welcomed();
    let input = [
        delivery(1),
        frame(|w| DownItem::Void(1_000).write(w)),
        delivery(2),
        frame(|w| DownItem::Void(u32::MAX).write(w)),
    ];
    client.handle_input(now, &input.concat());
    assert!(client.is_established());
    // The first message waits for the application, and so does the acknowledgement of what came after it.
    assert_eq!(said(&mut client, now), []);
    let mut messages = 0;
    while messages < 2 {
        messages += u32::from(matches!(client.poll_event().unwrap(), Event::Message(_)));
    }
    // That the second is asked for takes the first.
    assert_eq!(said(&mut client, now), frame(|w| Control::Ack(1_001).write(w)));
    assert_eq!(client.poll_event(), None, "no event for what is void");
    let rest = 1 + u64::from(u32::MAX);
    assert_eq!(said(&mut client, now), frame(|w| Control::Ack(rest).write(w)));
}

#[test]
fn core_p1_a_broker_refuses_void_from_a_client() {
    let void = frame(|w| DownItem::Void(1).write(w));
    assert!(UpItem::read(void[1], &mut e_pigeon_core::codec::Reader::new(&void[2..])).is_err());
}

fn unsettled() -> BrokerConfig {
    BrokerConfig::new(0).settle(Duration::ZERO)
}

/// Lets time pass at a broker alone, with all that is due.
fn pass(raw: &mut Raw, duration: Duration) {
    raw.now = raw.now + duration;
    while raw.broker.poll_timeout().is_some_and(|due| due <= raw.now) {
        raw.broker.handle_timeout(raw.now);
    }
    raw.drain();
}

/// What a client of session 1 says when it is back, and has so much.
fn back(raw: &mut Raw, received: u64, acknowledged: u64) -> LinkId {
    let link = raw.link();
    let epoch = 1_u64.to_le_bytes();
    let known = Known { epoch, session: 1, received, acknowledged, window: WIDE };
    raw.put(link, &hello(0, 2, Some(known), AttributesRef::EMPTY));
    link
}

/// The frame at the front of a stream, and what follows.
fn split_frame(bytes: &[u8]) -> (&[u8], &[u8]) {
    bytes.split_at(1 + usize::from(bytes[0]))
}

/// Sends so many messages to client 0, of that many bytes.
fn send(raw: &mut Raw, from: LinkId, count: usize, ms: u32, bytes: usize) {
    let to = Destination::from(uuid(0));
    let payload = vec![7; bytes];
    for n in 0..count {
        raw.put_all(from, &message_for((n == 0).then_some(&to), 1, None, ms, &payload));
        if n % 1_000 == 999 {
            raw.swallow(from);
            pass(raw, Duration::from_millis(20));
        }
    }
}

#[test]
fn core_p1_applications_that_sleep_take_no_places_of_others() {
    let config = BrokerConfig::new(0).max_messages(1_000).settle(Duration::from_millis(1));
    let mut world = World::with(7, config);
    for n in 0..4 {
        world.peers[n].sleeps = true;
    }
    for round in 0..256 {
        for n in 0..4 {
            world.send_for(5, &Destination::from(uuid(n)), "x", Duration::from_secs(1));
        }
        world.flow();
        if round % 32 == 31 {
            world.pass(Duration::from_millis(1_100));
        }
    }
    world.pass(Duration::from_secs(3));
    let stats = world.broker.stats();
    assert_eq!((stats.open, stats.payload_bytes), (0, 0), "what has ended gives its payload back: {stats:?}");
    let id = world.send(5, &Destination::from(uuid(6)), "hello");
    world.pass(Duration::from_secs(1));
    assert_eq!(world.outcome(5, id), Some((1, 1)), "{:?}", world.peers[5].log.finals.get(&id.0));
    // Those that sleep have it all when they wake, and go on.
    for n in 0..4 {
        world.peers[n].sleeps = false;
    }
    world.flow();
    let id = world.send(5, &Destination::from(uuid(0)), "good morning");
    world.pass(Duration::from_secs(1));
    assert_eq!(world.outcome(5, id), Some((1, 1)));
}

#[test]
fn core_p1_clients_that_do_not_read_hold_no_records_of_what_has_ended() {
    let mut raw = Raw::new(unsettled().max_messages(8_192));
    let readers: Vec<LinkId> = (1..=16).map(|n| raw.up(n, 1)).collect();
    let from = raw.up(0, 1);
    for (n, &reader) in readers.iter().enumerate() {
        let to = Destination::from(uuid(n + 1));
        for k in 0..4_096 {
            raw.put_all(from, &message_for((k == 0).then_some(&to), 1, None, 5, b"coo"));
        }
        // Written, and never acknowledged.
        raw.swallow(reader);
        raw.swallow(from);
        pass(&mut raw, Duration::from_millis(20));
        let stats = raw.broker.stats();
        assert_eq!((stats.open, stats.payload_bytes), (0, 0));
        assert!(stats.kept <= 4_096, "{} records of ended messages", stats.kept);
        raw.swallow(from);
    }
    assert_eq!(raw.broker.stats().answered_by_reason[RefusalReason::BrokerFull as usize - 1], 0);
}

#[test]
fn core_p1_a_thousand_void_deliveries_cost_4_bytes() {
    let mut raw = Raw::new(unsettled());
    let (reader, from) = (raw.up(0, 1), raw.up(1, 1));
    send(&mut raw, from, 1_000, 50, 100);
    assert!(raw.swallow(reader).len() > 100_000);
    raw.broker.handle_disconnected(raw.now, reader);
    pass(&mut raw, Duration::from_secs(1));
    assert_eq!(raw.broker.stats().payload_bytes, 0);
    // The client has nothing of it: numbers have no gaps, and the next message has number 1,001.
    let reader = back(&mut raw, 0, 0);
    send(&mut raw, from, 1, 10_000, 2);
    let said = raw.swallow(reader);
    let (welcome, rest) = split_frame(&said);
    assert_eq!(welcome[1], 2);
    let (void, rest) = split_frame(rest);
    assert_eq!(void, [3, 0x34, 0xe8, 0x07], "4 bytes for a thousand");
    assert!(rest[1] & 0xf0 == 0x20 && split_frame(rest).1.is_empty(), "{rest:?}");
    raw.put(reader, &frame(|w| Control::Ack(1_001).write(w)));
    let stats = raw.broker.stats();
    assert_eq!((stats.connected, stats.kept, stats.delivered, stats.expired), (2, 0, 1, 1_000));
}

#[test]
fn core_p1_a_run_of_void_deliveries_is_cut_where_the_client_stands() {
    let mut raw = Raw::new(unsettled());
    let (reader, from) = (raw.up(0, 1), raw.up(1, 1));
    // Two runs of void ones, and between them one that is not.
    send(&mut raw, from, 1_500, 50, 0);
    send(&mut raw, from, 1, 60_000, 0);
    send(&mut raw, from, 1_500, 50, 0);
    raw.swallow(reader);
    raw.broker.handle_disconnected(raw.now, reader);
    pass(&mut raw, Duration::from_secs(1));
    let reader = back(&mut raw, 1_000, 400);
    let said = raw.swallow(reader);
    let (_, rest) = split_frame(&said);
    let (void, rest) = split_frame(rest);
    assert_eq!(void, frame(|w| DownItem::Void(500).write(w)));
    let (deliver, rest) = split_frame(rest);
    assert!(deliver[1] & 0xf0 == 0x20, "{deliver:?}");
    assert_eq!(rest, frame(|w| DownItem::Void(1_500).write(w)));
    // In the middle of runs, and all of the rest.
    for more in [600, 500, 1, 700, 800] {
        raw.put(reader, &frame(|w| Control::Ack(more).write(w)));
        assert_eq!(raw.broker.stats().connected, 2);
    }
    assert_eq!((raw.broker.stats().kept, raw.broker.stats().delivered), (0, 1));
    raw.put(reader, &frame(|w| Control::Ack(1).write(w)));
    assert_eq!(raw.broker.stats().connected, 1, "more than there were");
}

#[test]
fn core_p1_void_deliveries_keep_their_place_in_the_window() {
    let mut raw = Raw::new(unsettled());
    let (reader, from) = (raw.link(), raw.up(1, 1));
    let window = Window { messages: 2_000, bytes: 1 << 20 };
    let hello = Hello {
        uuid: *uuid(0).as_bytes(),
        secret: [0; 16],
        boot: 5_u64.to_le_bytes(),
        link: 1,
        known: None,
        window,
        max_payload: 1 << 12,
        aliases: 64,
        receives: true,
        presence: 0,
    };
    raw.put(reader, &frame(|w| Control::Hello(hello, AttributesRef::EMPTY).write(w)));
    raw.swallow(reader);
    send(&mut raw, from, 2_000, 50, 10);
    raw.swallow(reader);
    pass(&mut raw, Duration::from_secs(1));
    send(&mut raw, from, 3, 60_000, 10);
    assert_eq!(raw.swallow(reader), [], "the client may have 2,000 that it has not acknowledged");
    for _ in 0..2 {
        raw.put(reader, &frame(|w| Control::Ack(1).write(w)));
        let said = raw.swallow(reader);
        assert!(split_frame(&said).1.is_empty(), "one place, one message: {said:?}");
    }
}

#[test]
fn core_p1_void_deliveries_are_joined_whatever_window_their_client_gives_meanwhile() {
    let mut raw = Raw::new(unsettled().queue_messages(64).sender_queue(64));
    let (reader, from) = (raw.up(0, 1), raw.up(1, 1));
    let window = |bytes| frame(|w| Control::Window(Window { messages: 1_000, bytes }).write(w));
    send(&mut raw, from, 64, 50, 100);
    raw.swallow(reader);
    // Shut while they end and leave the queue: else each would be a run, and there could be any number of these.
    raw.put(reader, &window(0));
    pass(&mut raw, Duration::from_secs(1));
    send(&mut raw, from, 1, 60_000, 100);
    raw.put(reader, &window(6_400));
    for _ in 0..3 {
        raw.put(reader, &frame(|w| Control::Ack(1).write(w)));
        assert_eq!(
            raw.swallow(reader),
            [],
            "four of them are a sixteenth of the window, and leave it together"
        );
    }
    raw.put(reader, &frame(|w| Control::Ack(1).write(w)));
    assert!(!raw.swallow(reader).is_empty());
}

#[test]
fn core_p1_a_delivery_that_is_half_written_is_finished() {
    let mut raw = Raw::new(unsettled());
    let (reader, from) = (raw.up(0, 1), raw.up(1, 1));
    send(&mut raw, from, 1, 50, 1_000);
    let mut out = [0; 4096];
    assert_eq!(raw.broker.poll_transmit(raw.now, reader, &mut out[..500]), Ok(500));
    pass(&mut raw, Duration::from_secs(1));
    assert_eq!((raw.broker.stats().open, raw.broker.stats().kept), (0, 1));
    let rest = raw.broker.poll_transmit(raw.now, reader, &mut out[500..]).unwrap();
    assert_eq!(out[500 + rest - 600..500 + rest], [7; 600]);
    assert_eq!(raw.broker.stats().payload_bytes, 0, "with its last byte");
    // The same where the rest is never written.
    send(&mut raw, from, 1, 50, 1_000);
    assert_eq!(raw.broker.poll_transmit(raw.now, reader, &mut out[..500]), Ok(500));
    pass(&mut raw, Duration::from_secs(1));
    assert_ne!(raw.broker.stats().payload_bytes, 0);
    raw.broker.handle_disconnected(raw.now, reader);
    assert_eq!(raw.broker.stats().payload_bytes, 0);
}

#[test]
fn core_p1_a_decline_of_what_is_void_counts_as_nothing() {
    let mut raw = Raw::new(unsettled());
    let (reader, from) = (raw.up(0, 1), raw.up(1, 1));
    send(&mut raw, from, 2_000, 50, 0);
    raw.swallow(reader);
    // One that has ended and was not found yet, and two that were.
    pass(&mut raw, Duration::from_secs(1));
    for number in [1, 7, 7] {
        raw.put(reader, &frame(|w| UpItem::Decline(number).write(w)));
        assert_eq!(raw.broker.stats().connected, 2);
    }
    raw.put(reader, &frame(|w| Control::Ack(2_000).write(w)));
    assert_eq!((raw.broker.stats().connected, raw.broker.stats().declined), (2, 0));
    raw.put(reader, &frame(|w| UpItem::Decline(7).write(w)));
    assert_eq!(raw.broker.stats().connected, 1, "it is acknowledged");
}

#[test]
fn core_p6_full_queues_are_not_searched_while_nothing_in_them_can_have_ended() {
    const AWAY: usize = 300;
    let mut raw = Raw::new(unsettled().queue_messages(8_192));
    for n in 1..=AWAY {
        raw.away(n, AttributesRef::EMPTY);
    }
    let from = raw.up(0, 1);
    let everyone = Destination::from(Filter::everyone()).exclude_self();
    let fill = |raw: &mut Raw, count: usize, ms: u32| {
        for n in 0..count {
            raw.put_all(from, &message_for((n == 0).then_some(&everyone), 1, None, ms, b""));
            if n % 100 == 99 {
                raw.swallow(from);
            }
        }
        raw.swallow(from);
    };
    fill(&mut raw, 8_192, 10_000);
    let send_one = |raw: &mut Raw| {
        raw.put(from, &message_for(None, 1, None, 10_000, b""));
        let work = raw.broker.work_of_last_call();
        raw.swallow(from);
        work
    };
    // Each is searched once: 300 times 8,192 entries.
    let searches = (0..1_000).take_while(|_| send_one(&mut raw) > 2 * AWAY as u32).count();
    assert!((60..90).contains(&searches), "{searches} calls");
    let before = raw.broker.stats().refused;
    for _ in 0..40 {
        pass(&mut raw, Duration::from_millis(101));
        let work = send_one(&mut raw);
        assert!(work < 2 * AWAY as u32, "{work} units");
    }
    assert_eq!(raw.broker.stats().refused, before + 40 * AWAY as u64);
    // When they have ended there is room, however few entries of all queues that is.
    pass(&mut raw, Duration::from_secs(10));
    let before = raw.broker.stats().refused;
    fill(&mut raw, 1, 10_000);
    assert_eq!(raw.broker.stats().refused, before);
}

#[test]
fn core_p6_a_full_queue_has_room_when_some_of_it_has_ended() {
    let mut raw = Raw::new(unsettled().queue_messages(4_096));
    raw.away(0, AttributesRef::EMPTY);
    let from = raw.up(1, 1);
    // Far too few for all queues to be gone through.
    send(&mut raw, from, 3_600, 3_600_000, 0);
    send(&mut raw, from, 496, 1_000, 0);
    send(&mut raw, from, 1, 1_000, 0);
    assert_eq!(raw.broker.stats().refused, 1);
    pass(&mut raw, Duration::from_secs(2));
    send(&mut raw, from, 1, 1_000, 0);
    assert_eq!(raw.broker.stats().refused, 1);
}

#[test]
fn core_p7_ended_deliveries_behind_many_numbered_ones_cost_no_more_than_others() {
    let mut raw = Raw::new(unsettled().queue_messages(32_768).sender_queue(u32::MAX));
    let (reader, from) = (raw.up(0, 1), raw.up(1, 1));
    send(&mut raw, from, 16_000, 3_600_000, 0);
    raw.swallow(reader);
    let shut = Window { messages: 0, bytes: 0 };
    raw.put(reader, &frame(|w| Control::Window(shut).write(w)));
    // No more than half of all, so that queues are not gone through.
    send(&mut raw, from, 16_000, 5, 0);
    pass(&mut raw, Duration::from_millis(50));
    assert_eq!((raw.broker.stats().open, raw.broker.stats().kept), (16_000, 32_000));
    raw.put(reader, &frame(|w| Control::Window(WIDE).write(w)));
    let before = cpu();
    assert_eq!(raw.swallow(reader), []);
    let spent = cpu() - before;
    assert!(spent < 30, "{spent} ms");
}

#[test]
fn core_p11_what_has_ended_leaves_the_queues_of_those_who_are_away() {
    let mut raw = Raw::new(unsettled());
    for n in 1..=100 {
        raw.away(n, AttributesRef::EMPTY);
    }
    let from = raw.up(0, 1);
    let everyone = Destination::from(Filter::everyone()).exclude_self();
    for n in 0..4_000 {
        raw.put_all(from, &message_for((n == 0).then_some(&everyone), 1, None, 1, b""));
        if n % 1_000 == 999 {
            pass(&mut raw, Duration::from_millis(20));
            raw.swallow(from);
        }
    }
    pass(&mut raw, Duration::from_millis(20));
    let stats = raw.broker.stats();
    assert_eq!((stats.open, stats.kept), (0, 0), "{stats:?}");
}

#[test]
fn receipts_that_nobody_reads_take_no_memory_of_others() {
    let mut raw = Raw::new(unsettled().max_receipts(1_000));
    let nobody = Destination::from(uuid(99)).only_connected();
    for n in 1..=20 {
        let attacker = raw.up(n, 1);
        for n in 0..2_000 {
            // Every other id, so that no receipt joins the one before.
            raw.put_all(attacker, &message((n == 0).then_some(&nobody), 2, None, b""));
        }
    }
    // Others are refused, those of each sender with one receipt that is to come.
    let receipts = |raw: &Raw| {
        let stats = raw.broker.stats();
        stats.answered - stats.answered_by_reason[RefusalReason::BrokerFull as usize - 1]
    };
    let before = receipts(&raw);
    assert!((1_000..=1_000 + 20 * 17).contains(&before), "{before} messages, each with a receipt of its own");
    let honest = raw.up(30, 1);
    raw.put(honest, &message(Some(&nobody), 1, None, b""));
    assert_eq!(receipts(&raw), before + 1);
    // Their links end, and then their sessions: what is forgotten makes room.
    for _ in 0..2 {
        raw.now = raw.now + Duration::from_secs(3_600);
        raw.broker.handle_timeout(raw.now);
        raw.drain();
    }
    let another = raw.up(31, 1);
    for n in 0..500 {
        raw.put(another, &message((n == 0).then_some(&nobody), 2, None, b""));
    }
    assert_eq!(receipts(&raw), before + 501);
}

#[test]
fn attack_a12_one_sender_cannot_take_all_places_of_those_that_wait() {
    let mut raw = Raw::new(unsettled().max_held(1_000).max_parked(500).sender_waiting(250));
    let nobody = Destination::from(uuid(99));
    let park = |raw: &mut Raw, link: LinkId, count: usize| {
        let before = raw.broker.stats().waiting;
        for n in 0..count {
            raw.put_all(link, &message_for((n == 0).then_some(&nobody), 1, None, u32::MAX, b"coo"));
        }
        raw.broker.stats().waiting - before
    };
    let attacker = raw.up(1, 1);
    assert_eq!(park(&mut raw, attacker, 1_000), 250);
    // That its session ends gives it no more.
    raw.put(attacker, &frame(|w| Control::Goodbye(true).write(w)));
    raw.swallow(attacker);
    raw.broker.handle_disconnected(raw.now, attacker);
    let again = raw.up(1, 1);
    assert_eq!(park(&mut raw, again, 10), 0, "messages of the same boot count on");
    let honest = raw.up(2, 1);
    assert_eq!(park(&mut raw, honest, 10), 10);
}

#[test]
fn attack_a13_one_sender_cannot_fill_the_queue_of_another() {
    let mut raw = Raw::new(unsettled().queue_messages(2_000).sender_queue(1_000));
    raw.away(0, AttributesRef::EMPTY);
    let (attacker, honest) = (raw.up(1, 1), raw.up(2, 1));
    send(&mut raw, attacker, 5_000, 3_600_000, 1);
    assert_eq!(raw.broker.stats().held, 1_000);
    send(&mut raw, honest, 900, 3_600_000, 1);
    assert_eq!((raw.broker.stats().held, raw.broker.stats().refused), (1_900, 4_000));
    // What the owner takes makes room for each as far as its share goes, however it comes and goes.
    let owner = raw.up(0, 2);
    raw.swallow(owner);
    for round in 0..100 {
        raw.put(owner, &frame(|w| Control::Ack(10).write(w)));
        send(&mut raw, attacker, 20, 3_600_000, 1);
        assert_eq!(raw.broker.stats().held, 1_900, "round {round}");
        raw.swallow(owner);
        raw.swallow(attacker);
    }
    raw.put(owner, &frame(|w| Control::Ack(1_850).write(w)));
    send(&mut raw, attacker, 2_000, 3_600_000, 1);
    let held = raw.broker.stats().held;
    assert!((1_000..=1_050).contains(&held), "{held}");
}
