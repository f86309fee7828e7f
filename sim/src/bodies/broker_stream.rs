//! A broker, hostile clients, and an honest one beside them that notices nothing: whole or byte by byte, whatever comes.

use super::hostile::{CLIENTS, Carrier, Chunk, HelloParts, To, UpFrame, has_secret, secret, uuid};
use arbitrary::{Arbitrary, Unstructured};
use core::time::Duration;
use e_pigeon_core::{
    AbortCode, Broker, BrokerConfig, BrokerEvent, Client, ClientConfig, Event, Framing, Instant, LinkId,
    Message, MessageId, Ready, Value,
};
use std::collections::BTreeMap;

/// How many hostile clients may be connected at a time.
const HOSTILE: usize = 3;

/// What happens to the broker. The first field is the link of a hostile client.
#[derive(Clone, Debug, Arbitrary)]
enum Operation {
    Connected(u8),
    Hello(u8, HelloParts),
    Input(u8, Chunk<UpFrame>),
    Transmit(u8, u16),
    Disconnected(u8),
    Ready,
    Time(u16),
    Send(To, u8),
}

/// The first byte says whether the hostile client has shaken hands before, how small the broker is, whether hostile
/// clients come by lines that may damage what they carry, and whether the other bytes are what they write or a list of
/// operations.
///
/// # Panics
///
/// Where the broker breaks a promise.
pub fn broker_stream(data: &[u8]) {
    let Some((&how, rest)) = data.split_first() else { return };
    let mut twins = Twins::new(how);
    twins.run(&Operation::Connected(0));
    if how & 1 != 0 {
        twins.run(&Operation::Hello(0, HelloParts::plain()));
        twins.run(&Operation::Transmit(0, 1_000));
        twins.both(|side, _| assert_eq!(side.broker.stats().connected, 2));
    }
    if how & 2 == 0 {
        twins.input(0, rest);
        twins.run(&Operation::Send(To::Everyone(0), 3));
        twins.run(&Operation::Transmit(0, 3_000));
    } else {
        let mut source = Unstructured::new(rest);
        // Bytes that are too short end the list.
        for operation in source.arbitrary_iter::<Operation>().into_iter().flatten().map_while(Result::ok) {
            twins.run(&operation);
        }
    }
    twins.end();
}

/// A broker with the links of hostile clients, and an honest client.
struct Side {
    broker: Broker,
    hostile: [Option<LinkId>; HOSTILE],
    honest: Client<Vec<u8>>,
    link: Option<LinkId>,
    /// The most bytes that are given or taken at once.
    most: usize,
    finals: BTreeMap<MessageId, bool>,
}

fn config(how: u8) -> BrokerConfig {
    let small = BrokerConfig::new(0)
        .max_links(4)
        .max_sessions(3)
        .max_attributes(2)
        .max_payload(64)
        .max_messages(8)
        .max_message_bytes(512)
        .max_held(3)
        .queue_messages(3)
        .queue_bytes(200)
        .window_messages(4)
        .window_bytes(200)
        .receipt_backlog(2)
        .max_watches(1)
        .watch_backlog(1);
    let large = BrokerConfig::new(0).max_payload(128);
    let config = if how & 4 == 0 { large } else { small };
    config
        .session_ttl(Duration::from_secs(3_600))
        .settle(if how & 8 == 0 { Duration::ZERO } else { Duration::from_secs(2) })
        .max_time_to_live(Duration::from_secs(100))
}

impl Side {
    fn new(how: u8, most: usize) -> Self {
        let broker = Broker::new(config(how), 1).expect("a config that is valid");
        let mut config = ClientConfig::new(uuid(0), secret(0), 1, 1);
        config.max_payload = 64;
        (config.outbox_messages, config.outbox_bytes) = (8, 2_000);
        (config.inbox_messages, config.inbox_bytes) = (8, 512);
        (config.senders, config.seen_window, config.late_ids) = (4, 64, 4);
        (config.destination_slots, config.destination_bytes, config.attribute_bytes) = (2, 300, 60);
        (config.watches, config.presence_items) = (0, 0);
        let memory = vec![0; config.memory_needed()];
        let honest =
            Client::new(config, memory).expect("a config that is valid, and as much memory as it needs");
        let finals = BTreeMap::new();
        Self { broker, hostile: [None; HOSTILE], honest, link: None, most, finals }
    }

