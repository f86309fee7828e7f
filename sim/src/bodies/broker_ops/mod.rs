//! A broker under operations as the fuzzer likes them, with honest and hostile clients, against a model that knows no
//! protocol: who has had what, and which answers there may be.

mod honest;
mod model;

use super::hostile::{Carrier, Chunk, UpFrame, uuid};
use arbitrary::{Arbitrary, Unstructured};
use core::time::Duration;
use e_pigeon_core::{
    Broker, BrokerConfig, Destination, Event, Filter, Framing, Instant, LinkId, Message, Ready, Retain, Value,
};
use honest::{Honest, broker_config, framing, honest_uuid};
use model::{Model, Sent};
use std::collections::BTreeSet;

/// How many honest clients there are, and how many hostile ones may be connected.
const HONEST: usize = 3;
const HOSTILE: usize = 2;

/// What happens. The first field says to which client.
#[derive(Clone, Debug, Arbitrary)]
enum Operation {
    Send {
        from: u8,
        to: Whom,
        options: u8,
        length: u8,
        live: u8,
        early: bool,
    },
    Set(u8, u8),
    Remove(u8),
    Watch(u8),
    Connect(u8),
    Cut(u8),
    HalfOpen(u8),
    Up {
        who: u8,
        most: u16,
        out: u8,
    },
    Down {
        who: u8,
        most: u16,
        out: u8,
    },
    Poll(u8, u8),
    Acknowledge(u8),
    /// Everything that honest clients can do at once.
    Flow,
    Ready,
    Pass(u16),
    Kill,
    Hostile(u8, Chunk<UpFrame>),
    HostileTransmit(u8, u16),
    HostileConnected(u8),
    HostileDisconnected(u8),
    /// Something happens to what is under way from a client or to it, where the framing is lossy.
    Suffer(u8, bool, u8),
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum Whom {
    Client(u8),
    Group(u8),
    Either(u8),
    Everyone,
    Nobody,
}

/// The first byte says how small everything is; the others are a list of operations.
///
/// # Panics
///
/// Where a promise is broken.
pub fn broker_ops(data: &[u8]) {
    let Some((&how, rest)) = data.split_first() else { return };
    let mut world = World::new(how);
    let mut source = Unstructured::new(rest);
    // Bytes that are too short end the list.
    for operation in source.arbitrary_iter::<Operation>().into_iter().flatten().map_while(Result::ok) {
        world.run(&operation);
        world.check();
    }
    world.heal();
}

struct World {
    now: Instant,
    config: BrokerConfig,
    framing: Framing,
    epoch: u64,
    broker: Broker,
    honest: Vec<Honest>,
    hostile: [Option<LinkId>; HOSTILE],
    model: Model,
}

impl World {
    fn new(how: u8) -> Self {
        let config = broker_config(how);
        Self {
            now: Instant::from_micros(1),
            broker: Broker::new(config.clone(), 1).expect("a config that is valid"),
            config,
            framing: framing(how),
            epoch: 1,
            honest: (0..HONEST).map(|n| Honest::new(n, how)).collect(),
            hostile: [None; HOSTILE],
            model: Model::default(),
        }
    }

