//! Bounded work: what one call does has a limit, and what comes out comes to an end.

use crate::conversation::{Limits, limits, record, steps};
use crate::machine::{Call, Machine, Style};
use crate::quiet;
use crate::support::lossy_raw::{control, frame, hello_of};
use crate::support::raw::{self, Raw, message};
use crate::support::uuid;
use core::time::Duration;
use e_pigeon_core::codec::Reader;
use e_pigeon_core::wire::control::{Control, Hello};
use e_pigeon_core::wire::item::{MessageItem, UpItem};
use e_pigeon_core::wire::state::{tag, welcomed_tag};
use e_pigeon_core::{
    Attributes, AttributesRef, BrokerConfig, Destination, Filter, Framing, Instant, LinkId, PatchRef, Ready,
    Value,
};
use proptest::prelude::*;

/// After so many units of work one call stops; it ends the message that it is at. A delivery is one.
const BUDGET: u64 = 32_768;

/// A link that is up, and messages to itself that come on it.
fn on_a_stream(raw: &mut Raw, messages: u64) -> (LinkId, Vec<u8>) {
    let myself = Destination::from(uuid(0));
    let bytes = (0..messages).flat_map(|n| message((n == 0).then_some(&myself), 1, None, b"coo")).collect();
    (raw.up(0, 1), bytes)
}

/// The same on a line.
fn on_a_line(raw: &mut Raw, messages: u64) -> (LinkId, Vec<u8>) {
    let link = raw.broker.handle_connected_over(raw.now, 0, Framing::Cobs).unwrap();
    let hello = Control::Hello(hello_of(0, 5, 1), AttributesRef::EMPTY);
    raw.put(link, &control(Framing::Cobs, tag(5, 1), hello));
    raw.swallow(link);
    let myself = Destination::from(uuid(0));
    let frames = (1..=messages).map(|n| {
        let define = Some(myself.as_ref());
        let message = MessageItem {
            slot: 0,
            define,
            id_step: n,
            time_to_live_ms: 60_000,
            retry: None,
            until_accepted: false,
            payload: b"coo",
        };
        frame(Framing::Cobs, welcomed_tag(tag(5, 1), 1, 1), n, |w| UpItem::Message(message).write(w))
    });
    (link, frames.flatten().collect())
}

#[test]
fn one_call_takes_256_messages_at_the_most_and_loses_none() {
    const MESSAGES: u64 = 1_000;
    for begin in [on_a_stream, on_a_line] {
        let mut raw = Raw::new(BrokerConfig::new(0).settle(Duration::ZERO));
        let (link, bytes) = begin(&mut raw, MESSAGES);
        let mut rest = bytes.as_slice();
        for left in [744, 488, 232, 0] {
            let taken = raw.broker.handle_input(raw.now, link, rest).unwrap();
            rest = &rest[taken..];
            assert_eq!(raw.broker.stats().taken, MESSAGES - left);
            assert_eq!(rest.is_empty(), left == 0);
            let mut ready = core::iter::from_fn(|| raw.broker.poll_ready());
            assert_eq!(ready.any(|ready| ready == Ready::Resume(link)), left > 0, "{left} are left");
        }
    }
}

#[test]
fn one_call_makes_a_bounded_number_of_deliveries_and_loses_nothing() {
    const SESSIONS: u64 = 300;
    const MESSAGES: u64 = 200;
    let config = BrokerConfig::new(0).settle(Duration::ZERO);
    let mut raw = Raw::new(config);
    for n in 1..SESSIONS {
        raw.away(n as usize, AttributesRef::EMPTY);
    }
    let link = raw.up(0, 1);
    let everyone = Filter::everyone().into();
    let bytes: Vec<u8> =
        (0..MESSAGES).flat_map(|n| message((n == 0).then_some(&everyone), 1, None, b"coo")).collect();
    let (mut rest, mut calls) = (bytes.as_slice(), 0);
    while !rest.is_empty() {
        let before = raw.broker.stats().routed;
        let taken = raw.broker.handle_input(raw.now, link, rest).unwrap();
        let made = raw.broker.stats().routed - before;
        rest = &rest[taken..];
        let done = u64::from(raw.broker.work_of_last_call());
        assert!(taken > 0 && made <= done && done < BUDGET + SESSIONS, "{made} deliveries, {done} units");
        assert!(done >= BUDGET || rest.is_empty(), "{made} deliveries, and it stopped");
        assert!(made > BUDGET / 2 || rest.is_empty(), "{made} deliveries: all else is room in their queues");
        calls += 1;
        let mut ready = core::iter::from_fn(|| raw.broker.poll_ready());
        let resumes = ready.any(|ready| ready == Ready::Resume(link));
        assert_eq!(resumes, !rest.is_empty(), "who stopped is called to go on, and nobody else");
    }
    assert!(calls > 1, "it has stopped");
    let stats = raw.broker.stats();
    assert_eq!((stats.taken, stats.routed), (MESSAGES, MESSAGES * SESSIONS));
}

const KEYS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// What a link sends that attacks: its first frames, and more like them.
type Attack = fn(u64) -> Vec<u8>;

fn to_everyone(n: u64) -> Vec<u8> {
    message((n == 0).then_some(&Filter::everyone().into()), 1, None, b"")
}

