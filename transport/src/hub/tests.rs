//! A broker whose sockets are queues of bytes.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;

use e_pigeon_core::{
    BrokerConfig, BrokerEvent, Client, ClientConfig, Destination, Filter, LinkId, Message, Secret, Uuid,
    Value,
};

use super::*;
use crate::connection::Connection;
use crate::socket::Socket;

/// Both directions of a connection, as its peer sees them.
#[derive(Debug, Default)]
struct Wire {
    to_broker: VecDeque<u8>,
    from_broker: Vec<u8>,
    /// The peer has closed its end.
    has_ended: bool,
    /// The broker has dropped its end.
    is_dropped: bool,
}

type Shared = Rc<RefCell<Wire>>;

struct Fake(Shared);

impl Read for Fake {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut wire = self.0.borrow_mut();
        match wire.to_broker.read(buffer)? {
            0 if !wire.has_ended => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }
}

impl Write for Fake {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().from_broker.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.0.borrow_mut().is_dropped = true;
    }
}

impl Socket for Fake {
    fn is_emptied_by_short_read(&mut self) -> bool {
        // As with epoll: what comes later is news of its own.
        true
    }

    fn tune(&self) {}

    fn finish(&self) -> io::Result<()> {
        Ok(())
    }
}

struct Door(Rc<RefCell<VecDeque<Shared>>>);

impl Listening for Door {
    type Socket = Fake;

    fn accept(&mut self) -> io::Result<(Fake, Option<SocketAddr>)> {
        let wire = self.0.borrow_mut().pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        Ok((Fake(wire), Some(SocketAddr::from(([127, 0, 0, 1], 1)))))
    }
}

struct World {
    hub: Hub<Door>,
    waiting: Rc<RefCell<VecDeque<Shared>>>,
    wires: Vec<Shared>,
}

impl World {
    fn new(config: BrokerConfig) -> Self {
        let mut hub = Hub::new(Broker::new(config, 1).expect("a config that works"));
        let waiting = Rc::default();
        let endpoint = SocketAddr::from(([127, 0, 0, 1], 9999)).into();
        hub.listen(Listener::new(Door(Rc::clone(&waiting)), endpoint));
        Self { hub, waiting, wires: Vec::new() }
    }

    /// Connects a peer that has said this.
    fn connect(&mut self, said: &[u8]) {
        let wire = Wire { to_broker: said.iter().copied().collect(), ..Wire::default() };
        let wire = Rc::new(RefCell::new(wire));
        self.waiting.borrow_mut().push_back(Rc::clone(&wire));
        self.wires.push(wire);
    }

    /// One turn in which all sockets are ready.
    fn turn(&mut self) {
        self.hub.note_listener(0, |_, _| Ok(()));
        for key in 0..self.wires.len() {
            self.hub.note(key, |connection: &mut Connection<Fake>| connection.note_readable());
        }
        self.hub.handle_deadline(|_, _| Ok(()));
        self.hub.flush();
    }
}

/// What a client says that sends so many small messages at once.
fn flood(number: u128, messages: usize) -> Vec<u8> {
    let config = ClientConfig::new(Uuid::from_u128(number), Secret([7; 16]), 1, 1)
        .outbox_messages(4096)
        .outbox_bytes(1 << 20);
    let memory = vec![0; config.memory_needed()];
    let mut client = Client::new(config, memory).expect("a config that works");
    let now = Instant::from_micros(1);
    client.handle_connected(now);
    let mut said = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    let mut say = |client: &mut Client<Vec<u8>>| {
        while let Ok(count @ 1..) = client.poll_transmit(now, &mut buffer) {
            said.extend_from_slice(&buffer[..count]);
        }
    };
    say(&mut client);
    // A welcome from a broker like the one that will hear all of this.
    let mut broker = Broker::new(BrokerConfig::new(0).settle(Duration::ZERO), 1).expect("it works");
    let link = broker.handle_connected(now, 0).expect("room");
    let mut hello = Vec::new();
    std::mem::swap(&mut hello, &mut said);
    broker.handle_input(now, link, &hello).expect("a link");
    let mut welcome = vec![0; 1 << 12];
    let count = broker.poll_transmit(now, link, &mut welcome).expect("a link");
    client.handle_input(now, &welcome[..count]);
    assert!(client.is_established());
    let nobody = Destination::from(Uuid::from_u128(1 << 100));
    for _ in 0..messages {
        client.send(now, &Message::new(&nobody, &[7; 40])).expect("room");
    }
    let mut said = hello;
    while let Ok(count @ 1..) = client.poll_transmit(now, &mut buffer) {
        said.extend_from_slice(&buffer[..count]);
    }
    said
}

