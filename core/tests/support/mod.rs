//! A broker and clients in memory, under virtual time: bytes go from one to the other when the test says so.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod counting;
pub mod datagrams;
pub mod limits;
pub mod lossy;
pub mod lossy_raw;
pub mod random;
pub mod raw;

use core::time::Duration;
use e_pigeon_core::{
    Broker, BrokerConfig, Client, ClientConfig, Close, Destination, Event, Filter, Instant, LinkId, Message,
    MessageId, Ready, Receipt, Roster, Secret, Uuid, Value,
};
use std::collections::BTreeMap;

pub const MAX: usize = usize::MAX;

/// What a client's application has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    pub messages: Vec<String>,
    pub repeated: Vec<String>,
    pub finals: BTreeMap<u64, Receipt>,
    pub accepted: Vec<Receipt>,
    pub notes: Vec<String>,
    pub capacity: usize,
    pub presence: usize,
}

pub struct Peer {
    pub client: Client<Vec<u8>>,
    pub link: Option<LinkId>,
    /// Bytes on their way to the broker, and from it.
    pub up: Vec<u8>,
    pub down: Vec<u8>,
    pub log: Log,
    pub roster: Roster,
    /// The application does not poll.
    pub sleeps: bool,
    /// Connects when the client wants to.
    pub reachable: bool,
}

pub struct World {
    pub now: Instant,
    pub broker: Broker,
    pub peers: Vec<Peer>,
    pub config: BrokerConfig,
    pub epoch: u64,
}

pub fn uuid(n: usize) -> Uuid {
    Uuid::from_u128(0x1000 + n as u128)
}

pub fn client_config(n: usize) -> ClientConfig {
    let mut config = ClientConfig::new(uuid(n), Secret([n as u8; 16]), 77 + n as u64, n as u64);
    (config.max_payload, config.outbox_bytes, config.inbox_bytes) = (1 << 12, 1 << 16, 1 << 16);
    (config.outbox_messages, config.inbox_messages) = (256, 256);
    config
}

pub fn make(config: ClientConfig) -> Client<Vec<u8>> {
    let memory = vec![0xAA; config.memory_needed()];
    Client::new(config, memory).unwrap()
}

pub fn group(room: &str) -> Destination {
    Filter::all_of(&[("room", Value::Str(room))]).unwrap().into()
}

impl World {
    /// A broker, and clients in `room = "a"`, all connected.
    pub fn new(clients: usize) -> Self {
        Self::with(clients, BrokerConfig::new(0).settle(Duration::from_secs(1)))
    }

    pub fn with(clients: usize, config: BrokerConfig) -> Self {
        let broker = Broker::new(config.clone(), 1).unwrap();
        let mut world = Self { now: Instant::from_micros(1), broker, peers: Vec::new(), config, epoch: 1 };
        for n in 0..clients {
            world.join(client_config(n), "a");
        }
        world.settle();
        world
    }

    pub fn join(&mut self, config: ClientConfig, room: &str) -> usize {
        let mut client = make(config);
        client.set(self.now, "room", Value::Str(room)).unwrap();
        self.peers.push(Peer {
            client,
            link: None,
            up: vec![],
            down: vec![],
            log: Log::default(),
            roster: Roster::new(MAX),
            sleeps: false,
            reachable: true,
        });
        self.peers.len() - 1
    }

    pub fn send(&mut self, from: usize, to: &Destination, text: &str) -> MessageId {
        self.peers[from].client.send(self.now, &Message::new(to, text.as_bytes())).unwrap()
    }

    pub fn send_for(
        &mut self,
        from: usize,
        to: &Destination,
        text: &str,
        time_to_live: Duration,
    ) -> MessageId {
        let outgoing = Message::new(to, text.as_bytes()).time_to_live(time_to_live);
        self.peers[from].client.send(self.now, &outgoing).unwrap()
    }

    /// The transport of a client breaks; what is under way is lost.
    pub fn cut(&mut self, n: usize) {
        let peer = &mut self.peers[n];
        peer.up.clear();
        peer.down.clear();
        if let Some(link) = peer.link.take() {
            self.broker.handle_disconnected(self.now, link);
            peer.client.handle_disconnected(self.now);
        }
    }

    /// Only the client notices.
    pub fn half_open(&mut self, n: usize) {
        let peer = &mut self.peers[n];
        peer.up.clear();
        peer.down.clear();
        peer.link = None;
        peer.client.handle_disconnected(self.now);
    }

    /// The broker dies, and an empty one takes its place.
    pub fn kill_broker(&mut self) {
        for peer in &mut self.peers {
            peer.up.clear();
            peer.down.clear();
            if peer.link.take().is_some() {
                peer.client.handle_disconnected(self.now);
            }
        }
        self.epoch += 1;
        self.broker = Broker::new(self.config.clone(), self.epoch).unwrap();
        self.broker.handle_timeout(self.now);
    }

    /// One client goes away and another life of it takes its place.
    pub fn restart(&mut self, n: usize, boot: u64) {
        self.cut(n);
        let mut config = client_config(n);
        config.boot = boot;
        let mut client = make(config);
        client.set(self.now, "room", Value::Str("a")).unwrap();
        self.peers[n].client = client;
    }

