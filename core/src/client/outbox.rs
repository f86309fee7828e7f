//! The items of the application, in their order: messages until they are answered, and changes of attributes until the
//! broker has acknowledged them.
//!
//! Entries form a list in that order; their bytes lie in chains of blocks, so that one old entry never stands in the
//! way of new ones. A *cursor* parts what was written in this session from what was not. An entry that was answered
//! stays until its receipt was polled and its number is acknowledged, because the same number may have to be
//! written again. (PROTOCOL.md, "Sender")

use super::blocks::{Blocks, Filler};
use super::entry::{
    ACCEPTED, ANSWERED_FIRST, DEADLINE, DESTINATION, ENDED, EPOCH, FIRST_BLOCK, FLAGS, ID, IN_EVENTS, IS_SET,
    NEXT, NUMBER, PARKED, PAYLOAD, PREVIOUS, RECIPIENTS, RETRY, Record, SESSION, STRIDE, UNTIL_ACCEPTED,
    WRITTEN, is_over,
};
use super::memory::{Cutter, NONE, Table};
use crate::bug::OrBug;
use crate::data::message::{Message, MessageId, Past, RefusalReason, Retain, Taken};
use crate::error::{SendError, SetError};
use crate::time::{Instant, Moment, millis_rounded_up};

/// An index of the lists means an entry.
pub(super) const NO_ENTRY: &str = "an entry of the outbox has no record";

/// What the outbox is made of.
#[derive(Clone, Debug)]
pub(super) struct Outbox {
    pub(super) entries: Table,
    blocks: Blocks,
    free_entry: u32,
    free_entries: u32,
    pub(super) head: u32,
    tail: u32,
    /// The first entry that was not written in this session; `NONE` where all were.
    cursor: u32,
    /// The first entry whose number is not known to be acknowledged.
    unacknowledged: u32,
    pub(super) acknowledged: u64,
    /// So many numbers are to be acknowledged until the last one is under which a message was repeated whose receipt
    /// crossed it.
    pub(super) acked_by_receipt: u32,
    /// Where the last receipt was found: the next one is most likely right behind, or right in front.
    pub(super) receipt_hint: u32,
    pub(super) first_event: u32,
    pub(super) last_event: u32,
    next_id: u64,
    /// How many blocks the largest refused entry needs; 0 if none was refused.
    refused_blocks: u32,
    /// No message that can end here has an earlier deadline.
    pub(super) earliest: Moment,
    /// From entry to entry, to find messages that were answered.
    #[cfg(test)]
    pub(super) steps: usize,
}

/// An entry that is to be written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outbound {
    pub(super) index: u32,
    /// How many bytes it has of each.
    pub(super) payload: u32,
    pub(super) destination: u16,
    /// As they are now: an answer that comes while it is being written must not change it.
    flags: u16,
    /// Where its bytes begin.
    first_block: u32,
}

/// A new entry.
struct New {
    id: u64,
    flags: u16,
    deadline: u64,
    destination: usize,
    payload: usize,
}

impl Outbound {
    /// True if it is a change of attributes.
    pub(super) fn is_set(self) -> bool {
        self.flags & IS_SET != 0
    }

    /// True if *accepted* is the final receipt.
    pub(super) fn until_accepted(self) -> bool {
        self.flags & UNTIL_ACCEPTED != 0
    }

    /// How many bytes the payload of a message has.
    pub(super) fn payload(self) -> usize {
        self.payload as usize
    }

    /// How many bytes the destination has.
    pub(super) fn destination(self) -> usize {
        usize::from(self.destination)
    }
}

impl Outbox {
    pub(super) fn new(cutter: &mut Cutter, messages: u32, bytes: u32) -> Self {
        Self {
            entries: cutter.table(STRIDE, messages),
            blocks: Blocks::new(cutter, bytes),
            free_entry: NONE,
            free_entries: 0,
            head: NONE,
            tail: NONE,
            cursor: NONE,
            unacknowledged: NONE,
            acknowledged: 0,
            acked_by_receipt: 0,
            receipt_hint: NONE,
            first_event: NONE,
            last_event: NONE,
            next_id: 1,
            refused_blocks: 0,
            earliest: Moment::NEVER,
            #[cfg(test)]
            steps: 0,
        }
    }

