//! What a hostile broker writes.

use super::carrier::Write;
use super::fields::{Before, Number, PAYLOAD, Pairs, uuid, window};
use arbitrary::Arbitrary;
use e_pigeon_core::codec::Writer;
use e_pigeon_core::wire::control::{Abort, Control, Resumed, Welcome};
use e_pigeon_core::wire::item::{
    Accepted, Deliver, DeliveryPast, DownItem, Final, Origin, PresenceState, Reply,
};
use e_pigeon_core::wire::window::Window;
use e_pigeon_core::{AbortCode, Outcome, RefusalReason};

/// What goes to a client.
#[derive(Clone, Debug, Arbitrary)]
pub(in crate::bodies) enum DownFrame {
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
    Void(Number),
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

const REASONS: [RefusalReason; 8] = [
    RefusalReason::Expired,
    RefusalReason::QueueFull,
    RefusalReason::TooLarge,
    RefusalReason::BrokerFull,
    RefusalReason::NotAllowed,
    RefusalReason::Gone,
    RefusalReason::Nobody,
    RefusalReason::Declined,
];

/// Codes after which a client comes back, so that a run goes on; of the others two.
const CODES: [AbortCode; 8] = [
    AbortCode::Malformed,
    AbortCode::UnexpectedFrame,
    AbortCode::Silent,
    AbortCode::Superseded,
    AbortCode::Full,
    AbortCode::ShuttingDown,
    AbortCode::TakenOver,
    AbortCode::Version,
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
                DownItem::Final(Final { first, count, outcome: Outcome::new(delivered, recipients, reason) })
                    .write(writer);
            }
            Self::Refusal(watch, number, reason) => {
                let reason = REASONS[usize::from(*reason) % REASONS.len()];
                let reply = if *watch {
                    Reply::WatchRefused(number.u32(), reason)
                } else {
                    Reply::AttributesRefused(reason)
                };
                DownItem::Reply(reply).write(writer);
            }
            Self::Void(count) => DownItem::Void(count.u32()).write(writer),
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
