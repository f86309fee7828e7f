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
struct L {
    id: LinkId,
    n: usize,
    next: u64,
    buf: Vec<u8>,
    items: Vec<u8>,
    acked: usize,
    base: u64,
    session: u64,
}
impl L {
    fn take(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
        loop {
            let Ok(Some(e)) = extent(&self.buf, 100_000) else { return };
            if e.total() > self.buf.len() {
                return;
            }
            let kind = self.buf[e.header];
            if kind >= 0x10 {
                self.items.push(kind);
            }
            if kind == 2 {
                let mut r = codec::Reader::new(&self.buf[e.header + 1..e.total()]);
                if let Ok(Control::Welcome(w)) = Control::read(2, &mut r) {
                    self.session = w.session;
                    if w.resumed.is_none() {
                        self.base = 0;
                    }
                }
            }
            self.buf.drain(..e.total());
        }
    }
}

fn run(seed: u64) {
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
    let mut broker = Broker::new(config, 1).unwrap();
    let mut now = Instant::from_micros(1);
    let mut links: Vec<L> = vec![];
    let mut number = 0;
    let mut dead: Vec<LinkId> = vec![];
    let mut memory = [(1_u64, 0_u64, 0_u64); 4];
    for step in 0..600 {
        if (links.len() < 3 || r.percent(8))
            && let Ok(id) = broker.handle_connected(now, 0)
        {
            let n = r.below(4) as usize;
            number += 1;
            let a = attrs(&mut r);
            let mut base = 0;
            let known = if r.percent(80) {
                let (sess, got, ack) = memory[n];
                let honest = r.percent(85);
                let received = ack + r.below(got - ack + 1);
                base = if honest { received } else { 0 };
                Some((honest, sess, received, ack))
            } else {
                None
            };
            let known = known.map(|(honest, sess, received, ack)| Known {
                epoch: (if r.percent(90) { 1_u64 } else { 2 }).to_le_bytes(),
                session: if honest { sess } else { 1 + r.below(8) },
                received: if honest { received } else { r.number() },
                acknowledged: if honest { ack } else { r.number() },
                window: Window { messages: r.number32(), bytes: r.number32() },
            });
            let hello = Hello {
                uuid: *uuid(n).as_bytes(),
                secret: [if r.percent(97) { 0 } else { 1 }; 16],
                boot: (1 + r.below(100) / 95).to_le_bytes(),
                link: if r.percent(95) { number } else { r.number() },
                known,
                window: Window {
                    messages: if r.percent(50) { 1 << 20 } else { r.number32() },
                    bytes: if r.percent(70) { u32::MAX } else { r.below(1000) as u32 },
                },
                max_payload: if r.percent(80) { 64 } else { r.number32() },
                aliases: r.below(5) as u16,
                receives: r.percent(90),
                presence: r.below(3) as u16,
            };
            if r.percent(95) {
                let bytes = frame(|w| Control::Hello(hello, a.as_ref()).write(w));
                let _ = broker.handle_input(now, id, &bytes);
            }
            links.push(L { id, n, next: 0, buf: vec![], items: vec![], acked: 0, base, session: 0 });
        }
        let k = r.below(links.len() as u64) as usize;
        let _ = links[k].n;
        match r.below(21) {
            0..=7 => {
                let d = dest(&mut r);
                let p = past(&mut r);
                let first = links[k].next == 0;
                let base = if first && p.is_none() { step + 1 } else { 1 };
                links[k].next += 1;
                let payload = vec![
                    7;
                    {
                        let k = if r.percent(5) { 300 } else { 65 };
                        r.below(k)
                    } as usize
                ];
                let m = MessageItem {
                    slot: if r.percent(95) { 0 } else { r.below(16) as u8 },
                    define: (first || r.percent(40)).then(|| d.as_ref()),
                    id_step: if r.percent(98) { base + r.below(3) } else { r.number().max(1) },
                    time_to_live_ms: if r.percent(50) { r.below(60) as u32 } else { r.number32().max(1000) },
                    retry: p,
                    until_accepted: r.percent(20),
                    payload: &payload,
                };
                let bytes = frame(|w| UpItem::Message(m).write(w));
                let cut = r.below(bytes.len() as u64 + 1) as usize;
                let _ = broker.handle_input(now, links[k].id, &bytes[..cut]);
                let _ = broker.handle_input(now, links[k].id, &bytes[cut..]);
            }
            8 => {
                let l = &links[k];
                let places: Vec<u64> = l
                    .items
                    .iter()
                    .enumerate()
                    .skip(l.acked)
                    .filter(|x| *x.1 & 0xf0 == 0x20)
                    .map(|x| l.base + x.0 as u64 + 1)
                    .collect();
                let x = if places.is_empty() || r.percent(3) {
                    1 + r.below(6)
                } else {
                    places[r.below(places.len() as u64) as usize]
                };
                if places.is_empty() && r.percent(95) {
                    continue;
                }
                let b = frame(|w| UpItem::Decline(x).write(w));
                let _ = broker.handle_input(now, links[k].id, &b);
            }
            9 | 10 => {
                let l = &mut links[k];
                let open = (l.items.len() - l.acked) as u64;
                if open == 0 && r.percent(97) {
                    continue;
                }
                let x = if open > 0 && r.percent(98) { 1 + r.below(open) } else { r.number().max(1) };
                l.acked = (l.acked as u64).saturating_add(x).min(l.items.len() as u64) as usize;
                let l = &links[k];
                if l.session > 0 {
                    memory[l.n] = (l.session, l.base + l.items.len() as u64, l.base + l.acked as u64);
                }
                let b = frame(|w| Control::Ack(x).write(w));
                let _ = broker.handle_input(now, links[k].id, &b);
            }
            11 => {
                let x = Window { messages: r.number32(), bytes: r.number32() };
                let b = frame(|w| Control::Window(x).write(w));
                let _ = broker.handle_input(now, links[k].id, &b);
            }
            12 => {
                let key = ["a", "b", "c", "d"][r.below(4) as usize];
                let value = r.percent(70).then_some(r.below(2) as i64);
                let b = frame(|w| {
                    w.u8(0x18);
                    w.u8(1);
                    w.bytes(key.as_bytes());
                    match value {
                        None => w.u8(0),
                        Some(v) => {
                            w.u8(1);
                            w.u8(1);
                            w.i64(v);
                        }
                    }
                });
                let _ = broker.handle_input(now, links[k].id, &b);
            }
            13 => {
                let end = r.percent(50);
                let what = r.below(6);
                let b = frame(|w| match what {
                    0 => Control::Goodbye(end).write(w),
                    1 => Control::Farewell.write(w),
                    2 => UpItem::Unwatch(3).write(w),
                    _ => UpItem::Watch(what as u32, Filter::everyone().as_ref()).write(w),
                });
                let _ = broker.handle_input(now, links[k].id, &b);
            }
            14 | 15 | 16 | 19 => {
                let mut out = vec![0; 1 + r.below(200) as usize];
                for _ in 0..r.below(40) {
                    let n = broker.poll_transmit(now, links[k].id, &mut out).unwrap_or(0);
                    links[k].take(&out[..n]);
                    if n == 0 {
                        break;
                    }
                }
                let l = &links[k];
                if l.session > 0 {
                    memory[l.n] = (l.session, l.base + l.items.len() as u64, l.base + l.acked as u64);
                }
            }
            17 => {
                now = now + Duration::from_micros(r.below(20_000));
                broker.handle_timeout(now);
                assert!(broker.poll_timeout().is_none_or(|at| at > now), "busy");
            }
            18 => {
                if r.percent(40) {
                    let l = links.swap_remove(k);
                    broker.handle_disconnected(now, l.id);
                    dead.push(l.id);
                }
            }
            _ => {
                if r.percent(1) {
                    broker.close(now);
                }
                while let Some(ready) = broker.poll_ready() {
                    if let Ready::Close(id) = ready {
                        broker.handle_disconnected(now, id);
                        links.retain(|l| l.id != id);
                    }
                }
                while broker.poll_event().is_some() {}
            }
        }
        assert!(broker.stats().is_balanced(), "{seed} {step} {:?}", broker.stats());
        if links.is_empty() {
            continue;
        }
    }
    for l in links {
        broker.handle_disconnected(now, l.id);
    }
    for _ in 0..400 {
        now = now + Duration::from_millis(500);
        broker.handle_timeout(now);
    }
    let s = broker.stats();
    if std::env::var("V").is_ok() {
        eprintln!("{s:?}");
    }
    assert_eq!((s.links, s.sessions, s.connected, s.held), (0, 0, 0, 0), "{s:?}");
    now = now + Duration::from_secs(8 * 24 * 3600);
    broker.handle_timeout(now);
    let s = broker.stats();
    assert_eq!((s.open, s.waiting, s.payload_bytes), (0, 0, 0), "{s:?}");
    assert_eq!(broker.poll_timeout(), None);
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
