//! A message on its way to a recipient. (PROTOCOL.md, "Frames")

use crate::codec::{Bytes, Field, Malformed, Reader, Writer, varint_len, zigzag};
use crate::data::message::{Past, Taken};
use crate::wire::kind;
use crate::wire::limits::MAX_ALIASES;
use core::fmt;

fields! {
    /// The sender of a delivery: one life of a client.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Origin {
        /// The client.
        pub uuid: [u8; 16],
        /// Its life.
        pub boot: u64 = raw_u64,
    }
}

/// What a recipient must know of the past of a delivery that may be a repetition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryPast {
    /// It was written to a link, no more is known.
    Sent,
    /// No session matched at first.
    Parked,
    /// It was accepted for some session, in that life of the broker, when the newest session had that number.
    Taken {
        /// The life of the broker.
        epoch: u64,
        /// The newest session number.
        session: u64,
        /// True if *accepted* answered the first sending.
        answered_first: bool,
    },
}

impl From<Past> for DeliveryPast {
    fn from(past: Past) -> Self {
        match past {
            Past::Sent => Self::Sent,
            Past::Parked => Self::Parked,
            Past::Taken(Taken { epoch, session, answered_first, .. }) => {
                Self::Taken { epoch, session, answered_first }
            }
        }
    }
}

impl DeliveryPast {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match reader.u8()? {
            0 => Self::Sent,
            1 => Self::Parked,
            2 => Self::Taken {
                epoch: reader.raw_u64()?,
                session: reader.u64()?,
                answered_first: reader.bool()?,
            },
            _ => return Err(Malformed),
        })
    }

    fn len(&self) -> usize {
        match *self {
            Self::Sent | Self::Parked => 1,
            Self::Taken { session, .. } => 1 + 8 + varint_len(session) + 1,
        }
    }

    fn write(&self, writer: &mut Writer<'_>) {
        match *self {
            Self::Sent => writer.u8(0),
            Self::Parked => writer.u8(1),
            Self::Taken { epoch, session, answered_first } => {
                writer.u8(2);
                writer.raw_u64(epoch);
                writer.u64(session);
                writer.u8(u8::from(answered_first));
            }
        }
    }
}

/// A message on its way to a recipient.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Deliver<'a> {
    /// The alias of the sender on this link.
    pub alias: u8,
    /// The sender, if the alias is new or gets another meaning.
    pub define: Option<Origin>,
    /// The id, less that of the delivery before under this alias (0 before the first); wraps round.
    pub id_step: i64,
    /// What the sender knew about it before, if it may be a repetition.
    pub retry: Option<DeliveryPast>,
    /// True if it was parked before, so it may come out of order.
    pub late: bool,
    /// True if it is for this UUID, not for a filter.
    pub direct: bool,
    /// The content: the rest of the frame.
    pub payload: &'a [u8],
}

/// The most bytes of a delivery besides its payload.
pub const MAX_DELIVER_HEAD: usize = 2 + 24 + 10 + MAX_PAST;
const MAX_PAST: usize = 1 + 8 + 10 + 1;

/// With the size of the payload in place of the payload.
impl fmt::Debug for Deliver<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deliver")
            .field("alias", &self.alias)
            .field("define", &self.define)
            .field("id_step", &self.id_step)
            .field("retry", &self.retry)
            .field("late", &self.late)
            .field("direct", &self.direct)
            .field("payload", &Bytes(self.payload.len()))
            .finish()
    }
}

impl Deliver<'_> {
    /// How many bytes it has besides the payload.
    #[inline]
    pub fn head_len(&self) -> usize {
        let define = if self.define.is_some() { 24 } else { 0 };
        let retry = self.retry.as_ref().map_or(0, DeliveryPast::len);
        2 + define + varint_len(zigzag(self.id_step)) + retry
    }

    /// Writes everything but the payload.
    pub fn write_head(&self, writer: &mut Writer<'_>) {
        let mut first = kind::DELIVER;
        if self.define.is_some() {
            first |= kind::DELIVER_DEFINES;
        }
        if self.retry.is_some() {
            first |= kind::DELIVER_RETRY;
        }
        if self.late {
            first |= kind::DELIVER_LATE;
        }
        if self.direct {
            first |= kind::DELIVER_DIRECT;
        }
        writer.u8(first);
        writer.u8(self.alias);
        if let Some(origin) = self.define {
            origin.write(writer);
        }
        writer.i64(self.id_step);
        if let Some(past) = self.retry {
            past.write(writer);
        }
    }
}

pub(super) fn read_deliver<'a>(frame_kind: u8, reader: &mut Reader<'a>) -> Result<Deliver<'a>, Malformed> {
    let flag = |flag: u8| frame_kind & flag != 0;
    let alias = reader.u8()?;
    if u16::from(alias) >= MAX_ALIASES {
        return Err(Malformed);
    }
    let define = if flag(kind::DELIVER_DEFINES) { Some(Origin::read(reader)?) } else { None };
    let id_step = reader.i64()?;
    let retry = if flag(kind::DELIVER_RETRY) { Some(DeliveryPast::read(reader)?) } else { None };
    let (late, direct) = (flag(kind::DELIVER_LATE), flag(kind::DELIVER_DIRECT));
    Ok(Deliver { alias, define, id_step, retry, late, direct, payload: reader.rest() })
}
