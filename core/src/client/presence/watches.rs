//! The filters that a client watches: a few records, each of which knows what the broker knows of it.
//! (PROTOCOL.md, "Presence")

use crate::client::event::WatchId;
use crate::client::memory::{Cutter, Table, record};
use crate::codec::Reader;
use crate::data::filter::{Filter, FilterRef};
use crate::data::message::RefusalReason;
use crate::error::WatchError;

record! {
    NUMBER: u32,
    STAGE: u8,
    LENGTH: u16,
    /// The number of the last item that was written about the watch.
    ITEM: u64,
    REASON: u8,
    /// The filter follows.
    => FILTER
}

/// What the broker knows of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Stage {
    /// No watch at all.
    Free = 0,
    /// WATCH is to be written.
    Wanted = 1,
    /// WATCH was written and is not acknowledged.
    Asked = 2,
    /// The broker has it.
    Active = 3,
    /// As asked; but it is no longer wanted.
    AskedInVain = 4,
    /// The broker has it, and UNWATCH is to be written.
    Unwanted = 5,
    /// UNWATCH was written and is not acknowledged.
    Leaving = 6,
    /// The broker refused it, and the application does not know yet.
    Refused = 7,
    /// The same, and that it has the WATCH at all is not acknowledged: that word was lost or comes later.
    AskedRefused = 8,
}

impl Stage {
    const ALL: [Self; 9] = [
        Self::Free,
        Self::Wanted,
        Self::Asked,
        Self::Active,
        Self::AskedInVain,
        Self::Unwanted,
        Self::Leaving,
        Self::Refused,
        Self::AskedRefused,
    ];

    /// True if the application wants what comes under it.
    fn is_wanted(self) -> bool {
        matches!(self, Self::Wanted | Self::Asked | Self::Active)
    }
}

/// An item about a watch: its record, and whether it begins or ends the watch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WatchOp {
    pub(super) index: u32,
    pub(super) number: u32,
    pub(super) is_wanted: bool,
}

/// The records.
#[derive(Clone, Debug)]
pub(super) struct Watches {
    table: Table,
    max_filter: u16,
    /// How many records at the front were ever used.
    used: u8,
    last: u32,
}

impl Watches {
    pub(super) fn new(cutter: &mut Cutter, count: u8, max_filter: u16) -> Self {
        let table = cutter.table(FILTER + usize::from(max_filter), u32::from(count));
        Self { table, max_filter, used: 0, last: 0 }
    }

    /// True if a filter was ever watched.
    #[inline]
    pub(super) fn is_used(&self) -> bool {
        self.used > 0
    }

    fn indices(&self) -> core::ops::Range<u32> {
        0..u32::from(self.used)
    }

    fn stage(&self, m: &[u8], index: u32) -> Stage {
        let code = usize::from(self.table.get(m, index, STAGE));
        Stage::ALL.get(code).copied().unwrap_or(Stage::Free)
    }

    fn set(&self, m: &mut [u8], index: u32, stage: Stage) {
        self.table.set(m, index, STAGE, stage as u8);
    }

    fn find(&self, m: &[u8], number: u32) -> Option<u32> {
        let is_it =
            |&index: &u32| self.stage(m, index) != Stage::Free && self.table.get(m, index, NUMBER) == number;
        self.indices().find(is_it)
    }

    pub(super) fn watch(&mut self, m: &mut [u8], filter: &Filter) -> Result<WatchId, WatchError> {
        let bytes = filter.as_ref().as_bytes();
        if bytes.len() > usize::from(self.max_filter) {
            return Err(WatchError::FilterTooLong { max: self.max_filter });
        }
        let free = self.indices().find(|&index| self.stage(m, index) == Stage::Free);
        let index = free.unwrap_or(u32::from(self.used));
        if index >= self.table.count() {
            return Err(WatchError::TooMany);
        }
        // The table was cut for a count of as many bits.
        self.used = self.used.max(index as u8 + 1);
        // Numbers come round after four thousand million watches.
        self.last = self.last.wrapping_add(1);
        self.table.set(m, index, NUMBER, self.last);
        // At most `max_filter`.
        self.table.set(m, index, LENGTH, bytes.len() as u16);
        if let Some(room) = self.table.bytes_mut(m, index, FILTER).get_mut(..bytes.len()) {
            room.copy_from_slice(bytes);
        }
        self.set(m, index, Stage::Wanted);
        Ok(WatchId(self.last))
    }

