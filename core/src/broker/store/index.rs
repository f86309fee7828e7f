//! The index of attributes: from a pair to the sessions that have it, so that the cost of routing depends on the matches.

use crate::broker::store::key_set::{is_oversized, reserve_one, shrink_table};
use crate::bug::OrBug;
use crate::data::attributes::AttributesRef;
use crate::data::value::Pairs;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hash::BuildHasher;
use foldhash::quality::FixedState;
use hashbrown::HashTable;
use slab::Slab;
use smallvec::SmallVec;
#[cfg(feature = "presence")]
use uuid::Uuid;

/// The places of a session in the lists: in that of everyone first, then in that of each of its pairs, in their order.
pub(crate) type Places = Box<[u32]>;

/// A list keeps memory for so many sessions, or for four times as many as it has.
pub(crate) const KEPT: usize = 16;

/// Gives a watch access to sessions and their attributes.
#[cfg(feature = "presence")]
pub(crate) trait Directory {
    fn lists(&self) -> &Index;
    fn identity(&self, session: u32) -> Option<(Uuid, AttributesRef<'_>)>;
}

/// Gives the index access to a session that has moved within a list.
pub(crate) trait Sessions {
    fn placed(&mut self, session: u32) -> Option<(AttributesRef<'_>, &mut [u32])>;
}

/// The sessions that have a pair. Many pairs, such as names, belong to a single session.
#[derive(Debug)]
enum Members {
    One(u32),
    Many(Vec<u32>),
}

#[derive(Debug)]
pub(crate) struct List {
    /// The pair, inline if it is short: it is compared whenever the list is found.
    pair: SmallVec<[u8; 16]>,
    members: Members,
}

/// The lists of sessions that receive messages.
#[derive(Debug)]
pub(crate) struct Index {
    lists: Slab<List>,
    max_lists: usize,
    /// Lists by the hashes of their pairs.
    by_pair: HashTable<u32>,
    hasher: FixedState,
    everyone: Vec<u32>,
}

impl Members {
    fn as_slice(&self) -> &[u32] {
        match self {
            Self::One(session) => core::slice::from_ref(session),
            Self::Many(sessions) => sessions,
        }
    }

    /// Adds a session at the end, and returns its place.
    fn push(&mut self, session: u32) -> u32 {
        match self {
            Self::One(first) => {
                *self = Self::Many(Vec::from([*first, session]));
                1
            }
            Self::Many(sessions) => {
                sessions.push(session);
                // There are at most 2^30 sessions.
                sessions.len() as u32 - 1
            }
        }
    }
}

impl Index {
    /// Makes an empty index for so many lists. The seed keeps clients from choosing pairs that fall into one bucket.
    pub(crate) fn new(seed: u64, max_lists: usize) -> Self {
        Self {
            lists: Slab::new(),
            max_lists,
            by_pair: HashTable::new(),
            hasher: FixedState::with_seed(seed),
            everyone: Vec::new(),
        }
    }

    /// Every session that receives.
    pub(crate) fn everyone(&self) -> &[u32] {
        &self.everyone
    }

    #[inline]
    fn find(&self, pair: &[u8]) -> Option<u32> {
        let is_it = |&found: &u32| self.lists.get(found as usize).is_some_and(|list| *list.pair == *pair);
        self.by_pair.find(self.hash(pair), is_it).copied()
    }

    /// The hash by which the list of a pair is found.
    #[inline]
    pub(crate) fn hash(&self, pair: &[u8]) -> u64 {
        self.hasher.hash_one(pair)
    }

    /// The list of a pair with that hash, most likely: the pairs are not compared.
    #[inline]
    pub(crate) fn likely(&self, hash: u64) -> Option<u32> {
        self.by_pair.iter_hash(hash).next().copied()
    }

    /// The first session in a list, and the length of the pair of that list.
    #[inline]
    pub(crate) fn first_of(&self, list: u32) -> Option<(u32, usize)> {
        let list = self.lists.get(list as usize)?;
        let first = list.members.as_slice().first().copied()?;
        Some((first, list.pair.len()))
    }

    /// The sessions with an encoded pair.
    #[inline]
    pub(crate) fn with_pair(&self, pair: &[u8]) -> &[u32] {
        let list = self.find(pair).and_then(|found| self.lists.get(found as usize));
        // No session may have the pair.
        list.map_or(&[], |list| list.members.as_slice())
    }

    /// The sessions with the rarest of several pairs, and whether there is more than one pair.
    #[inline]
    pub(crate) fn rarest(&self, pairs: Pairs<'_>) -> (&[u32], bool) {
        let mut pairs = pairs.encoded();
        let (mut rarest, mut are_several) =
            (pairs.next().map_or(&[][..], |pair| self.with_pair(pair)), false);
        for pair in pairs {
            are_several = true;
            let list = self.with_pair(pair);
            if list.len() < rarest.len() {
                rarest = list;
            }
        }
        (rarest, are_several)
    }

    /// Enters a session in the list of everyone and in those of all its pairs.
    pub(crate) fn insert(&mut self, session: u32, attributes: AttributesRef<'_>) -> Places {
        let mut places = Vec::with_capacity(1 + attributes.len());
        // There are at most 2^30 sessions.
        places.push(self.everyone.len() as u32);
        self.everyone.push(session);
        for pair in attributes.pairs().encoded() {
            let found = self.find(pair).and_then(|found| self.lists.get_mut(found as usize));
            places.push(match found {
                Some(list) => list.members.push(session),
                None => {
                    self.insert_list(pair, session);
                    0
                }
            });
        }
        places.into_boxed_slice()
    }

