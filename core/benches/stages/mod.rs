//! The way of a message through the core, stage by stage, with everything before a stage done already.
//!
//! Inputs are fixed, and tables are warm: they have seen as many messages as they will see.
#![allow(clippy::unwrap_used)]

use core::hint::black_box;
use core::time::Duration;
use e_pigeon_core::codec::{Reader, Writer};
use e_pigeon_core::wire::control::Control;
use e_pigeon_core::wire::frame::{Step, step, write_header};
use e_pigeon_core::wire::item::{DownItem, Final, UpItem};
use e_pigeon_core::{
    Broker, BrokerConfig, Client, ClientConfig, Destination, Event, Filter, Instant, LinkId, Message,
    Outcome, Secret, Uuid, Value,
};

/// A stage handles so many messages, or deliveries, at a time.
pub(crate) const MESSAGES: usize = 1_000;
/// Recipients of a message to a group.
const GROUP: usize = 100;
const PAYLOAD: [u8; 64] = [b'x'; 64];

/// A broker with a sender, the first of the clients, and recipients.
pub(crate) struct World {
    broker: Broker,
    clients: Vec<(Client<Vec<u8>>, LinkId)>,
    now: Instant,
    out: Vec<u8>,
}

/// A stage that is about to begin: its world, and what it is given.
pub(crate) struct Ready {
    world: World,
    /// For each client that has some: bytes from it, or to it.
    bytes: Vec<(usize, Vec<u8>)>,
}

fn uuid(n: usize) -> Uuid {
    Uuid::from_u128(0x1000 + n as u128)
}

fn room(name: &str) -> Destination {
    Filter::all_of(&[("room", Value::Str(name))]).unwrap().into()
}

impl World {
    fn new(recipients: usize) -> Self {
        let now = Instant::from_micros(1);
        let config = BrokerConfig::new(0).settle(Duration::ZERO);
        let mut world =
            Self { broker: Broker::new(config, 1).unwrap(), clients: Vec::new(), now, out: vec![0; 1 << 20] };
        for n in 0..=recipients {
            let config = ClientConfig::new(uuid(n), Secret([1; 16]), 1, 1);
            let memory = vec![0; config.memory_needed()];
            let mut client = Client::new(config, memory).unwrap();
            if n > 0 {
                client.set(now, "room", Value::Str("a")).unwrap();
                client.set(now, "seat", Value::Int(n as i64)).unwrap();
            }
            let link = world.broker.handle_connected(now, 0).unwrap();
            client.handle_connected(now);
            world.clients.push((client, link));
        }
        for _ in 0..2 {
            let up = world.written_up();
            world.feed(&up);
            let down = world.written_down();
            world.hand(&down);
        }
        world
    }

    /// The same when it has seen messages to that destination.
    fn warm(recipients: usize, to: &Destination, messages: usize) -> Self {
        let mut world = Self::new(recipients);
        for _ in 0..3 {
            world.send(to, messages);
            for _ in 0..2 {
                let up = world.written_up();
                world.feed(&up);
                let down = world.written_down();
                world.hand(&down);
            }
            let up = world.written_up();
            world.feed(&up);
        }
        world
    }

    fn send(&mut self, to: &Destination, messages: usize) {
        let (client, _) = &mut self.clients[0];
        for _ in 0..messages {
            client.send(self.now, &Message::new(to, &PAYLOAD)).unwrap();
        }
    }

    /// What the clients write.
    fn written_up(&mut self) -> Vec<(usize, Vec<u8>)> {
        let (now, out) = (self.now, &mut self.out);
        let each = self.clients.iter_mut().enumerate().map(|(n, (client, _))| {
            let written = client.poll_transmit(now, out).unwrap();
            (n, out[..written].to_vec())
        });
        each.filter(|(_, bytes)| !bytes.is_empty()).collect()
    }

    /// What the broker writes.
    fn written_down(&mut self) -> Vec<(usize, Vec<u8>)> {
        let mut all = Vec::new();
        for (n, (_, link)) in self.clients.iter().enumerate() {
            let written = self.broker.poll_transmit(self.now, *link, &mut self.out).unwrap();
            if written > 0 {
                all.push((n, self.out[..written].to_vec()));
            }
        }
        while self.broker.poll_ready().is_some() {}
        all
    }

    fn feed(&mut self, bytes: &[(usize, Vec<u8>)]) {
        for (n, bytes) in bytes {
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let taken = self.broker.handle_input(self.now, self.clients[*n].1, rest).unwrap();
                assert!(taken > 0);
                rest = &rest[taken..];
            }
        }
    }

    /// Gives clients their bytes, and takes their events.
    fn hand(&mut self, bytes: &[(usize, Vec<u8>)]) {
        for (n, bytes) in bytes {
            let (client, _) = &mut self.clients[*n];
            client.handle_input(self.now, bytes);
            while let Some(event) = client.poll_event() {
                if let Event::Message(message) = event {
                    black_box(message.payload);
                }
            }
        }
    }
}

// What stands before each stage.

/// Messages to one recipient, as they come from the sender.
pub(crate) fn to_one() -> Ready {
    let mut world = World::warm(1, &uuid(1).into(), MESSAGES);
    world.send(&uuid(1).into(), MESSAGES);
    let bytes = world.written_up();
    Ready { world, bytes }
}

