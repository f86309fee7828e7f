//! The wire format against `docs/vectors` and against postcard.
//!
//! Each vector is read and compared with the value that stands here under its name, and written and compared with its
//! bytes; each that is invalid is refused. No vector is without a check, and no check without a vector.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use e_pigeon_core::codec::{Malformed, Reader, Writer};
use e_pigeon_core::wire::cobs::{Unstuffing, headroom, stuff, stuffed_len};
use e_pigeon_core::wire::control::{Abort, Control, Hello, Known, Resumed, Welcome};
use e_pigeon_core::wire::frame::{Extent, Step, extent, header_len, step};
use e_pigeon_core::wire::item::{
    Accepted, Deliver, DeliveryPast, DownItem, Final, MessageItem, Origin, PresenceState, Refused, UpItem,
};
use e_pigeon_core::wire::kind;
use e_pigeon_core::wire::state::{Prefix, State, tag};
use e_pigeon_core::wire::window::Window;
use e_pigeon_core::{
    AbortCode, Attributes, AttributesRef, Broker, BrokerConfig, Client, ClientConfig, Close, Destination,
    DestinationRef, Filter, FilterRef, Instant, LinkId, Message, Past, PatchRef, RefusalReason, Secret,
    Taken, Target, Uuid, Value,
};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

const UUID_A: [u8; 16] =
    [0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf];
const UUID_B: [u8; 16] =
    [0xb0, 0xb1, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xbb, 0xbc, 0xbd, 0xbe, 0xbf];
const SECRET_A: [u8; 16] =
    [0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x5b, 0x5c, 0x5d, 0x5e, 0x5f];
const SECRET_B: [u8; 16] =
    [0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f];
const EPOCH: u64 = 0x1122_3344_5566_7788;
const BOOT_A: u64 = 0x0102_0304_0506_0708;
const BOOT_B: u64 = 0x1112_1314_1516_1718;
const COO: &[u8] = b"coo";
const WINDOW: Window = Window { messages: 4_096, bytes: 4 << 20 };
const LARGEST_WINDOW: Window = Window { messages: u32::MAX, bytes: u32::MAX };
const FIRST_STATE: State = State {
    serial: 1,
    heard: 0,
    wants_reply: false,
    received: 0,
    acknowledged: 0,
    window: WINDOW,
    beyond: 0,
};
const SHUT: Window = Window { messages: 0, bytes: 0 };

// The files.

#[derive(Clone, Debug)]
struct Vector {
    name: String,
    direction: String,
    verdict: String,
    bytes: Vec<u8>,
}

fn docs(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs").join(path)
}

/// The vectors of a file, in its order. A name stands once in it.
fn vectors(file: &str) -> Vec<Vector> {
    let text = std::fs::read_to_string(docs("vectors").join(file)).expect(file);
    let mut all: Vec<Vector> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        let [name, direction, verdict, hex] = columns.as_slice() else { panic!("{file}: {line}") };
        assert!(all.iter().all(|other| other.name != *name), "{file}: {name} stands twice");
        let bytes = from_hex(hex).unwrap_or_else(|| panic!("{file}: {name}"));
        let [name, direction, verdict] = [name, direction, verdict].map(|text| String::from(*text));
        all.push(Vector { name, direction, verdict, bytes });
    }
    all
}

fn from_hex(hex: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = hex.chars().map(|c| c.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect())
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

// Frames.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame<'a> {
    Control(Control<'a>),
    Up(UpItem<'a>),
    Down(DownItem<'a>),
}

/// Reads a body as the end does that gets it.
fn decode<'a>(up: bool, bytes: &'a [u8]) -> Result<Frame<'a>, Malformed> {
    let mut reader = Reader::new(bytes);
    let first = reader.u8()?;
    if first < kind::MESSAGE {
        Control::read(first, &mut reader).map(Frame::Control)
    } else if up {
        UpItem::read(first, &mut reader).map(Frame::Up)
    } else {
        DownItem::read(first, &mut reader).map(Frame::Down)
    }
}

fn encode(frame: &Frame<'_>) -> Vec<u8> {
    let mut buffer = vec![0; 1 << 13];
    let mut writer = Writer::new(&mut buffer, 0);
    match frame {
        Frame::Control(control) => control.write(&mut writer),
        Frame::Up(item) => item.write(&mut writer),
        Frame::Down(item) => item.write(&mut writer),
    }
    let written = writer.written();
    assert_eq!(written, writer.total());
    buffer.truncate(written);
    buffer
}

/// Directions in which a vector goes, as a list of "up?".
fn directions(vector: &Vector) -> &'static [bool] {
    match vector.direction.as_str() {
        "up" => &[true],
        "down" => &[false],
        "both" => &[true, false],
        other => panic!("{}: {other}", vector.name),
    }
}

// Values.

fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