#[test]
fn program_3_what_the_broker_has_not_taken_is_bounded_and_counted() {
    const SENDERS: usize = 100;
    let mut world = World::new(BrokerConfig::new(0).settle(Duration::ZERO));
    let mut all = 0;
    for number in 0..SENDERS {
        let said = flood(number as u128 + 1, 4096);
        all += said.len();
        world.connect(&said);
    }
    assert!(all > 16 * 1024 * 1024, "{all} bytes");
    let limit = SENDERS * 16 * 1024 + 1024 * 1024;
    let mut most = 0;
    let left = |world: &World| world.wires.iter().map(|wire| wire.borrow().to_broker.len()).sum::<usize>();
    for turn in 0.. {
        world.turn();
        let kept = world.hub.untaken_bytes();
        assert!(kept <= limit, "{kept} bytes in turn {turn}");
        most = most.max(kept);
        if kept == 0 && left(&world) == 0 {
            break;
        }
        assert!(turn < 10_000, "{} bytes left", left(&world));
    }
    assert!(most > 1024 * 1024, "there was more than the broker could take: {most}");
    assert_eq!(world.hub.stats().links as usize, SENDERS, "nobody was thrown out");
    assert!(limit < Hub::<Door>::worst_case_bytes(SENDERS as u32));
}

#[test]
fn program_3_links_that_end_give_back_what_they_kept() {
    let mut world = World::new(BrokerConfig::new(0).settle(Duration::ZERO));
    for number in 0..8 {
        world.connect(&flood(number + 1, 4096));
    }
    world.turn();
    assert!(world.hub.untaken_bytes() > 0);
    world.hub.stop();
    assert_eq!(world.hub.untaken_bytes(), 0);
}

#[test]
fn program_17_a_newcomer_hears_at_once_that_all_links_are_in_use() {
    let mut world = World::new(BrokerConfig::new(0).max_links(10));
    for _ in 0..200 {
        world.connect(&[]);
    }
    // A turn accepts 64.
    for _ in 0..4 {
        world.turn();
        let there = world.wires.iter().filter(|wire| !wire.borrow().is_dropped).count();
        let waiting = world.waiting.borrow().len();
        assert!(there - waiting <= 10 + 32, "{there} sockets, {waiting} of them not accepted");
    }
    for wire in &world.wires[10..] {
        assert_eq!(wire.borrow().from_broker, Broker::FULL);
    }
    assert_eq!(world.hub.stats().links, 10);
    assert!(world.wires[..10].iter().all(|wire| !wire.borrow().is_dropped), "links stay");
}

#[test]
fn a_broker_that_has_found_a_bug_in_itself_begins_a_new_life_or_stops() {
    let mut world = World::new(BrokerConfig::new(0));
    for number in 0..3 {
        world.connect(&flood(number + 1, 10));
    }
    world.turn();
    assert_eq!(world.hub.stats().links, 3);
    let mut lives = 1;
    world.hub.renew_with(move || {
        lives += 1;
        (lives == 2).then(|| Broker::new(BrokerConfig::new(0), 2).expect("a config that works"))
    });
    world.hub.end_life();
    assert!(world.wires.iter().all(|wire| wire.borrow().is_dropped) && !world.hub.is_broken());
    world.connect(&flood(1, 10));
    world.turn();
    assert_eq!((world.hub.stats().links, world.hub.stats().sessions), (1, 1), "it is open again");
    world.hub.end_life();
    assert!(world.hub.is_broken() && world.hub.is_stopped(), "no third life was made");
}

/// With edges a socket says once that it has something, however much that is.
#[test]
fn program_21_what_is_left_in_a_socket_is_read_without_further_news() {
    const SENDERS: usize = 20;
    let mut world = World::new(BrokerConfig::new(0).settle(Duration::ZERO));
    for number in 0..SENDERS {
        world.connect(&flood(number as u128 + 1, 4096));
    }
    world.turn();
    let left = |world: &World| world.wires.iter().map(|wire| wire.borrow().to_broker.len()).sum::<usize>();
    assert!(left(&world) > 0, "one read takes less than there is");
    let mut turns = 0;
    while world.hub.sleep() == Some(Duration::ZERO) {
        world.hub.handle_deadline(|_, _| Ok(()));
        world.hub.flush();
        turns += 1;
        assert!(turns < 10_000, "{} bytes left", left(&world));
    }
    assert_eq!((left(&world), world.hub.untaken_bytes()), (0, 0));
}

