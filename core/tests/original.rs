//! The faults of the Node.js original, each as a test that shows what is right.
//!
//! The original released one parked message of many, lost or doubled a message that several keys matched, sent everything again
//! after two seconds without a confirmation, handed out of order what came out of order, forgot everything when it was
//! started again, and was killed by one odd frame. What its list of clients cost is in `roster_traffic.rs`.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod support;

use core::time::Duration;
use std::collections::VecDeque;

use e_pigeon_core::codec::{Reader, Writer};
use e_pigeon_core::wire::frame::extent;
use e_pigeon_core::wire::item::{Deliver, DeliveryPast, DownItem, Origin, UpItem};
use e_pigeon_core::wire::kind;
use e_pigeon_core::{
    AbortCode, AttributesRef, BrokerConfig, Destination, Event, Filter, Instant, MessageId, Past, Ready,
    Value,
};
use support::random::Random;
use support::raw::{Raw, frame, hello, message, welcome};
use support::{MAX, World, client_config, group, make, uuid};

fn numbers(range: core::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("{n}")).collect()
}

#[test]
fn parked_messages_are_released_all_and_in_order() {
    let mut world = World::new(2);
    let admins: Destination = Filter::all_of(&[("role", Value::Str("admin"))]).unwrap().into();
    // For one group, for another, and for a UUID that has not come yet.
    let to = [group("b"), admins, uuid(2).into()];
    let ids: Vec<_> = (0..90).map(|n| world.send(0, &to[n % 3], &format!("{n}"))).collect();
    world.settle();
    assert_eq!(world.broker.stats().waiting, 90);
    let newcomer = world.join(client_config(2), "b");
    world.peers[newcomer].client.set(world.now, "role", Value::Str("admin")).unwrap();
    world.settle();
    assert_eq!(world.messages(newcomer), numbers(0..90));
    assert!(ids.iter().all(|&id| world.outcome(0, id) == Some((1, 1))));

    // The same where somebody begins to match who was there all along.
    let ids: Vec<_> = (90..120).map(|n| world.send(0, &group("c"), &format!("{n}"))).collect();
    world.settle();
    world.peers[1].client.set(world.now, "room", Value::Str("c")).unwrap();
    world.settle();
    assert_eq!(world.messages(1), numbers(90..120));
    assert!(ids.iter().all(|&id| world.outcome(0, id) == Some((1, 1))));
}

#[test]
fn several_matching_keys_deliver_once_and_to_every_match() {
    let mut world = World::new(4);
    let mut set = |n: usize, key, value| {
        world.peers[n].client.set(world.now, key, Value::Str(value)).unwrap();
    };
    // 0: a; 1: a, admin; 2: b, admin; 3: b.
    set(1, "role", "admin");
    set(2, "room", "b");
    set(2, "role", "admin");
    set(3, "room", "b");
    world.settle();
    let pairs = [("room", Value::Str("a")), ("role", Value::Str("admin"))];
    let any = world.send(3, &Filter::any_of(&pairs).unwrap().into(), "any");
    let all = world.send(3, &Filter::all_of(&pairs).unwrap().into(), "all");
    world.settle();
    assert_eq!(world.messages(0), ["any"], "one key of two is enough for any, and not for all");
    assert_eq!(world.messages(1), ["any", "all"], "once each, though both keys match");
    assert_eq!(world.messages(2), ["any"]);
    assert_eq!(world.messages(3), [""; 0]);
    assert_eq!((world.outcome(3, any), world.outcome(3, all)), (Some((3, 3)), Some((1, 1))));
}

#[test]
fn a_lost_confirmation_makes_no_duplicate() {
    let lose = |world: &mut World, n: usize, half_open: bool| {
        if half_open { world.half_open(n) } else { world.cut(n) }
    };
    for half_open in [false, true] {
        let mut world = World::new(2);
        let mut ids = Vec::new();
        for n in 0..20 {
            let id = world.send(0, &uuid(1).into(), &format!("{n}"));
            ids.push(id);
            world.up(0, MAX);
            // It has come, or was taken too, and that is lost on the way.
            world.peers[1].sleeps = n % 3 == 0;
            world.down(1, MAX);
            world.poll(1);
            lose(&mut world, 1, half_open);
            world.pass(Duration::from_secs(3));
            world.peers[1].sleeps = false;
            world.pass(Duration::from_secs(3));
            // The receipt is lost on its way too, or was there and its acknowledgement is lost.
            if n % 2 == 0 {
                world.down(0, MAX);
                world.poll(0);
            }
            lose(&mut world, 0, half_open);
            world.pass(Duration::from_secs(3));
        }
        assert_eq!(world.messages(1), numbers(0..20));
        assert_eq!(world.peers[1].log.repeated, [""; 0]);
        // The log refuses a second final receipt.
        assert!(ids.iter().all(|&id| world.outcome(0, id) == Some((1, 1))));
        assert_eq!(world.broker.stats().taken, 20, "none was taken twice");
    }
}

