//! Encode and decode are inverse for every kind of frame, and decode accepts one encoding of each value.

use crate::quiet;
use e_pigeon_core::codec::{Malformed, Reader, Writer};
use e_pigeon_core::wire::control::{Abort, Control, Hello, Known, Resumed, Welcome};
use e_pigeon_core::wire::item::{
    Accepted, Deliver, DeliveryPast, DownItem, Final, MAX_DELIVER_HEAD, MessageItem, Origin, PresenceState,
    Reply, UpItem,
};
use e_pigeon_core::wire::kind;
use e_pigeon_core::wire::state::StateFrame;
use e_pigeon_core::wire::window::Window;
use e_pigeon_core::{
    AbortCode, Attributes, AttributesRef, Destination, DestinationRef, Filter, FilterRef, Outcome, Past,
    PatchRef, RefusalReason, Taken, Uuid, Value,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame<'a> {
    Control(Control<'a>),
    Up(UpItem<'a>),
    Down(DownItem<'a>),
}

fn decode(up: bool, bytes: &[u8]) -> Result<Frame<'_>, Malformed> {
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

fn write(frame: &Frame<'_>, writer: &mut Writer<'_>) {
    match frame {
        Frame::Control(control) => control.write(writer),
        Frame::Up(item) => item.write(writer),
        Frame::Down(item) => item.write(writer),
    }
}

fn encode(frame: &Frame<'_>) -> Vec<u8> {
    let mut counter = Writer::counting();
    write(frame, &mut counter);
    let mut bytes = vec![0; counter.total()];
    write(frame, &mut Writer::new(&mut bytes, 0));
    bytes
}

// Values. What is borrowed is leaked: it is little, and the tests end.

fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

fn bytes(most: usize) -> impl Strategy<Value = &'static [u8]> {
    vec(any::<u8>(), 0..=most).prop_map(|bytes| leak(bytes).as_slice())
}

/// Numbers of all lengths, and those at the edges of lengths.
fn number() -> impl Strategy<Value = u64> {
    let edge = (0_u32..=63, 0_u64..3).prop_map(|(bit, less)| (1_u64 << bit).wrapping_sub(less));
    prop_oneof![0_u64..300, edge, any::<u64>(), Just(u64::MAX)]
}

fn number32() -> impl Strategy<Value = u32> {
    number().prop_map(|number| number as u32)
}

fn uuid() -> impl Strategy<Value = [u8; 16]> {
    any::<[u8; 16]>()
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![select(vec!["a", "b", "aa", "room"]).prop_map(String::from), "[a-z0-9_.-]{1,32}"]
}

fn value() -> impl Strategy<Value = Value<'static>> {
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        number().prop_map(|number| Value::Int(number.cast_signed())),
        "[^\\p{Cc}]{0,16}".prop_map(|text| Value::Str(leak(text))),
        bytes(64).prop_map(Value::Bytes),
    ]
}

fn attributes() -> impl Strategy<Value = AttributesRef<'static>> {
    vec((key(), value()), 0..=16).prop_map(|pairs| {
        let mut attributes = Attributes::new();
        pairs.iter().for_each(|(key, value)| attributes.set(key, *value).unwrap());
        leak(attributes).as_ref()
    })
}

fn filter() -> impl Strategy<Value = Filter> {
    let pairs = || vec((key(), value()), 1..=8);
    let of = |pairs: &[(String, Value<'static>)], all: bool| {
        let pairs: Vec<_> = pairs.iter().map(|(key, value)| (key.as_str(), *value)).collect();
        if all { Filter::all_of(&pairs) } else { Filter::any_of(&pairs) }
    };
    prop_oneof![
        Just(Filter::everyone()),
        // A key that stands twice is no filter.
        pairs().prop_filter_map("a key stands twice", move |pairs| of(&pairs, true).ok()),
        pairs().prop_map(move |pairs| of(&pairs, false).unwrap()),
    ]
}

fn filter_ref() -> impl Strategy<Value = FilterRef<'static>> {
    filter().prop_map(|filter| leak(filter).as_ref())
}