    fn run(&mut self, operation: &Operation) {
        let now = self.now;
        let n = |who: &u8| usize::from(*who) % HONEST;
        let h = |who: &u8| usize::from(*who) % HOSTILE;
        match operation {
            Operation::Send { .. } => self.send(operation),
            Operation::Set(who, value) => {
                let value = Value::Int(i64::from(value % 2));
                // Where there is no room it is not set.
                let _ = self.honest[n(who)].client.set(now, "a", value);
            }
            Operation::Remove(who) => {
                let _ = self.honest[n(who)].client.remove(now, "a");
            }
            Operation::Watch(who) => {
                let _ = self.honest[n(who)].client.watch(now, &Filter::everyone());
            }
            Operation::Connect(who) => self.connect(n(who)),
            Operation::Cut(who) => self.cut(n(who), false),
            Operation::HalfOpen(who) => self.cut(n(who), true),
            Operation::Up { who, most, out } => {
                self.up(n(who), usize::from(*most), usize::from(*out));
            }
            Operation::Down { who, most, out } => {
                self.down(n(who), usize::from(*most), usize::from(*out));
            }
            Operation::Poll(who, most) => {
                self.poll(n(who), usize::from(*most));
            }
            Operation::Acknowledge(who) => self.acknowledge(n(who)),
            Operation::Flow => {
                self.flow();
            }
            Operation::Ready => self.ready(),
            Operation::Pass(milliseconds) => self.pass(Duration::from_millis(u64::from(*milliseconds))),
            Operation::Kill => self.kill(),
            Operation::Hostile(who, chunk) => {
                let bytes = chunk.bytes(&mut Carrier::new(Framing::Length));
                // Whoever comes first with a UUID, or has its secret, may have it by right.
                let claims = |n| bytes.windows(16).any(|part| part == honest_uuid(n).as_bytes());
                let is_fair = !(0..HONEST).any(claims);
                if let Some(link) = self.hostile[h(who)].filter(|_| is_fair) {
                    let _ = self.broker.handle_input(now, link, &bytes);
                }
            }
            Operation::HostileTransmit(who, most) => {
                if let Some(link) = self.hostile[h(who)] {
                    let _ = self.broker.poll_transmit(now, link, &mut vec![0; usize::from(*most) % 2_000]);
                }
            }
            Operation::HostileConnected(who) => {
                if self.hostile[h(who)].is_none() {
                    self.hostile[h(who)] = self.broker.handle_connected(now, 1 + h(who) as u64).ok();
                }
            }
            Operation::Suffer(who, up, choice) => {
                let honest = &mut self.honest[n(who)];
                if *up { &mut honest.up } else { &mut honest.down }.suffer(*choice);
            }
            Operation::HostileDisconnected(who) => {
                let link = self.hostile[h(who)].take();
                link.into_iter().for_each(|link| self.broker.handle_disconnected(now, link));
            }
        }
    }

    fn send(&mut self, operation: &Operation) {
        let Operation::Send { from, to, options, length, live, early } = operation else { return };
        let from = usize::from(*from) % HONEST;
        let one = |value: u8| ("a", Value::Int(i64::from(value % 2)));
        let (made, direct) = match to {
            Whom::Client(who) => {
                let uuid = honest_uuid(usize::from(*who) % HONEST);
                (Ok(uuid.into()), Some(uuid))
            }
            Whom::Group(value) => (Filter::all_of(&[one(*value)]).map(Destination::from), None),
            Whom::Either(value) => {
                (Filter::any_of(&[one(*value), ("b", Value::Bool(true))]).map(Destination::from), None)
            }
            Whom::Everyone => (Ok(Filter::everyone().into()), None),
            Whom::Nobody => (Ok(uuid(200).into()), None),
        };
        let to: Destination = made.expect("a filter that is valid");
        let exclude_self = options & 1 != 0;
        let to = if exclude_self { to.exclude_self() } else { to };
        let to = if options & 6 == 6 { to.only_connected() } else { to };
        let payload = vec![*length; usize::from(length % 65)];
        let outgoing = Message::to(&to)
            .payload(&payload)
            .time_to_live(Duration::from_millis(200 * u64::from(*live)))
            .retain(if *early { Retain::Accepted } else { Retain::Delivered });
        if let Ok(id) = self.honest[from].client.send(self.now, &outgoing) {
            let sent = Sent { payload, direct, exclude_self, had: BTreeSet::new(), is_ended: false };
            assert!(self.model.sent.insert((from, id), sent).is_none(), "an id is never used twice");
        }
    }

