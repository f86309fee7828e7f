//! How the frames of a hostile peer are carried: on a stream behind their length, on a line as a peer would carry them
//! that knows which link it is on. Otherwise no frame on a line would ever be looked into.

use crate::bodies::frame::stuff;
use crate::frames::{frame as framed, written};
use e_pigeon_core::Framing;
use e_pigeon_core::codec::{Reader, Writer};
use e_pigeon_core::wire::cobs;
use e_pigeon_core::wire::control::Control;
use e_pigeon_core::wire::kind;
use e_pigeon_core::wire::state::{Prefix, StateFrame, tag, welcomed_tag};
use e_pigeon_core::wire::window::Window;

/// More than any frame here has.
const MOST: usize = 2_000;

/// What a frame is written by.
pub(in crate::bodies) trait Write {
    fn write(&self, writer: &mut Writer<'_>);
}

#[derive(Debug)]
pub(in crate::bodies) struct Carrier {
    framing: Framing,
    /// What a hello and its answer carry, and what all other frames do.
    hello_tag: u32,
    tag: u32,
    /// Items and states that were written; items that were heard of, and those of them that were acknowledged.
    number: u64,
    serial: u64,
    received: u64,
    acknowledged: u64,
    unstuffing: cobs::Unstuffing,
    /// The front of a frame that is not whole.
    content: Vec<u8>,
}

impl Carrier {
    pub(in crate::bodies) fn new(framing: Framing) -> Self {
        Self {
            framing,
            hello_tag: 0,
            tag: 0,
            number: 0,
            serial: 0,
            received: 0,
            acknowledged: 0,
            unstuffing: cobs::Unstuffing::default(),
            content: if framing.is_lossy() { vec![0; MOST] } else { Vec::new() },
        }
    }

    /// A frame as it is carried.
    pub(in crate::bodies) fn carry(&mut self, frame: &impl Write) -> Vec<u8> {
        if self.framing == Framing::Length {
            return framed(|writer| frame.write(writer));
        }
        let mut body = written(|writer| frame.write(writer));
        if let Some(Control::Ack(more)) = control(&body) {
            // Where frames may be lost, who acknowledges says how far it has come.
            body = self.state(more);
        }
        self.hear(&body);
        let first = body.first().copied().unwrap_or_default();
        let is_item = first >= kind::MESSAGE;
        self.number += u64::from(is_item);
        let prefix = Prefix {
            // A welcome is for the link as its hello named it.
            tag: if first == kind::WELCOME { self.hello_tag } else { self.tag },
            number: if is_item { self.number } else { 0 },
        };
        stuff(&[written(|writer| prefix.write(writer)), body].concat())
    }

    /// What the other end has written, in any pieces.
    pub(in crate::bodies) fn hears(&mut self, mut bytes: &[u8]) {
        while self.framing != Framing::Length && !bytes.is_empty() {
            let (taken, whole) = self.unstuffing.take(bytes, &mut self.content);
            bytes = &bytes[taken..];
            let Some(Ok(length)) = whole else { continue };
            let content = self.content[..length].to_vec();
            let mut reader = Reader::new(&content);
            if let Ok(prefix) = Prefix::read(&mut reader) {
                self.received = self.received.max(prefix.number);
                self.hear(reader.rest());
            }
        }
    }

    /// A hello begins a link, and a welcome names it, whoever says so.
    fn hear(&mut self, body: &[u8]) {
        match control(body) {
            Some(Control::Hello(hello, _)) => {
                self.hello_tag = tag(u64::from_le_bytes(hello.boot), hello.link);
                self.tag = self.hello_tag;
                (self.number, self.serial, self.received, self.acknowledged) = (0, 0, 0, 0);
            }
            Some(Control::Welcome(welcome)) => {
                let epoch = u64::from_le_bytes(welcome.epoch);
                self.tag = welcomed_tag(self.hello_tag, epoch, welcome.session);
            }
            _ => {}
        }
    }

    fn state(&mut self, more: u64) -> Vec<u8> {
        self.serial += 1;
        self.acknowledged = self.acknowledged.saturating_add(more);
        let received = self.received.max(self.acknowledged);
        let state = StateFrame {
            serial: self.serial,
            heard: 0,
            wants_reply: more % 2 == 1,
            received,
            acknowledged: self.acknowledged,
            window: Window { messages: 100, bytes: 4_000 },
            beyond: if more % 8 == 7 { 6 } else { 0 },
        };
        written(|writer| Control::State(state).write(writer))
    }
}

fn control(body: &[u8]) -> Option<Control<'_>> {
    let mut reader = Reader::new(body);
    let first = reader.u8().ok()?;
    Control::read(first, &mut reader).ok()
}