fn destination() -> impl Strategy<Value = DestinationRef<'static>> {
    let to = prop_oneof![
        uuid().prop_map(|uuid| Destination::from(Uuid::from_bytes(uuid))),
        filter().prop_map(Destination::from)
    ];
    (to, any::<bool>(), any::<bool>()).prop_map(|(to, exclude_self, only_connected)| {
        let to = if exclude_self { to.exclude_self() } else { to };
        leak(if only_connected { to.only_connected() } else { to }).as_ref()
    })
}

/// Changes are written by hand: keys ascending, the shorter ones first.
fn patch() -> impl Strategy<Value = PatchRef<'static>> {
    vec((key(), option::of(value())), 1..=16).prop_map(|changes| {
        let sorted: BTreeMap<(usize, String), Option<Value<'_>>> =
            changes.into_iter().map(|(key, value)| ((key.len(), key), value)).collect();
        let mut bytes = vec![0; 2_048];
        let mut writer = Writer::new(&mut bytes, 0);
        writer.u64(sorted.len() as u64);
        for ((_, key), value) in &sorted {
            writer.bytes(key.as_bytes());
            writer.u8(u8::from(value.is_some()));
            match value {
                Some(Value::Bool(value)) => writer.raw(&[0, u8::from(*value)]),
                Some(Value::Int(value)) => {
                    writer.u8(1);
                    writer.i64(*value);
                }
                Some(Value::Str(value)) => {
                    writer.u8(2);
                    writer.bytes(value.as_bytes());
                }
                Some(Value::Bytes(value)) => {
                    writer.u8(3);
                    writer.bytes(value);
                }
                None => {}
            }
        }
        let length = writer.written();
        bytes.truncate(length);
        PatchRef::read(&mut Reader::new(leak(bytes))).expect("a change that is canonical")
    })
}

fn past() -> impl Strategy<Value = Past> {
    let taken = (number32(), number(), number(), any::<bool>()).prop_map(
        |(recipients, epoch, session, answered_first)| {
            let recipients = recipients.max(1);
            Past::Taken(Taken { recipients, epoch, session, answered_first })
        },
    );
    prop_oneof![Just(Past::Sent), Just(Past::Parked), taken]
}

fn window() -> impl Strategy<Value = Window> {
    (number32(), number32()).prop_map(|(messages, bytes)| Window { messages, bytes })
}

fn reason() -> impl Strategy<Value = RefusalReason> {
    select(vec![
        RefusalReason::Expired,
        RefusalReason::QueueFull,
        RefusalReason::TooLarge,
        RefusalReason::BrokerFull,
        RefusalReason::NotAllowed,
        RefusalReason::Gone,
        RefusalReason::Nobody,
        RefusalReason::Declined,
    ])
}

fn code() -> impl Strategy<Value = AbortCode> {
    select(vec![
        AbortCode::Malformed,
        AbortCode::UnexpectedFrame,
        AbortCode::FrameTooLarge,
        AbortCode::WindowExceeded,
        AbortCode::BadAcknowledgement,
        AbortCode::BadId,
        AbortCode::BadAlias,
        AbortCode::HandshakeTimeout,
        AbortCode::Silent,
        AbortCode::TakenOver,
        AbortCode::Superseded,
        AbortCode::WrongSecret,
        AbortCode::Version,
        AbortCode::Full,
        AbortCode::TooManyAttributes,
        AbortCode::ShuttingDown,
        AbortCode::NotAllowed,
    ])
}

// Frames.

fn hello() -> impl Strategy<Value = Control<'static>> {
    let known = (number(), number(), number(), number(), window()).prop_map(
        |(epoch, session, received, acknowledged, window)| Known {
            epoch: epoch.to_le_bytes(),
            session,
            received,
            acknowledged,
            window,
        },
    );
    let identity = (uuid(), uuid(), number(), number());
    let limits = (window(), number32(), any::<u16>(), any::<bool>(), any::<u16>());
    (identity, option::of(known), limits, attributes()).prop_map(|(identity, known, limits, attributes)| {
        let (uuid, secret, boot, link) = identity;
        let (window, max_payload, aliases, receives, presence) = limits;
        let boot = boot.to_le_bytes();
        let hello =
            Hello { uuid, secret, boot, link, known, window, max_payload, aliases, receives, presence };
        Control::Hello(hello, attributes)
    })
}