/// A client that is connected to the broker itself, beside all sockets.
struct Member {
    client: Client<Vec<u8>>,
    link: LinkId,
}

/// What the client of a boot says first.
fn hello(number: u128, boot: u64) -> (Client<Vec<u8>>, Vec<u8>) {
    let config = ClientConfig::new(Uuid::from_u128(number), Secret([7; 16]), boot, 1);
    let memory = vec![0; config.memory_needed()];
    let mut client = Client::new(config, memory).expect("a config that works");
    client.handle_connected(Instant::from_micros(1));
    let mut said = vec![0; 1 << 10];
    let count = client.poll_transmit(Instant::from_micros(1), &mut said).unwrap_or(0);
    said.truncate(count);
    (client, said)
}

impl Member {
    fn join(broker: &mut Broker, now: Instant, number: u128) -> Self {
        let (client, said) = hello(number, 1);
        let link = broker.handle_connected(now, 0).expect("room");
        broker.handle_input(now, link, &said).expect("a link");
        let mut member = Self { client, link };
        member.read(broker, now);
        assert!(member.client.is_established());
        member
    }

    fn read(&mut self, broker: &mut Broker, now: Instant) {
        let mut said = vec![0; 1 << 12];
        while let Ok(count @ 1..) = broker.poll_transmit(now, self.link, &mut said) {
            self.client.handle_input(now, &said[..count]);
        }
    }

    fn write(&mut self, broker: &mut Broker, now: Instant) {
        let mut said = vec![0; 1 << 12];
        while let Ok(count @ 1..) = self.client.poll_transmit(now, &mut said) {
            broker.handle_input(now, self.link, &said[..count]).expect("a link");
        }
    }
}

fn resumed(world: &mut World) -> bool {
    std::iter::from_fn(|| world.hub.broker().poll_event())
        .any(|event| matches!(event, BrokerEvent::SessionResumed(_)))
}

#[test]
fn a_hello_whose_connection_has_ended_is_not_judged() {
    for (ends, in_pieces) in [(true, false), (true, true), (false, false), (false, true)] {
        let mut world = World::new(BrokerConfig::new(0).settle(Duration::ZERO));
        let now = world.hub.now();
        let _alive = Member::join(world.hub.broker(), now, 1);
        // Another boot of the same client, which has died meanwhile.
        let (_, said) = hello(1, 2);
        let (first, second) = if in_pieces { said.split_at(9) } else { said.split_at(0) };
        world.connect(first);
        if in_pieces {
            world.turn();
        }
        world.wires[0].borrow_mut().to_broker.extend(second);
        world.wires[0].borrow_mut().has_ended = ends;
        world.turn();
        let what = format!("ended: {ends}, in pieces: {in_pieces}");
        assert_eq!(resumed(&mut world), !ends, "{what}");
        assert_eq!(world.wires[0].borrow().is_dropped, ends, "{what}");
    }
}

#[test]
fn a_hello_that_waited_until_its_connection_ended_is_not_judged() {
    for ends in [true, false] {
        let mut world = World::new(BrokerConfig::new(0).settle(Duration::ZERO));
        let now = world.hub.now();
        let mut alive = Member::join(world.hub.broker(), now, 1);
        let lobby = Filter::all_of(&[("room", Value::Str("lobby"))]).expect("a filter");
        let mut watchers = Vec::new();
        for number in 2..=50 {
            let mut watcher = Member::join(world.hub.broker(), now, number);
            watcher.client.watch(now, &lobby).expect("room");
            watcher.write(world.hub.broker(), now);
            watchers.push(watcher);
        }
        // A hello waits until the watchers of its session have news of it. That takes a few calls from here on.
        world.hub.broker().set_budget(0);
        alive.client.set(now, "room", Value::Str("lobby")).expect("room");
        alive.write(world.hub.broker(), now);
        let (_, said) = hello(1, 2);
        world.connect(&said);
        world.hub.note_listener(0, |_, _| Ok(()));
        world.hub.note(0, |connection: &mut Connection<Fake>| connection.note_readable());
        assert_eq!(world.hub.untaken_bytes(), said.len(), "it waits");
        world.wires[0].borrow_mut().has_ended = ends;
        while world.hub.sleep() == Some(Duration::ZERO) {
            world.hub.handle_deadline(|_, _| Ok(()));
            world.hub.flush();
        }
        assert_eq!(resumed(&mut world), !ends);
        assert_eq!(world.wires[0].borrow().is_dropped, ends);
        assert_eq!(world.hub.untaken_bytes(), 0);
    }
}
