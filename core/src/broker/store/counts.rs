//! Counts in how many lists of the index each session stands, to find the sessions that stand in all or in any of them.

use crate::broker::store::index::Index;
use crate::data::value::Pairs;
use alloc::vec::Vec;

/// The number of lists in which each session was found, by its place. All counts are zero between two uses.
#[derive(Debug, Default)]
pub(crate) struct Counts(Vec<u8>);

impl Counts {
    /// Makes counters for that many places.
    pub(crate) fn reach(&mut self, places: usize) {
        if self.0.len() < places {
            self.0.resize(places, 0);
        }
    }

    /// Increments the count of each session in `list` whose count is `before`, and calls `each` for it.
    fn count(&mut self, list: &[u32], before: u8, mut each: impl FnMut(u32)) {
        for &session in list {
            if let Some(count) = self.0.get_mut(session as usize)
                && *count == before
            {
                *count += 1;
                each(session);
            }
        }
    }

    fn is(&self, session: u32, count: u8) -> bool {
        self.0.get(session as usize) == Some(&count)
    }

    fn clear(&mut self, sessions: &[u32]) {
        for &session in sessions {
            if let Some(count) = self.0.get_mut(session as usize) {
                *count = 0;
            }
        }
    }

    /// Collects the sessions that have any of several pairs, each once. Returns the number of list entries that were
    /// counted.
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

    /// Keeps those of the sessions in `into` that have all pairs; `into` has the sessions with the rarest pair. Returns the
    /// same.
    pub(crate) fn all_of(&mut self, lists: &Index, pairs: Pairs<'_>, into: &mut Vec<u32>) -> usize {
        let (mut counted, mut passes, rarest) = (0, 1, into.len());
        self.count(into, 0, |_| {});
        let mut is_rarest_past = false;
        for pair in pairs.encoded() {
            let list = lists.with_pair(pair);
            // The sessions of this list are counted already.
            if list.len() == rarest && !core::mem::replace(&mut is_rarest_past, true) {
                continue;
            }
            counted += list.len();
            self.count(list, passes, |_| {});
            passes += 1;
        }
        // The counts of all sessions must be zero again, so the list of them is kept until the end.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::attributes::Attributes;

    #[test]
    fn sessions_with_any_or_all_pairs_are_found_once_and_the_counts_are_zero_again() {
        let mut lists = Index::new(1, 100);
        for (session, keys) in (0..).zip(["ab", "a", "bc", "abc"]) {
            lists.insert(session, Attributes::flags(keys).as_ref());
        }
        let mut counts = Counts::default();
        counts.reach(4);
        for _ in 0..2 {
            let mut any = Vec::new();
            let counted = counts.any_of(&lists, Attributes::flags("abc").as_ref().pairs(), &mut any);
            any.sort_unstable();
            assert_eq!((any, counted), (Vec::from([0, 1, 2, 3]), 6), "the list of c is not needed");
            for (keys, all, counted) in [("ab", &[0, 3][..], 3), ("bc", &[2, 3], 3), ("abc", &[3], 6)] {
                let wanted = Attributes::flags(keys);
                let mut found = lists.rarest(wanted.as_ref().pairs()).0.to_vec();
                assert_eq!(counts.all_of(&lists, wanted.as_ref().pairs(), &mut found), counted, "{keys}");
                assert_eq!(found, all, "{keys}");
            }
        }
    }
}
