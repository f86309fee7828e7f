//! A client and a hostile broker: whatever comes, whole or byte by byte, it stays itself, and serves an honest broker
//! afterwards.

use super::hostile::{Carrier, Chunk, DownFrame, Number, To, uuid};
use arbitrary::{Arbitrary, Unstructured};
use core::time::Duration;
use e_pigeon_core::{
    AckToken, Broker, BrokerConfig, Client, ClientConfig, Close, Event, Framing, Instant, Message, MessageId,
    Retain, Secret, Value,
};
use std::collections::BTreeMap;

/// What happens to the client.
#[derive(Clone, Debug, Arbitrary)]
enum Operation {
    Input(Chunk<DownFrame>),
    Transmit(u16),
    Poll(u8),
    Time(u16),
    Connected,
    Disconnected,
    Send { to: To, length: u8, live: Number, early: bool },
    Set(u8, i8),
    Remove(u8),
    Watch(To),
    Acknowledge,
    Close(bool),
}

/// The first byte says whether the client has said hello and was welcomed before, how small it is, whether it is on a line
/// that may damage what it carries, and whether the other bytes are what the broker writes or a list of operations.
///
/// # Panics
///
/// Where the client breaks a promise.
pub fn client_stream(data: &[u8]) {
    let Some((&how, rest)) = data.split_first() else { return };
    let mut twins = Twins::new(how);
    twins.connected();
    if how & 16 == 0 {
        twins.transmit(1 << 12);
    }
    if how & 1 != 0 {
        let welcome = twins.carrier.carry(&DownFrame::PlainWelcome(1));
        twins.input(&welcome);
    }
    if how & 2 == 0 {
        twins.input(rest);
    } else {
        let mut source = Unstructured::new(rest);
        // Bytes that are too short end the list.
        for operation in source.arbitrary_iter::<Operation>().into_iter().flatten().map_while(Result::ok) {
            twins.run(&operation);
            twins.check();
        }
    }
    twins.check();
    twins.heal();
}

/// Two clients that are told the same, one in pieces as large and the other in pieces as small as may be.
struct Twins {
    whole: Client<Vec<u8>>,
    bytewise: Client<Vec<u8>>,
    now: Instant,
    /// The messages that were taken, and whether they have had their final receipt.
    finals: BTreeMap<MessageId, bool>,
    token: Option<AckToken>,
    /// The most events that can wait at once.
    most_events: usize,
    is_closing: bool,
    framing: Framing,
    carrier: Carrier,
}

fn config(how: u8) -> ClientConfig {
    let is_small = how & 4 != 0;
    let mut config = ClientConfig::new(uuid(0), Secret([5; 16]), 1, 1);
    config.framing = if how & 32 == 0 { Framing::Length } else { Framing::Cobs };
    config.max_payload = 64;
    config.outbox_messages = if is_small { 2 } else { 16 };
    config.outbox_bytes = if is_small { 64 + 100 } else { 2_000 };
    config.inbox_messages = if is_small { 2 } else { 16 };
    config.inbox_bytes = if is_small { 64 } else { 700 };
    config.senders = 2;
    config.seen_window = 64;
    config.late_ids = 2;
    config.destination_slots = 2;
    config.destination_bytes = 100;
    config.attribute_bytes = 60;
    config.watches = 1;
    config.presence_items = 2;
    config.manual_acknowledgement = how & 8 != 0;
    config
}

fn make(config: &ClientConfig) -> Client<Vec<u8>> {
    // What is in the memory before is nobody's business.
    let made = Client::new(config.clone(), vec![0xaa; config.memory_needed()]);
    made.expect("a config that is valid, and as much memory as it needs")
}

impl Twins {
    fn new(how: u8) -> Self {
        let config = config(how);
        // Receipts, interim and final; presence; messages; and one of each other kind.
        let most_events = 2 * config.outbox_messages + config.inbox_messages + 16;
        Self {
            whole: make(&config),
            bytewise: make(&config),
            now: Instant::from_micros(1),
            finals: BTreeMap::new(),
            token: None,
            most_events: most_events as usize,
            is_closing: false,
            framing: config.framing,
            carrier: Carrier::new(config.framing),
        }
    }

