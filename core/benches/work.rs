//! How many instructions the dearest calls of a broker take at default limits, counted by Valgrind.
//! `.ci/instructions` installs what this needs, and demands of each that it takes at most 12 million, and 1,000 for each unit
//! of work. `cargo bench -p e-pigeon-core --bench work -- --nocapture` prints both.
#![allow(missing_docs, clippy::unwrap_used)]

use core::time::Duration;
use e_pigeon_core::codec::{Reader, Writer};
use e_pigeon_core::wire::control::{Control, Hello, Known};
use e_pigeon_core::wire::frame::write_header;
use e_pigeon_core::wire::item::{MessageItem, UpItem};
use e_pigeon_core::wire::window::Window;
use e_pigeon_core::{
    Attributes, AttributesRef, Broker, BrokerConfig, Destination, Filter, Instant, LinkId, Past, PatchRef,
    Taken, Uuid, Value,
};
use gungraun::{Callgrind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};

const KEYS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

const WIDE: Window = Window { messages: 1 << 20, bytes: u32::MAX };
/// Held, because it was taken in an earlier life of the broker.
const HELD: Past = Past::Taken(Taken { recipients: 1, epoch: 9, session: 1, answered_first: true });

struct Ready {
    broker: Broker,
    now: Instant,
    link: LinkId,
    bytes: Vec<u8>,
}

fn frame(write: impl Fn(&mut Writer<'_>)) -> Vec<u8> {
    let mut counter = Writer::counting();
    write(&mut counter);
    let body = counter.total();
    let mut out = vec![0; body + 8];
    let mut writer = Writer::new(&mut out, 0);
    write_header(&mut writer, body);
    write(&mut writer);
    let length = writer.written();
    out.truncate(length);
    out
}

fn hello(n: usize, attributes: AttributesRef<'_>) -> Vec<u8> {
    hello_again(n, 1, None, attributes)
}

fn hello_again(n: usize, link: u64, known: Option<Known>, attributes: AttributesRef<'_>) -> Vec<u8> {
    let hello = Hello {
        uuid: *Uuid::from_u128(n as u128 + 1).as_bytes(),
        secret: [1; 16],
        boot: 5_u64.to_le_bytes(),
        link,
        known,
        window: WIDE,
        max_payload: 1 << 12,
        aliases: 64,
        receives: true,
        presence: 64,
    };
    frame(|w| Control::Hello(hello, attributes).write(w))
}

fn set(key: &str, value: i64) -> Vec<u8> {
    let mut attributes = Attributes::new();
    attributes.set(key, Value::Int(value)).unwrap();
    let mut patch = attributes.as_ref().as_bytes().to_vec();
    patch.insert(2 + key.len(), 1);
    let patch = PatchRef::read(&mut Reader::new(&patch)).unwrap();
    frame(|w| UpItem::Set(patch).write(w))
}

fn message(to: Option<&Destination>) -> Vec<u8> {
    message_again(to, None)
}

fn message_again(to: Option<&Destination>, retry: Option<Past>) -> Vec<u8> {
    let define = to.map(Destination::as_ref);
    let message = MessageItem {
        slot: 0,
        define,
        id_step: 1,
        time_to_live_ms: 3_600_000,
        retry,
        until_accepted: false,
        payload: b"",
    };
    frame(|w| UpItem::Message(message).write(w))
}

impl Ready {
    fn new() -> Self {
        let config = BrokerConfig::new(0).settle(Duration::ZERO);
        let (mut broker, now) = (Broker::new(config, 1).unwrap(), Instant::from_micros(1));
        let link = broker.handle_connected(now, 0).unwrap();
        let mut ready = Self { broker, now, link, bytes: vec![] };
        ready.put(link, &hello(0, AttributesRef::EMPTY));
        ready
    }

    fn put(&mut self, link: LinkId, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = self.broker.handle_input(self.now, link, bytes).unwrap();
            bytes = &bytes[taken..];
            self.swallow(self.link);
        }
    }

    fn swallow(&mut self, link: LinkId) {
        let mut out = [0; 4096];
        while let Ok(1..) = self.broker.poll_transmit(self.now, link, &mut out) {}
        while self.broker.poll_ready().is_some() {}
        while self.broker.poll_event().is_some() {}
    }

    /// Links that each watch everyone eight times.
    fn crowd(mut self, links: usize) -> Self {
        let everyone = Filter::everyone();
        let watches: Vec<u8> =
            (0..8).flat_map(|n| frame(|w| UpItem::Watch(n, everyone.as_ref()).write(w))).collect();
        for n in 1..=links {
            let link = self.broker.handle_connected(self.now, 0).unwrap();
            self.put(link, &hello(n, AttributesRef::EMPTY));
            self.put(link, &watches);
            self.swallow(link);
        }
        while self.broker.poll_timeout().is_some_and(|at| at <= self.now) {
            self.broker.handle_timeout(self.now);
        }
        self
    }

    /// Links that are up.
    fn links(mut self, links: usize) -> Self {
        for n in 1..=links {
            let link = self.broker.handle_connected(self.now, 0).unwrap();
            self.put(link, &hello(n, AttributesRef::EMPTY));
            self.swallow(link);
        }
        self
    }

    /// Messages to one client, from one after the other, because each may have half of a queue.
    fn messages(mut self, to: usize, count: usize, past: Option<Past>) -> Self {
        let to = Destination::from(Uuid::from_u128(to as u128 + 1));
        for n in 0..count {
            let is_first = n % 8_000 == 0;
            if is_first {
                let sessions = self.broker.stats().sessions as usize;
                self.link = self.broker.handle_connected(self.now, 0).unwrap();
                self.put(self.link, &hello(1 << 20 | sessions, AttributesRef::EMPTY));
            }
            self.put(self.link, &message_again(is_first.then_some(&to), past));
        }
        self
    }

    /// Sessions that are away, each with seven of eight pairs, so that no list has all of them.
    fn away(mut self, sessions: usize) -> Self {
        for n in 1..=sessions {
            let mut attributes = Attributes::new();
            for (place, key) in KEYS.iter().enumerate() {
                if place != n % 8 || n > 8 {
                    attributes.set(key, Value::Int(1)).unwrap();
                }
            }
            let link = self.broker.handle_connected(self.now, 0).unwrap();
            self.put(link, &hello(n, attributes.as_ref()));
            self.broker.handle_disconnected(self.now, link);
            self.swallow(link);
        }
        self
    }
}

