//! A broker and its clients in one `Poll`.

#[cfg(unix)]
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use e_pigeon_core::{BrokerConfig, ClientConfig, Destination, Event, Message, Receipt, Secret, Uuid};
use mio::{Events, Poll, Token};

use crate::{BrokerDriver, ClientDriver, Endpoint, Resolver};

const BROKER: Token = Token(100);

/// How long anything may take.
const LONGEST: Duration = Duration::from_secs(8);

/// One loop with a broker and some clients, and what the clients were told.
pub(super) struct World {
    poll: Poll,
    events: Events,
    pub(super) broker: Option<BrokerDriver>,
    /// Where the broker is, in this life and in the next.
    pub(super) endpoint: Endpoint,
    pub(super) clients: Vec<ClientDriver>,
    /// Clients whose program is busy with something else.
    pub(super) asleep: Vec<usize>,
    pub(super) told: Vec<Vec<String>>,
}

/// A socket of the test's own.
pub(super) trait Raw: Read + Write {
    fn do_not_block(&self);
    /// Another name for the same socket.
    fn again(&self) -> Box<dyn Raw>;
    /// Ends what this end writes; it goes on reading.
    fn end_writing(&self);
}

impl Raw for TcpStream {
    fn do_not_block(&self) {
        self.set_nonblocking(true).expect("non-blocking");
    }

    fn again(&self) -> Box<dyn Raw> {
        Box::new(self.try_clone().expect("a descriptor"))
    }

    fn end_writing(&self) {
        self.shutdown(Shutdown::Write).expect("half-closed");
    }
}

#[cfg(unix)]
impl Raw for UnixStream {
    fn do_not_block(&self) {
        self.set_nonblocking(true).expect("non-blocking");
    }

    fn again(&self) -> Box<dyn Raw> {
        Box::new(self.try_clone().expect("a descriptor"))
    }

    fn end_writing(&self) {
        self.shutdown(Shutdown::Write).expect("half-closed");
    }
}

/// Runs a test over TCP and over a Unix socket: it must not make a difference.
pub(super) fn over_each(config: &BrokerConfig, test: impl Fn(World)) {
    test(World::new(config.clone(), any_port()));
    #[cfg(unix)]
    {
        let folder = tempfile::tempdir().expect("a folder");
        test(World::new(config.clone(), Endpoint::Unix(folder.path().join("broker"))));
        assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0, "nothing is left behind");
    }
}

/// What the client of a boot says first; all clients here have one secret.
pub(super) fn hello(number: u128, boot: u64) -> Vec<u8> {
    let config = ClientConfig::new(Uuid::from_u128(number), Secret([7; 16]), boot, 1);
    e_pigeon_sim::frames::hello(config).expect("a config that works")
}

pub(super) fn any_port() -> Endpoint {
    SocketAddr::from(([127, 0, 0, 1], 0)).into()
}

impl World {
    pub(super) fn new(config: BrokerConfig, endpoint: Endpoint) -> Self {
        let poll = Poll::new().expect("a poll");
        let events = Events::with_capacity(8);
        let mut world =
            Self { poll, events, broker: None, endpoint, clients: vec![], asleep: vec![], told: vec![] };
        world.start_broker(config, 1);
        world
    }

    pub(super) fn start_broker(&mut self, config: BrokerConfig, epoch: u64) {
        let registry = self.poll.registry().try_clone().expect("a registry");
        let mut broker = BrokerDriver::new(config, epoch, registry, BROKER).expect("a config that works");
        self.endpoint = broker.bind(self.endpoint.clone()).expect("a free address");
        assert_eq!(broker.endpoints().collect::<Vec<_>>(), [&self.endpoint]);
        self.broker = Some(broker);
    }

    /// Connects to the broker with a socket that no driver has.
    pub(super) fn dial(&self) -> Box<dyn Raw> {
        match &self.endpoint {
            Endpoint::Tcp(address) => Box::new(TcpStream::connect(address).expect("accepted")),
            #[cfg(unix)]
            Endpoint::Unix(path) => Box::new(UnixStream::connect(path).expect("accepted")),
            other => panic!("nobody dials {other}"),
        }
    }