    /// Tells both the same, which must say the same.
    fn both<T: PartialEq + core::fmt::Debug>(
        &mut self,
        mut tell: impl FnMut(&mut Client<Vec<u8>>, Instant) -> T,
    ) -> T {
        let first = tell(&mut self.whole, self.now);
        assert_eq!(first, tell(&mut self.bytewise, self.now));
        first
    }

    fn connected(&mut self) {
        self.both(Client::handle_connected);
    }

    fn input(&mut self, bytes: &[u8]) {
        self.whole.handle_input(self.now, bytes);
        for byte in bytes.chunks(1) {
            self.bytewise.handle_input(self.now, byte);
        }
    }

    /// Takes at most so many bytes from both.
    fn transmit(&mut self, most: usize) -> usize {
        let mut whole = vec![0; most];
        let mut bytewise = Vec::new();
        let written = self.whole.poll_transmit(self.now, &mut whole).unwrap_or(0);
        whole.truncate(written);
        while bytewise.len() < most {
            let mut byte = [0];
            if self.bytewise.poll_transmit(self.now, &mut byte).unwrap_or(0) == 0 {
                break;
            }
            bytewise.extend_from_slice(&byte);
        }
        assert_eq!(whole, bytewise, "the size of the buffer changes no byte");
        self.carrier.hears(&whole);
        written
    }

    fn run(&mut self, operation: &Operation) {
        match operation {
            Operation::Input(chunk) => {
                let bytes = chunk.bytes(&mut self.carrier);
                self.input(&bytes);
            }
            Operation::Transmit(most) => {
                self.transmit(usize::from(*most) % 3_000);
            }
            Operation::Poll(most) => {
                self.poll(usize::from(*most));
            }
            Operation::Time(milliseconds) => {
                self.now = self.now + Duration::from_millis(u64::from(*milliseconds));
                self.timeout();
            }
            Operation::Connected => self.connected(),
            Operation::Disconnected => self.both(Client::handle_disconnected),
            Operation::Send { to, length, live, early } => self.send(to, *length, *live, *early),
            Operation::Set(key, value) => {
                let _ = self.both(|client, now| client.set(now, key_of(*key), Value::Int((*value).into())));
            }
            Operation::Remove(key) => {
                let _ = self.both(|client, now| client.remove(now, key_of(*key)));
            }
            Operation::Watch(to) => {
                let _ = self.both(|client, now| client.watch(now, &to.filter()));
            }
            Operation::Acknowledge => {
                let token = self.token;
                self.both(|client, _| token.into_iter().for_each(|token| client.acknowledge(token)));
            }
            Operation::Close(end) => {
                self.is_closing = true;
                let how = if *end { Close::EndSession } else { Close::KeepSession };
                self.both(|client, now| client.close(now, how));
            }
        }
    }

    fn send(&mut self, to: &To, length: u8, live: Number, early: bool) {
        let (to, payload) = (to.destination(), vec![length; usize::from(length % 70)]);
        let outgoing = Message::to(&to)
            .payload(&payload)
            .time_to_live(Duration::from_millis(100 * (live.0 % 1_000)))
            .retain(if early { Retain::Accepted } else { Retain::Delivered });
        if let Ok(id) = self.both(|client, now| client.send(now, &outgoing)) {
            assert_eq!(self.finals.insert(id, false), None, "an id is never used twice");
        }
    }

    fn timeout(&mut self) {
        self.both(Client::handle_timeout);
        let due = self.whole.poll_timeout();
        assert!(due.is_none_or(|due| due > self.now), "due at {due:?}, and it is {:?}", self.now);
    }