/// One direction of a connection in which everything needs its time.
#[derive(Default)]
struct Slow {
    under_way: VecDeque<(Instant, Vec<u8>)>,
    said: Vec<u8>,
}

impl Slow {
    fn put(&mut self, arrives: Instant, bytes: &[u8]) {
        self.said.extend_from_slice(bytes);
        self.under_way.push_back((arrives, bytes.to_vec()));
    }

    fn take(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.under_way.pop_front_if(|(arrives, _)| *arrives <= now).map(|(_, bytes)| bytes)
    }

    /// How many frames there were of a kind, whatever their flags.
    fn frames(&self, of: u8) -> usize {
        let (mut rest, mut count) = (&self.said[..], 0);
        while let Some(extent) = extent(rest, 1 << 20).unwrap() {
            count += usize::from(rest[extent.header] & 0xf0 == of);
            rest = &rest[extent.total()..];
        }
        count
    }
}

#[test]
fn slow_links_make_no_duplicates_and_no_resend_storm() {
    const COUNT: usize = 50;
    let delay = Duration::from_millis(2_500);
    let mut world = World::with(0, BrokerConfig::new(0));
    for n in 0..2 {
        world.join(client_config(n), "a");
    }
    let (mut up, mut down) = ([Slow::default(), Slow::default()], [Slow::default(), Slow::default()]);
    let mut ids = Vec::new();
    let mut out = [0; 4096];
    for tick in 0..2_400 {
        world.now = world.now + Duration::from_millis(50);
        let now = world.now;
        world.broker.handle_timeout(now);
        while world.broker.poll_ready().is_some() {}
        if tick % 10 == 0 && ids.len() < COUNT {
            let text = format!("{}", ids.len());
            ids.push(world.send(0, &uuid(1).into(), &text));
        }
        for n in 0..2 {
            world.connect(n);
            let link = world.peers[n].link.unwrap();
            world.peers[n].client.handle_timeout(now);
            while let Some(bytes) = up[n].take(now) {
                world.broker.handle_input(now, link, &bytes).unwrap();
            }
            while let Some(bytes) = down[n].take(now) {
                world.peers[n].client.handle_input(now, &bytes);
            }
            world.poll(n);
            while let Ok(written @ 1..) = world.peers[n].client.poll_transmit(now, &mut out) {
                up[n].put(now + delay, &out[..written]);
            }
            while let Ok(written @ 1..) = world.broker.poll_transmit(now, link, &mut out) {
                down[n].put(now + delay, &out[..written]);
            }
        }
    }
    assert_eq!(world.messages(1), numbers(0..COUNT));
    assert!(ids.iter().all(|&id| world.outcome(0, id) == Some((1, 1))));
    assert_eq!(world.peers[0].log.notes.len() + world.peers[1].log.notes.len(), 4, "two links, all along");
    assert_eq!(
        (up[0].frames(kind::MESSAGE), down[1].frames(kind::DELIVER)),
        (COUNT, COUNT),
        "each went once"
    );
    // Two minutes: handshakes, messages, receipts, acknowledgements, and a sign of life now and then.
    let bytes: usize = up.iter().chain(&down).map(|way| way.said.len()).sum();
    println!("{bytes} bytes for {COUNT} messages on links of {delay:?} each way");
    assert!(bytes < 500 + COUNT * 60, "{bytes} bytes");
}

#[test]
fn a_sender_cannot_bring_ids_out_of_order() {
    let mut raw = Raw::new(BrokerConfig::new(0));
    let recipient = raw.up(1, 1);
    let to: Destination = uuid(1).into();
    let sender = raw.up(0, 1);
    raw.put(sender, &message(Some(&to), 5, None, b"5"));
    assert!(raw.swallow(recipient).ends_with(b"5"));
    // On the next link comes what should have been before it.
    let sender = raw.up(0, 2);
    raw.put(sender, &message(Some(&to), 3, None, b"3"));
    let told = raw.swallow(sender);
    assert_eq!(told[1..3], [kind::ABORT, AbortCode::BadId as u8], "{told:?}");
    assert_eq!(raw.swallow(recipient), [0; 0], "it is not handed on");
    assert!(raw.broker.stats().is_balanced());
}

