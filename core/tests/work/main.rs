//! Work is metered: what one call does has a limit, and what is left goes on in turn, with the same outcome.
#![allow(clippy::unwrap_used, clippy::panic)]

mod attacks;
mod order;
mod queues;
#[path = "../support/mod.rs"]
mod support;

use core::time::Duration;
use e_pigeon_core::codec::Reader;
use e_pigeon_core::wire::control::{Control, Hello, Known};
use e_pigeon_core::wire::item::{DownItem, MessageItem, PresenceState, UpItem};
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
    Raw::new(BrokerConfig::new(0).settle(Duration::ZERO))
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
    let mut raw = Raw::new(
        BrokerConfig::new(0).settle(Duration::ZERO).queue_messages(100_000).window_messages(100_000),
    );
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
    let to = Destination::from(Filter::any_of(&pairs).unwrap()).exclude_self();
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
    let mut raw = Raw::new(
        BrokerConfig::new(0)
            .settle(Duration::ZERO)
            .receipt_backlog(most)
            .window_messages(most)
            .sender_queue(u32::MAX),
    );
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