fn welcome() -> impl Strategy<Value = Control<'static>> {
    let resumed =
        (number(), number()).prop_map(|(received, acknowledged)| Resumed { received, acknowledged });
    let session = (number(), number(), option::of(resumed));
    (session, window(), number32(), any::<u8>(), number32(), number()).prop_map(
        |((epoch, session, resumed), window, max_payload, slots, keep_alive_ms, session_ttl_ms)| {
            Control::Welcome(Welcome {
                epoch: epoch.to_le_bytes(),
                session,
                resumed,
                window,
                max_payload,
                slots,
                keep_alive_ms,
                session_ttl_ms,
            })
        },
    )
}

fn state() -> impl Strategy<Value = StateFrame> {
    let serials = (number(), number(), any::<bool>());
    (serials, number(), number(), window(), number()).prop_map(
        |((serial, heard, wants_reply), one, other, window, beyond)| StateFrame {
            serial: serial.max(1),
            heard,
            wants_reply,
            received: one.max(other),
            acknowledged: one.min(other),
            window,
            // The first that is missing is not here.
            beyond: beyond & !1,
        },
    )
}

fn control() -> impl Strategy<Value = Control<'static>> {
    prop_oneof![
        hello(),
        number()
            .prop_filter("our own version has more to say", |&v| v != 1)
            .prop_map(Control::HelloOfVersion),
        welcome(),
        (code(), number()).prop_map(|(code, detail)| Control::Abort(Abort { code, detail })),
        any::<[u8; 32]>().prop_map(Control::Challenge),
        any::<[u8; 32]>().prop_map(Control::Proof),
        number().prop_map(|more| Control::Ack(more.max(1))),
        window().prop_map(Control::Window),
        Just(Control::Ping),
        any::<bool>().prop_map(Control::Goodbye),
        Just(Control::Farewell),
        state().prop_map(Control::State),
    ]
}

fn up() -> impl Strategy<Value = UpItem<'static>> {
    let parts = (0_u8..16, option::of(destination()), number(), number32());
    let message = (parts, option::of(past()), any::<bool>(), bytes(100)).prop_map(
        |((slot, define, id_step, time_to_live_ms), retry, until_accepted, payload)| {
            let id_step = id_step.max(1);
            UpItem::Message(MessageItem {
                slot,
                define,
                id_step,
                time_to_live_ms,
                retry,
                until_accepted,
                payload,
            })
        },
    );
    prop_oneof![
        4 => message,
        2 => patch().prop_map(UpItem::Set),
        1 => number().prop_map(UpItem::Decline),
        1 => (number32(), filter_ref()).prop_map(|(watch, filter)| UpItem::Watch(watch, filter)),
        1 => number32().prop_map(UpItem::Unwatch),
    ]
}

/// Ids do not wrap round.
fn run() -> impl Strategy<Value = (u64, u32)> {
    (number(), number32()).prop_map(|(first, count)| {
        let count = count.max(1);
        (first.clamp(1, u64::MAX - u64::from(count)), count)
    })
}

fn down() -> impl Strategy<Value = DownItem<'static>> {
    let origin = (uuid(), number()).prop_map(|(uuid, boot)| Origin { uuid, boot });
    let parts = (0_u8..64, option::of(origin), number(), option::of(past()));
    let deliver = (parts, any::<bool>(), any::<bool>(), bytes(100)).prop_map(
        |((alias, define, step, past), late, direct, payload)| {
            let (id_step, retry) = (step.cast_signed(), past.map(DeliveryPast::from));
            DownItem::Deliver(Deliver { alias, define, id_step, retry, late, direct, payload })
        },
    );
    let accepted =
        (run(), number32(), number(), number()).prop_map(|((first, count), recipients, epoch, session)| {
            DownItem::Accepted(Accepted { first, count, recipients, epoch, session })
        });
    let ended = (run(), number32(), number32(), reason()).prop_map(|((first, count), one, other, reason)| {
        let (delivered, recipients) = (one.min(other), one.max(other));
        let reason = (delivered < recipients || recipients == 0).then_some(reason);
        DownItem::Final(Final { first, count, outcome: Outcome::new(delivered, recipients, reason) })
    });
    let state = select(vec![PresenceState::Connected, PresenceState::Away]);
    prop_oneof![
        4 => deliver,
        1 => accepted,
        1 => ended,
        1 => reason().prop_map(|reason| DownItem::Reply(Reply::AttributesRefused(reason))),
        1 => (number32(), reason()).prop_map(|(watch, reason)| DownItem::Reply(Reply::WatchRefused(watch, reason))),
        1 => number32().prop_map(|count| DownItem::Void(count.max(1))),
        1 => (number32(), uuid(), state, attributes())
            .prop_map(|(watch, uuid, state, attributes)| DownItem::Presence(watch, uuid, state, attributes)),
        1 => (number32(), uuid()).prop_map(|(watch, uuid)| {
            DownItem::Presence(watch, uuid, PresenceState::Gone, AttributesRef::EMPTY)
        }),
        1 => number32().prop_map(DownItem::PresenceReset),
        1 => number32().prop_map(DownItem::PresenceSynced),
    ]
}