    /// Puts everything into the free lists.
    pub(super) fn format(&mut self, m: &mut [u8]) {
        for index in (0..self.entries.count()).rev() {
            self.entries.set(m, index, NEXT, self.free_entry);
            self.free_entry = index;
        }
        self.free_entries = self.entries.count();
        self.blocks.format(m);
    }

    /// Takes a message.
    pub(super) fn push_message(
        &mut self,
        m: &mut [u8],
        now: Instant,
        outgoing: &Message<'_, impl ?Sized>,
        length: usize,
        write: impl FnOnce(&mut Filler<'_>),
    ) -> Result<Option<MessageId>, SendError> {
        let time_to_live = millis_rounded_up(outgoing.time_to_live).min(u64::from(u32::MAX));
        if time_to_live == 0 {
            return Err(SendError::NoTime);
        }
        let destination = outgoing.to.as_bytes();
        if !self.has_room(destination.len() + length) {
            return Err(SendError::Full);
        }
        let id = self.next_id;
        let flags = if outgoing.retain == Retain::Accepted { UNTIL_ACCEPTED } else { 0 };
        let deadline = now.after(time_to_live * 1_000);
        let new = New {
            id,
            flags,
            deadline: deadline.as_micros(),
            destination: destination.len(),
            payload: length,
        };
        let pushed = self.push(m, &new, |filler| {
            filler.put(destination);
            write(filler);
        });
        if pushed.is_none() {
            return Ok(None);
        }
        self.next_id += 1;
        self.watch_deadline(deadline);
        Ok(Some(MessageId(id)))
    }

    /// Takes an item without a receipt, such as a change of attributes: its kind and its fields. It stays until it is
    /// acknowledged, or until a hello covers the changes up to `serial`.
    pub(super) fn push_item(
        &mut self,
        m: &mut [u8],
        kind: u8,
        fields: &[u8],
        serial: u64,
    ) -> Result<(), SetError> {
        let payload = 1 + fields.len();
        if !self.has_room(payload) {
            return Err(SetError::Full);
        }
        let new = New { id: self.next_id - 1, flags: IS_SET, deadline: serial, destination: 0, payload };
        let write = |filler: &mut Filler<'_>| {
            filler.put(&[kind]);
            filler.put(fields);
        };
        self.push(m, &new, write).ok_or(SetError::Full)
    }

    /// True if an entry of that many bytes has room; otherwise [`Outbox::poll_capacity`] reports when it has.
    pub(super) fn has_room(&mut self, length: usize) -> bool {
        let has = self.free_entries > 0 && self.blocks.hold(length);
        if !has {
            self.refused_blocks = self.refused_blocks.max(self.blocks.needed(length)).max(1);
        }
        has
    }

    /// Adds an entry, which has room; `None` if `write` puts in more or less bytes than it is to have.
    fn push(&mut self, m: &mut [u8], new: &New, write: impl FnOnce(&mut Filler<'_>)) -> Option<()> {
        let first_block = self.blocks.fill(m, new.destination + new.payload, write)?;
        let (index, tail) = (self.free_entry, self.tail);
        let entry = self.entry_mut(m, index)?;
        self.free_entry = NEXT.of(entry);
        self.free_entries -= 1;
        ID.put(entry, new.id);
        NUMBER.put(entry, 0);
        DEADLINE.put(entry, new.deadline);
        FIRST_BLOCK.put(entry, first_block);
        PREVIOUS.put(entry, tail);
        NEXT.put(entry, NONE);
        // Both were checked against limits far below these.
        PAYLOAD.put(entry, new.payload as u32);
        DESTINATION.put(entry, new.destination as u16);
        FLAGS.put(entry, new.flags);
        if tail == NONE {
            self.head = index;
        } else {
            self.entries.set(m, tail, NEXT, index);
        }
        self.tail = index;
        for pointer in [&mut self.cursor, &mut self.unacknowledged] {
            if *pointer == NONE {
                *pointer = index;
            }
        }
        Some(())
    }

    /// The bytes of an entry from `skip` on, `length` of them, piece by piece.
    pub(super) fn pieces<'m>(
        &self,
        m: &'m [u8],
        entry: &Outbound,
        skip: usize,
        length: usize,
    ) -> impl Iterator<Item = &'m [u8]> + use<'m> {
        self.blocks.pieces(m, entry.first_block, skip, length)
    }

