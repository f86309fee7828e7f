//! Items of presence that the application has not consumed yet, in a ring of records. (PROTOCOL.md, "Presence")

use super::watches::Watches;
use crate::bug::OrBug;
use crate::client::event::{Event, Presence, WatchId};
use crate::client::memory::{Cutter, Table, record};
use crate::codec::Reader;
use crate::wire::item::DownItem;
use crate::wire::limits::MAX_PRESENCE;
use uuid::Uuid;

record! {
    /// The number of the item.
    NUMBER: u64,
    LENGTH: u16,
    /// The body of the frame follows.
    => BODY
}

/// The size of a record in bytes.
const STRIDE: usize = BODY + MAX_PRESENCE;

/// The ring.
#[derive(Clone, Debug)]
pub(super) struct Arrivals {
    records: Table,
    /// The record of the oldest item.
    first: u32,
    /// The number of items, and of those that the application has peeked at.
    count: u32,
    peeked: u32,
}

impl Arrivals {
    /// Cuts the ring, in the part of memory that is payloads, which begins at `base`.
    pub(super) fn new(cutter: &mut Cutter, count: u16, base: usize) -> Self {
        let records = cutter.table(STRIDE, u32::from(count)).rebased(base);
        Self { records, first: 0, count: 0, peeked: 0 }
    }

    /// How many may wait.
    pub(super) fn most(&self) -> u16 {
        // That is what the table was cut for.
        self.records.count() as u16
    }

    /// The record of the `n`-th item.
    fn index(&self, n: u32) -> u32 {
        self.records.ring(self.first + n)
    }

    /// Adds the body of a frame; false if it has no room, which is the broker's fault.
    pub(super) fn push(&mut self, payloads: &mut [u8], number: u64, body: &[u8]) -> bool {
        if self.count >= self.records.count() {
            return false;
        }
        let index = self.index(self.count);
        let room = self.records.bytes_mut(payloads, index, BODY).get_mut(..body.len());
        let Some(room) = room.or_bug("a frame of presence is larger than the largest") else { return false };
        room.copy_from_slice(body);
        self.records.set(payloads, index, NUMBER, number);
        // At most `MAX_PRESENCE`.
        self.records.set(payloads, index, LENGTH, body.len() as u16);
        self.count += 1;
        true
    }

    /// True if an item waits that the application still wants.
    pub(super) fn has_wanted(&self, m: &[u8], payloads: &[u8], watches: &Watches) -> bool {
        (self.peeked..self.count).any(|n| self.event(m, payloads, watches, n).is_some())
    }

    /// The next item, if the application still wants it: call [`consume_peeked`](Self::consume_peeked) first.
    #[inline]
    pub(super) fn peek<'m>(&mut self, m: &[u8], payloads: &'m [u8], watches: &Watches) -> Option<Event<'m>> {
        if self.peeked >= self.count {
            return None;
        }
        let event = self.event(m, payloads, watches, self.peeked);
        self.peeked += u32::from(event.is_some());
        event
    }

    fn event<'m>(&self, m: &[u8], payloads: &'m [u8], watches: &Watches, n: u32) -> Option<Event<'m>> {
        if n >= self.count {
            return None;
        }
        let index = self.index(n);
        let length = usize::from(self.records.get(payloads, index, LENGTH));
        let mut reader = Reader::new(self.records.bytes(payloads, index, BODY).get(..length)?);
        let kind = reader.u8().ok()?;
        let (watch, event) = match DownItem::read(kind, &mut reader).ok()? {
            DownItem::Presence(watch, uuid, state, attributes) => {
                let (watch, uuid) = (WatchId(watch), Uuid::from_bytes(uuid));
                (watch, Event::Presence(Presence { watch, uuid, state, attributes }))
            }
            DownItem::PresenceReset(watch) => (WatchId(watch), Event::PresenceReset(WatchId(watch))),
            DownItem::PresenceSynced(watch) => (WatchId(watch), Event::PresenceSynced(WatchId(watch))),
            // Nothing else is put there.
            _ => return None,
        };
        watches.wants(m, watch).then_some(event)
    }

    /// The application has consumed what it peeked at; items that it no longer wants go with that.
    #[inline]
    pub(super) fn consume_peeked(&mut self, m: &[u8], payloads: &[u8], watches: &Watches) {
        if self.count > 0 {
            self.consume(m, payloads, watches);
        }
    }

    fn consume(&mut self, m: &[u8], payloads: &[u8], watches: &Watches) {
        while self.peeked < self.count && self.event(m, payloads, watches, self.peeked).is_none() {
            self.peeked += 1;
        }
        self.first = self.index(self.peeked);
        self.count -= self.peeked;
        self.peeked = 0;
    }

    /// The last item that may be acknowledged if all up to `received` have come.
    pub(super) fn acknowledged(&self, payloads: &[u8], received: u64) -> u64 {
        if self.count == 0 {
            return received;
        }
        received.min(self.records.get(payloads, self.first, NUMBER) - 1)
    }

    /// A new session, in which all presence comes again.
    pub(super) fn start_session(&mut self) {
        (self.count, self.peeked) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Writer;
    use crate::data::filter::Filter;

    #[test]
    fn items_are_acknowledged_as_they_are_consumed_and_unwanted_ones_go_with_them() {
        let mut cutter = Cutter::default();
        let mut watches = Watches::new(&mut cutter, 2, 16);
        let mut arrivals = Arrivals::new(&mut cutter, 3, 0);
        let mut m = std::vec![0; cutter.used()];
        let mut payloads = m.clone();
        let (wanted, ended) = [(); 2].map(|()| watches.watch(&mut m, &Filter::everyone()).unwrap()).into();
        for (number, watch) in [(5, wanted), (6, ended), (8, wanted)] {
            let mut body = [0; 16];
            let mut writer = Writer::new(&mut body, 0);
            DownItem::PresenceReset(watch.0).write(&mut writer);
            let length = writer.total();
            assert!(arrivals.push(&mut payloads, number, &body[..length]));
        }
        assert!(!arrivals.push(&mut payloads, 9, &[0]), "there are three records");
        watches.unwatch(&mut m, ended);
        let peek = |arrivals: &mut Arrivals| {
            arrivals.consume_peeked(&m, &payloads, &watches);
            let has_wanted = arrivals.has_wanted(&m, &payloads, &watches);
            let event = arrivals.peek(&m, &payloads, &watches);
            assert_eq!(event.is_some(), has_wanted);
            (event, arrivals.acknowledged(&payloads, 8))
        };
        assert_eq!(peek(&mut arrivals), (Some(Event::PresenceReset(wanted)), 4));
        assert_eq!(peek(&mut arrivals), (Some(Event::PresenceReset(wanted)), 7), "one watch has ended");
        assert_eq!(peek(&mut arrivals), (None, 8));
    }
}