    /// Gives the broker all of these bytes, which it takes as fast as it likes.
    fn input(&mut self, now: Instant, link: LinkId, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let piece = &bytes[..bytes.len().min(self.most)];
            match self.broker.handle_input(now, link, piece) {
                Ok(taken) => {
                    assert!((1..=piece.len()).contains(&taken), "{taken} of {} bytes", piece.len());
                    bytes = &bytes[taken..];
                }
                Err(_) => return,
            }
        }
    }

    /// Takes at most so many bytes from the broker.
    fn transmit(&mut self, now: Instant, link: LinkId, most: usize) -> Vec<u8> {
        let mut bytes = vec![0; most];
        let mut written = 0;
        while written < most {
            let room = &mut bytes[written..];
            let size = room.len().min(self.most);
            match self.broker.poll_transmit(now, link, &mut room[..size]) {
                Ok(more @ 1..) => written += more,
                Ok(0) | Err(_) => break,
            }
        }
        bytes.truncate(written);
        bytes
    }

    /// Links that want something, in an order that pieces of input may change.
    fn ready(&mut self, now: Instant) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(ready) = self.broker.poll_ready() {
            all.push(format!("{ready:?}"));
            if let Ready::Close(link) = ready {
                self.broker.handle_disconnected(now, link);
                self.hostile.iter_mut().filter(|other| **other == Some(link)).for_each(|other| *other = None);
            }
            assert!(all.len() <= 3 * (HOSTILE + 1), "ready without end");
        }
        all.sort();
        all
    }

    /// The honest client does all that it can.
    fn honest(&mut self, now: Instant) {
        for _ in 0..20 {
            if self.honest.wants_disconnect() {
                self.honest.handle_disconnected(now);
                self.link.take().into_iter().for_each(|link| self.broker.handle_disconnected(now, link));
            }
            if self.honest.wants_connection() {
                self.link = self.broker.handle_connected(now, 0).ok();
                match self.link {
                    Some(_) => self.honest.handle_connected(now),
                    None => self.honest.handle_disconnected(now),
                }
            }
            let mut out = [0; 1_024];
            let written = self.honest.poll_transmit(now, &mut out).unwrap_or(0);
            let down = self.link.map_or(Vec::new(), |link| {
                self.input(now, link, &out[..written]);
                self.transmit(now, link, 1_024)
            });
            self.honest.handle_input(now, &down);
            self.events();
            if written == 0 && down.is_empty() {
                return;
            }
        }
    }

    fn events(&mut self) {
        while let Some(event) = self.honest.poll_event() {
            match event {
                Event::Receipt(receipt) if receipt.is_final() => {
                    let before = self.finals.insert(receipt.id(), true);
                    assert_eq!(before, Some(false), "one final receipt, for what was sent");
                }
                Event::Closed(reason) => panic!("the honest client was put out: {reason}"),
                _ => {}
            }
        }
        while let Some(event) = self.broker.poll_event() {
            if let BrokerEvent::LinkAborted(link, code) = event {
                let is_honest = self.link == Some(link);
                assert!(
                    !is_honest || matches!(code, AbortCode::Silent | AbortCode::HandshakeTimeout),
                    "{code}"
                );
            }
        }
    }
}

/// Two brokers that are told the same, one in pieces as large and the other in pieces as small as may be.
struct Twins {
    sides: [Side; 2],
    now: Instant,
    config: BrokerConfig,
    /// What the hostile clients come by.
    framing: Framing,
    carriers: [Carrier; HOSTILE],
}

impl Twins {
    fn new(how: u8) -> Self {
        let sides = [Side::new(how, usize::MAX), Side::new(how, 1)];
        let framing = if how & 32 == 0 { Framing::Length } else { Framing::Cobs };
        let carriers = [(); HOSTILE].map(|()| Carrier::new(framing));
        let mut twins = Self { sides, now: Instant::from_micros(1), config: config(how), framing, carriers };
        twins.honest();
        twins
    }

    /// Does the same with both, which must say the same.
    fn both<T: PartialEq + core::fmt::Debug>(&mut self, mut tell: impl FnMut(&mut Side, Instant) -> T) -> T {
        let now = self.now;
        let [whole, bytewise] = self.sides.each_mut().map(|side| tell(side, now));
        assert_eq!(whole, bytewise, "pieces change nothing");
        whole
    }

    fn honest(&mut self) {
        self.both(|side, now| side.honest(now));
    }

    fn carrier(&mut self, which: u8) -> &mut Carrier {
        &mut self.carriers[usize::from(which) % HOSTILE]
    }

    fn input(&mut self, which: u8, bytes: &[u8]) {
        if has_secret(bytes, 0) {
            return;
        }
        let which = usize::from(which) % HOSTILE;
        self.both(|side, now| {
            if let Some(link) = side.hostile[which] {
                side.input(now, link, bytes);
            }
        });
    }