    pub(super) fn unwatch(&self, m: &mut [u8], id: WatchId) {
        // It has ended already.
        let Some(index) = self.find(m, id.0) else { return };
        let next = match self.stage(m, index) {
            Stage::Wanted | Stage::Refused => Stage::Free,
            Stage::Asked => Stage::AskedInVain,
            Stage::Active => Stage::Unwanted,
            Stage::AskedRefused => Stage::Leaving,
            unwanted => unwanted,
        };
        self.set(m, index, next);
    }

    /// True if the application wants what comes under it.
    pub(super) fn wants(&self, m: &[u8], watch: WatchId) -> bool {
        self.find(m, watch.0).is_some_and(|index| self.stage(m, index).is_wanted())
    }

    /// The next item that was never written.
    #[inline(never)] // It is asked for with each item, and most clients watch nothing.
    pub(super) fn next_op(&self, m: &[u8]) -> Option<WatchOp> {
        let is_unsent = |&index: &u32| matches!(self.stage(m, index), Stage::Wanted | Stage::Unwanted);
        let index = self.indices().filter(is_unsent).min_by_key(|&index| self.table.get(m, index, NUMBER))?;
        Some(self.op(m, index))
    }

    /// The item that was written under that number.
    pub(super) fn sent_as(&self, m: &[u8], item: u64) -> Option<WatchOp> {
        let is_sent = |&index: &u32| {
            matches!(
                self.stage(m, index),
                Stage::Asked | Stage::AskedInVain | Stage::AskedRefused | Stage::Leaving
            ) && self.table.get(m, index, ITEM) == item
        };
        self.indices().find(is_sent).map(|index| self.op(m, index))
    }

    fn op(&self, m: &[u8], index: u32) -> WatchOp {
        let is_wanted = !matches!(self.stage(m, index), Stage::Unwanted | Stage::Leaving);
        WatchOp { index, number: self.table.get(m, index, NUMBER), is_wanted }
    }