fn frame() -> impl Strategy<Value = Frame<'static>> {
    prop_oneof![
        2 => control().prop_map(Frame::Control),
        1 => up().prop_map(Frame::Up),
        1 => down().prop_map(Frame::Down),
    ]
}

/// A change of bytes: one becomes another, one is taken out or put in, or the end is cut off.
type Edit = (u8, prop::sample::Index, u8);

fn edit(bytes: &mut Vec<u8>, &(how, at, byte): &Edit) {
    let at = at.index(bytes.len() + 1);
    match (how, bytes.get(at)) {
        // One bit, or the whole byte.
        (0, Some(_)) => bytes[at] ^= 1 << (byte % 8),
        (1, Some(_)) => bytes[at] = byte,
        (2, Some(_)) => drop(bytes.remove(at)),
        // A longer encoding of the same integer.
        (3, Some(_)) => {
            bytes[at] |= 0x80;
            bytes.insert(at + 1, 0);
        }
        (4, Some(_)) => bytes.truncate(at),
        _ => bytes.insert(at, byte),
    }
}

proptest! {
    #![proptest_config(quiet(3_000))]

    #[test]
    fn encode_and_decode_are_inverse(frame in frame()) {
        let bytes = encode(&frame);
        let is_up = |up| matches!(frame, Frame::Control(_)) || up == matches!(frame, Frame::Up(_));
        for up in [true, false] {
            if is_up(up) {
                prop_assert_eq!(decode(up, &bytes), Ok(frame));
            } else {
                prop_assert_eq!(decode(up, &bytes), Err(Malformed), "an item that goes the wrong way");
            }
        }
    }

    /// A broker writes the length of a delivery before the delivery, and makes room for the longest head.
    #[test]
    fn the_head_of_a_delivery_is_as_long_as_it_says(frame in frame()) {
        if let Frame::Down(DownItem::Deliver(deliver)) = frame {
            let mut counter = Writer::counting();
            deliver.write_head(&mut counter);
            prop_assert_eq!(deliver.head_len(), counter.total());
            prop_assert!(deliver.head_len() <= MAX_DELIVER_HEAD);
        }
    }

    #[test]
    fn no_value_has_two_encodings(
        frame in frame(),
        edits in vec((0_u8..6, any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = encode(&frame);
        edits.iter().for_each(|change| edit(&mut bytes, change));
        for up in [true, false] {
            match decode(up, &bytes) {
                // Of another version nothing is known but its number.
                Ok(other @ Frame::Control(Control::HelloOfVersion(_))) => {
                    prop_assert!(bytes.starts_with(&encode(&other)));
                }
                Ok(other) => prop_assert_eq!(encode(&other), &*bytes),
                Err(Malformed) => {}
            }
        }
    }

    #[test]
    fn a_frame_that_is_cut_short_is_no_frame_or_has_less_to_say(frame in frame()) {
        let bytes = encode(&frame);
        for length in 0..bytes.len() {
            for up in [true, false] {
                if let Ok(other) = decode(up, &bytes[..length]) {
                    prop_assert_ne!(other, frame);
                    prop_assert!(has_a_rest(&other), "{other:?} is the front of {frame:?}");
                }
            }
        }
    }
}

/// True where the last field goes on to the end of the frame.
fn has_a_rest(frame: &Frame<'_>) -> bool {
    matches!(frame, Frame::Up(UpItem::Message(_)) | Frame::Down(DownItem::Deliver(_)))
}