    fn insert_list(&mut self, pair: &[u8], session: u32) {
        reserve_one(&mut self.lists, self.max_lists);
        // There are at most as many lists as sessions have pairs.
        let index = self.lists.insert(List { pair: pair.into(), members: Members::One(session) }) as u32;
        let Self { lists, by_pair, hasher, .. } = self;
        let hash_of = |&found: &u32| lists.get(found as usize).map_or(0, |list| hasher.hash_one(&*list.pair));
        by_pair.insert_unique(hash_of(&index), index, hash_of);
    }

    fn remove_list(&mut self, index: u32) {
        let list = self.lists.try_remove(index as usize);
        let Some(List { pair, .. }) = list.or_bug("there is no such list") else { return };
        match self.by_pair.find_entry(self.hash(&pair), |&found| found == index) {
            Ok(entry) => drop(entry.remove()),
            Err(_) => bug!("a list is not found by its pair"),
        }
    }

    /// True if most of the memory of these tables is not in use.
    pub(crate) fn is_oversized(&self) -> bool {
        is_oversized(self.lists.len(), self.lists.capacity())
            || is_oversized(self.by_pair.len(), self.by_pair.capacity())
    }

    /// Gives back memory that is not in use. Lists give theirs back when sessions leave them.
    pub(crate) fn give_back(&mut self) {
        shrink_table(&mut self.lists);
        let Self { lists, by_pair, hasher, .. } = self;
        if is_oversized(by_pair.len(), by_pair.capacity()) {
            by_pair.shrink_to_fit(|&found| {
                lists.get(found as usize).map_or(0, |list| hasher.hash_one(&*list.pair))
            });
        }
    }

    /// Removes a session from all lists that its attributes and places name.
    pub(crate) fn remove(
        &mut self,
        attributes: AttributesRef<'_>,
        places: &[u32],
        sessions: &mut impl Sessions,
    ) {
        let mut places = places.iter();
        if let Some(&place) = places.next() {
            remove_place(&mut self.everyone, place, |moved| {
                if let Some((_, places)) = sessions.placed(moved)
                    && let Some(first) = places.first_mut()
                {
                    *first = place;
                }
            });
        }
        for (pair, &place) in attributes.pairs().encoded().zip(places) {
            let Some(index) = self.find(pair).or_bug("a pair that a session stands under has no list") else {
                continue;
            };
            let is_empty = match self.lists.get_mut(index as usize).map(|list| &mut list.members) {
                Some(Members::Many(list)) => {
                    remove_place(list, place, |moved| {
                        if let Some((attributes, places)) = sessions.placed(moved)
                            && let Some(at) = attributes.pairs().encoded().position(|other| other == pair)
                            && let Some(slot) = places.get_mut(1 + at)
                        {
                            *slot = place;
                        }
                    });
                    list.is_empty()
                }
                _ => true,
            };
            if is_empty {
                self.remove_list(index);
            }
        }
    }
}

/// Removes the session at a place of a list; the last session of the list moves there.
fn remove_place(list: &mut Vec<u32>, place: u32, moved: impl FnOnce(u32)) {
    if (place as usize) < list.len() {
        list.swap_remove(place as usize);
        if list.capacity() > KEPT && list.len() < list.capacity() / 4 {
            list.shrink_to(list.capacity() / 2);
        }
    } else {
        bug!("a session does not stand at its place in a list");
    }
    if let Some(&session) = list.get(place as usize) {
        moved(session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::attributes::Attributes;

    /// Sessions by their indices, with their places.
    struct Placed(Vec<(Attributes, Places)>);

    impl Sessions for Placed {
        fn placed(&mut self, session: u32) -> Option<(AttributesRef<'_>, &mut [u32])> {
            let (attributes, places) = self.0.get_mut(session as usize)?;
            Some((attributes.as_ref(), places))
        }
    }

    /// What `Sessions` of the broker do with it is compared with a search in sessions.rs.
    #[test]
    fn the_last_sessions_move_to_the_places_of_one_that_leaves() {
        let mut index = Index::new(1, 100);
        let mut sessions = Placed(Vec::new());
        for (session, keys) in (0..).zip(["ab", "a", "ab"]) {
            let attributes = Attributes::flags(keys);
            let places = index.insert(session, attributes.as_ref());
            sessions.0.push((attributes, places));
        }
        assert_eq!(*sessions.0[2].1, [2, 2, 1]);
        let both = Attributes::flags("ab");
        let b =
            Attributes::flags("b").as_ref().pairs().encoded().next().map(|pair| index.hash(pair)).unwrap();
        assert_eq!(index.likely(b).and_then(|list| index.first_of(list)).map(|(first, _)| first), Some(0));
        let places = sessions.0[0].1.clone();
        index.remove(both.as_ref(), &places, &mut sessions);
        assert_eq!((index.everyone(), &*sessions.0[2].1), (&[2, 1][..], &[0, 0, 0][..]));
        assert_eq!(index.rarest(both.as_ref().pairs()), (&[2][..], true));
        let places = sessions.0[2].1.clone();
        index.remove(both.as_ref(), &places, &mut sessions);
        assert_eq!((index.rarest(both.as_ref().pairs()).0, index.likely(b)), (&[][..], None));
        assert_eq!((index.lists.len(), index.by_pair.len()), (1, 1), "only the list of a is left");
    }

    #[test]
    fn a_list_that_has_shrunk_gives_its_memory_back() {
        let mut list: Vec<u32> = (0..1_000).collect();
        for _ in 0..990 {
            remove_place(&mut list, 0, drop);
        }
        assert!(list.len() == 10 && list.capacity() <= 4 * KEPT, "{}", list.capacity());
    }
}