#[test]
fn a_recipient_keeps_the_order_of_ids_that_come_out_of_order() {
    let now = Instant::from_micros(1);
    let mut client = make(client_config(1));
    client.handle_connected(now);
    let mut out = [0; 4096];
    while client.poll_transmit(now, &mut out).unwrap() > 0 {}
    client.handle_input(now, &welcome());
    let origin = Origin { uuid: *uuid(0).as_bytes(), boot: 7 };
    let mut last = 0;
    // 3 and 2 were sent in an earlier life of the broker, and reach it late.
    for (id, is_retry) in [(1, false), (4, false), (3, true), (2, true), (5, false), (4, true), (6, false)] {
        let deliver = Deliver {
            alias: 0,
            define: (last == 0).then_some(origin),
            id_step: id - last,
            retry: is_retry.then_some(DeliveryPast::Sent),
            late: false,
            direct: true,
            payload: &[b'0' + id as u8],
        };
        client.handle_input(now, &frame(|w| DownItem::Deliver(deliver).write(w)));
        last = id;
    }
    let mut texts = Vec::new();
    while let Some(event) = client.poll_event() {
        if let Event::Message(message) = event {
            texts.push(message.payload.to_vec());
        }
    }
    assert_eq!(texts.concat(), b"1456", "in order, each once");
    // 3 and 2 are declined, so that their sender is told; 4 was had, and is confirmed.
    let written = client.poll_transmit(now, &mut out).unwrap();
    let declined = |bytes: &[u8]| {
        let (mut rest, mut numbers) = (bytes, Vec::new());
        while let Some(extent) = extent(rest, 4096).unwrap() {
            let body = &rest[extent.header..extent.total()];
            if let (kind::DECLINE, Ok(UpItem::Decline(number))) =
                (body[0], UpItem::read(body[0], &mut Reader::new(&body[1..])))
            {
                numbers.push(number);
            }
            rest = &rest[extent.total()..];
        }
        numbers
    };
    assert_eq!(declined(&out[..written]), [3, 4]);
}

#[test]
fn a_restart_of_the_broker_loses_nothing() {
    let mut world = World::new(4);
    world.cut(3);
    world.peers[3].reachable = false;
    // Parked, in the queue of somebody who is away, on its way, and not yet sent.
    let mut ids: Vec<MessageId> = (0..20).map(|n| world.send(0, &group("b"), &format!("{n}"))).collect();
    ids.extend((0..20).map(|n| world.send(0, &uuid(3).into(), &format!("{n}"))));
    world.settle();
    ids.extend((0..20).map(|n| world.send(0, &uuid(1).into(), &format!("{n}"))));
    world.up(0, MAX);
    world.down(1, 100);
    world.kill_broker();
    ids.extend((20..40).map(|n| world.send(0, &uuid(1).into(), &format!("{n}"))));
    // Once more before it has settled, and once more in the middle of what follows.
    world.pass(Duration::from_millis(300));
    world.kill_broker();
    world.pass(Duration::from_secs(3));
    world.kill_broker();
    world.pass(Duration::from_secs(5));
    world.peers[2].client.set(world.now, "room", Value::Str("b")).unwrap();
    world.peers[3].reachable = true;
    world.pass(Duration::from_secs(20));
    assert_eq!(world.messages(1), numbers(0..40));
    assert_eq!(world.messages(2), numbers(0..20));
    assert_eq!(world.messages(3), numbers(0..20));
    assert!(ids.iter().all(|&id| world.outcome(0, id) == Some((1, 1))));
    assert_eq!(world.broker.stats().open, 0);
}

/// Frames that the original would not have survived, one by one.
fn odd_frames(random: &mut Random) -> Vec<Vec<u8>> {
    let mut frames: Vec<Vec<u8>> = (0..=255_u8).map(|kind| frame(|w| w.u8(kind))).collect();
    for kind in 0..=255_u8 {
        let body: Vec<u8> = (0..random.between(1, 40)).map(|_| random.next() as u8).collect();
        frames.push(frame(|w| {
            w.u8(kind);
            w.raw(&body);
        }));
    }
    // What is right up to somewhere.
    let to: Destination = Filter::all_of(&[("room", Value::Str("nowhere"))]).unwrap().into();
    let set = [1, 4, b'm', b'o', b'o', b'd', 1, 2, 4, b'f', b'i', b'n', b'e'];
    let watch = |w: &mut Writer<'_>| UpItem::Watch(1, Filter::everyone().as_ref()).write(w);
    let right = [
        hello(99, 1, None, AttributesRef::EMPTY),
        message(Some(&to), 1, Some(Past::Parked), b"text"),
        frame(|w| {
            w.u8(kind::SET);
            w.raw(&set);
        }),
        frame(watch),
    ];
    for right in &right {
        let body = &right[extent(right, 4096).unwrap().unwrap().header..];
        frames.extend((1..body.len()).map(|length| frame(|w| w.raw(&body[..length]))));
    }
    // No frame at all, none that ends, and what the original spoke.
    frames.extend([vec![0], vec![0xff; 20], b"{\"type\":\"session.update\",\"data\":null}\n".to_vec()]);
    frames
}

