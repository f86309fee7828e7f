//! The whole core under random faults: clients and a broker in memory, driven from a seed, checked against the promises.
//!
//! Each seed draws its own limits, its own workload and the kinds of faults that it has. First everything goes wrong
//! at random, with the checks of safety at every step; then everything heals and progress is demanded.
//!
//! `E_PIGEON_SEEDS` is how many seeds to run, `E_PIGEON_FROM` the first of them, `E_PIGEON_FAILURES` how many failures
//! to collect before giving up, and `E_PIGEON_TRACE` prints what happens.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::too_many_lines
)]

mod support;

use core::time::Duration;
use e_pigeon_core::{
    Broker, BrokerConfig, BrokerEvent, Client, ClientConfig, Code, Destination, DisconnectReason, Event,
    Filter, Instant, LinkId, Outgoing, Ready, Reason, Receipt, Secret, SendError, SetError, Token, Until,
    Uuid, Value,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use support::random::Random;

/// How many seeds `cargo test` runs.
const DEFAULT_SEEDS: u64 = 1_500;
const ROOMS: [&str; 3] = ["a", "b", "c"];
/// The time to live of a message that is not meant to expire, in milliseconds.
const LONG: u64 = 900_000;

type Outcome<T = ()> = Result<T, String>;

macro_rules! ensure {
    ($condition:expr, $($reason:tt)+) => {
        if !$condition {
            return Err(format!($($reason)+));
        }
    };
}

// What a seed is about.

/// Which faults there are, and which limits are so tight that messages may be refused or expire.
#[derive(Clone, Debug)]
struct Plan {
    clients: usize,
    steps: u64,
    pieces: bool,
    tiny_out: bool,
    cuts: bool,
    half_open: bool,
    restarts: bool,
    kills: u64,
    jumps: bool,
    sleeps: bool,
    attributes: bool,
    nobody: bool,
    newcomers: bool,
    short_lives: bool,
    small_queues: bool,
    short_sessions: bool,
    small_payloads: bool,
    small_senders: bool,
    manual: bool,
    until_accepted: bool,
    only_connected: bool,
    /// How many times more often there is traffic than a fault.
    calm: u64,
}

impl Plan {
    fn draw(random: &mut Random) -> Self {
        let mut on = |chance| random.percent(chance);
        let mut plan = Self {
            clients: 0,
            steps: 0,
            pieces: on(60),
            tiny_out: on(50),
            cuts: on(70),
            half_open: on(50),
            restarts: on(15),
            kills: 0,
            jumps: on(50),
            sleeps: on(60),
            attributes: on(45),
            nobody: on(50),
            newcomers: on(40),
            short_lives: on(30),
            small_queues: on(20),
            short_sessions: on(20),
            small_payloads: on(15),
            small_senders: on(15),
            manual: on(20),
            until_accepted: on(40),
            only_connected: on(40),
            calm: 1,
        };
        let kills = on(55);
        plan.clients = random.between(2, 6) as usize;
        plan.steps = random.pick(&[60, 200, 600, 1_500]);
        plan.kills = if kills { random.between(1, 3) } else { 0 };
        plan.calm = random.pick(&[2, 6, 20]);
        plan
    }

    /// Nothing may be refused, expire or be forgotten.
    fn is_gentle(&self) -> bool {
        !self.short_lives
            && !self.small_queues
            && !self.short_sessions
            && !self.small_payloads
            && !self.restarts
    }
}

// The world.

#[derive(Clone, Debug)]
enum To {
    Uuid(usize),
    Room(usize),
    RoomAndLevel(usize, i64),
    AnyOf(usize, i64),
    Everyone,
}

type Attributes = (Option<usize>, Option<i64>);

impl To {
    fn destination(&self) -> Destination {
        let room = |n: usize| ("room", Value::Str(ROOMS[n]));
        let level = |n: i64| ("level", Value::Int(n));
        match *self {
            Self::Uuid(n) => uuid(n).into(),
            Self::Room(n) => Filter::all_of(&[room(n)]).unwrap().into(),
            Self::RoomAndLevel(n, l) => Filter::all_of(&[room(n), level(l)]).unwrap().into(),
            Self::AnyOf(n, l) => Filter::any_of(&[room(n), level(l)]).unwrap().into(),
            Self::Everyone => Filter::everyone().into(),
        }
    }

    fn matches(&self, peer: usize, (room, level): Attributes) -> bool {
        match *self {
            Self::Uuid(n) => n == peer,
            Self::Room(n) => room == Some(n),
            Self::RoomAndLevel(n, l) => room == Some(n) && level == Some(l),
            Self::AnyOf(n, l) => room == Some(n) || level == Some(l),
            Self::Everyone => true,
        }
    }
}

/// Sender, its boot, and the id.
type Key = (usize, u64, u64);

#[derive(Debug)]
struct Sent {
    to: To,
    without_sender: bool,
    only_connected: bool,
    payload: Vec<u8>,
    deadline: Instant,
    until: Until,
    generation: u64,
    /// Who was welcomed by this life of the broker before it was sent.
    here: BTreeSet<usize>,
    accepted: Vec<u32>,
    last: Option<Receipt>,
    /// To whom it was handed, and in which boot.
    handed: BTreeSet<(usize, u64)>,
    /// Whose application has taken it.
    taken: BTreeSet<usize>,
    /// Who must have it in the end.
    promised: BTreeSet<usize>,
}

/// A connection. Either end may have given it up before the other.
struct Pipe {
    peer: usize,
    generation: u64,
    link: Option<LinkId>,
    /// This end does not use it any more.
    client_gone: bool,
    broker_gone: bool,
    up: VecDeque<u8>,
    down: VecDeque<u8>,
    /// Named by `poll_ready`.
    listed: bool,
    /// Input waits for `Ready::Resume`.
    stalled: bool,
    closing: bool,
    welcomed: bool,
}

struct Peer {
    config: ClientConfig,
    client: Client<Vec<u8>>,
    pipe: Option<u64>,
    reachable: bool,
    sleeps: bool,
    born: bool,
    attributes: Attributes,
    /// All that its attributes ever were.
    history: Vec<Attributes>,
    /// The life of the broker in which it was last established.
    established_in: Option<u64>,
    /// Lent and not taken.
    lent: VecDeque<(Token, Key)>,
    /// The highest id handed per sender.
    highest: BTreeMap<(usize, u64), u64>,
    /// `send` or a change of attributes was refused for lack of room.
    refused: bool,
}

struct World {
    random: Random,
    plan: Plan,
    trace: bool,
    now: Instant,
    broker: Broker,
    broker_config: BrokerConfig,
    generation: u64,
    peers: Vec<Peer>,
    pipes: BTreeMap<u64, Pipe>,
    next_pipe: u64,
    sent: BTreeMap<Key, Sent>,
    kills: u64,
    restarts: u64,
    jumped: Duration,
    handed: u64,
    /// Nothing goes wrong any more.
    healed: bool,
}

fn uuid(n: usize) -> Uuid {
    Uuid::from_u128(0x1000 + n as u128)
}

fn peer_of(uuid: Uuid) -> usize {
    (uuid.as_u128() - 0x1000) as usize
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

macro_rules! trace {
    ($world:expr, $($text:tt)+) => {
        if $world.trace {
            eprintln!("[{:>9}] {}", $world.now.as_micros(), format!($($text)+));
        }
    };
}

fn draw_broker(random: &mut Random, plan: &Plan, max_payload: u32) -> BrokerConfig {
    let small = plan.small_queues;
    let mut config = BrokerConfig {
        max_payload,
        max_links: 64,
        max_sessions: 64,
        queue_messages: 100_000,
        queue_bytes: 1 << 30,
        window_messages: random.pick(&[1, 2, 7, 64]),
        window_bytes: max_payload * random.pick(&[1, 3, 64]),
        receipt_backlog: random.pick(&[1, 2, 8, 64]),
        keep_alive: ms(random.pick(&[700, 3_000, 10_000])),
        session_ttl: ms(LONG * 4),
        settle: ms(random.pick(&[0, 100, 1_000, 3_000])),
        handshake_timeout: ms(random.pick(&[500, 5_000])),
        accept_delay: ms(random.pick(&[0, 1, 10, 10, 200])),
        ..BrokerConfig::default()
    };
    if small {
        config.queue_messages = random.pick(&[1, 3, 20]);
        config.queue_bytes = u64::from(max_payload) * random.pick(&[1, 4, 100]);
        config.max_messages = random.pick(&[1, 5, 50, 1_000_000]);
        config.max_held = random.pick(&[0, 1, 10, 100_000]);
        config.max_message_bytes = u64::from(max_payload).max(1_024) * random.pick(&[1, 10, 1_000]);
    }
    if plan.short_sessions {
        config.session_ttl = ms(random.pick(&[1, 100, 1_000, 5_000]));
    }
    if plan.small_payloads && random.percent(50) {
        config.max_payload = max_payload / 2;
        config.window_bytes = config.window_bytes.max(config.max_payload);
    }
    config
}

fn draw_client(random: &mut Random, plan: &Plan, n: usize, max_payload: u32) -> ClientConfig {
    let mut config = ClientConfig::new(uuid(n), Secret([n as u8; 16]), random.next(), random.next());
    config.max_payload = max_payload;
    if plan.small_payloads && random.percent(40) {
        config.max_payload = max_payload / random.pick(&[2, 4]);
    }
    config.destination_bytes = random.pick(&[60, 794]);
    config.outbox_messages = random.pick(&[1, 2, 10, 256]);
    config.outbox_bytes = max_payload + 794 + 96 * config.outbox_messages * random.pick(&[1, 20]);
    config.inbox_messages = random.pick(&[1, 2, 10, 256]);
    config.inbox_bytes = max_payload * random.pick(&[1, 2, 256]);
    config.senders = if plan.small_senders { random.pick(&[1, 2]) } else { 64 };
    config.seen_window = random.pick(&[64, 128, 256, 1_024, 4_096]);
    config.late_ids = random.pick(&[1, 4, 32]);
    config.destination_slots = random.between(1, 4) as u8;
    config.reconnect_min = ms(random.pick(&[1, 50, 100]));
    config.reconnect_max = ms(random.pick(&[100, 1_000, 5_000]));
    config.handshake_timeout = ms(random.pick(&[500, 10_000]));
    config.manual_acknowledgement = plan.manual && random.percent(60);
    config
}

fn make(config: &ClientConfig) -> Client<Vec<u8>> {
    let memory = vec![0xAA; config.memory_needed()];
    Client::new(config.clone(), memory).unwrap()
}

impl World {
    fn new(seed: u64, trace: bool) -> Outcome<Self> {
        let mut random = Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x5eed);
        let plan = Plan::draw(&mut random);
        let max_payload = random.pick(&[16, 64, 300, 1_000]);
        let broker_config = draw_broker(&mut random, &plan, max_payload);
        let broker = Broker::new(broker_config.clone(), random.next()).map_err(|error| error.to_string())?;
        let mut peers = Vec::new();
        for n in 0..plan.clients {
            let config = draw_client(&mut random, &plan, n, max_payload);
            let client = make(&config);
            peers.push(Peer {
                config,
                client,
                pipe: None,
                reachable: true,
                sleeps: false,
                born: n == 0 || !plan.newcomers || random.percent(60),
                attributes: (None, None),
                history: vec![(None, None)],
                established_in: None,
                lent: VecDeque::new(),
                highest: BTreeMap::new(),
                refused: false,
            });
        }
        let mut world = Self {
            random,
            plan,
            trace,
            now: Instant::from_micros(1),
            broker,
            broker_config,
            generation: 1,
            peers,
            pipes: BTreeMap::new(),
            next_pipe: 0,
            sent: BTreeMap::new(),
            kills: 0,
            restarts: 0,
            jumped: Duration::ZERO,
            handed: 0,
            healed: false,
        };
        for n in 0..world.plan.clients {
            if world.random.percent(85) {
                let room = world.random.below(ROOMS.len() as u64) as usize;
                world.set_room(n, Some(room))?;
            }
            if world.random.percent(50) {
                let level = world.random.below(3) as i64;
                world.set_level(n, Some(level))?;
            }
        }
        trace!(world, "{:?} {:?}", world.plan, world.broker_config);
        for peer in &world.peers {
            trace!(world, "{:?} {:?}", peer.config, peer.attributes);
        }
        Ok(world)
    }

    // Applications.

    fn set_room(&mut self, n: usize, room: Option<usize>) -> Outcome {
        let now = self.now;
        let client = &mut self.peers[n].client;
        let result = match room {
            Some(room) => client.set(now, "room", Value::Str(ROOMS[room])),
            None => client.remove(now, "room"),
        };
        let level = self.peers[n].attributes.1;
        self.changed(n, (room, level), result)
    }

    fn set_level(&mut self, n: usize, level: Option<i64>) -> Outcome {
        let now = self.now;
        let client = &mut self.peers[n].client;
        let result = match level {
            Some(level) => client.set(now, "level", Value::Int(level)),
            None => client.remove(now, "level"),
        };
        let room = self.peers[n].attributes.0;
        self.changed(n, (room, level), result)
    }

    fn changed(&mut self, n: usize, attributes: Attributes, result: Result<(), SetError>) -> Outcome {
        trace!(self, "{n} has {attributes:?}: {result:?}");
        let peer = &mut self.peers[n];
        match result {
            Ok(()) => {
                peer.attributes = attributes;
                peer.history.push(attributes);
            }
            Err(SetError::Full) => peer.refused = true,
            Err(error) => return Err(format!("{n} may not change its attributes: {error}")),
        }
        Ok(())
    }

    fn change_attributes(&mut self) -> Outcome {
        let n = self.random.below(self.peers.len() as u64) as usize;
        if self.random.percent(60) {
            let room = self.random.below(ROOMS.len() as u64 + 1) as usize;
            self.set_room(n, Some(room).filter(|&room| room < ROOMS.len()))
        } else {
            let level = self.random.below(4) as i64;
            self.set_level(n, Some(level).filter(|&level| level < 3))
        }
    }

    fn send(&mut self) -> Outcome {
        let from = self.random.below(self.peers.len() as u64) as usize;
        let burst = self.random.pick(&[1, 1, 1, 3, 20]);
        let to = self.draw_destination();
        for _ in 0..burst {
            let to = if self.random.percent(30) { self.draw_destination() } else { to.clone() };
            self.send_one(from, to)?;
        }
        Ok(())
    }

    fn draw_destination(&mut self) -> To {
        let room = self.random.below(ROOMS.len() as u64) as usize;
        let level = self.random.below(3) as i64;
        let peers = self.peers.len() as u64;
        let to = match self.random.below(6) {
            0 | 1 => To::Uuid(self.random.below(peers) as usize),
            2 => To::Room(room),
            3 => To::RoomAndLevel(room, level),
            4 => To::AnyOf(room, level),
            _ => To::Everyone,
        };
        if self.plan.nobody {
            return if self.random.percent(5) { To::Uuid(self.peers.len() + 7) } else { to };
        }
        // Somebody is there for it.
        let found = self.peers.iter().enumerate().any(|(n, peer)| to.matches(n, peer.attributes));
        if found { to } else { To::Everyone }
    }

    fn send_one(&mut self, from: usize, to: To) -> Outcome {
        let may_be_without = self.plan.nobody || matches!(to, To::Everyone);
        let without_sender = self.random.percent(30) && may_be_without;
        let only_connected = self.plan.only_connected && self.random.percent(15);
        let mut destination = to.destination();
        if without_sender {
            destination = destination.without_sender();
        }
        if only_connected {
            destination = destination.only_connected();
        }
        let max = u64::from(self.peers[from].config.max_payload);
        let length = match self.random.below(4) {
            0 => 0,
            1 => max,
            _ => self.random.below(max.min(40)),
        };
        let payload: Vec<u8> = (0..length).map(|_| self.random.next() as u8).collect();
        let live = if self.plan.short_lives && self.random.percent(50) {
            self.random.pick(&[0, 1, 15, 300, 5_000, 20_000])
        } else {
            LONG
        };
        let accepted = self.plan.until_accepted && self.random.percent(20);
        let until = if accepted { Until::Accepted } else { Until::Delivered };
        let outgoing =
            Outgoing { to: &destination, payload: payload.as_slice(), time_to_live: ms(live), until };
        let (now, generation) = (self.now, self.generation);
        let peers = self.peers.iter().enumerate();
        let here =
            peers.filter(|(_, peer)| peer.established_in == Some(generation)).map(|(n, _)| n).collect();
        let peer = &mut self.peers[from];
        match peer.client.send(now, &outgoing) {
            Ok(id) => {
                trace!(
                    self,
                    "{from} sends {id} to {to:?} -me:{without_sender} conn:{only_connected} {until:?} ttl {live} len {length}"
                );
                let boot = self.peers[from].config.boot;
                let mut sent = Sent {
                    to,
                    without_sender,
                    only_connected,
                    payload,
                    deadline: now + ms(live),
                    until,
                    generation,
                    here,
                    accepted: vec![],
                    last: None,
                    handed: BTreeSet::new(),
                    taken: BTreeSet::new(),
                    promised: BTreeSet::new(),
                };
                if self.plan.is_gentle() && !only_connected {
                    if self.plan.kills == 0 && !self.plan.attributes {
                        let all = self.matching(from, &sent);
                        let here = |&n: &usize| self.peers[n].established_in.is_some();
                        sent.promised.extend(all.into_iter().filter(here));
                    }
                    if let To::Uuid(n) = sent.to
                        && until == Until::Delivered
                        && n < self.peers.len()
                        && !(without_sender && n == from)
                    {
                        sent.promised.insert(n);
                    }
                }
                let before = self.sent.insert((from, boot, id.0), sent);
                ensure!(before.is_none(), "{from} has id {id} twice");
            }
            Err(SendError::Full) => peer.refused = true,
            Err(SendError::DestinationTooLong { .. }) => {}
            // Larger than the broker takes, and the client knows that by now.
            Err(SendError::TooLarge { max }) if length > u64::from(max) && max < peer.config.max_payload => {}
            Err(error) => return Err(format!("{from} may not send: {error}")),
        }
        Ok(())
    }

    /// Who matches now, as the applications see it.
    fn matching(&self, from: usize, sent: &Sent) -> Vec<usize> {
        let all = self.peers.iter().enumerate();
        let found = all
            .filter(|&(n, peer)| sent.to.matches(n, peer.attributes) && !(sent.without_sender && n == from));
        found.map(|(n, _)| n).collect()
    }

    /// The application polls at most so many events.
    fn poll(&mut self, n: usize, most: u64) -> Outcome<bool> {
        let mut any = false;
        for _ in 0..most {
            if self.peers[n].sleeps {
                break;
            }
            if !self.peers[n].config.manual_acknowledgement {
                self.take(n, usize::MAX);
            }
            let peer = &mut self.peers[n];
            let has = peer.client.has_event();
            let mut note = None;
            let some = match peer.client.poll_event() {
                None => false,
                Some(Event::Message(message)) => {
                    let key = (peer_of(message.from), message.boot, message.id.0);
                    note = Some((
                        key,
                        message.payload.to_vec(),
                        message.token,
                        message.maybe_repeated,
                        message.direct,
                    ));
                    true
                }
                Some(Event::Receipt(receipt)) => {
                    self.receipt(n, receipt)?;
                    true
                }
                Some(Event::CapacityAvailable) => {
                    ensure!(peer.refused, "{n} has capacity, but nothing was refused");
                    peer.refused = false;
                    true
                }
                Some(Event::Disconnected { reason, .. }) => {
                    let harmless = matches!(
                        reason,
                        DisconnectReason::TransportLost
                            | DisconnectReason::Silent
                            | DisconnectReason::HandshakeTimeout
                            | DisconnectReason::Aborted(
                                Code::Silent | Code::HandshakeTimeout | Code::Full,
                                _
                            )
                    );
                    trace!(self, "{n} disconnected: {reason}");
                    ensure!(harmless, "{n} was disconnected: {reason}");
                    true
                }
                Some(Event::Closed(reason)) => return Err(format!("{n} was closed: {reason}")),
                Some(Event::AttributesRefused(reason)) => {
                    return Err(format!("{n} may not have its attributes: {reason}"));
                }
                Some(other) => {
                    trace!(self, "{n}: {other:?}");
                    true
                }
            };
            ensure!(has == some, "{n}: has_event() says {has}, poll_event() gives {some}");
            if let Some((key, payload, token, repeated, direct)) = note {
                self.hand(n, key, &payload, repeated, direct)?;
                self.peers[n].lent.push_back((token, key));
            }
            any |= some;
            if !some {
                break;
            }
        }
        if self.peers[n].config.manual_acknowledgement
            && !self.peers[n].lent.is_empty()
            && !self.peers[n].sleeps
        {
            let least = u64::from(self.healed);
            let count = self.random.between(least, self.peers[n].lent.len() as u64) as usize;
            if count > 0 {
                let token = self.peers[n].lent[count - 1].0;
                self.take(n, count);
                self.peers[n].client.acknowledge(token);
                any = true;
            }
        }
        Ok(any)
    }

    /// The application has taken the first so many of what was lent.
    fn take(&mut self, n: usize, count: usize) {
        let peer = &mut self.peers[n];
        let count = count.min(peer.lent.len());
        for (_, key) in peer.lent.drain(..count) {
            if let Some(sent) = self.sent.get_mut(&key) {
                sent.taken.insert(n);
            }
        }
    }

    fn hand(&mut self, n: usize, key: Key, payload: &[u8], repeated: bool, direct: bool) -> Outcome {
        trace!(self, "{n} gets {key:?} repeated:{repeated}");
        self.handed += 1;
        let small_senders = self.plan.small_senders;
        let late =
            self.plan.attributes || self.plan.restarts || self.plan.short_sessions || self.plan.kills > 0;
        let peer = &mut self.peers[n];
        let Some(sent) = self.sent.get_mut(&key) else { return Err(format!("{n} got {key:?}, never sent")) };
        ensure!(sent.payload == payload, "{n} got {key:?} with another payload: {payload:?}");
        ensure!(direct == matches!(sent.to, To::Uuid(_)), "{n} got {key:?}: direct {direct}");
        ensure!(!(sent.without_sender && key.0 == n), "{n} got its own {key:?}");
        let matched = peer.history.iter().any(|&attributes| sent.to.matches(n, attributes));
        ensure!(matched, "{n} got {key:?}, which is for {:?}", sent.to);
        let fresh = sent.handed.insert((n, peer.config.boot));
        ensure!(fresh || (small_senders && repeated), "{n} got {key:?} twice");
        let highest = peer.highest.entry((key.0, key.1)).or_insert(0);
        // What was parked may come late, and only that. An application that sleeps does not see that it was: the event
        // is overtaken by the next *accepted*.
        let overtaken = repeated && self.plan.sleeps;
        let was_parked = sent.accepted.first().is_none_or(|&first| first <= 1) || overtaken;
        let may_be_late = late && !direct && was_parked;
        let forgotten = small_senders && repeated;
        ensure!(
            key.2 > *highest || may_be_late || forgotten,
            "{n} got {key:?} after {highest}: out of order ({:?})",
            sent
        );
        *highest = key.2.max(*highest);
        Ok(())
    }

    fn receipt(&mut self, n: usize, receipt: Receipt) -> Outcome {
        trace!(self, "{n} is told {receipt:?}");
        let key = (n, self.peers[n].config.boot, receipt.id().0);
        let static_attributes = !self.plan.attributes && self.plan.is_gentle();
        let Some(sent) = self.sent.get(&key) else { return Err(format!("{n} has {receipt:?}, never sent")) };
        ensure!(sent.last.is_none(), "{key:?} has {receipt:?} after {:?}", sent.last);
        let mut promised = Vec::new();
        match receipt {
            Receipt::Accepted { recipients, last, .. } => {
                ensure!(
                    last == (sent.until == Until::Accepted),
                    "{key:?} has {receipt:?}, until {:?}",
                    sent.until
                );
                ensure!(recipients as usize <= self.peers.len(), "{key:?} has {receipt:?}");
                let unbroken = sent.generation == self.generation && !sent.only_connected;
                if static_attributes && unbroken && recipients > 0 && !last {
                    let all = self.matching(n, sent);
                    if all.len() == recipients as usize && all.iter().all(|n| sent.here.contains(n)) {
                        promised = all;
                    }
                }
            }
            Receipt::Final { delivered, recipients, reason, .. } => {
                ensure!(delivered <= recipients, "{key:?} has {receipt:?}");
                ensure!(recipients as usize <= self.peers.len(), "{key:?} has {receipt:?}");
                let complete = delivered == recipients && recipients > 0;
                ensure!(complete == reason.is_none(), "{key:?} has {receipt:?}");
                ensure!(
                    delivered as usize <= sent.taken.len(),
                    "{key:?} has {receipt:?}, but only {:?} have confirmed it (handed to {:?})",
                    sent.taken,
                    sent.handed
                );
                if reason == Some(Reason::Nobody) {
                    ensure!(sent.only_connected, "{key:?} has {receipt:?}");
                }
                if reason == Some(Reason::Expired) {
                    ensure!(self.now >= sent.deadline, "{key:?} has {receipt:?} before its deadline");
                }
                if self.plan.is_gentle() && self.plan.kills == 0 {
                    let nobody = reason == Some(Reason::Nobody) && recipients == 0;
                    let parked = reason == Some(Reason::Expired) && delivered == 0;
                    let as_it_should = complete || nobody || parked;
                    ensure!(as_it_should, "{key:?} has {receipt:?} though nothing stood in its way");
                    if complete {
                        ensure!(
                            sent.handed.len() == delivered as usize,
                            "{key:?} has {receipt:?}, but {:?} have it",
                            sent.handed
                        );
                    }
                }
            }
        }
        let sent = self.sent.get_mut(&key).expect("it was there");
        sent.promised.extend(promised);
        match receipt {
            Receipt::Accepted { recipients, .. } => sent.accepted.push(recipients),
            Receipt::Final { .. } => {}
        }
        if receipt.is_final() {
            sent.last = Some(receipt);
        }
        Ok(())
    }

    // Transports.

    fn connect(&mut self, n: usize) -> bool {
        let now = self.now;
        let (id, generation) = (self.next_pipe, self.generation);
        let peer = &mut self.peers[n];
        if !peer.born || !peer.reachable || !peer.client.wants_connection() {
            return false;
        }
        self.next_pipe += 1;
        peer.client.handle_connected(now);
        peer.pipe = Some(id);
        let pipe = Pipe {
            peer: n,
            generation,
            link: None,
            client_gone: false,
            broker_gone: false,
            up: VecDeque::new(),
            down: VecDeque::new(),
            listed: false,
            stalled: false,
            closing: false,
            welcomed: false,
        };
        self.pipes.insert(id, pipe);
        trace!(self, "{n} connects by {id}");
        true
    }

    /// The broker gets to know of a connection.
    fn accept(&mut self, id: u64) -> Outcome {
        let pipe = self.pipes.get_mut(&id).expect("it is there");
        match self.broker.handle_connected(self.now) {
            Ok(link) => pipe.link = Some(link),
            Err(_) => {
                pipe.down.extend(Broker::FULL);
                pipe.broker_gone = true;
            }
        }
        self.after_broker()
    }

    fn out_size(&mut self) -> usize {
        if self.plan.tiny_out { self.random.pick(&[1, 2, 3, 7, 30, 4_096]) } else { 4_096 }
    }

    /// A client writes, while its pipe has room.
    fn write_up(&mut self, n: usize, room: usize) -> Outcome<bool> {
        let mut out = [0; 4096];
        let mut any = false;
        for _ in 0..1_000_000 {
            let size = self.out_size();
            let peer = &mut self.peers[n];
            let Some(pipe) = peer.pipe.and_then(|id| self.pipes.get_mut(&id)) else { return Ok(any) };
            if pipe.up.len() >= room {
                return Ok(any);
            }
            let wants = peer.client.wants_transmit();
            let written = peer.client.poll_transmit(self.now, &mut out[..size]);
            ensure!(wants || written == 0, "{n} wants to write nothing and writes {written}");
            let may_be_nothing = size < 64 || self.plan.small_payloads;
            ensure!(!wants || written > 0 || may_be_nothing, "{n} wants to write and writes nothing");
            if written == 0 {
                return Ok(any);
            }
            pipe.up.extend(&out[..written]);
            any = true;
        }
        Err(format!("{n} writes for ever"))
    }

    /// The broker reads at most so many bytes of a pipe.
    fn read_up(&mut self, id: u64, most: usize) -> Outcome<bool> {
        let Some(pipe) = self.pipes.get(&id) else { return Ok(false) };
        if pipe.broker_gone {
            self.pipes.get_mut(&id).expect("it is there").up.clear();
            return Ok(false);
        }
        if pipe.up.is_empty() || pipe.stalled || pipe.closing {
            return Ok(false);
        }
        if pipe.link.is_none() {
            self.accept(id)?;
        }
        let pipe = self.pipes.get_mut(&id).expect("it is there");
        let Some(link) = pipe.link else { return Ok(true) };
        let count = most.min(pipe.up.len());
        let bytes: Vec<u8> = pipe.up.iter().copied().take(count).collect();
        match self.broker.handle_input(self.now, link, &bytes) {
            Ok(taken) => {
                ensure!(taken <= count, "the broker takes more than there is");
                pipe.stalled = taken < count;
                pipe.up.drain(..taken);
            }
            Err(_) => {
                pipe.up.clear();
                pipe.broker_gone = true;
            }
        }
        self.after_broker()?;
        Ok(count > 0)
    }

    /// The broker writes, while the pipe has room.
    fn write_down(&mut self, id: u64, room: usize, only_listed: bool) -> Outcome<bool> {
        let mut out = [0; 4096];
        let mut any = false;
        for _ in 0..1_000_000 {
            let size = self.out_size();
            let Some(pipe) = self.pipes.get_mut(&id) else { return Ok(any) };
            let Some(link) = pipe.link.filter(|_| !pipe.broker_gone && !pipe.closing) else { return Ok(any) };
            if pipe.down.len() >= room {
                return Ok(any);
            }
            let listed = pipe.listed;
            if only_listed && !listed {
                return Ok(any);
            }
            let Ok(written) = self.broker.poll_transmit(self.now, link, &mut out[..size]) else {
                return Err(format!("the broker forgot a link on its own ({id})"));
            };
            // Where the first of the queue does not fit the window and expires, the next may: that waits until the
            // link is named for something else.
            let is_delivery = written < 3 || out[1] & 0xf0 == 0x20 || out[2] & 0xf0 == 0x20;
            // An acknowledgement of messages waits for their receipts, but goes out with whatever is asked for before.
            let is_acknowledgement = written >= 3 && out[1] == 0x06;
            ensure!(
                listed || written == 0 || is_delivery || is_acknowledgement,
                "the broker writes {written} bytes ({:?}..) to a link that it did not name as ready",
                &out[..written.min(16)]
            );
            let pipe = self.pipes.get_mut(&id).expect("it is there");
            pipe.listed = true;
            if written == 0 {
                pipe.listed = false;
                self.after_broker()?;
                return Ok(any);
            }
            if !pipe.client_gone {
                pipe.down.extend(&out[..written]);
            }
            any = true;
            self.after_broker()?;
        }
        Err(format!("the broker writes for ever to {id}"))
    }

    /// A client reads at most so many bytes.
    fn read_down(&mut self, id: u64, most: usize) -> Outcome<bool> {
        let Some(pipe) = self.pipes.get_mut(&id) else { return Ok(false) };
        if pipe.client_gone {
            pipe.down.clear();
            return Ok(false);
        }
        let n = pipe.peer;
        let count = most.min(pipe.down.len());
        let bytes: Vec<u8> = pipe.down.drain(..count).collect();
        let ends = pipe.broker_gone && pipe.down.is_empty() && pipe.closing;
        if count > 0 {
            let taken = self.peers[n].client.handle_input(self.now, &bytes);
            ensure!(taken == count, "{n} takes {taken} of {count} bytes");
        }
        let generation = pipe.generation;
        if self.peers[n].client.is_established() {
            pipe.welcomed = true;
            self.peers[n].established_in = Some(generation);
        }
        if ends {
            self.client_loses(id);
            return Ok(true);
        }
        self.leave_if_wanted(n)?;
        Ok(count > 0)
    }

    fn leave_if_wanted(&mut self, n: usize) -> Outcome {
        if self.peers[n].client.wants_disconnect()
            && let Some(id) = self.peers[n].pipe
        {
            self.write_up(n, usize::MAX)?;
            self.client_loses(id);
        }
        Ok(())
    }

    /// Looks at what the broker has to say after each call.
    fn after_broker(&mut self) -> Outcome {
        while let Some(ready) = self.broker.poll_ready() {
            let (Ready::Transmit(link) | Ready::Resume(link) | Ready::Close(link)) = ready;
            let generation = self.generation;
            let found = self.pipes.values_mut().find(|p| p.link == Some(link) && p.generation == generation);
            let Some(pipe) = found else { return Err(format!("{ready:?} for an unknown link")) };
            match ready {
                Ready::Transmit(_) => pipe.listed = true,
                Ready::Resume(_) => pipe.stalled = false,
                Ready::Close(_) => {
                    pipe.closing = true;
                    pipe.broker_gone = true;
                    self.broker.handle_disconnected(self.now, link);
                }
            }
        }
        while let Some(event) = self.broker.poll_event() {
            trace!(self, "broker: {event}");
            if let BrokerEvent::LinkAborted(_, code) = event {
                let harmless = matches!(
                    code,
                    Code::Silent | Code::HandshakeTimeout | Code::Superseded | Code::TakenOver | Code::Full
                );
                ensure!(harmless, "the broker ended a link: {code}");
            }
        }
        let stats = self.broker.stats();
        ensure!(stats.is_balanced(), "the books do not balance: {stats:?}");
        Ok(())
    }

    /// The client's end of a pipe breaks.
    fn client_loses(&mut self, id: u64) {
        let Some(pipe) = self.pipes.get_mut(&id) else { return };
        if pipe.client_gone {
            return;
        }
        pipe.client_gone = true;
        pipe.down.clear();
        let n = pipe.peer;
        if self.peers[n].pipe == Some(id) {
            self.peers[n].pipe = None;
            self.peers[n].client.handle_disconnected(self.now);
        }
        trace!(self, "{n} loses {id}");
    }

    /// The broker's end of a pipe breaks.
    fn broker_loses(&mut self, id: u64) -> Outcome {
        let Some(pipe) = self.pipes.get_mut(&id) else { return Ok(()) };
        if !pipe.broker_gone {
            pipe.broker_gone = true;
            pipe.up.clear();
            if let Some(link) = pipe.link {
                self.broker.handle_disconnected(self.now, link);
            }
            trace!(self, "the broker loses {id}");
        }
        self.after_broker()
    }

    // Faults.

    fn random_pipe(&mut self) -> Option<u64> {
        let count = self.pipes.len() as u64;
        if count == 0 {
            return None;
        }
        let place = self.random.below(count) as usize;
        self.pipes.keys().nth(place).copied()
    }

    fn cut(&mut self) -> Outcome {
        let Some(id) = self.random_pipe() else { return Ok(()) };
        // One end may notice later than the other, what is under way may still arrive, or stay away.
        let (client, broker) = match self.random.below(if self.plan.half_open { 4 } else { 2 }) {
            0 | 1 => (true, true),
            2 => (true, false),
            _ => (false, true),
        };
        if client {
            self.client_loses(id);
        }
        if broker {
            self.broker_loses(id)?;
        } else if self.random.percent(50)
            && let Some(pipe) = self.pipes.get_mut(&id)
        {
            let kept = self.random.below(pipe.up.len() as u64 + 1) as usize;
            pipe.up.truncate(kept);
        }
        Ok(())
    }

    fn kill(&mut self) -> Outcome {
        self.kills += 1;
        self.generation += 1;
        trace!(self, "the broker dies");
        let slow = self.plan.half_open && self.random.percent(50);
        for pipe in self.pipes.values_mut() {
            pipe.broker_gone = true;
            pipe.up.clear();
            // What was under way may still arrive.
            pipe.closing = true;
            if !slow {
                pipe.down.clear();
            }
        }
        if !slow {
            for id in self.pipes.keys().copied().collect::<Vec<_>>() {
                self.client_loses(id);
            }
        }
        let epoch = self.random.next();
        self.broker = Broker::new(self.broker_config.clone(), epoch).map_err(|error| error.to_string())?;
        if self.random.percent(50) {
            self.broker.handle_timeout(self.now);
        }
        self.after_broker()
    }

    fn restart(&mut self, n: usize) -> Outcome {
        self.restarts += 1;
        trace!(self, "{n} starts anew");
        // A hello of the old life that comes after one of the new is a program that runs twice.
        let old: Vec<u64> = self.pipes.iter().filter(|(_, p)| p.peer == n).map(|(&id, _)| id).collect();
        for id in old {
            self.client_loses(id);
            if !self.pipes[&id].welcomed || self.random.percent(50) {
                self.broker_loses(id)?;
            }
        }
        let mut config = self.peers[n].config.clone();
        config.boot = self.random.next();
        config.seed = self.random.next();
        let peer = &mut self.peers[n];
        peer.client = make(&config);
        peer.config = config;
        peer.pipe = None;
        peer.lent.clear();
        peer.highest.clear();
        peer.refused = false;
        peer.established_in = None;
        peer.attributes = (None, None);
        let (room, level) = *peer.history.last().expect("there always is one");
        if room.is_some() {
            self.set_room(n, room)?;
        }
        if level.is_some() {
            self.set_level(n, level)?;
        }
        Ok(())
    }

    // Time.

    fn next_deadline(&self) -> Option<Instant> {
        let clients = self.peers.iter().filter(|peer| peer.born && (peer.reachable || peer.pipe.is_some()));
        clients.filter_map(|peer| peer.client.poll_timeout()).chain(self.broker.poll_timeout()).min()
    }

    fn advance(&mut self, by: Duration) -> Outcome {
        self.now = self.now + by;
        self.timeouts()
    }

    fn timeouts(&mut self) -> Outcome {
        let now = self.now;
        for n in 0..self.peers.len() {
            let client = &mut self.peers[n].client;
            if client.poll_timeout().is_some_and(|at| at <= now) {
                client.handle_timeout(now);
                let next = client.poll_timeout();
                ensure!(next.is_none_or(|at| at > now), "{n} is busy: {next:?} is due at {now:?}");
                self.leave_if_wanted(n)?;
            }
        }
        if self.broker.poll_timeout().is_some_and(|at| at <= now) {
            self.broker.handle_timeout(now);
            let next = self.broker.poll_timeout();
            ensure!(next.is_none_or(|at| at > now), "the broker is busy: {next:?} is due at {now:?}");
            self.after_broker()?;
        }
        Ok(())
    }

    /// Everything that is not broken moves until nothing does any more; time stands still.
    fn flow(&mut self) -> Outcome {
        for _ in 0..100_000 {
            let mut moved = false;
            self.timeouts()?;
            for n in 0..self.peers.len() {
                moved |= self.connect(n);
                moved |= self.write_up(n, 1 << 16)?;
            }
            for id in self.pipes.keys().copied().collect::<Vec<_>>() {
                let most = if self.plan.pieces { self.random.between(1, 200) as usize } else { usize::MAX };
                moved |= self.read_up(id, most)?;
                moved |= self.write_down(id, 1 << 16, true)?;
                moved |= self.read_down(id, most)?;
            }
            for n in 0..self.peers.len() {
                moved |= self.poll(n, 1_000)?;
            }
            self.forget_pipes();
            if !moved {
                return Ok(());
            }
        }
        Err("it never comes to rest".into())
    }

    fn forget_pipes(&mut self) {
        self.pipes.retain(|_, pipe| !(pipe.broker_gone && pipe.client_gone));
    }

    /// Time passes in a world that works.
    fn pass(&mut self, duration: Duration, enough: impl Fn(&Self) -> bool) -> Outcome {
        let end = self.now + duration;
        for _ in 0..1_000_000 {
            self.flow()?;
            if enough(self) {
                return Ok(());
            }
            let Some(due) = self.next_deadline().filter(|&due| due <= end) else {
                self.now = end;
                self.timeouts()?;
                return self.flow();
            };
            self.now = self.now.max(due);
        }
        Err("time does not pass".into())
    }

    // Phases.

    fn piece(&mut self) -> usize {
        if self.plan.pieces { self.random.pick(&[1, 2, 5, 20, 100, 1_000]) } else { usize::MAX }
    }

    fn step(&mut self) -> Outcome {
        let n = self.random.below(self.peers.len() as u64) as usize;
        for _ in 0..self.random.below(self.plan.calm * 4) {
            let n = self.random.below(self.peers.len() as u64) as usize;
            let piece = self.piece();
            let room = self.random.pick(&[1, 50, 1 << 16]);
            match self.random.below(6) {
                0 => {
                    self.connect(n);
                    self.write_up(n, room)?;
                }
                1 => {
                    if let Some(id) = self.random_pipe() {
                        self.read_up(id, piece)?;
                    }
                }
                2 => {
                    if let Some(id) = self.random_pipe() {
                        self.write_down(id, room, false)?;
                    }
                }
                3 => {
                    if let Some(id) = self.random_pipe() {
                        self.read_down(id, piece)?;
                    }
                }
                4 => {
                    let most = self.random.pick(&[1, 3, 100]);
                    self.poll(n, most)?;
                }
                _ => {
                    let micros = self.random.pick(&[1, 100, 2_000, 15_000]);
                    self.advance(Duration::from_micros(micros))?;
                }
            }
        }
        match self.random.below(20) {
            0..=7 => self.send()?,
            8 if self.plan.attributes => self.change_attributes()?,
            9 | 10 if self.plan.sleeps => self.peers[n].sleeps = self.random.percent(50),
            11 | 12 if self.plan.cuts => self.cut()?,
            13 if self.random.percent(30) && self.plan.restarts && self.restarts < 4 => self.restart(n)?,
            14 if self.plan.kills > self.kills && self.random.below(self.plan.steps) < 60 => self.kill()?,
            15 if self.plan.jumps && self.jumped < Duration::from_secs(120) => {
                let by = ms(self.random.pick(&[50, 700, 4_000, 11_000]));
                self.jumped += by;
                self.advance(by)?;
            }
            16 => {
                let by = ms(self.random.pick(&[20, 150, 2_000]));
                if self.jumped < Duration::from_secs(120) {
                    self.jumped += by;
                    self.pass(by, |_| false)?;
                }
            }
            17 if self.plan.cuts => {
                self.peers[n].reachable = self.random.percent(60);
            }
            18 => self.flow()?,
            19 if self.random.percent(30) => self.peers[n].born = true,
            _ => {}
        }
        self.forget_pipes();
        Ok(())
    }

    fn heal(&mut self) -> Outcome {
        trace!(self, "all is well from here on");
        self.healed = true;
        for peer in &mut self.peers {
            (peer.reachable, peer.sleeps, peer.born) = (true, false, true);
        }
        for id in self.pipes.keys().copied().collect::<Vec<_>>() {
            let pipe = &self.pipes[&id];
            if pipe.client_gone {
                self.broker_loses(id)?;
            } else if pipe.broker_gone {
                self.client_loses(id);
            }
        }
        self.forget_pipes();
        self.pass(Duration::from_secs(120), Self::is_quiet)?;
        if self.plan.is_gentle() && self.plan.kills == 0 && !self.plan.nobody && !self.plan.attributes {
            ensure!(self.is_quiet(), "it does not come to an end: {}", self.open());
        }
        self.pass(ms(LONG + 200_000) + self.broker_config.session_ttl.min(ms(LONG)), Self::is_quiet)?;
        self.finish()
    }

    /// Everything was answered, and everybody knows.
    fn is_quiet(&self) -> bool {
        let stats = self.broker.stats();
        stats.open == 0
            && stats.payload_bytes == 0
            && stats.held == 0
            && self.peers.iter().all(|peer| {
                let done = peer.client.unanswered().next().is_none() && !peer.client.has_event();
                done && peer.lent.is_empty() && !peer.refused && peer.client.is_established()
            })
    }

    fn open(&self) -> String {
        let unanswered: Vec<(usize, u64)> = self
            .peers
            .iter()
            .enumerate()
            .flat_map(|(n, p)| p.client.unanswered().map(move |id| (n, id.0)))
            .collect();
        let up: Vec<bool> = self.peers.iter().map(|p| p.client.is_established()).collect();
        format!("unanswered (sender, id) {unanswered:?}, established {up:?}, {:?}", self.broker.stats())
    }

    fn finish(&mut self) -> Outcome {
        let refused: Vec<usize> = (0..self.peers.len()).filter(|&n| self.peers[n].refused).collect();
        ensure!(
            refused.is_empty(),
            "{refused:?} were refused for lack of room, and never told that there is room"
        );
        ensure!(self.is_quiet(), "it does not come to an end: {}", self.open());
        for (key, sent) in &self.sent {
            let lives = self.peers[key.0].config.boot == key.1;
            ensure!(!lives || sent.last.is_some(), "{key:?} was never answered");
        }
        for (key, sent) in &self.sent {
            for &n in &sent.promised {
                ensure!(
                    sent.handed.iter().any(|&(had, _)| had == n),
                    "{key:?} never came to {n}, to whom it was promised: {sent:?}"
                );
            }
        }
        for (n, peer) in self.peers.iter().enumerate() {
            ensure!(peer.client.is_established(), "{n} is not connected in the end");
        }
        Ok(())
    }

    fn run(&mut self) -> Outcome {
        for _ in 0..self.plan.steps {
            self.step()?;
        }
        self.heal()
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn run(seed: u64, trace: bool) -> Outcome<u64> {
    let outcome = std::panic::catch_unwind(|| {
        let mut world = World::new(seed, trace)?;
        match world.run() {
            Ok(()) => Ok(world.handed),
            Err(reason) => {
                let at = world.now.as_micros();
                trace!(world, "{:#?}", world.broker);
                let plan = format!("{:?}", world.plan);
                let on = plan.split(", ").filter(|part| !part.ends_with("false"));
                let on = on.map(|part| part.trim_end_matches(": true")).collect::<Vec<_>>().join(", ");
                let (kills, restarts) = (world.kills, world.restarts);
                Err(format!("{reason}\n  at {at} µs, {kills} kills, {restarts} restarts, {on}"))
            }
        }
    });
    outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.into()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

#[test]
fn random_faults_break_no_promise() {
    let from = number("E_PIGEON_FROM").unwrap_or(0);
    let count = number("E_PIGEON_SEEDS").unwrap_or(DEFAULT_SEEDS);
    let most = number("E_PIGEON_FAILURES").unwrap_or(1) as usize;
    let trace = number("E_PIGEON_TRACE").is_some();
    let (mut failures, mut handed) = (Vec::new(), 0);
    for seed in from..from + count {
        match run(seed, trace) {
            Ok(more) => handed += more,
            Err(reason) => {
                eprintln!("seed {seed}: {reason}");
                failures.push(seed);
                if failures.len() >= most {
                    break;
                }
            }
        }
    }
    println!("{count} seeds from {from}, {handed} messages handed over");
    assert!(failures.is_empty(), "run again with E_PIGEON_FROM=<seed> E_PIGEON_SEEDS=1: seeds {failures:?}");
    assert!(handed > 0, "nothing was tested");
}
