//! Destinations in their encoding, each kept as long as a message or an alias of a link names it.

use crate::broker::store::key_set::{is_oversized, shrink_table};
use crate::bug::OrBug;
use slab::Slab;
use smallvec::SmallVec;

/// The bug if an entry is not in the table of destinations.
const NO_DESTINATION: &str = "there is no such destination";
/// Destinations of up to so many bytes are stored without an allocation: a UUID, or most filters of one pair.
const SHORT: usize = 36;

/// An encoded destination, and the number of messages and links that name it.
pub(crate) type Destination = (SmallVec<[u8; SHORT]>, u32);

/// All destinations that a message or a link names.
#[derive(Debug, Default)]
pub(crate) struct Destinations {
    table: Slab<Destination>,
}

impl Destinations {
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    pub(crate) fn is_oversized(&self) -> bool {
        is_oversized(self.table.len(), self.table.capacity())
    }

    /// Gives back memory that is not in use.
    pub(crate) fn give_back(&mut self) {
        shrink_table(&mut self.table);
    }

    /// Adds a destination with one reference, and returns its place.
    pub(crate) fn insert(&mut self, bytes: &[u8]) -> u32 {
        // There are at most as many destinations as messages and aliases of links.
        self.table.insert((SmallVec::from_slice(bytes), 1)) as u32
    }

    /// Adds a reference.
    pub(crate) fn keep(&mut self, index: u32) {
        if let Some((_, refs)) = self.table.get_mut(index as usize).or_bug(NO_DESTINATION) {
            *refs += 1;
        }
    }

    /// Removes a reference, and the destination with the last one.
    pub(crate) fn release(&mut self, index: u32) {
        if let Some((_, refs)) = self.table.get_mut(index as usize).or_bug(NO_DESTINATION) {
            *refs -= 1;
            if *refs == 0 {
                self.table.remove(index as usize);
            }
        }
    }

    /// The encoding of a destination, empty if there is none.
    #[inline]
    pub(crate) fn get(&self, index: u32) -> &[u8] {
        let found = self.table.get(index as usize).or_bug(NO_DESTINATION);
        found.map_or(&[], |(bytes, _)| bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_stays_as_long_as_something_names_it() {
        let mut destinations = Destinations::default();
        let (short, long) = (destinations.insert(&[3]), destinations.insert(&[7; 2 * SHORT]));
        destinations.keep(short);
        destinations.release(short);
        assert_eq!((destinations.get(short), destinations.get(long)), (&[3][..], &[7; 2 * SHORT][..]));
        destinations.release(short);
        assert_eq!(destinations.len(), 1);
        assert_eq!(destinations.insert(&[4]), short, "its place is free again");
    }
}
