//! Items: what a link numbers. A message is read and written here some million times a second, so it is done by
//! hand, in the same format as everything else.

mod deliver;
mod message;

pub use deliver::{Deliver, DeliveryPast, MAX_DELIVER_HEAD, Origin};
pub use message::MessageItem;

use crate::codec::{Field, Malformed, Reader, Writer};
use crate::data::attributes::AttributesRef;
use crate::data::filter::FilterRef;
use crate::data::message::{Outcome, RefusalReason};
use crate::data::patch::PatchRef;
use crate::wire::kind;
use deliver::read_deliver;
use message::read_message;

/// An item from a client to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpItem<'a> {
    /// A message.
    Message(MessageItem<'a>),
    /// A change of attributes.
    Set(PatchRef<'a>),
    /// The delivery of that number is declined.
    Decline(u64),
    /// The client watches the sessions that match, under a number of its choice.
    Watch(u32, FilterRef<'a>),
    /// It is no longer wanted.
    Unwatch(u32),
}

impl<'a> UpItem<'a> {
    /// Reads what follows the byte of kind of an item for the broker.
    pub fn read(frame_kind: u8, reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        if frame_kind & 0xf8 == kind::MESSAGE {
            return read_message(frame_kind, reader).map(Self::Message);
        }
        let item = match frame_kind {
            kind::SET => Self::Set(PatchRef::read(reader)?),
            kind::DECLINE => Self::Decline(reader.u64()?),
            kind::WATCH => Self::Watch(reader.u32()?, FilterRef::read(reader)?),
            kind::UNWATCH => Self::Unwatch(reader.u32()?),
            _ => return Err(Malformed),
        };
        reader.finish()?;
        Ok(item)
    }

    /// Writes the body of the frame.
    pub fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Message(message) => {
                message.write_head(writer);
                writer.raw(message.payload);
            }
            Self::Set(patch) => {
                writer.u8(kind::SET);
                writer.raw(patch.as_bytes());
            }
            Self::Decline(number) => writer.frame(kind::DECLINE, number),
            Self::Watch(watch, filter) => {
                writer.frame(kind::WATCH, watch);
                writer.raw(filter.as_bytes());
            }
            Self::Unwatch(watch) => writer.frame(kind::UNWATCH, watch),
        }
    }
}

fields! {
    /// A run of messages that were accepted alike.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Accepted {
        /// The id of the first.
        pub first: u64,
        /// How many ids; at least one.
        pub count: u32,
        /// For how many recipients each.
        pub recipients: u32,
        /// The life of the broker that answered first.
        pub epoch: u64 = raw_u64,
        /// The newest session number of that life at that moment.
        pub session: u64,
    }

    /// A run of messages that ended alike.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Final {
        /// The id of the first.
        pub first: u64,
        /// How many ids; at least one.
        pub count: u32,
        /// How each has ended.
        pub outcome: Outcome,
    }

    /// The fields of a refusal.
    pub struct Refusal {
        /// It is about a watch, not about attributes.
        pub is_watch: bool,
        /// The number of the watch, or 0.
        pub watch: u32,
        /// Why.
        pub reason: RefusalReason,
    }
}

/// A reply of the broker to an item of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A change of attributes is refused: the session keeps those that it has.
    AttributesRefused(RefusalReason),
    /// The watch of this number is refused.
    WatchRefused(u32, RefusalReason),
}

impl Reply {
    /// How many kinds of replies there are.
    #[cfg(feature = "alloc")]
    pub(crate) const KINDS: usize = 2;
}

/// The state of a session that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PresenceState {
    /// The session has ended, or no longer matches.
    Gone = 0,
    /// The session has a link.
    Connected = 1,
    /// The session has none.
    Away = 2,
}

