//! Work is metered: what one call does has a limit, and what is left goes on in turn, with the same outcome.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use core::time::Duration;
use e_pigeon_core::codec::Reader;
use e_pigeon_core::wire::control::{Control, Hello, Known};
use e_pigeon_core::wire::item::{DownItem, Message, PresenceState, UpItem};
use e_pigeon_core::wire::state::{Prefix, tag, welcomed_tag};
use e_pigeon_core::wire::window::Window;
use e_pigeon_core::{
    Attributes, AttributesRef, BrokerConfig, Destination, Filter, Framing, LinkId, Past, PatchRef, Ready,
    Taken, Value,
};
use std::collections::{BTreeMap, BTreeSet};
use support::lossy_raw::{control, frame as lossy_frame, hello_of};
use support::random::Random;
use support::raw::{Raw, WIDE, cpu, frame, hello, message, message_for};
use support::uuid;

/// Units of a call, with what the last piece of work may take besides: the longest here is a session that ends or begins.
const MOST: u32 = 32_768 + 1_000;
const HOUR: Duration = Duration::from_secs(3_600);

fn raw() -> Raw {
    Raw::new(BrokerConfig { settle: Duration::ZERO, ..BrokerConfig::new(0) })
}

fn pair(key: &str, value: i64) -> Attributes {
    pairs(&[(key, value)])
}

fn pairs(pairs: &[(&str, i64)]) -> Attributes {
    let mut attributes = Attributes::new();
    pairs.iter().for_each(|&(key, value)| attributes.set(key, Value::Int(value)).unwrap());
    attributes
}

/// A SET of one key: the pair as attributes have it, with a 1 behind the key.
fn set(key: &str, value: i64) -> Vec<u8> {
    let mut patch = pair(key, value).as_ref().as_bytes().to_vec();
    patch.insert(2 + key.len(), 1);
    let patch = PatchRef::read(&mut Reader::new(&patch)).unwrap();
    frame(|w| UpItem::Set(patch).write(w))
}

/// A client that takes presence.
fn watcher(n: usize, attributes: AttributesRef<'_>) -> Vec<u8> {
    let hello = Hello {
        uuid: *uuid(n).as_bytes(),
        secret: [n as u8; 16],
        boot: 5_u64.to_le_bytes(),
        link: 1,
        known: None,
        window: WIDE,
        max_payload: 1 << 12,
        aliases: 64,
        receives: true,
        presence: 64,
    };
    frame(|w| Control::Hello(hello, attributes).write(w))
}

fn watch(number: u32, filter: &Filter) -> Vec<u8> {
    frame(|w| UpItem::Watch(number, filter.as_ref()).write(w))
}

impl Raw {
    /// Time goes on as long as there is something to do at once. Returns in how many calls, and what the largest did.
    fn settle(&mut self) -> (u32, u32) {
        let (mut calls, mut most) = (0, 0);
        while self.broker.poll_timeout().is_some_and(|at| at <= self.now) {
            self.broker.handle_timeout(self.now);
            most = most.max(self.broker.work_of_last_call());
            calls += 1;
            assert!(calls < 1_000_000, "it comes to an end");
        }
        (calls, most)
    }

    /// A thousand links, each of which watches everyone eight times.
    fn crowd(&mut self, links: usize) -> Vec<LinkId> {
        let watches: Vec<u8> = (0..8).flat_map(|number| watch(number, &Filter::everyone())).collect();
        let all = (1..=links).map(|n| {
            let link = self.link();
            self.put_all(link, &watcher(n, AttributesRef::EMPTY));
            self.put_all(link, &watches);
            link
        });
        let all: Vec<LinkId> = all.collect();
        self.settle();
        all.iter().for_each(|&link| drop(self.read(link)));
        all
    }

    /// What a client reads that acknowledges all of it.
    fn read(&mut self, link: LinkId) -> Vec<u8> {
        let mut all = vec![];
        loop {
            let bytes = self.swallow(link);
            let count = items(&bytes, |_| Some(())).len() as u64;
            all.extend(bytes);
            if count == 0 {
                return all;
            }
            self.put_all(link, &frame(|w| Control::Ack(count).write(w)));
        }
    }
}

