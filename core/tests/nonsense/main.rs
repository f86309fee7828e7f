//! Well-formed nonsense: hostile clients against a broker, a hostile broker against a client.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::panic, missing_docs)]

mod client;
#[path = "../support/mod.rs"]
mod support;
use core::time::Duration;
use e_pigeon_core::wire::control::*;
use e_pigeon_core::wire::frame::extent;
use e_pigeon_core::wire::item::*;
use e_pigeon_core::wire::window::Window;
use e_pigeon_core::*;
use support::random::Random;
use support::raw::frame;
use support::{make, uuid};

impl Random {
    /// Mostly small, sometimes huge.
    fn number(&mut self) -> u64 {
        match self.below(30) {
            0 => u64::MAX,
            1 => u64::MAX - 1,
            2 => u64::from(u32::MAX),
            3 => 1 << 63,
            _ => self.below(6),
        }
    }
    fn number32(&mut self) -> u32 {
        u32::try_from(self.number()).unwrap_or(u32::MAX)
    }
}
fn attrs(r: &mut Random) -> Attributes {
    let mut a = Attributes::new();
    for k in ["a", "b", "c"] {
        if r.percent(50) {
            a.set(k, Value::Int(r.below(2) as i64)).unwrap();
        }
    }
    a
}
fn dest(r: &mut Random) -> Destination {
    let v = |r: &mut Random| Value::Int(r.below(2) as i64);
    let d: Destination = match r.below(6) {
        0 | 1 => uuid(r.below(4) as usize).into(),
        2 => Filter::everyone().into(),
        3 => Filter::all_of(&[("a", v(r))]).unwrap().into(),
        4 => Filter::all_of(&[("a", v(r)), ("b", v(r))]).unwrap().into(),
        _ => Filter::any_of(&[("a", v(r)), ("b", v(r)), ("c", v(r))]).unwrap().into(),
    };
    let d = if r.percent(30) { d.exclude_self() } else { d };
    if r.percent(20) { d.only_connected() } else { d }
}
fn past(r: &mut Random) -> Option<Past> {
    match r.below(6) {
        0 => Some(Past::Sent),
        1 => Some(Past::Parked),
        2 => Some(Past::Taken(Taken {
            recipients: r.number32().max(1),
            epoch: r.below(3),
            session: r.number(),
            answered_first: r.percent(50),
        })),
        _ => None,
    }
}
/// A link, as its client sees it.
struct Link {
    id: LinkId,
    client: usize,
    messages: u64,
    unread: Vec<u8>,
    /// The kinds of the items that came.
    items: Vec<u8>,
    acknowledged: usize,
    /// The number of the last item before these.
    base: u64,
    session: u64,
}

impl Link {
    fn take(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
        while let Ok(Some(extent)) = extent(&self.unread, 100_000)
            && extent.total() <= self.unread.len()
        {
            let kind = self.unread[extent.header];
            if kind >= 0x10 {
                self.items.push(kind);
            }
            if kind == 2 {
                let mut reader = codec::Reader::new(&self.unread[extent.header + 1..extent.total()]);
                if let Ok(Control::Welcome(welcome)) = Control::read(2, &mut reader) {
                    self.session = welcome.session;
                    if welcome.resumed.is_none() {
                        self.base = 0;
                    }
                }
            }
            self.unread.drain(..extent.total());
        }
    }

    /// The numbers of the deliveries that are not acknowledged.
    fn deliveries(&self) -> Vec<u64> {
        let items = self.items.iter().enumerate().skip(self.acknowledged);
        items.filter(|(_, kind)| *kind & 0xf0 == 0x20).map(|(at, _)| self.base + at as u64 + 1).collect()
    }
}

/// A broker, and clients that send anything that is well-formed.
struct World {
    r: Random,
    broker: Broker,
    now: Instant,
    links: Vec<Link>,
    link_number: u64,
    /// For each client its session, and the last items that it has received and acknowledged.
    memory: [(u64, u64, u64); 4],
}

impl World {
    fn new(seed: u64) -> Self {
        let mut r = Random(seed);
        let config = BrokerConfig::new(0)
            .max_links(6)
            .max_sessions(1 + r.below(4) as u32)
            .max_attributes(1 + r.below(3) as u8)
            .max_payload(64)
            .max_messages(1 + r.below(40) as u32)
            .max_message_bytes(64 + r.below(3000))
            .max_held(r.below(10) as u32)
            .queue_messages(1 + r.below(12) as u32)
            .queue_bytes(64 + r.below(300))
            .window_messages(1 + r.below(20) as u32)
            .window_bytes(64 + r.below(1000) as u32)
            .receipt_backlog(1 + r.below(8) as u32)
            .session_ttl(Duration::from_millis(1 + r.below(200)))
            .settle(Duration::from_millis(r.below(60)))
            .keep_alive(Duration::from_millis(1 + r.below(100)))
            .accept_delay(Duration::from_millis(r.below(20)));
        let broker = Broker::new(config, 1).unwrap();
        let now = Instant::from_micros(1);
        Self { r, broker, now, links: vec![], link_number: 0, memory: [(1, 0, 0); 4] }
    }

