//! Counts in how many lists of the index each session stands, to find those that stand in all or in any.

use crate::broker::store::index::Index;
use crate::data::value::Pairs;
use alloc::vec::Vec;

/// In how many lists each session was found, by its place. All are zero between two uses.
#[derive(Debug, Default)]
pub(crate) struct Counts(Vec<u8>);

impl Counts {
    /// There are so many places.
    pub(crate) fn reach(&mut self, places: usize) {
        if self.0.len() < places {
            self.0.resize(places, 0);
        }
    }

    /// Counts once more the sessions in `list` that were counted `before` times; `each` is called for them.
    pub(crate) fn count(&mut self, list: &[u32], before: u8, mut each: impl FnMut(u32)) {
        for &session in list {
            if let Some(count) = self.0.get_mut(session as usize)
                && *count == before
            {
                *count += 1;
                each(session);
            }
        }
    }

    pub(crate) fn is(&self, session: u32, count: u8) -> bool {
        self.0.get(session as usize) == Some(&count)
    }

    pub(crate) fn clear(&mut self, sessions: &[u32]) {
        for &session in sessions {
            if let Some(count) = self.0.get_mut(session as usize) {
                *count = 0;
            }
        }
    }

    /// The sessions that have any of several pairs, each once. Returns how many entries of lists were counted.
    pub(crate) fn any_of(&mut self, lists: &Index, pairs: Pairs<'_>, into: &mut Vec<u32>) -> usize {
        let (mut counted, everyone) = (0, lists.everyone().len());
        for pair in pairs.encoded() {
            let list = lists.with_pair(pair);
            counted += list.len();
            self.count(list, 0, |session| into.push(session));
            if into.len() == everyone {
                break;
            }
        }
        self.clear(into);
        counted
    }

    /// Of the sessions that have the rarest of several pairs, keeps those that have all. Returns the same.
    pub(crate) fn all_of(&mut self, lists: &Index, pairs: Pairs<'_>, into: &mut Vec<u32>) -> usize {
        let (mut counted, mut passes, rarest) = (0, 1, into.len());
        self.count(into, 0, |_| {});
        let mut is_rarest_past = false;
        for pair in pairs.encoded() {
            let list = lists.with_pair(pair);
            // Its sessions are counted.
            if list.len() == rarest && !core::mem::replace(&mut is_rarest_past, true) {
                continue;
            }
            counted += list.len();
            self.count(list, passes, |_| {});
            passes += 1;
        }
        // Counts of those that leave go first.
        let mut left = core::mem::take(into);
        for &session in &left {
            if self.is(session, passes) {
                into.push(session);
            }
        }
        self.clear(&left);
        left.clear();
        counted
    }
}