    /// Copies the destination of an entry to another place in memory.
    pub(super) fn copy_destination(&self, m: &mut [u8], entry: &Outbound, to: usize) {
        self.blocks.copy(m, entry.first_block, entry.destination(), to);
    }

    /// The next entry to be written in this session, if any.
    pub(super) fn next_outbound(&self, m: &[u8]) -> Option<Outbound> {
        let mut index = self.cursor;
        while index != NONE {
            let entry = self.entry(m, index);
            if !is_over(entry) {
                return Some(outbound(index, entry));
            }
            index = NEXT.of(entry);
        }
        None
    }

    /// The entry that was written under that number and is not acknowledged.
    #[cfg(feature = "lossy")]
    pub(super) fn numbered(&self, m: &[u8], number: u64) -> Option<Outbound> {
        let mut index = self.unacknowledged;
        while index != NONE && self.entries.get(m, index, NUMBER) != number {
            index = self.entries.get(m, index, NEXT);
        }
        (index != NONE).then(|| outbound(index, self.entry(m, index)))
    }

    /// True if a repetition that crossed its receipt may not have come, and would have to be written again. The broker
    /// must not forget that it has answered before it has that. (PROTOCOL.md, "Acknowledgement")
    pub(super) fn is_crossed(&self) -> bool {
        self.acked_by_receipt != 0
    }

    /// By how much a number is above what is acknowledged: less than there are entries.
    pub(super) fn ahead(&self, number: u64) -> u32 {
        number.saturating_sub(self.acknowledged).try_into().unwrap_or(u32::MAX)
    }

    /// True if something waits to be written in this session.
    pub(super) fn has_unwritten(&self, m: &[u8]) -> bool {
        self.next_outbound(m).is_some()
    }

    /// The id of a message, and when it expires.
    pub(super) fn id_and_deadline(&self, m: &[u8], entry: Outbound) -> (u64, Instant) {
        let entry = self.entry(m, entry.index);
        (ID.of(entry), Instant::from_micros(DEADLINE.of(entry)))
    }

    /// What is known of an earlier sending, where an entry is sent again.
    pub(super) fn past(&self, m: &[u8], entry: Outbound) -> Option<Past> {
        let Outbound { index, flags, .. } = entry;
        if flags & RETRY == 0 {
            return None;
        }
        Some(if flags & ACCEPTED != 0 {
            let entry = self.entry(m, index);
            // These never change again.
            Past::Taken(Taken {
                recipients: RECIPIENTS.of(entry),
                epoch: EPOCH.of(entry),
                session: SESSION.of(entry),
                answered_first: flags & ANSWERED_FIRST != 0,
            })
        } else if flags & PARKED != 0 {
            Past::Parked
        } else {
            Past::Sent
        })
    }

    /// An entry begins to be written, under that number; what comes behind it is next. `None` if there is no such entry.
    #[inline(always)]
    pub(super) fn begin(&mut self, m: &mut [u8], index: u32, number: u64) -> Option<()> {
        let entry = self.entry_mut(m, index).or_bug(NO_ENTRY)?;
        let flags = FLAGS.of(entry);
        NUMBER.put(entry, number);
        FLAGS.put(entry, flags | WRITTEN);
        self.cursor = NEXT.of(entry);
        Some(())
    }

    /// The session goes on, on a new link: what has a number above `received` is written again.
    pub(super) fn resume(&mut self, m: &[u8], received: u64) {
        self.cursor = self.head;
        while self.cursor != NONE {
            let entry = self.entry(m, self.cursor);
            if !(1..=received).contains(&NUMBER.of(entry)) && !is_over(entry) {
                break;
            }
            self.cursor = NEXT.of(entry);
        }
    }

