//! A broker alone, and frames that no client of ours would write.

use super::uuid;
use e_pigeon_core::codec::Writer;
use e_pigeon_core::wire::control::{Control, Hello, Known, Welcome};
use e_pigeon_core::wire::item::{MessageItem, UpItem};
use e_pigeon_core::wire::window::Window;
use e_pigeon_core::{AttributesRef, Broker, BrokerConfig, Destination, Instant, LinkId, Past};

pub fn frame(write: impl Fn(&mut Writer<'_>)) -> Vec<u8> {
    let mut counter = Writer::counting();
    write(&mut counter);
    let body = counter.total();
    let mut out = vec![0; body + 8];
    let mut writer = Writer::new(&mut out, 0);
    writer.u64(body as u64);
    write(&mut writer);
    let length = writer.written();
    out.truncate(length);
    out
}

pub const WIDE: Window = Window { messages: 1 << 20, bytes: u32::MAX };

pub fn hello(n: usize, link: u64, known: Option<Known>, attributes: AttributesRef<'_>) -> Vec<u8> {
    let hello = Hello {
        uuid: *uuid(n).as_bytes(),
        secret: [n as u8; 16],
        boot: 5_u64.to_le_bytes(),
        link,
        known,
        window: WIDE,
        max_payload: 1 << 12,
        aliases: 64,
        receives: true,
        presence: 0,
    };
    frame(|w| Control::Hello(hello, attributes).write(w))
}

/// What a broker says to a client with a new session.
#[allow(dead_code)]
pub fn welcome() -> Vec<u8> {
    let welcome = Welcome {
        epoch: [1; 8],
        session: 1,
        resumed: None,
        window: WIDE,
        max_payload: 1 << 16,
        slots: 4,
        keep_alive_ms: 10_000,
        session_ttl_ms: 10_000,
    };
    frame(|w| Control::Welcome(welcome).write(w))
}

pub fn message_for(
    define: Option<&Destination>,
    id_step: u64,
    retry: Option<Past>,
    ms: u32,
    payload: &[u8],
) -> Vec<u8> {
    let define = define.map(Destination::as_ref);
    let message =
        MessageItem { slot: 0, define, id_step, time_to_live_ms: ms, retry, until_accepted: false, payload };
    frame(|w| UpItem::Message(message).write(w))
}

pub fn message(define: Option<&Destination>, id_step: u64, retry: Option<Past>, payload: &[u8]) -> Vec<u8> {
    message_for(define, id_step, retry, 3_600_000, payload)
}

/// The same, with another alias of the destination.
#[allow(dead_code)]
pub fn message_in(slot: u8, define: Option<&Destination>, id_step: u64) -> Vec<u8> {
    let (define, time_to_live_ms) = (define.map(Destination::as_ref), 3_600_000);
    let message = MessageItem {
        slot,
        define,
        id_step,
        time_to_live_ms,
        retry: None,
        until_accepted: false,
        payload: b"",
    };
    frame(|w| UpItem::Message(message).write(w))
}

/// Milliseconds of processor time of this thread.
#[allow(dead_code)]
pub fn cpu() -> u64 {
    let said = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    said.split(' ').next().unwrap().parse::<u64>().unwrap() / 1_000_000
}

/// A broker and bytes.
pub struct Raw {
    pub broker: Broker,
    pub now: Instant,
}

impl Raw {
    pub fn new(config: BrokerConfig) -> Self {
        Self { broker: Broker::new(config, 1).unwrap(), now: Instant::from_micros(1) }
    }
    pub fn link(&mut self) -> LinkId {
        self.broker.handle_connected(self.now, 0).unwrap()
    }
    pub fn drain(&mut self) {
        while self.broker.poll_ready().is_some() {}
        while self.broker.poll_event().is_some() {}
    }
    pub fn put(&mut self, link: LinkId, bytes: &[u8]) {
        assert_eq!(self.broker.handle_input(self.now, link, bytes), Ok(bytes.len()));
        self.drain();
    }
    pub fn put_all(&mut self, link: LinkId, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = self.broker.handle_input(self.now, link, bytes).unwrap();
            bytes = &bytes[taken..];
            self.drain();
        }
    }
    /// Hands bytes over, and lets the broker work off what it has put off.
    pub fn put_with_timeouts(&mut self, link: LinkId, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = self.broker.handle_input(self.now, link, bytes).unwrap();
            bytes = &bytes[taken..];
            self.broker.handle_timeout(self.now);
            self.drain();
        }
    }
    pub fn swallow(&mut self, link: LinkId) -> Vec<u8> {
        let (mut all, mut out) = (vec![], [0; 4096]);
        while let Ok(n @ 1..) = self.broker.poll_transmit(self.now, link, &mut out) {
            all.extend_from_slice(&out[..n]);
        }
        self.drain();
        all
    }
    /// A session that is away.
    pub fn away(&mut self, n: usize, attributes: AttributesRef<'_>) {
        let link = self.link();
        self.put(link, &hello(n, 1, None, attributes));
        self.broker.handle_disconnected(self.now, link);
        self.drain();
    }
    pub fn up(&mut self, n: usize, link_number: u64) -> LinkId {
        let link = self.link();
        self.put(link, &hello(n, link_number, None, AttributesRef::EMPTY));
        self.swallow(link);
        link
    }
}