#[test]
fn odd_connections_and_frames_crash_nothing() {
    let mut world = World::new(2);
    let mut random = Random(7);
    let frames = odd_frames(&mut random);
    let mut sent = 0;
    for (n, odd) in frames.iter().enumerate() {
        let now = world.now;
        let greeting = hello(100 + n, 1, None, AttributesRef::EMPTY);
        // Nothing at all; half a hello; the odd frame first; the odd frame behind a hello.
        let said =
            [vec![], greeting[..greeting.len() / 2].to_vec(), odd.clone(), [&greeting[..], odd].concat()];
        for (k, bytes) in said.iter().enumerate() {
            let link = world.broker.handle_connected(now, 0).unwrap();
            world.broker.handle_input(now, link, bytes).unwrap();
            if (n + k) % 2 == 0 {
                world.broker.poll_transmit(now, link, &mut [0; 512]).unwrap();
            }
            world.broker.handle_disconnected(now, link);
            world.check();
        }
        if n % 20 == 0 {
            world.send(0, &uuid(1).into(), &format!("{sent}"));
            sent += 1;
            world.flow();
        }
    }
    world.settle();
    assert_eq!(world.messages(1), numbers(0..sent), "nobody else has noticed");
    assert_eq!(world.broker.stats().links, 2);
    assert_eq!(world.peers.iter().filter(|peer| peer.log.notes.len() == 2).count(), 2, "connected once");
}

#[test]
fn early_sends_wait_for_their_turn() {
    // A client of ours may send before there is anything to send to.
    let mut world = World::new(1);
    let early = world.join(client_config(1), "b");
    let ids: Vec<_> = (0..30).map(|n| world.send(early, &uuid(0).into(), &format!("{n}"))).collect();
    // The connection is there, the welcome is not.
    world.connect(early);
    world.up(early, MAX);
    let more: Vec<_> = (30..60).map(|n| world.send(early, &uuid(0).into(), &format!("{n}"))).collect();
    world.up(early, MAX);
    assert_eq!(world.broker.stats().taken, 0, "no item goes before the welcome");
    world.settle();
    assert_eq!(world.messages(0), numbers(0..60));
    assert!(ids.iter().chain(&more).all(|&id| world.outcome(early, id) == Some((1, 1))));

    // One that sends before its hello is told that this is not its turn.
    let mut raw = Raw::new(BrokerConfig::new(0));
    let link = raw.link();
    raw.put(link, &message(Some(&uuid(1).into()), 1, None, b"early"));
    assert_eq!(raw.swallow(link)[1..3], [kind::ABORT, AbortCode::UnexpectedFrame as u8]);
    assert_eq!(raw.broker.stats().taken, 0);
}

#[test]
fn takeovers_crash_nothing_and_lose_nothing() {
    let mut world = World::new(1);
    let mut lives = Vec::new();
    for life in 0..30 {
        let mut config = client_config(1);
        config.boot = 1_000 + life as u64;
        lives.push(world.join(config, "a"));
        // Before its hello, within it, before its welcome, or afterwards.
        let newest = lives[life];
        world.connect(newest);
        let most = [0, 30, MAX, MAX][life % 4];
        world.up(newest, most);
        world.send(0, &uuid(1).into(), &format!("{life}"));
        world.up(0, MAX);
        if life % 4 == 3 {
            world.settle();
        }
    }
    world.pass(Duration::from_secs(10));
    let newest = lives[29];
    let ended = |n: usize| world.peers[n].client.is_closed();
    assert!(lives[..29].iter().all(|&n| ended(n)) && !ended(newest), "one is left");
    let mut all: Vec<usize> =
        lives.iter().flat_map(|&n| world.messages(n)).map(|text| text.parse().unwrap()).collect();
    all.sort_unstable();
    let repeated = lives.iter().map(|&n| world.peers[n].log.repeated.len()).sum::<usize>();
    all.dedup();
    assert_eq!(all, (0..30).collect::<Vec<_>>(), "each has come to one of the lives; {repeated} repeated");
    assert!((0..30).all(|n| world.outcome(0, MessageId(n + 1)) == Some((1, 1))));
    assert_eq!(world.broker.stats().links, 2);
    while let Some(ready) = world.broker.poll_ready() {
        assert!(!matches!(ready, Ready::Close(_)));
    }
}
