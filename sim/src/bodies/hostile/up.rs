//! What a hostile client writes.

use super::carrier::Write;
use super::fields::{Before, CLIENTS, Content, KEYS, Number, PAYLOAD, Pairs, To, uuid, window};
use arbitrary::Arbitrary;
use e_pigeon_core::codec::Writer;
use e_pigeon_core::wire::control::{Abort, Control, Hello, Known};
use e_pigeon_core::wire::item::{MessageItem, UpItem};
use e_pigeon_core::{AbortCode, Destination};

#[derive(Clone, Debug, Arbitrary)]
pub(in crate::bodies) struct HelloParts {
    pub(in crate::bodies) who: u8,
    wrong_secret: u8,
    boot: u8,
    link: Number,
    known: Option<(u8, Number, Number, Number)>,
    window: (Number, Number),
    max_payload: u8,
    aliases: u8,
    receives: bool,
    presence: u8,
    attributes: Pairs,
}

/// What goes to a broker.
#[derive(Clone, Debug, Arbitrary)]
pub(in crate::bodies) enum UpFrame {
    Hello(HelloParts),
    Message {
        slot: u8,
        define: Option<To>,
        step: Number,
        live: Number,
        past: Option<Before>,
        early: bool,
        length: u8,
    },
    /// What most honest clients send: so that a fuzzer finds it soon.
    Plain(To, u8),
    Set(Vec<(u8, Option<i8>)>),
    Decline(Number),
    Watch(Number, To),
    Unwatch(Number),
    Ack(Number),
    Window(Number, Number),
    Ping,
    Goodbye(bool),
    Abort(Number),
    Proof,
}

impl Write for UpFrame {
    fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Hello(parts) => parts.write(writer),
            Self::Message { slot, define, step, live, past, early, length } => {
                let define = define.as_ref().map(To::destination);
                UpItem::Message(MessageItem {
                    slot: slot % 20,
                    define: define.as_ref().map(Destination::as_ref),
                    id_step: step.0,
                    time_to_live_ms: live.u32().saturating_mul(50),
                    retry: past.map(Before::up),
                    until_accepted: *early,
                    payload: &PAYLOAD[..usize::from(*length)],
                })
                .write(writer);
            }
            Self::Plain(to, length) => {
                let (define, payload) = (to.destination(), &PAYLOAD[..usize::from(length % 40)]);
                let define = Some(define.as_ref());
                let (id_step, time_to_live_ms) = (1, 1_000);
                let (retry, until_accepted) = (None, false);
                let message =
                    MessageItem { slot: 0, define, id_step, time_to_live_ms, retry, until_accepted, payload };
                UpItem::Message(message).write(writer);
            }
            Self::Set(changes) => write_changes(changes, writer),
            Self::Decline(number) => UpItem::Decline(number.0).write(writer),
            Self::Watch(number, to) => UpItem::Watch(number.u32(), to.filter().as_ref()).write(writer),
            Self::Unwatch(number) => UpItem::Unwatch(number.u32()).write(writer),
            Self::Ack(more) => Control::Ack(more.0).write(writer),
            Self::Window(messages, bytes) => Control::Window(window(*messages, *bytes)).write(writer),
            Self::Ping => Control::Ping.write(writer),
            Self::Goodbye(end) => Control::Goodbye(*end).write(writer),
            Self::Abort(detail) => {
                Control::Abort(Abort { code: AbortCode::Malformed, detail: detail.0 }).write(writer);
            }
            Self::Proof => Control::Proof([9; 32]).write(writer),
        }
    }
}

impl HelloParts {
    /// Client 1, with a wide window, and `a = 1`.
    pub(in crate::bodies) fn plain() -> Self {
        Self {
            who: 1,
            wrong_secret: 0,
            boot: 0,
            link: Number(1),
            known: None,
            window: (Number(100), Number(100)),
            max_payload: 0,
            aliases: 4,
            receives: true,
            presence: 2,
            attributes: Pairs(vec![(0, Content::Int(Number(1)))]),
        }
    }
}

impl Write for HelloParts {
    fn write(&self, writer: &mut Writer<'_>) {
        let known = self.known.map(|(epoch, session, received, acknowledged)| Known {
            epoch: u64::from(epoch % 3).to_le_bytes(),
            session: session.0,
            received: received.0,
            acknowledged: acknowledged.0,
            window: window(self.window.0, self.window.1),
        });
        // Nobody but the honest client has its secret.
        let is_wrong = self.who.is_multiple_of(CLIENTS) || self.wrong_secret > 240;
        let hello = Hello {
            uuid: *uuid(self.who).as_bytes(),
            secret: [if is_wrong { 9 } else { 1 }; 16],
            boot: (1 + u64::from(self.boot / 250)).to_le_bytes(),
            link: self.link.0,
            known,
            window: window(self.window.0, self.window.1),
            max_payload: if self.max_payload < 200 { 64 } else { u32::from(self.max_payload - 200) },
            aliases: u16::from(self.aliases % 8),
            receives: self.receives,
            presence: u16::from(self.presence % 4),
        };
        Control::Hello(hello, self.attributes.attributes().as_ref()).write(writer);
    }
}

/// A change of attributes, keys ascending and each once.
fn write_changes(changes: &[(u8, Option<i8>)], writer: &mut Writer<'_>) {
    let mut sorted = std::collections::BTreeMap::new();
    for (key, value) in changes {
        sorted.insert(KEYS[usize::from(*key) % KEYS.len()], *value);
    }
    writer.u8(e_pigeon_core::wire::kind::SET);
    writer.u64(sorted.len() as u64);
    for (key, value) in sorted {
        writer.bytes(key.as_bytes());
        writer.u8(u8::from(value.is_some()));
        if let Some(value) = value {
            // The tag of an integer.
            writer.u8(1);
            writer.i64(i64::from(value));
        }
    }
}