    fn step(&mut self, step: u64) {
        if (self.links.len() < 3 || self.r.percent(8))
            && let Ok(id) = self.broker.handle_connected(self.now, 0)
        {
            self.connect(id);
        }
        let at = self.r.below(self.links.len() as u64) as usize;
        match self.r.below(21) {
            0..=7 => self.message(at, step),
            8 => self.decline(at),
            9 | 10 => self.acknowledge(at),
            11 => {
                let window = Window { messages: self.r.number32(), bytes: self.r.number32() };
                self.send(at, |writer| Control::Window(window).write(writer));
            }
            12 => self.change(at),
            13 => self.watch_or_leave(at),
            14 | 15 | 16 | 19 => self.read(at),
            17 => self.wait(),
            18 => {
                if self.r.percent(40) {
                    let link = self.links.swap_remove(at);
                    self.broker.handle_disconnected(self.now, link.id);
                }
            }
            _ => self.close(),
        }
    }

    /// Sends a whole frame over a link.
    fn send(&mut self, at: usize, write: impl Fn(&mut codec::Writer<'_>)) {
        let _ = self.broker.handle_input(self.now, self.links[at].id, &frame(write));
    }

    fn connect(&mut self, id: LinkId) {
        let client = self.r.below(4) as usize;
        self.link_number += 1;
        let attributes = attrs(&mut self.r);
        let (known, base) = self.known(client);
        let hello = self.hello(client, known);
        if self.r.percent(95) {
            let bytes = frame(|writer| Control::Hello(hello, attributes.as_ref()).write(writer));
            let _ = self.broker.handle_input(self.now, id, &bytes);
        }
        let (unread, items) = (vec![], vec![]);
        self.links.push(Link { id, client, messages: 0, unread, items, acknowledged: 0, base, session: 0 });
    }

    /// The session that a hello names, most often honestly, and the last item that its client has of it.
    fn known(&mut self, client: usize) -> (Option<Known>, u64) {
        let r = &mut self.r;
        if !r.percent(80) {
            return (None, 0);
        }
        let (session, received, acknowledged) = self.memory[client];
        let honest = r.percent(85);
        let received = acknowledged + r.below(received - acknowledged + 1);
        let known = Known {
            epoch: (if r.percent(90) { 1_u64 } else { 2 }).to_le_bytes(),
            session: if honest { session } else { 1 + r.below(8) },
            received: if honest { received } else { r.number() },
            acknowledged: if honest { acknowledged } else { r.number() },
            window: Window { messages: r.number32(), bytes: r.number32() },
        };
        (Some(known), if honest { received } else { 0 })
    }

    fn hello(&mut self, client: usize, known: Option<Known>) -> Hello {
        let r = &mut self.r;
        Hello {
            uuid: *uuid(client).as_bytes(),
            secret: [if r.percent(97) { 0 } else { 1 }; 16],
            boot: (1 + r.below(100) / 95).to_le_bytes(),
            link: if r.percent(95) { self.link_number } else { r.number() },
            known,
            window: Window {
                messages: if r.percent(50) { 1 << 20 } else { r.number32() },
                bytes: if r.percent(70) { u32::MAX } else { r.below(1000) as u32 },
            },
            max_payload: if r.percent(80) { 64 } else { r.number32() },
            aliases: r.below(5) as u16,
            receives: r.percent(90),
            presence: r.below(3) as u16,
        }
    }

    /// Sends a message in two pieces.
    fn message(&mut self, at: usize, step: u64) {
        let (r, link) = (&mut self.r, &mut self.links[at]);
        let (to, retry) = (dest(r), past(r));
        let first = link.messages == 0;
        let id_step = if first && retry.is_none() { step + 1 } else { 1 };
        link.messages += 1;
        let most = if r.percent(5) { 300 } else { 65 };
        let payload = vec![7; r.below(most) as usize];
        let message = MessageItem {
            slot: if r.percent(95) { 0 } else { r.below(16) as u8 },
            define: (first || r.percent(40)).then(|| to.as_ref()),
            id_step: if r.percent(98) { id_step + r.below(3) } else { r.number().max(1) },
            time_to_live_ms: if r.percent(50) { r.below(60) as u32 } else { r.number32().max(1000) },
            retry,
            until_accepted: r.percent(20),
            payload: &payload,
        };
        let bytes = frame(|writer| UpItem::Message(message).write(writer));
        let cut = r.below(bytes.len() as u64 + 1) as usize;
        let _ = self.broker.handle_input(self.now, link.id, &bytes[..cut]);
        let _ = self.broker.handle_input(self.now, link.id, &bytes[cut..]);
    }

    fn decline(&mut self, at: usize) {
        let (r, deliveries) = (&mut self.r, self.links[at].deliveries());
        let number = if deliveries.is_empty() || r.percent(3) {
            1 + r.below(6)
        } else {
            deliveries[r.below(deliveries.len() as u64) as usize]
        };
        if !deliveries.is_empty() || !r.percent(95) {
            self.send(at, |writer| UpItem::Decline(number).write(writer));
        }
    }

    fn acknowledge(&mut self, at: usize) {
        let (r, link) = (&mut self.r, &mut self.links[at]);
        let open = (link.items.len() - link.acknowledged) as u64;
        if open == 0 && r.percent(97) {
            return;
        }
        let more = if open > 0 && r.percent(98) { 1 + r.below(open) } else { r.number().max(1) };
        let acknowledged = (link.acknowledged as u64).saturating_add(more);
        link.acknowledged = acknowledged.min(link.items.len() as u64) as usize;
        self.remember(at);
        self.send(at, |writer| Control::Ack(more).write(writer));
    }

    /// Sets or removes an attribute.
    fn change(&mut self, at: usize) {
        let key = ["a", "b", "c", "d"][self.r.below(4) as usize];
        let value = self.r.percent(70).then_some(self.r.below(2) as i64);
        self.send(at, |writer| {
            writer.u8(0x18);
            writer.u8(1);
            writer.bytes(key.as_bytes());
            writer.u8(u8::from(value.is_some()));
            if let Some(value) = value {
                writer.u8(1);
                writer.i64(value);
            }
        });
    }

    fn watch_or_leave(&mut self, at: usize) {
        let (end, what) = (self.r.percent(50), self.r.below(6));
        self.send(at, |writer| match what {
            0 => Control::Goodbye(end).write(writer),
            1 => Control::Farewell.write(writer),
            2 => UpItem::Unwatch(3).write(writer),
            _ => UpItem::Watch(what as u32, Filter::everyone().as_ref()).write(writer),
        });
    }

    /// Reads some of what the broker has for a link.
    fn read(&mut self, at: usize) {
        let mut out = vec![0; 1 + self.r.below(200) as usize];
        let link = &mut self.links[at];
        for _ in 0..self.r.below(40) {
            let count = self.broker.poll_transmit(self.now, link.id, &mut out).unwrap_or(0);
            link.take(&out[..count]);
            if count == 0 {
                break;
            }
        }
        self.remember(at);
    }

    /// Remembers how far the client of a link has come.
    fn remember(&mut self, at: usize) {
        let link = &self.links[at];
        if link.session > 0 {
            let (received, acknowledged) = (link.items.len() as u64, link.acknowledged as u64);
            self.memory[link.client] = (link.session, link.base + received, link.base + acknowledged);
        }
    }

    fn wait(&mut self) {
        self.now = self.now + Duration::from_micros(self.r.below(20_000));
        self.broker.handle_timeout(self.now);
        assert!(self.broker.poll_timeout().is_none_or(|at| at > self.now), "busy");
    }

    /// Closes the links that the broker has ended, and sometimes the broker.
    fn close(&mut self) {
        if self.r.percent(1) {
            self.broker.close(self.now);
        }
        while let Some(ready) = self.broker.poll_ready() {
            if let Ready::Close(id) = ready {
                self.broker.handle_disconnected(self.now, id);
                self.links.retain(|link| link.id != id);
            }
        }
        while self.broker.poll_event().is_some() {}
    }

    /// In the end nothing is left.
    fn end(mut self) {
        for link in &self.links {
            self.broker.handle_disconnected(self.now, link.id);
        }
        for _ in 0..400 {
            self.now = self.now + Duration::from_millis(500);
            self.broker.handle_timeout(self.now);
        }
        let stats = self.broker.stats();
        assert_eq!((stats.links, stats.sessions, stats.connected, stats.held), (0, 0, 0, 0), "{stats:?}");
        self.now = self.now + Duration::from_secs(8 * 24 * 3600);
        self.broker.handle_timeout(self.now);
        let stats = self.broker.stats();
        assert_eq!((stats.open, stats.waiting, stats.payload_bytes), (0, 0, 0), "{stats:?}");
        assert_eq!(self.broker.poll_timeout(), None);
    }
}

fn run(seed: u64) {
    let mut world = World::new(seed);
    for step in 0..600 {
        world.step(step);
        let stats = world.broker.stats();
        assert!(stats.is_balanced(), "{seed} {step} {stats:?}");
    }
    world.end();
}

#[test]
fn hostile_clients() {
    let from: u64 = std::env::var("F").ok().and_then(|v| v.parse().ok()).unwrap_or(0);
    let n: u64 = std::env::var("N").ok().and_then(|v| v.parse().ok()).unwrap_or(3000);
    for seed in from..from + n {
        if let Err(e) = std::panic::catch_unwind(|| run(seed)) {
            eprintln!("SEED {seed}");
            std::panic::resume_unwind(e);
        }
    }
}
