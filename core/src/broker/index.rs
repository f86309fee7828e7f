//! Who has which attribute: from a pair to the sessions that have it, so that routing costs by those that match.

use crate::attributes::{AttributesRef, Pairs};
use alloc::boxed::Box;
use alloc::vec::Vec;
use foldhash::quality::FixedState;
use hashbrown::HashMap;

/// Where a session stands in the lists: that of everyone first, then that of each of its pairs in order.
pub(super) type Places = Box<[u32]>;

/// Gives the index access to a session that has moved within a list.
pub(super) trait Sessions {
    /// The attributes and the places of a session.
    fn placed(&mut self, session: u32) -> Option<(AttributesRef<'_>, &mut [u32])>;
}

/// The lists of sessions that receive.
#[derive(Debug)]
pub(super) struct Index {
    pairs: HashMap<Box<[u8]>, Vec<u32>, FixedState>,
    everyone: Vec<u32>,
}

impl Index {
    /// An empty index; the seed keeps strangers from choosing pairs that fall into one bucket.
    pub(super) fn new(seed: u64) -> Self {
        Self { pairs: HashMap::with_hasher(FixedState::with_seed(seed)), everyone: Vec::new() }
    }

    /// Every session.
    pub(super) fn everyone(&self) -> &[u32] {
        &self.everyone
    }

    /// The sessions with a pair, by its encoding.
    #[inline]
    pub(super) fn with_pair(&self, pair: &[u8]) -> &[u32] {
        self.pairs.get(pair).map_or(&[], Vec::as_slice)
    }

    /// The pair that the fewest sessions have, and these.
    pub(super) fn rarest(&self, pairs: Pairs<'_>) -> &[u32] {
        pairs.map(|pair| self.with_pair(pair.raw)).min_by_key(|list| list.len()).unwrap_or(&[])
    }

    /// Enters a session under everyone and all its pairs.
    pub(super) fn insert(&mut self, session: u32, attributes: AttributesRef<'_>) -> Places {
        let mut places = Vec::with_capacity(1 + attributes.len());
        // There are at most 2^30 sessions.
        places.push(self.everyone.len() as u32);
        self.everyone.push(session);
        for pair in attributes.pairs() {
            let list = match self.pairs.get_mut(pair.raw) {
                Some(list) => list,
                None => self.pairs.entry(pair.raw.into()).or_default(),
            };
            places.push(list.len() as u32);
            list.push(session);
        }
        places.into_boxed_slice()
    }

    /// Takes a session out of all lists that its attributes and places name.
    pub(super) fn remove(
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
        for (pair, &place) in attributes.pairs().zip(places) {
            let Some(list) = self.pairs.get_mut(pair.raw) else { continue };
            remove_place(list, place, |moved| {
                if let Some((attributes, places)) = sessions.placed(moved)
                    && let Some(at) = attributes.pairs().position(|other| other.raw == pair.raw)
                    && let Some(slot) = places.get_mut(1 + at)
                {
                    *slot = place;
                }
            });
            if list.is_empty() {
                self.pairs.remove(pair.raw);
            }
        }
    }
}

/// Takes one out of a list; the last moves into its place.
fn remove_place(list: &mut Vec<u32>, place: u32, moved: impl FnOnce(u32)) {
    if (place as usize) < list.len() {
        list.swap_remove(place as usize);
    }
    if let Some(&session) = list.get(place as usize) {
        moved(session);
    }
}
