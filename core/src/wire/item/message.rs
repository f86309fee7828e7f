//! A message on its way to the broker. (PROTOCOL.md, "Frames")

use crate::codec::{Bytes, Malformed, Reader, Writer};
use crate::data::destination::DestinationRef;
use crate::data::message::Past;
use crate::wire::kind;
use crate::wire::limits::MAX_SLOTS;
use core::fmt;

/// A message on its way to the broker.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MessageItem<'a> {
    /// The alias of the destination on this link.
    pub slot: u8,
    /// The destination, if the alias is new or gets another meaning.
    pub define: Option<DestinationRef<'a>>,
    /// The id, less that of the message before on this link (0 before the first).
    pub id_step: u64,
    /// How much longer it may wait, in milliseconds.
    pub time_to_live_ms: u32,
    /// What its sender knows about it, if it is sent again on another session.
    pub retry: Option<Past>,
    /// True if *accepted* is the final receipt.
    pub until_accepted: bool,
    /// The content: the rest of the frame.
    pub payload: &'a [u8],
}

/// With the size of the payload in place of the payload.
impl fmt::Debug for MessageItem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("slot", &self.slot)
            .field("define", &self.define)
            .field("id_step", &self.id_step)
            .field("time_to_live_ms", &self.time_to_live_ms)
            .field("retry", &self.retry)
            .field("until_accepted", &self.until_accepted)
            .field("payload", &Bytes(self.payload.len()))
            .finish()
    }
}

impl<'a> MessageItem<'a> {
    /// Writes everything but the payload.
    pub fn write_head(&self, writer: &mut Writer<'_>) {
        let pieces = self.define.map(|destination| core::iter::once(destination.as_bytes()));
        self.write_head_with(writer, pieces);
    }

    /// The same if the destination lies in pieces; `define` is not looked at.
    pub fn write_head_with<'p>(
        &self,
        writer: &mut Writer<'_>,
        define: Option<impl Iterator<Item = &'p [u8]>>,
    ) {
        let mut first = kind::MESSAGE;
        if define.is_some() {
            first |= kind::MESSAGE_DEFINES;
        }
        if self.retry.is_some() {
            first |= kind::MESSAGE_RETRY;
        }
        if self.until_accepted {
            first |= kind::MESSAGE_UNTIL_ACCEPTED;
        }
        writer.u8(first);
        writer.u8(self.slot);
        if let Some(pieces) = define {
            pieces.for_each(|piece| writer.raw(piece));
        }
        writer.u64(self.id_step);
        writer.u32(self.time_to_live_ms);
        if let Some(past) = self.retry {
            past.write(writer);
        }
    }
}

pub(super) fn read_message<'a>(
    frame_kind: u8,
    reader: &mut Reader<'a>,
) -> Result<MessageItem<'a>, Malformed> {
    let flag = |flag: u8| frame_kind & flag != 0;
    let slot = reader.u8()?;
    if slot >= MAX_SLOTS {
        return Err(Malformed);
    }
    let define = if flag(kind::MESSAGE_DEFINES) { Some(DestinationRef::read(reader)?) } else { None };
    let id_step = reader.u64()?;
    if id_step == 0 {
        return Err(Malformed);
    }
    let time_to_live_ms = reader.u32()?;
    let retry = if flag(kind::MESSAGE_RETRY) { Some(Past::read(reader)?) } else { None };
    let until_accepted = flag(kind::MESSAGE_UNTIL_ACCEPTED);
    Ok(MessageItem { slot, define, id_step, time_to_live_ms, retry, until_accepted, payload: reader.rest() })
}