    fn connect(&mut self, n: usize) {
        let honest = &mut self.honest[n];
        if !honest.client.wants_connection() {
            return;
        }
        match self.broker.handle_connected_over(self.now, 0, self.framing) {
            Ok(link) => {
                honest.link = Some(link);
                honest.client.handle_connected(self.now);
            }
            Err(_) => honest.client.handle_disconnected(self.now),
        }
    }

    /// A transport breaks, and what is under way is lost; the broker may not notice.
    fn cut(&mut self, n: usize, half_open: bool) {
        let honest = &mut self.honest[n];
        honest.up.clear();
        honest.down.clear();
        let Some(link) = honest.link.take() else { return };
        honest.client.handle_disconnected(self.now);
        if !half_open {
            self.broker.handle_disconnected(self.now, link);
        }
    }

    fn kill(&mut self) {
        for n in 0..HONEST {
            self.cut(n, true);
        }
        self.hostile = [None; HOSTILE];
        self.epoch += 1;
        self.broker = Broker::new(self.config.clone(), self.epoch).expect("a config that is valid");
        self.broker.handle_timeout(self.now);
    }

    /// A buffer of that size, or of one in which a datagram has room.
    fn buffer(&self, out: usize) -> Vec<u8> {
        vec![0; if self.framing == Framing::Datagram { 1 << 12 } else { out + 1 }]
    }

    /// Moves at most so many bytes from a client to the broker, written into a buffer of that size.
    fn up(&mut self, n: usize, most: usize, out: usize) -> usize {
        let mut out = self.buffer(out);
        let honest = &mut self.honest[n];
        let Some(link) = honest.link else { return 0 };
        while honest.up.len() < most
            && let Ok(written @ 1..) = honest.client.poll_transmit(self.now, &mut out)
        {
            honest.up.put(&out[..written]);
        }
        let mut count = 0;
        while count < most
            && let Some(mut piece) = honest.up.next(most - count)
        {
            // A link that the broker has forgotten swallows what it is given.
            let taken = self.broker.handle_input(self.now, link, &piece).unwrap_or(piece.len());
            assert!((1..=piece.len()).contains(&taken), "{taken} of {} bytes", piece.len());
            let rest = piece.split_off(taken);
            count += taken;
            if !rest.is_empty() {
                honest.up.put_back(rest);
            }
        }
        count
    }

    /// Moves at most so many bytes from the broker to a client.
    fn down(&mut self, n: usize, most: usize, out: usize) -> usize {
        let mut out = self.buffer(out);
        let honest = &mut self.honest[n];
        let Some(link) = honest.link else { return 0 };
        while honest.down.len() < most
            && let Ok(written @ 1..) = self.broker.poll_transmit(self.now, link, &mut out)
        {
            honest.down.put(&out[..written]);
        }
        let mut count = 0;
        while count < most
            && let Some(piece) = honest.down.next(most - count)
        {
            honest.client.handle_input(self.now, &piece);
            count += piece.len();
        }
        count
    }

    fn poll(&mut self, n: usize, most: usize) -> usize {
        let honest = &mut self.honest[n];
        for count in 0..most {
            match honest.client.poll_event() {
                None => return count,
                Some(Event::Message(message)) => {
                    honest.token = Some(message.token);
                    // Those of hostile clients are not in the model.
                    if let Some(from) = (0..HONEST).find(|&n| honest_uuid(n) == message.from) {
                        self.model.handed(n, from, message.id, message.payload);
                    }
                }
                Some(Event::Receipt(receipt)) => self.model.answered(n, receipt),
                Some(Event::Closed(reason)) => panic!("{n} has ended: {reason}"),
                Some(_) => {}
            }
        }
        most
    }

    fn acknowledge(&mut self, n: usize) {
        let honest = &mut self.honest[n];
        honest.token.into_iter().for_each(|token| honest.client.acknowledge(token));
    }

