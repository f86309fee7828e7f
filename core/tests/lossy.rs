//! Clients and a broker over lines that lose, repeat, reorder and damage frames.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation
)]

mod support;

use core::time::Duration;
use e_pigeon_core::{
    Broker, BrokerConfig, Client, ClientConfig, Close, Destination, Event, Framing, Instant, LinkId,
    Outgoing, Ready, Receipt, Value,
};
use std::collections::{BTreeMap, VecDeque};
use support::random::Random;
use support::{client_config, group, make, uuid};

/// What a line does to what it carries, in percent.
#[derive(Clone, Copy, Debug)]
struct Faults {
    lost: u64,
    twice: u64,
    late: u64,
}

const NONE: Faults = Faults { lost: 0, twice: 0, late: 0 };

struct Peer {
    client: Client<Vec<u8>>,
    link: Option<LinkId>,
    /// What is on its way: to the broker or not, and bytes, by arrival.
    line: BTreeMap<(Instant, u64), (bool, Vec<u8>)>,
    got: Vec<String>,
    finals: Vec<Receipt>,
    closed: bool,
    polls: bool,
}

struct Lab {
    random: Random,
    framing: Framing,
    faults: Faults,
    delay: Duration,
    now: Instant,
    broker: Broker,
    peers: Vec<Peer>,
    sequence: u64,
    frames: u64,
}