/// All sessions have all eight, and each list is counted in vain.
fn to_any_of_eight(n: u64) -> Vec<u8> {
    let pairs = KEYS.map(|key| (key, Value::Int(1)));
    let to = Destination::from(Filter::any_of(&pairs).unwrap()).only_connected();
    message((n == 0).then_some(&to), 1, None, b"")
}

/// Each watcher of everyone gets a notification.
fn change(n: u64) -> Vec<u8> {
    let mut attributes = Attributes::new();
    attributes.set("a", Value::Int(n as i64)).unwrap();
    // The pair as attributes have it, with a 1 behind the key.
    let mut patch = attributes.as_ref().as_bytes().to_vec();
    patch.insert(3, 1);
    let patch = PatchRef::read(&mut Reader::new(&patch)).unwrap();
    raw::frame(|w| UpItem::Set(patch).write(w))
}

/// Beside links that attack, an honest one has its turn when each of them had one call, and time one, of one budget each.
#[test]
fn beside_links_that_attack_an_honest_one_gets_its_turn() {
    let attacks: [&[Attack]; 4] =
        [&[to_everyone], &[to_any_of_eight], &[change], &[to_everyone, change, to_any_of_eight]];
    for attacks in attacks {
        beside(attacks);
    }
}

fn beside(attacks: &[Attack]) {
    const ATTACKERS: usize = 8;
    let mut raw = Raw::new(BrokerConfig::new(0).settle(Duration::ZERO));
    let mut all = Attributes::new();
    KEYS.iter().for_each(|key| all.set(key, Value::Int(1)).unwrap());
    for n in 100..8_100 {
        raw.away(n, all.as_ref());
    }
    let watches: Vec<u8> =
        (0..8).flat_map(|n| raw::frame(|w| UpItem::Watch(n, Filter::everyone().as_ref()).write(w))).collect();
    for n in 10..90 {
        let link = raw.link();
        let hello = Hello { presence: 1, ..hello_of(n, 5, 1) };
        raw.put(link, &raw::frame(|w| Control::Hello(hello, AttributesRef::EMPTY).write(w)));
        raw.put_all(link, &watches);
    }
    let links: Vec<LinkId> = (1..=ATTACKERS).map(|n| raw.up(n, 1)).collect();
    let floods: Vec<Vec<u8>> =
        (0..ATTACKERS).map(|n| (0..4_000).flat_map(attacks[n % attacks.len()]).collect()).collect();
    let mut rest: Vec<&[u8]> = floods.iter().map(Vec::as_slice).collect();
    let honest = raw.up(0, 1);
    let myself = Destination::from(uuid(0));
    for round in 0..20_u64 {
        let mut work = 0;
        for (link, rest) in links.iter().zip(&mut rest) {
            let taken = raw.broker.handle_input(raw.now, *link, rest).unwrap();
            *rest = &rest[taken..];
            work += u64::from(raw.broker.work_of_last_call());
        }
        raw.broker.handle_timeout(raw.now);
        work += u64::from(raw.broker.work_of_last_call());
        raw.put(honest, &message((round == 0).then_some(&myself), 1, None, b""));
        assert!(rest.iter().all(|rest| !rest.is_empty()), "they never end");
        let calls = ATTACKERS as u64 + 1;
        assert!(work > BUDGET * calls / 5, "{work} units in round {round}: they attack");
        assert!(work <= 2 * BUDGET * calls, "{work} units in round {round}");
    }
}

/// The most bytes that a machine of these limits may have to write without being told anything new.
fn most_bytes(limits: &Limits) -> usize {
    let client = limits.client(0);
    // Messages of an outbox or a queue, each with its head; receipts; a snapshot of presence of everybody; a hello.
    let messages = 2 * client.outbox_messages as usize * 3;
    messages * (64 + 80 + 100) + 8 * 2_000 + 2_000
}

proptest! {
    #![proptest_config(quiet(96))]

    #[test]
    fn what_comes_out_comes_to_an_end(limits in limits(), steps in steps(150)) {
        let mut conversation = record(&limits, &steps);
        // Long after everything that was.
        let now = Instant::from_micros(3_600_000_000);
        let most = most_bytes(&limits);
        let mut style = Style::whole();
        for peer in &mut conversation.peers {
            let client = &mut peer.recorded.machine;
            let written = client.call(now, &Call::Transmit(0, most), &mut style).written.concat().len();
            prop_assert!(written < most, "{} bytes, {} are the most", written, most);
            let config = limits.client(0);
            let events = 2 * config.outbox_messages + config.inbox_messages + u32::from(config.presence_items) + 8;
            let told = client.call(now, &Call::Events(events as usize + 1), &mut style).told.len();
            prop_assert!(told <= events as usize, "{} events, {} are the most", told, events);
        }
        let broker = &mut conversation.broker.machine;
        for link in 0..broker.links.len() {
            let written = broker.call(now, &Call::Transmit(link, most), &mut style).written.concat().len();
            prop_assert!(written < most, "{} bytes, {} are the most", written, most);
        }
        let ready = core::iter::from_fn(|| broker.broker.poll_ready()).take(3 * broker.links.len() + 1).count();
        prop_assert!(ready <= 3 * broker.links.len(), "each link is named at most once for each thing it wants");
    }
}
