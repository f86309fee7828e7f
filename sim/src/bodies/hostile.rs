//! Frames that a hostile peer would write: well-formed, with fields as the fuzzer likes them, or damaged after that.

use arbitrary::{Arbitrary, Result, Unstructured};
use e_pigeon_core::codec::Writer;
use e_pigeon_core::framing::{header_len, write_header};
use e_pigeon_core::wire::control::{Abort, Control, Hello, Known, Resumed, Welcome, Window};
use e_pigeon_core::wire::item::{
    Accepted, Deliver, DeliveryPast, DownItem, Final, Message, Origin, PresenceState, Refused, UpItem,
};
use e_pigeon_core::{Attributes, Code, Destination, Filter, Past, Reason, Taken, Uuid, Value};

/// Clients that a hostile peer may claim to be or write to. The first is honest.
pub(super) const CLIENTS: u8 = 4;
const KEYS: [&str; 3] = ["a", "b", "c"];

pub(super) fn uuid(who: u8) -> Uuid {
    Uuid::from_u128(0x1000 + u128::from(who % CLIENTS))
}

/// Mostly small, sometimes at an end of a range.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number(pub(super) u64);

impl Number {
    pub(super) fn u32(self) -> u32 {
        u32::try_from(self.0).unwrap_or(u32::MAX)
    }
}

impl Arbitrary<'_> for Number {
    fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        Ok(Self(match u.arbitrary::<u8>()? {
            choice @ 0..=199 => u64::from(choice % 8),
            200..=219 => u64::from(u.arbitrary::<u16>()?),
            220..=229 => u.arbitrary()?,
            230..=235 => u64::MAX,
            236..=240 => u64::MAX - 1,
            241..=245 => 1 << 63,
            246..=250 => u64::from(u32::MAX),
            251..=255 => 1 << 32,
        }))
    }
}

/// Bytes of a stream: a frame, a frame that was damaged, or anything.
#[derive(Clone, Debug, Arbitrary)]
pub(super) enum Chunk<F> {
    Frame(F),
    Frames(F, F),
    Damaged(F, u16, u8),
    Cut(F, u16),
    Raw(Vec<u8>),
}

/// What a frame is written by.
pub(super) trait Write {
    fn write(&self, writer: &mut Writer<'_>);

    /// The frame with its length in front.
    fn framed(&self) -> Vec<u8> {
        let mut counter = Writer::counting();
        self.write(&mut counter);
        let body = counter.total();
        let mut bytes = vec![0; header_len(body) + body];
        let mut writer = Writer::new(&mut bytes, 0);
        write_header(&mut writer, body);
        self.write(&mut writer);
        bytes
    }
}

impl<F: Write> Chunk<F> {
    pub(super) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Frame(frame) => frame.framed(),
            Self::Frames(first, second) => [first.framed(), second.framed()].concat(),
            Self::Damaged(frame, at, with) => {
                let mut bytes = frame.framed();
                let at = usize::from(*at) % bytes.len();
                bytes[at] ^= with;
                bytes
            }
            Self::Cut(frame, at) => {
                let mut bytes = frame.framed();
                bytes.truncate(usize::from(*at) % (bytes.len() + 1));
                bytes
            }
            Self::Raw(bytes) => bytes.clone(),
        }
    }
}

#[derive(Clone, Debug, Arbitrary)]
pub(super) enum Content {
    Bool(bool),
    Int(Number),
    Str(u8),
    Bytes(Vec<u8>),
}

/// Keys with values, of which those that no session may have are left out.
#[derive(Clone, Debug, Arbitrary)]
pub(super) struct Pairs(Vec<(u8, Content)>);

