//! What each vector says, by its name.

use crate::files::Frame;
use crate::mirror::mirror_value;
use e_pigeon_core::codec::Reader;
use e_pigeon_core::wire::control::{Abort, Control, Hello, Known, Resumed, Welcome};
use e_pigeon_core::wire::item::{
    Accepted, Deliver, DeliveryPast, DownItem, Final, MessageItem, Origin, PresenceState, Reply, UpItem,
};
use e_pigeon_core::wire::state::StateFrame;
use e_pigeon_core::wire::window::Window;
use e_pigeon_core::{
    AbortCode, Attributes, AttributesRef, Destination, Filter, Outcome, Past, PatchRef, RefusalReason, Taken,
    Uuid, Value,
};
use std::collections::BTreeMap;

pub(crate) const UUID_A: [u8; 16] =
    [0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf];
pub(crate) const UUID_B: [u8; 16] =
    [0xb0, 0xb1, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xbb, 0xbc, 0xbd, 0xbe, 0xbf];
pub(crate) const SECRET_A: [u8; 16] =
    [0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x5b, 0x5c, 0x5d, 0x5e, 0x5f];
pub(crate) const SECRET_B: [u8; 16] =
    [0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f];
pub(crate) const EPOCH: u64 = 0x1122_3344_5566_7788;
pub(crate) const BOOT_A: u64 = 0x0102_0304_0506_0708;
pub(crate) const BOOT_B: u64 = 0x1112_1314_1516_1718;
pub(crate) const COO: &[u8] = b"coo";
pub(crate) const WINDOW: Window = Window { messages: 4_096, bytes: 4 << 20 };
pub(crate) const LARGEST_WINDOW: Window = Window { messages: u32::MAX, bytes: u32::MAX };
pub(crate) const FIRST_STATE: StateFrame = StateFrame {
    serial: 1,
    heard: 0,
    wants_reply: false,
    received: 0,
    acknowledged: 0,
    window: WINDOW,
    beyond: 0,
};
pub(crate) const SHUT: Window = Window { messages: 0, bytes: 0 };

pub(crate) fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

pub(crate) fn attributes(pairs: &[(&str, Value<'_>)]) -> AttributesRef<'static> {
    let mut attributes = Attributes::new();
    pairs.iter().for_each(|&(key, value)| attributes.set(key, value).unwrap());
    leak(attributes).as_ref()
}

pub(crate) fn all_of(pairs: &[(&str, Value<'_>)]) -> Destination {
    Filter::all_of(pairs).unwrap().into()
}

pub(crate) fn any_of(pairs: &[(&str, Value<'_>)]) -> Destination {
    Filter::any_of(pairs).unwrap().into()
}

pub(crate) fn everyone() -> Destination {
    Filter::everyone().into()
}

pub(crate) fn to_b() -> Destination {
    Uuid::from_bytes(UUID_B).into()
}

pub(crate) fn hello() -> Hello {
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

pub(crate) fn welcome() -> Welcome {
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

pub(crate) fn message() -> MessageItem<'static> {
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

pub(crate) fn taken(recipients: u32, epoch: u64, session: u64, answered_first: bool) -> Past {
    Past::Taken(Taken { recipients, epoch, session, answered_first })
}

pub(crate) fn deliver() -> Deliver<'static> {
    Deliver { alias: 0, define: None, id_step: 1, retry: None, late: false, direct: false, payload: COO }
}

pub(crate) const CODES: [(&str, AbortCode, u64); 16] = [
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

pub(crate) const REASONS: [(&str, RefusalReason); 8] = [
    ("expired", RefusalReason::Expired),
    ("queue-full", RefusalReason::QueueFull),
    ("too-large", RefusalReason::TooLarge),
    ("broker-full", RefusalReason::BrokerFull),
    ("not-allowed", RefusalReason::NotAllowed),
    ("gone", RefusalReason::Gone),
    ("nobody", RefusalReason::Nobody),
    ("declined", RefusalReason::Declined),
];

pub(crate) type Table = BTreeMap<String, Frame<'static>>;

pub(crate) fn put(table: &mut Table, name: &str, frame: Frame<'static>) {
    assert!(table.insert(name.into(), frame).is_none(), "{name} is checked twice");
}

pub(crate) fn handshake_values() -> Table {
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
    table
}

pub(crate) fn control_values() -> Table {
    let mut table = handshake_values();
    let mut add = |name: &str, control| put(&mut table, name, Frame::Control(control));
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
    let told = StateFrame { serial: 4, heard: 2, wants_reply: true, received, acknowledged, ..FIRST_STATE };
    add("state-ranges", Control::State(StateFrame { beyond: 0b101_1100, ..told }));
    add(
        "state-longest",
        Control::State(StateFrame {
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

pub(crate) fn message_values() -> Table {
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
    table
}

pub(crate) fn up_values() -> Table {
    let mut table = message_values();
    let mut add = |name: &str, item| put(&mut table, name, Frame::Up(item));
    let lobby = [("room", Value::Str("lobby"))];
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

pub(crate) fn down_values() -> Table {
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
        DownItem::Final(Final { first, count, outcome: Outcome::new(delivered, recipients, reason) })
    };
    add("final", ended(1, 1, 1, 1, None));
    add("final-run", ended(300, 4_096, 3, 3, None));
    for (name, reason) in REASONS {
        add(&format!("final-{name}"), ended(9, 1, 2, 3, Some(reason)));
    }
    add("final-of-none", ended(9, 1, 0, 0, Some(RefusalReason::Nobody)));
    add("final-largest", ended(1, u32::MAX, u32::MAX, u32::MAX, None));
    add("refusal-attributes", DownItem::Reply(Reply::AttributesRefused(RefusalReason::TooLarge)));
    add("refusal-watch", DownItem::Reply(Reply::WatchRefused(300, RefusalReason::NotAllowed)));
    add("refusal-watch-0", DownItem::Reply(Reply::WatchRefused(0, RefusalReason::NotAllowed)));
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

pub(crate) fn patch(changes: &[(&str, Option<Value<'_>>)]) -> PatchRef<'static> {
    let changes: Vec<_> = changes.iter().map(|&(key, value)| (key, value.map(mirror_value))).collect();
    let bytes = leak(postcard::to_stdvec(&changes).unwrap());
    PatchRef::read(&mut Reader::new(bytes)).unwrap()
}