    pub fn connect(&mut self, n: usize) {
        let peer = &mut self.peers[n];
        if peer.reachable && peer.client.wants_connection() {
            match self.broker.handle_connected(self.now, 0) {
                Ok(link) => {
                    peer.link = Some(link);
                    peer.client.handle_connected(self.now);
                }
                Err(_) => peer.client.handle_disconnected(self.now),
            }
        }
    }

    /// Moves at most so many bytes of a client to the broker.
    pub fn up(&mut self, n: usize, most: usize) -> usize {
        let peer = &mut self.peers[n];
        let Some(link) = peer.link else { return 0 };
        let mut out = [0; 4096];
        loop {
            let written = peer.client.poll_transmit(self.now, &mut out).unwrap();
            peer.up.extend_from_slice(&out[..written]);
            if written == 0 {
                break;
            }
        }
        let count = most.min(peer.up.len());
        let taken = self.broker.handle_input(self.now, link, &peer.up[..count]).unwrap_or(count);
        peer.up.drain(..taken);
        self.check();
        taken
    }

    /// Moves at most so many bytes of the broker to a client.
    pub fn down(&mut self, n: usize, most: usize) -> usize {
        let peer = &mut self.peers[n];
        let Some(link) = peer.link else { return 0 };
        let mut out = [0; 4096];
        while let Ok(written @ 1..) = self.broker.poll_transmit(self.now, link, &mut out) {
            peer.down.extend_from_slice(&out[..written]);
        }
        let count = most.min(peer.down.len());
        peer.client.handle_input(self.now, &peer.down[..count]);
        peer.down.drain(..count);
        if peer.client.wants_disconnect() {
            self.up(n, MAX);
            self.cut(n);
        }
        count
    }

    pub fn poll(&mut self, n: usize) {
        let peer = &mut self.peers[n];
        while !peer.sleeps
            && let Some(event) = peer.client.poll_event()
        {
            peer.roster.apply(&event, |_| {});
            peer.log.note(event);
        }
    }

    /// Moves everything until nothing moves any more; time stands still.
    pub fn flow(&mut self) {
        for _ in 0..10_000 {
            let mut moved = 0;
            for n in 0..self.peers.len() {
                self.connect(n);
                moved += self.up(n, MAX);
                moved += self.down(n, MAX);
                self.poll(n);
            }
            while let Some(ready) = self.broker.poll_ready() {
                if let Ready::Close(link) = ready {
                    if let Some(n) = self.peers.iter().position(|peer| peer.link == Some(link)) {
                        self.down(n, MAX);
                        self.cut(n);
                        moved += 1;
                    } else {
                        self.broker.handle_disconnected(self.now, link);
                    }
                }
            }
            if moved == 0 {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    /// Lets time pass, with everything that is due.
    pub fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        for _ in 0..100_000 {
            self.flow();
            let due = self
                .peers
                .iter()
                .filter(|p| p.reachable || p.link.is_some())
                .filter_map(|p| p.client.poll_timeout());
            let due = due.chain(self.broker.poll_timeout()).min();
            let Some(due) = due.filter(|&due| due <= end) else { break };
            self.now = self.now.max(due);
            for peer in &mut self.peers {
                peer.client.handle_timeout(self.now);
            }
            self.broker.handle_timeout(self.now);
            self.check();
        }
        self.now = end;
        self.flow();
    }

    /// A moment, in which everything that can be done at once is done.
    pub fn settle(&mut self) {
        self.pass(Duration::from_millis(500));
    }

    pub fn close(&mut self, n: usize, how: Close) {
        self.peers[n].client.close(self.now, how);
    }

    pub fn check(&self) {
        let stats = self.broker.stats();
        assert!(stats.is_balanced(), "{stats:?}");
    }

    pub fn messages(&self, n: usize) -> Vec<&str> {
        self.peers[n].log.messages.iter().map(String::as_str).collect()
    }

    /// Delivered and recipients of the final receipt of a message.
    pub fn outcome(&self, n: usize, id: MessageId) -> Option<(u32, u32)> {
        match self.peers[n].log.finals.get(&id.0)? {
            Receipt::Final { delivered, recipients, .. } => Some((*delivered, *recipients)),
            Receipt::Accepted { .. } => None,
        }
    }
}

impl Log {
    pub fn note(&mut self, event: Event<'_>) {
        match event {
            Event::Message(received) => {
                let text = String::from_utf8(received.payload.to_vec()).unwrap();
                if received.maybe_repeated {
                    self.repeated.push(text.clone());
                }
                self.messages.push(text);
            }
            Event::Receipt(receipt) if receipt.is_final() => {
                let before = self.finals.insert(receipt.id().0, receipt);
                assert_eq!(before, None, "a second final receipt");
            }
            Event::Receipt(receipt) => self.accepted.push(receipt),
            Event::CapacityAvailable => self.capacity += 1,
            Event::Presence(_) => self.presence += 1,
            other => self.notes.push(format!("{other:?}")),
        }
    }
}

impl World {
    /// Moves everything between two clients and the broker, without looking at the others.
    pub fn drain(&mut self, a: usize, b: usize) {
        for n in [a, b, a, b] {
            self.up(n, MAX);
            self.down(n, MAX);
            self.poll(n);
        }
        self.down(a, MAX);
        self.poll(a);
    }
}