/// An item from the broker to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownItem<'a> {
    /// A message.
    Deliver(Deliver<'a>),
    /// An interim receipt.
    Accepted(Accepted),
    /// A final receipt.
    Final(Final),
    /// A reply to an item.
    Reply(Reply),
    /// So many deliveries, at least one, have ended after they got their numbers: it stands for all of these.
    Void(u32),
    /// A session under this watch: its state, and its attributes if it is not gone.
    Presence(u32, [u8; 16], PresenceState, AttributesRef<'a>),
    /// A snapshot for this watch begins.
    PresenceReset(u32),
    /// The snapshot for this watch is complete.
    PresenceSynced(u32),
}

impl<'a> DownItem<'a> {
    /// Reads what follows the byte of kind of an item for a client.
    pub fn read(frame_kind: u8, reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        if frame_kind & 0xf0 == kind::DELIVER {
            return read_deliver(frame_kind, reader).map(Self::Deliver);
        }
        let item = match frame_kind {
            kind::ACCEPTED => {
                let accepted = Accepted::read(reader)?;
                check_run(accepted.first, accepted.count)?;
                Self::Accepted(accepted)
            }
            kind::FINAL => {
                let ended = Final::read(reader)?;
                check_run(ended.first, ended.count)?;
                Self::Final(ended)
            }
            kind::REFUSAL => Self::Reply(match Refusal::read(reader)? {
                Refusal { is_watch: true, watch, reason } => Reply::WatchRefused(watch, reason),
                Refusal { watch: 0, reason, .. } => Reply::AttributesRefused(reason),
                Refusal { .. } => return Err(Malformed),
            }),
            kind::VOID => Self::Void(reader.u32().ok().filter(|&count| count > 0).ok_or(Malformed)?),
            kind::PRESENCE if cfg!(feature = "presence") => {
                let (watch, uuid) = (reader.u32()?, reader.array()?);
                match reader.u8()? {
                    0 => Self::Presence(watch, uuid, PresenceState::Gone, AttributesRef::EMPTY),
                    1 => Self::Presence(watch, uuid, PresenceState::Connected, AttributesRef::read(reader)?),
                    2 => Self::Presence(watch, uuid, PresenceState::Away, AttributesRef::read(reader)?),
                    _ => return Err(Malformed),
                }
            }
            kind::PRESENCE_RESET => Self::PresenceReset(reader.u32()?),
            kind::PRESENCE_SYNCED => Self::PresenceSynced(reader.u32()?),
            _ => return Err(Malformed),
        };
        reader.finish()?;
        Ok(item)
    }

    /// Writes the body of the frame.
    pub fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Deliver(deliver) => {
                deliver.write_head(writer);
                writer.raw(deliver.payload);
            }
            Self::Accepted(accepted) => writer.frame(kind::ACCEPTED, accepted),
            Self::Final(ended) => writer.frame(kind::FINAL, ended),
            Self::Reply(Reply::AttributesRefused(reason)) => {
                writer.frame(kind::REFUSAL, &Refusal { is_watch: false, watch: 0, reason: *reason });
            }
            Self::Reply(Reply::WatchRefused(watch, reason)) => {
                writer.frame(kind::REFUSAL, &Refusal { is_watch: true, watch: *watch, reason: *reason });
            }
            Self::Void(count) => writer.frame(kind::VOID, count),
            Self::Presence(watch, uuid, state, attributes) => {
                writer.frame(kind::PRESENCE, watch);
                writer.raw(uuid);
                writer.u8(*state as u8);
                if *state != PresenceState::Gone {
                    writer.raw(attributes.as_bytes());
                }
            }
            Self::PresenceReset(watch) => writer.frame(kind::PRESENCE_RESET, watch),
            Self::PresenceSynced(watch) => writer.frame(kind::PRESENCE_SYNCED, watch),
        }
    }
}

/// A run has ids, from 1, and these do not wrap round.
fn check_run(first: u64, count: u32) -> Result<(), Malformed> {
    let is_run = first != 0 && count != 0 && first.checked_add(u64::from(count)).is_some();
    if is_run { Ok(()) } else { Err(Malformed) }
}