    /// Takes at most so many events from both; returns how many there were.
    fn poll(&mut self, most: usize) -> usize {
        for count in 0..most {
            let has = self.both(|client, _| client.has_event());
            let (event, other) = (self.whole.poll_event(), self.bytewise.poll_event());
            assert_eq!(event, other, "pieces change no event");
            assert_eq!(event.is_some(), has);
            match event {
                None => return count,
                Some(Event::Message(message)) => self.token = Some(message.token),
                Some(Event::Receipt(receipt)) => {
                    let is_final = self.finals.get_mut(&receipt.id()).expect("a receipt for what was sent");
                    assert!(!*is_final, "a receipt after the final one");
                    *is_final = receipt.is_final();
                }
                Some(_) => {}
            }
        }
        most
    }

    /// What both say about themselves, and what must be true of it.
    fn check(&mut self) {
        self.both(|client, _| {
            let wants = (client.wants_connection(), client.wants_disconnect(), client.wants_transmit());
            (wants, client.is_established(), client.is_closed(), client.poll_timeout())
        });
        let finals = &self.finals;
        assert!(self.whole.unanswered().all(|id| finals.get(&id) == Some(&false)));
    }

    /// An honest broker takes the place of the hostile one: everything is answered, or the client has ended.
    fn heal(mut self) {
        self.both(Client::handle_disconnected);
        let config = BrokerConfig::new(0).settle(Duration::ZERO);
        let mut broker = Broker::new(config, 99).expect("a config that is valid");
        let (mut link, mut quiet) = (None, 0);
        for _ in 0..1_000 {
            let polled = self.poll(self.most_events + 1);
            assert!(polled <= self.most_events, "events without end");
            let token = self.token;
            self.both(|client, _| token.into_iter().for_each(|token| client.acknowledge(token)));
            if self.whole.is_closed() || quiet > 2 {
                break;
            }
            if self.whole.wants_disconnect() {
                self.both(Client::handle_disconnected);
                link.take().into_iter().for_each(|link| broker.handle_disconnected(self.now, link));
            }
            if self.whole.wants_connection() {
                link = broker.handle_connected_over(self.now, 0, self.framing).ok();
                self.connected();
            }
            let mut moved = polled;
            if let Some(link) = link {
                moved += self.exchange(&mut broker, link);
            }
            if moved > 0 {
                quiet = 0;
                continue;
            }
            quiet += usize::from(self.whole.unanswered().next().is_none() && !self.is_closing);
            let due = [self.whole.poll_timeout(), broker.poll_timeout()].into_iter().flatten().min();
            self.now = self.now.max(due.unwrap_or_default());
            self.timeout();
            broker.handle_timeout(self.now);
        }
        if !self.whole.is_closed() {
            assert!(!self.is_closing, "it does not close");
            assert_eq!(self.whole.unanswered().count(), 0, "a message without an answer");
            assert!(self.finals.values().all(|&is_final| is_final), "an answer that was not told");
        }
        assert!(broker.stats().is_balanced());
    }

    fn exchange(&mut self, broker: &mut Broker, link: e_pigeon_core::LinkId) -> usize {
        let mut out = [0; 4096];
        let mut moved = 0;
        loop {
            let written = self.whole.poll_transmit(self.now, &mut out).unwrap_or(0);
            assert_eq!(self.bytewise.poll_transmit(self.now, &mut out[written..]).unwrap_or(0), written);
            if written == 0 {
                break;
            }
            let taken = broker.handle_input(self.now, link, &out[..written]);
            assert_eq!(taken, Ok(written));
            moved += written;
        }
        while broker.poll_ready().is_some() || broker.poll_event().is_some() {}
        while let Ok(written @ 1..) = broker.poll_transmit(self.now, link, &mut out) {
            self.input(&out[..written]);
            moved += written;
        }
        moved
    }
}

fn key_of(key: u8) -> &'static str {
    ["a", "b", "c"][usize::from(key % 3)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_hostile_broker_says_on_a_line_is_heard() {
        let mut twins = Twins::new(32);
        twins.connected();
        twins.transmit(1 << 12);
        twins.run(&Operation::Input(Chunk::Frame(DownFrame::PlainWelcome(1))));
        twins.run(&Operation::Input(Chunk::Frame(DownFrame::PlainDeliver(3))));
        twins.poll(10);
        assert!(twins.token.is_some(), "a message has come");
    }
}