    fn run(&mut self, operation: &Operation) {
        match operation {
            Operation::Connected(which) => {
                let (which, framing) = (usize::from(*which) % HOSTILE, self.framing);
                self.both(|side, now| {
                    if side.hostile[which].is_none() {
                        side.hostile[which] =
                            side.broker.handle_connected_over(now, 1 + which as u64, framing).ok();
                    }
                    side.hostile[which].is_some()
                });
            }
            Operation::Hello(which, parts) => {
                let hello = self.carrier(*which).carry(parts);
                self.input(*which, &hello);
            }
            Operation::Input(which, chunk) => {
                let bytes = chunk.bytes(self.carrier(*which));
                self.input(*which, &bytes);
            }
            Operation::Transmit(which, most) => {
                let (place, most) = (usize::from(*which) % HOSTILE, usize::from(*most) % 3_000);
                let written =
                    self.both(|side, now| side.hostile[place].map(|link| side.transmit(now, link, most)));
                self.carrier(*which).hears(&written.unwrap_or_default());
            }
            Operation::Disconnected(which) => {
                let which = usize::from(*which) % HOSTILE;
                self.both(|side, now| {
                    let link = side.hostile[which].take();
                    link.into_iter().for_each(|link| side.broker.handle_disconnected(now, link));
                });
            }
            Operation::Ready => drop(self.both(Side::ready)),
            Operation::Time(milliseconds) => {
                self.now = self.now + Duration::from_millis(u64::from(*milliseconds));
                self.timeout();
            }
            Operation::Send(to, length) => self.send(to, *length),
        }
        self.check();
    }

    fn send(&mut self, to: &To, length: u8) {
        let (to, payload) = (to.destination(), vec![length; usize::from(length % 65)]);
        let time_to_live = Duration::from_secs(u64::from(length % 8));
        self.both(|side, now| {
            let _ = side.honest.set(now, "a", Value::Int(i64::from(length % 2)));
            let outgoing = Message::new(&to, &payload).time_to_live(time_to_live);
            if let Ok(id) = side.honest.send(now, &outgoing) {
                side.finals.insert(id, false);
            }
        });
        self.honest();
    }

    fn timeout(&mut self) {
        let due = self.both(|side, now| {
            side.broker.handle_timeout(now);
            side.honest.handle_timeout(now);
            side.broker.poll_timeout()
        });
        assert!(due.is_none_or(|due| due > self.now), "due at {due:?}, and it is {:?}", self.now);
        self.honest();
    }

    /// The books balance, and no limit is passed.
    fn check(&mut self) {
        let (stats, _) = self.both(|side, _| (side.broker.stats(), side.broker.poll_timeout()));
        let config = &self.config;
        assert!(stats.is_balanced(), "{stats:?}");
        assert!(stats.links <= config.max_links && stats.connected <= stats.links, "{stats:?}");
        assert!(stats.sessions <= config.max_sessions && stats.connected <= stats.sessions, "{stats:?}");
        assert!(stats.open <= u64::from(config.max_messages), "{stats:?}");
        assert!(stats.payload_bytes <= config.max_message_bytes, "{stats:?}");
        assert!(stats.waiting <= u64::from(config.max_held), "{stats:?}");
        let queues = u64::from(stats.sessions) * u64::from(config.queue_messages);
        assert!(stats.held <= queues, "{stats:?}");
    }

    /// The hostile clients go, the honest one gets its answers, and nothing is left.
    fn end(mut self) {
        for which in 0..HOSTILE {
            self.run(&Operation::Disconnected(u8::try_from(which).unwrap_or_default()));
        }
        for _ in 0..200 {
            self.now = self.now + Duration::from_secs(1);
            self.timeout();
            self.both(Side::ready);
        }
        let finals = self.both(|side, _| side.finals.clone());
        assert!(
            finals.values().all(|&is_final| is_final),
            "the honest client waits for an answer: {finals:?}"
        );
        self.both(|side, now| {
            side.link.take().into_iter().for_each(|link| side.broker.handle_disconnected(now, link));
        });
        self.now = self.now + self.config.session_ttl;
        let stats = self.both(|side, now| {
            side.broker.handle_timeout(now);
            side.broker.handle_timeout(now + Duration::from_secs(1_000));
            side.broker.stats()
        });
        let numbers = (stats.links, stats.sessions, stats.connected, stats.held, stats.open, stats.waiting);
        assert_eq!((numbers, stats.payload_bytes), ((0, 0, 0, 0, 0, 0), 0), "{stats:?}");
        assert_eq!(self.both(|side, _| side.broker.poll_timeout()), None);
    }
}

const _: () = assert!(CLIENTS as usize > HOSTILE);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_hostile_client_says_on_a_line_is_heard() {
        let mut twins = Twins::new(32);
        twins.run(&Operation::Connected(0));
        twins.run(&Operation::Hello(0, HelloParts::plain()));
        twins.run(&Operation::Transmit(0, 1_000));
        twins.run(&Operation::Input(0, Chunk::Frame(UpFrame::Plain(To::Everyone(0), 3))));
        twins.both(|side, _| assert_eq!(side.broker.stats().taken, 1));
    }
}