    /// A new session: everything is to be sent again, what was ever written with the retry mark. Changes of
    /// attributes up to `covered` were in the hello; messages past their deadline end here.
    pub(super) fn restart(&mut self, m: &mut [u8], now: Instant, covered: u64) {
        (self.acknowledged, self.acked_by_receipt) = (0, 0);
        let mut index = self.head;
        while index != NONE {
            let Some(entry) = self.entry_mut(m, index).or_bug(NO_ENTRY) else { break };
            let (next, flags, deadline) = (NEXT.of(entry), FLAGS.of(entry), DEADLINE.of(entry));
            NUMBER.put(entry, 0);
            if flags & IS_SET != 0 {
                if deadline <= covered {
                    self.unlink(m, index);
                }
            } else if flags & ENDED != 0 {
                if flags & IN_EVENTS == 0 {
                    self.unlink(m, index);
                }
            } else {
                if flags & WRITTEN != 0 {
                    FLAGS.put(entry, flags | RETRY);
                }
                if now.as_micros() >= deadline {
                    self.end_here(m, index, RefusalReason::Expired);
                } else {
                    self.watch_deadline(Instant::from_micros(deadline));
                }
            }
            index = next;
        }
        self.cursor = self.head;
        self.unacknowledged = self.head;
    }

    /// The broker has acknowledged up to that number; `released` gets the payload bytes of each message.
    pub(super) fn acknowledge(&mut self, m: &mut [u8], up_to: u64, mut released: impl FnMut(usize)) {
        self.acked_by_receipt = self.acked_by_receipt.saturating_sub(self.ahead(up_to));
        self.acknowledged = up_to;
        while self.unacknowledged != NONE {
            let index = self.unacknowledged;
            let entry = self.entry(m, index);
            let (number, flags, payload) = (NUMBER.of(entry), FLAGS.of(entry), PAYLOAD.of(entry));
            if number > up_to || (number == 0 && !is_over(entry)) {
                break;
            }
            self.unacknowledged = NEXT.of(entry);
            let is_set = flags & IS_SET != 0;
            if number != 0 && !is_set {
                released(payload as usize);
            }
            // A message whose receipt was polled need not be written again.
            if is_set || flags & (ENDED | IN_EVENTS) == ENDED {
                self.unlink(m, index);
            }
        }
    }

    /// True, once, where what was refused for lack of room has room now.
    pub(super) fn poll_capacity(&mut self) -> bool {
        let has = self.has_capacity();
        if has {
            self.refused_blocks = 0;
        }
        has
    }

    /// True if something was refused for lack of room that has room now.
    pub(super) fn has_capacity(&self) -> bool {
        self.refused_blocks > 0 && self.free_entries > 0 && self.blocks.available() >= self.refused_blocks
    }

    /// Frees an entry.
    pub(super) fn unlink(&mut self, m: &mut [u8], index: u32) {
        let free = self.free_entry;
        let Some(entry) = self.entry_mut(m, index).or_bug(NO_ENTRY) else { return };
        let (next, previous, first_block) = (NEXT.of(entry), PREVIOUS.of(entry), FIRST_BLOCK.of(entry));
        NEXT.put(entry, free);
        self.free_entry = index;
        self.free_entries += 1;
        for pointer in [&mut self.cursor, &mut self.unacknowledged] {
            if *pointer == index {
                *pointer = next;
            }
        }
        if self.receipt_hint == index {
            // Receipts that come from the newest message to the oldest find the next one in front.
            self.receipt_hint = if next == NONE { previous } else { next };
        }
        if previous == NONE {
            self.head = next;
        } else {
            self.entries.set(m, previous, NEXT, next);
        }
        if next == NONE {
            self.tail = previous;
        } else {
            self.entries.set(m, next, PREVIOUS, previous);
        }
        self.blocks.free(m, first_block);
    }

    /// The record of an entry.
    pub(super) fn entry<'m>(&self, m: &'m [u8], index: u32) -> &'m Record {
        self.entries.record(m, index)
    }

    /// The same, to be written.
    pub(super) fn entry_mut<'m>(&self, m: &'m mut [u8], index: u32) -> Option<&'m mut Record> {
        self.entries.record_mut(m, index)
    }
}

/// An entry, to be written.
fn outbound(index: u32, entry: &Record) -> Outbound {
    Outbound {
        index,
        payload: PAYLOAD.of(entry),
        destination: DESTINATION.of(entry),
        flags: FLAGS.of(entry),
        first_block: FIRST_BLOCK.of(entry),
    }
}
