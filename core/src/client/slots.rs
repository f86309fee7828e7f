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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;
    use crate::{Destination, Message};

    #[test]
    fn a_destination_is_defined_once_until_its_alias_means_another() {
        let mut cutter = Cutter::default();
        let mut outbox = Outbox::new(&mut cutter, 4, 1 << 10);
        let mut slots = Slots::new(&mut cutter, 3, 40);
        assert_eq!(slots.max_destination(), 40);
        let mut m = std::vec![0; cutter.used()];
        outbox.format(&mut m);
        let entries = [1, 2, 3].map(|n| {
            let to = Destination::from(uuid::Uuid::from_u128(n));
            outbox.push_message(&mut m, Instant::default(), &Message::new(&to, b""), 0, |_| {}).unwrap();
            let entry = outbox.next_outbound(&m).unwrap();
            outbox.begin(&mut m, entry.index, n as u64).unwrap();
            entry
        });
        slots.limit(2);
        let mut choose = |slots: &mut Slots, n: usize| slots.choose(&mut m, &outbox, &entries[n]);
        assert_eq!(
            [0, 1, 0, 1].map(|n| choose(&mut slots, n)),
            [(0, true), (1, true), (0, false), (1, false)]
        );
        assert_eq!(
            [2, 1, 0].map(|n| choose(&mut slots, n)),
            [(0, true), (1, false), (1, true)],
            "two at a time"
        );
        slots.start_link();
        assert_eq!(choose(&mut slots, 2), (0, true), "no alias survives its link");
    }
}
