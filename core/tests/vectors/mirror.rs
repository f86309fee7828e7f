//! Each frame once more, by way of serde and postcard, independently of the crate's own code.
//!
//! Raw are only the magic and the payload, which is the rest of its frame and has no length of its own; what is there or
//! not by a flag has no tag of its own either.

use crate::files::Frame;
use e_pigeon_core::codec::Reader;
use e_pigeon_core::wire::control::Control;
use e_pigeon_core::wire::item::{DeliveryPast, DownItem, PresenceState, Reply, UpItem};
use e_pigeon_core::wire::window::Window;
use e_pigeon_core::{DestinationRef, Past, Target, Value};
use serde::Serialize;

#[derive(Serialize)]
pub(crate) enum MirrorValue<'a> {
    Bool(bool),
    Int(i64),
    Str(&'a str),
    Bytes(&'a [u8]),
}

#[derive(Serialize)]
pub(crate) enum MirrorPast {
    Sent,
    Parked,
    Taken { recipients: u32, epoch: [u8; 8], session: u64, answered_first: bool },
}

#[derive(Serialize)]
pub(crate) enum MirrorDeliveryPast {
    Sent,
    Parked,
    Taken { epoch: [u8; 8], session: u64, answered_first: bool },
}

#[derive(Serialize)]
pub(crate) struct MirrorKnown {
    pub(crate) epoch: [u8; 8],
    pub(crate) session: u64,
    pub(crate) received: u64,
    pub(crate) acknowledged: u64,
    pub(crate) window: (u32, u32),
}

#[derive(Serialize)]
pub(crate) struct MirrorHello {
    pub(crate) uuid: [u8; 16],
    pub(crate) secret: [u8; 16],
    pub(crate) boot: [u8; 8],
    pub(crate) link: u64,
    pub(crate) known: Option<MirrorKnown>,
    pub(crate) window: (u32, u32),
    pub(crate) max_payload: u32,
    pub(crate) aliases: u16,
    pub(crate) receives: bool,
    pub(crate) presence: u16,
}

#[derive(Serialize)]
pub(crate) struct MirrorWelcome {
    pub(crate) epoch: [u8; 8],
    pub(crate) session: u64,
    pub(crate) resumed: Option<(u64, u64)>,
    pub(crate) window: (u32, u32),
    pub(crate) max_payload: u32,
    pub(crate) slots: u8,
    pub(crate) keep_alive_ms: u32,
    pub(crate) session_ttl_ms: u64,
}

/// Appends postcard values.
#[derive(Default)]
pub(crate) struct Mirror(Vec<u8>);

impl Mirror {
    pub(crate) fn put<T: Serialize>(mut self, value: T) -> Self {
        self.0.extend(postcard::to_stdvec(&value).unwrap());
        self
    }

    pub(crate) fn put_if<T: Serialize>(self, value: Option<T>) -> Self {
        match value {
            Some(value) => self.put(value),
            None => self,
        }
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }
}

pub(crate) fn mirror_value(value: Value<'_>) -> MirrorValue<'_> {
    match value {
        Value::Bool(value) => MirrorValue::Bool(value),
        Value::Int(value) => MirrorValue::Int(value),
        Value::Str(value) => MirrorValue::Str(value),
        Value::Bytes(value) => MirrorValue::Bytes(value),
    }
}

/// Pairs, ascending by their encoded bytes.
pub(crate) fn mirror_pairs<'a>(
    pairs: impl Iterator<Item = (&'a str, Value<'a>)>,
) -> Vec<(&'a str, MirrorValue<'a>)> {
    let mut pairs: Vec<_> = pairs.map(|(key, value)| (key, mirror_value(value))).collect();
    pairs.sort_by_cached_key(|pair| postcard::to_stdvec(pair).unwrap());
    pairs
}

pub(crate) fn mirror_destination(mirror: Mirror, destination: DestinationRef<'_>) -> Mirror {
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

pub(crate) fn mirror_control(control: &Control<'_>) -> Mirror {
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
pub(crate) fn mirror_ranges(beyond: u64) -> Vec<(u32, u32)> {
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

pub(crate) fn mirror_up(item: &UpItem<'_>) -> Mirror {
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

pub(crate) fn mirror_down(item: &DownItem<'_>) -> Mirror {
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
            .put((0x31_u8, run.first, run.count, run.outcome.delivered, run.outcome.recipients))
            .put_if(run.outcome.reason.map(|reason| reason as u8)),
        DownItem::Reply(Reply::AttributesRefused(reason)) => mirror.put((0x32_u8, 0_u8, 0_u32, reason as u8)),
        DownItem::Reply(Reply::WatchRefused(watch, reason)) => {
            mirror.put((0x32_u8, 1_u8, watch, reason as u8))
        }
        DownItem::Void(count) => mirror.put((0x34_u8, count)),
        DownItem::Presence(watch, uuid, state, attributes) => {
            let there = (state != PresenceState::Gone).then(|| mirror_pairs(attributes.iter()));
            mirror.put((0x38_u8, watch, uuid, state as u8)).put_if(there)
        }
        DownItem::PresenceReset(watch) => mirror.put((0x39_u8, watch)),
        DownItem::PresenceSynced(watch) => mirror.put((0x3a_u8, watch)),
    }
}

pub(crate) fn mirror(frame: &Frame<'_>) -> Vec<u8> {
    match frame {
        Frame::Control(control) => mirror_control(control).0,
        Frame::Up(item) => mirror_up(item).0,
        Frame::Down(item) => mirror_down(item).0,
    }
}