impl Pairs {
    fn with<T>(&self, most: usize, run: impl FnOnce(&[(&str, Value<'_>)]) -> T) -> T {
        let pairs: Vec<(&str, Value<'_>)> = self
            .0
            .iter()
            .take(most)
            .map(|(key, content)| {
                let key = KEYS[usize::from(*key) % KEYS.len()];
                (
                    key,
                    match content {
                        Content::Bool(value) => Value::Bool(*value),
                        Content::Int(value) => Value::Int(value.0.cast_signed()),
                        Content::Str(choice) => Value::Str(["", "x", "lobby"][usize::from(*choice) % 3]),
                        Content::Bytes(bytes) => Value::Bytes(&bytes[..bytes.len().min(64)]),
                    },
                )
            })
            .collect();
        run(&pairs)
    }

    fn attributes(&self) -> Attributes {
        let mut attributes = Attributes::new();
        self.with(4, |pairs| {
            for &(key, value) in pairs {
                // What breaks a limit is left out.
                let _ = attributes.set(key, value);
            }
        });
        attributes
    }
}

/// A filter, and what makes a destination of it.
#[derive(Clone, Debug, Arbitrary)]
pub(super) enum To {
    Uuid(u8, u8),
    AllOf(Pairs, u8),
    AnyOf(Pairs, u8),
    Everyone(u8),
}

impl To {
    pub(super) fn filter(&self) -> Filter {
        let made = match self {
            Self::AllOf(pairs, _) => pairs.with(2, Filter::all_of),
            Self::AnyOf(pairs, _) => pairs.with(4, Filter::any_of),
            Self::Uuid(..) | Self::Everyone(_) => Ok(Filter::everyone()),
        };
        made.unwrap_or_else(|_| Filter::everyone())
    }

    pub(super) fn destination(&self) -> Destination {
        let (to, options): (Destination, u8) = match self {
            Self::Uuid(who, options) => (uuid(*who).into(), *options),
            Self::AllOf(_, options) | Self::AnyOf(_, options) | Self::Everyone(options) => {
                (self.filter().into(), *options)
            }
        };
        let to = if options & 1 == 0 { to } else { to.without_sender() };
        if options & 6 == 6 { to.only_connected() } else { to }
    }
}

#[derive(Clone, Copy, Debug, Arbitrary)]
pub(super) enum Before {
    Sent,
    Parked,
    Taken(Number, u8, Number, bool),
}

impl Before {
    fn up(self) -> Past {
        match self {
            Self::Sent => Past::Sent,
            Self::Parked => Past::Parked,
            Self::Taken(recipients, epoch, session, answered_first) => Past::Taken(Taken {
                recipients: recipients.u32().max(1),
                epoch: u64::from(epoch % 3),
                session: session.0,
                answered_first,
            }),
        }
    }
}

#[derive(Clone, Debug, Arbitrary)]
pub(super) struct HelloParts {
    pub(super) who: u8,
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
pub(super) enum UpFrame {
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

const PAYLOAD: [u8; 256] = [7; 256];

impl Write for UpFrame {
    fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Hello(parts) => parts.write(writer),
            Self::Message { slot, define, step, live, past, early, length } => {
                let define = define.as_ref().map(To::destination);
                UpItem::Message(Message {
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
                    Message { slot: 0, define, id_step, time_to_live_ms, retry, until_accepted, payload };
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
                Control::Abort(Abort { code: Code::Malformed, detail: detail.0 }).write(writer);
            }
            Self::Proof => Control::Proof([9; 32]).write(writer),
        }
    }
}

impl HelloParts {
    /// Client 1, with a wide window, and `a = 1`.
    pub(super) fn plain() -> Self {
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

fn window(messages: Number, bytes: Number) -> Window {
    Window { messages: messages.u32(), bytes: bytes.u32().saturating_mul(40) }
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

/// What goes to a client.
#[derive(Clone, Debug, Arbitrary)]
pub(super) enum DownFrame {
    Welcome {
        epoch: u8,
        session: Number,
        resumed: Option<(Number, Number)>,
        window: (Number, Number),
        sizes: (u8, u8),
        keep_alive: Number,
        live: Number,
    },
    /// What most honest brokers say: so that a fuzzer finds it soon.
    PlainWelcome(u8),
    Deliver {
        alias: u8,
        define: Option<(u8, u8)>,
        step: Number,
        past: Option<Before>,
        flags: u8,
        length: u8,
    },
    PlainDeliver(u8),
    Accepted(Number, Number, Number, u8, Number),
    Final(Number, Number, Number, Number, u8),
    Refusal(bool, Number, u8),
    Presence(Number, u8, u8, Pairs),
    Reset(Number),
    Synced(Number),
    Ack(Number),
    Window(Number, Number),
    Ping,
    Farewell,
    Abort(u8, Number),
    Challenge,
}

const REASONS: [Reason; 8] = [
    Reason::Expired,
    Reason::QueueFull,
    Reason::TooLarge,
    Reason::BrokerFull,
    Reason::NotAllowed,
    Reason::Gone,
    Reason::Nobody,
    Reason::Declined,
];

/// Codes after which a client comes back, so that a run goes on; of the others two.
const CODES: [Code; 8] = [
    Code::Malformed,
    Code::UnexpectedFrame,
    Code::Silent,
    Code::Superseded,
    Code::Full,
    Code::ShuttingDown,
    Code::TakenOver,
    Code::Version,
];

impl Write for DownFrame {
    fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Welcome { .. } | Self::PlainWelcome(_) => self.welcome().write(writer),
            Self::Deliver { .. } | Self::PlainDeliver(_) => DownItem::Deliver(self.deliver()).write(writer),
            Self::Accepted(first, count, recipients, epoch, session) => DownItem::Accepted(Accepted {
                first: first.0,
                count: count.u32(),
                recipients: recipients.u32(),
                epoch: u64::from(epoch % 3),
                session: session.0,
            })
            .write(writer),
            Self::Final(first, count, delivered, recipients, reason) => {
                let (delivered, recipients) = (delivered.u32(), recipients.u32());
                let reason = (delivered < recipients || recipients == 0)
                    .then_some(REASONS[usize::from(*reason) % REASONS.len()]);
                let (first, count) = (first.0, count.u32());
                DownItem::Final(Final { first, count, delivered, recipients, reason }).write(writer);
            }
            Self::Refusal(watch, number, reason) => {
                let what = if *watch { Refused::Watch } else { Refused::Attributes };
                let reason = REASONS[usize::from(*reason) % REASONS.len()];
                let number = if *watch { number.u32() } else { 0 };
                DownItem::Refusal(what, number, reason).write(writer);
            }
            Self::Presence(watch, who, state, pairs) => {
                let state = [PresenceState::Gone, PresenceState::Connected, PresenceState::Away]
                    [usize::from(*state) % 3];
                let (who, attributes) = (*uuid(*who).as_bytes(), pairs.attributes());
                DownItem::Presence(watch.u32(), who, state, attributes.as_ref()).write(writer);
            }
            Self::Reset(watch) => DownItem::PresenceReset(watch.u32()).write(writer),
            Self::Synced(watch) => DownItem::PresenceSynced(watch.u32()).write(writer),
            Self::Ack(more) => Control::Ack(more.0).write(writer),
            Self::Window(messages, bytes) => Control::Window(window(*messages, *bytes)).write(writer),
            Self::Ping => Control::Ping.write(writer),
            Self::Farewell => Control::Farewell.write(writer),
            Self::Abort(code, detail) => {
                // The last two end a client for good: seldom.
                let code = CODES[usize::from(*code) % if *code < 240 { 6 } else { 8 }];
                Control::Abort(Abort { code, detail: detail.0 }).write(writer);
            }
            Self::Challenge => Control::Challenge([3; 32]).write(writer),
        }
    }
}

impl DownFrame {
    fn welcome(&self) -> Control<'static> {
        let plain = Welcome {
            epoch: 1_u64.to_le_bytes(),
            session: 1,
            resumed: None,
            window: Window { messages: 100, bytes: 10_000 },
            max_payload: 64,
            slots: 4,
            keep_alive_ms: 1_000,
            session_ttl_ms: 10_000,
        };
        Control::Welcome(match self {
            Self::Welcome { epoch, session, resumed, window: (messages, bytes), sizes, keep_alive, live } => {
                Welcome {
                    epoch: u64::from(epoch % 3).to_le_bytes(),
                    session: session.0,
                    resumed: resumed.map(|(received, acknowledged)| Resumed {
                        received: received.0,
                        acknowledged: acknowledged.0,
                    }),
                    window: window(*messages, *bytes),
                    max_payload: u32::from(sizes.0),
                    slots: sizes.1 % 20,
                    keep_alive_ms: keep_alive.u32().saturating_mul(10),
                    session_ttl_ms: live.0,
                }
            }
            Self::PlainWelcome(session) => Welcome { session: u64::from(*session), ..plain },
            _ => plain,
        })
    }

    fn deliver(&self) -> Deliver<'static> {
        let plain = Deliver {
            alias: 0,
            define: None,
            id_step: 1,
            retry: None,
            late: false,
            direct: true,
            payload: &[],
        };
        match self {
            Self::Deliver { alias, define, step, past, flags, length } => Deliver {
                alias: if *alias < 250 { alias % 3 } else { alias % 70 },
                define: define
                    .map(|(who, boot)| Origin { uuid: *uuid(who).as_bytes(), boot: u64::from(boot % 2) }),
                id_step: step.0.cast_signed(),
                retry: past.map(|past| DeliveryPast::from(past.up())),
                late: flags & 1 != 0,
                direct: flags & 2 != 0,
                payload: &PAYLOAD[..usize::from(*length)],
            },
            Self::PlainDeliver(length) => {
                let define = Some(Origin { uuid: *uuid(1).as_bytes(), boot: 1 });
                Deliver { define, payload: &PAYLOAD[..usize::from(length % 65)], ..plain }
            }
            _ => plain,
        }
    }
}