/// The items in the frames of `bytes`, each as `see` sees it.
fn items<T>(bytes: &[u8], see: impl Fn(&DownItem<'_>) -> Option<T>) -> Vec<T> {
    let (mut all, mut reader) = (vec![], Reader::new(bytes));
    while reader.remaining() > 0 {
        let length = reader.u64().unwrap() as usize;
        let mut body = Reader::new(reader.take(length).unwrap());
        let kind = body.u8().unwrap();
        if kind >= e_pigeon_core::wire::kind::MESSAGE {
            all.extend(see(&DownItem::read(kind, &mut body).unwrap()));
        }
    }
    all
}

/// What the deliveries in `bytes` say, each by its payload: a number.
fn numbers(bytes: &[u8]) -> Vec<u64> {
    items(bytes, |item| match item {
        DownItem::Deliver(deliver) => Some(u64::from_le_bytes(deliver.payload.try_into().unwrap())),
        _ => None,
    })
}

#[test]
fn core_p2_changes_beside_watchers_stop_where_the_meter_is_spent() {
    let mut raw = raw();
    let watchers = raw.crowd(600);
    let link = raw.up(0, 1);
    watchers.iter().for_each(|&link| drop(raw.read(link)));
    let bytes: Vec<u8> = (0..1_000).flat_map(|n| set("a", n % 2)).collect();
    let taken = raw.broker.handle_input(raw.now, link, &bytes).unwrap();
    assert!(taken > 0 && taken < 100, "{taken} of {} bytes in one call", bytes.len());
    assert!(raw.broker.work_of_last_call() < MOST);
    let resumes =
        core::iter::from_fn(|| raw.broker.poll_ready()).filter(|&ready| ready == Ready::Resume(link));
    assert_eq!(resumes.count(), 1, "it goes on");
    let rest = &bytes[taken..];
    assert!(raw.broker.handle_input(raw.now, link, rest).unwrap() < 100);
    // What is left is done when nothing more comes, and everybody knows how it stands.
    raw.settle();
    for link in watchers {
        let bytes = raw.read(link);
        let changes = items(&bytes, |item| match *item {
            DownItem::Presence(number, uuid, PresenceState::Connected, _) => Some((number, uuid)),
            _ => None,
        });
        let all: BTreeSet<_> = changes.iter().map(|&(number, _)| number).collect();
        assert!(changes.iter().all(|&(_, changed)| changed == *uuid(0).as_bytes()));
        assert_eq!(all.len(), 8, "each watch gets it");
    }
}

#[test]
fn core_p3_a_change_that_changes_nothing_does_nothing() {
    let mut raw = raw();
    let watchers = raw.crowd(10);
    let link = raw.up(0, 1);
    raw.put(link, &set("a", 1));
    watchers.iter().for_each(|&link| drop(raw.read(link)));
    raw.put(link, &set("a", 1));
    assert!(raw.broker.work_of_last_call() < 100, "{} units", raw.broker.work_of_last_call());
    watchers.into_iter().for_each(|link| assert_eq!(raw.swallow(link), []));
}

#[test]
fn core_p4_links_that_fall_silent_together_end_over_several_calls() {
    let mut raw = raw();
    let watchers = raw.crowd(300);
    raw.now = raw.now + Duration::from_secs(31);
    let (calls, most) = raw.settle();
    assert!(calls > 10 && most < MOST, "{calls} calls, {most} units");
    assert_eq!(raw.broker.stats().connected, 0);
    watchers.into_iter().for_each(|link| raw.broker.handle_disconnected(raw.now, link));
    // And their sessions.
    raw.now = raw.now + Duration::from_secs(601);
    let (_, most) = raw.settle();
    assert!(most < MOST, "{most} units");
    assert_eq!((raw.broker.stats().sessions, raw.broker.stats().links), (0, 0));
}

#[test]
fn core_p4_closing_goes_on_over_several_calls_until_all_links_have_ended() {
    let mut raw = raw();
    let watchers = raw.crowd(300);
    raw.broker.close(raw.now);
    assert!(raw.broker.work_of_last_call() < MOST);
    let (calls, most) = raw.settle();
    assert!(calls > 10 && most < MOST, "{calls} calls, {most} units");
    for link in watchers {
        let bytes = raw.swallow(link);
        assert_eq!(bytes[bytes.len() - 4..], [3, 3, 16, 0], "an ABORT, as the last frame");
    }
}

#[test]
fn core_p4_messages_that_expire_together_end_over_several_calls() {
    let mut raw = Raw::new(BrokerConfig {
        settle: Duration::ZERO,
        queue_messages: 100_000,
        window_messages: 100_000,
        ..BrokerConfig::new(0)
    });
    raw.away(1, AttributesRef::EMPTY);
    let link = raw.up(0, 1);
    let to = Destination::from(uuid(1));
    for n in 0..50_000 {
        raw.put(link, &message_for((n == 0).then_some(&to), 1, None, 1_000, b""));
    }
    raw.now = raw.now + Duration::from_secs(2);
    let (calls, most) = raw.settle();
    assert!(calls > 3 && most < MOST, "{calls} calls, {most} units");
    assert_eq!(raw.broker.stats().open, 0);
}

#[test]
fn core_p4_a_session_that_ends_with_a_full_queue_gives_its_messages_up_over_several_calls() {
    let mut raw = raw();
    raw.away(1, AttributesRef::EMPTY);
    let link = raw.up(0, 1);
    let to = Destination::from(uuid(1));
    for n in 0..16_384 {
        raw.put(link, &message((n == 0).then_some(&to), 1, None, b""));
        if n % 1_000 == 0 {
            raw.swallow(link);
        }
    }
    raw.now = raw.now + Duration::from_secs(601);
    let (calls, most) = raw.settle();
    assert!(calls >= 3 && most < MOST, "{calls} calls, {most} units");
    let stats = raw.broker.stats();
    assert_eq!((stats.gone + stats.refused, stats.open, stats.held), (16_384, 0, 0));
    assert!(stats.gone > 8_000, "{} were in the queue", stats.gone);
    assert!(stats.is_balanced());
}

/// Parks messages for any of eight pairs that only their sender has, without the sender.
fn park(raw: &mut Raw, link: LinkId, count: usize) {
    let names = ["k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7"];
    names.iter().for_each(|key| raw.put(link, &set(key, 1)));
    let pairs = names.map(|key| (key, Value::Int(1)));
    let to = Destination::from(Filter::any_of(&pairs).unwrap()).without_sender();
    for n in 0..count {
        raw.put(link, &message((n == 0).then_some(&to), 1, None, b""));
        if n % 1_000 == 0 {
            raw.now = raw.now + Duration::from_millis(20);
            raw.settle();
            raw.swallow(link);
        }
    }
    assert_eq!(raw.broker.stats().waiting, count as u64);
}

#[test]
fn core_p5_a_change_looks_at_no_message_that_it_cannot_match() {
    let mut raw = raw();
    let link = raw.up(0, 1);
    park(&mut raw, link, 20_000);
    raw.put(link, &set("zz", 1));
    assert!(raw.broker.work_of_last_call() < 200, "{} units", raw.broker.work_of_last_call());
    assert_eq!(raw.broker.stats().waiting, 20_000);
}

#[test]
fn attack_16_changes_to_and_fro_beside_parked_messages_take_turns() {
    let mut raw = raw();
    let link = raw.up(0, 1);
    let to = Destination::from(Filter::all_of(&[("a", Value::Int(1)), ("b", Value::Int(1))]).unwrap());
    for n in 0..20_000 {
        raw.put(link, &message((n == 0).then_some(&to), 1, None, b""));
        if n % 1_000 == 0 {
            raw.swallow(link);
        }
    }
    let changes: Vec<u8> = (0..100).flat_map(|n| set("a", n % 2)).collect();
    let mut rest = changes.as_slice();
    for _ in 0..20 {
        let taken = raw.broker.handle_input(raw.now, link, rest).unwrap();
        assert!(raw.broker.work_of_last_call() < MOST && taken < 20);
        rest = &rest[taken..];
    }
    // Beside that an honest message is taken at once, in a call of its own.
    let honest = raw.up(1, 1);
    raw.put(honest, &message(Some(&uuid(1).into()), 1, None, b""));
    assert!(raw.broker.work_of_last_call() < 100);
}

#[test]
fn attack_14_messages_only_for_the_connected_pay_for_the_sessions_they_look_at() {
    let mut raw = raw();
    let attributes = pairs(&[("a", 1), ("b", 1), ("c", 1)]);
    for n in 1..10_000 {
        raw.away(n, attributes.as_ref());
    }
    let link = raw.up(0, 1);
    let filter = Filter::any_of(&[("a", Value::Int(1)), ("b", Value::Int(1)), ("c", Value::Int(1))]).unwrap();
    let to = Destination::from(filter).only_connected();
    let bytes: Vec<u8> = (0..100).flat_map(|n| message((n == 0).then_some(&to), 1, None, b"")).collect();
    raw.broker.handle_input(raw.now, link, &bytes).unwrap();
    assert!(raw.broker.stats().taken <= 3, "{} messages in one call", raw.broker.stats().taken);
}

#[test]
fn core_p8_a_decline_costs_the_same_however_many_receipts_and_deliveries_take_turns() {
    const EACH: u64 = 15_000;
    let most = 40_000;
    let mut raw = Raw::new(BrokerConfig {
        settle: Duration::ZERO,
        receipt_backlog: most,
        window_messages: most,
        sender_queue: u32::MAX,
        ..BrokerConfig::new(0)
    });
    let (link, from) = (raw.up(0, 1), raw.up(1, 1));
    let (me, nobody) = (Destination::from(uuid(0)), Destination::from(uuid(9)).only_connected());
    for n in 0..EACH {
        // A delivery that may be a repetition, and a receipt.
        raw.put(from, &message((n == 0).then_some(&me), 1, Some(Past::Sent), b""));
        raw.swallow(link);
        raw.put(link, &message((n == 0).then_some(&nobody), 1, None, b""));
        raw.swallow(link);
    }
    let before = cpu();
    for n in (0..EACH).rev() {
        raw.put(link, &frame(|w| UpItem::Decline(2 * n + 1).write(w)));
        assert!(raw.broker.work_of_last_call() < 100, "{} units", raw.broker.work_of_last_call());
    }
    // To walk through all that lies before each would be 225 million steps.
    let spent = cpu() - before;
    assert!(spent < 30, "{spent} ms");
    assert_eq!(raw.broker.stats().declined, EACH);
}

/// What a client says in a hello that it has acknowledged is taken off its queue by and by, and what it has not is written.
#[test]
fn a_hello_that_acknowledges_much_does_so_over_several_calls() {
    const MESSAGES: u64 = 1_000;
    const KEPT: u64 = 10;
    for budget in [88, 200, 1_000, 32_768] {
        let mut raw = raw();
        let (link, from) = (raw.up(1, 1), raw.up(0, 1));
        let to = Destination::from(uuid(1));
        for n in 0..MESSAGES {
            raw.put(from, &message((n == 0).then_some(&to), 1, None, &n.to_le_bytes()));
        }
        assert_eq!(numbers(&raw.swallow(link)).len() as u64, MESSAGES);
        raw.broker.handle_disconnected(raw.now, link);
        raw.broker.set_budget(budget);
        let (received, acknowledged) = (MESSAGES - KEPT, MESSAGES - 2 * KEPT);
        let known = Known { epoch: 1_u64.to_le_bytes(), session: 1, received, acknowledged, window: WIDE };
        let link = raw.link();
        raw.put(link, &hello(1, 2, Some(known), AttributesRef::EMPTY));
        assert!(raw.broker.work_of_last_call() < budget + 2_000, "{} units", raw.broker.work_of_last_call());
        let (calls, _) = raw.settle();
        assert!(calls > 0 || budget > 10_000, "{calls} calls");
        assert_eq!(raw.broker.stats().delivered, acknowledged);
        assert_eq!(
            numbers(&raw.swallow(link)),
            (received..MESSAGES).collect::<Vec<u64>>(),
            "with {budget} units"
        );
    }
}

/// Whether a parked message wants all of some pairs, or any.
type Wants = (bool, Vec<(&'static str, i64)>);

/// What a SET or a HELLO releases is what a naive search finds, however the pairs of a filter come together.
#[test]
fn core_p5_what_waits_is_found_whichever_pair_comes_last() {
    let mut random = Random(5);
    for round in 0..300 {
        let mut raw = raw();
        raw.broker.set_budget(random.pick(&[88, 150, 600, 32_768]));
        let from = raw.up(0, 1);
        let keys = ["a", "b", "c"];
        let mut waiting: BTreeMap<u64, Wants> = BTreeMap::new();
        for n in 0..random.between(1, 30) {
            let chosen: Vec<(&'static str, i64)> =
                keys.iter().filter(|_| random.percent(60)).map(|&key| (key, (n % 2) as i64)).collect();
            if chosen.is_empty() {
                continue;
            }
            let values: Vec<(&str, Value<'_>)> =
                chosen.iter().map(|&(key, value)| (key, Value::Int(value))).collect();
            let is_all = random.percent(60);
            let filter = if is_all { Filter::all_of(&values) } else { Filter::any_of(&values) };
            raw.put_all(from, &message(Some(&filter.unwrap().into()), 1, None, &n.to_le_bytes()));
            waiting.insert(n, (is_all, chosen));
        }
        raw.swallow(from);
        let link = raw.up(1, 1);
        let mut has: BTreeMap<&str, i64> = BTreeMap::new();
        for _ in 0..10 {
            let (key, value) = (random.pick(&keys), random.below(2) as i64);
            has.insert(key, value);
            raw.put_all(link, &set(key, value));
            raw.settle();
            let found = numbers(&raw.swallow(link));
            let matches = |wanted: &(&str, i64)| has.get(wanted.0) == Some(&wanted.1);
            let is_match = |(is_all, pairs): &Wants| {
                if *is_all { pairs.iter().all(matches) } else { pairs.iter().any(matches) }
            };
            let expected: Vec<u64> =
                waiting.iter().filter(|(_, wants)| is_match(wants)).map(|(&n, _)| n).collect();
            assert_eq!(found, expected, "round {round}");
            waiting.retain(|_, wants| !is_match(wants));
        }
    }
}

#[test]
fn what_was_held_comes_before_what_is_routed_while_it_is_released() {
    for budget in [88, 200, 1_000, 32_768] {
        let mut raw = raw();
        let from = raw.up(0, 1);
        let to = Destination::from(uuid(1));
        let taken = Past::Taken(Taken { recipients: 1, epoch: 9, session: 1, answered_first: true });
        for n in 0..500_u64 {
            // Some of them were held in an earlier life of the broker, others are parked.
            let past = n.is_multiple_of(3).then_some(taken);
            raw.put(from, &message((n == 0).then_some(&to), 1, past, &n.to_le_bytes()));
        }
        raw.swallow(from);
        raw.broker.set_budget(budget);
        let link = raw.link();
        raw.put_all(link, &hello(1, 1, None, AttributesRef::EMPTY));
        // The broker goes on, and others are served meanwhile.
        let mut got = vec![];
        for n in 500..520_u64 {
            raw.put_all(from, &message(None, 1, None, &n.to_le_bytes()));
            raw.broker.handle_timeout(raw.now);
            got.extend(numbers(&raw.swallow(link)));
        }
        raw.settle();
        got.extend(numbers(&raw.swallow(link)));
        assert_eq!(got, (0..520).collect::<Vec<u64>>(), "with {budget} units for each call");
    }
}

#[test]
fn a_hello_waits_for_what_is_still_told_of_its_client() {
    let mut raw = raw();
    let watchers = raw.crowd(50);
    raw.broker.set_budget(100);
    let mut link = raw.link();
    raw.put_all(link, &hello(0, 1, None, pair("a", 1).as_ref()));
    for n in 2..20 {
        let next = raw.link();
        let bytes = hello(0, n, None, pair("a", n as i64).as_ref());
        let mut calls = 0;
        while raw.broker.handle_input(raw.now, next, &bytes).unwrap() == 0 {
            calls += 1;
            assert!(calls < 1_000, "its turn comes");
        }
        assert!(calls > 0, "it had to wait");
        raw.broker.handle_disconnected(raw.now, link);
        link = next;
    }
    raw.settle();
    for link in watchers {
        let last = items(&raw.read(link), |item| match *item {
            DownItem::Presence(number, _, state, attributes) => {
                Some((number, (state, attributes.get("a") == Some(Value::Int(19)))))
            }
            _ => None,
        });
        let last: BTreeMap<_, _> = last.into_iter().collect();
        assert_eq!(last.len(), 8);
        assert!(last.values().all(|&last| last == (PresenceState::Connected, true)), "{last:?}");
    }
}

/// Sends so many messages to a client, and lets their time pass.
fn end_in_queue(raw: &mut Raw, from: LinkId, count: u64) {
    let to = Destination::from(uuid(1));
    for n in 0..count {
        raw.put_all(from, &message_for((n == 0).then_some(&to), 1, None, 1_000, &n.to_le_bytes()));
        if n % 1_000 == 999 {
            raw.swallow(from);
        }
    }
    raw.now = raw.now + Duration::from_secs(1);
}

#[test]
fn one_queue_is_searched_over_several_calls_and_goes_on_where_it_stopped() {
    const COUNT: u64 = 16_000;
    const BUDGET: u32 = 1_000;
    let config = BrokerConfig {
        settle: Duration::ZERO,
        sender_queue: u32::MAX,
        session_ttl: HOUR,
        ..BrokerConfig::new(0)
    };
    let mut raw = Raw::new(config);
    raw.away(1, AttributesRef::EMPTY);
    let from = raw.up(0, 1);
    end_in_queue(&mut raw, from, COUNT);
    raw.broker.set_budget(BUDGET);
    let mut began = 0;
    for calls in 0.. {
        assert!(calls < 10_000, "it comes to an end");
        let kept = raw.broker.stats().kept;
        raw.broker.handle_timeout(raw.now);
        let (work, stats) = (raw.broker.work_of_last_call(), raw.broker.stats());
        // A part of a queue more than that: its entries are looked at, and leave.
        assert!(work < BUDGET + 1_024 * 3 + 100, "{work} units");
        assert!(kept - stats.kept <= 2 * 1_024, "{} at once", kept - stats.kept);
        began += u64::from(kept > stats.kept);
        if stats.open == 0 && raw.broker.poll_timeout().is_none_or(|at| at > raw.now) {
            break;
        }
    }
    assert!(began >= COUNT / 2_048, "{began} calls");
    assert!(raw.broker.stats().kept <= 1_024, "{} are left", raw.broker.stats().kept);
}

/// The client acknowledges and gets more while its queue is gone through: what it reads has all numbers, and no message that has
/// ended after it was searched for.
#[test]
fn a_queue_that_is_searched_over_several_calls_serves_its_client_meanwhile() {
    let mut random = Random(11);
    for round in 0..20 {
        let config = BrokerConfig { settle: Duration::ZERO, sender_queue: u32::MAX, ..BrokerConfig::new(0) };
        let mut raw = Raw::new(config);
        let (link, from) = (raw.up(1, 1), raw.up(0, 1));
        let to = Destination::from(uuid(1));
        let (mut unacknowledged, mut sent, mut lives) = (0, 0, BTreeSet::new());
        let mut is_first = true;
        let mut put = |raw: &mut Raw, random: &mut Random, count: u64, lives: &mut BTreeSet<u64>| {
            for _ in 0..count {
                let ms = if random.percent(10) { 3_600_000 } else { 1_000 };
                if ms > 1_000 {
                    lives.insert(sent);
                }
                let define = core::mem::take(&mut is_first).then_some(&to);
                raw.put_all(from, &message_for(define, 1, None, ms, &sent.to_le_bytes()));
                sent += 1;
            }
            raw.swallow(from);
        };
        put(&mut raw, &mut random, 4_000, &mut lives);
        // Some are written, the others wait for the window.
        let mut got = BTreeSet::new();
        let mut read = |raw: &mut Raw, unacknowledged: &mut u64| {
            let bytes = raw.swallow(link);
            got.extend(numbers(&bytes));
            let counts = items(&bytes, |item| match item {
                DownItem::Void(count) => Some(u64::from(*count)),
                _ => Some(1),
            });
            *unacknowledged += counts.iter().sum::<u64>();
        };
        read(&mut raw, &mut unacknowledged);
        raw.put(link, &frame(|w| Control::Window(Window { messages: 0, bytes: 0 }).write(w)));
        put(&mut raw, &mut random, 4_000, &mut lives);
        raw.now = raw.now + Duration::from_secs(1);
        raw.broker.set_budget(random.pick(&[100, 400, 2_000]));
        for _ in 0..10_000 {
            raw.broker.handle_timeout(raw.now);
            if random.percent(10) && unacknowledged > 0 {
                let more = random.between(1, 50).min(unacknowledged);
                raw.put_all(link, &frame(|w| Control::Ack(more).write(w)));
                unacknowledged -= more;
            }
            if random.percent(2) {
                raw.put_all(link, &frame(|w| Control::Window(WIDE).write(w)));
                read(&mut raw, &mut unacknowledged);
            }
            if raw.broker.poll_timeout().is_none_or(|at| at > raw.now) {
                break;
            }
        }
        raw.put_all(link, &frame(|w| Control::Window(WIDE).write(w)));
        raw.settle();
        read(&mut raw, &mut unacknowledged);
        raw.put_all(link, &frame(|w| Control::Ack(unacknowledged).write(w)));
        raw.settle();
        let stats = raw.broker.stats();
        assert_eq!(
            (stats.connected, stats.open, stats.kept),
            (2, 0, 0),
            "round {round}: all is acknowledged"
        );
        assert!(lives.is_subset(&got), "round {round}");
        assert!(stats.is_balanced());
    }
}

/// Sessions that are away, with seven of eight pairs each, so that no list has all.
fn nearly_all(raw: &mut Raw, count: usize) {
    for n in 0..count {
        let mine: Vec<(&str, i64)> =
            KEYS.iter().enumerate().filter(|&(place, _)| place != n % 8).map(|(_, &key)| (key, 1)).collect();
        raw.away(100 + n, pairs(&mine).as_ref());
    }
}

const KEYS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

#[test]
fn core_p10_an_all_of_that_nobody_has_costs_a_count_of_its_lists_and_is_paid_for() {
    let mut raw = raw();
    nearly_all(&mut raw, 8_000);
    let link = raw.up(0, 1);
    let filter = Filter::all_of(&KEYS.map(|key| (key, Value::Int(1)))).unwrap();
    let to = Destination::from(filter).only_connected();
    raw.put(link, &message(Some(&to), 1, None, b""));
    let work = raw.broker.work_of_last_call();
    // Each of eight lists has 7,000 sessions, and to count one of these is an eighth of a unit.
    assert!((7_000..8_000).contains(&work), "{work} units");
    let bytes: Vec<u8> = (0..100).flat_map(|_| message(None, 1, None, b"")).collect();
    raw.broker.handle_input(raw.now, link, &bytes).unwrap();
    assert!(raw.broker.stats().taken <= 6, "{} messages in one call", raw.broker.stats().taken);
}

#[test]
fn core_p10_an_all_of_finds_those_that_have_all_whichever_way_they_are_found() {
    let mut random = Random(10);
    for round in 0..30 {
        let mut raw = raw();
        // So few that they are compared, or so many that lists are counted.
        let count = random.pick(&[20, 400]);
        let mut all = vec![];
        for n in 0..count {
            let mine: Vec<(&str, i64)> =
                KEYS.iter().filter(|_| random.percent(80)).map(|&key| (key, 1)).collect();
            raw.away(100 + n, pairs(&mine).as_ref());
            all.push(mine);
        }
        let link = raw.up(0, 1);
        for n in 0..20 {
            let wanted: Vec<&str> = KEYS.iter().filter(|_| random.percent(60)).copied().collect();
            if wanted.is_empty() {
                continue;
            }
            let values: Vec<(&str, Value<'_>)> = wanted.iter().map(|&key| (key, Value::Int(1))).collect();
            let to = Destination::from(Filter::all_of(&values).unwrap());
            let before = raw.broker.stats().routed;
            raw.put(link, &message(Some(&to), 1, None, b""));
            let has_all = |mine: &&Vec<(&str, i64)>| wanted.iter().all(|key| mine.contains(&(key, 1)));
            let expected = all.iter().filter(has_all).count() as u64;
            assert_eq!(raw.broker.stats().routed - before, expected, "round {round}, message {n}");
        }
    }
}

/// Sessions that are away, each with one pair that all have and one that is its own.
fn many(raw: &mut Raw, count: usize) {
    for n in 0..count {
        raw.away(100 + n, pairs(&[("all", 1), ("own", n as i64)]).as_ref());
    }
}

/// All queues that a message to many takes the last place of get new ones over several calls, and until then the next message
/// to many waits, whatever its destination is.
#[test]
fn queues_that_are_full_at_once_get_room_over_several_calls() {
    const SESSIONS: usize = 2_000;
    const BUDGET: u32 = 400;
    let all = Filter::all_of(&[("all", Value::Int(1))]).unwrap();
    let any = Filter::any_of(&[("all", Value::Int(1)), ("own", Value::Int(5))]).unwrap();
    let none = Filter::all_of(&[("all", Value::Int(1)), ("own", Value::Int(5))]).unwrap();
    for (to, waits) in [
        (Destination::from(Filter::everyone()), true),
        (all.into(), true),
        (any.into(), true),
        // One of them has both.
        (none.into(), false),
        (uuid(105).into(), false),
    ] {
        let mut raw = raw();
        many(&mut raw, SESSIONS);
        let (link, other) = (raw.up(0, 1), raw.up(1, 1));
        let everyone = Destination::from(Filter::everyone()).without_sender();
        raw.put(link, &message(Some(&to), 1, None, &0_u64.to_le_bytes()));
        raw.put(other, &message(Some(&everyone), 1, None, &1_u64.to_le_bytes()));
        raw.settle();
        raw.broker.set_budget(BUDGET);
        // Until one has taken the last of four places of each.
        let mut sent = 2_u64;
        while raw.broker.poll_timeout().is_none_or(|at| at > raw.now) {
            assert!(sent < 5, "no queue is full");
            raw.put(other, &message(None, 1, None, &sent.to_le_bytes()));
            sent += 1;
        }
        let work = raw.broker.work_of_last_call();
        assert!(work < SESSIONS as u32 + BUDGET + 100, "{work} units");
        // By an alias, and by its destination.
        for define in [None, Some(&to)] {
            let bytes = message(define, 1, None, &7_u64.to_le_bytes());
            let taken = raw.broker.handle_input(raw.now, link, &bytes).unwrap();
            assert_eq!(taken == 0, waits, "{to:?}");
            let resumes =
                core::iter::from_fn(|| raw.broker.poll_ready()).any(|ready| ready == Ready::Resume(link));
            assert_eq!(resumes, waits, "{to:?}");
        }
        let (calls, most) = raw.settle();
        assert!(calls > SESSIONS as u32 * 8 / BUDGET / 2, "{calls} calls");
        assert!(most < BUDGET + 100, "{most} units");
        raw.put_all(link, &message(None, 1, None, &8_u64.to_le_bytes()));
        // All that was taken is there, in order.
        let reader = raw.link();
        raw.put_all(reader, &hello(105, 2, None, pairs(&[("all", 1), ("own", 5)]).as_ref()));
        raw.settle();
        let expected: Vec<u64> = (0..sent).chain([7, 7].into_iter().filter(|_| !waits)).chain([8]).collect();
        assert_eq!(numbers(&raw.swallow(reader)), expected, "{to:?}");
    }
}

/// A session changes while watchers are still told of its last change: all is told, in one job.
#[test]
fn what_changes_while_it_is_told_is_told_too() {
    for budget in [88, 300, 32_768] {
        let mut raw = raw();
        let only = |n: u32| watch(n, &Filter::all_of(&[("a", Value::Int(n.into()))]).unwrap());
        let watches =
            [watch(1, &Filter::everyone()), watch(2, &Filter::everyone()), only(8), only(9)].concat();
        let watchers: Vec<LinkId> = (1..=50)
            .map(|n| {
                let link = raw.link();
                raw.put_all(link, &[watcher(n, AttributesRef::EMPTY), watches.clone()].concat());
                link
            })
            .collect();
        let link = raw.up(1_000, 1);
        raw.settle();
        watchers.iter().for_each(|&link| drop(raw.read(link)));
        raw.broker.set_budget(budget);
        // It matches one of these watches, and then the other.
        raw.put_all(link, &[set("a", 8), set("a", 9)].concat());
        // Some have read that it is connected when it is not any more.
        let before: Vec<Vec<u8>> = watchers.iter().map(|&link| raw.read(link)).collect();
        raw.broker.handle_disconnected(raw.now, link);
        raw.settle();
        for (link, before) in watchers.into_iter().zip(before) {
            let told = items(&[before, raw.read(link)].concat(), |item| match *item {
                DownItem::Presence(number, _, state, _) => Some((number, state)),
                _ => None,
            });
            let last: BTreeMap<_, _> = told.into_iter().collect();
            let is_gone =
                |state: Option<&PresenceState>| state.is_none_or(|&state| state == PresenceState::Gone);
            for n in [1, 2, 9] {
                assert_eq!(last.get(&n), Some(&PresenceState::Away), "watch {n}, with {budget} units");
            }
            assert!(is_gone(last.get(&8)), "{budget} units: {last:?}");
        }
    }
}

/// A held message for very many is offered over several calls: once to each that was here, and before what its sender says next.
#[test]
fn what_was_held_for_many_comes_once_and_before_what_its_sender_says_next() {
    const SESSIONS: usize = 3_000;
    for budget in [400, 32_768] {
        let mut raw = raw();
        (0..SESSIONS).for_each(|n| raw.away(100 + n, AttributesRef::EMPTY));
        let (from, other) = (raw.up(0, 1), raw.up(1, 1));
        raw.broker.set_budget(budget);
        let everyone = Destination::from(Filter::everyone()).without_sender();
        let taken = Past::Taken(Taken { recipients: 9_000, epoch: 9, session: 1, answered_first: true });
        let held = message(Some(&everyone), 1, Some(taken), &0_u64.to_le_bytes());
        let next = message(None, 1, None, &1_u64.to_le_bytes());
        assert_eq!(raw.broker.handle_input(raw.now, from, &held), Ok(held.len()));
        assert!(raw.broker.stats().routed < SESSIONS as u64, "not to all at once");
        assert_eq!(raw.broker.handle_input(raw.now, from, &next), Ok(0), "it has to wait");
        // Another sender does not wait, and somebody who comes meanwhile has it too.
        raw.put_all(other, &message(Some(&uuid(101).into()), 1, None, &2_u64.to_le_bytes()));
        let late = raw.link();
        raw.put_all(late, &hello(50, 1, None, AttributesRef::EMPTY));
        let (_, most) = raw.settle();
        assert!(most < budget + 1_000, "{most} units");
        raw.put_all(from, &next);
        raw.settle();
        let offers = raw.broker.stats().offers;
        assert_eq!(offers, SESSIONS as u64 + 2, "each once");
        assert_eq!(numbers(&raw.swallow(late)), [0, 1]);
        for n in [100, 1_500, 3_000] {
            let link = raw.link();
            raw.put_all(link, &hello(n, 2, None, AttributesRef::EMPTY));
            raw.settle();
            assert_eq!(numbers(&raw.swallow(link)), [0, 1], "{n}, with {budget} units");
        }
    }
}

/// Frames of a link over datagrams, the first of them a hello; each is read in a call of its own, or given up.
struct Datagrams {
    link: LinkId,
    tag: u32,
}

impl Datagrams {
    fn up(raw: &mut Raw, n: usize) -> Self {
        let framing = Framing::Datagram;
        let link = raw.broker.handle_connected_over(raw.now, 0, framing).unwrap();
        let hello = Hello { presence: 0, ..hello_of(n, 5, 1) };
        raw.put(link, &control(framing, tag(5, 1), Control::Hello(hello, AttributesRef::EMPTY)));
        let mut out = [0; 1_000];
        let length = raw.broker.poll_transmit(raw.now, link, &mut out).unwrap();
        let mut reader = Reader::new(&out[..length]);
        let prefix = Prefix::read(&mut reader).unwrap();
        let mut body = Reader::new(reader.rest());
        let kind = body.u8().unwrap();
        let Control::Welcome(welcome) = Control::read(kind, &mut body).unwrap() else { panic!("no welcome") };
        let tag = welcomed_tag(prefix.tag, u64::from_le_bytes(welcome.epoch), welcome.session);
        Self { link, tag }
    }

    fn item(&self, number: u64, item: &UpItem<'_>) -> Vec<u8> {
        lossy_frame(Framing::Datagram, self.tag, number, |writer| item.write(writer))
    }
}

fn numbered<'a>(to: &'a Destination, id: u64, payload: &'a [u8]) -> Message<'a> {
    let (slot, define, time_to_live_ms) = (0, Some(to.as_ref()), 3_600_000);
    Message { slot, define, id_step: id, time_to_live_ms, retry: None, until_accepted: false, payload }
}

/// Sixty-four items may wait for one that is missing, and each of them be for everyone.
#[test]
fn items_that_came_early_take_turns_when_the_missing_one_comes() {
    for sessions in [10, 3_000] {
        let mut raw = raw();
        (100..100 + sessions).for_each(|n| raw.away(n, AttributesRef::EMPTY));
        let mut got = vec![];
        let recipient = raw.up(1, 1);
        let sender = Datagrams::up(&mut raw, 0);
        let to = Destination::from(Filter::everyone()).without_sender();
        let item = |n: u64| sender.item(n, &UpItem::Message(numbered(&to, n, &n.to_le_bytes())));
        (2..=64).for_each(|n| raw.put(sender.link, &item(n)));
        assert_eq!(raw.broker.stats().taken, 0);
        raw.put(sender.link, &item(1));
        let done = raw.broker.work_of_last_call();
        assert!(done < MOST + sessions as u32, "{done} units");
        let (_, most) = raw.settle();
        assert!(most < MOST + sessions as u32, "{most} units");
        got.extend(numbers(&raw.swallow(recipient)));
        assert_eq!(got, (1..=64).collect::<Vec<u64>>());
    }
}

/// What a held message is offered to comes before what its sender says next, also where that has come first.
#[test]
fn an_item_that_came_early_waits_for_what_the_one_before_has_begun() {
    for budget in [88, 200, 1_000] {
        let mut raw = raw();
        let recipients: Vec<LinkId> = (1..=40).map(|n| raw.up(n, 1)).collect();
        let sender = Datagrams::up(&mut raw, 0);
        raw.broker.set_budget(budget);
        let to = Destination::from(Filter::everyone()).without_sender();
        let taken = Past::Taken(Taken { recipients: 40, epoch: 9, session: 1, answered_first: true });
        let first = Message { retry: Some(taken), ..numbered(&to, 1, &[0; 8]) };
        let next: Vec<Vec<u8>> = (2..6_u64).map(|n| n.to_le_bytes().to_vec()).collect();
        for (n, payload) in (2..).zip(&next) {
            raw.put(sender.link, &sender.item(n, &UpItem::Message(numbered(&to, n, payload))));
        }
        raw.put(sender.link, &sender.item(1, &UpItem::Message(first)));
        let (calls, _) = raw.settle();
        assert!(calls > 0);
        for link in recipients {
            assert_eq!(numbers(&raw.swallow(link)), [0, 2, 3, 4, 5], "with {budget} units for each call");
        }
    }
}

/// What a link attacks with.
#[derive(Clone, Copy, Debug)]
enum Attack {
    /// Changes of attributes, to and fro, beside watchers.
    Sets,
    /// Changes of attributes that release no parked message, and look at many.
    ParkedPairs,
    /// Messages that look at many sessions and find none.
    AnyOf,
    /// Messages to a thousand, which expire in their queues.
    Many,
    /// Messages that wait, and expire at once.
    Expiring,
    /// Watches that begin and end.
    Watches,
}

impl Attack {
    /// What one link says before it attacks.
    fn begins(self) -> Vec<u8> {
        let pair = Filter::all_of(&[("a", Value::Int(1)), ("b", Value::Int(1))]).unwrap();
        let to = Destination::from(pair);
        match self {
            Self::ParkedPairs => {
                (0..2_000).flat_map(|n| message((n == 0).then_some(&to), 1, None, b"")).collect()
            }
            _ => vec![],
        }
    }

    /// So much of it that no call takes all; `from` is how much was said before.
    fn goes_on(self, from: u64) -> Vec<u8> {
        let any_of = [("c", Value::Int(1)), ("d", Value::Int(1)), ("e", Value::Int(1))];
        let any_of = Destination::from(Filter::any_of(&any_of).unwrap()).only_connected();
        let many = Destination::from(Filter::all_of(&[("c", Value::Int(1))]).unwrap());
        let nobody = Destination::from(Filter::all_of(&[("z", Value::Int(1))]).unwrap());
        let first = |to: &Destination, n: u64, ms| message_for((n == 0).then_some(to), 1, None, ms, b"");
        let one = |n: u64| match self {
            Self::Sets | Self::ParkedPairs => set("a", (n % 2) as i64),
            Self::AnyOf => first(&any_of, n, 1_000),
            Self::Many => first(&many, n, 1),
            Self::Expiring => first(&nobody, n, 1),
            Self::Watches => {
                let number = n as u32;
                [watch(number, &Filter::everyone()), frame(|w| UpItem::Unwatch(number).write(w))].concat()
            }
        };
        (from..from + 1_000).flat_map(one).collect()
    }
}

/// However many links attack, an honest one that sends a message has it taken within two turns, and it is handed to its recipient
/// within two turns of that one; and no call does more than its budget.
#[test]
fn beside_links_that_attack_an_honest_one_has_its_turn_within_two_budgets() {
    // The last message of a call may look at all sessions, under three pairs.
    let most = MOST + 2_000;
    use Attack::{AnyOf, Expiring, Many, ParkedPairs, Sets, Watches};
    for attack in [Sets, ParkedPairs, AnyOf, Many, Expiring, Watches] {
        for attackers in [2, 16] {
            let mut raw = raw();
            raw.crowd(100);
            (200..1_200).for_each(|n| raw.away(n, pairs(&[("c", 1), ("d", 1), ("e", 1)]).as_ref()));
            let from = raw.up(3_000, 1);
            let to = raw.up(3_001, 1);
            let attackers: Vec<(LinkId, u64)> = (0..attackers)
                .map(|n| {
                    let link = raw.link();
                    raw.put_all(link, &watcher(4_000 + n, AttributesRef::EMPTY));
                    raw.put_all(link, &attack.begins());
                    (link, 0)
                })
                .collect();
            let (mut pending, mut spent) = (vec![vec![]; attackers.len()], 0);
            let (mut attackers, mut numbers_got, mut waits) = (attackers, vec![], 0);
            let destination = Destination::from(uuid(3_001));
            for turn in 0..10_u64 {
                raw.now = raw.now + Duration::from_millis(1);
                raw.broker.handle_timeout(raw.now);
                assert!(raw.broker.work_of_last_call() < most);
                for ((link, said), pending) in attackers.iter_mut().zip(&mut pending) {
                    if pending.len() < 1_000 {
                        pending.extend(attack.goes_on(*said));
                        *said += 1_000;
                    }
                    let taken = raw.broker.handle_input(raw.now, *link, pending).unwrap();
                    pending.drain(..taken);
                    assert!(raw.broker.work_of_last_call() < most, "{attack:?}");
                    spent += u64::from(raw.broker.work_of_last_call());
                    raw.swallow(*link);
                }
                let bytes = message((turn == 0).then_some(&destination), 1, None, &turn.to_le_bytes());
                let mut turns = 0;
                while raw.broker.handle_input(raw.now, from, &bytes).unwrap() == 0 {
                    turns += 1;
                    assert!(turns < 2, "{attack:?}, {} links: it waits for its turn", attackers.len());
                }
                raw.drain();
                raw.swallow(from);
                numbers_got.extend(numbers(&raw.read(to)));
                waits += u64::from(numbers_got.len() as u64 <= turn);
            }
            let attackers = attackers.len() as u64;
            assert!(spent > attackers * 10 * 500, "{attack:?} is no attack: {spent} units");
            numbers_got.extend(numbers(&raw.read(to)));
            assert!(waits <= 1, "{attack:?}: {waits} messages were handed on later");
            assert!((0..10).all(|n| numbers_got.contains(&n)), "{attack:?}: {numbers_got:?}");
        }
    }
}
