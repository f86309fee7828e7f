//! The aliases of destinations on a link. (PROTOCOL.md, "Sender")

use super::memory::{Cutter, Table, record};
use super::outbox::{Outbound, Outbox};
use crate::bug::OrBug;

record! {
    LENGTH: u16,
    /// The destination follows.
    => DESTINATION
}

/// The destinations that the broker knows by alias on this link.
#[derive(Clone, Debug)]
pub(super) struct Slots {
    table: Table,
    limit: u8,
    used: u8,
    next: u8,
    last: u8,
}

impl Slots {
    pub(super) fn new(cutter: &mut Cutter, slots: u8, destination_bytes: u16) -> Self {
        let table = cutter.table(DESTINATION + usize::from(destination_bytes), u32::from(slots));
        Self { table, limit: 0, used: 0, next: 0, last: 0 }
    }

    /// The longest destination in bytes.
    pub(super) fn max_destination(&self) -> u16 {
        // The table was cut for a length of as many bits.
        self.table.bytes_from(DESTINATION) as u16
    }

    /// A new link: no alias means anything.
    pub(super) fn start_link(&mut self) {
        (self.used, self.next, self.last) = (0, 0, 0);
    }

    /// The broker knows so many.
    pub(super) fn limit(&mut self, slots: u8) {
        // There are at most 16.
        self.limit = slots.min(self.table.count() as u8).max(1);
    }

    /// The alias of an entry's destination, and whether it has to be defined.
    #[inline]
    pub(super) fn choose(&mut self, m: &mut [u8], outbox: &Outbox, entry: &Outbound) -> (u8, bool) {
        // Most often it is that of the message before.
        let (mut slot, mut others) = (self.last, 0..self.used);
        while slot < self.used {
            if self.is(m, slot, outbox, entry) {
                self.last = slot;
                return (slot, false);
            }
            slot = others.next().unwrap_or(self.used);
        }
        self.define(m, outbox, entry)
    }

    /// True if an alias means an entry's destination.
    #[inline]
    fn is(&self, m: &[u8], slot: u8, outbox: &Outbox, entry: &Outbound) -> bool {
        let front = self.table.bytes(m, u32::from(slot), 0).split_first_chunk::<DESTINATION>();
        let Some((length, mut bytes)) = front.or_bug("a slot has no length") else { return false };
        LENGTH.of(length) == entry.destination && {
            let is_next = |piece| bytes.strip_prefix(piece).map(|rest| bytes = rest).is_some();
            outbox.pieces(m, entry, 0, entry.destination()).all(is_next)
        }
    }

    /// Gives an entry's destination an alias.
    fn define(&mut self, m: &mut [u8], outbox: &Outbox, entry: &Outbound) -> (u8, bool) {
        if self.table.count() == 0 {
            // Each message contains its destination.
            return (0, true);
        }
        let slot = self.next;
        self.next = if slot + 1 < self.limit { slot + 1 } else { 0 };
        self.used = self.used.max(slot + 1);
        self.last = slot;
        // A destination is at most as long as a slot; the client has checked that.
        self.table.set(m, u32::from(slot), LENGTH, entry.destination);
        let to = self.table.range(u32::from(slot), DESTINATION).start;
        outbox.copy_destination(m, entry, to);
        (slot, true)
    }
}
