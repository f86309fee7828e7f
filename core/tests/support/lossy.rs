//! Clients and a broker over lines that lose, repeat, reorder and damage frames.
#![allow(dead_code)]

use super::random::Random;
use super::{client_config, make};
use core::time::Duration;
use e_pigeon_core::{
    Broker, BrokerConfig, Client, ClientConfig, Destination, Event, Framing, Instant, LinkId, Message, Ready,
    Receipt, Value,
};
use std::collections::BTreeMap;

/// What a line does to what it carries, in percent.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    pub lost: u64,
    pub twice: u64,
    pub late: u64,
}

/// One client's line: both directions are alike, and on a serial line nothing overtakes.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    pub delay: Duration,
    /// Each frame takes up to so much longer, and those of that time alike.
    pub jitter: Duration,
    pub steady: Duration,
    /// Bytes per second; 0 for no limit. What it does not carry yet waits, however much that is.
    pub rate: u64,
    pub faults: Faults,
    /// One byte in so many is damaged; 0 for none. On serial lines only.
    pub one_in: u64,
}

pub const NONE: Faults = Faults { lost: 0, twice: 0, late: 0 };
pub const LOSSY: Faults = Faults { lost: 20, twice: 10, late: 20 };
pub const DEAD: Faults = Faults { lost: 100, twice: 0, late: 0 };
pub const FRAMINGS: [Framing; 2] = [Framing::Cobs, Framing::Datagram];

pub struct Peer {
    pub client: Client<Vec<u8>>,
    pub link: Option<LinkId>,
    /// What is on its way: to the broker or not, and bytes, by arrival.
    pub line: BTreeMap<(Instant, u64), (bool, Vec<u8>)>,
    pub got: Vec<String>,
    pub finals: Vec<Receipt>,
    /// How many links have ended.
    pub lost: usize,
    pub closed: bool,
    pub polls: bool,
    /// Its line, where it is not that of all.
    pub way: Option<Way>,
    /// For each direction: when the line has carried what it has, and when the last of it arrives.
    pub busy: [(Instant, Instant); 2],
}

pub struct Lab {
    pub random: Random,
    pub framing: Framing,
    pub faults: Faults,
    pub delay: Duration,
    pub now: Instant,
    pub broker: Broker,
    pub peers: Vec<Peer>,
    pub sequence: u64,
    pub frames: u64,
    /// Each end writes after every frame that it reads, instead of after all that has come.
    pub is_eager: bool,
}

pub fn broker(epoch: u64) -> Broker {
    let config = BrokerConfig::new(0).settle(ms(0)).session_ttl(ms(3_600_000)).reorder_bytes(3_000);
    Broker::new(config, epoch).unwrap()
}

pub fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

impl Lab {
    pub fn new(seed: u64, framing: Framing, clients: usize, faults: Faults) -> Self {
        Self::with(seed, framing, clients, faults, |_| {})
    }

