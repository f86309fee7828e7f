//! No order of calls panics, loses or blocks: clients and a broker are told whatever comes, in any order, with old
//! connections that linger; then everything is done as it should be, and each message was had once and is answered.

use crate::conversation::{CLIENTS, Limits, mishap};
use crate::machine::{BrokerMachine, ClientMachine};
use crate::pipe::{Mishap, Pipe};
use crate::quiet;
use crate::support::uuid;
use core::time::Duration;
use e_pigeon_core::{
    BrokerConfig, Destination, Event, EventFilter, Filter, Framing, Instant, LinkId, Message, MessageId,
    Ready, Receipt, Value,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A call, whether or not it makes sense. The first number says to which client.
#[derive(Clone, Debug)]
enum Act {
    Send(usize, usize, u8),
    Set(usize),
    Watch(usize),
    Connected(usize),
    Disconnected(usize),
    /// The second number says on which of its connections, of which the last is the one it has.
    BrokerDisconnected(usize, usize),
    Up(usize, usize, usize, usize),
    Down(usize, usize, usize, usize),
    Poll(usize, usize),
    PollReceipt(usize),
    PollPresence(usize),
    PollCapacity(usize),
    Acknowledge(usize),
    ClientTimeout(usize, i64),
    BrokerTimeout(i64),
    Ready(usize),
    Events(usize),
    /// To what is under way from a client or to it; nothing on streams.
    Suffer(usize, bool, Mishap),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let n = || 0..CLIENTS;
    let size = || prop_oneof![Just(usize::MAX), 0_usize..80];
    let time = || prop_oneof![0_i64..50_000, -9_000_000_i64..0, 0_i64..15_000_000];
    let act = prop_oneof![
        6 => (n(), 0_usize..6, 0_u8..=64).prop_map(|(n, to, length)| Act::Send(n, to, length)),
        1 => n().prop_map(Act::Set),
        1 => n().prop_map(Act::Watch),
        2 => n().prop_map(Act::Connected),
        1 => n().prop_map(Act::Disconnected),
        1 => (n(), 0_usize..4).prop_map(|(n, which)| Act::BrokerDisconnected(n, which)),
        8 => (n(), 0_usize..4, size(), 1_usize..99).prop_map(|(n, which, most, out)| Act::Up(n, which, most, out)),
        8 => (n(), 0_usize..4, size(), 1_usize..99).prop_map(|(n, which, most, out)| Act::Down(n, which, most, out)),
        2 => (n(), 0_usize..9).prop_map(|(n, most)| Act::Poll(n, most)),
        1 => n().prop_map(Act::PollReceipt),
        1 => n().prop_map(Act::PollPresence),
        1 => n().prop_map(Act::PollCapacity),
        1 => n().prop_map(Act::Acknowledge),
        2 => (n(), time()).prop_map(|(n, time)| Act::ClientTimeout(n, time)),
        2 => time().prop_map(Act::BrokerTimeout),
        1 => (0_usize..9).prop_map(Act::Ready),
        1 => (0_usize..9).prop_map(Act::Events),
        3 => (n(), any::<bool>(), mishap()).prop_map(|(n, up, mishap)| Act::Suffer(n, up, mishap)),
    ];
    prop::collection::vec(act, 1..200)
}

/// A connection, of which the client may have let go.
struct Connection {
    link: Option<LinkId>,
    up: Pipe,
    down: Pipe,
}

struct Peer {
    machine: ClientMachine,
    connections: Vec<Connection>,
    /// True where the last of them is the one that the client has.
    has_transport: bool,
    token: Option<e_pigeon_core::AckToken>,
    /// What the application has had: sender and id, in that order.
    had: Vec<(usize, MessageId)>,
    finals: BTreeMap<MessageId, Receipt>,
}

impl Peer {
    fn new(limits: &Limits, n: usize) -> Self {
        Self {
            machine: ClientMachine::new(&limits.client(n)),
            connections: Vec::new(),
            has_transport: false,
            token: None,
            had: Vec::new(),
            finals: BTreeMap::new(),
        }
    }
}

/// What was sent: to whom, where it is one.
type Sent = BTreeMap<(usize, MessageId), Option<usize>>;

struct Mess {
    now: Instant,
    framing: Framing,
    broker: BrokerMachine,
    peers: Vec<Peer>,
    sent: Sent,
}

impl Mess {
    fn new(limits: &Limits) -> Self {
        // Nothing is refused, expires or ends: whatever does not arrive was lost.
        let config = BrokerConfig::new(0)
            .session_ttl(Duration::from_secs(24 * 3600))
            .settle(Duration::from_millis(500))
            .window_messages(if limits.small_broker { 2 } else { 64 })
            .receipt_backlog(if limits.small_broker { 1 } else { 64 })
            .max_payload(64);
        let peers = (0..CLIENTS).map(|n| Peer::new(limits, n));
        Self {
            now: Instant::from_micros(100_000_000),
            framing: limits.framing,
            broker: BrokerMachine::new(&config, limits.framing),
            peers: peers.collect(),
            sent: Sent::new(),
        }
    }

    fn poll_of(&mut self, n: usize, wanted: EventFilter) {
        let _ = self.peers[n].machine.client.poll_event_of(wanted);
    }

    fn act(&mut self, act: &Act) {
        let now = self.now;
        match *act {
            Act::Send(n, to, length) => self.send(n, to, length),
            Act::Set(n) => drop(self.peers[n].machine.client.set(now, "b", Value::Bool(true)).is_ok()),
            Act::Watch(n) => drop(self.peers[n].machine.client.watch(now, &Filter::everyone()).is_ok()),
            Act::Connected(n) => self.connected(n),
            Act::Disconnected(n) => {
                self.peers[n].machine.client.handle_disconnected(now);
                self.peers[n].has_transport = false;
            }
            Act::BrokerDisconnected(n, which) => {
                let link = connection(&mut self.peers[n], which).and_then(|connection| connection.link);
                link.into_iter().for_each(|link| self.broker.broker.handle_disconnected(now, link));
            }
            Act::Up(n, which, most, out) => drop(self.up(n, which, most, out)),
            Act::Down(n, which, most, out) => drop(self.down(n, which, most, out)),
            Act::Suffer(n, up, mishap) => {
                let under_way = connection(&mut self.peers[n], 0)
                    .map(|connection| if up { &mut connection.up } else { &mut connection.down });
                under_way.into_iter().for_each(|pipe| pipe.suffer(mishap));
            }
            Act::Poll(n, most) => drop(self.poll(n, most)),
            Act::PollReceipt(n) => {
                let client = &mut self.peers[n].machine.client;
                if let Some(Event::Receipt(receipt)) = client.poll_event_of(EventFilter::RECEIPTS) {
                    answered(&mut self.peers[n].finals, receipt);
                }
            }
            Act::PollPresence(n) => self.poll_of(n, EventFilter::PRESENCE | EventFilter::REFUSALS),
            Act::PollCapacity(n) => self.poll_of(n, EventFilter::CAPACITY),
            Act::Acknowledge(n) => self.acknowledge(n),
            Act::ClientTimeout(n, micros) => {
                let at = self.moved(micros);
                self.peers[n].machine.client.handle_timeout(at);
            }
            Act::BrokerTimeout(micros) => {
                let at = self.moved(micros);
                self.broker.broker.handle_timeout(at);
            }
            Act::Ready(most) => {
                let _ = core::iter::from_fn(|| self.broker.broker.poll_ready()).take(most).count();
            }
            Act::Events(most) => {
                let _ = core::iter::from_fn(|| self.broker.broker.poll_event()).take(most).count();
            }
        }
        let stats = self.broker.broker.stats();
        assert!(stats.is_balanced(), "{stats:?}");
    }

    /// Lets time pass, or tells one that is over.
    fn moved(&mut self, micros: i64) -> Instant {
        let at = Instant::from_micros(self.now.as_micros().saturating_add_signed(micros));
        self.now = self.now.max(at);
        at
    }

    fn send(&mut self, n: usize, to: usize, length: u8) {
        let one = (to < CLIENTS).then_some(to);
        let to: Destination = match to {
            0..CLIENTS => uuid(to).into(),
            // Nobody has it until the end.
            3 => Filter::all_of(&[("a", Value::Int(1))]).unwrap().into(),
            _ => Filter::everyone().into(),
        };
        let payload = vec![length; length.into()];
        let time_to_live = Duration::from_secs(24 * 3600);
        let outgoing = Message::new(&to, &payload).time_to_live(time_to_live);
        if let Ok(id) = self.peers[n].machine.client.send(self.now, &outgoing) {
            self.sent.insert((n, id), one);
        }
    }

    fn connected(&mut self, n: usize) {
        let link = self.broker.broker.handle_connected_over(self.now, 0, self.framing).ok();
        let (up, down) = (Pipe::new(self.framing), Pipe::new(self.framing));
        self.peers[n].connections.push(Connection { link, up, down });
        self.peers[n].machine.client.handle_connected(self.now);
        self.peers[n].has_transport = true;
    }

    /// The size of a buffer in which a datagram has room.
    fn room(&self, out: usize) -> usize {
        if self.framing == Framing::Datagram { 1 << 13 } else { out }
    }

    fn up(&mut self, n: usize, which: usize, most: usize, out: usize) -> usize {
        let mut out = vec![0; self.room(out)];
        let peer = &mut self.peers[n];
        let mut count = 0;
        if which == 0 && peer.has_transport {
            while count < most
                && let Ok(written @ 1..) = peer.machine.client.poll_transmit(self.now, &mut out)
            {
                count += written;
                peer.connections.last_mut().unwrap().up.put(&[out[..written].to_vec()]);
            }
        }
        let Some(connection) = connection(peer, which) else { return 0 };
        for piece in connection.up.take(most) {
            count += piece.len();
            if let Some(link) = connection.link {
                let taken = self.broker.broker.handle_input(self.now, link, &piece);
                assert!(taken.is_err() || taken == Ok(piece.len()));
            }
        }
        count
    }

    fn down(&mut self, n: usize, which: usize, most: usize, out: usize) -> usize {
        let mut out = vec![0; self.room(out)];
        let peer = &mut self.peers[n];
        let is_current = which == 0 && peer.has_transport;
        let Some(connection) = connection(peer, which) else { return 0 };
        let mut count = 0;
        while let Some(link) = connection.link
            && count < most
            && let Ok(written @ 1..) = self.broker.broker.poll_transmit(self.now, link, &mut out)
        {
            count += written;
            connection.down.put(&[out[..written].to_vec()]);
        }
        for piece in connection.down.take(most) {
            count += piece.len();
            // What comes on a connection that the client has left comes to nobody.
            if is_current {
                peer.machine.client.handle_input(self.now, &piece);
            }
        }
        count
    }

    fn poll(&mut self, n: usize, most: usize) -> usize {
        let peer = &mut self.peers[n];
        for count in 0..most {
            match peer.machine.client.poll_event() {
                None => return count,
                Some(Event::Message(message)) => {
                    let from = (0..CLIENTS).find(|&n| uuid(n) == message.from).unwrap();
                    peer.had.push((from, message.id));
                    peer.token = Some(message.token);
                }
                Some(Event::Receipt(receipt)) => answered(&mut peer.finals, receipt),
                Some(Event::Closed(reason)) => panic!("{n} has ended: {reason}"),
                Some(_) => {}
            }
        }
        most
    }

    fn acknowledge(&mut self, n: usize) {
        let peer = &mut self.peers[n];
        peer.token.into_iter().for_each(|token| peer.machine.client.acknowledge(token));
    }

    /// Everything is done as the front page says, until nothing is left to do.
    fn heal(&mut self, limits: &Limits) {
        // Somebody comes who has what messages wait for.
        let mut newcomer = Peer::new(limits, CLIENTS);
        newcomer.machine.client.set(self.now, "a", Value::Int(1)).unwrap();
        self.peers.push(newcomer);
        for _ in 0..3_000 {
            let moved: usize = (0..self.peers.len()).map(|n| self.turn(n)).sum();
            while let Some(ready) = self.broker.broker.poll_ready() {
                if let Ready::Close(link) = ready {
                    self.broker.broker.handle_disconnected(self.now, link);
                }
            }
            if moved > 0 {
                continue;
            }
            let open = self.peers.iter().map(|peer| peer.machine.client.unanswered().count()).sum::<usize>();
            let stats = self.broker.broker.stats();
            if (open, stats.open, stats.held, stats.payload_bytes) == (0, 0, 0, 0) {
                return;
            }
            let due = self.peers.iter().filter_map(|peer| peer.machine.client.poll_timeout());
            let due = due.chain(self.broker.broker.poll_timeout()).min().expect("something is awaited");
            self.now = self.now.max(due);
            self.broker.broker.handle_timeout(self.now);
            self.peers.iter_mut().for_each(|peer| peer.machine.client.handle_timeout(self.now));
        }
        panic!("it never comes to rest: {:?}", self.broker.broker.stats());
    }

    fn turn(&mut self, n: usize) -> usize {
        // Connections that the client has left are gone; so is one that the broker has ended.
        let current = usize::from(self.peers[n].has_transport);
        let keep = self.peers[n].connections.len() - current.min(self.peers[n].connections.len());
        for connection in self.peers[n].connections.drain(..keep) {
            connection
                .link
                .into_iter()
                .for_each(|link| self.broker.broker.handle_disconnected(self.now, link));
        }
        let mut moved = self.up(n, 0, usize::MAX, 4_096) + self.down(n, 0, usize::MAX, 4_096);
        moved += self.poll(n, usize::MAX);
        self.acknowledge(n);
        let link = self.peers[n].connections.last().and_then(|connection| connection.link);
        let is_gone =
            link.is_none_or(|link| self.broker.broker.poll_transmit(self.now, link, &mut []).is_err());
        let Peer { machine: ClientMachine { client, .. }, has_transport, .. } = &mut self.peers[n];
        if *has_transport && (client.wants_disconnect() || is_gone) {
            client.handle_disconnected(self.now);
            *has_transport = false;
            moved += 1;
        } else if client.wants_connection() {
            self.connected(n);
            moved += 1;
        }
        moved
    }

    fn judge(&self) {
        for (&(from, id), &to) in &self.sent {
            let had: Vec<usize> = (0..self.peers.len())
                .flat_map(|n| self.peers[n].had.iter().filter(move |&&had| had == (from, id)).map(move |_| n))
                .collect();
            let mut once = had.clone();
            once.dedup();
            assert_eq!(had, once, "{id} of {from} came more than once");
            assert!(to.is_none_or(|to| had == [to]), "{id} of {from} to {to:?} came to {had:?}");
            let count = had.len() as u32;
            let expected = Receipt::ended(id, count, count, None);
            assert_eq!(self.peers[from].finals.get(&id), Some(&expected), "{id} of {from}");
        }
        // Messages that waited for an attribute come when it is there; all others in the order of sending.
        for (n, peer) in self.peers.iter().enumerate() {
            for from in 0..CLIENTS {
                let had = peer
                    .had
                    .iter()
                    .filter(|(sender, id)| *sender == from && self.sent[&(from, *id)].is_some());
                assert!(had.is_sorted_by_key(|&(_, id)| id), "{n}: {:?}", peer.had);
            }
        }
    }
}

/// One of the connections of a client, the last one first.
fn connection(peer: &mut Peer, which: usize) -> Option<&mut Connection> {
    let at = peer.connections.len().checked_sub(which + 1)?;
    peer.connections.get_mut(at)
}

fn answered(finals: &mut BTreeMap<MessageId, Receipt>, receipt: Receipt) {
    assert!(!finals.contains_key(&receipt.id()), "{receipt:?} after the final one");
    if receipt.is_final() {
        finals.insert(receipt.id(), receipt);
    }
}

proptest! {
    #![proptest_config(quiet(400))]

    #[test]
    fn no_order_of_calls_panics_loses_or_blocks(limits in crate::conversation::limits(), acts in acts()) {
        let mut mess = Mess::new(&limits);
        acts.iter().for_each(|act| mess.act(act));
        mess.heal(&limits);
        mess.judge();
    }
}