fn attributes(pairs: &[(&str, Value<'_>)]) -> AttributesRef<'static> {
    let mut attributes = Attributes::new();
    pairs.iter().for_each(|&(key, value)| attributes.set(key, value).unwrap());
    leak(attributes).as_ref()
}

fn all_of(pairs: &[(&str, Value<'_>)]) -> Destination {
    Filter::all_of(pairs).unwrap().into()
}

fn any_of(pairs: &[(&str, Value<'_>)]) -> Destination {
    Filter::any_of(pairs).unwrap().into()
}

fn everyone() -> Destination {
    Filter::everyone().into()
}

fn to_b() -> Destination {
    Uuid::from_bytes(UUID_B).into()
}

fn hello() -> Hello {
    Hello {
        uuid: UUID_A,
        secret: SECRET_A,
        boot: BOOT_A.to_le_bytes(),
        link: 1,
        known: None,
        window: WINDOW,
        max_payload: 65_536,
        aliases: 64,
        receives: true,
        presence: 64,
    }
}

fn welcome() -> Welcome {
    Welcome {
        epoch: EPOCH.to_le_bytes(),
        session: 1,
        resumed: None,
        window: WINDOW,
        max_payload: 65_536,
        slots: 16,
        keep_alive_ms: 10_000,
        session_ttl_ms: 600_000,
    }
}

fn message() -> MessageItem<'static> {
    MessageItem {
        slot: 0,
        define: None,
        id_step: 1,
        time_to_live_ms: 3_600_000,
        retry: None,
        until_accepted: false,
        payload: COO,
    }
}

fn taken(recipients: u32, epoch: u64, session: u64, answered_first: bool) -> Past {
    Past::Taken(Taken { recipients, epoch, session, answered_first })
}

fn deliver() -> Deliver<'static> {
    Deliver { alias: 0, define: None, id_step: 1, retry: None, late: false, direct: false, payload: COO }
}

const CODES: [(&str, AbortCode, u64); 16] = [
    ("malformed", AbortCode::Malformed, 0),
    ("unexpected-frame", AbortCode::UnexpectedFrame, 0),
    ("frame-too-large", AbortCode::FrameTooLarge, 0),
    ("window-exceeded", AbortCode::WindowExceeded, 0),
    ("bad-acknowledgement", AbortCode::BadAcknowledgement, 0),
    ("bad-id", AbortCode::BadId, 0),
    ("bad-alias", AbortCode::BadAlias, 0),
    ("handshake-timeout", AbortCode::HandshakeTimeout, 0),
    ("silent", AbortCode::Silent, 0),
    ("taken-over", AbortCode::TakenOver, 0),
    ("superseded", AbortCode::Superseded, 0),
    ("wrong-secret", AbortCode::WrongSecret, 0),
    ("version", AbortCode::Version, 1),
    ("full", AbortCode::Full, 0),
    ("too-many-attributes", AbortCode::TooManyAttributes, 8),
    ("shutting-down", AbortCode::ShuttingDown, 0),
];

const REASONS: [(&str, RefusalReason); 8] = [
    ("expired", RefusalReason::Expired),
    ("queue-full", RefusalReason::QueueFull),
    ("too-large", RefusalReason::TooLarge),
    ("broker-full", RefusalReason::BrokerFull),
    ("not-allowed", RefusalReason::NotAllowed),
    ("gone", RefusalReason::Gone),
    ("nobody", RefusalReason::Nobody),
    ("declined", RefusalReason::Declined),
];

type Table = BTreeMap<String, Frame<'static>>;

fn put(table: &mut Table, name: &str, frame: Frame<'static>) {
    assert!(table.insert(name.into(), frame).is_none(), "{name} is checked twice");
}

fn control_values() -> Table {
    let mut table = Table::new();
    let mut add = |name: &str, control| put(&mut table, name, Frame::Control(control));
    add("hello-first", Control::Hello(hello(), AttributesRef::EMPTY));
    let known = Known {
        epoch: EPOCH.to_le_bytes(),
        session: 7,
        received: 300,
        acknowledged: 299,
        window: Window { messages: 10, bytes: 1_000 },
    };
    let everything = attributes(&[
        ("name", Value::Str("alice")),
        ("room", Value::Str("lobby")),
        ("level", Value::Int(-3)),
        ("vip", Value::Bool(true)),
        ("tag", Value::Bytes(&[0, 0xff])),
    ]);
    let again = Hello { link: 2, known: Some(known), receives: false, ..hello() };
    add("hello-known", Control::Hello(again, everything));
    let known = Known {
        epoch: [0xff; 8],
        session: u64::MAX,
        received: u64::MAX,
        acknowledged: u64::MAX,
        window: LARGEST_WINDOW,
    };
    let longest = Hello {
        boot: [0xff; 8],
        link: u64::MAX,
        known: Some(known),
        window: LARGEST_WINDOW,
        max_payload: u32::MAX,
        aliases: u16::MAX,
        presence: u16::MAX,
        ..hello()
    };
    let pair = [("k".repeat(32), "v".repeat(64))];
    let pairs = pair.each_ref().map(|(key, value)| (key.as_str(), Value::Str(value)));
    add("hello-longest", Control::Hello(longest, attributes(&pairs)));
    add("hello-of-version-2", Control::HelloOfVersion(2));
    add("hello-of-version-300-and-more", Control::HelloOfVersion(300));
    add("welcome-fresh", Control::Welcome(welcome()));
    let resumed = Some(Resumed { received: 300, acknowledged: 250 });
    add("welcome-resumed", Control::Welcome(Welcome { session: 7, resumed, ..welcome() }));
    add("welcome-shut", Control::Welcome(Welcome { session: 129, window: SHUT, ..welcome() }));
    let longest = Welcome {
        epoch: [0xff; 8],
        session: u64::MAX,
        resumed: Some(Resumed { received: u64::MAX, acknowledged: u64::MAX }),
        window: LARGEST_WINDOW,
        max_payload: u32::MAX,
        slots: 255,
        keep_alive_ms: u32::MAX,
        session_ttl_ms: u64::MAX,
    };
    add("welcome-longest", Control::Welcome(longest));
    for (name, code, detail) in CODES {
        add(&format!("abort-{name}"), Control::Abort(Abort { code, detail }));
    }
    add("abort-largest-detail", Control::Abort(Abort { code: AbortCode::Version, detail: u64::MAX }));
    add("challenge", Control::Challenge(core::array::from_fn(|at| at as u8)));
    add("proof", Control::Proof(core::array::from_fn(|at| at as u8 + 32)));
    for more in [1, 127, 128, 16_384, u64::MAX] {
        add(&format!("ack-{more}"), Control::Ack(more));
    }
    add("window", Control::Window(WINDOW));
    add("window-shut", Control::Window(SHUT));
    add("window-largest", Control::Window(LARGEST_WINDOW));
    add("ping", Control::Ping);
    add("goodbye-leave", Control::Goodbye(false));
    add("goodbye-end", Control::Goodbye(true));
    add("farewell", Control::Farewell);
    add("state-first", Control::State(FIRST_STATE));
    let (received, acknowledged) = (300, 299);
    let told = State { serial: 4, heard: 2, wants_reply: true, received, acknowledged, ..FIRST_STATE };
    add("state-ranges", Control::State(State { beyond: 0b101_1100, ..told }));
    add(
        "state-longest",
        Control::State(State {
            serial: u64::MAX,
            heard: u64::MAX,
            wants_reply: true,
            received: u64::MAX,
            acknowledged: u64::MAX,
            window: LARGEST_WINDOW,
            beyond: 1 << 63,
        }),
    );
    table
}

fn up_values() -> Table {
    let mut table = Table::new();
    let mut add = |name: &str, item| put(&mut table, name, Frame::Up(item));
    let define = |destination: Destination| Some(leak(destination).as_ref());
    for flags in 0..8 {
        let message = MessageItem {
            slot: 2,
            define: if flags & 1 == 0 { None } else { define(to_b()) },
            time_to_live_ms: 60_000,
            retry: if flags & 2 == 0 { None } else { Some(taken(3, EPOCH, 9, true)) },
            until_accepted: flags & 4 != 0,
            ..message()
        };
        add(&format!("message-flags-{flags:x}"), UpItem::Message(message));
    }
    let lobby = [("room", Value::Str("lobby"))];
    let letters = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let eight: Vec<_> =
        letters.iter().zip(-4..).map(|(&letter, number)| (letter, Value::Int(number))).collect();
    let mixed =
        [("zz", Value::Bool(true)), ("b", Value::Bytes(b"")), ("a", Value::Str("")), ("aaa", Value::Int(0))];
    let levels = [
        ("level", Value::Int(1)),
        ("level", Value::Int(2)),
        ("level", Value::Str("1")),
        ("level", Value::Bool(true)),
        ("level", Value::Bytes(b"1")),
    ];
    let (key, value) = (format!("_.-09az{}", "k".repeat(25)), "v".repeat(64));
    let extremes = [
        ("i", Value::Int(i64::MIN)),
        ("i", Value::Int(i64::MAX)),
        ("i", Value::Int(-1)),
        ("i", Value::Int(64)),
    ];
    for (name, destination) in [
        ("uuid-only-connected", to_b().only_connected()),
        ("all-of-one", all_of(&lobby)),
        ("all-of-eight", all_of(&eight)),
        ("all-of-sorted", all_of(&mixed)),
        ("any-of-one-key", any_of(&levels)),
        ("everyone", everyone()),
        ("everyone-else", everyone().exclude_self()),
        ("everyone-connected", everyone().only_connected()),
        ("everyone-else-connected", everyone().exclude_self().only_connected()),
        ("any-of-else-connected", any_of(&[("a", Value::Bool(false))]).exclude_self().only_connected()),
        ("longest-pair", all_of(&[(&key, Value::Str(&value))])),
        ("extreme-integers", any_of(&extremes)),
    ] {
        let message = MessageItem { define: define(destination), ..message() };
        add(&format!("message-to-{name}"), UpItem::Message(message));
    }
    for (name, message) in [
        ("empty", MessageItem { payload: b"", ..message() }),
        ("last-slot", MessageItem { slot: 15, ..message() }),
        ("largest-step", MessageItem { id_step: u64::MAX, ..message() }),
        ("no-time", MessageItem { time_to_live_ms: 0, ..message() }),
        ("longest-time", MessageItem { time_to_live_ms: u32::MAX, ..message() }),
        ("retry-sent", MessageItem { retry: Some(Past::Sent), ..message() }),
        ("retry-parked", MessageItem { retry: Some(Past::Parked), ..message() }),
        ("retry-taken-late", MessageItem { retry: Some(taken(1, EPOCH, 2, false)), ..message() }),
        (
            "retry-taken-largest",
            MessageItem { retry: Some(taken(u32::MAX, u64::MAX, u64::MAX, true)), ..message() },
        ),
    ] {
        add(&format!("message-{name}"), UpItem::Message(message));
    }
    let several = [("b", Some(Value::Bool(true))), ("aa", None), ("ab", Some(Value::Int(7)))];
    add("set-string", UpItem::Set(patch(&[("room", Some(Value::Str("lobby")))])));
    add("set-bool", UpItem::Set(patch(&[("vip", Some(Value::Bool(false)))])));
    add("set-int", UpItem::Set(patch(&[("level", Some(Value::Int(-65)))])));
    add("set-bytes", UpItem::Set(patch(&[("tag", Some(Value::Bytes(&[1, 2])))])));
    add("set-remove", UpItem::Set(patch(&[("room", None)])));
    add("set-several", UpItem::Set(patch(&several)));
    add("decline-1", UpItem::Decline(1));
    add("decline-300", UpItem::Decline(300));
    let filter = |filter: Filter| leak(filter).as_ref();
    add("watch-all-of", UpItem::Watch(1, filter(Filter::all_of(&lobby).unwrap())));
    let either = [("a", Value::Int(1)), ("b", Value::Int(2))];
    add("watch-any-of", UpItem::Watch(0, filter(Filter::any_of(&either).unwrap())));
    add("watch-everyone", UpItem::Watch(u32::MAX, filter(Filter::everyone())));
    add("unwatch", UpItem::Unwatch(300));
    table
}

fn down_values() -> Table {
    let mut table = Table::new();
    let mut add = |name: &str, item| put(&mut table, name, Frame::Down(item));
    let taken = |session, answered_first| Some(DeliveryPast::Taken { epoch: EPOCH, session, answered_first });
    for flags in 0..16 {
        let deliver = Deliver {
            alias: 5,
            define: if flags & 1 == 0 { None } else { Some(Origin { uuid: UUID_A, boot: BOOT_A }) },
            id_step: 42,
            retry: if flags & 2 == 0 { None } else { taken(9, true) },
            late: flags & 4 != 0,
            direct: flags & 8 != 0,
            payload: COO,
        };
        add(&format!("deliver-flags-{flags:x}"), DownItem::Deliver(deliver));
    }
    for (name, deliver) in [
        ("empty", Deliver { payload: b"", ..deliver() }),
        ("last-alias", Deliver { alias: 63, ..deliver() }),
        ("step-0", Deliver { id_step: 0, ..deliver() }),
        ("step-back", Deliver { id_step: -5, ..deliver() }),
        ("step-lowest", Deliver { id_step: i64::MIN, ..deliver() }),
        ("step-highest", Deliver { id_step: i64::MAX, ..deliver() }),
        ("retry-sent", Deliver { retry: Some(DeliveryPast::Sent), ..deliver() }),
        ("retry-parked", Deliver { retry: Some(DeliveryPast::Parked), late: true, ..deliver() }),
        ("retry-taken-late", Deliver { retry: taken(300, false), ..deliver() }),
    ] {
        add(&format!("deliver-{name}"), DownItem::Deliver(deliver));
    }
    let accepted = |first, count, recipients, session| {
        DownItem::Accepted(Accepted { first, count, recipients, epoch: EPOCH, session })
    };
    add("accepted", accepted(4, 1, 1, 2));
    add("accepted-run", accepted(300, 200, 5, 129));
    add("accepted-parked", accepted(1, 1, 0, 0));
    let largest = Accepted {
        first: u64::MAX - u64::from(u32::MAX),
        count: u32::MAX,
        recipients: u32::MAX,
        epoch: u64::MAX,
        session: u64::MAX,
    };
    add("accepted-largest", DownItem::Accepted(largest));
    let ended = |first, count, delivered, recipients, reason| {
        DownItem::Final(Final { first, count, delivered, recipients, reason })
    };
    add("final", ended(1, 1, 1, 1, None));
    add("final-run", ended(300, 4_096, 3, 3, None));
    for (name, reason) in REASONS {
        add(&format!("final-{name}"), ended(9, 1, 2, 3, Some(reason)));
    }
    add("final-of-none", ended(9, 1, 0, 0, Some(RefusalReason::Nobody)));
    add("final-largest", ended(1, u32::MAX, u32::MAX, u32::MAX, None));
    add("refusal-attributes", DownItem::Refusal(Refused::Attributes, 0, RefusalReason::TooLarge));
    add("refusal-watch", DownItem::Refusal(Refused::Watch, 300, RefusalReason::NotAllowed));
    add("refusal-watch-0", DownItem::Refusal(Refused::Watch, 0, RefusalReason::NotAllowed));
    add("void", DownItem::Void(1));
    add("void-thousand", DownItem::Void(1_000));
    add("void-largest", DownItem::Void(u32::MAX));
    let presence = |watch, state, attributes| DownItem::Presence(watch, UUID_B, state, attributes);
    add("presence-gone", presence(1, PresenceState::Gone, AttributesRef::EMPTY));
    let lobby = attributes(&[("room", Value::Str("lobby"))]);
    add("presence-connected", presence(1, PresenceState::Connected, lobby));
    add("presence-away", presence(300, PresenceState::Away, AttributesRef::EMPTY));
    add("presence-reset", DownItem::PresenceReset(1));
    add("presence-synced", DownItem::PresenceSynced(300));
    table
}

// Postcard, by way of serde: what each frame is made of, once more and independently of the crate's own code. Raw are
// only the magic and the payload, which is the rest of its frame and has no length of its own; what is there or not by
// a flag has no tag of its own either.

#[derive(Serialize)]
enum MirrorValue<'a> {
    Bool(bool),
    Int(i64),
    Str(&'a str),
    Bytes(&'a [u8]),
}

#[derive(Serialize)]
enum MirrorPast {
    Sent,
    Parked,
    Taken { recipients: u32, epoch: [u8; 8], session: u64, answered_first: bool },
}

#[derive(Serialize)]
enum MirrorDeliveryPast {
    Sent,
    Parked,
    Taken { epoch: [u8; 8], session: u64, answered_first: bool },
}

#[derive(Serialize)]
struct MirrorKnown {
    epoch: [u8; 8],
    session: u64,
    received: u64,
    acknowledged: u64,
    window: (u32, u32),
}

#[derive(Serialize)]
struct MirrorHello {
    uuid: [u8; 16],
    secret: [u8; 16],
    boot: [u8; 8],
    link: u64,
    known: Option<MirrorKnown>,
    window: (u32, u32),
    max_payload: u32,
    aliases: u16,
    receives: bool,
    presence: u16,
}

#[derive(Serialize)]
struct MirrorWelcome {
    epoch: [u8; 8],
    session: u64,
    resumed: Option<(u64, u64)>,
    window: (u32, u32),
    max_payload: u32,
    slots: u8,
    keep_alive_ms: u32,
    session_ttl_ms: u64,
}

/// Appends postcard values.
#[derive(Default)]
struct Mirror(Vec<u8>);

impl Mirror {
    fn put<T: Serialize>(mut self, value: T) -> Self {
        self.0.extend(postcard::to_stdvec(&value).unwrap());
        self
    }

    fn put_if<T: Serialize>(self, value: Option<T>) -> Self {
        match value {
            Some(value) => self.put(value),
            None => self,
        }
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }
}

fn mirror_value(value: Value<'_>) -> MirrorValue<'_> {
    match value {
        Value::Bool(value) => MirrorValue::Bool(value),
        Value::Int(value) => MirrorValue::Int(value),
        Value::Str(value) => MirrorValue::Str(value),
        Value::Bytes(value) => MirrorValue::Bytes(value),
    }
}

/// Pairs, ascending by their encoded bytes.
fn mirror_pairs<'a>(pairs: impl Iterator<Item = (&'a str, Value<'a>)>) -> Vec<(&'a str, MirrorValue<'a>)> {
    let mut pairs: Vec<_> = pairs.map(|(key, value)| (key, mirror_value(value))).collect();
    pairs.sort_by_cached_key(|pair| postcard::to_stdvec(pair).unwrap());
    pairs
}

fn mirror_destination(mirror: Mirror, destination: DestinationRef<'_>) -> Mirror {
    let options = u8::from(destination.exclude_self()) << 4 | u8::from(destination.only_connected()) << 5;
    let pairs = |pairs: e_pigeon_core::Pairs<'_>| {
        postcard::to_stdvec(&mirror_pairs(pairs.map(|pair| (pair.key, pair.value)))).unwrap()
    };
    match destination.target() {
        Target::Uuid(uuid) => mirror.put(options).put(*uuid.as_bytes()),
        Target::AllOf(all) => mirror.put(options | 1).raw(&pairs(all)),
        Target::AnyOf(any) => mirror.put(options | 2).raw(&pairs(any)),
        Target::Everyone => mirror.put(options | 3),
    }
}

fn patch(changes: &[(&str, Option<Value<'_>>)]) -> PatchRef<'static> {
    let changes: Vec<_> = changes.iter().map(|&(key, value)| (key, value.map(mirror_value))).collect();
    let bytes = leak(postcard::to_stdvec(&changes).unwrap());
    PatchRef::read(&mut Reader::new(bytes)).unwrap()
}

fn mirror_control(control: &Control<'_>) -> Mirror {
    let mirror = Mirror::default();
    let window = |window: Window| (window.messages, window.bytes);
    match *control {
        Control::Hello(hello, attributes) => {
            let known = hello.known.map(|known| MirrorKnown {
                epoch: known.epoch,
                session: known.session,
                received: known.received,
                acknowledged: known.acknowledged,
                window: window(known.window),
            });
            let hello = MirrorHello {
                uuid: hello.uuid,
                secret: hello.secret,
                boot: hello.boot,
                link: hello.link,
                known,
                window: window(hello.window),
                max_payload: hello.max_payload,
                aliases: hello.aliases,
                receives: hello.receives,
                presence: hello.presence,
            };
            mirror.put(1_u8).raw(b"EPGN").put(1_u64).put(hello).put(mirror_pairs(attributes.iter()))
        }
        Control::HelloOfVersion(version) => mirror.put(1_u8).raw(b"EPGN").put(version),
        Control::Welcome(welcome) => mirror.put(2_u8).put(MirrorWelcome {
            epoch: welcome.epoch,
            session: welcome.session,
            resumed: welcome.resumed.map(|resumed| (resumed.received, resumed.acknowledged)),
            window: window(welcome.window),
            max_payload: welcome.max_payload,
            slots: welcome.slots,
            keep_alive_ms: welcome.keep_alive_ms,
            session_ttl_ms: welcome.session_ttl_ms,
        }),
        Control::Abort(abort) => mirror.put(3_u8).put(abort.code as u8).put(abort.detail),
        Control::Challenge(nonce) => mirror.put(4_u8).put(nonce),
        Control::Proof(proof) => mirror.put(5_u8).put(proof),
        Control::Ack(more) => mirror.put(6_u8).put(more),
        Control::Window(now) => mirror.put(7_u8).put(window(now)),
        Control::Ping => mirror.put(8_u8),
        Control::Goodbye(end) => mirror.put(9_u8).put(end),
        Control::Farewell => mirror.put(10_u8),
        Control::State(state) => {
            let numbers = (state.serial, state.heard, state.wants_reply, state.received, state.acknowledged);
            mirror.put(11_u8).put(numbers).put(window(state.window)).put(mirror_ranges(state.beyond))
        }
    }
}

/// Ranges of set bits from the lowest on: how many are missing before each, and how many it has.
fn mirror_ranges(beyond: u64) -> Vec<(u32, u32)> {
    let (mut ranges, mut at) = (Vec::new(), 0);
    while at < 64 {
        let run = |at: u32, bit: u64| (at..64).take_while(|&at| beyond >> at & 1 == bit).count() as u32;
        let missing = run(at, 0);
        let here = run(at + missing, 1);
        if here > 0 {
            ranges.push((missing, here));
        }
        at += missing + here;
    }
    ranges
}

fn mirror_up(item: &UpItem<'_>) -> Mirror {
    let mirror = Mirror::default();
    match *item {
        UpItem::Message(message) => {
            let flags = u8::from(message.define.is_some())
                | u8::from(message.retry.is_some()) << 1
                | u8::from(message.until_accepted) << 2;
            let mut mirror = mirror.put(0x10 | flags).put(message.slot);
            if let Some(destination) = message.define {
                mirror = mirror_destination(mirror, destination);
            }
            let past = message.retry.map(|past| match past {
                Past::Sent => MirrorPast::Sent,
                Past::Parked => MirrorPast::Parked,
                Past::Taken(taken) => MirrorPast::Taken {
                    recipients: taken.recipients,
                    epoch: taken.epoch.to_le_bytes(),
                    session: taken.session,
                    answered_first: taken.answered_first,
                },
            });
            mirror.put(message.id_step).put(message.time_to_live_ms).put_if(past).raw(message.payload)
        }
        UpItem::Set(patch) => {
            let changes: Vec<_> =
                patch.changes().map(|(key, value)| (key, value.map(mirror_value))).collect();
            mirror.put(0x18_u8).put(changes)
        }
        UpItem::Decline(number) => mirror.put(0x19_u8).put(number),
        UpItem::Watch(watch, filter) => {
            let destination = DestinationRef::read(&mut Reader::new(filter.as_bytes())).unwrap();
            mirror_destination(mirror.put(0x1a_u8).put(watch), destination)
        }
        UpItem::Unwatch(watch) => mirror.put(0x1b_u8).put(watch),
    }
}

fn mirror_down(item: &DownItem<'_>) -> Mirror {
    let mirror = Mirror::default();
    match *item {
        DownItem::Deliver(deliver) => {
            let flags = u8::from(deliver.define.is_some())
                | u8::from(deliver.retry.is_some()) << 1
                | u8::from(deliver.late) << 2
                | u8::from(deliver.direct) << 3;
            let past = deliver.retry.map(|past| match past {
                DeliveryPast::Sent => MirrorDeliveryPast::Sent,
                DeliveryPast::Parked => MirrorDeliveryPast::Parked,
                DeliveryPast::Taken { epoch, session, answered_first } => {
                    MirrorDeliveryPast::Taken { epoch: epoch.to_le_bytes(), session, answered_first }
                }
            });
            let origin = deliver.define.map(|origin| (origin.uuid, origin.boot.to_le_bytes()));
            let mirror = mirror.put(0x20 | flags).put(deliver.alias).put_if(origin);
            mirror.put(deliver.id_step).put_if(past).raw(deliver.payload)
        }
        DownItem::Accepted(run) => {
            let epoch = run.epoch.to_le_bytes();
            mirror.put((0x30_u8, run.first, run.count, run.recipients, epoch, run.session))
        }
        DownItem::Final(run) => mirror
            .put((0x31_u8, run.first, run.count, run.delivered, run.recipients))
            .put_if(run.reason.map(|reason| reason as u8)),
        DownItem::Refusal(what, watch, reason) => mirror.put((0x32_u8, what as u8, watch, reason as u8)),
        DownItem::Void(count) => mirror.put((0x34_u8, count)),
        DownItem::Presence(watch, uuid, state, attributes) => {
            let there = (state != PresenceState::Gone).then(|| mirror_pairs(attributes.iter()));
            mirror.put((0x38_u8, watch, uuid, state as u8)).put_if(there)
        }
        DownItem::PresenceReset(watch) => mirror.put((0x39_u8, watch)),
        DownItem::PresenceSynced(watch) => mirror.put((0x3a_u8, watch)),
    }
}

fn mirror(frame: &Frame<'_>) -> Vec<u8> {
    match frame {
        Frame::Control(control) => mirror_control(control).0,
        Frame::Up(item) => mirror_up(item).0,
        Frame::Down(item) => mirror_down(item).0,
    }
}

// The tests.

type Values = fn() -> Table;

const VALID_FILES: [(&str, Values); 3] =
    [("control.txt", control_values), ("up.txt", up_values), ("down.txt", down_values)];

#[test]
fn every_file_has_a_test() {
    let mut files: Vec<String> = std::fs::read_dir(docs("vectors"))
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(
        files,
        ["control.txt", "conversation.txt", "down.txt", "framing.txt", "invalid.txt", "lossy.txt", "up.txt"]
    );
}

#[test]
fn every_valid_vector_is_read_and_written() {
    for (file, values) in VALID_FILES {
        let mut values = values();
        for vector in vectors(file) {
            let name = &vector.name;
            let value = values.remove(name).unwrap_or_else(|| panic!("{file}: {name} has no check"));
            for &up in directions(&vector) {
                assert_eq!(decode(up, &vector.bytes), Ok(value), "{file}: {name}");
            }
            match vector.verdict.as_str() {
                "valid" => assert_eq!(to_hex(&encode(&value)), to_hex(&vector.bytes), "{file}: {name}"),
                "decode-only" => assert!(vector.bytes.starts_with(&encode(&value)), "{file}: {name}"),
                other => panic!("{file}: {name}: {other}"),
            }
        }
        assert!(values.is_empty(), "{file}: no vectors for {:?}", values.keys());
    }
}

#[test]
fn every_kind_and_every_flag_has_a_vector() {
    let mut firsts: Vec<u8> = Vec::new();
    for (file, _) in VALID_FILES {
        firsts.extend(vectors(file).iter().map(|vector| vector.bytes[0]));
    }
    firsts.sort_unstable();
    firsts.dedup();
    let expected = (0x01..=0x0b).chain(0x10..=0x1b).chain(0x20..=0x32).chain([0x34]).chain(0x38..=0x3a);
    let expected: Vec<u8> = expected.collect();
    assert_eq!(firsts, expected);
    for first in 0..=u8::MAX {
        let known = expected.contains(&first);
        // A kind that nobody knows is refused whatever follows, and both ends refuse an item of their own.
        let may_be = |up| {
            [0, 1, 24, 32].iter().any(|&length| {
                let body: Vec<u8> = std::iter::once(first).chain(std::iter::repeat_n(1, length)).collect();
                decode(up, &body).is_ok()
            })
        };
        assert!(known || !(may_be(true) || may_be(false)), "{first:02x}");
        match first {
            0x00..0x10 => {}
            0x10..0x20 => assert!(!may_be(false), "{first:02x}"),
            0x20.. => assert!(!may_be(true), "{first:02x}"),
        }
    }
}

#[test]
fn every_invalid_vector_is_refused() {
    let all = vectors("invalid.txt");
    assert!(all.len() > 100);
    for vector in all {
        assert_eq!(vector.verdict, "malformed", "{}", vector.name);
        for &up in directions(&vector) {
            assert_eq!(decode(up, &vector.bytes), Err(Malformed), "{}", vector.name);
        }
    }
}

#[test]
fn there_is_no_second_encoding_of_anything() {
    for file in ["control.txt", "up.txt", "down.txt", "invalid.txt"] {
        for vector in vectors(file) {
            for &up in directions(&vector) {
                let canonical = |bytes: &[u8]| match decode(up, bytes) {
                    // Of another version nothing is known.
                    Ok(Frame::Control(Control::HelloOfVersion(_))) | Err(Malformed) => true,
                    Ok(frame) => encode(&frame) == bytes && mirror(&frame) == bytes,
                };
                for length in 0..=vector.bytes.len() {
                    assert!(canonical(&vector.bytes[..length]), "{} cut at {length}", vector.name);
                }
                let mut bytes = vector.bytes.clone();
                for at in 0..bytes.len() {
                    let right = bytes[at];
                    for wrong in 0..=u8::MAX {
                        bytes[at] = wrong;
                        assert!(canonical(&bytes), "{}: {wrong:02x} at {at}", vector.name);
                    }
                    bytes[at] = right;
                }
            }
        }
    }
}

#[test]
fn items_written_by_hand_are_postcard() {
    for (file, values) in VALID_FILES {
        for (name, frame) in values() {
            assert_eq!(to_hex(&encode(&frame)), to_hex(&mirror(&frame)), "{file}: {name}");
        }
    }
}

#[test]
fn filters_of_watches_are_destinations_without_options() {
    let filter = Filter::everyone();
    let read = FilterRef::read(&mut Reader::new(filter.as_ref().as_bytes()));
    assert_eq!(read, Ok(filter.as_ref()));
}

#[test]
fn every_framing_vector_is_as_it_says() {
    for vector in vectors("framing.txt") {
        let (name, bytes) = (&vector.name, vector.bytes.as_slice());
        let limit: usize = vector.direction.parse().unwrap();
        let expected = match vector.verdict.as_str() {
            "incomplete" => Ok(None),
            "malformed" => Err(AbortCode::Malformed),
            "frame-too-large" => Err(AbortCode::FrameTooLarge),
            sizes => {
                let (header, body) = sizes.split_once('+').unwrap();
                Ok(Some(Extent { header: header.parse().unwrap(), body: body.parse().unwrap() }))
            }
        };
        assert_eq!(extent(bytes, limit), expected, "{name}");
        if let Ok(Some(extent)) = expected {
            assert_eq!(header_len(extent.body), extent.header, "{name}");
        }
        assert_eq!(byte_by_byte(bytes, limit), expected.map(|_| ()), "{name}, byte by byte");
    }
}

/// Feeds a stream byte by byte; what is wrong with it is found no later than with its last byte.
/// The prefix and the body of each vector of lossy framed transports.
fn lossy_values() -> BTreeMap<&'static str, (u64, Vec<u8>)> {
    let state = encode(&Frame::Control(Control::State(FIRST_STATE)));
    let hello = encode(&Frame::Control(Control::Hello(hello(), AttributesRef::EMPTY)));
    let to = to_b();
    let message = MessageItem { slot: 0, define: Some(to.as_ref()), id_step: 300, payload: COO, ..message() };
    let everyone = everyone();
    let long = MessageItem {
        define: Some(everyone.as_ref()),
        id_step: 1,
        time_to_live_ms: 0,
        payload: &[7; 600],
        ..message
    };
    let message = encode(&Frame::Up(UpItem::Message(message)));
    let long = encode(&Frame::Up(UpItem::Message(long)));
    let pairs = [("hello", 0, hello), ("state", 0, state), ("message", 200, message), ("long", 1, long)];
    pairs.into_iter().map(|(name, number, body)| (name, (number, body))).collect()
}

#[test]
fn every_lossy_vector_is_as_it_says() {
    for vector in vectors("lossy.txt") {
        let (name, is_line) = (&vector.name, vector.direction == "cobs");
        let mut content = vec![0; 1_000];
        let frame = if is_line {
            let (_, frame) = Unstuffing::default().take(&vector.bytes, &mut content);
            frame.and_then(Result::ok).map(|length| &content[..length])
        } else {
            Some(vector.bytes.as_slice())
        };
        let parts = frame.and_then(|frame| {
            let mut reader = Reader::new(frame);
            let prefix = Prefix::read(&mut reader).ok()?;
            Some((prefix, reader.rest())).filter(|(_, body)| !body.is_empty())
        });
        if vector.verdict == "dropped" {
            assert_eq!(parts, None, "{name}");
            continue;
        }
        let (number, body) = lossy_values().remove(name.split('-').next().unwrap()).unwrap();
        let prefix = Prefix { tag: tag(BOOT_A, 1), number };
        assert_eq!(parts, Some((prefix, body.as_slice())), "{name}");
        let length = frame.unwrap().len();
        let mut buffer = vec![0; stuffed_len(length)];
        let at = if is_line { headroom(length) } else { 0 };
        let mut writer = Writer::new(&mut buffer[at..], 0);
        prefix.write(&mut writer);
        writer.raw(&body);
        let length = if is_line { stuff(&mut buffer, length) } else { length };
        assert_eq!(to_hex(&buffer[..length]), to_hex(&vector.bytes), "{name}");
    }
}

fn byte_by_byte(bytes: &[u8], limit: usize) -> Result<(), AbortCode> {
    let mut kept = Vec::new();
    for byte in bytes {
        match step(&kept, &[*byte], limit)? {
            Step::Keep(1) => kept.push(*byte),
            Step::InPlace(_) | Step::Complete(1, _) => kept.clear(),
            other => panic!("{other:?} of one byte"),
        }
    }
    Ok(())
}

/// Bytes of a frame besides its payload.
fn cost(frame: &Frame<'_>, payload: usize) -> usize {
    let body = encode(frame).len();
    header_len(body) + body - payload
}

#[test]
fn a_message_and_an_acknowledgement_cost_what_the_document_says() {
    let payload = [7; 64];
    let up = MessageItem { payload: &payload, ..message() };
    assert_eq!(cost(&Frame::Up(UpItem::Message(up)), 64), 8);
    let longest_time = MessageItem { time_to_live_ms: u32::MAX, ..up };
    assert_eq!(cost(&Frame::Up(UpItem::Message(longest_time)), 64), 9);
    let shortest_time = MessageItem { time_to_live_ms: 1, ..up };
    assert_eq!(cost(&Frame::Up(UpItem::Message(shortest_time)), 64), 5);
    let any_slot = MessageItem { slot: 15, until_accepted: true, ..longest_time };
    assert_eq!(cost(&Frame::Up(UpItem::Message(any_slot)), 64), 9);
    let down = Deliver { payload: &payload, ..deliver() };
    assert_eq!(cost(&Frame::Down(DownItem::Deliver(down)), 64), 4);
    // Senders and destinations that take turns make larger steps.
    for (step, bytes) in [(63, 4), (-63, 4), (64, 5), (8_191, 5), (8_192, 6), (1_048_575, 6)] {
        let down = Deliver { alias: 63, direct: true, id_step: step, ..down };
        assert_eq!(cost(&Frame::Down(DownItem::Deliver(down)), 64), bytes, "{step}");
    }
    for (more, bytes) in [
        (1, 3),
        (127, 3),
        (128, 4),
        (4_096, 4),
        (16_383, 4),
        (16_384, 5),
        (2_097_151, 5),
        (2_097_152, 6),
        (1 << 24, 6),
        ((1 << 28) - 1, 6),
    ] {
        assert_eq!(cost(&Frame::Control(Control::Ack(more)), 0), bytes, "{more}");
    }
    for (first, bytes) in [
        (1, 6),
        (127, 6),
        (128, 7),
        (16_383, 7),
        (16_384, 8),
        (2_097_151, 8),
        (2_097_152, 9),
        (268_435_455, 9),
    ] {
        let run = Final { first, count: 100, delivered: 1, recipients: 1, reason: None };
        assert_eq!(cost(&Frame::Down(DownItem::Final(run)), 0), bytes, "{first}");
    }
    let run = Accepted { first: 1, count: 100, recipients: 1, epoch: EPOCH, session: 2 };
    assert_eq!(cost(&Frame::Down(DownItem::Accepted(run)), 0), 14);
    let ping = cost(&Frame::Control(Control::Ping), 0);
    assert_eq!(ping, 2);
    // The bounds that are promised.
    assert!(cost(&Frame::Up(UpItem::Message(longest_time)), 64) <= 12);
    assert!(cost(&Frame::Down(DownItem::Deliver(down)), 64) <= 12);
    assert!(cost(&Frame::Control(Control::Ack(1 << 24)), 0) <= 6);
}

// The worked example: real machines write exactly what is in the file and in the document.

struct End {
    letter: char,
    client: Client<Vec<u8>>,
    link: Option<LinkId>,
}

struct Stage {
    now: Instant,
    broker: Broker,
    written: Vec<(String, Vec<u8>)>,
}

impl Stage {
    fn end(letter: char, config: ClientConfig) -> End {
        let memory = vec![0; config.memory_needed()];
        End { letter, client: Client::new(config, memory).unwrap(), link: None }
    }

    fn connect(&mut self, end: &mut End) {
        end.link = Some(self.broker.handle_connected(self.now, 0).unwrap());
        end.client.handle_connected(self.now);
    }

    fn note(&mut self, end: &End, direction: &str, mut bytes: &[u8]) {
        while let Some(extent) = extent(bytes, 1 << 20).unwrap() {
            let (frame, rest) = bytes.split_at(extent.total());
            self.written.push((format!("{}-{direction}", end.letter), frame.to_vec()));
            bytes = rest;
        }
    }

    fn up(&mut self, end: &mut End) {
        let mut out = [0; 4096];
        let written = end.client.poll_transmit(self.now, &mut out);
        self.note(end, "up", &out[..written]);
        self.broker.handle_input(self.now, end.link.unwrap(), &out[..written]).unwrap();
    }

    fn down(&mut self, end: &mut End) {
        let mut out = [0; 4096];
        let written = self.broker.poll_transmit(self.now, end.link.unwrap(), &mut out).unwrap();
        self.note(end, "down", &out[..written]);
        end.client.handle_input(self.now, &out[..written]);
        while end.client.poll_event().is_some() {}
    }

    fn send(&mut self, from: &mut End, payload: &[u8]) {
        let to = all_of(&[("room", Value::Str("lobby"))]);
        from.client.send(self.now, &Message::new(&to, payload)).unwrap();
    }
}

fn play() -> Vec<(String, Vec<u8>)> {
    let config = ClientConfig::new(Uuid::from_bytes(UUID_A), Secret(SECRET_A), BOOT_A, 1);
    let mut a = Stage::end('a', config);
    let config = ClientConfig::new(Uuid::from_bytes(UUID_B), Secret(SECRET_B), BOOT_B, 2);
    let mut b = Stage::end('b', config);
    let broker = Broker::new(BrokerConfig::new(0), EPOCH).unwrap();
    let mut stage = Stage { now: Instant::from_micros(1), broker, written: Vec::new() };
    b.client.set(stage.now, "room", Value::Str("lobby")).unwrap();
    for end in [&mut a, &mut b] {
        stage.connect(end);
        stage.up(end);
        stage.down(end);
    }
    for payloads in [[COO].as_slice(), &[b"one", b"two"]] {
        payloads.iter().for_each(|payload| stage.send(&mut a, payload));
        stage.up(&mut a);
        stage.down(&mut a);
        stage.down(&mut b);
        stage.up(&mut b);
        stage.down(&mut a);
        stage.up(&mut a);
    }
    stage.broker.handle_disconnected(stage.now, b.link.take().unwrap());
    b.client.handle_disconnected(stage.now);
    stage.send(&mut a, b"six");
    stage.up(&mut a);
    stage.down(&mut a);
    stage.now = stage.now + Duration::from_millis(10);
    stage.broker.handle_timeout(stage.now);
    stage.down(&mut a);
    stage.up(&mut a);
    stage.connect(&mut b);
    stage.up(&mut b);
    stage.down(&mut b);
    stage.up(&mut b);
    stage.down(&mut a);
    stage.up(&mut a);
    b.client.close(stage.now, Close::EndSession);
    stage.up(&mut b);
    stage.down(&mut b);
    assert!(b.client.is_closed() && a.client.unanswered().next().is_none());
    stage.written
}

#[test]
fn the_worked_example_is_what_the_machines_write() {
    let written = play();
    let all = vectors("conversation.txt");
    for (vector, (direction, frame)) in all.iter().zip(&written) {
        let found = (vector.direction.as_str(), to_hex(&vector.bytes));
        assert_eq!(found, (direction.as_str(), to_hex(frame)), "{}", vector.name);
        assert_eq!(vector.verdict, "valid");
        let up = direction.ends_with("up");
        let extent = extent(frame, 1 << 20).unwrap().unwrap();
        let body = &frame[extent.header..];
        assert_eq!(decode(up, body).map(|frame| mirror(&frame)).as_deref(), Ok(body));
    }
    assert_eq!(all.len(), written.len());
}

#[test]
fn the_document_shows_the_worked_example() {
    let document = std::fs::read_to_string(docs("PROTOCOL.md")).unwrap();
    let (_, example) = document.split_once("\n## Worked example\n").expect("the section");
    let example = example.split("\n## ").next().unwrap_or_default();
    // In the document the bytes of a frame stand in groups, on one line or several, behind its name.
    let mut shown: Vec<(String, String)> = Vec::new();
    let mut inside = false;
    for line in example.lines() {
        if line.starts_with("```") {
            inside = !inside;
        } else if inside && !line.trim().is_empty() {
            let hex: String = line.chars().skip(20).take(24).filter(|c| !c.is_whitespace()).collect();
            match line.split_whitespace().next().filter(|_| !line.starts_with(' ')) {
                Some(name) => shown.push((name.into(), hex)),
                None => shown.last_mut().unwrap().1.push_str(&hex),
            }
        }
    }
    let all: Vec<_> =
        vectors("conversation.txt").iter().map(|v| (v.name.clone(), to_hex(&v.bytes))).collect();
    assert_eq!(shown, all);
}

#[test]
fn the_document_has_the_sections_that_the_source_names() {
    let document = std::fs::read_to_string(docs("PROTOCOL.md")).unwrap();
    let sections: Vec<&str> = document
        .lines()
        .filter(|line| line.starts_with("##"))
        .map(|line| line.trim_start_matches(['#', ' ']))
        .collect();
    let mut folders = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut named = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap();
            for section in source.split("PROTOCOL.md, \"").skip(1).filter_map(|rest| rest.split('"').next()) {
                named += 1;
                assert!(sections.contains(&section), "{}: {section}", path.display());
            }
        }
    }
    assert!(named > 0);
}