fn broker(epoch: u64) -> Broker {
    let config = BrokerConfig {
        settle: ms(0),
        session_ttl: ms(3_600_000),
        reorder_bytes: 3_000,
        ..BrokerConfig::default()
    };
    Broker::new(config, epoch).unwrap()
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

impl Lab {
    fn new(seed: u64, framing: Framing, clients: usize, faults: Faults) -> Self {
        Self::with(seed, framing, clients, faults, |_| {})
    }

    fn with(
        seed: u64,
        framing: Framing,
        clients: usize,
        faults: Faults,
        adjust: impl Fn(&mut ClientConfig),
    ) -> Self {
        let mut lab = Self {
            random: Random(seed),
            framing,
            faults,
            delay: ms(5),
            now: Instant::from_micros(1),
            broker: broker(1),
            peers: Vec::new(),
            sequence: 0,
            frames: 0,
        };
        for n in 0..clients {
            let mut config = client_config(n);
            config.framing = framing;
            adjust(&mut config);
            lab.peers.push(Peer {
                client: make(config),
                link: None,
                line: BTreeMap::new(),
                got: Vec::new(),
                finals: Vec::new(),
                closed: false,
                polls: true,
            });
            lab.peers[n].client.set(lab.now, "room", Value::Str("a")).unwrap();
        }
        lab
    }

    fn carry(&mut self, n: usize, up: bool, mut bytes: Vec<u8>) {
        self.frames += 1;
        let faults = self.faults;
        if self.framing == Framing::Cobs {
            // A byte is flipped, lost or inserted.
            if self.random.percent(faults.lost) {
                let at = self.random.below(bytes.len() as u64) as usize;
                match self.random.below(3) {
                    0 => bytes[at] ^= 1 << self.random.below(8),
                    1 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, self.random.next() as u8),
                }
            }
            return self.put(n, up, self.delay, bytes);
        }
        let copies = if self.random.percent(faults.twice) { 2 } else { 1 };
        for _ in 0..copies {
            if !self.random.percent(faults.lost) {
                let late = if self.random.percent(faults.late) { 40 } else { 0 };
                let delay = self.delay + ms(self.random.below(late + 1));
                self.put(n, up, delay, bytes.clone());
            }
        }
    }

    fn put(&mut self, n: usize, up: bool, delay: Duration, bytes: Vec<u8>) {
        self.sequence += 1;
        self.peers[n].line.insert((self.now + delay, self.sequence), (up, bytes));
    }

    fn transmit(&mut self, n: usize) {
        let now = self.now;
        let mut out = vec![0; 9_000];
        loop {
            let before = self.peers[n].client.wants_transmit();
            let written = self.peers[n].client.poll_transmit(now, &mut out);
            assert_eq!(before, written > 0, "client {n} says {before} and writes {written}");
            if written == 0 {
                break;
            }
            self.carry(n, true, out[..written].to_vec());
        }
        while let Some(link) = self.peers[n].link {
            match self.broker.poll_transmit(now, link, &mut out) {
                Ok(written @ 1..) => self.carry(n, false, out[..written].to_vec()),
                _ => break,
            }
        }
    }

    fn poll(&mut self, n: usize) {
        let peer = &mut self.peers[n];
        while peer.polls
            && let Some(event) = peer.client.poll_event()
        {
            match event {
                Event::Message(message) => {
                    peer.got.push(String::from_utf8(message.payload.to_vec()).unwrap());
                }
                Event::Receipt(receipt) if receipt.is_final() => peer.finals.push(receipt),
                Event::Closed(_) => peer.closed = true,
                _ => {}
            }
        }
    }

    /// One moment: what has arrived is taken, what is due is done, what is to be written goes out.
    fn moment(&mut self) {
        let now = self.now;
        for n in 0..self.peers.len() {
            if self.peers[n].client.wants_connection() && !self.peers[n].closed {
                self.peers[n].client.handle_connected(now);
            }
            if self.peers[n].link.is_none() {
                self.peers[n].link = self.broker.handle_connected_over(now, self.framing).ok();
            }
            while let Some(entry) = self.peers[n].line.first_entry().filter(|entry| entry.key().0 <= now) {
                let (up, bytes) = entry.remove();
                match self.peers[n].link {
                    Some(link) if up => drop(self.broker.handle_input(now, link, &bytes)),
                    _ if !up => assert_eq!(self.peers[n].client.handle_input(now, &bytes), bytes.len()),
                    _ => {}
                }
            }
            self.peers[n].client.handle_timeout(now);
            self.poll(n);
        }
        self.broker.handle_timeout(now);
        assert!(self.broker.stats().is_balanced());
        for n in 0..self.peers.len() {
            self.transmit(n);
            if self.peers[n].client.wants_disconnect() {
                self.peers[n].client.handle_disconnected(now);
            }
            self.poll(n);
        }
        while let Some(ready) = self.broker.poll_ready() {
            if let Ready::Close(link) = ready {
                self.broker.handle_disconnected(now, link);
                self.peers.iter_mut().filter(|p| p.link == Some(link)).for_each(|p| p.link = None);
            }
        }
        for n in 0..self.peers.len() {
            self.transmit(n);
        }
    }

    /// When something happens next.
    fn next(&self) -> Option<Instant> {
        let of = |peer: &Peer| {
            let arrival = peer.line.first_key_value().map(|(&(at, _), _)| at);
            let timeout = peer.client.poll_timeout().filter(|_| !peer.closed);
            [arrival, timeout].into_iter().flatten().min()
        };
        self.peers.iter().filter_map(of).chain(self.broker.poll_timeout()).min()
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut idle = 0;
        loop {
            let before = (self.now, self.frames);
            self.moment();
            let Some(next) = self.next().filter(|&next| next <= end) else { break };
            self.now = self.now.max(next);
            idle = if (self.now, self.frames) == before { idle + 1 } else { 0 };
            assert!(idle < 3, "time stands still at {next:?}");
        }
        self.now = end;
        self.moment();
    }

    fn until(&mut self, what: &str, limit: Duration, done: impl Fn(&Self) -> bool) -> Duration {
        let start = self.now;
        while !done(self) {
            assert!(self.now < start + limit, "not done: {what}");
            self.pass(ms(10));
        }
        self.now.saturating_duration_since(start)
    }

    fn all_here(&mut self) {
        let all = self.peers.len() as u32;
        self.until("all are here", ms(120_000), |lab| {
            lab.broker.stats().connected == all && lab.peers.iter().all(|peer| peer.client.is_established())
        });
    }

    /// How many frames both ends write in that time.
    fn frames_in(&mut self, time: Duration) -> u64 {
        let before = self.frames;
        self.pass(time);
        self.frames - before
    }

    fn send(&mut self, from: usize, to: &Destination, text: &str) -> bool {
        self.peers[from].client.send(self.now, &Outgoing::new(to, text.as_bytes())).is_ok()
    }
}

const FRAMINGS: [Framing; 2] = [Framing::Cobs, Framing::Datagram];