fn changes_beside_watchers() -> Ready {
    let mut ready = Ready::new().crowd(1_000);
    ready.bytes = (0..1_000).flat_map(|n| set("a", n % 2)).collect();
    ready
}

fn silence() -> Ready {
    let mut ready = Ready::new().links(16_383);
    ready.now = ready.now + Duration::from_secs(60);
    ready
}

/// A client with a full queue, so many of which are older than the others.
fn queued_since(old: usize) -> Ready {
    let mut ready = Ready::new();
    let link = ready.broker.handle_connected(ready.now, 0).unwrap();
    ready.put(link, &hello(1, AttributesRef::EMPTY));
    ready.swallow(link);
    let mut ready = ready.messages(1, old, None);
    ready.now = ready.now + Duration::from_millis(500);
    let mut ready = ready.messages(1, 16_384 - old, None);
    ready.swallow(link);
    ready.link = link;
    ready
}

fn queued() -> Ready {
    queued_since(0)
}

/// A message comes for a full queue, a part of which has ended: it is searched, and what each sender has in it is counted.
fn searched() -> Ready {
    let mut ready = queued_since(1_000);
    ready.now = ready.now + Duration::from_millis(3_599_600);
    while ready.broker.stats().open > 15_384 {
        ready.broker.handle_timeout(ready.now);
    }
    let mut ready = ready.messages(2, 1, None);
    ready.bytes = message(Some(&Uuid::from_u128(2).into()));
    ready
}

/// The messages of one full queue end, and no other queue has any.
fn one_swept() -> Ready {
    let mut ready = queued();
    ready.now = ready.now + Duration::from_secs(3_600);
    while ready.broker.stats().open > 8_192 {
        ready.broker.handle_timeout(ready.now);
    }
    ready
}

fn acknowledged() -> Ready {
    let mut ready = queued();
    ready.bytes = frame(|w| Control::Ack(16_384).write(w));
    ready
}

/// It comes back, and has acknowledged all.
fn resumed() -> Ready {
    let mut ready = queued();
    ready.broker.handle_disconnected(ready.now, ready.link);
    ready.link = ready.broker.handle_connected(ready.now, 0).unwrap();
    let (received, acknowledged) = (16_384, 16_384);
    let known = Known { epoch: 1_u64.to_le_bytes(), session: 2, received, acknowledged, window: WIDE };
    ready.bytes = hello_again(1, 2, Some(known), AttributesRef::EMPTY);
    ready
}

