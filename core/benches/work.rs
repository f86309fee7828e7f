//! How many instructions the dearest calls of a broker take at default limits, counted by Valgrind.
//! `cargo bench -p e-pigeon-core --bench work` prints them; it needs valgrind, and the runner that `.ci/instructions` installs.
//! Sessions have no memory for messages yet, so each delivery to one of 100,000 makes room first.
#![allow(missing_docs, clippy::unwrap_used)]

use core::time::Duration;
use e_pigeon_core::codec::{Reader, Writer};
use e_pigeon_core::framing::write_header;
use e_pigeon_core::wire::control::{Control, Hello, Window};
use e_pigeon_core::wire::item::{Message, UpItem};
use e_pigeon_core::{
    Attributes, AttributesRef, Broker, BrokerConfig, Destination, Filter, Instant, LinkId, PatchRef, Uuid,
    Value,
};
use gungraun::{library_benchmark, library_benchmark_group, main};

const KEYS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

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
    let hello = Hello {
        uuid: *Uuid::from_u128(n as u128 + 1).as_bytes(),
        secret: [1; 16],
        boot: 5_u64.to_le_bytes(),
        link: 1,
        known: None,
        window: Window { messages: 1 << 20, bytes: u32::MAX },
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
    let define = to.map(Destination::as_ref);
    let message = Message {
        slot: 0,
        define,
        id_step: 1,
        time_to_live_ms: 3_600_000,
        retry: None,
        until_accepted: false,
        payload: b"",
    };
    frame(|w| UpItem::Message(message).write(w))
}

impl Ready {
    fn new() -> Self {
        let config = BrokerConfig { settle: Duration::ZERO, ..BrokerConfig::new(0) };
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
    let mut ready = Ready::new().crowd(1_000);
    ready.now = ready.now + Duration::from_secs(60);
    ready
}

fn parked() -> Ready {
    let mut ready = Ready::new();
    KEYS.iter().for_each(|key| ready.put(ready.link, &set(key, 1)));
    let pairs = KEYS.map(|key| (key, Value::Int(1)));
    let to = Destination::from(Filter::any_of(&pairs).unwrap()).without_sender();
    for n in 0..20_000 {
        ready.put(ready.link, &message((n == 0).then_some(&to)));
    }
    ready.bytes = set("zz", 1);
    ready
}

fn to_all(filter: &Filter) -> Ready {
    let mut ready = Ready::new().away(99_998);
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

#[library_benchmark]
#[bench::changes_beside_watchers(changes_beside_watchers())]
#[bench::parked(parked())]
#[bench::everyone(everyone())]
#[bench::any_of(any_of())]
#[bench::all_of(all_of())]
fn input(mut ready: Ready) -> Ready {
    ready.broker.handle_input(ready.now, ready.link, &ready.bytes).unwrap();
    ready
}

#[library_benchmark]
#[bench::silence(silence())]
fn timeout(mut ready: Ready) -> Ready {
    ready.broker.handle_timeout(ready.now);
    ready
}

#[library_benchmark]
#[bench::crowd(changes_beside_watchers())]
fn close(mut ready: Ready) -> Ready {
    ready.broker.close(ready.now);
    ready
}

library_benchmark_group!(name = dearest_calls, benchmarks = [input, timeout, close]);
main!(library_benchmark_groups = dearest_calls);