/// Everybody sends to everybody, and all of it arrives once, in order, answered.
fn conversation(seed: u64, framing: Framing, faults: Faults) -> u64 {
    let mut lab = Lab::new(seed, framing, 3, faults);
    let everyone = group("a");
    lab.all_here();
    let count = 120;
    let mut waiting: VecDeque<(usize, u64)> = (0..count).flat_map(|k| (0..3).map(move |n| (n, k))).collect();
    let mut turns = 0;
    while let Some((n, k)) = waiting.pop_front() {
        let length = lab.random.below(60) as usize;
        if !lab.send(n, &everyone, &format!("{n} {k} {}", "x".repeat(length))) {
            waiting.push_front((n, k));
        }
        turns += 1;
        assert!(turns < 1_000_000);
        if turns % 7 == 0 {
            lab.pass(ms(3));
        }
    }
    lab.until("all are answered", ms(1_200_000), |lab| {
        lab.peers.iter().all(|peer| peer.finals.len() == count as usize)
    });
    for peer in &lab.peers {
        for receipt in &peer.finals {
            assert!(matches!(receipt, Receipt::Final { delivered: 3, recipients: 3, .. }), "{receipt:?}");
        }
        for from in 0..3 {
            let prefix = format!("{from} ");
            let got = peer.got.iter().filter_map(|text| text.strip_prefix(&prefix));
            let numbers: Vec<u64> =
                got.map(|text| text.split(' ').next().unwrap().parse().unwrap()).collect();
            assert_eq!(numbers, (0..count).collect::<Vec<_>>(), "from {from}");
        }
    }
    lab.frames
}

#[test]
fn everything_arrives_once_and_in_order_whatever_the_line_does() {
    let kinds = [
        NONE,
        Faults { lost: 1, twice: 0, late: 0 },
        Faults { lost: 10, twice: 0, late: 0 },
        Faults { lost: 0, twice: 30, late: 50 },
        Faults { lost: 20, twice: 20, late: 20 },
    ];
    for framing in FRAMINGS {
        let quiet = conversation(1, framing, NONE);
        for faults in kinds {
            for seed in 1..=6 {
                let frames = conversation(seed, framing, faults);
                assert!(
                    frames < 5 * quiet,
                    "{framing:?} {faults:?}: a storm of {frames} frames, {quiet} without faults"
                );
            }
        }
    }
}

const LOSSY: Faults = Faults { lost: 20, twice: 10, late: 20 };
const DEAD: Faults = Faults { lost: 100, twice: 0, late: 0 };

#[test]
fn an_idle_line_carries_signs_of_life_and_nothing_else() {
    for framing in FRAMINGS {
        let mut lab = Lab::new(1, framing, 1, NONE);
        lab.all_here();
        assert!(lab.send(0, &uuid(0).into(), "to myself"));
        lab.until("answered", ms(1_000), |lab| lab.peers[0].finals.len() == 1);
        lab.pass(ms(1_000));
        // The keep-alive interval is 10 s, and each end says its own.
        let frames = lab.frames_in(ms(100_000));
        assert!((18..=22).contains(&frames), "{framing:?}: {frames} frames in ten intervals");
    }
}