    pub fn with(
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
            is_eager: false,
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
                lost: 0,
                closed: false,
                polls: true,
                way: None,
                busy: [(lab.now, lab.now); 2],
            });
            lab.peers[n].client.set(lab.now, "room", Value::Str("a")).unwrap();
        }
        lab
    }

    pub fn carry(&mut self, n: usize, up: bool, bytes: Vec<u8>) {
        match self.peers[n].way {
            // What is written at once may be several frames.
            Some(way) if self.framing == Framing::Cobs => {
                bytes.split_inclusive(|&byte| byte == 0).for_each(|frame| {
                    self.carry_frame(n, up, way.faults, frame.to_vec());
                });
            }
            Some(way) => self.carry_frame(n, up, way.faults, bytes),
            None => self.carry_frame(n, up, self.faults, bytes),
        }
    }

    fn carry_frame(&mut self, n: usize, up: bool, faults: Faults, mut bytes: Vec<u8>) {
        self.frames += 1;
        if self.framing == Framing::Cobs {
            if self.random.percent(faults.lost) {
                let at = self.random.below(bytes.len() as u64) as usize;
                self.damage(&mut bytes, at);
            }
            let one_in = self.peers[n].way.map_or(0, |way| way.one_in);
            for at in (0..bytes.len()).rev() {
                if one_in > 0 && self.random.below(one_in) == 0 {
                    self.damage(&mut bytes, at);
                }
            }
            let delay = self.travel(n, up, bytes.len());
            return self.put(n, up, delay, bytes);
        }
        let copies = if self.random.percent(faults.twice) { 2 } else { 1 };
        for _ in 0..copies {
            if !self.random.percent(faults.lost) {
                let late = if self.random.percent(faults.late) { 40 } else { 0 };
                let delay = self.travel(n, up, bytes.len()) + ms(self.random.below(late + 1));
                self.put(n, up, delay, bytes.clone());
            }
        }
    }

    /// A byte is flipped, lost or inserted.
    fn damage(&mut self, bytes: &mut Vec<u8>, at: usize) {
        match self.random.below(3) {
            0 => bytes[at] ^= 1 << self.random.below(8),
            1 => drop(bytes.remove(at)),
            _ => bytes.insert(at, self.random.next() as u8),
        }
    }

    /// How long so many bytes take from now on.
    fn travel(&mut self, n: usize, up: bool, length: usize) -> Duration {
        let Some(way) = self.peers[n].way else { return self.delay };
        let phase = (self.now.as_micros()).checked_div(way.steady.as_micros() as u64);
        let mut random = phase.map_or(Random(self.random.next()), |phase| Random(2 * phase + u64::from(up)));
        let jitter = Duration::from_micros(random.below(way.jitter.as_micros() as u64 + 1));
        let takes = Duration::from_micros((length as u64 * 1_000_000).checked_div(way.rate).unwrap_or(0));
        let (free, last) = &mut self.peers[n].busy[usize::from(up)];
        *free = self.now.max(*free) + takes;
        let mut arrival = *free + way.delay + jitter;
        if self.framing == Framing::Cobs {
            arrival = arrival.max(*last);
            *last = arrival;
        }
        arrival.saturating_duration_since(self.now)
    }

    pub fn put(&mut self, n: usize, up: bool, delay: Duration, bytes: Vec<u8>) {
        self.sequence += 1;
        self.peers[n].line.insert((self.now + delay, self.sequence), (up, bytes));
    }

    pub fn transmit(&mut self, n: usize) {
        let now = self.now;
        let mut out = vec![0; 9_000];
        loop {
            let before = self.peers[n].client.wants_transmit();
            let written = self.peers[n].client.poll_transmit(now, &mut out).unwrap();
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

    pub fn poll(&mut self, n: usize) {
        let peer = &mut self.peers[n];
        while peer.polls
            && let Some(event) = peer.client.poll_event()
        {
            match event {
                Event::Message(message) => {
                    peer.got.push(String::from_utf8_lossy(message.payload).into_owned());
                }
                Event::Receipt(receipt) if receipt.is_final() => peer.finals.push(receipt),
                Event::Disconnected { .. } => peer.lost += 1,
                Event::Closed(_) => peer.closed = true,
                _ => {}
            }
        }
    }

    /// One moment: what has arrived is taken, what is due is done, what is to be written goes out.
    pub fn moment(&mut self) {
        let now = self.now;
        for n in 0..self.peers.len() {
            if self.peers[n].client.wants_connection() && !self.peers[n].closed {
                self.peers[n].client.handle_connected(now);
            }
            if self.peers[n].link.is_none() {
                self.peers[n].link = self.broker.handle_connected_over(now, 0, self.framing).ok();
            }
            while let Some(entry) = self.peers[n].line.first_entry().filter(|entry| entry.key().0 <= now) {
                let (up, bytes) = entry.remove();
                match self.peers[n].link {
                    Some(link) if up => drop(self.broker.handle_input(now, link, &bytes)),
                    _ if !up => self.peers[n].client.handle_input(now, &bytes),
                    _ => {}
                }
                if self.is_eager {
                    self.poll(n);
                    self.transmit(n);
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
    pub fn next(&self) -> Option<Instant> {
        let of = |peer: &Peer| {
            let arrival = peer.line.first_key_value().map(|(&(at, _), _)| at);
            let timeout = peer.client.poll_timeout().filter(|_| !peer.closed);
            [arrival, timeout].into_iter().flatten().min()
        };
        self.peers.iter().filter_map(of).chain(self.broker.poll_timeout()).min()
    }

    pub fn pass(&mut self, time: Duration) {
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

    pub fn until(&mut self, what: &str, limit: Duration, done: impl Fn(&Self) -> bool) -> Duration {
        let start = self.now;
        while !done(self) {
            assert!(self.now < start + limit, "not done: {what}");
            self.pass(ms(10));
        }
        self.now.saturating_duration_since(start)
    }

    pub fn all_here(&mut self) {
        let all = self.peers.len() as u32;
        self.until("all are here", ms(120_000), |lab| {
            lab.broker.stats().connected == all && lab.peers.iter().all(|peer| peer.client.is_established())
        });
    }

    /// How many frames both ends write in that time.
    pub fn frames_in(&mut self, time: Duration) -> u64 {
        let before = self.frames;
        self.pass(time);
        self.frames - before
    }

    pub fn send(&mut self, from: usize, to: &Destination, text: &str) -> bool {
        self.peers[from].client.send(self.now, &Message::new(to, text.as_bytes())).is_ok()
    }
}
