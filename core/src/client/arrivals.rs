//! Items of presence that the application has not taken yet, in a ring of records. (PROTOCOL.md, "Presence")

use super::event::{Event, Presence};
use super::memory::{Cutter, Field, Table};
use super::watches::{WatchId, Watches};
use crate::codec::Reader;
use crate::wire::MAX_PRESENCE;
use crate::wire::item::DownItem;
use uuid::Uuid;

/// The number of the item.
const NUMBER: Field<u64> = Field::at(0);
const LENGTH: Field<u16> = Field::at(8);
const BODY: usize = 10;
/// What a record takes, in bytes.
const STRIDE: usize = BODY + MAX_PRESENCE;

/// The ring. Positions count up for ever; a position's record is its remainder.
#[derive(Clone, Debug)]
pub(super) struct Arrivals {
    records: Table,
    /// The oldest that was not taken.
    head: u64,
    /// The next to be lent.
    cursor: u64,
    tail: u64,
}

impl Arrivals {
    pub(super) fn new(cutter: &mut Cutter, count: u16) -> Self {
        Self { records: cutter.table(STRIDE, u32::from(count)), head: 0, cursor: 0, tail: 0 }
    }

    fn index(&self, position: u64) -> u32 {
        (position % u64::from(self.records.count())) as u32
    }

    /// Takes in the body of a frame; false where there is no room, which is the broker's fault.
    pub(super) fn push(&mut self, m: &mut [u8], number: u64, body: &[u8]) -> bool {
        if self.tail - self.head >= u64::from(self.records.count()) {
            return false;
        }
        let index = self.index(self.tail);
        let Some(room) = self.records.bytes_mut(m, index, BODY).get_mut(..body.len()) else { return false };
        room.copy_from_slice(body);
        self.records.set(m, index, NUMBER, number);
        // At most `MAX_PRESENCE`.
        self.records.set(m, index, LENGTH, body.len() as u16);
        self.tail += 1;
        true
    }

    /// True where something waits to be lent that the application still wants.
    pub(super) fn has_wanted(&self, m: &[u8], watches: &Watches) -> bool {
        (self.cursor..self.tail).any(|position| self.event(m, watches, position).is_some())
    }

    /// The next item that the application still wants. Everything that was lent before is taken with that.
    pub(super) fn lend<'m>(&mut self, m: &'m [u8], watches: &Watches) -> Option<Event<'m>> {
        self.head = self.cursor;
        while self.cursor < self.tail {
            let position = self.cursor;
            self.cursor += 1;
            if let Some(event) = self.event(m, watches, position) {
                return Some(event);
            }
            self.head = self.cursor;
        }
        None
    }

    fn event<'m>(&self, m: &'m [u8], watches: &Watches, position: u64) -> Option<Event<'m>> {
        let index = self.index(position);
        let length = usize::from(self.records.get(m, index, LENGTH));
        let mut reader = Reader::new(self.records.bytes(m, index, BODY).get(..length)?);
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

    /// The application has taken everything that was lent.
    pub(super) fn take_lent(&mut self) {
        self.head = self.cursor;
    }

    /// The last item that may be acknowledged where all up to `received` are here.
    pub(super) fn acknowledged(&self, m: &[u8], received: u64) -> u64 {
        if self.head == self.tail {
            return received;
        }
        received.min(self.records.get(m, self.index(self.head), NUMBER) - 1)
    }

    /// A new session: what was told in an earlier one is told again.
    pub(super) fn start_session(&mut self) {
        (self.head, self.cursor) = (self.tail, self.tail);
    }
}