#[test]
fn a_dead_line_is_tried_less_and_less_often() {
    let mut lab = Lab::new(1, Framing::Datagram, 2, NONE);
    lab.all_here();
    lab.faults = DEAD;
    for k in 0..30 {
        assert!(lab.send(0, &uuid(1).into(), &format!("{k}")));
    }
    lab.pass(ms(5));
    // 16 at first, then one at a time, after 20 ms, 40 ms, 80 ms ...
    let frames = lab.frames_in(ms(25_000));
    assert!(frames <= 16 + 16, "{frames} frames before the line counts as dead");
    lab.faults = NONE;
    lab.until("answered", ms(60_000), |lab| lab.peers[0].finals.len() == 30);
    assert_eq!(lab.peers[1].got, (0..30).map(|k| k.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_goodbye_comes_after_all_that_was_said_before_and_is_confirmed() {
    for framing in FRAMINGS {
        for seed in 1..=40 {
            let mut lab = Lab::new(seed, framing, 2, LOSSY);
            lab.all_here();
            for k in 0..20 {
                assert!(lab.send(0, &uuid(1).into(), &format!("{k}")));
            }
            lab.pass(ms(15));
            let now = lab.now;
            lab.peers[0].client.close(now, Close::Leave);
            lab.until("closed", ms(120_000), |lab| lab.peers[0].closed);
            assert_eq!(lab.broker.stats().taken, 20, "{framing:?}, seed {seed}");
            // What the other one has taken is known to the broker when it has left too.
            lab.until("delivered", ms(120_000), |lab| lab.peers[1].got.len() == 20);
            let now = lab.now;
            lab.peers[1].client.close(now, Close::End);
            lab.until("closed", ms(120_000), |lab| lab.peers[1].closed);
            assert_eq!(lab.broker.stats().delivered, 20, "{framing:?}, seed {seed}");
        }
    }
}

#[test]
fn a_broker_that_was_replaced_is_noticed_by_what_it_does_not_know() {
    for framing in FRAMINGS {
        let mut lab = Lab::new(1, framing, 2, NONE);
        lab.all_here();
        lab.broker = broker(2);
        lab.peers.iter_mut().for_each(|peer| peer.link = None);
        assert!(lab.send(0, &uuid(1).into(), "after its death"));
        // Who speaks to it is told at once; who does not, finds out by its silence.
        let took = lab.until("answered", ms(60_000), |lab| lab.peers[0].finals.len() == 1);
        assert!(took < ms(31_000), "{took:?}");
        assert_eq!(lab.peers[1].got, ["after its death"]);
    }
}

#[test]
fn a_client_that_starts_again_on_the_same_line_takes_its_session_over() {
    for framing in FRAMINGS {
        let mut lab = Lab::new(1, framing, 2, NONE);
        lab.all_here();
        assert!(lab.send(0, &group("a"), "first"));
        lab.pass(ms(50));
        let mut config = client_config(1);
        (config.framing, config.boot) = (framing, 1_000);
        lab.peers[1].client = make(config);
        let now = lab.now;
        lab.peers[1].client.set(now, "room", Value::Str("a")).unwrap();
        assert!(lab.send(0, &uuid(1).into(), "second"));
        let took = lab.until("answered", ms(60_000), |lab| lab.peers[0].finals.len() == 2);
        assert!(took < ms(1_000), "{took:?}");
        assert_eq!(lab.peers[1].got, ["first", "second"]);
        assert_eq!(lab.broker.stats().links, 2, "it is the same link");
    }
}

#[test]
fn what_is_left_over_of_an_earlier_link_changes_nothing() {
    let mut lab = Lab::new(1, Framing::Datagram, 2, NONE);
    lab.all_here();
    for k in 0..8 {
        assert!(lab.send(0, &uuid(1).into(), &format!("{k}")));
    }
    lab.moment();
    // All that is on its way comes again, after the next handshake, and out of order.
    let left: Vec<_> = lab.peers.iter().map(|peer| peer.line.values().cloned().collect::<Vec<_>>()).collect();
    lab.pass(ms(7));
    let now = lab.now;
    lab.peers.iter_mut().for_each(|peer| peer.client.handle_disconnected(now));
    lab.pass(ms(200));
    lab.all_here();
    for (n, frames) in left.into_iter().enumerate() {
        for (up, bytes) in frames.into_iter().rev() {
            lab.put(n, up, ms(1), bytes);
        }
    }
    lab.until("answered", ms(60_000), |lab| lab.peers[0].finals.len() == 8);
    assert_eq!(lab.peers[1].got, (0..8).map(|k| k.to_string()).collect::<Vec<_>>());
    assert!(lab.peers.iter().all(|peer| peer.client.is_established()));
}

#[test]
fn half_a_frame_that_was_left_on_a_line_does_not_cost_the_handshake() {
    let mut lab = Lab::new(1, Framing::Cobs, 1, NONE);
    for up in [true, false] {
        lab.all_here();
        let now = lab.now;
        lab.peers[0].client.handle_disconnected(now);
        lab.pass(ms(1));
        lab.put(0, up, ms(0), vec![7, 8, 9]);
        let took = lab.until("back", ms(60_000), |lab| lab.peers[0].client.is_established());
        assert!(took < ms(300), "up {up}: {took:?}");
    }
}

#[test]
fn a_window_that_opens_is_heard_of_though_the_word_of_it_is_lost() {
    for seed in 1..=20 {
        let mut lab = Lab::with(seed, Framing::Datagram, 2, NONE, |config| {
            (config.inbox_messages, config.reorder_bytes) = (2, 0);
        });
        lab.all_here();
        lab.peers[1].polls = false;
        for k in 0..10 {
            assert!(lab.send(0, &uuid(1).into(), &format!("{k}")));
        }
        lab.pass(ms(500));
        assert_eq!(lab.peers[1].got.len(), 0);
        lab.peers[1].polls = true;
        lab.faults = Faults { lost: 60, twice: 0, late: 0 };
        lab.pass(ms(100));
        lab.faults = NONE;
        // Far below the keep-alive interval.
        lab.until("answered", ms(3_000), |lab| lab.peers[0].finals.len() == 10);
    }
}