/// Messages to a group, of which each makes many deliveries.
pub(crate) fn to_a_group() -> Ready {
    let mut world = World::warm(GROUP, &room("a"), MESSAGES / GROUP);
    world.send(&room("a"), MESSAGES / GROUP);
    let bytes = world.written_up();
    Ready { world, bytes }
}

/// Messages that each name a destination of their own, and match one of many.
pub(crate) fn to_changing_ones() -> Ready {
    let seat = |n: usize| {
        let n = n % GROUP + 1;
        let pairs = [("room", Value::Str("a")), ("seat", Value::Int(n as i64))];
        Destination::from(Filter::all_of(&pairs).unwrap())
    };
    let mut world = World::warm(GROUP, &room("a"), MESSAGES / GROUP);
    (0..MESSAGES).for_each(|n| world.send(&seat(n * 7), 1));
    let bytes = world.written_up();
    Ready { world, bytes }
}

/// Frames that concern the link alone.
pub(crate) fn pings() -> Ready {
    let world = World::warm(1, &uuid(1).into(), MESSAGES);
    let frames = (0..MESSAGES).flat_map(|_| framed(|writer| Control::Ping.write(writer))).collect();
    Ready { world, bytes: vec![(0, frames)] }
}

/// Deliveries in the queue of one recipient.
pub(crate) fn queued() -> Ready {
    let Ready { mut world, bytes } = to_one();
    world.feed(&bytes);
    Ready { world, bytes: Vec::new() }
}

/// Deliveries on their way to one recipient.
pub(crate) fn delivered() -> Ready {
    let Ready { mut world, .. } = queued();
    let bytes = world.written_down().into_iter().filter(|(n, _)| *n == 1).collect();
    Ready { world, bytes }
}

/// An acknowledgement of them, on its way back.
pub(crate) fn acknowledged() -> Ready {
    let Ready { mut world, bytes } = delivered();
    world.hand(&bytes);
    let bytes = world.written_up();
    Ready { world, bytes }
}

/// A sender with nothing under way, and the answer to what it is about to send.
pub(crate) fn answer() -> Ready {
    let world = World::warm(1, &uuid(1).into(), MESSAGES);
    let (count, first) = (MESSAGES as u32, 3 * MESSAGES as u64 + 1);
    let ended = Final { first, count, outcome: Outcome::new(1, 1, None) };
    let mut frames = framed(|writer| Control::Ack(u64::from(count)).write(writer));
    frames.extend(framed(|writer| DownItem::Final(ended).write(writer)));
    Ready { world, bytes: vec![(0, frames)] }
}

fn framed(write: impl Fn(&mut Writer<'_>)) -> Vec<u8> {
    let mut counter = Writer::counting();
    write(&mut counter);
    let body = counter.total();
    let mut out = [0; 256];
    let mut writer = Writer::new(&mut out, 0);
    write_header(&mut writer, body);
    write(&mut writer);
    let length = writer.written();
    out[..length].to_vec()
}

// The stages. Each gives back what it was given, so that nobody counts how it is dropped.

/// Finds frames and reads items.
pub(crate) fn decode(ready: Ready) -> Ready {
    let mut items = 0;
    for (_, bytes) in &ready.bytes {
        let mut input = bytes.as_slice();
        while let Ok(Step::InPlace(extent)) = step(&[], input, 1 << 16) {
            let mut reader = Reader::new(&input[extent.header..extent.total()]);
            let kind = reader.u8().unwrap();
            black_box(UpItem::read(kind, &mut reader).unwrap());
            input = &input[extent.total()..];
            items += 1;
            if input.is_empty() {
                break;
            }
        }
    }
    assert_eq!(items, MESSAGES);
    ready
}

/// The broker takes what clients have written.
pub(crate) fn take(mut ready: Ready) -> Ready {
    let bytes = core::mem::take(&mut ready.bytes);
    ready.world.feed(&bytes);
    Ready { bytes, ..ready }
}

/// The broker writes to the link of the first recipient.
pub(crate) fn encode(mut ready: Ready) -> Ready {
    let world = &mut ready.world;
    let written = world.broker.poll_transmit(world.now, world.clients[1].1, &mut world.out).unwrap();
    assert!(written > MESSAGES * PAYLOAD.len());
    ready
}

/// A client takes deliveries, and its application takes the messages.
pub(crate) fn client_take(mut ready: Ready) -> Ready {
    let bytes = core::mem::take(&mut ready.bytes);
    ready.world.hand(&bytes);
    Ready { bytes, ..ready }
}

/// A client sends messages, writes them, and has their receipts.
pub(crate) fn client_send(mut ready: Ready) -> Ready {
    let bytes = core::mem::take(&mut ready.bytes);
    let world = &mut ready.world;
    world.send(&uuid(1).into(), MESSAGES);
    let (client, _) = &mut world.clients[0];
    let written = client.poll_transmit(world.now, &mut world.out).unwrap();
    assert!(written > MESSAGES * PAYLOAD.len());
    client.handle_input(world.now, &bytes[0].1);
    let mut receipts = 0;
    while let Some(event) = client.poll_event() {
        receipts += usize::from(matches!(event, Event::Receipt(receipt) if receipt.is_final()));
    }
    assert_eq!(receipts, MESSAGES);
    client.poll_transmit(world.now, &mut world.out).unwrap();
    Ready { bytes, ..ready }
}