    /// The filter of a watch.
    pub(super) fn filter<'m>(&self, m: &'m [u8], op: WatchOp) -> Option<FilterRef<'m>> {
        let length = usize::from(self.table.get(m, op.index, LENGTH));
        let bytes = self.table.bytes(m, op.index, FILTER).get(..length)?;
        FilterRef::read(&mut Reader::new(bytes)).ok()
    }

    /// An item is written, under that number.
    pub(super) fn note_sent(&self, m: &mut [u8], op: WatchOp, item: u64) {
        self.table.set(m, op.index, ITEM, item);
        self.set(m, op.index, if op.is_wanted { Stage::Asked } else { Stage::Leaving });
    }

    /// The broker has acknowledged items up to that number.
    pub(super) fn acknowledge(&self, m: &mut [u8], up_to: u64) {
        for index in self.indices() {
            let next = match self.stage(m, index) {
                Stage::Asked => Stage::Active,
                Stage::AskedInVain => Stage::Unwanted,
                Stage::AskedRefused => Stage::Refused,
                Stage::Leaving => Stage::Free,
                _ => continue,
            };
            if self.table.get(m, index, ITEM) <= up_to {
                self.set(m, index, next);
            }
        }
    }

    /// A new session, which watches nothing yet.
    pub(super) fn start_session(&self, m: &mut [u8]) {
        for index in self.indices() {
            let next = match self.stage(m, index) {
                Stage::Wanted | Stage::Asked | Stage::Active => Stage::Wanted,
                Stage::Free | Stage::AskedInVain | Stage::Unwanted | Stage::Leaving => Stage::Free,
                Stage::Refused | Stage::AskedRefused => Stage::Refused,
            };
            self.set(m, index, next);
        }
    }

    /// The broker refuses that watch; false if it cannot, as things are.
    pub(super) fn refuse(&self, m: &mut [u8], number: u32, reason: RefusalReason) -> bool {
        // It has ended here meanwhile.
        let Some(index) = self.find(m, number) else { return true };
        // That its number may be used again is known by the acknowledgement only.
        self.table.set(m, index, REASON, reason as u8);
        match self.stage(m, index) {
            Stage::Active => self.set(m, index, Stage::Refused),
            Stage::Asked => self.set(m, index, Stage::AskedRefused),
            Stage::AskedInVain => self.set(m, index, Stage::Leaving),
            Stage::Unwanted => self.set(m, index, Stage::Free),
            // That it goes is under way already.
            Stage::Leaving => {}
            Stage::Free | Stage::Wanted | Stage::Refused | Stage::AskedRefused => return false,
        }
        true
    }

    pub(super) fn has_refused(&self, m: &[u8]) -> bool {
        self.indices().any(|index| self.stage(m, index) == Stage::Refused)
    }

    /// The next watch that was refused; it is forgotten with that.
    pub(super) fn poll_refused(&self, m: &mut [u8]) -> Option<(WatchId, RefusalReason)> {
        let index = self.indices().find(|&index| self.stage(m, index) == Stage::Refused)?;
        self.set(m, index, Stage::Free);
        // Only codes of reasons are put there.
        let reason =
            RefusalReason::from_code(self.table.get(m, index, REASON)).unwrap_or(RefusalReason::NotAllowed);
        Some((WatchId(self.table.get(m, index, NUMBER)), reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn watches() -> (Watches, Vec<u8>) {
        let mut cutter = Cutter::default();
        let watches = Watches::new(&mut cutter, 2, 16);
        (watches, std::vec![0; cutter.used()])
    }

    /// Writes the next item under that number: the watch, and whether it begins.
    fn write(watches: &Watches, m: &mut [u8], number: u64) -> Option<(u32, bool)> {
        let op = watches.next_op(m)?;
        watches.note_sent(m, op, number);
        let again = watches.sent_as(m, number).unwrap();
        assert_eq!((again.number, again.is_wanted), (op.number, op.is_wanted), "it can be written again");
        Some((op.number, op.is_wanted))
    }

    #[test]
    fn a_watch_is_begun_and_ended_once_and_its_place_is_free_only_then() {
        let (mut watches, mut m) = watches();
        let first = watches.watch(&mut m, &Filter::everyone()).unwrap();
        let second = watches.watch(&mut m, &Filter::everyone()).unwrap();
        assert_eq!(watches.watch(&mut m, &Filter::everyone()), Err(WatchError::TooMany));
        assert_eq!([1, 2].map(|n| write(&watches, &mut m, n)), [Some((1, true)), Some((2, true))]);
        watches.unwatch(&mut m, first);
        assert!(!watches.wants(&m, first) && watches.wants(&m, second));
        assert_eq!(write(&watches, &mut m, 3), None, "its beginning is under way");
        watches.acknowledge(&mut m, 1);
        assert_eq!(write(&watches, &mut m, 3), Some((1, false)));
        assert_eq!(watches.watch(&mut m, &Filter::everyone()), Err(WatchError::TooMany));
        watches.acknowledge(&mut m, 3);
        assert_eq!(
            watches.watch(&mut m, &Filter::everyone()),
            Ok(WatchId(3)),
            "a number is never used again"
        );
        watches.start_session(&mut m);
        assert_eq!([1, 2].map(|n| write(&watches, &mut m, n)), [Some((2, true)), Some((3, true))]);
    }

    #[test]
    fn a_refused_watch_is_reported_once_its_beginning_is_acknowledged() {
        let (mut watches, mut m) = watches();
        let watch = watches.watch(&mut m, &Filter::everyone()).unwrap();
        assert!(!watches.refuse(&mut m, watch.0, RefusalReason::NotAllowed), "the broker cannot know it");
        write(&watches, &mut m, 1).unwrap();
        assert!(watches.refuse(&mut m, watch.0, RefusalReason::BrokerFull));
        assert!(!watches.has_refused(&m) && !watches.wants(&m, watch));
        watches.acknowledge(&mut m, 1);
        assert_eq!(watches.poll_refused(&mut m), Some((watch, RefusalReason::BrokerFull)));
        assert_eq!((watches.poll_refused(&mut m), watches.next_op(&m).is_none()), (None, true));
    }
}