/// It ends.
fn ended() -> Ready {
    let mut ready = queued();
    ready.bytes = frame(|w| Control::Goodbye(true).write(w));
    ready.broker.handle_input(ready.now, ready.link, &ready.bytes).unwrap();
    ready
}

fn waited_for() -> Ready {
    let mut ready = Ready::new().messages(1, 100_000, Some(HELD));
    ready.link = ready.broker.handle_connected(ready.now, 0).unwrap();
    ready.bytes = hello(1, AttributesRef::EMPTY);
    ready
}

/// Many have it back at once.
fn held() -> Ready {
    let mut ready = Ready::new().away(65_534);
    ready.bytes = message_again(Some(&Filter::everyone().into()), Some(HELD));
    ready
}

/// The last free place of all queues is taken.
fn growing() -> Ready {
    let mut ready = everyone();
    ready.put(ready.link, &ready.bytes.clone());
    // The first of 64 places is taken already.
    (2..63).for_each(|_| ready.put(ready.link, &message(None)));
    ready.bytes = message(None);
    ready
}

/// Messages have ended that are in many queues.
fn swept() -> Ready {
    let mut ready = Ready::new().away(2_000);
    ready.put(ready.link, &message(Some(&Filter::everyone().into())));
    (1..500).for_each(|_| ready.put(ready.link, &message(None)));
    ready.now = ready.now + Duration::from_secs(1);
    ready.broker.handle_timeout(ready.now);
    ready.now = ready.now + Duration::from_secs(3_600);
    ready
}

fn parked() -> Ready {
    let mut ready = Ready::new();
    KEYS.iter().for_each(|key| ready.put(ready.link, &set(key, 1)));
    let pairs = KEYS.map(|key| (key, Value::Int(1)));
    let to = Destination::from(Filter::any_of(&pairs).unwrap()).exclude_self();
    for n in 0..20_000 {
        ready.put(ready.link, &message((n == 0).then_some(&to)));
    }
    ready.bytes = set("zz", 1);
    ready
}

fn to_all(filter: &Filter) -> Ready {
    let mut ready = Ready::new().away(65_534);
    ready.bytes = message(Some(&filter.clone().into()));
    ready
}

fn everyone() -> Ready {
    to_all(&Filter::everyone())
}

fn any_of() -> Ready {
    to_all(&Filter::any_of(&KEYS.map(|key| (key, Value::Int(1)))).unwrap())
}

fn all_of() -> Ready {
    to_all(&Filter::all_of(&KEYS.map(|key| (key, Value::Int(1)))).unwrap())
}

/// How many units of work that was.
fn say(ready: Ready) {
    println!("units {}", ready.broker.work_of_last_call());
}

#[library_benchmark(teardown = say)]
#[bench::changes_beside_watchers(changes_beside_watchers())]
#[bench::parked(parked())]
#[bench::waited_for(waited_for())]
#[bench::held(held())]
#[bench::everyone(everyone())]
#[bench::growing(growing())]
#[bench::any_of(any_of())]
#[bench::all_of(all_of())]
#[bench::acknowledged(acknowledged())]
#[bench::resumed(resumed())]
#[bench::searched(searched())]
fn input(mut ready: Ready) -> Ready {
    ready.broker.handle_input(ready.now, ready.link, &ready.bytes).unwrap();
    ready
}

#[library_benchmark(teardown = say)]
#[bench::silence(silence())]
#[bench::swept(swept())]
#[bench::one_swept(one_swept())]
fn timeout(mut ready: Ready) -> Ready {
    ready.broker.handle_timeout(ready.now);
    ready
}

#[library_benchmark(teardown = say)]
#[bench::ended(ended())]
fn transmit(mut ready: Ready) -> Ready {
    ready.broker.poll_transmit(ready.now, ready.link, &mut [0; 4096]).unwrap();
    ready
}

#[library_benchmark(teardown = say)]
#[bench::watchers(changes_beside_watchers())]
#[bench::links(Ready::new().links(16_383))]
fn close(mut ready: Ready) -> Ready {
    ready.broker.close(ready.now);
    ready
}

library_benchmark_group!(name = dearest_calls, benchmarks = [input, timeout, transmit, close]);
main!(
    // Nothing is said of caches, and what comes before the calls takes half of the time without them.
    config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"])),
    library_benchmark_groups = dearest_calls
);
