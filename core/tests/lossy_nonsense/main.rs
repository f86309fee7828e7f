//! Random frames, well-formed and damaged, with right and wrong tags, numbers and states, over lossy framed transports:
//! to a broker that serves others meanwhile, and to a client.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap
)]

mod client;
#[path = "../support/mod.rs"]
mod support;

use e_pigeon_core::codec::{Reader, Writer};
use e_pigeon_core::wire::control::{Abort, Control, Hello, Known, Resumed, Welcome};
use e_pigeon_core::wire::item::{Deliver, DownItem, MessageItem, Origin, Reply, UpItem};
use e_pigeon_core::wire::state::{Prefix, StateFrame, tag, welcomed_tag};
use e_pigeon_core::wire::window::Window;
use e_pigeon_core::{
    AbortCode, AttributesRef, Broker, BrokerConfig, Client, Filter, Framing, Instant, LinkId, Message, Ready,
    RefusalReason, Value,
};
use support::counting::{Counting, live};
use support::lossy::{FRAMINGS, Lab, NONE, ms};
use support::lossy_raw::{WIDE, carried, frame, hello_of};
use support::random::Random;
use support::{client_config, group, make, uuid};

#[global_allocator]
static COUNTING: Counting = Counting;

/// As many runs as are asked for, or as few as take a moment.
fn seeds(default: u64) -> u64 {
    std::env::var("E_PIGEON_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(default)
}

/// Near a number that would be right, or far from it.
fn near(r: &mut Random, right: u64) -> u64 {
    match r.below(20) {
        0 => u64::MAX - r.below(2),
        1 => right.saturating_add(60 + r.below(8)),
        2 => right.saturating_sub(1 + r.below(3)),
        3 => r.next(),
        4..=8 => right + r.below(5),
        _ => right,
    }
}

fn window(r: &mut Random) -> Window {
    if r.percent(80) { WIDE } else { Window { messages: r.below(3) as u32, bytes: r.next() as u32 } }
}

/// Where a hostile end believes that it is.
struct Enemy {
    framing: Framing,
    /// What its hello or welcome carries, and what everything else does.
    hello_tag: u32,
    tag: u32,
    link: u64,
    /// Items and states that it has written, and what came from the other end.
    number: u64,
    serial: u64,
    received: u64,
    heard: u64,
    /// What it has written, to be written again.
    old: Vec<Vec<u8>>,
}

impl Enemy {
    fn new(framing: Framing) -> Self {
        Self {
            framing,
            hello_tag: 0,
            tag: 0,
            link: 0,
            number: 0,
            serial: 0,
            received: 0,
            heard: 0,
            old: Vec::new(),
        }
    }

    fn starts(&mut self, tag: u32) {
        (self.number, self.serial, self.received, self.heard) = (0, 0, 0, 0);
        (self.hello_tag, self.tag) = (tag, tag);
    }

    /// The frame that begins a link.
    fn carry_first(&mut self, r: &mut Random, write: impl Fn(&mut Writer<'_>)) -> Vec<u8> {
        self.tag = self.hello_tag;
        self.carry(r, false, write)
    }

    fn is_welcomed(&mut self, welcome: &Welcome) {
        self.tag = welcomed_tag(self.hello_tag, u64::from_le_bytes(welcome.epoch), welcome.session);
    }

    /// Notes what the other end says, where it comes as a datagram.
    fn hears(&mut self, bytes: &[u8]) {
        let mut reader = Reader::new(bytes);
        let Ok(prefix) = Prefix::read(&mut reader) else { return };
        self.received = self.received.max(prefix.number);
        let control = reader.u8().and_then(|kind| Control::read(kind, &mut reader));
        match control {
            Ok(Control::State(state)) if prefix.number == 0 => self.heard = state.serial,
            Ok(Control::Welcome(welcome)) if prefix.number == 0 => self.is_welcomed(&welcome),
            _ => {}
        }
    }

    fn state(&mut self, r: &mut Random) -> StateFrame {
        self.serial += 1 + r.below(2);
        let received = near(r, self.received);
        let beyond = if r.percent(30) { r.next() & r.next() & !1 } else { 0 };
        StateFrame {
            serial: near(r, self.serial).max(1),
            heard: near(r, self.heard),
            wants_reply: r.percent(50),
            received,
            acknowledged: if r.percent(80) { received } else { r.below(received.saturating_add(1).max(1)) },
            window: window(r),
            beyond,
        }
    }

    fn number(&mut self, r: &mut Random, is_item: bool) -> u64 {
        if !is_item {
            return if r.percent(98) { 0 } else { r.below(3) };
        }
        self.number += u64::from(r.percent(80));
        near(r, self.number)
    }

    /// The frame as it is carried: sometimes damaged, sometimes an old one instead.
    fn carry(&mut self, r: &mut Random, is_item: bool, write: impl Fn(&mut Writer<'_>)) -> Vec<u8> {
        let number = self.number(r, is_item);
        let tag = if r.percent(93) { self.tag } else { r.next() as u32 };
        let mut content = frame(Framing::Datagram, tag, number, write);
        if r.percent(10) {
            let at = r.below(content.len() as u64) as usize;
            match r.below(3) {
                0 => content[at] ^= 1 << r.below(8),
                1 => content.truncate(at),
                _ => content.insert(at, r.next() as u8),
            }
        }
        let mut bytes = carried(self.framing, &content);
        if self.framing == Framing::Cobs && r.percent(5) {
            bytes.insert(r.below(bytes.len() as u64) as usize, r.next() as u8);
        }
        if self.old.len() < 50 {
            self.old.push(bytes.clone());
        } else if r.percent(10) {
            let at = r.below(50) as usize;
            return core::mem::replace(&mut self.old[at], bytes);
        }
        bytes
    }

    /// Something for a broker.
    fn up(&mut self, r: &mut Random) -> Vec<u8> {
        let payload = vec![b'x'; r.below(40) as usize];
        let to = if r.percent(50) { uuid(r.below(8) as usize).into() } else { group("a") };
        match r.below(20) {
            0 | 1 => {
                self.link += r.below(3);
                let (n, boot) = (4 + r.below(3), 5 + r.below(20) / 19);
                let known = r.percent(60).then(|| Known {
                    epoch: 1_u64.to_le_bytes(),
                    session: 1 + r.below(12),
                    received: near(r, self.received),
                    acknowledged: near(r, self.received),
                    window: window(r),
                });
                let hello = Hello { known, receives: r.percent(80), ..hello_of(n as usize, boot, self.link) };
                let hello = if r.percent(97) { hello } else { Hello { secret: [99; 16], ..hello } };
                self.starts(tag(boot, self.link));
                self.carry_first(r, |w| Control::Hello(hello, AttributesRef::EMPTY).write(w))
            }
            2..=9 => {
                let message = MessageItem {
                    slot: (r.below(20) / 18) as u8,
                    define: r.percent(98).then(|| to.as_ref()),
                    id_step: near(r, self.number + 1).max(1),
                    time_to_live_ms: r.below(2_000) as u32,
                    retry: None,
                    until_accepted: r.percent(20),
                    payload: &payload,
                };
                self.carry(r, true, |w| UpItem::Message(message).write(w))
            }
            10..=14 => {
                let state = self.state(r);
                self.carry(r, false, |w| Control::State(state).write(w))
            }
            15 => {
                let number = near(r, self.received).max(1);
                self.carry(r, true, |w| UpItem::Decline(number).write(w))
            }
            16 => {
                let number = r.below(4) as u32;
                let everyone = Filter::everyone();
                self.carry(r, true, |w| UpItem::Watch(number, everyone.as_ref()).write(w))
            }
            17 => {
                let end = r.percent(50);
                self.carry(r, false, |w| Control::Goodbye(end).write(w))
            }
            18 => {
                let kind = r.below(256) as u8;
                let is_item = kind >= 0x10;
                self.carry(r, is_item, |w| w.u8(kind))
            }
            _ => {
                let abort = Control::Abort(Abort { code: AbortCode::Silent, detail: 0 });
                self.carry(r, false, |w| abort.write(w))
            }
        }
    }

    /// Something for a client.
    fn down(&mut self, r: &mut Random, session: u64) -> Vec<u8> {
        let payload = vec![b'y'; r.below(90) as usize];
        match r.below(20) {
            0..=2 => {
                let resumed = r.percent(40).then(|| Resumed {
                    received: near(r, self.received),
                    acknowledged: near(r, self.received),
                });
                let welcome = Welcome {
                    epoch: r.below(2).to_le_bytes(),
                    session: session + r.below(10) / 9,
                    resumed,
                    window: window(r),
                    max_payload: 64,
                    slots: r.below(3) as u8,
                    keep_alive_ms: r.below(300) as u32,
                    session_ttl_ms: r.below(3_000),
                };
                let bytes = self.carry_first(r, |w| Control::Welcome(welcome).write(w));
                self.is_welcomed(&welcome);
                bytes
            }
            3..=8 => {
                let deliver = Deliver {
                    alias: (r.below(20) / 19) as u8,
                    define: r.percent(98).then(|| Origin { uuid: [r.below(6) as u8; 16], boot: r.below(2) }),
                    id_step: near(r, self.number).cast_signed(),
                    retry: None,
                    late: r.percent(10),
                    direct: r.percent(50),
                    payload: &payload,
                };
                self.carry(r, true, |w| DownItem::Deliver(deliver).write(w))
            }
            9..=14 => {
                let state = self.state(r);
                self.carry(r, false, |w| Control::State(state).write(w))
            }
            15 => {
                let reason = RefusalReason::NotAllowed;
                let reply = if r.percent(50) {
                    Reply::WatchRefused(r.below(4) as u32, reason)
                } else {
                    Reply::AttributesRefused(reason)
                };
                self.carry(r, true, |w| DownItem::Reply(reply).write(w))
            }
            16 => {
                let watch = r.below(4) as u32;
                if r.percent(50) {
                    let count = if r.percent(80) { 1 } else { watch };
                    self.carry(r, true, |w| DownItem::Void(count).write(w))
                } else {
                    self.carry(r, true, |w| DownItem::PresenceReset(watch).write(w))
                }
            }
            17 => self.carry(r, false, |w| Control::Farewell.write(w)),
            18 => {
                let kind = r.below(256) as u8;
                let is_item = kind >= 0x10;
                self.carry(r, is_item, |w| w.u8(kind))
            }
            _ => {
                let abort = Control::Abort(Abort { code: AbortCode::Superseded, detail: 0 });
                self.carry(r, false, |w| abort.write(w))
            }
        }
    }
}

fn small() -> BrokerConfig {
    BrokerConfig::new(0)
        .settle(ms(0))
        .max_links(8)
        .max_sessions(8)
        .max_payload(64)
        .max_messages(400)
        .max_message_bytes(20_000)
        .max_held(20)
        .queue_messages(40)
        .queue_bytes(2_000)
        .window_messages(40)
        .window_bytes(2_000)
        .receipt_backlog(20)
        .max_watches(2)
        .reorder_bytes(500)
        .session_ttl(ms(2_000))
        .keep_alive(ms(300))
        .handshake_timeout(ms(200))
}

/// A broker, enemies, and how much memory the broker has.
struct Siege {
    broker: Broker,
    now: Instant,
    enemies: Vec<(Option<LinkId>, Enemy)>,
    used: isize,
}

impl Siege {
    fn call<T>(&mut self, f: impl FnOnce(&mut Broker, Instant) -> T) -> T {
        let before = live();
        let done = f(&mut self.broker, self.now);
        self.used += live() - before;
        done
    }

    fn step(&mut self, r: &mut Random) {
        let n = r.below(self.enemies.len() as u64) as usize;
        let framing = self.enemies[n].1.framing;
        let Some(link) = self.enemies[n].0 else {
            self.enemies[n].0 = self.call(|broker, now| broker.handle_connected_over(now, 0, framing).ok());
            return;
        };
        let bytes = self.enemies[n].1.up(r);
        let cut = if framing == Framing::Cobs { r.below(bytes.len() as u64 + 1) as usize } else { 0 };
        for piece in [&bytes[..cut], &bytes[cut..]] {
            let _ = self.call(|broker, now| broker.handle_input(now, link, piece));
        }
        for _ in 0..r.below(8) {
            let mut out = vec![0; if framing == Framing::Cobs { 1 + r.below(200) as usize } else { 3_000 }];
            let written = self.call(|broker, now| broker.poll_transmit(now, link, &mut out).unwrap_or(0));
            self.enemies[n].1.hears(&out[..written]);
        }
        if r.percent(10) {
            self.now = self.now + ms(r.below(100));
            self.call(Broker::handle_timeout);
            assert!(self.broker.poll_timeout().is_none_or(|at| at > self.now), "it does not come to rest");
        }
        while let Some(ready) = self.call(|broker, _| broker.poll_ready()) {
            if let Ready::Close(link) = ready {
                self.call(|broker, now| broker.handle_disconnected(now, link));
                self.enemies
                    .iter_mut()
                    .filter(|enemy| enemy.0 == Some(link))
                    .for_each(|enemy| enemy.0 = None);
            }
        }
        while self.call(|broker, _| broker.poll_event()).is_some() {}
    }
}

#[test]
fn a_broker_stays_within_its_limits_whatever_comes() {
    for seed in 0..seeds(20) {
        let mut r = Random(seed);
        let before = live();
        let broker = Broker::new(small(), 1).unwrap();
        let used = live() - before;
        let enemies = (0..6).map(|n| (None, Enemy::new(FRAMINGS[n % 2]))).collect();
        let mut siege = Siege { broker, now: Instant::from_micros(1), enemies, used };
        let limit = small().worst_case_bytes() as isize;
        for step in 0..3_000 {
            siege.step(&mut r);
            assert!(
                siege.broker.stats().is_balanced(),
                "seed {seed}, step {step}: {:?}",
                siege.broker.stats()
            );
            assert!(siege.used <= limit, "seed {seed}, step {step}: {} of {limit} bytes", siege.used);
        }
        for (link, _) in siege.enemies {
            link.into_iter().for_each(|link| siege.broker.handle_disconnected(siege.now, link));
        }
        let late = siege.now + ms(8 * 24 * 3_600_000);
        (0..3).for_each(|_| siege.broker.handle_timeout(late));
        let stats = siege.broker.stats();
        assert_eq!(
            (stats.sessions, stats.held, stats.open, stats.payload_bytes),
            (0, 0, 0, 0),
            "seed {seed}"
        );
        assert_eq!(siege.broker.poll_timeout(), None, "seed {seed}");
    }
}

#[test]
fn others_notice_nothing_of_a_hostile_peer() {
    for seed in 0..seeds(6) {
        let framing = FRAMINGS[seed as usize % 2];
        let mut r = Random(seed);
        let mut lab = Lab::new(seed, framing, 2, NONE);
        let config = small().keep_alive(ms(10_000)).handshake_timeout(ms(1_000));
        // Nobody can take all that there is from the others.
        let config = config.max_messages(100_000).queue_messages(100_000);
        let config = config.max_message_bytes(1 << 24).queue_bytes(1 << 24);
        lab.broker = Broker::new(config, 1).unwrap();
        lab.all_here();
        let mut enemies = FRAMINGS.map(|framing| (None, Enemy::new(framing)));
        let mut sent = 0;
        for turn in 0..1_500 {
            let (link, enemy) = &mut enemies[turn % 2];
            let now = lab.now;
            let id =
                *link.get_or_insert_with(|| lab.broker.handle_connected_over(now, 0, enemy.framing).unwrap());
            let bytes = enemy.up(&mut r);
            let mut out = vec![0; 3_000];
            if lab.broker.handle_input(now, id, &bytes).is_err() {
                *link = None;
            }
            while let Ok(written @ 1..) = lab.broker.poll_transmit(now, id, &mut out) {
                enemy.hears(&out[..written]);
            }
            if turn % 10 == 0
                && lab.send(turn / 10 % 2, &uuid(1 - turn / 10 % 2).into(), &format!("honest {turn}"))
            {
                sent += 1;
            }
            lab.pass(ms(r.below(20)));
        }
        lab.until("all are answered", ms(60_000), |lab| {
            lab.peers.iter().map(|peer| peer.finals.len()).sum::<usize>() == sent
        });
        let mut got = 0;
        for peer in &lab.peers {
            let turns = peer.got.iter().filter_map(|text| text.strip_prefix("honest "));
            let turns: Vec<u64> = turns.map(|turn| turn.parse().unwrap()).collect();
            assert!(turns.is_sorted(), "seed {seed}: {turns:?}");
            got += turns.len();
        }
        assert_eq!(got, sent, "seed {seed}");
        assert!(lab.peers.iter().all(|peer| peer.lost == 0 && peer.client.is_established()), "seed {seed}");
    }
}