    /// Adds a client that connects to the broker.
    pub(super) fn join(&mut self) -> usize {
        self.add_client(self.endpoint.clone())
    }

    pub(super) fn add_client(&mut self, resolver: impl Into<Resolver>) -> usize {
        let index = self.clients.len();
        let uuid = Uuid::from_u128(index as u128 + 1);
        let mut config = ClientConfig::new(uuid, Secret([7; 16]), 1, index as u64);
        config.framing = self.endpoint.framing();
        let registry = self.poll.registry().try_clone().expect("a registry");
        let mut driver =
            ClientDriver::new(config, resolver, registry, Token(index)).expect("a config that works");
        driver.flush();
        self.clients.push(driver);
        self.told.push(Vec::new());
        index
    }

    pub(super) fn send(&mut self, client: usize, to: &Destination, payload: &[u8]) {
        let driver = &mut self.clients[client];
        let now = driver.now();
        driver.client().send(now, &Message::new(to, payload)).expect("room");
        driver.flush();
    }

    /// Goes round once, and sleeps for `longest` at most.
    pub(super) fn turn(&mut self, longest: Duration) {
        let mut timeout = Some(longest);
        let clients = self.clients.iter().enumerate().filter(|(index, _)| !self.asleep.contains(index));
        timeout = clients.filter_map(|(_, client)| client.poll_timeout()).chain(timeout).min();
        timeout = self.broker.iter().filter_map(BrokerDriver::poll_timeout).chain(timeout).min();
        self.poll.poll(&mut self.events, timeout).expect("polled");
        for event in &self.events {
            if let Some(broker) = self.broker.as_mut().filter(|broker| broker.owns(event.token())) {
                broker.handle_ready(event);
            }
            // A driver leaves alone what it does not own.
            self.clients.iter_mut().for_each(|client| client.handle_ready(event));
        }
        if let Some(broker) = &mut self.broker {
            broker.handle_deadline();
            broker.flush();
        }
        for (index, client) in self.clients.iter_mut().enumerate() {
            if self.asleep.contains(&index) {
                continue;
            }
            client.handle_deadline();
            while let Some(event) = client.client().poll_event() {
                self.told[index].push(match event {
                    Event::Message(message) if message.payload.len() > 100 => {
                        format!("{} bytes of {}", message.payload.len(), message.payload[0])
                    }
                    Event::Message(message) => String::from_utf8_lossy(message.payload).into_owned(),
                    Event::Receipt(Receipt::Final { id, delivered, recipients, .. }) => {
                        format!("{id}: {delivered} of {recipients}")
                    }
                    Event::Receipt(_) => continue,
                    Event::Established(_) => "established".into(),
                    Event::Disconnected { .. } => "disconnected".into(),
                    Event::Closed(reason) => format!("ended: {reason}"),
                    _ => continue,
                });
            }
            client.flush();
        }
    }

    /// Goes round until something is so. The loop sleeps as long as its drivers say: what they forget is not found by chance.
    pub(super) fn until(&mut self, what: &str, is_so: impl FnMut(&mut Self) -> bool) {
        self.until_looking_each(LONGEST, what, is_so);
    }

    /// The same for what the loop does not wake up for.
    pub(super) fn until_looking_each(
        &mut self,
        time: Duration,
        what: &str,
        mut is_so: impl FnMut(&mut Self) -> bool,
    ) {
        let start = Instant::now();
        while !is_so(self) {
            // Less than the keep-alive, which would bring to light what was forgotten.
            assert!(start.elapsed() < LONGEST, "not within 8 s: {what}; told: {:?}", self.told);
            self.turn(time);
        }
    }

    pub(super) fn until_told(&mut self, client: usize, what: &str) {
        self.until(what, |world| world.told[client].iter().any(|told| told == what));
    }
}