    /// Links that want something: closed ones are closed, and none is named without end.
    fn ready(&mut self) {
        for _ in 0..3 * (HONEST + HOSTILE + 1) {
            match self.broker.poll_ready() {
                None => return,
                Some(Ready::Close(link)) => {
                    if let Some(n) = self.honest.iter().position(|honest| honest.link == Some(link)) {
                        self.down(n, usize::MAX, 255);
                        self.cut(n, false);
                    }
                    self.broker.handle_disconnected(self.now, link);
                    self.hostile
                        .iter_mut()
                        .filter(|other| **other == Some(link))
                        .for_each(|other| *other = None);
                }
                Some(Ready::Transmit(_) | Ready::Resume(_)) => {}
            }
        }
        assert_eq!(self.broker.poll_ready(), None, "ready without end");
    }

    /// Honest clients do everything that can be done at once; returns how much that was.
    fn flow(&mut self) -> usize {
        let mut moved = 0;
        for n in 0..HONEST {
            self.connect(n);
            moved += self.up(n, usize::MAX, 255);
            moved += self.down(n, usize::MAX, 255);
            moved += self.poll(n, usize::MAX);
            self.acknowledge(n);
            if self.honest[n].client.wants_disconnect() {
                self.up(n, usize::MAX, 255);
                self.cut(n, false);
                moved += 1;
            }
        }
        self.ready();
        while self.broker.poll_event().is_some() {}
        moved
    }

    fn pass(&mut self, duration: Duration) {
        self.now = self.now + duration;
        self.broker.handle_timeout(self.now);
        let due = self.broker.poll_timeout();
        assert!(due.is_none_or(|due| due > self.now), "due at {due:?}, and it is {:?}", self.now);
        for honest in &mut self.honest {
            honest.client.handle_timeout(self.now);
            let due = honest.client.poll_timeout();
            assert!(due.is_none_or(|due| due > self.now), "due at {due:?}, and it is {:?}", self.now);
        }
    }

    /// The books balance, no limit is passed, and clients and model agree on what is open.
    fn check(&self) {
        let (stats, config) = (self.broker.stats(), &self.config);
        assert!(stats.is_balanced(), "{stats:?}");
        assert!(stats.links <= config.max_links && stats.connected <= stats.links, "{stats:?}");
        assert!(stats.sessions <= config.max_sessions && stats.connected <= stats.sessions, "{stats:?}");
        assert!(stats.open <= u64::from(config.max_messages), "{stats:?}");
        assert!(stats.payload_bytes <= config.max_message_bytes, "{stats:?}");
        assert!(stats.waiting <= u64::from(config.max_held), "{stats:?}");
        assert!(stats.held <= u64::from(stats.sessions) * u64::from(config.queue_messages), "{stats:?}");
        for (n, honest) in self.honest.iter().enumerate() {
            for id in honest.client.unanswered() {
                assert!(!self.model.sent[&(n, id)].is_ended, "{id} of {n} has its answer");
            }
        }
    }

    /// The hostile clients go, the network is whole: everything is answered in time, and nothing is left.
    fn heal(mut self) {
        for link in core::mem::take(&mut self.hostile).into_iter().flatten() {
            self.broker.handle_disconnected(self.now, link);
        }
        let end = self.now + Duration::from_secs(300);
        for _ in 0..2_000 {
            let moved = self.flow();
            self.check();
            if moved > 0 {
                continue;
            }
            let stats = self.broker.stats();
            let is_answered = self.model.sent.values().all(|sent| sent.is_ended);
            if is_answered && (stats.open, stats.held, stats.payload_bytes) == (0, 0, 0) {
                return;
            }
            let due = self.honest.iter().filter_map(|honest| honest.client.poll_timeout());
            let due = due.chain(self.broker.poll_timeout()).min().expect("something is awaited");
            assert!(due <= end, "it does not come to an end: {stats:?}, {:?}", self.model);
            self.pass(due.saturating_duration_since(self.now));
        }
        panic!("it never comes to rest: {:?}, {:?}", self.broker.stats(), self.model);
    }
}
